"""A run on another machine: what it must find there, and what it tells."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.runs.events import Ended, Event, Held, RoundDone, Started
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import locked
from fedskew.study.remote import Origin, events_of, origin_here
from fedskew.study.tasks import Task, WorkerSetup

SETUP = WorkerSetup(Execution(download=False, engine="torch"))
TINY: dict[str, Any] = {
    "rounds": 2,
    "data": "digits",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 4},
    "stopping": "rounds",
}


def task(folder: Path, **changes: Any) -> Task:
    run = completed(Experiment.model_validate(TINY | changes))
    return Task(RunFolder.below(folder, run.identity), run)


def told(one: Task, origin: Origin, setup: WorkerSetup = SETUP) -> list[Event | str]:
    """Through pickle, as on the way to another machine and back."""
    given = pickle.loads(pickle.dumps((one, setup, origin)))
    return [pickle.loads(pickle.dumps(said)) for said in events_of(5, *given)]


def test_a_run_and_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = task(Path("study"))
    with origin_here(Path("study/runs")) as origin:
        assert [run.name for run in RunFolder.all_below(Path("study"))] == [], "the token is no run"
        seen = told(relative, origin)
        assert [type(event) for event in seen] == [Started, RoundDone, RoundDone, Ended]
        assert seen[-1] == Ended(5, 2, None)
        assert told(relative, origin) == [Ended(5, 2, None)]
        with locked(relative.folder.path):
            assert told(relative, origin) == [Held(5)]
    assert not origin.token.exists()


def test_a_machine_without_the_folder_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with origin_here(tmp_path / "runs") as origin:
        pass
    one = task(tmp_path)
    for other in (origin, replace(origin, here=tmp_path / "nowhere")):
        (ended,) = told(one, other)
        assert isinstance(ended, Ended)
        assert ended.error is not None
        assert "is not the folder of the process that began the study" in ended.error
        assert "hint: put the study on a file system" in ended.error
    assert not one.folder.path.exists()


def test_a_machine_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with origin_here(tmp_path / "runs") as origin:
        (ended,) = told(task(tmp_path), replace(origin, version="0.0.1"))
    assert isinstance(ended, Ended)
    assert ended.error is not None
    assert "expected 0.0.1, as where the study began" in ended.error


def test_modules_and_variables_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is logged as a warning; a plug-in that leaves is the end of its run, not of the waiting for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "farplug.py").write_text(
        "import logging, os\n\n"
        "def leaves(evaluation):\n"
        "    logging.getLogger('fedskew.farplug').warning('%s', os.environ['FEDSKEW_FAR'])\n"
        "    raise SystemExit('gone')\n"
    )
    monkeypatch.setenv("FEDSKEW_FAR", "away")
    with monkeypatch.context() as there:
        there.syspath_prepend(str(tmp_path / "site"))
        there.setattr("sys.path", ["", *__import__("sys").path])
        with origin_here(tmp_path / "runs") as origin:
            there.undo()
            monkeypatch.chdir(tmp_path)
            monkeypatch.delenv("FEDSKEW_FAR", raising=False)
            setup = replace(SETUP, plugins=("farplug",))
            seen = told(task(tmp_path, evaluation={"metrics": ["farplug:leaves"]}), origin, setup)
    *before, over = seen
    assert before == [Started(5), "away"]
    assert isinstance(over, Ended)
    assert str(over.error).startswith("metric 'farplug:leaves' failed with SystemExit: gone")
