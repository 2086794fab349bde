"""Who works in a folder: a lock that the kernel frees when its holder dies, and which locks are held.

To test a lock by taking it, even shared and for an instant, would refuse an owner who starts in that instant. Linux
lists who holds what in ``/proc/locks`` (proc_locks(5)), one line each:

    1: FLOCK  ADVISORY  WRITE 1800 fe:00:2418177 0 EOF

with the device's major and minor number and the inode. It shows the locks of this machine's processes that this
process may see: not those of another container, nor those on another machine that shares the file system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fedskew.errors import RunError

TABLE = Path("/proc/locks")

Lock = tuple[int, int, int]
"""Major and minor number of the device, and inode."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder against other processes. The kernel frees the lock when its holder dies.

    Raises:
        RunError: another process holds it.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except OSError as error:
        if not isinstance(error, Timeout):
            raise RunError(f"cannot work in {folder}: {error.strerror or error}") from None
        raise RunError(
            f"another process is working in {folder}", "wait until it is done, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def held_locks(table: Path = TABLE) -> frozenset[Lock] | None:
    """The files on which some process holds a lock; None where the system has no such table."""
    try:
        lines = table.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    rows = [line.split() for line in lines]
    places = [
        row[5].split(":") for row in rows if len(row) > 5 and row[1] != "->"
    ]  # an arrow: it waits for one
    return frozenset(_lock(int(place[0], 16), int(place[1], 16), int(place[2])) for place in places)


def is_held(folder: Path, held: Set[Lock]) -> bool:
    """Whether a folder is among those that are locked."""
    try:
        found = (folder / ".lock").stat()
    except OSError:
        return False
    return _lock(os.major(found.st_dev), os.minor(found.st_dev), found.st_ino) in held


def _lock(major: int, minor: int, inode: int) -> Lock:
    """Devices without hardware (btrfs, overlays) have major number 0, and a minor that differs from view to view."""
    return (major, minor if major else 0, inode)
