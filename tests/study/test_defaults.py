"""Studies and runs that were begun before defaults changed: found again, gone on with, and never done twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedskew.cli import app
from fedskew.components.completed import Completed
from fedskew.components.earlier import FIRST, PRESENT, as_before
from fedskew.components.identity import identity
from fedskew.config import Execution, Experiment
from fedskew.config.toml_io import read_toml, write_toml
from fedskew.errors import RunError
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder, as_begun_in
from fedskew.study.grid import Study, planned_runs
from fedskew.study.missing import missing_runs, run_missing
from fedskew.study.source import Source, as_begun, as_study, find_config
from fedskew.study.tasks import WorkerSetup
from helpers import execute

EXPERIMENT = """\
rounds = 2
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
split = { name = "dirichlet", alpha = 0.5 }
attack = { name = "backdoor", target = 7 }
training = { epochs = 1, batch_size = 256 }
"""
"""Silent about all defaults that have changed."""

STUDY = f"""\
name = "old"
seeds = [0, 1]

[base]
{EXPERIMENT}
[axes.setting.variants."no attack"]

[axes.setting.variants.backdoor]
adversaries = {{ count = 1 }}
"""
THEN = ["997e01986302", "b65b8e20cb9b", "662014fc8be2", "83e7f2aaf17f"]
"""The names of its runs with the earlier defaults."""

TORCH = Execution(engine="torch")


def source(folder: Path, text: str = STUDY, *overrides: str) -> Source:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return find_config(str(path), overrides)


def names(study: Study) -> list[str]:
    return [plan.identity for plan in planned_runs(study)]


def open_study(folder: Path, *overrides: str, text: str = STUDY) -> StudyFolder:
    found = source(folder.parent, text, *overrides)
    return StudyFolder.open(folder, as_study(found), found)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study's folder as it was written before a study said which defaults it means, with one complete run."""
    folder = tmp_path / "studies" / "old"
    folder.mkdir(parents=True)
    record = as_study(source(folder.parent))
    (folder / "study.toml").write_text(
        write_toml(record.model_dump(mode="json", exclude={"defaults"}, exclude_none=True))
    )
    content = as_before(dict(record.base) | {"seed": 0})
    execute(folder / "runs" / THEN[0], Experiment.model_validate(content), TORCH)
    return folder


# --- studies ----------------------------------------------------------------------------------------


def test_a_new_study_has_the_present_defaults_and_says_so(tmp_path: Path) -> None:
    opened = open_study(tmp_path / "new")
    assert read_toml(tmp_path / "new" / "study.toml")["defaults"] == PRESENT
    for plan in opened.planned:
        assert plan.experiment.stopping.name == "rounds"
        assert plan.experiment.training.optimizer.state == "fresh"
        assert plan.experiment.split.options["remainder"] == "unbiased"
        assert plan.experiment.attack.options["poison_fraction"] == 0.5
    assert not set(names(opened.study)) & set(THEN)
    assert StudyFolder.read(tmp_path / "new").study == open_study(tmp_path / "new").study == opened.study


def test_a_study_that_was_begun_earlier_keeps_its_runs_and_says_so_from_now_on(old: Path) -> None:
    before = StudyFolder.read(old)
    assert "defaults" not in read_toml(old / "study.toml"), "reading changes nothing"
    opened = open_study(old)
    assert read_toml(old / "study.toml")["defaults"] == FIRST
    for folder in (before, opened, StudyFolder.read(old), open_study(old)):
        assert [plan.identity for plan in folder.planned] == THEN
        assert [folder.status(plan)[0] for plan in folder.planned] == ["done", "to do", "to do", "to do"]
    for plan in opened.planned:
        assert plan.experiment.stopping.name == "plateau"
        assert plan.experiment.training.optimizer.state == "persist"
        assert plan.experiment.split.options["remainder"] == "first"
        assert plan.experiment.attack.options["poison_fraction"] == 1.0


