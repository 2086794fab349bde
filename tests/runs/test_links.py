"""A folder from a stranger: nothing is written, cut or removed where its links lead, nor waited for at its pipes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import FedskewError, RunError
from fedskew.files import LineFile, keep_lines, replace_file, sweep
from fedskew.report.write import write_report
from fedskew.runs.execute import _put_aside
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import locked
from fedskew.script.running import run_study
from fedskew.study.folder import StudyFolder
from fedskew.trackers.tensorboard import tensorboard
from fedskew.trackers.tracking import TrackedRun
from helpers import execute
from report_helpers import complete, make_study

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")

TEXT = "mine\n" * 3
SMALL = Experiment.model_validate({"data": "digits", "rounds": 2, "clients": {"count": 4}, "model": "mlp"})
RUN_FILES = [
    "environment.json",
    "clients.json",
    "rounds.jsonl",
    "timings.jsonl",
    "checkpoint.safetensors",
    "result.json",
    "weights.safetensors",
    "failure.json",
    "config.toml",
    ".lock",
]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a file of the user's."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "file").write_text(TEXT)
    return folder


def unchanged(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == ["file"] and (folder / "file").read_text() == TEXT


@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("state", ["new", "complete"])
def test_a_linked_file_of_a_run_is_left_alone(name: str, state: str, mine: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    if state == "complete":
        execute(run, SMALL, Execution())
    run.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(mine / "file")
    try:
        execute(run, SMALL, Execution())
    except FedskewError as error:
        # A link may also be replaced by a file, and rounds or a result without a config are nobody's.
        assert name in str(error) or (state == "new" and "config.toml" in str(error))  # noqa: PT017
    assert unchanged(mine)


@pytest.mark.parametrize("name", sorted({*RUN_FILES, "clients", ".lock"}))
@pytest.mark.parametrize("state", ["new", "complete"])
def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(name: str, state: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if state == "complete":
        execute(run, SMALL, Execution())
        (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    expected = "folder" if name == "clients" else "file"
    with pytest.raises(RunError, match=rf"{name} is a pipe; expected a {expected}"):
        execute(run, SMALL, Execution())


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_folder_in_place_of_a_file_is_named_before_anything_is_done(name: str, tmp_path: Path) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(RunError, match=rf"{name} is a folder; expected a file"):
        execute(tmp_path / "run", SMALL, Execution())
    assert not (tmp_path / "run" / "rounds.jsonl").is_file()


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_linked_states_of_clients_are_left_alone(place: Any, mine: Path, tmp_path: Path) -> None:
    states = {"training": {"optimizer": {"name": "adam", "state": "persist"}}}
    experiment = Experiment.model_validate(SMALL.model_dump() | states)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "clients").symlink_to(mine)
    with pytest.raises(RunError, match="clients is a link; expected a folder"):
        execute(tmp_path / "run", experiment, Execution(client_state=place))
    assert unchanged(mine)


@pytest.mark.parametrize("linked", ["runs", "runs/RUN"])
def test_a_study_does_no_run_where_a_link_leads(linked: str, tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    complete(folder)
    place = folder.path / linked.replace("RUN", folder.planned[0].identity)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(RunError, match=rf"{place.name} is a link; expected a folder"):
        run_study(folder.study, folder.path)
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
    assert write_report(folder).page.exists(), "reading changes nothing there"


def test_complete_runs_of_links_are_read(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    complete(folder)
    files = [path for path in folder.path.rglob("*") if path.is_file() and path.name != ".lock"]
    (tmp_path / "annex").mkdir()
    for number, path in enumerate(files):
        path.rename(tmp_path / "annex" / str(number))
        path.symlink_to(tmp_path / "annex" / str(number))
    read = StudyFolder.read(folder.path)
    assert {read.status(plan)[0] for plan in read.planned} == {"done"}
    assert write_report(read).page.exists()


def test_a_tuning_where_a_link_leads_is_not_done(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "tuning").symlink_to(mine)
    command = ["audit", "krum", "--tune", "f=1,2", "--level", "quick", "--out", str(tmp_path / "audit")]
    done = subprocess.run(
        [sys.executable, "-m", "fedskew", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "tuning is a link; expected a folder" in done.stderr
    assert unchanged(mine)


@pytest.mark.parametrize("linked", ["report", "report/tables", "report/figures"])
def test_a_report_does_not_go_where_a_link_leads(linked: str, mine: Path, tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    complete(folder)
    place = folder.path / linked
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(mine)
    with pytest.raises(RunError, match=rf"{place.name} is a link; expected a folder"):
        write_report(folder)
    assert unchanged(mine)


def test_a_place_that_the_user_names_may_be_a_link(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "there")
    complete(folder)
    (tmp_path / "study").symlink_to(tmp_path / "there")
    (tmp_path / "pages").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "pages")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pages" / "figures").symlink_to(tmp_path / "elsewhere")
    assert write_report(StudyFolder.read(tmp_path / "study"), tmp_path / "out").page.exists()
    assert list((tmp_path / "elsewhere").iterdir())


def test_a_linked_log_of_a_tracker_is_left_alone(mine: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch.utils.tensorboard")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "tensorboard").symlink_to(mine)
    run = TrackedRun("study", tmp_path / "study", completed(SMALL))
    with pytest.raises(RunError, match="tensorboard is a link; expected a folder"):
        tensorboard(run)
    assert unchanged(mine)


WRITES: dict[str, Callable[[Path], object]] = {
    "LineFile": LineFile,
    "keep_lines": lambda path: keep_lines(path, 1),
    "locked": lambda path: locked(path.parent).__enter__(),
}


@pytest.mark.parametrize("write", WRITES)
def test_no_link_is_followed(write: str, mine: Path, tmp_path: Path) -> None:
    link = tmp_path / ".lock"
    link.symlink_to(mine / "file")
    with pytest.raises(RunError, match=r"\.lock is a link; expected a file"):
        WRITES[write](link)
    assert unchanged(mine)


def test_a_file_that_is_replaced_was_a_link(mine: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(mine / "file")
    replace_file(link, "new")
    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert unchanged(mine)


def test_the_part_of_a_file_is_never_one_that_is_there(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "guessed")
    (tmp_path / ".guessed.part").symlink_to(mine / "file")
    with pytest.raises(FileExistsError):
        replace_file(tmp_path / "file", "new")
    assert unchanged(mine)


def test_what_kills_have_left_of_files_is_swept_and_nothing_else(mine: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".0123456789abcdef.part").write_text("torn")
    (run / ".0123456789abcde0.part").symlink_to(mine / "file")
    (run / "film.part").write_text("somebody's download")
    (run / ".0123456789abcde1.part").mkdir()
    execute(run, SMALL, Execution())
    assert sorted(path.name for path in run.glob("*.part")) == [".0123456789abcde1.part", "film.part"]
    assert unchanged(mine)
    sweep(tmp_path / "missing")


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    part = tmp_path / ".0123456789abcdef.part"
    part.touch()
    sweep(tmp_path, older=60.0)
    assert part.exists()
    os.utime(part, (0, 0))
    sweep(tmp_path, older=60.0)
    assert not part.exists()


def test_a_folder_to_put_a_run_aside_is_never_one_that_is_there(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.config.touch()
    (tmp_path / "run~1").symlink_to(tmp_path / "missing")
    _put_aside(run, ["something"])
    assert [path.name for path in (tmp_path / "run~2").iterdir()] == ["config.toml"]
