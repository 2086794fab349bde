"""A run that is killed with SIGKILL and resumed is the run that was not: the same bytes, times apart."""

from __future__ import annotations

import importlib
import math
import multiprocessing as mp
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedskew.components.permission import allow_plugin
from fedskew.config import ClientStatePlace, Execution, Experiment
from fedskew.errors import RunError
from fedskew.federation.client_state import FolderStates
from fedskew.files import read_lines
from fedskew.runs.folder import RunFolder
from helpers import execute, status_of

allow_plugin("stateful_rules")
allow_plugin("seam_components")
# Everything that keeps state from round to round is in it: persistent moments, cohorts chosen by loss, stale start
# weights, personal models, an objective with a part at the client and one at the server, an attack that remembers and
# acts in every second round, noise, a server optimiser, a stopping rule and a learning rate that look at the history,
# and an aggregator whose state's names change from round to round and share memory.
EXPERIMENT = Experiment.model_validate(
    {
        "rounds": 12,
        "seed": 4,
        "data": {"name": "digits", "validation": 100},
        "clients": {
            "count": 8,
            "fraction": 0.75,
            "selection": {"name": "power-of-choice", "candidates": 7},
            "start": {"name": "stale", "delay": 2},
            "held_out": 0.1,
            "personal": {"name": "ditto", "strength": 0.5},
        },
        "split": {"name": "dirichlet", "alpha": 0.3},
        "adversaries": {"count": 2, "data": "sample", "fraction": 0.1, "every": 2},
        "attack": {"name": "free-rider", "noise": 0.5},
        "model": "small-cnn",
        "training": {
            "batch_size": 16,
            "optimizer": {"name": "adam", "state": "persist"},
            "lr_schedule": {"name": "plateau", "patience": 2},
            "objective": "seam_components:counting_objective",
        },
        "server": {"step": {"name": "momentum", "beta": 0.3}},
        "evaluation": {"every": 3, "observers": ["update-norms"]},
        "defence": {
            "transforms": [{"name": "clip", "norm": 1.0}, {"name": "noise", "std": 0.001}],
            "aggregator": {"name": "stateful_rules:alternating"},
            "learning_rate": {"name": "rlr", "theta": 2},
        },
        "stopping": {"name": "plateau", "monitor": "validation_loss", "patience": 10},
    }
)
IDENTICAL = ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json", "config.toml")

# Children come from a server that has imported everything, so that a kill hits the run and not the imports.
CONTEXT = mp.get_context("forkserver")
CONTEXT.set_forkserver_preload(["fedskew.runs.execute", "fedskew.datasets.digits", "sklearn.datasets"])


PLACES: tuple[ClientStatePlace, ...] = ("memory", "disk")


def work(folder: Path, execution: Execution, prepare: Callable[[], None] | None = None) -> None:
    if prepare is not None:
        prepare()
    execute(folder, EXPERIMENT, execution)


def start(
    folder: Path,
    prepare: Callable[[], None] | None = None,
    place: ClientStatePlace = "memory",
    every: float = 0.0,
) -> Any:
    """A run in a process of its own, with a checkpoint after every round unless told otherwise."""
    execution = Execution(client_state=place, checkpoint_every=every)
    process = CONTEXT.Process(target=work, args=(folder, execution, prepare))
    process.start()
    return process


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in IDENTICAL}


def whole(folder: Path, place: ClientStatePlace) -> tuple[Path, float]:
    begun = time.monotonic()
    process = start(folder, place=place)
    process.join()
    assert process.exitcode == 0
    return folder, time.monotonic() - begun


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    return whole(tmp_path_factory.mktemp("whole") / "run", "memory")


@pytest.fixture(scope="module")
def uninterrupted_on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    return whole(tmp_path_factory.mktemp("whole") / "run", "disk")


def test_client_states_on_disk_change_the_checkpoint_alone(
    uninterrupted: tuple[Path, float], uninterrupted_on_disk: tuple[Path, float]
) -> None:
    in_memory, on_disk = contents(uninterrupted[0]), contents(uninterrupted_on_disk[0])
    assert {name for name in IDENTICAL if in_memory[name] != on_disk[name]} == {"checkpoint.safetensors"}