def test_only_what_is_missing_is_done_and_then_nothing(old: Path) -> None:
    opened = open_study(old)
    result = (old / "runs" / THEN[0] / "result.json").stat().st_mtime_ns
    missing = missing_runs(opened, opened.planned)
    assert [plan.identity for plan in missing] == THEN[1:]
    assert run_missing(opened, missing, 1, WorkerSetup(TORCH)) == []
    again = open_study(old)
    assert missing_runs(again, again.planned) == []
    assert sorted(path.name for path in (old / "runs").iterdir()) == sorted(THEN)
    assert (old / "runs" / THEN[0] / "result.json").stat().st_mtime_ns == result


def test_a_study_that_was_begun_earlier_may_grow(old: Path) -> None:
    grown = open_study(old, "seeds=[0, 1, 2]")
    assert [plan.identity for plan in grown.planned][:4] == THEN
    assert {plan.experiment.training.optimizer.state for plan in grown.planned} == {"persist"}


def test_the_earlier_defaults_can_be_asked_for(tmp_path: Path) -> None:
    for number, (text, overrides) in enumerate([("defaults = 1\n" + STUDY, ()), (STUDY, ("defaults=1",))]):
        opened = open_study(tmp_path / str(number), *overrides, text=text)
        assert [plan.identity for plan in opened.planned] == THEN
        assert StudyFolder.read(tmp_path / str(number)).study.defaults == FIRST
        # From now on the folder knows it, and the config need not say it again.
        assert [plan.identity for plan in open_study(tmp_path / str(number)).planned] == THEN


@pytest.mark.parametrize(("begun", "asked"), [(1, 2), (2, 1)])
def test_other_defaults_than_those_of_the_runs_there_are_refused(
    tmp_path: Path, begun: int, asked: int
) -> None:
    folder = tmp_path / "s"
    opened = open_study(folder, f"defaults={begun}")
    opened.run_folder(opened.planned[0]).path.mkdir(parents=True)
    with pytest.raises(RunError, match="holds runs of another study") as caught:
        open_study(folder, f"defaults={asked}")
    assert f"  defaults: stored {begun}, given {asked}" in caught.value.message.splitlines()
    assert read_toml(folder / "study.toml")["defaults"] == begun


def test_what_a_study_states_is_what_it_runs_whichever_defaults_it_has(tmp_path: Path) -> None:
    stated = ["stopping=rounds", "split.remainder=unbiased", "attack.poison_fraction=0.25"]
    stated += ["training.optimizer.state=fresh"]
    sets = [names(as_study(source(tmp_path, STUDY, *stated, f"defaults={each}"))) for each in (1, 2)]
    assert sets[0] == sets[1]


def test_a_folder_without_a_study_has_no_defaults_of_its_own(tmp_path: Path) -> None:
    record = as_study(source(tmp_path))
    assert as_begun_in(tmp_path / "nothing", record) is record


def test_a_folder_as_a_config_means_what_it_was_begun_with(old: Path) -> None:
    """Also where its runs are to be done again in another folder."""
    planned = planned_runs(as_study(find_config(str(old))))
    assert [plan.identity for plan in planned] == THEN
    assert planned == StudyFolder.read(old).planned


