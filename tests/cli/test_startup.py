"""How quickly the command line is there: what it imports, and its time beside that of the bare interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numpy", "pandas", "pydantic", "matplotlib", "scipy", "sklearn", "rich")
COMMANDS = [["--help"], ["--version"], ["list"], ["list", "split"], ["list", "--json"], ["list", "--help"]]
COMMANDS += [["list", "aggregator", "krum"]]
INSIDE = """\
import json, sys
from fedskew.cli import app
try:
    app(json.loads(sys.argv[1]))
except SystemExit as left:
    assert not left.code
print(json.dumps([name for name in sys.modules if "." not in name]), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    command = [sys.executable, "-c", INSIDE, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    imported = json.loads(done.stderr)
    assert "fedskew" in imported
    assert not set(HEAVY) & set(imported)


COUNTED = """\
import json, sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
sys.setprofile(count)
if len(sys.argv) > 1:
    from fedskew.cli import app
    try:
        app(json.loads(sys.argv[1]))
    except SystemExit:
        pass
else:
    import typer
sys.setprofile(None)
print(calls, file=sys.stderr)
"""


def calls(*arguments: str) -> int:
    """How many Python functions a command calls, imports included: the same number on every machine."""
    command = [sys.executable, "-c", COUNTED, *([json.dumps(arguments)] if arguments else [])]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr)


@pytest.mark.parametrize(("command", "times"), [("--help", 2.25), ("list", 6)])
def test_not_many_times_what_reading_the_command_line_takes(command: str, times: float) -> None:
    """It is 1.5 and 2.5 times an import of typer, the latter with 130 installed packages, whose entry points it reads,
    and 4.0 with 155; with PyTorch it was 16 more."""
    assert calls(command) < times * calls()


def test_components_of_installed_packages_are_listed_without_importing_them(tmp_path: Path) -> None:
    info = tmp_path / "skewplug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: skewplug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fedskew.stopping]\nlate = skewplug:late\n[fedskew.metric]\nodd = skewplug:odd\n[fedskew]\nx = skewplug:x\n"
    )
    (tmp_path / "skewplug.py").write_text("raise AssertionError('imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", "fedskew", "list", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["stopping"]["late"] == "from skewplug (skewplug:late)"
    assert found["metric"] == {"odd": "from skewplug (skewplug:odd)"}
    assert list(found["stopping"])[:2] == ["plateau", "rounds"], "the built-in ones come first"


def test_a_narrow_window_wraps_and_a_file_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedskew.cli.listing import _show

    entries = {"dirichlet": "label skew: each class spread by one draw", "x": "y"}
    _show(entries)
    assert capsys.readouterr().out.splitlines() == [
        "  dirichlet         label skew: each class spread by one draw",
        "  x                 y",
    ]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "44")
    _show(entries)
    assert capsys.readouterr().out.splitlines() == [
        "  dirichlet         label skew: each class",
        "                    spread by one draw",
        "  x                 y",
    ]
    monkeypatch.setenv("COLUMNS", "30")  # two columns would leave the second ten characters
    _show(entries)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["  dirichlet", "    label skew: each class"]
    assert max(map(len, lines)) <= 30
