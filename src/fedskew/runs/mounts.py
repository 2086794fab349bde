"""Whether locks in a folder keep out processes on other machines, as far as the system tells.

Linux lists what is mounted where in ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)), one line each; behind a lone "-"
come the type of the file system, its source and its options:

    36 25 0:32 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2,local_lock=none
"""

from __future__ import annotations

from pathlib import Path

TABLE = Path("/proc/self/mountinfo")

ONLY_HERE = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=flock"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
    "fuse.sshfs": (),
}
"""Type of file system -> options with which its locks are known to this machine alone; none: they always are."""


def locks_only_here(folder: Path, table: Path = TABLE) -> str | None:
    """Why another machine does not see the locks that are held in a folder; None if it does, if no other machine has
    the folder, or if the system does not tell."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    mounts = [(Path(_plain(before.split()[4])), after.split()) for before, _, after in _halves(lines)]
    above = [(place, mount) for place, mount in mounts if folder.resolve().is_relative_to(place)]
    _, mount = max(above[::-1], key=lambda pair: len(pair[0].parts), default=(None, ["", "", ""]))
    kind, given = mount[0], mount[-1].split(",")
    if kind not in ONLY_HERE:
        return None
    options = ONLY_HERE[kind]
    if not options:
        return kind
    why = next((option for option in options if option in given), None)
    return why and f"{kind} mounted with {why}"


def _halves(lines: list[str]) -> list[tuple[str, str, str]]:
    return [line.partition(" - ") for line in lines if " - " in line]


def _plain(path: str) -> str:
    """A path of the table: blanks and the like are octal there."""
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, letter)
    return path
