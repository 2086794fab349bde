"""The command line as a person meets it: exit codes, what is printed where.

Real processes wherever the process matters (signals, streams, start-up, completion). Variations of one thing run in
this process, since each new one that trains or reads records imports PyTorch first.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

import fedskew
from fedskew.cli import app
from fedskew.components.table import BUILT_IN
from fedskew.files import read_lines
from fedskew.presets import preset_names
from fedskew.study.grid import planned_runs

STUDY = """\
name = "tiny"
description = "two runs"
seeds = [0]

[base]
rounds = 2
data = "digits"
model = { name = "mlp", hidden = [8] }
clients = { count = 4 }
split = { name = "dirichlet", alpha = 0.5 }
stopping = "rounds"
training = { epochs = 1, batch_size = 64 }
attack = { name = "backdoor", target = 7 }

[axes.setting.variants."no attack"]

[axes.setting.variants.backdoor]
adversaries = { count = 1 }
"""
EXPERIMENT = """\
rounds = 200
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
stopping = "rounds"

[training]
epochs = 1
batch_size = 256
"""
COMMANDS = ["run", "study", "plan", "inspect", "list", "report", "data where", "data fetch", "data verify"]


@dataclass(frozen=True)
class Place:
    """A folder to work in, with a cache and a data root of its own."""

    path: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.endswith(("COLOR", "COLORS")) and k != "TERM"}
        own = {
            "XDG_CACHE_HOME": str(self.path / "cache"),
            "FEDSKEW_DATA": str(self.path / "data"),
            "COLUMNS": "140",
        }
        return kept | own | more

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        # Where the tests run in the background SIGINT is ignored, and children would inherit that.
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            return self._popen(*arguments, **more)
        finally:
            signal.signal(signal.SIGINT, before)

    def _popen(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "fedskew", *arguments],
            cwd=self.path,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a signal to its group does not reach the tests
        )

    def __call__(self, *arguments: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, code, out, err)


@pytest.fixture(scope="session")
def tiny_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a finished study of two tiny runs in studies/tiny, and configs beside it."""
    place = Place(tmp_path_factory.mktemp("cli"))
    (place.path / "tiny.toml").write_text(STUDY)
    (place.path / "mine.toml").write_text(EXPERIMENT)
    done = place("study", "tiny.toml", "--jobs", "1", "--engine", "torch")
    (place.path / "stdout.txt").write_text(done.stdout)
    (place.path / "stderr.txt").write_text(done.stderr)
    return place


Done: TypeAlias = "subprocess.CompletedProcess[str]"
Inside: TypeAlias = Callable[..., Done]


