"""A study seen from outside: states, time left, the table at any size, and a real terminal beside a real study."""

from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import re
import select as selectors
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fedskew.cli import app
from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError
from fedskew.federation.records import record_to_json
from fedskew.files import LineFile, read_lines, replace_file
from fedskew.protocols import RoundRecord
from fedskew.runs.locks import held_locks, is_held, locked
from fedskew.study import watch as watching
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun
from fedskew.study.source import as_study, find_config
from fedskew.study.time_left import Left
from fedskew.study.watch import RunView, StudyView, Watcher, left_of_study
from fedskew.terminal.live_table import picture, shown_metrics, sparkline
from helpers import PROPERTY

needs_table = pytest.mark.skipif(held_locks() is None, reason="needs a kernel that lists locks (/proc/locks)")

STUDY = """\
name = "mine"
seeds = [0, 1]
[base]
rounds = 200
model = { name = "mlp", hidden = [64] }
clients = { count = 4 }
stopping = "rounds"
training = { epochs = 1, batch_size = 64 }
[axes.alpha]
field = "split.alpha"
values = [1.0, 0.5]
[base.split]
name = "dirichlet"
alpha = 1.0
"""


def make_study(folder: Path, text: str = STUDY) -> StudyFolder:
    (folder / "mine.toml").write_text(text)
    source = find_config(str(folder / "mine.toml"))
    return StudyFolder.open(folder / "studies" / "mine", as_study(source), source)


def add_rounds(study: StudyFolder, plan: PlannedRun, *accuracies: float | None, seconds: float = 2.0) -> Path:
    folder = study.run_folder(plan).path
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "config.toml", write_toml(to_plain(plan.experiment)))
    before = (
        len((folder / "rounds.jsonl").read_text().splitlines()) if (folder / "rounds.jsonl").exists() else 0
    )
    records, times = LineFile(folder / "rounds.jsonl"), LineFile(folder / "timings.jsonl")
    for number, accuracy in enumerate(accuracies, start=before + 1):
        metrics = {"accuracy": math.nan if accuracy is None else accuracy, "bias": 0.5}
        record = RoundRecord(number, metrics, [], cohort=[0], rejected=[], empty=[], trace={})
        records.append(record_to_json(record))
        times.append({"round": number, "training": seconds / 2, "total": seconds})
    records.close()
    times.close()
    return folder


def finish(folder: Path, reason: str = "the round limit") -> None:
    *_, last = lines = read_lines(folder / "rounds.jsonl")
    replace_file(folder / "result.json", json.dumps({"rounds": len(lines), "stopped": reason, "last": last}))


# --- locks ------------------------------------------------------------------------------------------

