"""Runs that differ only in when they stop share their rounds, and nobody can tell from the result."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedskew.components.completed import completed
from fedskew.components.identity import identity
from fedskew.components.permission import allow_plugin
from fedskew.config import Execution, Experiment
from fedskew.config.origin import Origin
from fedskew.files import read_lines
from fedskew.report.evidence import gather
from fedskew.runs.events import Ended, Event, RoundDone, Started
from fedskew.runs.folder import RunFolder
from fedskew.runs.result import RunResult
from fedskew.runs.session import shared_rounds_of
from fedskew.study.agenda import Agenda
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.study.missing import missing_runs, relatives, run_missing, shorter_first
from fedskew.study.pool import run_all
from fedskew.study.source import Source
from fedskew.study.tasks import Task, WorkerSetup
from helpers import execute

allow_plugin("stateful_rules")
EXECUTION = Execution(download=False, engine="torch")
SETUP = WorkerSetup(EXECUTION, ("stateful_rules",))
# Everything that keeps state from round to round is in it.
CONTENT: dict[str, Any] = {
    "seed": 4,
    "rounds": 3,
    "data": "digits",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 6, "fraction": 0.5},
    "split": {"name": "dirichlet", "alpha": 0.3},
    "training": {
        "optimizer": {"name": "adam", "state": "persist"},
        "lr_schedule": {"name": "plateau", "monitor": "train_loss", "patience": 1},
    },
    "defence": {
        "transforms": [{"name": "noise", "std": 0.001}],
        "aggregator": {"name": "stateful_rules:alternating"},
    },
    "stopping": "rounds",
}
SAME = ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json", "config.toml")


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate(CONTENT | changes)


def named(one: Experiment) -> str:
    """The identity of its rounds."""
    return completed(one).rounds_identity


def plateau(patience: int) -> dict[str, Any]:
    return {"name": "plateau", "monitor": "test_loss", "patience": patience, "min_delta": 10.0}


def went_on(result: RunResult) -> int:
    return shared_rounds_of(RunFolder(result.folder).read_sessions())


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relatives") / "short"
    execute(folder, experiment(), EXECUTION)
    return folder


def test_a_longer_run_is_the_same_bytes_as_from_the_beginning(short: Path, tmp_path: Path) -> None:
    longer = experiment(rounds=6)
    alone = execute(tmp_path / "alone", longer, EXECUTION)
    shared = execute(tmp_path / "shared", longer, EXECUTION, relatives=[short])
    for name in SAME:
        assert (alone.folder / name).read_bytes() == (shared.folder / name).read_bytes(), name
    assert (went_on(alone), went_on(shared)) == (0, 3)
    assert [s.shared_from for s in RunFolder(shared.folder).read_sessions()] == [None, "short"]
    assert [line["round"] for line in read_lines(shared.folder / "timings.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert read_lines(short / "rounds.jsonl") == read_lines(shared.folder / "rounds.jsonl")[:3]


@pytest.mark.parametrize(
    ("changes", "rounds", "shared"),
    [
        ({"rounds": 3, "stopping": plateau(5)}, 3, 3),  # its end is the relative's: nothing is left to train
        ({"rounds": 50, "stopping": plateau(2)}, 3, 3),  # its rule stops exactly where the relative did
        ({"rounds": 50, "stopping": plateau(4)}, 5, 3),
        ({"rounds": 2}, 2, 0),  # shorter than the relative, whose earlier weights are gone
        ({"rounds": 50, "stopping": plateau(1)}, 2, 0),  # its rule stops before the relative did
    ],
)
def test_only_a_run_that_does_not_stop_earlier_goes_on(
    short: Path, tmp_path: Path, changes: dict[str, Any], rounds: int, shared: int
) -> None:
    """min_delta = 10: no loss ever improves by so much but the first, so patience p stops after p + 1 rounds."""
    result = execute(tmp_path / "run", experiment(**changes), EXECUTION, relatives=[short])
    assert (result.rounds, went_on(result)) == (rounds, shared)


def test_the_relative_that_has_come_furthest(short: Path, tmp_path: Path) -> None:
    execute(tmp_path / "middle", experiment(rounds=4), EXECUTION)
    result = execute(
        tmp_path / "run",
        experiment(rounds=5),
        EXECUTION,
        relatives=[short, tmp_path / "nowhere", tmp_path / "middle", tmp_path / "run"],
    )
    assert went_on(result) == 4
    assert RunFolder(result.folder).read_sessions()[-1].shared_from == "middle"


def spoil_checkpoint(folder: Path) -> None:
    (folder / "checkpoint.safetensors").write_bytes(b"torn")


def cut_checkpoint(folder: Path) -> None:
    path = folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def spoil_record(folder: Path) -> None:
    (folder / "rounds.jsonl").write_text('{"round": 1}\n')


def spoil_environment(folder: Path) -> None:
    (folder / "environment.json").write_text("{")


def remove_checkpoint(folder: Path) -> None:
    (folder / "checkpoint.safetensors").unlink()


def remove_result(folder: Path) -> None:
    (folder / "result.json").unlink()


def no_environment(folder: Path) -> None:
    (folder / "environment.json").unlink()


def lose_a_record(folder: Path) -> None:
    lines = (folder / "rounds.jsonl").read_text().splitlines(keepends=True)
    (folder / "rounds.jsonl").write_text("".join(lines[:-1]))


def another_processor(folder: Path) -> None:
    content = json.loads((folder / "environment.json").read_text())
    content["sittings"][-1]["processor"] = "Z80"
    (folder / "environment.json").write_text(json.dumps(content))


def another_data_set(folder: Path) -> None:
    content = json.loads((folder / "environment.json").read_text())
    content["sittings"][-1]["data"] = ["other bytes"]
    (folder / "environment.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_checkpoint,
        cut_checkpoint,
        spoil_record,
        spoil_environment,
        remove_checkpoint,
        remove_result,
        no_environment,
        lose_a_record,
        another_processor,
        another_data_set,
    ],
)
def test_a_relative_that_does_not_serve_is_passed_over(short: Path, tmp_path: Path, spoil: Any) -> None:
    shutil.copytree(short, tmp_path / "relative")
    spoil(tmp_path / "relative")
    result = execute(tmp_path / "run", experiment(rounds=4), EXECUTION, relatives=[tmp_path / "relative"])
    assert (result.rounds, went_on(result)) == (4, 0)


def test_a_relative_of_another_engine_is_passed_over(short: Path, tmp_path: Path) -> None:
    stacked = Execution(download=False, engine="stacked")
    assert went_on(execute(tmp_path / "run", experiment(rounds=4), stacked, relatives=[short])) == 0


def test_a_relative_whose_clients_states_were_files_is_passed_over(tmp_path: Path) -> None:
    """The files go when a run is complete, so its checkpoint does not hold everything."""
    execute(tmp_path / "disk", experiment(), Execution(engine="torch", client_state="disk"))
    result = execute(tmp_path / "run", experiment(rounds=4), EXECUTION, relatives=[tmp_path / "disk"])
    assert went_on(result) == 0


@pytest.mark.parametrize(
    ("every", "observers", "shared"), [(2, [], 0), (3, [], 3), (1, [], 3), (1, ["update-norms"], 0)]
)
def test_rounds_in_which_a_last_round_measures_more_are_not_shared(
    tmp_path: Path, every: int, observers: list[str], shared: int
) -> None:
    """A run measures clients' held-out data in its last round too, and tells observers that it is the last."""
    changes = {
        "clients": {"count": 6, "fraction": 0.5, "held_out": 0.2},
        "evaluation": {"every": every, "observers": observers},
    }
    first = execute(tmp_path / "first", experiment(**changes), EXECUTION)
    alone = execute(tmp_path / "alone", experiment(rounds=5, **changes), EXECUTION)
    found = execute(tmp_path / "run", experiment(rounds=5, **changes), EXECUTION, relatives=[first.folder])
    assert went_on(found) == shared
    for name in SAME:
        assert (alone.folder / name).read_bytes() == (found.folder / name).read_bytes(), name


