"""Studies and runs whose results are of an earlier version: found and read as before, never added to, never resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedskew.analysis.distrust.reasons import Finished
from fedskew.components.completed import Completed, completed
from fedskew.components.identity import OLDEST, VERSION
from fedskew.config import Execution, Experiment
from fedskew.config.toml_io import read_toml, write_toml
from fedskew.errors import ConfigError, RunError
from fedskew.protocols import RoundRecord
from fedskew.report.evidence import gather
from fedskew.report.page.render import _study_file
from fedskew.report.tables.study import study_tables
from fedskew.runs.execute import execute
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder, as_begun_in
from fedskew.study.grid import Study, planned_runs
from fedskew.study.missing import missing_runs, relatives, run_missing
from fedskew.study.source import Source, as_begun, as_study, find_config
from fedskew.study.tasks import WorkerSetup
from helpers import as_without_checksums

EXPERIMENT = """\
rounds = 2
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
training = { epochs = 1, batch_size = 256 }
"""
STUDY = f"""\
name = "old"

[base]
{EXPERIMENT}
[axes.rounds_of]
field = "rounds"
values = [1, 2]
"""
THEN = ["ccea6050a4f5", "028f6ebd24c5"]
"""The names of the study's runs in version 1."""

TORCH = Execution(engine="torch")


def source(folder: Path, text: str = STUDY, *overrides: str) -> Source:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return find_config(str(path), overrides)


class BreakOff:
    """Ends a run after its first round, as somebody who presses a key does."""

    def on_round(self, record: RoundRecord) -> None:
        raise BrokenPipeError

    def on_end(self, records: object, reason: str) -> None: ...


def done_then(folder: Path, run: Completed, broken_off: bool = False) -> RunFolder:
    """A run as version 1 left it: its sessions say so. Its numbers are made here, nothing looks at their digits."""
    kept = RunFolder(folder)
    present = replace(run, version=VERSION)
    if broken_off:
        with pytest.raises(BrokenPipeError):
            execute(kept, present, TORCH, [BreakOff()])
    else:
        execute(kept, present, TORCH)
        as_without_checksums(folder)
    kept.write_sessions([replace(session, identity_version=1) for session in kept.read_sessions()])
    return kept


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study's folder as it was written before a study said which version its results have; all runs are done."""
    folder = tmp_path / "studies" / "old"
    folder.mkdir(parents=True)
    record = as_study(source(folder.parent, STUDY, "results=1"))
    plain = record.model_dump(mode="json", exclude={"results"}, exclude_none=True)
    (folder / "study.toml").write_text(write_toml(plain))
    for plan in planned_runs(record):
        done_then(folder / "runs" / plan.identity, plan.completed)
    return folder


