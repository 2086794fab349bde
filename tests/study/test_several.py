"""Several processes on one study's folder, one of them killed: no run is done twice, and the bytes are those of one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedskew.errors import ConfigError
from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import BRIEF, locked
from fedskew.study.folder import StudyFolder
from fedskew.study.reuse import find_reused
from fedskew.study.shard import Shard

STUDY = """
name = "mine"
seeds = [0, 1]
[base]
rounds = 80
data = "digits"
split = "dirichlet"
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
stopping = "rounds"
training = { epochs = 1, batch_size = 128 }
[axes.alpha]
field = "split.alpha"
values = [1.0, 0.3]
"""
SAME = ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json", "config.toml")
SAME += ("clients.json",)


def begin(folder: Path, out: str, *options: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fedskew", "study", "mine.toml", "--out", out, "--jobs", "1"]
    return subprocess.Popen(
        [*command, "--engine", "torch", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out, err


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def bytes_of(study: Path) -> dict[str, bytes]:
    """All that must be the same, by its path in the study's folder."""
    files = [run.path / name for run in RunFolder.all_below(study) for name in SAME]
    return {str(file.relative_to(study)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mine.toml").write_text(STUDY)
    end(begin(folder, "one"))
    return folder


def test_two_at_once_do_each_run_once(alone: Path) -> None:
    first, second = begin(alone, "two"), begin(alone, "two")
    (out, err), (other_out, other_err) = end(first), end(second)
    assert out == other_out, "both wait until everything is done, and print its table"
    assert bytes_of(alone / "two") == bytes_of(alone / "one")
    started = [line for line in (err + other_err).splitlines() if line.endswith(": started")]
    assert len(started) == len(set(started)) == 4
    for run in RunFolder.all_below(alone / "two"):
        assert len(run.read_sessions()) == 1


def test_one_of_two_is_killed_in_the_middle_of_a_run(alone: Path) -> None:
    killed = begin(alone, "killed", "--checkpoint-every", "0", start_new_session=True)
    try:
        wait_until(lambda: list((alone / "killed").glob("runs/*/checkpoint.safetensors")))
        os.killpg(killed.pid, signal.SIGSTOP)  # it holds its run
        (run,) = RunFolder.all_below(alone / "killed")
        assert not run.result.exists()
        other = begin(alone, "killed")
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
    _, err = end(begin(alone, "part", "--shard", "1/3"))
    planned = StudyFolder.read(alone / "part").planned
    assert [run.name for run in RunFolder.all_below(alone / "part")] == sorted(
        plan.identity for plan in Shard(1, 3).part_of(planned)
    )
    assert err.count(": started") == 2
    assert bytes_of(alone / "part").items() <= bytes_of(alone / "one").items()


def test_what_another_study_has_is_copied(alone: Path) -> None:
    """Not what only seems to be there: another config, damaged or missing records."""
    shutil.copytree(alone / "one", alone / "other")
    there = RunFolder.all_below(alone / "other")
    swapped = there[0].config.read_bytes()
    there[0].config.write_bytes(there[1].config.read_bytes())
    there[2].rounds.write_bytes(b"".join(there[2].rounds.read_bytes().splitlines(True)[:-1]))
    _, err = end(begin(alone, "new", "--reuse", "other"))
    assert "note: 2 complete runs copied from other" in err
    assert err.count(": started") == 2
    assert bytes_of(alone / "new") == bytes_of(alone / "one")
    assert swapped == RunFolder.all_below(alone / "new")[0].config.read_bytes()
    assert {path.name for path in (alone / "new" / "runs").iterdir()} == {run.name for run in there}


def test_a_folder_without_a_study_is_not_reused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no study; expected a study's folder or its name"):
        find_reused([str(tmp_path)])
