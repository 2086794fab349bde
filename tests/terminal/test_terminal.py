"""What a person sees on a real terminal (a pty), and what a file gets instead."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from fedskew.runs.events import Ended, Event, Held, RoundDone, Started
from fedskew.study.time_left import time_left
from fedskew.terminal.progress import TimeLeft, display, metrics_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

STUDY = """\
name = "bars"
[base]
rounds = 30
model = { name = "mlp", hidden = [8] }
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


def on_a_terminal(folder: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """Runs fedskew with a pty as its stdin, stdout and stderr; returns the exit code and all that was shown."""
    environment = {
        k: v for k, v in os.environ.items() if not k.endswith(("COLOR", "COLORS", "COLUMNS", "LINES"))
    }
    environment |= {"TERM": "xterm-256color", "XDG_CACHE_HOME": str(folder / "cache"), **more}
    command = [sys.executable, "-m", "fedskew", *arguments]
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.execve(command[0], command, environment)
        finally:
            os._exit(127)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_bars_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "bars.toml").write_text(STUDY)
    code, shown = on_a_terminal(tmp_path, "study", "bars.toml", "--jobs", "1", "--engine", "torch")
    text = plain(shown)
    assert code == 0
    assert re.search(r"all runs +\S*━+.* 1/2", text), "the bar of the whole"
    assert re.search(r"  alpha 1\.0, seed 0 +━+.* \d+/30 +accuracy \d+\.\d  bias \d+\.\d", text), (
        "the bar of a run"
    )
    rounds = [int(n) for n in re.findall(r"alpha 0\.5, seed 0 .*? (\d+)/30", text)]
    assert len(set(rounds)) > 2, "it moves"
    assert rounds == sorted(rounds)
    assert re.search(r"\d+:\d\d left", text), "the time left"
    assert "started" not in text, "plain lines are for files"
    assert "[1/2]" not in text
    assert "\x1b[3" in shown, "colour"
    assert "folder: studies/bars" in text


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("no_color", [False, True])
def test_an_error_on_a_terminal(tmp_path: Path, no_color: bool) -> None:
    more = {"NO_COLOR": "1"} if no_color else {}
    code, shown = on_a_terminal(tmp_path, "list", "splt", **more)
    assert code == 2
    assert ("\x1b[3" in shown) == (not no_color)
    assert "error: unknown kind 'splt'" in plain(shown)
    assert "hint: did you mean 'split'?" in plain(shown)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_no_color_takes_the_colour_out_of_tables_and_help(tmp_path: Path) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
    for arguments in (["list", "split"], ["--help"]):
        code, shown = on_a_terminal(tmp_path, *arguments, NO_COLOR="1")
        assert code == 0
        assert not colour.search(shown), arguments


# --- without a terminal -----------------------------------------------------------------------------

EVENTS: list[Event] = [
    Started(0),
    RoundDone(0, 1, {"accuracy": 0.5, "bias": 0.25, "test_loss": 3.0}),
    RoundDone(0, 2, {"accuracy": 0.75, "bias": 0.125}),
    Ended(0, 2, None),
    Started(1),
    Ended(1, 0, "no luck\nwith details"),
]


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with display(["alpha 1.0, seed 0", "alpha 0.5, seed 0"], [2, 2], 1) as shown:
        for event in EVENTS:
            shown.see(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "alpha 1.0, seed 0: started",
        "[1/2] alpha 1.0, seed 0: done in 2 rounds  accuracy 75.0  bias 12.5",
        "alpha 0.5, seed 0: started",
        "[2/2] alpha 0.5, seed 0: FAILED: no luck",
    ]


def test_runs_of_other_processes_are_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is held is looked at again and again; that its machine was lost is told elsewhere."""
    with display(["one", "two"], [2, 2], None) as shown:
        for event in (
            Held(0),
            Started(1),
            Started(1),
            Held(0),
            Ended(1, 2, None),
            Held(0),
            Ended(0, 2, None),
        ):
            shown.see(event)
    assert capsys.readouterr().err.splitlines() == [
        "runs that another process is doing are left to it and looked at again at the end",
        "two: started",
        "two: started",
        "[1/2] two: done in 2 rounds  (by another process)",
        "[2/2] one: done in 2 rounds  (by another process)",
    ]


def test_of_many_runs_the_time_left_is_not_estimated_for_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], [0]

    def counted(*given: Any) -> Any:
        asked[0] += 1
        return time_left(*given)

    monkeypatch.setattr("fedskew.terminal.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("fedskew.terminal.progress.time_left", counted)
    left = TimeLeft([10] * 2000, jobs=None)
    for task in range(2):
        left.see(Started(task))
    for number in range(1, 10):
        now[0] += 0.25
        for task in range(2):
            left.see(RoundDone(task, number, {}))
            left.text(task)
    assert asked == [3], "at 0.25, 1.25 and 2.25 seconds"
    now[0] += 1.0
    # 2 x 1 and 1,998 x 10 rounds of a quarter of a second, by the two that are seen to run.
    assert left.text() == "at most 41:38 left"


def test_a_line_every_half_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("fedskew.terminal.progress.time.monotonic", lambda: now[0])
    with display(["one"], [100], 1) as shown:
        shown.see(Started(0))
        for number in range(1, 8):
            now[0] += 10
            shown.see(RoundDone(0, number, {"accuracy": 0.5}))
    assert capsys.readouterr().err.splitlines() == [
        "one: started",
        "one: round 3  accuracy 50.0  (at most 16:10 left)",
        "one: round 6  accuracy 50.0  (at most 15:40 left)",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with display(["one", "two"], [2, 2], 1, quiet=True) as shown:
        for event in EVENTS:
            shown.see(event)
    assert capsys.readouterr() == ("", "")


def test_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fedskew.terminal.progress.time.monotonic", lambda: now[0])
    left = TimeLeft([10, 10, 10, 10], jobs=2)
    assert left.text() == ""
    for task in (0, 1):
        left.see(Started(task))
    for number in (1, 2):
        now[0] += 60
        for task in (0, 1):
            left.see(RoundDone(task, number, {}))
    # 8 + 8 + 10 + 10 rounds of a minute by two: 18 minutes, if no run stops early.
    assert left.text() == "at most 18:00 left"
    left.see(Ended(0, 4, None))
    # Now 4 rounds is what a run takes: 2 + 4 + 4 by two.
    assert left.text() == "5:00 left"


def test_a_failed_run_does_not_count_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fedskew.terminal.progress.time.monotonic", lambda: now[0])
    left = TimeLeft([100, 100], jobs=1)
    left.see(Started(0))
    for number in (1, 2):
        now[0] += 60
        left.see(RoundDone(0, number, {}))
    left.see(Ended(0, 2, "killed"))
    assert left.text() == "at most 1:40:00 left"


def test_metrics_in_a_few_words() -> None:
    metrics = {"accuracy": 0.9008, "bias": 0.2448, "backdoor_accuracy": 0.5, "test_loss": 1.0}
    assert metrics_text(metrics) == "accuracy 90.1  bias 24.5  backdoor accuracy 50.0"
    assert metrics_text({}) == ""