HOLD = """\
import sys, time
from pathlib import Path
from fedskew.runs.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_table_of_locks_is_read(tmp_path: Path) -> None:
    table = tmp_path / "locks"
    table.write_text(
        "1: FLOCK  ADVISORY  WRITE 1800 fe:00:2418177 0 EOF\n"
        "2: POSIX  ADVISORY  READ  17 00:2a:55 128 128\n"
        "2: -> FLOCK  ADVISORY  WRITE 9 fe:00:99 0 EOF\n"
    )
    assert held_locks(table) == frozenset({(254, 0, 2418177), (0, 0, 55)}), (
        "who waits holds nothing; no hardware, no minor"
    )
    assert held_locks(tmp_path / "none") is None


@needs_table
def test_a_lock_is_seen_until_its_holder_dies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not is_held(folder, held_locks() or set())
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "held\n"
        assert is_held(folder, held_locks() or set())
        assert not is_held(tmp_path, held_locks() or set())
        process.kill()
        process.wait()
        assert not is_held(folder, held_locks() or set())
    assert (folder / ".lock").exists(), "the file stays, its lock does not"


def test_looking_never_refuses_an_owner(tmp_path: Path) -> None:
    """Many owners start while somebody looks all the time."""
    study = make_study(tmp_path)
    run = add_rounds(study, study.planned[0], 0.5)
    watcher, over, looks = Watcher(str(study.path)), threading.Event(), [0]

    def look() -> None:
        while not over.is_set():
            watcher.look()
            looks[0] += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(300):
            with locked(study.path), locked(run):
                pass
    finally:
        over.set()
        thread.join()
    assert looks[0] > 10


# --- states -----------------------------------------------------------------------------------------


@needs_table
def test_every_state(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    done, failed, stopped, unstarted = study.planned
    finish(add_rounds(study, done, 0.25, 0.5, 0.75))
    replace_file(add_rounds(study, failed, 0.5) / "failure.json", '{"reason": "no memory\\nat all"}')
    folder = add_rounds(study, stopped, 0.125, None)
    watcher = Watcher(str(study.path))
    view = watcher.look()
    assert [run.state for run in view.runs] == ["done", "failed", "interrupted", "to do"]
    assert [run.rounds for run in view.runs] == [3, 1, 2, 0]
    assert [run.why for run in view.runs] == ["the round limit", "no memory", "", ""]
    assert view.runs[0].curves["accuracy"] == [0.25, 0.5, 0.75]
    assert math.isnan(view.runs[2].curves["accuracy"][1])
    assert not view.owned
    assert view.left is None

    with locked(folder), locked(study.run_folder(unstarted).path), locked(study.run_folder(failed).path):
        view = watcher.look()
        assert view.owned
        assert [run.state for run in view.runs] == ["done", "running", "running", "running"]
        # a round takes 2 s: 199, 198 and 200 rounds side by side
        assert view.left == Left(400.0, at_most=False)
        assert [view.left_of[plan.identity].seconds for plan in (failed, stopped, unstarted)] == [
            398,
            396,
            400,
        ]
    assert watcher.look().runs[2].state == "interrupted"


def test_damage_and_change_on_the_way(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    plan = study.planned[0]
    folder = add_rounds(study, plan, 0.5, 0.625)
    watcher = Watcher(str(study.path))

    def rounds() -> int:
        return watcher.look().runs[0].rounds

    with (folder / "rounds.jsonl").open("a") as file:
        file.write('{"round": 3, "metr')
    assert rounds() == 2, "a torn last line"
    text = (folder / "rounds.jsonl").read_text().splitlines()
    (folder / "rounds.jsonl").write_text("\n".join([text[0], "nonsense", text[1], ""]))
    assert rounds() == 2, "damaged: what was there before"
    (folder / "rounds.jsonl").write_text(text[0] + "\n")
    assert rounds() == 1, "cut behind its checkpoint"
    (folder / "result.json").write_text("")
    assert watcher.look().runs[0].state == "to do again", "damaged"
    folder.rename(folder.with_name(folder.name + "~1"))
    assert watcher.look().runs[0].state == "to do", "put aside"
    shutil.rmtree(study.path)
    assert [run.state for run in watcher.look().runs] == ["to do"] * 4


@pytest.mark.parametrize("complete", [True, False])
def test_a_copy_of_another_run_is_not_shown_as_this_one(tmp_path: Path, complete: bool) -> None:
    study = make_study(tmp_path)
    first, second, *_ = study.planned
    folder = add_rounds(study, first, 0.5, 0.625)
    if complete:
        finish(folder)
    shutil.copytree(folder, study.run_folder(second).path)
    view = Watcher(str(study.path)).look()
    assert [run.state for run in view.runs[:2]] == ["done" if complete else "interrupted", "to do again"]
    assert view.runs[1].why.endswith("holds a run of another config")
    assert view.runs[1].rounds == 0
    assert not view.runs[1].curves
    shown = Console(width=120, record=True)
    shown.print(picture(view, [], shown, None))
    assert "TO DO AGAIN: " in shown.export_text()


def test_an_edited_result_is_not_shown(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = add_rounds(study, study.planned[0], 0.5, 0.625)
    finish(folder)
    result = json.loads((folder / "result.json").read_text())
    result["last"]["metrics"]["accuracy"] = 0.99
    (folder / "result.json").write_text(json.dumps(result))
    run = Watcher(str(study.path)).look().runs[0]
    assert (run.state, run.rounds) == ("to do again", 0)
    assert "its last record is not the one in result.json" in run.why


def test_a_study_that_grows(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    watcher = Watcher(str(study.path), only=["alpha=1"])
    assert [run.plan.seed for run in watcher.look().runs] == [0, 1]
    os.utime(study.path / "study.toml", ns=(0, 0))
    make_study(tmp_path, STUDY.replace("[0, 1]", "[0, 1, 2]"))
    assert [run.plan.seed for run in watcher.look().runs] == [0, 1, 2]
    with pytest.raises(ConfigError, match="--only 'beta=1'"):
        Watcher(str(study.path), only=["beta=1"])
    (study.path / "study.toml").write_text("= nonsense")
    assert len(watcher.look().runs) == 3


def test_an_owner_whose_lock_cannot_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine, say: records that come between two looks are evidence enough, for a minute."""
    study = make_study(tmp_path)
    plan, now = study.planned[0], [1000.0]
    add_rounds(study, plan, 0.5)
    monkeypatch.setattr(watching, "held_locks", frozenset)
    monkeypatch.setattr(time, "time", lambda: now[0])
    watcher = Watcher(str(study.path))
    assert watcher.look().runs[0].state == "interrupted", "records that were there before say nothing"
    add_rounds(study, plan, 0.5)
    assert watcher.look().runs[0].state == "running"
    now[0] += 61
    assert watcher.look().runs[0].state == "interrupted"