def fedskew(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FEDSKEW_DATA": str(place / "data"), "XDG_CACHE_HOME": str(place / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "fedskew", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


# --- studies ----------------------------------------------------------------------------------------


def test_a_new_study_has_the_present_version_and_says_so(tmp_path: Path) -> None:
    found = source(tmp_path)
    opened = StudyFolder.open(tmp_path / "new", as_study(found), found)
    assert read_toml(tmp_path / "new" / "study.toml")["results"] == VERSION
    assert not {plan.identity for plan in opened.planned} & set(THEN)
    assert StudyFolder.read(tmp_path / "new").planned == opened.planned


def test_an_earlier_study_is_read_under_its_names(old: Path) -> None:
    before = everything_in(old)
    folder = StudyFolder.read(old)
    assert folder.study.results == OLDEST
    assert [plan.identity for plan in folder.planned] == THEN
    assert [folder.status(plan)[0] for plan in folder.planned] == ["done", "done"]
    assert "not complete" not in study_tables(folder.study, folder.planned, old)
    assert everything_in(old) == before, "reading changes nothing"


def test_a_study_file_without_runs_beside_it_is_of_the_present_version(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    assert StudyFolder.read(tmp_path).study.results == VERSION
    (tmp_path / "runs" / THEN[0]).mkdir(parents=True)
    assert StudyFolder.read(tmp_path).study.results == OLDEST


def test_what_is_stated_is_not_taken_from_the_folder(old: Path) -> None:
    stated = as_study(source(old.parent, STUDY, f"results={VERSION}"))
    assert as_begun_in(old, stated).results == VERSION
    with pytest.raises(RunError, match="holds runs of another study") as caught:
        StudyFolder.open(old, stated, source(old.parent))
    assert f"  results: stored 1, given {VERSION}" in caught.value.message.splitlines()


@pytest.mark.parametrize("value", [0, VERSION + 1, "one"])
def test_a_version_that_does_not_exist_is_refused_where_it_stands(tmp_path: Path, value: object) -> None:
    with pytest.raises(ConfigError, match=r"results in .*config\.toml, line 1|config\.toml, line 1: results"):
        as_study(source(tmp_path, f"results = {value!r}\n{STUDY}"))


def test_a_study_whose_runs_are_done_is_shown_again(old: Path) -> None:
    place = old.parent.parent
    config = source(old.parent).origin.name
    runs = everything_in(old / "runs")
    done = fedskew(place, "study", config, "--engine", "torch", "--json")
    assert done.returncode == 0, done.stderr
    assert "note: studies/old holds results of an earlier version, whose numbers differ" in done.stderr
    assert "defaults" not in done.stderr, "they mean the same here"
    (rows,) = json.loads(done.stdout).values()
    assert [row["seeds"] for row in rows] == [1, 1]
    assert read_toml(old / "study.toml")["results"] == 1
    assert everything_in(old / "runs") == runs
    again = fedskew(place, "study", config, "--engine", "torch", "--json")
    assert (again.returncode, again.stdout) == (0, done.stdout)


@pytest.mark.parametrize(
    ("more", "missing"), [(["--set", "seeds=[0, 1]"], "2 missing runs"), ([], "1 missing run")]
)
def test_a_run_that_is_missing_in_an_earlier_study_is_refused(
    old: Path, more: list[str], missing: str
) -> None:
    """More seeds, or a run that was broken off; and nothing is written."""
    if not more:
        (old / "runs" / THEN[1] / "result.json").unlink()
    place, before = old.parent.parent, everything_in(old)
    config = source(old.parent).origin.name
    done = fedskew(place, "study", config, "--engine", "torch", *more)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error == (
        f"error: {missing} cannot be added to studies/old: the study's results are those of an earlier version of "
        "fedskew (`results = 1`), whose numbers differ from those of this version by rounding"
    )
    assert hint == f"hint: start a new folder with `--out FOLDER --set results={VERSION}`"
    assert everything_in(old) == before
    if not more:  # a part of it that is done
        done = fedskew(place, "study", config, "--engine", "torch", "--only", "rounds_of=1")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("named", ["config", "folder"])
def test_the_hint_works(old: Path, named: str) -> None:
    (old / "study.toml").write_text("results = 1\n" + (old / "study.toml").read_text())
    config = source(old.parent).origin.name if named == "config" else "studies/old"
    new = ["--out", "new", "--set", f"results={VERSION}"]
    done = fedskew(old.parent.parent, "study", config, "--engine", "torch", *new)
    assert done.returncode == 0, done.stderr
    folder = StudyFolder.read(old.parent.parent / "new")
    assert [run.name for run in RunFolder.all_below(folder.path)] == sorted(
        p.identity for p in folder.planned
    )
    assert not {plan.identity for plan in folder.planned} & set(THEN)


def test_an_earlier_version_cannot_be_asked_for_in_a_new_folder(tmp_path: Path) -> None:
    config = source(tmp_path).origin.name
    done = fedskew(tmp_path, "study", config, "--set", "results=1")
    assert done.returncode == 2
    assert "2 missing runs cannot be added to studies/old" in done.stderr
    assert not (tmp_path / "studies").exists()


def test_from_python_no_round_of_an_earlier_version_is_done(old: Path, tmp_path: Path) -> None:
    folder = StudyFolder.read(old)
    assert run_missing(folder, missing_runs(folder, folder.planned), 1, WorkerSetup(TORCH)) == []
    (old / "runs" / THEN[1] / "result.json").unlink()
    with pytest.raises(RunError, match="1 missing run cannot be added"):
        run_missing(folder, missing_runs(folder, folder.planned), 1, WorkerSetup(TORCH))
    with pytest.raises(RunError, match="another version of fedskew"):
        execute(RunFolder(tmp_path / "new"), folder.planned[0].completed, TORCH)
    assert not (tmp_path / "new").exists()


def test_plan_shows_an_earlier_study_under_its_names_and_says_what_it_is(old: Path) -> None:
    place, before = old.parent.parent, everything_in(old)
    for config in (source(old.parent).origin.name, "studies/old"):
        done = fedskew(place, "plan", config, "--json")
        assert [(row["run"], row["status"]) for row in json.loads(done.stdout)] == [(n, "done") for n in THEN]
        assert "holds results of an earlier version" in done.stderr
    assert everything_in(old) == before


def test_rounds_of_an_earlier_version_are_not_shared(old: Path, tmp_path: Path) -> None:
    """Neither if its folder was copied into a study of this version."""
    found = source(tmp_path)
    opened = StudyFolder.open(tmp_path / "new", as_study(found), found)
    (tmp_path / "new" / "runs").mkdir()
    (old / "runs" / THEN[0]).rename(tmp_path / "new" / "runs" / THEN[0])
    others = relatives(opened.path, opened.planned)
    assert [[run.name for run in others[p.completed.rounds_identity]] for p in opened.planned] == [
        [p.identity for p in opened.planned]
    ] * 2


def test_the_twin_of_an_earlier_run_is_of_its_version(old: Path) -> None:
    """Or the reasons to distrust would say that a study lacks the runs to compare with."""
    folder = StudyFolder.read(old)
    first = folder.planned[0]
    assert Finished(first, folder.run_folder(first), {}).twin(rounds=2) == THEN[1]


def test_the_study_on_the_page_can_be_run_again(old: Path) -> None:
    """It says nothing of the version of results, so a copy of it in a new folder has the present one."""
    assert "results =" not in _study_file(gather(StudyFolder.read(old)))


# --- single runs ------------------------------------------------------------------------------------


def earlier_run(place: Path) -> Completed:
    experiment = Experiment.model_validate(source(place, EXPERIMENT).content)
    return completed(experiment, 1)


@pytest.mark.parametrize("out", [None, "there"])
def test_a_complete_run_of_an_earlier_version_is_found_and_shown(tmp_path: Path, out: str | None) -> None:
    run = earlier_run(tmp_path)
    folder = done_then(tmp_path / (out or f"runs/config-{run.identity}"), run)
    before = everything_in(tmp_path)
    more = ["--out", out] if out else []
    done = fedskew(tmp_path, "run", "config.toml", "--engine", "torch", *more)
    assert done.returncode == 0, done.stderr
    assert "the run was done before" in done.stdout
    assert f"note: {folder.path.relative_to(tmp_path)} holds results of an earlier version" in done.stderr
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("out", [None, "there"])
def test_an_unfinished_run_of_an_earlier_version_is_refused(tmp_path: Path, out: str | None) -> None:
    run = earlier_run(tmp_path)
    folder = done_then(tmp_path / (out or f"runs/config-{run.identity}"), run, broken_off=True)
    before = everything_in(tmp_path)
    more = ["--out", out] if out else []
    done = fedskew(tmp_path, "run", "config.toml", "--engine", "torch", *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-2:] == [
        f"error: {folder.path.relative_to(tmp_path)} cannot be resumed: it was begun with another version of fedskew, "
        "whose numbers differ from those of this version by rounding",
        "hint: resume it with the version that began it, or run it in another folder (`--out FOLDER`)",
    ]
    assert everything_in(tmp_path) == before
    done = fedskew(tmp_path, "run", "config.toml", "--engine", "torch", "--out", "new")
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "new").read_version() == VERSION


def test_a_run_whose_sessions_are_missing_is_of_no_version(tmp_path: Path) -> None:
    run = replace(earlier_run(tmp_path), version=VERSION)
    folder = RunFolder(tmp_path / f"runs/config-{run.identity}")
    with pytest.raises(BrokenPipeError):
        execute(folder, run, replace(TORCH, checkpoint_every=0), [BreakOff()])
    assert folder.read_saved_round() == 1
    folder.environment.unlink()
    done = fedskew(tmp_path, "run", "config.toml", "--engine", "torch")
    assert done.returncode == 2
    name = folder.path.relative_to(tmp_path)
    assert f"error: {name}/environment.json is not what the run wrote: it is missing" in done.stderr
    assert f"hint: remove {name} to do the run again" in done.stderr


@pytest.mark.parametrize("begun", [(), (1,), (2,), (1, 2)])
def test_the_present_version_goes_before_the_earlier_one(tmp_path: Path, begun: tuple[int, ...]) -> None:
    run = earlier_run(tmp_path)
    for version in begun:
        one = replace(run, version=version)
        folder = done_then(tmp_path / one.identity, one, broken_off=True)
        if version == VERSION:
            sessions = [replace(session, identity_version=version) for session in folder.read_sessions()]
            folder.write_sessions(sessions)
    found, folder = as_begun(source(tmp_path, EXPERIMENT), lambda run: RunFolder(tmp_path / run.identity))
    assert found.version == (max(begun) if begun else VERSION)
    assert folder.name == found.identity


def test_a_run_that_never_had_a_round_is_begun_with_the_present_version(tmp_path: Path) -> None:
    run = earlier_run(tmp_path)
    folder = done_then(tmp_path / run.identity, run, broken_off=True)
    folder.rounds.unlink()
    found, _ = as_begun(source(tmp_path, EXPERIMENT), lambda run: RunFolder(tmp_path / run.identity))
    assert found.version == VERSION


def test_a_study_keeps_its_version_in_what_is_planned() -> None:
    for version in (1, 2):
        study = Study(name="s", seeds=(0, 1), results=version)
        assert {plan.completed.version for plan in planned_runs(study)} == {version}