@pytest.fixture
def inside(tiny_place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The command line called in this process, in the same folder."""
    monkeypatch.chdir(tiny_place.path)
    for name, value in tiny_place.environment().items():
        monkeypatch.setenv(name, value)
    for name in [n for n in os.environ if n.endswith("COLOR")]:
        monkeypatch.delenv(name)

    def call(*arguments: str, code: int = 0) -> Done:
        with pytest.raises(SystemExit) as left:
            app(list(arguments))
        out, err = capsys.readouterr()
        assert left.value.code == code, err
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call


# --- help and completion ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_names_every_option(tiny_place: Place, command: str) -> None:
    text = tiny_place(*command.split(), "--help").stdout
    assert re.search(r"^ *Examples?:", text, re.MULTILINE)
    assert re.search(rf"^ *fedskew {command}", text, re.MULTILINE)
    assert "\x1b[" not in text


def test_help_of_the_whole_names_every_command_and_where_to_start(tiny_place: Place) -> None:
    text = tiny_place("--help").stdout
    for command in ("run", "study", "plan", "inspect", "report", "list", "data"):
        assert re.search(rf"^  {command} ", text, re.MULTILINE)
    assert "fedskew study quickstart" in text


def test_the_version(tiny_place: Place) -> None:
    assert re.fullmatch(r"fedskew \d+\.\d+\.\d+\S*\n", tiny_place("--version").stdout)


@pytest.mark.parametrize(
    ("words", "offered", "not_offered"),
    [
        ("fedskew study q", {"quickstart"}, {"paper-fashion-mnist"}),
        ("fedskew run paper", {"paper-fashion-mnist", "paper-cifar-10"}, {"quickstart"}),
        ("fedskew inspect ti", {"tiny.toml"}, {"mine.toml"}),
        ("fedskew list sp", {"split"}, {"model"}),
        ("fedskew data verify fa", {"fashion-mnist"}, {"mnist"}),
        ("fedskew st", {"study"}, {"run"}),
        ("fedskew study --al", {"--allow-plugin"}, {"--set"}),
    ],
)
def test_shell_completion(tiny_place: Place, words: str, offered: set[str], not_offered: set[str]) -> None:
    """The protocol of the script that ``fedskew --show-completion bash`` prints."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("fedskew"))],
        cwd=tiny_place.path,
        env=tiny_place.environment(
            _FEDSKEW_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1)
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert offered <= found
    assert not found & not_offered


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words", "hint"),
    [
        (["study", "quickstrat"], "unknown preset 'quickstrat'; valid: ", "did you mean 'quickstart'?"),
        (["run", "none.toml"], "cannot read none.toml: No such file or directory", None),
        (["run", "quickstart"], "preset quickstart is a study", "use `fedskew study`"),
        (
            ["run", "mine.toml", "--set", "training.epoch=3"],
            "'training.epoch'",
            "did you mean 'training.epochs'?",
        ),
        (["plan", "tiny.toml", "--set", "split.alhpa=3"], "no option 'alhpa'", "did you mean 'alpha'?"),
        (["plan", "tiny.toml", "--set", "rounds"], "--set 'rounds' is not FIELD=VALUE", "for example"),
        (
            ["plan", "tiny.toml", "--only", "setting=backdor"],
            "no attack, backdoor",
            "did you mean 'backdoor'?",
        ),
        (
            ["report", "nowhere"],
            "there is no study in nowhere or studies/nowhere; in studies: tiny",
            "`fedskew study CONFIG` makes one",
        ),
        (["report", "tinny"], "in studies: tiny", "did you mean 'tiny'?"),
        (["list", "defence"], "unknown kind 'defence'", "did you mean 'aggregator'?"),
        # An impossible value comes before the difference to the runs that are there, which it would be the cause of.
        (["study", "tiny.toml", "--set", "attack.poison_fraction=2"], "--set attack.poison_fraction: ", None),
        (["study", "tiny.toml", "--best", "acuracy"], "unknown metric 'acuracy'", "did you mean 'accuracy'?"),
        (
            ["study", "quickstart", "--best", "update_norm_honest"],
            "cannot choose the best round",
            "validation_loss",
        ),
        (["report", "tiny", "--metric", "biass"], "unknown metric 'biass'", "did you mean 'bias'?"),
        (["list", "splt"], "unknown kind 'splt'", "did you mean 'split'?"),
        (["list", "split", "iidd"], "unknown split 'iidd'", "did you mean 'iid'?"),
        (["data", "where", "mnst"], "mnst", "did you mean 'mnist'?"),
        (["inspect", "paper-fashion-mnist", "--offline"], "fashion-mnist", ""),
        (["inspect", "tiny.toml", "--picture", "x.foo"], "cannot write the picture x.foo", None),
        (["run", "mine.toml", "--set", "split=m:f"], "code from outside", "--allow-plugin m"),
        (
            ["run", "mine.toml", "--set", "attack=backdoor", "--set", "attack.target=10"],
            "class 10 does not exist",
            None,
        ),
        (["run", "mine.toml", "--device", "abacus"], "device 'abacus' cannot be used", None),
        (["study", "mine.toml", "--device", "abacus"], "device 'abacus' cannot be used", None),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    inside: Inside, arguments: list[str], words: str, hint: str | None
) -> None:
    done = inside(*arguments, code=2)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    hints = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    assert len(hints) <= 1
    assert (hint or "") in "".join(hints)
    assert done.stdout == ""
    assert "\x1b[" not in done.stderr


def test_bad_input_to_a_real_process(tiny_place: Place) -> None:
    done = tiny_place("study", "tiny.toml", "--set", "clients.cuont=3", code=2)
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert re.match(
        r"error: --set clients\.cuont: unknown field 'clients\.cuont'; "
        r"valid: count, fraction, selection, start, personal, held_out, shift$",
        error,
    )
    assert hint == "hint: did you mean 'clients.count'?"


@pytest.mark.parametrize(
    "arguments",
    [["stduy"], ["study"], ["study", "tiny.toml", "--jobs", "0"], ["run", "mine.toml", "--engine", "x"]],
)
def test_a_wrong_command_line_is_exit_code_2(inside: Inside, arguments: list[str]) -> None:
    assert "Usage: " in inside(*arguments, code=2).stderr


@pytest.mark.parametrize("command", ["run", "study"])
def test_a_folder_that_is_a_file(tiny_place: Place, inside: Inside, command: str) -> None:
    done = inside(command, f"{'mine' if command == 'run' else 'tiny'}.toml", "--out", "tiny.toml", code=2)
    assert "tiny.toml" in done.stderr
    assert (tiny_place.path / "tiny.toml").read_text() == STUDY


def test_a_changed_config_is_refused_with_the_difference(inside: Inside) -> None:
    done = inside("study", "tiny.toml", "--set", "rounds=3", code=2)
    assert "error: studies/tiny holds runs of another study:" in done.stderr
    assert "  base.rounds: stored 2, given 3" in done.stderr.splitlines()
    assert "hint: choose another folder with --out" in done.stderr


MISTAKES = """\
def aggregator(u, v):
    return u.deltas.mean(dim=0)

def crashing(updates, view):
    return updates.nothing

def shuffling(updates, view):
    import torch
    return updates.deltas[torch.randperm(len(updates.deltas))][0]

def leaving(updates, view):
    exit(0)

def leaving_at_once(updates, view):
    import os
    os._exit(0)

def leaving_by_another_name(updates, view):
    import posix
    posix._exit(0)

def another_program(updates, view):
    import os
    os.execlp("true", "true")

class Own(BaseException):
    pass

def of_its_own(updates, view):
    raise Own("mine")

def closing(updates, view):
    raise GeneratorExit

def at_length(updates, view):
    raise ValueError("x" * 100_000)

def without_a_reader(updates, view):
    raise BrokenPipeError("gone")
"""


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        (
            'defence.aggregator = "mistakes:aggregator"',
            "error: m.toml, line 2: aggregator 'mistakes:aggregator': argument 1 must be 'updates', found 'u'; an "
            "aggregator takes (updates, view, then its options)",
            "hint: if it is a factory of its options, say so: annotate it with -> Aggregator, or decorate it with "
            "@fedskew.facts(factory=True)",
        ),
        (
            'split = { name = "dirichlet", alpha = "x" }',
            "error: m.toml, line 2: split.alpha = 'x': must be a number, not text",
            None,
        ),
        (
            'defence.transforms = [{ name = "clip", norm = 1 }, { name = "clip", norm = -1 }]',
            "error: m.toml, line 2: defence.transforms[1].norm = -1: input should be greater than 0",
            None,
        ),
        (
            'attack = { name = "backdoor", target = 1, trigger = { nam = "plus" } }',
            "error: m.toml, line 2: attack.trigger: name is missing",
            None,
        ),
        (
            'attack = { name = "backdoor", target = 1, trigger = { name = "plus", size = 4 } }',
            "error: m.toml, line 2: trigger 'plus' needs an odd size, got 4",
            None,
        ),
        (
            'model = "mistakes:nothing"',
            "error: m.toml, line 2: cannot import 'mistakes:nothing': AttributeError: module 'mistakes' has no "
            "attribute 'nothing'",
            None,
        ),
        (
            'defence.aggregator = { name = "mistakes:crashing", power = 2 }',
            "error: m.toml, line 2: defence.aggregator: 'mistakes:crashing' has no option 'power'; valid: (none)",
            None,
        ),
        (
            'defence.aggregator = "mistakes:crashing"',
            "error: m.toml, line 2: aggregator 'mistakes:crashing' failed with AttributeError: 'ClientUpdates' object "
            "has no attribute 'nothing' ({here}/mistakes.py, line 5)",
            "hint: the traceback is in ",
        ),
        (
            'defence.aggregator = "mistakes:leaving"',
            "error: m.toml, line 2: aggregator 'mistakes:leaving' failed with SystemExit: 0 "
            "({here}/mistakes.py, line 12)",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:leaving_at_once"',
            "error: m.toml, line 2: aggregator 'mistakes:leaving_at_once' failed with SystemExit: 0",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:leaving_by_another_name"',
            "error: m.toml, line 2: aggregator 'mistakes:leaving_by_another_name' failed with SystemExit: 0",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:another_program"',
            "error: m.toml, line 2: aggregator 'mistakes:another_program' failed with SystemExit: os.execv",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:of_its_own"',
            "error: m.toml, line 2: aggregator 'mistakes:of_its_own' failed with Own: mine "
            "({here}/mistakes.py, line 30)",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:closing"',
            "error: m.toml, line 2: aggregator 'mistakes:closing' failed with GeneratorExit "
            "({here}/mistakes.py, line 33)",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:at_length"',
            "error: m.toml, line 2: aggregator 'mistakes:at_length' failed with ValueError: "
            + 500 * "x"
            + "... "
            "({here}/mistakes.py, line 36)",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:without_a_reader"',
            "error: m.toml, line 2: aggregator 'mistakes:without_a_reader' failed with BrokenPipeError: gone "
            "({here}/mistakes.py, line 39)",
            "hint: the traceback is in",
        ),
        (
            'defence.aggregator = "mistakes:shuffling"',
            "error: m.toml, line 2: aggregator 'mistakes:shuffling' used the global random generator of torch, so that "
            "no run with it can be repeated",
            "hint: draw from `view.rng`, a NumPy generator, for example `torch.from_numpy(view.rng.random(n))`",
        ),
    ],
)
def test_mistakes_in_a_config_and_in_a_plug_in_name_file_and_line(
    tmp_path: Path, line: str, error: str, hint: str | None
) -> None:
    place = Place(tmp_path)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "m.toml").write_text(f"rounds = 2\n{line}\n")
    crashed = error.startswith("error: the run failed")
    done = place("run", "m.toml", "--allow-plugin", "mistakes", "--quiet", code=1 if crashed else 2)
    first, *rest = done.stderr.splitlines()
    assert first == error.replace("{here}", str(tmp_path))
    assert len(rest) == (hint is not None)
    assert "".join(rest).startswith(hint or "")


