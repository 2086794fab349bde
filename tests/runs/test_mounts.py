"""Whether locks reach other machines, from the system's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedskew.runs.mounts import locks_only_here

LINES = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2,local_lock=none,addr=10.0.0.1
31 22 0:31 / /scratch rw - nfs server:/scratch rw,vers=3,nolock,local_lock=all
32 31 8:2 / /scratch/local\\040disk rw - xfs /dev/sdb1 rw
33 22 0:33 / /lustre rw - lustre 10.0.0.2@tcp:/big rw,localflock
34 22 0:34 / /far rw - fuse.sshfs me@there: rw,user_id=0
35 22 0:35 / /twice rw - nfs server:/a rw,nolock
36 22 0:36 / /twice rw - nfs server:/b rw,local_lock=none
a line of another kind
"""


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/tmp/x", None),
        ("/home/me/studies/x", None),
        ("/scratch/me", "nfs mounted with nolock"),
        ("/scratch", "nfs mounted with nolock"),
        ("/scratchy", None),
        ("/scratch/local disk/x", None),
        ("/lustre/x", "lustre mounted with localflock"),
        ("/far/x", "fuse.sshfs"),
        ("/twice/x", None),
    ],
)
def test_what_is_mounted_there(tmp_path: Path, folder: str, why: str | None) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(LINES)
    assert locks_only_here(Path(folder), table) == why


def test_where_there_is_no_such_list(tmp_path: Path) -> None:
    assert locks_only_here(tmp_path, tmp_path / "none") is None


def test_here(tmp_path: Path) -> None:
    assert locks_only_here(tmp_path) is None