@needs_table
def test_an_owner_here_and_one_elsewhere(tmp_path: Path) -> None:
    """Runs of one study on several machines: that one owner's lock is seen says nothing of the others."""
    study = make_study(tmp_path)
    here, there, *_ = study.planned
    folder = add_rounds(study, here, 0.5)
    add_rounds(study, there, 0.5)
    watcher = Watcher(str(study.path))
    with locked(folder):
        assert [run.state for run in watcher.look().runs[:2]] == ["running", "interrupted"]
        add_rounds(study, here, 0.5)
        add_rounds(study, there, 0.5)
        assert [run.state for run in watcher.look().runs[:2]] == ["running", "running"]
        add_rounds(study, here, 0.5)
    assert [run.state for run in watcher.look().runs[:2]] == ["interrupted", "running"], (
        "its last was its own"
    )
    add_rounds(study, here, 0.5)
    assert [run.state for run in watcher.look().runs[:2]] == ["running", "running"], "resumed elsewhere"


def test_where_there_is_no_table_of_locks_the_age_of_the_records_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path)
    folder = add_rounds(study, study.planned[0], 0.5)
    monkeypatch.setattr(watching, "held_locks", lambda: None)
    watcher = Watcher(str(study.path))
    assert [run.state for run in watcher.look().runs[:2]] == ["running", "to do"]
    os.utime(folder / "rounds.jsonl", (time.time() - 61, time.time() - 61))
    assert watcher.look().runs[0].state == "interrupted"


# --- time left --------------------------------------------------------------------------------------


def view_of(study: StudyFolder, *runs: tuple[Any, int, float | None]) -> list[RunView]:
    return [
        RunView(plan, state, rounds, {}, pace)
        for plan, (state, rounds, pace) in zip(study.planned, runs, strict=True)
    ]