@pytest.mark.parametrize("leave", ["raise SystemExit(0)", "import os; os._exit(0)"])
@pytest.mark.parametrize("command", ["run", "study", "inspect"])
def test_a_plug_in_that_ends_the_process_when_it_is_imported(
    tmp_path: Path, command: str, leave: str
) -> None:
    place = Place(tmp_path)
    (tmp_path / "mistakes.py").write_text(leave)
    study = 'name = "m"\nseeds = [0]\nbase.data = "digits"\nbase.defence.aggregator = "mistakes:f"\n'
    single = 'data = "digits"\ndefence.aggregator = "mistakes:f"\n'
    (tmp_path / "m.toml").write_text(study if command == "study" else single)
    done = place(command, "m.toml", "--allow-plugin", "mistakes", code=2)
    assert "cannot import 'mistakes:f': SystemExit: 0" in done.stderr


def test_a_thread_of_a_plug_in_that_ends_the_process_is_no_success(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import os\nimport threading\n\n"
        "def rule(updates, view):\n"
        "    leaving = threading.Thread(target=os._exit, args=(0,))\n"
        "    leaving.start()\n"
        "    leaving.join()\n"
    )
    (tmp_path / "m.toml").write_text('data = "digits"\ndefence.aggregator = "mine:rule"\n')
    done = place("run", "m.toml", "--allow-plugin", "mine", "--quiet", "--json", code=1)
    assert done.stderr == "error: a thread of a plug-in ended the process with 0\n"
    assert not done.stdout


