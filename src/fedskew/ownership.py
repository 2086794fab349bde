"""Who besides the user could change a file: asked before code is loaded from it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

ROOT = 0
"""The user who can change everything anyway."""


def exposed(path: Path) -> str:
    """Why others than the user and root could change what is at a path, in a few words; empty if nobody could.

    A file can be changed by its owner and by who may write it, and replaced by who may write one of the folders above.
    In a folder with the sticky bit, such as ``/tmp``, only the owner of an entry can replace it. Where there is an
    access control list, the group's bits are the most that it allows to anybody.

    Args:
        path: absolute, of something that exists, without symbolic links (``Path.resolve``).

    Raises:
        OSError: it does not exist or cannot be examined.
    """
    if os.name != "posix":
        return ""
    for place in (path, *path.parents):
        found = place.lstat()
        if found.st_uid not in (ROOT, os.geteuid()):
            return f"{place} belongs to {_user(found.st_uid)}"
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
            continue
        if shared & stat.S_IWOTH:
            return f"others can write {place}"
        if shared & stat.S_IWGRP and (_has_list(place) or not _of_one_user(found.st_gid)):
            return f"a group can write {place}"
    return ""


def _has_list(place: Path) -> bool:
    """Does an access control list say who may do what with it?"""
    return hasattr(os, "listxattr") and "system.posix_acl_access" in os.listxattr(place)


def _of_one_user(group: int) -> bool:
    """Is this the group that many systems make for each user alone, by the user's name, and nobody else in it?"""
    import grp
    import pwd

    try:
        found, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