def test_time_left_by_hand(tmp_path: Path) -> None:
    study = make_study(tmp_path, STUDY.replace('"rounds"', '{ name = "plateau", patience = 3 }'))
    first, second, third, _ = (plan.identity for plan in study.planned)
    # Nothing is finished: 190 and 100 rounds are left at 2 and 4 s, 2 x 200 at their mean of 3 s, for two at a time.
    runs = view_of(study, ("running", 10, 2.0), ("running", 100, 4.0), ("to do", 0, None), ("to do", 0, None))
    each, whole = left_of_study(runs)
    assert each == {first: Left(380.0, True), second: Left(400.0, True)}
    assert whole == Left((380 + 400 + 600 + 600) / 2, True)
    # One of the first cell took 50 rounds: so will the other of this cell, and all of which nothing is known.
    runs = view_of(study, ("done", 50, 2.0), ("to do", 0, None), ("running", 40, 2.0), ("failed", 3, 9.0))
    each, whole = left_of_study(runs)
    assert each == {third: Left(20.0, False)}
    assert whole == Left(20.0 + 100.0, False)
    # It has come further than the others: one round is left, as far as anybody can say.
    runs = view_of(study, ("done", 50, 2.0), ("done", 30, 2.0), ("running", 70, 2.0), ("done", 10, 1.0))
    assert left_of_study(runs)[1] == Left(2.0, False)
    assert left_of_study(view_of(study, *[("interrupted", 5, 2.0)] * 4)) == ({}, None), "nobody works on it"
    assert left_of_study(view_of(study, ("running", 0, None), *[("to do", 0, None)] * 3)) == ({}, None)


# --- the table --------------------------------------------------------------------------------------


def test_sparklines_by_hand() -> None:
    assert sparkline([0.0, 1.0, 0.5], 0.0, 1.0, 8) == "▁█▅"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 0.0, 7.0, 4) == "▂▄▆█", "the last of each stretch"
    assert sparkline([0.5, math.nan, 0.5], 0.5, 0.5, 8) == "▁ ▁"


@PROPERTY
@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=300), st.integers(1, 20))
def test_a_sparkline_keeps_its_width(values: list[float], width: int) -> None:
    finite = [value for value in values if math.isfinite(value)]
    drawn = sparkline(values, min(finite, default=0), max(finite, default=0), width)
    assert len(drawn) == min(width, len(values))
    assert set(drawn) <= set("▁▂▃▄▅▆▇█ ")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    """45 runs: 2 running, 1 failed, 3 interrupted, 30 done, 9 to do."""
    text = STUDY.replace("[0, 1]", "[0, 1, 2, 3, 4]").replace("[1.0, 0.5]", "[1.0, 0.5, 0.25]")
    text += (
        '[axes.setting.variants."no attack"]\n[axes.setting.variants.backdoor]\nadversaries = { count = 1 }\n'
    )
    text += '[axes.setting.variants."backdoor + [b]RLR"]\nadversaries = { count = 2 }\n'
    study = make_study(tmp_path_factory.mktemp("big"), text)
    states = ["done"] * 30 + ["running"] * 2 + ["failed"] + ["interrupted"] * 3 + ["to do"] * 9
    runs = []
    for plan, state in zip(study.planned, states, strict=True):
        count = 0 if state == "to do" else 50
        curves = {name: [0.01 * (n % 90) for n in range(count)] for name in ("accuracy", "bias", "test_loss")}
        pace = 3.0 if count else None
        reason = "its process died" if state == "failed" else ""
        runs.append(RunView(plan, state, count, curves if count else {}, pace, reason))  # type: ignore[arg-type]
    each, left = left_of_study(runs)
    return StudyView(study, runs, True, left, each)