def test_a_model_that_ends_the_process_when_it_is_called(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\n\n"
        "class Leaving(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        raise SystemExit(0)\n\n"
        "def model(info):\n"
        "    return Leaving(64, len(info.class_names))\n"
    )
    (tmp_path / "m.toml").write_text('data = "digits"\nmodel = "mine:model"\n')
    done = place("run", "m.toml", "--allow-plugin", "mine", "--quiet", code=1)
    assert (
        f"a plug-in would have ended the process with SystemExit(0) ({tmp_path}/mine.py, line 5)"
        in done.stderr
    )


def test_plan_takes_the_options_of_study_and_imports_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "mistakes.py").write_text("raise SystemExit('imported')")
    (tmp_path / "m.toml").write_text('seeds = [0]\nname = "m"\nbase.defence.aggregator = "mistakes:f"\n')
    done = place("plan", "m.toml", "--allow-plugin", "mistakes")
    assert "0 done, 1 to do" in done.stdout


def test_a_study_that_cannot_be_read_or_found(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name, content in (("mine", b'name = "mine"\n'), ("bin", b"\xff\xfe")):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / "study.toml").write_bytes(content)
    for name, error, hint in (
        ("bin", "studies/bin/study.toml is not UTF-8 text", None),
        ("m" * 300, "mmm", None),
        ("studies/minne", "there is no study in studies/minne; in studies: bin, mine", "'studies/mine'?"),
        ("minne", "there is no study in minne or studies/minne; in studies: bin, mine", "'mine'?"),
        (
            "elsewhere/mine",
            "there is no study in elsewhere/mine; elsewhere holds no other study",
            "`fedskew study CONFIG` makes one",
        ),
    ):
        lines = place("report", name, code=2).stderr.splitlines()
        assert lines[0].startswith(f"error: {error}"), lines
        assert (hint or "") in "".join(lines[1:])
        assert len(lines) == (1 if hint is None else 2)


# --- the study --------------------------------------------------------------------------------------


def test_results_go_to_stdout_and_progress_to_stderr(tiny_place: Place) -> None:
    out, err = ((tiny_place.path / name).read_text() for name in ("stdout.txt", "stderr.txt"))
    assert out.startswith("tiny\n")
    assert re.search(r"^no attack +\d+\.\d\d ", out, re.MULTILINE)
    assert "folder: studies/tiny" in out
    assert "started" not in out
    lines = err.splitlines()
    assert lines[0] == "setting no attack, seed 0: started"
    assert re.fullmatch(r"\[1/2\] setting no attack, seed 0: done in 2 rounds  accuracy .* bias .*", lines[1])
    assert lines[3].startswith("[2/2] setting backdoor, seed 0: done in 2 rounds")
    assert len(lines) == 4
    assert "\x1b" not in out + err


def test_the_same_command_again_has_nothing_to_do(tiny_place: Place, inside: Inside) -> None:
    before = {p: p.stat().st_mtime_ns for p in (tiny_place.path / "studies").rglob("rounds.jsonl")}
    done = inside("study", "tiny.toml", "--json")
    rows = json.loads(done.stdout)["tiny"]
    assert [row["setting"] for row in rows] == ["no attack", "backdoor"]
    assert all(0 < row["accuracy"] <= 1 for row in rows)
    run = json.loads(inside("watch", "tiny", "--once", "--json").stdout)["runs"][0]
    assert rows[0]["accuracy"] == pytest.approx(run["metrics"]["accuracy"]), "the same key, the same unit"
    assert done.stderr == ""
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_plan(tiny_place: Place, inside: Inside) -> None:
    for study in ("tiny.toml", "studies/tiny"):
        rows = json.loads(inside("plan", study, "--json").stdout)
        assert [(row["setting"], row["seed"], row["status"]) for row in rows] == [
            ("no attack", 0, "done"),
            ("backdoor", 0, "done"),
        ]
        assert (tiny_place.path / "studies" / "tiny" / "runs" / rows[0]["run"] / "result.json").exists()
    before = sorted((tiny_place.path / "studies").glob("*"))
    for command in ("plan", "study"):  # with its folder, or with the file in it, it is that study
        for place in ("studies/tiny", "studies/tiny/study.toml"):
            assert inside(command, place, "--json").stdout.count('"setting"') == 2
    assert sorted((tiny_place.path / "studies").glob("*")) == before
    text = inside("plan", "tiny.toml", "--set", "seeds=[0,1]").stdout
    assert "2 done, 2 to do, 0 to do again" in text
    assert "not started" in text
    assert json.loads(inside("plan", "quickstart", "--json").stdout)[0]["status"] == "to do"
    assert not (tiny_place.path / "studies" / "quickstart").exists(), "a plan leaves nothing behind"


def test_a_study_below_studies_is_found_by_its_name_everywhere(inside: Inside) -> None:
    """``report tiny`` finds it, so ``plan tiny`` should."""
    rows = json.loads(inside("plan", "tiny", "--json").stdout)
    assert [row["status"] for row in rows] == ["done", "done"]