def plan_as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        app(["plan", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert left.value.code in (0, None), err
    rows: list[dict[str, Any]] = json.loads(out)
    return rows


def test_plan_agrees(old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the folder, of the config that was opened there, and of that config in a folder that is new."""
    monkeypatch.chdir(old.parent.parent)
    config = source(old.parent).origin.name
    plans = {
        where: plan_as_json(capsys, *arguments)
        for where, arguments in {
            "folder": [str(old)],
            "config": [config],
            "config and folder": [config, "--out", str(old)],
            "new": [config, "--out", "new"],
            "as before": [config, "--out", "new", "--set", "defaults=1"],
        }.items()
    }
    for where in ("folder", "config", "config and folder"):
        assert [(row["run"], row["status"]) for row in plans[where]] == [
            (name, "done" if name == THEN[0] else "to do") for name in THEN
        ], where
    assert [row["run"] for row in plans["as before"]] == THEN
    assert not {row["run"] for row in plans["new"]} & set(THEN)
    assert "defaults" not in read_toml(old / "study.toml"), "a plan writes nothing"


# --- single runs ------------------------------------------------------------------------------------


def fedskew_run(place: Path, *arguments: str) -> dict[str, Any]:
    environment = os.environ | {"FEDSKEW_DATA": str(place / "data"), "XDG_CACHE_HOME": str(place / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "fedskew", "run", "config.toml", "--engine", "torch", "--json", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class BreakOff:
    """Ends a run after its first round, as somebody who presses a key does."""

    def on_round(self, record: RoundRecord) -> None:
        raise BrokenPipeError

    def on_end(self, records: object, reason: str) -> None: ...


@pytest.mark.parametrize(("out", "broken_off"), [(None, True), ("there", False)])
def test_run_finds_a_run_that_was_begun_with_the_earlier_defaults(
    tmp_path: Path, out: str | None, broken_off: bool
) -> None:
    """Goes on with one that was broken off after the first of two rounds, does nothing to one that is complete."""
    earlier = Experiment.model_validate(as_before(source(tmp_path, EXPERIMENT).content))
    whole = execute(tmp_path / "whole", earlier, TORCH).folder
    folder = tmp_path / (out or f"runs/config-{THEN[0]}")
    if broken_off:
        with pytest.raises(BrokenPipeError):
            execute(folder, earlier, TORCH, [BreakOff()])
        assert len(RunFolder(folder).read_records()) == 1
    else:
        shutil.copytree(whole, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = fedskew_run(tmp_path, *(("--out", out) if out else ()))
    assert tmp_path / found["folder"] == folder
    assert found["rounds"] == 2
    assert [path.name for path in tmp_path.glob("runs/*")] == ([] if out else [folder.name])
    for name in ("config.toml", "rounds.jsonl", "weights.safetensors", "result.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert broken_off or {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_another_run_than_the_one_that_was_begun_has_the_present_defaults(tmp_path: Path) -> None:
    earlier = Experiment.model_validate(as_before(source(tmp_path, EXPERIMENT).content))
    execute(tmp_path / "runs" / f"config-{THEN[0]}", earlier, TORCH)
    found = fedskew_run(tmp_path, "--set", "seed=1")
    config = read_toml(tmp_path / found["folder"] / "config.toml")
    assert config["stopping"] == {"name": "rounds"}
    assert config["training"]["optimizer"]["state"] == "fresh"
    assert config["split"]["remainder"] == "unbiased"
    assert config["attack"]["poison_fraction"] == 0.5


@pytest.mark.parametrize(
    ("begun", "state"),
    [([], "fresh"), (["persist"], "persist"), (["fresh"], "fresh"), (["persist", "fresh"], "fresh")],
)
def test_the_earlier_run_is_gone_on_with_only_where_there_is_no_present_one(
    tmp_path: Path, begun: list[str], state: str
) -> None:
    found = source(tmp_path, EXPERIMENT)

    def folder_of(run: Completed) -> RunFolder:
        return RunFolder(tmp_path / run.identity)

    for content in (as_before(found.content), found.content):
        one = Experiment.model_validate(content)
        if one.training.optimizer.state in begun:
            with pytest.raises(BrokenPipeError):
                execute(tmp_path / identity(one), one, TORCH, [BreakOff()])
    planned, folder = as_begun(found, folder_of)
    assert planned.experiment.training.optimizer.state == state
    assert folder.path == tmp_path / planned.identity


def test_what_the_earlier_defaults_make_impossible_was_never_begun(tmp_path: Path) -> None:
    """They stop by the training loss, which a stated privacy does not allow."""
    text = 'data = "digits"\ndefence.aggregator = {name = "dp-fedavg", clip = 1.0, noise_multiplier = 1.0}\n'
    planned, _ = as_begun(source(tmp_path, text), lambda run: RunFolder(tmp_path / run.identity))
    assert planned.experiment.stopping.name == "rounds"