def drawn(view: StudyView, width: int, height: int | None, *metrics: str) -> list[str]:
    console = Console(width=width, height=height or 25, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(picture(view, metrics, console, height))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_what_runs_comes_first_and_the_rest_is_counted(big: StudyView) -> None:
    lines = drawn(big, 100, 24)
    assert len(lines) == 23, "the cursor needs one"
    assert lines[0] == "mine: 2 running, 1 failed, 3 interrupted, 30 done, 9 to do  1:03:45 left"
    assert lines[1].split() == ["alpha", "setting", "seed", "state", "round", "accuracy", "bias", "left"]
    assert [re.search("running|failed|interrupted|done", line)[0] for line in lines[2:9]] == [  # type: ignore[index]
        *["running"] * 2, "failed", *["interrupted"] * 3, "done"
    ]  # fmt: skip
    assert re.search(
        r"^0\.5 +backdoor +3 +running +50/200 +49.0 [▁-█]+ +49.0 [▁-█]+ +7:30$",
        "\n".join(lines[2:4]),
        re.M,
    )
    assert " backdoor + [b]RLR " in lines[4], "a label is no markup"
    assert re.fullmatch(r"and \d+ more: \d+ done, 9 to do", lines[-2])
    assert lines[-1].endswith("FAILED: its process died")
    assert len(drawn(big, 100, None)) == 1 + 1 + 45 + 1


def test_a_metric_of_ones_own_choice(big: StudyView) -> None:
    lines = drawn(big, 100, 24, "test_loss")
    assert "test loss" in lines[1]
    assert "accuracy" not in lines[1]
    assert " 0.49 " in lines[2], "no percentage"
    with pytest.raises(ConfigError, match="unknown metric 'biass'") as caught:
        shown_metrics(big, ["biass"])
    assert caught.value.hint == "did you mean 'bias'?"
    assert shown_metrics(big, ["attack_success_rate"]), "a standard metric may yet come"


def test_it_fits_every_window(big: StudyView) -> None:
    @PROPERTY
    @given(width=st.integers(30, 220), height=st.integers(8, 60))
    def fits(width: int, height: int) -> None:
        lines = drawn(big, width, height)
        assert len(lines) < height
        assert max(map(cell_len, lines)) <= width
        assert width < 40 or any(" running " in line for line in lines[2:5]), "what matters most is there"
        assert lines[0].startswith("mine: 2 running, ")

    fits()


def test_narrow_windows_lose_curves_then_metrics(big: StudyView) -> None:
    assert "█" in "".join(drawn(big, 90, 24))
    narrow = drawn(big, 78, 24)
    assert "█" not in "".join(narrow)
    assert "bias" in narrow[1]
    assert "accuracy" not in drawn(big, 50, 24)[1]


def test_plain_characters_where_there_are_no_blocks(big: StudyView) -> None:
    console = Console(width=100, color_system=None)
    plain = type("Old", (), {"encoding": "ascii", "width": 100})()
    with console.capture() as capture:
        console.print(picture(big, [], plain, 24))
    assert capture.get().isascii()


# --- the command ------------------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as left:
        app(["watch", *arguments])
    out, err = capsys.readouterr()
    assert left.value.code == code, err
    return out, err


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_without_a_terminal_it_is_printed_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = make_study(tmp_path)
    finish(add_rounds(study, study.planned[0], 0.25, 0.5, 0.75))
    add_rounds(study, study.planned[1], 0.5)
    before = snapshot(study.path)
    out, err = call(capsys, "mine")
    assert err == ""
    assert out.splitlines()[0] == "mine: 1 interrupted, 1 done, 2 to do"
    assert re.search(r"^1\.0 +0 +done +3/200 +75\.0 ▁▅█ +50\.0", out, re.M)
    assert "no process on this machine is working on it" in out
    assert call(capsys, "studies/mine", "--once")[0] == out
    found = json.loads(call(capsys, "mine", "--json", "--metric", "bias")[0])
    assert [run["state"] for run in found["runs"]] == ["done", "interrupted", "to do", "to do"]
    assert found["runs"][0]["metrics"] == {"bias": 0.5}
    assert found["runs"][0]["seconds_per_round"] == 2.0
    assert (found["owned"], found["left"]) == (False, None)
    assert len(json.loads(call(capsys, "mine", "--json", "--only", "seed=1")[0])["runs"]) == 2
    assert snapshot(study.path) == before

    assert "error: there is no study in mine2" in call(capsys, "mine2", code=2)[1]
    assert "unknown metric 'biass'" in call(capsys, "mine", "--metric", "biass", code=2)[1]


class Terminal:
    """``fedskew watch`` on a pty of 24 lines."""

    def __init__(self, folder: Path, *arguments: str, **more: str) -> None:
        environment = {
            k: v for k, v in os.environ.items() if not k.endswith(("COLOR", "COLORS", "COLUMNS", "LINES"))
        }
        environment |= {"TERM": "xterm-256color", **more}
        command = [sys.executable, "-m", "fedskew", "watch", *arguments]
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            try:
                signal.signal(
                    signal.SIGINT, signal.SIG_DFL
                )  # may be ignored where the tests run in the background
                os.chdir(folder)
                os.execve(command[0], command, environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.shown, self.over = b"", False

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.over:
            os.kill(self.child, signal.SIGKILL)
            self.leave(interrupt=False)

    def read(self, wait: float = 0.1) -> bool:
        """Takes what is there; False when the other end is closed."""
        if not selectors.select([self.terminal], [], [], wait)[0]:
            return True
        try:
            part = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.shown += part
        return bool(part)

    def screen(self) -> str:
        """The last whole picture, without colour."""
        frames = re.split(r"\x1b\[(?:\?1049h|H)", self.shown.decode(errors="replace"))
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frames[-2] if len(frames) > 1 else "").replace("\r", "")

    def until(self, condition: Callable[[str], object], seconds: float = 60.0) -> str:
        deadline = time.monotonic() + seconds
        while not condition(self.screen()):
            assert time.monotonic() < deadline, self.screen()
            assert self.read(), self.shown.decode()[-2000:]
        return self.screen()

    def leave(self, *, interrupt: bool) -> int:
        if interrupt:
            os.write(self.terminal, b"\x03")
        while self.read(1.0):
            pass
        os.close(self.terminal)
        self.over = True
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


@contextmanager
def study_process(folder: Path, name: str = "mine.toml") -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "fedskew", "study", name, "--jobs", "1", "--engine", "torch", "--quiet"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@needs_table
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_real_study_watched_and_killed(tmp_path: Path) -> None:
    study = make_study(tmp_path, STUDY.replace("rounds = 200", "rounds = 2000"))
    with Terminal(tmp_path, "mine", "--interval", "0.2") as terminal:
        terminal.until(lambda text: "no process on this machine is working on it" in text)
        with study_process(tmp_path) as process:
            running = r"running +(\d+)/2000 +\d+\.\d [▁-█]+ +\d+\.\d [▁-█]+ +\d+:\d\d"
            first = terminal.until(lambda text: re.search(running, text))
            assert re.match(r"\s*mine: 1 running, 3 to do  [\d:]+ left", first)
            assert "no process" not in first
            number = int(re.search(running, first)[1])  # type: ignore[index]
            later = terminal.until(lambda text: int((re.search(running, text) or [0, 0])[1]) > number + 3)
            assert len(later.strip().splitlines()) == 2 + 4
            assert process.poll() is None, "the study does not mind"
            process.kill()
            process.wait()
            killed = terminal.until(lambda text: "interrupted" in text)
            assert "running" not in killed
            assert "no process on this machine is working on it" in killed
        assert terminal.leave(interrupt=True) == 0
    shown = terminal.shown.decode()
    assert "\x1b[?1049l" in shown, "the terminal is as it was before"
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.rpartition("\x1b[?1049l")[2])
    assert re.search(r"^mine: 1 \w+, 3 to do", after, re.M), "the last picture stays"
    assert "Traceback" not in shown
    assert study.run_folder(study.planned[0]).path.exists()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("no_color", [False, True])
def test_it_leaves_by_itself_when_all_is_done(tmp_path: Path, no_color: bool) -> None:
    study = make_study(tmp_path)
    for plan in study.planned[1:]:
        finish(add_rounds(study, plan, 0.5))
    folder = add_rounds(study, study.planned[0], 0.5)
    more = {"NO_COLOR": "1"} if no_color else {}
    with Terminal(tmp_path, "mine", "--interval", "0.2", **more) as terminal:
        terminal.until(lambda text: "1 interrupted, 3 done" in text)
        finish(folder)
        assert terminal.leave(interrupt=False) == 0
    shown = terminal.shown.decode()
    assert "mine: 4 done" in shown
    assert bool(re.search(r"\x1b\[(\d+;)*3\d(;\d+)*m", shown)) == (not no_color)
