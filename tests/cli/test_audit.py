"""``fedskew audit`` as a person meets it: real processes, a rule of one's own, a killed audit."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedskew.audit.build import Wish, prepare
from fedskew.cli import app
from fedskew.cli.auditing import for_tuning
from fedskew.config.origin import Origin
from fedskew.config.toml_io import read_toml
from fedskew.errors import ConfigError
from fedskew.runs.folder import RunFolder
from fedskew.script.how import How
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.study.shard import Shard
from fedskew.study.source import Source

RULE = '''\
from torch import Tensor
from fedskew import ClientUpdates, ServerView

def rule(updates: ClientUpdates, view: ServerView, *, cut: int = 1) -> Tensor:
    """Mean without the extremes. It cuts."""
    ordered = updates.deltas.sort(dim=0).values
    return ordered[cut : len(ordered) - cut].mean(dim=0)
'''
SMALL = ["--seeds", "2", "--alphas", "10,0.3", "--set", "rounds=2", "--set", "training.epochs=1"]
FEW = ["--attacks", "sign-flip, backdoor", "--against", "median"]


def command(folder: Path, *arguments: str, few: Sequence[str] = SMALL) -> list[str]:
    return [sys.executable, "-m", "fedskew", "audit", *arguments, *few, *FEW, "-q", "-j", "2"]


def audit(
    folder: Path, *arguments: str, few: Sequence[str] = SMALL, code: int = 0
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        command(folder, *arguments, few=few),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_rule_of_your_own_from_a_scratch_folder(tmp_path: Path) -> None:
    (tmp_path / "my_rule.py").write_text(RULE, encoding="utf-8")
    done = audit(tmp_path, "my_rule:rule", "--set", "cut=2", "--allow-plugin", "my_rule")
    assert done.stdout.startswith("Scorecard")
    assert "\nmy_rule:rule(cut=2) compared\n" in done.stdout
    for question in (
        "Cost without an attack: ",
        "Protection under the worst attack: ",
        "Dependence on the spread of",
    ):
        assert f"\n{question}" in done.stdout
    assert "claims are not decided" not in done.stdout
    assert "my_rule:rule(cut=2)" in done.stdout
    folder = StudyFolder.read(tmp_path / "studies" / "audit-my_rule-rule")
    assert folder.study.audit is not None
    assert {str(folder.status(plan)[0]) for plan in folder.planned} == {"done"}
    assert len(folder.planned) == 2 * 2 * 3 * 3
    page = (folder.path / "report" / "index.html").read_text(encoding="utf-8")
    assert "my_rule:rule (cut 2), Mean without the extremes." in page
    assert page.index('id="scorecard"') < page.index('id="done"') < page.index('id="summary"')
    again = audit(tmp_path, "my_rule:rule", "--set", "cut=2", "--allow-plugin", "my_rule")
    assert again.stdout == done.stdout


@pytest.mark.slow
def test_an_audit_with_other_options_needs_another_folder(tmp_path: Path) -> None:
    small = ["median", "--seeds", "1", "--alphas", "10"]
    environment = {**os.environ, "COLUMNS": "200"}

    def again(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "fedskew", "audit", *arguments, "--out", "here", "--attacks", "sign-flip", "-q"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        return done.stderr.splitlines()

    study = Study.model_validate(
        prepare(Wish("krum", seeds=2, alphas=(10.0,), attacks=("sign-flip",))).content()
    )
    source = Source(study.model_dump(mode="json", exclude_none=True), Origin("here"), "audit")
    folder = StudyFolder.open(tmp_path / "here", study, source)
    for plan in folder.planned:
        folder.run_folder(plan).path.mkdir(parents=True)
    hint = "hint: choose another folder with --out"
    assert again("krum", "--set", "f=3", *small[1:]) == [
        "error: here holds an audit of krum(f=2), not of krum(f=3)",
        hint,
    ]
    assert again("krum", *small[1:], "--against", "median", "--against", "rlr") == [
        "error: here holds an audit with other options:",
        "  seeds: stored [0, 1], given [0]",
        f"{hint}, or undo the change",
    ]


@pytest.mark.slow
def test_a_rule_that_crashes_ends_its_audit_with_one_sentence(tmp_path: Path) -> None:
    broken = RULE.replace("cut: int = 1", "cut: int = 99").replace(".mean(dim=0)", "[50]")
    (tmp_path / "my_rule.py").write_text(broken, encoding="utf-8")
    done = audit(tmp_path, "my_rule:rule", "--allow-plugin", "my_rule", code=1)
    assert done.stdout == ""
    (first, second) = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert first.startswith("error: alpha 10.0, attack no attack, defence my_rule:rule, seed 0: ")
    assert "IndexError" in first
    assert f"my_rule.py, line {broken[: broken.index('[50]')].count(chr(10)) + 1}" in first
    assert second.startswith("hint: ")
    folder = StudyFolder.read(tmp_path / "studies" / "audit-my_rule-rule")
    # How many the other process did until then depends on how fast the broken one failed.
    assert sum(folder.status(plan)[0] == "done" for plan in folder.planned) < 12, "of 36"


@pytest.mark.slow
def test_a_rule_that_fails_under_one_attack_does_not_end_its_audit(tmp_path: Path) -> None:
    """It fails where updates point apart, in the first round of a sign flip, and nowhere else."""
    picky = RULE.replace(
        "    ordered =", "    assert (updates.deltas @ updates.deltas.T).min() > 0\n    ordered ="
    )
    (tmp_path / "my_rule.py").write_text(picky, encoding="utf-8")
    few = ["--seeds", "1", "--alphas", "10", *SMALL[4:]]
    done = audit(tmp_path, "my_rule:rule", "--allow-plugin", "my_rule", few=few, code=1)
    assert done.stdout.startswith("Scorecard")
    assert "1 of 9 runs failed:" in done.stderr


@pytest.mark.slow
def test_the_study_file_can_be_kept_and_edited(tmp_path: Path) -> None:
    done = audit(tmp_path, "krum", "--write", "mine.toml")
    assert "fedskew study mine.toml" in done.stdout
    assert not (tmp_path / "studies").exists()
    study = Study.model_validate(read_toml(tmp_path / "mine.toml"))
    audit(tmp_path, "krum", "--write", "mine.toml")
    (tmp_path / "mine.toml").write_text("# edited", encoding="utf-8")
    assert "there is such a file already" in audit(tmp_path, "krum", "--write", "mine.toml", code=2).stderr
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == "# edited"
    assert study.audit is not None
    assert study.audit.defence == "krum(f=2)"


@pytest.mark.slow
def test_options_are_tuned_before_the_audit(tmp_path: Path) -> None:
    done = audit(tmp_path, "krum", "--tune", "f=1,2")
    folder = StudyFolder.read(tmp_path / "studies" / "audit-krum")
    tuning = StudyFolder.read(folder.path / "tuning")
    assert not set(tuning.study.seeds) & set(folder.study.seeds)
    assert folder.study.audit is not None
    assert folder.study.audit.tuned in done.stdout
    assert folder.study.audit.defence in ("krum(f=1)", "krum(f=2)")
    assert "were not tuned" not in (folder.path / "report" / "index.html").read_text("utf-8")


@pytest.mark.slow
def test_a_killed_audit_is_resumed_by_the_same_command(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "median"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    runs = tmp_path / "studies" / "audit-median" / "runs"
    deadline = time.monotonic() + 120
    while len(list(runs.glob("*/result.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = audit(tmp_path, "median")
    whole = tmp_path / "whole"
    whole.mkdir()
    assert audit(whole, "median").stdout.splitlines()[:4] == killed.stdout.splitlines()[:4]
    for result in sorted(runs.glob("*/rounds.jsonl")):
        other = whole / result.relative_to(tmp_path)
        assert result.read_bytes() == other.read_bytes()


ONE_ALPHA = ["--seeds", "2", "--alphas", "10", *SMALL[4:]]


@pytest.mark.slow
def test_the_parts_of_an_audit_are_done_by_several_processes(tmp_path: Path) -> None:
    """Each does its own, the last one to end writes the report; another audit copies what it can of all this."""
    at_once = [
        subprocess.Popen(
            [*command(tmp_path, "krum", few=ONE_ALPHA)[:-1], "1", "--shard", part, "--best", "test_loss"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for part in ("1/2", "2/2")
    ]  # fmt: skip
    both = [process.communicate(timeout=300) for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0], both
    folder = StudyFolder.read(tmp_path / "studies" / "audit-krum")
    runs = RunFolder.all_below(folder.path)
    assert {run.name for run in runs} == {plan.identity for plan in folder.planned}
    assert all(len(run.read_sessions()) == 1 for run in runs), "no run is done twice"
    page = (folder.path / "report" / "index.html").read_text(encoding="utf-8")
    assert "The best round by test loss beside the last" in page
    for out, err in both:
        assert out.startswith("Scorecard") != ("note: no report yet: other parts have " in err)
        assert ("The best round by test loss beside the last" in out) == out.startswith("Scorecard")
    assert any(out.startswith("Scorecard") for out, _ in both)

    first = Shard(1, 2).part_of(folder.planned)
    done = audit(tmp_path, "krum", "--out", "part", "--reuse", "audit-krum", "--shard", "1/2", few=ONE_ALPHA)
    assert done.stdout == ""
    assert f"note: {len(first)} complete runs copied from studies/audit-krum" in done.stderr
    assert f"other parts have {len(runs) - len(first)} runs to do; the part that ends last" in done.stderr
    assert {run.name for run in RunFolder.all_below(tmp_path / "part")} == {plan.identity for plan in first}
    assert not (tmp_path / "part" / "report").exists()


def test_a_cluster_needs_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        app(["audit", "median", *SMALL, *FEW, "--on", "ray"])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: --on ray needs ray, not installed in this environment" in err
    assert 'hint: `pip install "ray>=2.10"`' in err
    assert not (tmp_path / "studies").exists()


def test_the_tuning_is_not_divided_and_takes_the_tuning_of_others(tmp_path: Path) -> None:
    for name in ("one/runs", "one/tuning/runs", "two/runs"):
        (tmp_path / name).mkdir(parents=True)
    how = How(shard="2/3", reuse=[str(tmp_path / "one"), str(tmp_path / "two")], jobs=3)
    assert for_tuning(how) == How(reuse=[str(tmp_path / "one" / "tuning")], jobs=3)
    with pytest.raises(ConfigError, match="expected NUMBER/OF"):
        for_tuning(How(shard="4/3"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["krumm"], "did you mean 'krum'?"),
        (["my_rule:rule"], "add --allow-plugin my_rule"),
        (["krum", "--set", "f=4"], "needs 11 or more updates in a round"),
        (["krum", "--set", "f=8"], "or change its options (f = 3 at most)"),
        (["median", "--attacks", "nothing"], "unknown attack 'nothing'; valid: alie, backdoor, constrain"),
        (
            ["median", "--adversaries", "6", "--write", "nowhere/mine.toml"],
            "note: 6 of 10 clients are adversaries",
        ),
        (["krum", "--tune", "f=1"], "two or more different values"),
        (["median", "--shard", "3/2"], "--shard '3/2': expected NUMBER/OF"),
        (["median", "--reuse", "nowhere"], "--reuse nowhere: there is no study"),
        (["median", "--gpu-share", "0.5"], "--gpu-share is for runs on the GPUs of a cluster"),
        (["median", "--best", "acuracy"], "unknown metric 'acuracy'; valid: accuracy, "),
        (["krum", "--write", "nowhere/mine.toml"], "it cannot be written"),
    ],
)
def test_what_cannot_be_audited_is_said_in_one_sentence(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = audit(tmp_path, *arguments, code=2)
    assert words in done.stderr
    assert not (tmp_path / "studies").exists()


@pytest.mark.slow
def test_what_leaks_is_measured_without_an_attack_and_shown(tmp_path: Path) -> None:
    done = audit(
        tmp_path, "median", "--privacy", "--privacy-attacks", "delta-loss", few=[*SMALL, "--seeds", "1"]
    )
    assert "\nWhat leaks\n" in done.stdout
    assert "delta loss: membership AUC, matched" in done.stdout
    assert "loss threshold" not in done.stdout, "only what was asked for"
    folder = StudyFolder.read(tmp_path / "studies" / "audit-median")
    for plan in folder.planned:
        result = folder.run_folder(plan).read_result()
        assert result is not None
        assert ("delta_loss_auc" in result.last.metrics) == (plan.cell["attack"] == "no attack")
    page = (folder.path / "report" / "index.html").read_text(encoding="utf-8")
    assert "no attack: delta-loss, the server: records whose loss" in page


def test_a_study_file_is_not_divided(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedskew", "audit", "median", "--write", "a.toml", "--shard", "1/2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--shard divides runs, and --write does none" in done.stderr
    assert not list(tmp_path.iterdir())