def test_a_run_with_rounds_of_its_own_takes_none(short: Path, tmp_path: Path) -> None:
    class LeftError(Exception):
        pass

    class Leaver:
        def on_round(self, record: Any) -> None:
            if record.round == 2:
                raise LeftError

        def on_end(self, records: Any, reason: str) -> None:
            return None

    with pytest.raises(LeftError):
        execute(tmp_path / "run", experiment(rounds=5), replace(EXECUTION, checkpoint_every=0.0), [Leaver()])
    assert went_on(execute(tmp_path / "run", experiment(rounds=5), EXECUTION, relatives=[short])) == 0


def test_a_kill_while_a_state_is_taken_over(short: Path, tmp_path: Path) -> None:
    """A child dies between the relative's records and its checkpoint; the next start has the same result."""
    folder, longer = tmp_path / "run", experiment(rounds=5)
    if (child := os.fork()) == 0:
        module: Any = importlib.import_module("fedskew.runs.sharing")
        written = module.replace_file

        def replaced(path: Path, content: bytes | str) -> None:
            if path.name == "checkpoint.safetensors":
                os.kill(os.getpid(), 9)
            written(path, content)

        module.replace_file = replaced
        execute(folder, longer, EXECUTION, relatives=[short])
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    assert (folder / "rounds.jsonl").exists()
    assert not (folder / "checkpoint.safetensors").exists()
    shutil.copytree(folder, tmp_path / "alone")
    for name, others in (("run", [short]), ("alone", [])):
        execute(tmp_path / name, longer, EXECUTION, relatives=others)
    for name in SAME:
        assert (folder / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    assert [shared_rounds_of(RunFolder(tmp_path / name).read_sessions()) for name in ("run", "alone")] == [
        3,
        0,
    ]


def test_a_kill_between_the_state_and_the_first_own_round(short: Path, tmp_path: Path) -> None:
    """What was taken over stays known as taken over."""
    folder, longer = tmp_path / "run", experiment(rounds=5)
    if (child := os.fork()) == 0:
        import fedskew.runs.execute as module

        module._resume = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[assignment]
        execute(folder, longer, EXECUTION, relatives=[short])
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    result = execute(folder, longer, EXECUTION)
    assert (result.rounds, went_on(result)) == (5, 3)
    assert [s.from_round for s in RunFolder(folder).read_sessions()] == [0, 3, 3]


def test_what_runs_with_rounds_in_common_have_in_common() -> None:
    base, changes = experiment(), dict[str, Any]()
    for changes in ({"rounds": 9}, {"stopping": plateau(3)}, {"rounds": 9, "stopping": plateau(3)}):
        assert named(experiment(**changes)) == named(base)
        assert identity(experiment(**changes)) != identity(base)
    for changes in ({"seed": 5}, {"model": "lenet"}, {"clients": {"count": 6}}):
        assert named(experiment(**changes)) != named(base)


CLEAN: dict[str, Any] = {"adversaries": {"count": 0}, "attack": {"name": "backdoor", "target": 7}}
OTHERWISE: dict[str, Any] = {
    "adversaries": {"count": 0, "data": "sample", "size": 100, "exclusive": False, "split_over": "all"},
    "attack": {"name": "backdoor", "target": 7, "poison_fraction": 0.25},
}


def test_without_adversaries_it_does_not_matter_what_they_would_do(tmp_path: Path) -> None:
    """A run is done at once where one is there with other adversaries that are none; byte by byte as if trained."""
    one, other = experiment(**CLEAN), experiment(**OTHERWISE)
    first = execute(tmp_path / "first", one, EXECUTION)
    alone = execute(tmp_path / "alone", other, EXECUTION)
    shared = execute(tmp_path / "shared", other, EXECUTION, relatives=[first.folder])
    assert identity(one) != identity(other)
    assert (went_on(alone), went_on(shared)) == (0, 3)
    for name in SAME:
        assert (alone.folder / name).read_bytes() == (shared.folder / name).read_bytes(), name


def test_what_a_trigger_does_and_real_adversaries_matter() -> None:
    def target(number: int) -> dict[str, Any]:
        return CLEAN | {"attack": {"name": "backdoor", "target": number}}

    assert named(experiment(**CLEAN)) == named(experiment(**OTHERWISE))
    assert named(experiment(**target(7))) != named(experiment(**target(8)))
    one, other = ({**c, "adversaries": {**c["adversaries"], "count": 1}} for c in (CLEAN, OTHERWISE))
    assert named(experiment(**one)) != named(experiment(**other))


STUDY: dict[str, Any] = {
    "name": "lengths",
    "seeds": [0],
    "base": {k: v for k, v in CONTENT.items() if k not in ("seed", "rounds")},
    "axes": {"length": {"field": "rounds", "values": [2, 3, 4]}},
}


def test_a_study_does_common_rounds_once(tmp_path: Path) -> None:
    """Two workers and three lengths of one run: each waits for the shorter one and continues from it."""
    record = Study.model_validate(STUDY)
    folder = StudyFolder.open(tmp_path / "s", record, Source({}, Origin("s"), "s"))
    assert run_missing(folder, missing_runs(folder, folder.planned), 2, SETUP) == []
    found = [folder.run_folder(plan).read_sessions() for plan in folder.planned]
    assert [shared_rounds_of(sessions) for sessions in found] == [0, 2, 3]
    notes = gather(folder).notes
    assert [note.rounds for note in notes] == [2, 3, 4]
    for note, skip in zip(notes, (0, 2, 3), strict=True):
        own = [line["total"] for line in read_lines(note.folder.timings)][skip:]
        assert note.seconds == pytest.approx(sum(own)), "a shared round's time counts once"


def test_shorter_runs_come_first_whatever_the_order_of_the_axis(tmp_path: Path) -> None:
    axes = {
        "length": {"field": "rounds", "values": [4, 2, 3]},
        "width": {"field": "clients.count", "values": [6, 7]},
    }
    record = Study.model_validate({**STUDY, "axes": axes})
    planned = StudyFolder.open(tmp_path / "s", record, Source({}, Origin("s"), "s")).planned
    ordered = [(plan.cell["length"], plan.cell["width"]) for plan in shorter_first(planned)]
    assert ordered == [(2, 6), (2, 7), (3, 6), (3, 7), (4, 6), (4, 7)]
    other = Study.model_validate({**STUDY, "axes": {"width": axes["width"]}})
    same = StudyFolder.open(tmp_path / "t", other, Source({}, Origin("t"), "t")).planned
    assert shorter_first(same[::-1]) == same[::-1], "runs with nothing in common keep their places"


def test_a_run_that_was_copied_in_from_another_study_serves(short: Path, tmp_path: Path) -> None:
    record = Study.model_validate({**STUDY, "seeds": [4], "axes": {}, "base": {**STUDY["base"], "rounds": 4}})
    folder = StudyFolder.open(tmp_path / "s", record, Source({}, Origin("s"), "s"))
    shutil.copytree(short, tmp_path / "s" / "runs" / "stranger")
    shutil.copytree(short, tmp_path / "s" / "runs" / "of another version")
    (tmp_path / "s" / "runs" / "of another version" / "config.toml").write_text("unheard_of = 1\n")
    # What was put aside because its inputs had changed is no relative, even if a kill left its environment behind.
    shutil.copytree(short, tmp_path / "s" / "runs" / f"{folder.planned[0].identity}~1")
    assert "~1" not in str(relatives(folder.path, folder.planned))
    assert run_missing(folder, folder.planned, 1, SETUP) == []
    (plan,) = folder.planned
    assert [s.shared_from for s in folder.run_folder(plan).read_sessions()] == [None, "stranger"]


def test_a_task_waits_for_its_relatives_alone(tmp_path: Path) -> None:
    """Tasks 0 and 1 are relatives, 2 is a stranger: while 0 is being done, 2 may start and 1 may not."""
    folders = [RunFolder(tmp_path / str(number)) for number in range(3)]
    lengths, seeds = (3, 5, 3), (4, 4, 9)
    tasks = [
        Task(
            folder,
            completed(experiment(rounds=length, seed=seed)),
            relatives=tuple(folders[:2]) if seed == 4 else (),
        )
        for folder, length, seed in zip(folders, lengths, seeds, strict=True)
    ]
    agenda = Agenda(tasks)
    assert [agenda.take(0.0) for _ in range(3)] == [0, 2, None]
    agenda.see(Ended(0, 3, None), 0.0)
    assert agenda.take(0.0) == 1
    events: list[Event] = []
    assert run_all(tasks, 2, SETUP, events.append) == {}
    first = next(i for i, e in enumerate(events) if isinstance(e, Started) and e.task == 1)
    assert sum(isinstance(e, RoundDone) and e.task == 0 for e in events[:first]) == 3
    assert shared_rounds_of(folders[1].read_sessions()) == 3
