"""Who works in a folder: a lock that the kernel frees when its holder dies, and which locks are held.

A run's folder is locked while the run is worked on, a study's only while its own few files or its report
are written. So any number of processes, also on machines that share a file system, can work on one study.

To test a lock by taking it, even shared and for an instant, would refuse an owner who starts in that instant. Linux
lists who holds what in ``/proc/locks`` (proc_locks(5)), one line each:

    1: FLOCK  ADVISORY  WRITE 1800 fe:00:2418177 0 EOF

with the device's major and minor number and the inode. It shows the locks of this machine's processes that this
process may see: not those of another container, nor those on another machine that shares the file system.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fedskew.errors import HeldError, RunError
from fedskew.files import is_own_file

TABLE = Path("/proc/locks")

BRIEF = 600.0
"""Seconds to wait for a lock that nobody holds for longer than it takes to write a report."""

Lock = tuple[int, int, int]
"""Major and minor number of the device, and inode."""


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Holds a folder against other processes. The kernel frees the lock when its holder dies.

    Args:
        patience: seconds to wait for another holder.

    Raises:
        HeldError: another process holds it.
        RunError: the folder cannot be made, its lock is no file, or its file system has no locks.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_own_file(folder / ".lock")
        lock.acquire(timeout=patience, poll_interval=0.02)
    except (OSError, NotImplementedError) as error:  # the latter: older ones of ``filelock`` without locks
        if not isinstance(error, Timeout):
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"cannot work in {folder}: {reason}") from None
        raise HeldError(
            f"another process is working in {folder}", "wait until it is done, or choose another folder"
        ) from None
    try:
        if not _keeps_others_out(folder / ".lock"):
            raise RunError(
                f"cannot work in {folder}: its file system does not lock files, so two processes could do the same run "
                "at once",
                "choose a folder on a local disk, or mount the file system with locks (docs/scale.md)",
            )
        yield
    finally:
        lock.release()


if sys.platform == "win32":

    def _keeps_others_out(file: Path) -> bool:
        return True  # a lock there is the refusal to open the file

else:
    import fcntl

    def _keeps_others_out(file: Path) -> bool:
        """Whether a file that is locked cannot be locked again: some file systems only pretend, and for those without
        locks ``filelock`` makes a file instead, which stays when its holder is killed."""
        try:
            second = os.open(file, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # it has no such call
            return False
        else:
            return False
        finally:
            os.close(second)


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