def test_report_in_every_format(tiny_place: Place, inside: Inside) -> None:
    tables = {
        "csv": inside("report", "tiny", "--format", "csv").stdout,
        "json": tiny_place("report", "tiny", "--format", "json").stdout,  # a real process
    }
    rows = list(csv.DictReader(io.StringIO(tables["csv"])))
    by_json = json.loads(tables["json"])["tiny"]
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(
        [100 * row["accuracy"] for row in by_json]
    )

    folder = tiny_place.path / "written"
    printed = inside("report", "studies/tiny", "--out", "written").stdout
    assert printed.splitlines()[-1].split() == ["report:", "written/index.html"]
    accuracy = f"{float(rows[0]['accuracy']):.2f}"
    assert accuracy in printed
    for name in ("tables/tables.md", "tables/tables.tex", "index.html"):
        assert accuracy in (folder / name).read_text()
    assert (folder / "tables/tables.csv").read_text() == tables["csv"]
    assert "| setting |" in (folder / "tables/tables.md").read_text()
    assert r"\begin{tabular}" in (folder / "tables/tables.tex").read_text()


def test_the_best_round_is_shown_by_study_as_by_report(inside: Inside) -> None:
    for format_, as_json in (("text", ()), ("json", ("--json",))):
        shown = inside("study", "tiny.toml", "--best", "test_loss", "--quiet", *as_json).stdout
        table = inside("report", "tiny", "--best", "test_loss", "--format", format_).stdout
        assert "The best round by test loss beside the last" in table
        assert shown.partition("folder: ")[0] == table
        assert table.startswith(inside("report", "tiny", "--format", format_).stdout.rstrip("}\n"))


def test_runs_without_the_metric_that_was_to_choose_are_shown_before_the_error(
    tiny_place: Place, inside: Inside
) -> None:
    """Whether a run has validation data is seen when it is done."""
    done = inside("study", "tiny.toml", "--best", "validation_loss", "--quiet", code=2)
    assert done.stdout == (tiny_place.path / "stdout.txt").read_text()
    assert done.stderr.endswith(
        "error: no run has measured validation_loss\n"
        "hint: hold validation data out, for example with data.validation = 0.1\n"
    )
    wrong = inside("study", "tiny.toml", "--best", "validation_los", "--quiet", code=2)
    assert "error: unknown metric 'validation_los'; valid: accuracy, " in wrong.stderr