@pytest.mark.parametrize("place", ["disk", pytest.param("memory", marks=pytest.mark.slow)])
def test_ten_kills_at_random_moments(
    request: pytest.FixtureRequest, tmp_path: Path, place: ClientStatePlace
) -> None:
    whole, seconds = request.getfixturevalue("uninterrupted" + "_on_disk" * (place == "disk"))
    folder, rng, kills, rounds_at_kill = tmp_path / "run", random.Random(20), 0, []
    while kills < 10:
        before = len(read_lines(folder / "rounds.jsonl"))
        process = start(folder, place=place)
        # The moment: some rounds from now, and then anywhere within a round (or in the start-up before the first).
        wanted = before + rng.choice([0, 1, 1, 2])
        while process.is_alive() and len(read_lines(folder / "rounds.jsonl")) < wanted:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, seconds / EXPERIMENT.rounds))
        process.kill()  # SIGKILL; nothing happens if it has come to its end
        process.join()
        if process.exitcode == 0:  # it was through before the kill: the next kills hit a run begun anew
            assert contents(folder) == contents(whole)
            folder = tmp_path / f"run{kills}"
            continue
        kills += 1
        after = len(read_lines(folder / "rounds.jsonl"))
        assert after >= before - 1, "a kill lost more than the round at work"
        assert RunFolder(folder).read_saved_round() in (after - 1, after)
        rounds_at_kill.append(after)
    final = start(folder, place=place)
    final.join()
    assert final.exitcode == 0
    assert contents(folder) == contents(whole)
    assert len(set(rounds_at_kill)) > 3, rounds_at_kill


@pytest.mark.parametrize("every", [0.05, 1000.0])
@pytest.mark.parametrize("place", PLACES)
def test_kills_between_checkpoints_that_come_by_time(
    request: pytest.FixtureRequest, tmp_path: Path, place: ClientStatePlace, every: float
) -> None:
    whole, seconds = request.getfixturevalue("uninterrupted" + "_on_disk" * (place == "disk"))
    folder, rng, saved = tmp_path / "run", random.Random(every), 0
    for _ in range(6):
        process = start(folder, place=place, every=every)
        time.sleep(rng.uniform(0, 0.8 * seconds))
        process.kill()
        process.join()
        before, saved = saved, RunFolder(folder).read_saved_round()
        assert before <= saved <= len(read_lines(folder / "rounds.jsonl")), "a checkpoint without its records"
        if process.exitcode == 0:
            break
        assert not saved or every < 1000
    final = start(folder, place=place, every=every)
    final.join()
    assert final.exitcode == 0
    assert contents(folder) == contents(whole)
    assert [line["round"] for line in read_lines(folder / "timings.jsonl")] == list(
        range(1, len(read_lines(folder / "rounds.jsonl")) + 1)
    )


def kill_rounds_after_the_checkpoint() -> None:
    """Saves the state after the third round alone and dies when the eighth record is written."""
    from fedskew.runs.log import RunLog

    add = RunLog.add

    def added(self: RunLog, record: Any) -> None:
        self._every = 0.0 if record.round == 3 else math.inf
        add(self, record)
        if record.round == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    RunLog.add = added  # type: ignore[method-assign]


@pytest.mark.parametrize("place", PLACES)
def test_records_after_the_checkpoint_are_computed_again(
    request: pytest.FixtureRequest, tmp_path: Path, place: ClientStatePlace
) -> None:
    whole, _ = request.getfixturevalue("uninterrupted" + "_on_disk" * (place == "disk"))
    folder = tmp_path / "run"
    start(folder, kill_rounds_after_the_checkpoint, place).join()
    assert (folder / "rounds.jsonl").read_bytes() in (whole / "rounds.jsonl").read_bytes()
    assert len(read_lines(folder / "rounds.jsonl")) == 8, "no record that was written is lost by a kill"
    assert status_of(folder, EXPERIMENT) == ("to do again", "interrupted; resumes after round 3")
    again = start(folder, place=place, every=math.inf)
    again.join()
    assert again.exitcode == 0
    assert contents(folder) == contents(whole)
    assert [session.from_round for session in RunFolder(folder).read_sessions()] == [0, 3]


