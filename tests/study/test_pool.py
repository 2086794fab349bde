"""Runs on real processes, some of which fail, are killed, or lose their parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import HeldError
from fedskew.files import read_lines
from fedskew.runs.events import Ended, Event, Held, RoundDone, Started
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import locked
from fedskew.study.folder import StudyFolder
from fedskew.study.missing import run_missing
from fedskew.study.pool import run_all
from fedskew.study.tasks import Task, WorkerSetup
from helpers import execute, status_of

EXECUTION = Execution(download=False, engine="torch")
SETUP = WorkerSetup(EXECUTION)
TINY: dict[str, Any] = {
    "rounds": 2,
    "data": "digits",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 4},
    "training": {"epochs": 1, "batch_size": 256},
    "stopping": "rounds",
}


def tiny(**changes: Any) -> Experiment:
    return Experiment.model_validate(TINY | changes)


def tasks(folder: Path, *experiments: Experiment) -> list[Task]:
    return [
        Task(RunFolder(folder / str(number)), completed(experiment))
        for number, experiment in enumerate(experiments)
    ]


def workers(of: int | None = None) -> list[psutil.Process]:
    """The worker processes of a process, this one unless told."""
    found = []
    for child in psutil.Process(of).children():
        with suppress(psutil.NoSuchProcess):  # as a zombie is too: it is no worker any more
            if "forkserver" in " ".join(child.cmdline()):
                found += [one for one in child.children() if one.status() != psutil.STATUS_ZOMBIE]
    return found


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "skewpool.py").write_text(
        "def broken(evaluation):\n    raise RuntimeError('no luck')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    todo = tasks(
        tmp_path,
        tiny(evaluation={"metrics": ["skewpool:broken"]}),
        tiny(split={"name": "dirichlet", "alpha": 0.1, "min_size": 1400, "max_draws": 2}),
        tiny(),
    )
    seen: list[Event] = []
    failed = run_all(todo, 1, WorkerSetup(EXECUTION, ("skewpool",)), seen.append)

    assert set(failed) == {0, 1}
    assert failed[0].startswith("metric 'skewpool:broken' failed with RuntimeError: no luck (")
    assert str(tmp_path / "0" / "failure.json") in failed[0]
    assert "alpha = 0.1 over 4 clients" in failed[1]
    assert "min_size = 1400" in failed[1]
    failure = json.loads((tmp_path / "0" / "failure.json").read_text())
    assert "no luck" in failure["reason"]
    assert "in broken" in failure["traceback"]
    assert "traceback" not in json.loads((tmp_path / "1" / "failure.json").read_text())
    status, why = status_of(tmp_path / "0", Experiment())
    assert status == "to do again"
    assert why.startswith("failed after 0 rounds: metric 'skewpool:broken' failed with RuntimeError: no luck")

    result = RunFolder(tmp_path / "2").read_result()
    assert result is not None
    assert result.rounds == 2
    assert [e.task for e in seen if isinstance(e, Started)] == [0, 1, 2]
    assert [(e.task, e.round) for e in seen if isinstance(e, RoundDone)] == [(2, 1), (2, 2)]
    assert [(e.task, e.rounds, e.error is None) for e in seen if isinstance(e, Ended)] == [
        (0, 0, False),
        (1, 0, False),
        (2, 2, True),
    ]
    assert all("accuracy" in e.metrics for e in seen if isinstance(e, RoundDone))
    assert not workers(), "no worker is left behind"


def test_what_a_component_changes_of_its_worker_reaches_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings on which numbers depend are refused with its name; the rest is put back after the run."""
    (tmp_path / "skewset.py").write_text(
        "import os, sys, warnings\nimport torch\n"
        "def moves(evaluation):\n    os.chdir('/')\n    return {}\n"
        "def doubles(evaluation):\n    torch.set_default_dtype(torch.float64)\n    return {}\n"
        "def sets(evaluation):\n    os.environ['SKEWSET'] = '1'\n    sys.path.insert(0, '/')\n    os.umask(0o077)\n"
        "    warnings.simplefilter('error')\n    return {}\n"
        "def sees(evaluation):\n    mask = os.umask(0o022)\n    os.umask(mask)\n"
        "    return {'set': ('SKEWSET' in os.environ) + (sys.path[0] == '/') + (mask == 0o077)"
        " + (warnings.filters[0][0] == 'error')}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    named = [tiny(evaluation={"metrics": [f"skewset:{n}"]}) for n in ("moves", "doubles", "sets", "sees")]
    todo = tasks(Path("runs"), *named, tiny(), tiny(seed=1))
    failed = run_all(todo, 1, WorkerSetup(EXECUTION, ("skewset",)), lambda event: None)
    assert failed.keys() == {0, 1}
    assert failed[0].startswith("metric 'skewset:moves' changed the working directory, on which")
    assert failed[1].startswith("metric 'skewset:doubles' changed PyTorch's default dtype, on which")
    assert [record.metrics["set"] for record in RunFolder(Path("runs/3")).read_records()] == [0.0, 0.0]
    for number in (4, 5):
        execute(Path("alone") / str(number), todo[number].run.experiment, EXECUTION)
        for name in ("rounds.jsonl", "weights.safetensors"):
            alone = Path("alone") / str(number) / name
            assert (Path("runs") / str(number) / name).read_bytes() == alone.read_bytes()


def test_a_worker_that_is_killed_loses_its_run_and_the_next_call_goes_on_with_it(tmp_path: Path) -> None:
    todo = tasks(tmp_path, tiny(rounds=60), tiny(seed=1))
    killed: list[int] = []

    def kill_the_first(event: Event) -> None:
        if isinstance(event, RoundDone) and event.task == 0 and not killed:
            (worker,) = workers()
            worker.kill()
            killed.append(worker.pid)

    setup = WorkerSetup(replace(EXECUTION, checkpoint_every=0.0))
    failed = run_all(todo, 1, setup, kill_the_first)
    assert killed
    assert list(failed) == [0]
    assert "its process died (SIGKILL" in failed[0]
    assert RunFolder(tmp_path / "1").read_result() is not None, "the other run went on"
    done = RunFolder(tmp_path / "0").read_saved_round()
    assert 1 <= done < 60
    assert status_of(tmp_path / "0", Experiment()) == (
        "to do again",
        f"interrupted; resumes after round {done}",
    )

    seen: list[Event] = []
    assert run_all(todo, 1, SETUP, seen.append) == {}
    result = RunFolder(tmp_path / "0").read_result()
    assert result is not None
    assert result.rounds == 60
    assert [line["round"] for line in read_lines(tmp_path / "0" / "rounds.jsonl")] == list(range(1, 61))
    ended = {e.task: e.rounds for e in seen if isinstance(e, Ended)}
    assert ended[0] == 60
    timings = [line["round"] for line in read_lines(tmp_path / "0" / "timings.jsonl")]
    assert timings == list(range(1, 61))


def test_workers_see_the_environment_of_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the first call, in which the process began that they are forked from; the same for plug-ins."""
    source = tmp_path / "skewvariable.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in (1, 2):
        source.write_text(
            "import os\n\n"
            f"def seen(evaluation):\n    return {{'seen': {number}.0 + float(os.environ['SKEW_SEEN'])}}\n"
            + "#"
            * number  # another size: a compiled file of the same second and size would be taken for this one's
        )
        monkeypatch.setenv("SKEW_SEEN", str(number))
        experiment = tiny(evaluation={"metrics": ["skewvariable:seen"]}, seed=number)
        todo = tasks(tmp_path / str(number), experiment)
        assert run_all(todo, 1, WorkerSetup(EXECUTION, ("skewvariable",)), lambda event: None) == {}
        result = todo[0].folder.read_result()
        assert result is not None
        assert result.last.metrics["seen"] == 2 * number


STUDY = """
name = "long"
seeds = [0, 1]
[base]
rounds = 1000000
data = "digits"
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
stopping = "rounds"
training = { epochs = 1, batch_size = 256 }
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="looks for workers below the process they are forked from"
)
def test_workers_die_with_their_parent_and_a_second_process_leaves_their_runs_alone_until_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "long.toml").write_text(STUDY)
    parent = subprocess.Popen(
        [sys.executable, "-m", "fedskew", "study", "long.toml", "--jobs", "2", "--engine", "torch"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        folder = tmp_path / "studies" / "long"
        wait_until(lambda: len(list(folder.glob("runs/*/rounds.jsonl"))) == 2 or parent.poll() is not None)
        assert parent.poll() is None
        study = StudyFolder.read(folder)
        run = study.run_folder(study.planned[0]).path

        class SeenEnoughError(Exception):
            pass

        seen: list[Event] = []

        def see(event: Event) -> None:
            seen.append(event)
            if len(seen) == 3:
                raise SeenEnoughError

        with pytest.raises(SeenEnoughError):
            run_missing(study, study.planned, 1, SETUP, see)
        assert seen == [Held(0), Held(1), Held(0)], (
            "each is looked at again, one that is held first is so first"
        )
        with pytest.raises(HeldError, match=f"another process is working in .*{run.name}"):
            execute(run, study.planned[0].experiment, EXECUTION)
        assert not (run / "failure.json").exists(), "the refusal leaves no mark in the other's folder"

        children = workers(parent.pid)
        assert len(children) == 2
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
    finally:
        parent.kill()
        parent.wait()
    for path in (folder, *folder.glob("runs/*")):
        with locked(path):
            pass
    for path in folder.glob("runs/*/rounds.jsonl"):
        numbers = [line["round"] for line in read_lines(path)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_plug_in_that_has_changed_is_done_again_and_the_old_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "editedrule.py"
    source.write_text("def rule(updates, view):\n    return updates.deltas.mean(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a change within a second would go unnoticed
    experiment = tiny(defence={"aggregator": "editedrule:rule"}, training={"epochs": 3, "batch_size": 32})
    folder = RunFolder.below(tmp_path, "x")
    todo, setup = [Task(folder, completed(experiment))], WorkerSetup(EXECUTION, ("editedrule",))
    assert run_all(todo, 1, setup, lambda event: None) == {}
    first = folder.read_result()
    assert status_of(folder.path, experiment)[0] == "done"
    source.write_text("def rule(updates, view):\n    return updates.deltas.mean(0) * 0\n")
    status, why = status_of(folder.path, experiment)
    assert (status, why) == ("to do again", "editedrule (editedrule.py) changed since the last session")
    assert run_all(todo, 1, setup, lambda event: None) == {}
    second = folder.read_result()
    assert first is not None
    assert second is not None
    assert second.last.metrics["accuracy"] < first.last.metrics["accuracy"]
    assert RunFolder(tmp_path / "runs" / "x~1").read_result() is not None
