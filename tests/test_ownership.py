"""Who besides the user could change a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedskew import ownership
from fedskew.ownership import exposed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o644)
    return path


def test_a_file_of_the_user_in_folders_of_the_user_is_not(file: Path) -> None:
    assert exposed(file) == ""


@pytest.mark.parametrize(("place", "mode"), [(".", 0o646), ("..", 0o757), ("../..", 0o757)])
def test_others_who_can_write_it_or_a_folder_above(file: Path, place: str, mode: int) -> None:
    opened = (file / place).resolve()
    opened.chmod(mode)
    assert exposed(file) == f"others can write {opened}"


def test_a_folder_where_only_owners_replace_their_files(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert exposed(file) == ""


def test_a_group_unless_it_is_the_users_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_of_one_user", lambda group: False)
    file.chmod(0o664)
    assert exposed(file) == f"a group can write {file}"
    monkeypatch.setattr(ownership, "_of_one_user", lambda group: group == file.stat().st_gid)
    assert exposed(file) == ""


@pytest.mark.parametrize(
    ("name", "members", "alone"),
    [("me", [], True), ("me", ["me"], True), ("me", ["me", "bob"], False), ("staff", [], False)],
)
def test_the_groups_of_one_user(
    name: str, members: list[str], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp
    import pwd

    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=name, gr_mem=members))
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="me"))
    assert ownership._of_one_user(0) is alone


def test_a_group_that_nobody_knows() -> None:
    assert not ownership._of_one_user(2**31 - 5)


def test_an_access_control_list(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_of_one_user", lambda group: True)
    file.chmod(0o664)
    assert exposed(file) == ""
    monkeypatch.setattr(ownership, "_has_list", lambda place: place == file)
    assert exposed(file) == f"a group can write {file}"


def test_somebody_else_who_owns_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(file, 54321, -1)
    else:
        stranger = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: stranger)
    assert re.fullmatch(rf"{re.escape(str(file))} belongs to .+", exposed(file))