def kill_before_checkpoint() -> None:
    """Dies when the third record is written and its checkpoint is not."""
    log: Any = importlib.import_module("fedskew.runs.log")
    save, calls = log.save_checkpoint, [0]

    def saved(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        save(*arguments)

    log.save_checkpoint = saved


def kill_in_checkpoint() -> None:
    """Dies when the checkpoint's new content is half written."""
    checkpoint: Any = importlib.import_module("fedskew.runs.checkpoint")
    replace, calls = checkpoint.replace_file, [0]

    def replaced(path: Path, content: bytes) -> None:
        calls[0] += 1
        if calls[0] == 3:
            path.with_name(".0123456789abcdef.part").write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        replace(path, content)

    checkpoint.replace_file = replaced


def kill_in_record() -> None:
    """Dies when half of the fourth record is on disk."""
    from fedskew.files import LineFile, to_json

    append, calls = LineFile.append, [0]

    def appended(self: LineFile, value: Any) -> bytes:
        if "metrics" in value:
            calls[0] += 1
            if calls[0] == 4:
                self._file.write(to_json(value)[:100].encode())
                self._file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        return append(self, value)

    LineFile.append = appended  # type: ignore[method-assign]


def kill_before_result() -> None:
    """Dies when all rounds are done and the result is not written."""
    runs: Any = importlib.import_module("fedskew.runs.execute")

    def never(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    runs.save_weights = never


@pytest.mark.parametrize(
    "prepare", [kill_before_checkpoint, kill_in_checkpoint, kill_in_record, kill_before_result]
)
def test_a_kill_at_the_worst_moment(
    uninterrupted: tuple[Path, float], tmp_path: Path, prepare: Callable[[], None]
) -> None:
    folder = tmp_path / "run"
    process = start(folder, prepare)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = start(folder)
    again.join()
    assert again.exitcode == 0
    assert contents(folder) == contents(uninterrupted[0])


# --- client states on disk --------------------------------------------------------------------------


def kill_within_client_files() -> None:
    """Dies when in the fourth round two clients' files are written and half of a third."""
    import fedskew.federation.client_state as client_state

    write, written = client_state.FolderStates._write, [0]
    client_state.WRITERS = 1

    def torn(self: FolderStates, client: int, round_number: int, state: Any) -> int:
        checksum = write(self, client, round_number, state)
        written[0] += round_number == 4
        if written[0] == 3:
            path = self._path(client, round_number)
            path.write_bytes(path.read_bytes()[:-1000])
            os.kill(os.getpid(), signal.SIGKILL)
        return checksum

    client_state.FolderStates._write = torn  # type: ignore[method-assign]


def kill_behind_client_files() -> None:
    """Dies when the first round's files are on disk, before its record and before there is any checkpoint."""
    keep = FolderStates.keep

    def kept(self: FolderStates, *arguments: Any, **named: Any) -> None:
        keep(self, *arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    FolderStates.keep = kept  # type: ignore[method-assign]


def kill_before_clean_up() -> None:
    """Dies when the fifth checkpoint is in place and the files that only the fourth needed are still there."""
    settle, calls = FolderStates.settle, [0]

    def settled(self: FolderStates) -> None:
        calls[0] += 1
        if calls[0] == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        settle(self)

    FolderStates.settle = settled  # type: ignore[method-assign]


def kill_within_clean_up() -> None:
    """Dies when two of the files that the third checkpoint no longer needs are removed."""
    unlink, calls = Path.unlink, [0]

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok=missing_ok)
        calls[0] += self.parent.name == "clients"
        if calls[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    Path.unlink = unlinked  # type: ignore[method-assign]


def kill_within_discarding() -> None:
    """Dies when the result is there and half of the files that a complete run does not need are removed."""
    import fedskew.runs.execute as runs

    def discard(folder: RunFolder) -> None:
        if folder.result.exists():
            for path in sorted(folder.client_states.iterdir())[:3]:
                path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    runs._discard_client_states = discard


ON_DISK = [
    kill_before_checkpoint,
    kill_in_checkpoint,
    kill_within_client_files,
    kill_behind_client_files,
    kill_before_clean_up,
    kill_within_clean_up,
    kill_within_discarding,
]


@pytest.mark.parametrize("prepare", ON_DISK)
def test_a_kill_at_the_worst_moment_for_files_of_clients(
    uninterrupted_on_disk: tuple[Path, float], tmp_path: Path, prepare: Callable[[], None]
) -> None:
    folder = tmp_path / "run"
    process = start(folder, prepare, "disk")
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert any((folder / "clients").iterdir())
    again = start(folder, place="disk")
    again.join()
    assert again.exitcode == 0
    assert contents(folder) == contents(uninterrupted_on_disk[0])
    assert not (folder / "clients").exists()


@pytest.mark.parametrize("prepare", [kill_before_checkpoint, kill_before_clean_up])
def test_a_run_goes_on_the_same_with_its_states_in_another_place(
    uninterrupted: tuple[Path, float],
    uninterrupted_on_disk: tuple[Path, float],
    tmp_path: Path,
    prepare: Callable[[], None],
) -> None:
    folder = tmp_path / "run"
    start(folder, prepare, "disk").join()
    moved = start(folder, kill_before_result, "memory")
    moved.join()
    assert moved.exitcode == -signal.SIGKILL
    assert not (folder / "clients").exists()
    last = start(folder, place="disk")
    last.join()
    assert last.exitcode == 0
    assert contents(folder) == contents(uninterrupted[0]), (
        "no round was left, so the checkpoint is the one from memory"
    )

    # And the other way round, from a checkpoint in the form that had no files.
    folder = tmp_path / "other"
    start(folder, kill_before_checkpoint, "memory").join()
    assert (folder / "checkpoint.safetensors").exists()
    last = start(folder, place="disk")
    last.join()
    assert contents(folder) == contents(uninterrupted_on_disk[0])


def test_a_missing_file_of_a_client_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start(folder, kill_before_checkpoint, "disk").join()
    for path in (folder / "clients").glob("*-2.safetensors"):
        path.unlink()
    with pytest.raises(RunError, match=r"-2\.safetensors is missing"):
        execute(folder, EXPERIMENT, Execution(client_state="disk"))


def test_a_second_process_is_refused_and_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    while not (folder / "rounds.jsonl").exists():
        time.sleep(0.01)
    with pytest.raises(RunError, match="another process is working"):
        execute(folder, EXPERIMENT, Execution())
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert execute(folder, EXPERIMENT, Execution()).rounds >= 10


def test_another_config_is_refused_with_the_difference(uninterrupted: tuple[Path, float]) -> None:
    folder, _ = uninterrupted
    before = contents(folder)
    other = EXPERIMENT.model_copy(update={"seed": 5})
    with pytest.raises(RunError, match="seed: stored 4, given 5"):
        execute(folder, other, Execution())
    assert contents(folder) == before


def test_a_complete_run_is_read_not_repeated(uninterrupted: tuple[Path, float]) -> None:
    folder, _ = uninterrupted
    stamp = (folder / "environment.json").stat().st_mtime_ns
    assert execute(folder, EXPERIMENT, Execution()) == RunFolder(folder).read_result()
    assert (folder / "environment.json").stat().st_mtime_ns == stamp


def test_a_run_is_not_continued_on_another_engine(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, kill_before_checkpoint)
    process.join()
    with pytest.raises(RunError, match="its engine was 'native' and is now 'torch'"):
        execute(folder, EXPERIMENT, Execution(engine="torch"))


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start(folder, kill_before_checkpoint).join()
    (folder / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged"):
        execute(folder, EXPERIMENT, Execution())


def test_a_kill_while_a_changed_run_is_put_aside_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedskew.runs import execute as runs

    for name in ("config.toml", "checkpoint.safetensors", "environment.json", "rounds.jsonl", ".lock"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).touch()
    moved: list[str] = []
    monkeypatch.setattr(Path, "rename", lambda self, target: moved.append(self.name))
    runs._put_aside(RunFolder(tmp_path / "run"), ["rule"])
    assert moved[-2:] == ["config.toml", "environment.json"], "records without a config are nobody's"
    assert sorted(moved) == ["checkpoint.safetensors", "config.toml", "environment.json", "rounds.jsonl"]
