"""Several processes on one study's folder, one of them killed: no run is done twice, and the bytes are those of one."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from fedskew.errors import ConfigError
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import BRIEF, locked
from fedskew.study.folder import StudyFolder
from fedskew.study.reuse import find_reused
from fedskew.study.shard import Shard
from fedskew.wording import count
from study_helpers import STUDY, begin, bytes_of, end, wait_until

ONE = ("--jobs", "1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mine.toml").write_text(STUDY)
    end(begin(folder, "one", *ONE))
    return folder


@pytest.mark.slow
def test_two_at_once_do_each_run_once(alone: Path) -> None:
    first, second = begin(alone, "two", *ONE), begin(alone, "two", *ONE)
    (out, err), (other_out, other_err) = end(first), end(second)
    assert out == other_out, "both wait until everything is done, and print its table"
    assert bytes_of(alone / "two") == bytes_of(alone / "one")
    started = [line for line in (err + other_err).splitlines() if line.endswith(": started")]
    assert len(started) == len(set(started)) == 4
    for run in RunFolder.all_below(alone / "two"):
        assert len(run.read_sessions()) == 1


@pytest.mark.slow
def test_one_of_two_is_killed_in_the_middle_of_a_run(alone: Path) -> None:
    killed = begin(alone, "killed", *ONE, "--checkpoint-every", "0", start_new_session=True)
    try:
        wait_until(lambda: list((alone / "killed").glob("runs/*/checkpoint.safetensors")))
        os.killpg(killed.pid, signal.SIGSTOP)  # it holds its run
        (run,) = RunFolder.all_below(alone / "killed")
        assert not run.result.exists()
        other = begin(alone, "killed", *ONE)
        wait_until(lambda: len(RunFolder.all_below(alone / "killed")) > 1)
        with locked(alone / "killed", BRIEF):
            pass  # the study's own lock is held for a moment only
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    _, err = end(other)
    assert "runs that another process is doing are left to it" in err
    assert len(run.read_sessions()) == 2, "it was resumed"
    assert bytes_of(alone / "killed") == bytes_of(alone / "one")


def test_a_part_is_done_alone(alone: Path) -> None:
    _, err = end(begin(alone, "part", *ONE, "--shard", "1/3"))
    planned = StudyFolder.read(alone / "part").planned
    assert [run.name for run in RunFolder.all_below(alone / "part")] == sorted(
        plan.identity for plan in Shard(1, 3).part_of(planned)
    )
    assert err.count(": started") == 2
    assert bytes_of(alone / "part").items() <= bytes_of(alone / "one").items()


def test_what_another_study_has_is_copied(alone: Path) -> None:
    """Not what only seems to be there: another config, missing records, other weights."""
    shutil.copytree(alone / "one", alone / "other")
    there = RunFolder.all_below(alone / "other")
    swapped = there[0].config.read_bytes()
    there[0].config.write_bytes(there[1].config.read_bytes())
    there[2].rounds.write_bytes(b"".join(there[2].rounds.read_bytes().splitlines(True)[:-1]))
    weights = bytearray(there[3].weights.read_bytes())
    weights[-1] ^= 1
    there[3].weights.write_bytes(weights)
    _, err = end(begin(alone, "new", *ONE, "--reuse", "other"))
    assert f"note: {count(len(there) - 3, 'complete run')} copied from other" in err
    assert err.count(": started") == 3
    assert bytes_of(alone / "new") == bytes_of(alone / "one")
    assert swapped == RunFolder.all_below(alone / "new")[0].config.read_bytes()
    assert {path.name for path in (alone / "new" / "runs").iterdir()} == {run.name for run in there}


def test_a_folder_without_a_study_is_not_reused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no study; expected a study's folder or its name"):
        find_reused([str(tmp_path)])
