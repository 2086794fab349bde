"""Studies and runs from Python: in a plain script without a guard, resumed, refused, and continued from elsewhere."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fedskew
from fedskew.cli.study import study
from fedskew.components import permission
from fedskew.errors import ConfigError, RunError
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import shared_rounds_of

BASE: dict[str, Any] = {
    "rounds": 2,
    "data": "digits",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 4},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "training": {"epochs": 1, "batch_size": 256},
    "stopping": "rounds",
}
STUDY: dict[str, Any] = {
    "name": "little",
    "base": BASE,
    "axes": {"alpha": {"field": "split.alpha", "values": [5.0, 0.5]}},
}
SAME = ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors", "result.json", "config.toml")
QUIET: dict[str, Any] = {"quiet": True, "offline": True}


def same_run(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in SAME)


def fedskew_says(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedskew", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def content(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder but locks, which are made where somebody looks."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


SCRIPT = """
import fedskew

print("the script begins")
study = fedskew.Study(name="little", base={base}, axes={{"alpha": {{"field": "split.alpha", "values": [5.0, 0.5]}}}})
results = fedskew.run_study(study, jobs=2, offline=True)
print(*results.runs["status"])
"""


def test_a_script_without_a_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(base=BASE))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["the script begins", "done done"], done.stderr
    assert "[2/2]" in done.stderr
    assert (tmp_path / "studies" / "little" / "study.toml").exists()


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> fedskew.Results:
    """A study that is done."""
    place = tmp_path_factory.mktemp("script") / "little"
    return fedskew.run_study(fedskew.Study.model_validate(STUDY), place, jobs=1, **QUIET)


def test_the_same_call_again_does_nothing(little: fedskew.Results) -> None:
    before = content(little.path)
    again = fedskew.run_study(STUDY, little.path, jobs=1, **QUIET)
    assert again.runs.equals(little.runs)
    from_folder = fedskew.run_study(str(little.path), jobs=1, **QUIET)
    assert from_folder.path == little.path
    assert content(little.path) == before


def test_it_has_every_option_of_the_command_that_is_about_doing_runs() -> None:
    typed = {*inspect.signature(study).parameters}
    written = {
        "config",
        "overrides",
        "plugins",
        "best",
        "as_json",
    }  # as Python says them, or about what is printed
    assert typed - written == {*inspect.signature(fedskew.run_study).parameters} - {"study"}


def test_a_part_and_what_another_study_has(little: fedskew.Results, tmp_path: Path) -> None:
    part = fedskew.run_study(STUDY, tmp_path / "part", jobs=1, shard="1/2", reuse=[little.path], **QUIET)
    assert part.runs["status"].tolist() == ["done", "to do"]
    run = str(part.runs["run"][0])
    there, here = (place / "runs" / run / "environment.json" for place in (little.path, part.path))
    assert here.read_bytes() == there.read_bytes(), "it was copied, with the times of its session"
    with pytest.raises(ConfigError, match="--gpu-share is for runs on the GPUs of a cluster"):
        fedskew.run_study(STUDY, tmp_path / "part", gpu_share=0.5, **QUIET)


def test_a_run_in_this_process_is_that_of_a_worker(little: fedskew.Results, tmp_path: Path) -> None:
    experiment = fedskew.Experiment.model_validate({**BASE, "split": {"name": "dirichlet", "alpha": 5.0}})
    results = fedskew.run(experiment, tmp_path / "run", **QUIET)
    assert results.runs["run"].tolist() == little.runs["run"].tolist()[:1]
    assert same_run(tmp_path / "run", little.path / "runs" / results.runs["run"][0])
    again = fedskew.run({**BASE, "split": {"name": "dirichlet", "alpha": 5.0}}, tmp_path / "run", **QUIET)
    assert again.runs.equals(results.runs)


def test_a_run_that_fails_is_there_with_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_rule.py").write_text("def broken(updates, view):\n    raise RuntimeError('no')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    study = {**STUDY, "axes": {}, "base": {**BASE, "defence": {"aggregator": "broken_rule:broken"}}}
    with permission.allowing(["broken_rule"]), pytest.warns(RuntimeWarning, match="1 of 1 run failed"):
        results = fedskew.run_study(study, tmp_path / "s", jobs=1, **QUIET)
    assert results.runs["status"].tolist() == ["failed"]
    assert "RuntimeError: no" in results.runs["why"][0]


def rule(updates: Any, view: Any) -> Any:
    return updates.deltas.mean(dim=0)


def test_what_cannot_be_named_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = {**BASE, "defence": {"aggregator": rule}}
    with pytest.raises(ConfigError, match="the study has the function 'rule' in it") as caught:
        fedskew.run_study({**STUDY, "base": base}, tmp_path / "s", **QUIET)
    assert caught.value.hint == f"write '{__name__}:rule', after fedskew.allow_plugin('{__name__}')"
    monkeypatch.setattr(rule, "__module__", "__main__")
    with pytest.raises(
        ConfigError, match=r"defence\.aggregator: the aggregator 'rule' is defined in this script"
    ):
        fedskew.run(base, tmp_path / "r", **QUIET)
    assert list(tmp_path.iterdir()) == []


# --- continued from elsewhere -----------------------------------------------------------------------


def shared(folder: Path) -> int:
    return shared_rounds_of(RunFolder(folder).read_sessions())


def test_a_finished_run_is_extended_to_the_same_bytes(tmp_path: Path) -> None:
    first = fedskew.run(BASE, tmp_path / "first", **QUIET).path
    before = content(first)
    longer = {**BASE, "rounds": 5}
    alone = fedskew.run(longer, tmp_path / "alone", **QUIET).path
    further = fedskew.run(longer, tmp_path / "further", extend=first, **QUIET).path
    assert same_run(alone, further)
    assert (shared(alone), shared(further)) == (0, 2)
    assert content(first) == before
    said = fedskew_says(
        "run",
        first / "config.toml",
        "--set",
        "rounds=5",
        "--extend",
        first,
        "--out",
        tmp_path / "said",
        "--offline",
    )
    assert said.returncode == 0, said.stderr
    assert "its first 2 rounds are those of first" in said.stdout
    assert same_run(alone, tmp_path / "said")
    assert content(first) == before


def test_a_study_is_extended_to_the_same_bytes(little: fedskew.Results, tmp_path: Path) -> None:
    """Longer runs continue, a run that both have is not done again, and one that only this has is done."""
    before = content(little.path)
    axes = {
        "alpha": {"field": "split.alpha", "values": [5.0, 0.1]},
        "length": {"field": "rounds", "values": [2, 3]},
    }
    study = {**STUDY, "name": "longer", "axes": axes}
    alone = fedskew.run_study(study, tmp_path / "alone", jobs=1, **QUIET)
    further = fedskew.run_study(study, tmp_path / "further", jobs=1, extend=little.path, **QUIET)
    runs = further.runs["run"].tolist()
    assert all(same_run(alone.path / "runs" / run, further.path / "runs" / run) for run in runs)
    cells = further.runs[["alpha", "length"]].to_numpy().tolist()
    took = dict(zip(map(tuple, cells), [shared(further.path / "runs" / run) for run in runs], strict=True))
    assert (took[5.0, 2], took[5.0, 3], took[0.1, 2]) == (2, 2, 0)
    assert content(little.path) == before


def test_the_command_says_how_many_were_continued(little: fedskew.Results, tmp_path: Path) -> None:
    said = fedskew_says(
        "study", little.path / "study.toml", "--set", "rounds=3", "--jobs", "1", "--offline",
        "--extend", little.path, "--out", tmp_path / "s",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "note: 2 of 2 runs continued from a run elsewhere" in said.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 7}, "no run in .* has the rounds of this one\n  seed: stored 0, given 7"),
        ({"rounds": 1}, "it has 2 rounds, and this run ends after 1"),
    ],
)
def test_a_run_that_cannot_be_extended_says_why(
    little: fedskew.Results, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    first = little.path / "runs" / little.runs["run"][0]
    longer = {**BASE, "split": {"name": "dirichlet", "alpha": 5.0}, "rounds": 3, **changes}
    with pytest.raises((ConfigError, RunError), match=words):
        fedskew.run(longer, tmp_path / "run", extend=first, **QUIET)


def test_a_place_without_runs_to_extend(little: fedskew.Results, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no complete run to continue from"):
        fedskew.run(BASE, tmp_path / "run", extend=tmp_path, **QUIET)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").write_text("rounds = 2\n")
    with pytest.raises(ConfigError, match="is not complete"):
        fedskew.run(BASE, tmp_path / "run", extend=tmp_path / "begun", **QUIET)
    with pytest.raises(ConfigError, match="has the rounds of one of the 2 missing runs"):
        fedskew.run_study({**STUDY, "seeds": [9]}, tmp_path / "s", extend=little.path, **QUIET)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": "pytorch"}, "unknown engine 'pytorch'; valid: auto, graph, native, stacked, torch"),
        ({"client_state": "ram"}, "unknown client_state 'ram'"),
        ({"checkpoint_every": -1.0}, "checkpoint_every = -1.0: expected at least 0"),
        ({"checkpoint_every": float("nan")}, "checkpoint_every = nan"),
    ],
)
def test_how_a_run_is_done_is_checked_from_python_too(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    for do, what in ((fedskew.run, BASE), (fedskew.run_study, STUDY)):
        with pytest.raises(ConfigError, match=re.escape(words)):
            do(what, tmp_path / "it", **given, **QUIET)
    with pytest.raises(ConfigError, match="jobs = 0: expected at least 1"):
        fedskew.run_study(STUDY, tmp_path / "it", jobs=0, **QUIET)
    with pytest.raises(ConfigError, match="workers = 0: expected at least 1"):
        fedskew.run(BASE, tmp_path / "it", threads=0, **QUIET)


def test_one_of_what_may_be_several_needs_no_list(tmp_path: Path) -> None:
    results = fedskew.run_study(STUDY, tmp_path / "one", only="alpha=0.5", **QUIET)
    assert results.runs["status"].tolist() == ["to do", "done"]
    again = fedskew.run_study(STUDY, tmp_path / "two", only="alpha=0.5", reuse=tmp_path / "one", **QUIET)
    assert again.runs["status"].tolist() == ["to do", "done"]
    with pytest.raises(ConfigError, match="unknown callback 'nothing'"):
        fedskew.run_study(STUDY, tmp_path / "one", trackers="nothing", **QUIET)