def test_files_of_data_are_compared_in_the_data_root_that_is_given(inside: Inside, tmp_path: Path) -> None:
    """The environment names another one, where the file is not, so that it is not compared without the option."""
    rows = [f"{i},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(24)]
    file = tmp_path / "root" / "mine.csv"
    file.parent.mkdir()
    file.write_text("\n".join(["x,z,label", *rows]) + "\n")
    study = {
        "name": "table",
        "seeds": [0],
        "base": {
            "rounds": 1,
            "data": {"name": "csv", "path": "mine.csv"},
            "clients": {"count": 2},
            "split": "iid",
            "model": {"name": "mlp", "hidden": [2]},
        },
    }
    here, root = tmp_path / "table", str(file.parent)
    done = fedskew.run_study(study, here, jobs=1, data_dir=root, quiet=True)
    assert done.load_data().x_train.shape[0] > 0
    file.write_text(file.read_text().replace("0,0,no", "5,0,no"))

    def told(*more: str) -> list[str]:
        (row,) = json.loads(inside("plan", str(here), "--json", *more).stdout)
        inside("report", str(here), "--out", str(tmp_path / "report"), *more)
        (listed,) = csv.DictReader(io.StringIO((tmp_path / "report/tables/runs.csv").read_text()))
        packed = inside("pack", str(here), "--out", str(tmp_path / "table.tar.xz"), *more).stdout
        data_dir = Path(more[1]) if more else None
        return [
            str(row["status"]),
            listed["status"],
            packed.partition(": ")[2].partition(" of")[0],
            *fedskew.load(here, data_dir=data_dir).runs["status"],
            *fedskew.load(here / "runs" / row["run"], data_dir=data_dir).runs["status"],
        ]

    assert told() == ["done", "done", "1 complete run", "done", "done"]
    again = "to do again"
    assert told("--data-dir", root) == [again, again, "0 complete runs", again, again]
    assert done.runs["status"].tolist() == [again], (
        "the frames are made when they are asked for, and as the runs were"
    )


# --- before training --------------------------------------------------------------------------------


def test_inspect_prints_the_table_and_writes_the_picture(tiny_place: Place, inside: Inside) -> None:
    done = tiny_place("inspect", "tiny.toml", "--picture", "split.svg")  # a real process
    assert (tiny_place.path / "split.svg").read_text().startswith("<?xml")
    assert "picture: split.svg" in done.stdout
    assert "* adversary" in done.stdout
    assert re.search(r"honest clients: total variation 0\.\d+, Jensen-Shannon 0\.\d+", done.stdout)
    totals = [line.split("│") for line in done.stdout.splitlines() if re.match(r"│ all", line)]
    assert len(totals) == 2, "one table with the adversary, one without"
    counts = [int(cell) for cell in totals[0][2:-1]]
    assert sum(counts[:-1]) == counts[-1] > 1000

    found = json.loads(inside("inspect", "tiny.toml", "--json", "--seed", "3").stdout)
    assert found["picture"] is None
    assert not (tiny_place.path / "split.png").exists(), "nothing is written unasked"
    assert [split["seed"] for split in found["splits"]] == [3, 3]
    (one,) = json.loads(inside("inspect", "tiny.toml", "--json", "--only", "setting=backdoor").stdout)[
        "splits"
    ]
    assert one["cells"] == ["setting backdoor"]
    assert not list((tiny_place.path / "studies").glob("tiny/runs/*/failure.json"))


def test_list(tiny_place: Place) -> None:
    text = tiny_place("list").stdout
    found = json.loads(tiny_place("list", "--json").stdout)
    assert list(found) == ["preset", *BUILT_IN]
    assert list(found["preset"]) == preset_names()
    for kind, entries in found.items():
        assert f"\n{kind}\n" in f"\n{text}"
        for name, summary in entries.items():
            assert name in text
            assert summary, f"{kind} {name} says what it is"
            assert not summary.rstrip().endswith(("5,000", ",")), "a sentence that is cut in the middle"
    assert list(json.loads(tiny_place("list", "split", "--json").stdout)) == ["split"]
    assert "alpha, remainder = 'unbiased'" in found["split"]["dirichlet"]


def test_list_one_component(tiny_place: Place) -> None:
    lines = tiny_place("list", "aggregator", "krum").stdout.splitlines()
    assert lines[0] == "krum (aggregator)"
    labels = ["what it does", "formula", "options", "weights", "needs", "refused", "reference"]
    assert [line[2:20].strip() for line in lines[1:]] == labels
    assert lines[3] == "  options           f"
    found = json.loads(tiny_place("list", "aggregators", "krum", "--json").stdout)
    listed = json.loads(tiny_place("list", "--json").stdout)
    assert listed["aggregator"]["krum"] == f"{found['summary']} [{', '.join(found['options'])}]"
    preset = preset_names()[0]
    assert json.loads(tiny_place("list", "preset", preset, "--json").stdout) == {
        "preset": {preset: listed["preset"][preset]}
    }


def test_data(tiny_place: Place, inside: Inside) -> None:
    where = json.loads(inside("data", "where", "--json").stdout)
    available = {entry["name"]: entry["available"] for entry in where}
    assert set(BUILT_IN["dataset"]) == set(available)
    assert available["digits"]
    assert not available["fashion-mnist"]
    assert not available["emnist"]
    assert {entry["root"] for entry in where} == {str(tiny_place.path / "data")}
    assert "digits: ready" in inside("data", "where").stdout
    assert "digits" in inside("data", "verify").stdout, "of all of them, none need be there"
    verified = json.loads(inside("data", "verify", "fashion-mnist", "--json", code=1).stdout)
    assert [file["status"] for file in verified[0]["files"]] == ["missing"] * 4

    other = tiny_place.path / "other" / "fashion-mnist"
    other.mkdir(parents=True)
    (other / "train-images-idx3-ubyte").write_bytes(b"nonsense")
    bad = inside("data", "verify", "fashion-mnist", "--data-dir", "other", "--json", code=1)
    assert [file["ok"] for file in json.loads(bad.stdout)[0]["files"]] == [False] * 4


# --- runs that did not go well ----------------------------------------------------------------------

DIVERGED = ["--set", "training.optimizer.lr=1e30", "--set", "rounds=2", "--quiet"]


def test_a_run_that_diverged_says_so_and_is_exit_code_1_each_time(tiny_place: Place, inside: Inside) -> None:
    done = tiny_place("run", "mine.toml", *DIVERGED, "--out", "lost", code=1)  # a real process
    assert (
        "serious: 1 run diverged, whose numbers are not those of a trained model: every update was"
        in done.stdout
    )
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: the run diverged, so its numbers are not those of a trained model")
    assert hint == "hint: lower training.optimizer.lr or server.learning_rate"
    assert (tiny_place.path / "lost" / "result.json").exists()
    again = inside("run", "mine.toml", *DIVERGED, "--out", "lost", "--json", code=1)
    found = json.loads(again.stdout)["reasons_to_distrust"]
    assert [(reason["code"], reason["severity"]) for reason in found] == [
        ("diverged", "serious"),
        ("rejected-updates", "serious"),
    ]
    fine = inside("run", "mine.toml", "--set", "rounds=2", "--out", "fine", "--json")
    assert json.loads(fine.stdout)["reasons_to_distrust"] == []


def test_text_from_files_does_not_reach_the_terminal_as_its_commands(
    tiny_place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason in a run's failure.json and the message of a plug-in. What is printed is looked at as a terminal
    gets it: a pipe loses colours anyway."""
    from fedskew.analysis.distrust.incomplete import incomplete_reasons
    from fedskew.cli.app import complain, show_reason
    from fedskew.errors import RunError
    from fedskew.runs.folder import RunFolder
    from fedskew.study.source import as_study, find_config

    monkeypatch.setattr(sys.modules[complain.__module__], "colour", lambda: True)
    monkeypatch.chdir(tiny_place.path)
    planned = planned_runs(as_study(find_config("tiny.toml", [])))
    folder = RunFolder.below(tiny_place.path / "said", planned[0].identity)
    folder.path.mkdir(parents=True)
    folder.write_failure("\x1b[31mred\x07 \x9b2J\x7f\tdone")
    reason, _ = incomplete_reasons(planned, tiny_place.path / "said", ())
    show_reason(reason)
    said = capfd.readouterr().out
    assert said.startswith("\x1b[31m\x1b[1mserious: \x1b[0m1 of 2 runs failed"), "its own colours stay"
    assert said.endswith("(\\x1b[31mred\\x07 \\x9b2J\\x7f\tdone)\n")
    complain(RunError("first\x1b[2J\x85\n  second\r", "third\x1b]0;x\x07"))
    assert capfd.readouterr().err == (
        "\x1b[31m\x1b[1merror: \x1b[0mfirst\\x1b[2J\\x85\n  second\\x0d\n"
        "\x1b[36m\x1b[1mhint: \x1b[0mthird\\x1b]0;x\\x07\n"
    )


def test_a_model_that_is_not_finite_is_a_failed_run(inside: Inside) -> None:
    done = inside("run", "mine.toml", "--set", "server.learning_rate=1e39", "--out", "infinite", code=1)
    assert "error: the global model diverged: it is not finite after round 1" in done.stderr


@pytest.mark.slow
def test_a_diverged_cell_is_a_result_of_a_study_that_says_so(tiny_place: Place) -> None:
    """The study is done, so its exit code is 0; the marks and the reason are beside its numbers."""
    (tiny_place.path / "rates.toml").write_text(
        'name = "rates"\n[base]\nrounds = 1\nmodel = { name = "mlp", hidden = [4] }\nstopping = "rounds"\n'
        '[axes.lr]\nfield = "training.optimizer.lr"\nvalues = [0.01, 1e30]\n'
    )
    done = tiny_place("study", "rates.toml", "--quiet")
    fine, lost = (line for line in done.stdout.splitlines() if re.match(r"0\.01|1e\+30", line))
    assert "†" in lost
    assert "†" not in fine
    assert "† some of the runs behind it diverged" in done.stdout
    assert "serious: 1 run diverged" in done.stderr
    assert "lr 1e+30: every update was rejected" in done.stderr
    planned = tiny_place("plan", "studies/rates", "--json").stdout
    assert [run["why"] for run in json.loads(planned)] == [
        "1 round: the round limit",
        "1 round: the round limit, diverged",
    ]
    watched = json.loads(tiny_place("watch", "rates", "--json").stdout)["runs"]
    assert [run["why"] for run in watched] == ["the round limit", "the round limit, diverged"]
    report = tiny_place("report", "rates")
    assert "†" in report.stdout
    page = (tiny_place.path / "studies" / "rates" / "report" / "index.html").read_text()
    assert "1 run diverged" in page
    assert (tiny_place.path / "studies/rates/report/tables").is_dir()


F3 = """\
rounds = 1
stopping = "rounds"
clients = { count = 60 }
split = { name = "dirichlet", alpha = 0.01, remainder = "first" }
defence = { learning_rate = { name = "rlr", theta = 30 } }
"""


def test_a_defence_that_the_clients_with_data_are_too_few_for(tiny_place: Place, inside: Inside) -> None:
    """28 of 60 clients have data: refused before any training, alone and in a study, and shown by inspect."""
    (tiny_place.path / "f3.toml").write_text(F3)
    words = (
        "defence.learning_rate: 'rlr' with theta = 30 needs 30 or more updates in a round, and with seed 0 only 28 of "
        "60 clients have data, so that there are at most 28: with fewer it turns every parameter's learning rate "
        "negative"
    )
    done = tiny_place("run", "f3.toml", "--quiet", code=2)  # a real process
    error, hint = done.stderr.splitlines()
    assert error == f"error: f3.toml, line 5: {words}"
    assert hint.startswith(
        "hint: change its options (theta = 28 at most), or leave fewer clients without data"
    )
    (tiny_place.path / "f3s.toml").write_text(
        'name = "f3s"\nseeds = [3, 0]\n[base]\n' + F3.replace("rounds = 1", "rounds = 1\ndata = 'digits'")
    )
    done = inside("study", "f3s.toml", "--quiet", "--set", "seeds=[0]", code=2)
    assert f"f3s.toml, line 9: {words}" in done.stderr
    assert not list((tiny_place.path / "studies" / "f3s").glob("runs/*")), "nothing was started"
    inside("plan", "f3s.toml")  # which does not draw the split
    assert f"\ncaution: this will be refused: {words}\n" in inside("inspect", "f3.toml").stdout
    assert json.loads(inside("inspect", "f3.toml", "--json").stdout)["splits"][0]["cautions"] == [
        f"this will be refused: {words}"
    ]
    inside("run", "f3.toml", "--quiet", "--set", "defence.learning_rate.theta=20")


def test_inspect_and_run_say_that_an_attack_cannot_act(inside: Inside) -> None:
    few = ["tiny.toml", "--set", "attack.poison_fraction=0.001"]
    why = "samples that the adversary held was poisoned (a share of less than one sample is none)"
    clean, attacked = json.loads(inside("inspect", *few, "--json").stdout)["splits"]
    assert clean["cautions"] == []
    (line,) = attacked["cautions"]
    assert line.startswith("setting backdoor: the attack does nothing: none of the ")
    assert line.endswith(why)
    done = inside("study", *few, "--out", "few", "--quiet")
    assert "serious: the attack poisoned nothing that a model could learn from in 1 run" in done.stderr
    assert why in done.stderr
    # A plug-in's attack is looked at only where it may be imported.
    plugin = ["tiny.toml", "--set", 'attack="nowhere:attack"']
    assert "caution" not in inside("inspect", *plugin).stdout


def test_inspect_lists_the_features_of_a_table_and_says_what_does_not_fit_it(
    tiny_place: Place, inside: Inside
) -> None:
    rows = [f"{20 + i},{i / 8},{'AB'[i % 2]},1,{i % 2}" for i in range(40)]
    (tiny_place.path / "own.csv").write_text("age,[red]dose,ward,one,label\n" + "\n".join(rows) + "\n")
    (tiny_place.path / "own.toml").write_text(
        'data = { name = "csv", path = "own.csv" }\nsplit = "iid"\nclients = { count = 2 }\nmodel = "mlp"\n'
    )
    shown = inside("inspect", "own.toml").stdout
    assert "32 training samples, 8 test samples, 2 classes, 5 features" in " ".join(shown.split())
    rows_shown = {
        cells[0]: cells[1:4]
        for line in shown.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│").split("│")]) == 5
    }
    assert rows_shown["age"] == ["whole numbers", "20", "59"]
    assert rows_shown["[red]dose"] == ["numbers", "0", "4.875"]
    assert rows_shown["ward=B"] == ["0 or 1", "0", "1"]
    assert rows_shown["one"] == ["always the same", "1", "1"]
    assert "caution" not in shown

    found = json.loads(inside("inspect", "own.toml", "--set", 'model="lenet"', "--json").stdout)
    (data,) = found["data"]
    assert [one["name"] for one in data["features"]] == ["age", "[red]dose", "ward=A", "ward=B", "one"]
    assert (data["values"], data["train"], data["test"], data["classes"]) == ("numbers", 32, 8, 2)
    pictures = inside("inspect", "tiny.toml").stdout
    size = "data 'digits': 1437 training samples, 360 test samples, 10 classes, 8 x 8 pixels, 1 channel"
    assert pictures.startswith(size + "\n")
    why = "model: 'lenet' works with pixels, and the data set 'csv' has numbers"
    assert found["splits"][0]["cautions"] == [f"this will be refused: {why}"]
    refused = inside("run", "own.toml", "--quiet", "--set", 'model="lenet"', code=2)
    assert why in refused.stderr
    attacked = ["--set", "attack={name='backdoor', target=1}", "--set", "adversaries.count=1"]
    assert "caution: this will be refused: attack.trigger: 'plus' works with pixels" in " ".join(
        inside("inspect", "own.toml", *attacked).stdout.split()
    )
    images = json.loads(inside("inspect", "tiny.toml", "--json").stdout)["data"]
    assert [(one["values"], one["features"]) for one in images] == [("pixels", [])]


def test_exit_codes_are_in_the_help(tiny_place: Place) -> None:
    assert "Exit codes: 0 done; 1 a run failed" in " ".join(tiny_place("--help").stdout.split())


# --- one run, interrupted ---------------------------------------------------------------------------


def wait_for_rounds(process: subprocess.Popen[str], path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(read_lines(path)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_is_exit_code_130_and_the_same_command_goes_on(tiny_place: Place) -> None:
    command = ["run", "mine.toml", "--out", "interrupted", "--threads", "1", "--engine", "torch"]
    command += ["--checkpoint-every", "0"]
    process = tiny_place.start(*command)
    path = tiny_place.path / "interrupted" / "rounds.jsonl"
    wait_for_rounds(process, path, 3)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; rerun the same command to resume" in err
    assert "Traceback" not in err
    assert 3 <= len(read_lines(path)) < 200
    assert not (path.parent / "result.json").exists()
    assert not (path.parent / "failure.json").exists()

    found = json.loads(tiny_place(*command, "--json").stdout)
    assert (found["rounds"], found["last"]["round"]) == (200, 200)
    assert found["stopped"] == "the round limit"
    sessions = json.loads((path.parent / "environment.json").read_text())["sittings"]
    assert [session["from_round"] > 0 for session in sessions] == [False, True]


def test_ctrl_c_while_workers_start_shows_no_traceback(tiny_place: Place) -> None:
    """A terminal sends it to the whole group: also to workers that are still importing."""
    process = tiny_place.start("study", "tiny.toml", "--out", "early", "--jobs", "2", "--engine", "torch")
    deadline = time.monotonic() + 60
    while not any("forkserver" in " ".join(c.cmdline()) for c in psutil.Process(process.pid).children()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    children = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; rerun the same command to resume" in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_ctrl_c_in_text_that_is_executed_has_the_same_exit_code(tiny_place: Place) -> None:
    """While modules are imported, dataclasses execute text; a KeyboardInterrupt in there is Python's own to end."""
    (tiny_place.path / "interrupts.py").write_text(
        'import os, signal\nexec("os.kill(os.getpid(), signal.SIGINT)")\n'
    )
    (tiny_place.path / "interrupted.toml").write_text('rounds = 2\nstopping = "interrupts:rule"\n')
    process = tiny_place.start("run", "interrupted.toml", "--allow-plugin", "interrupts")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; rerun the same command to resume" in err
    assert "Traceback" not in err
