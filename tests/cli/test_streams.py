"""Standard streams that are closed, full, cut or not ours alone; files and folders that cannot be written; arguments
that are empty, too long or not finite: one sentence and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fedskew.cli import app
from fedskew.terminal.say import results_alone, show

CONFIG = """\
rounds = 1
model = { name = "mlp", hidden = [4] }
clients.count = 2
training.epochs = 1
"""
LOUD = """\
import ctypes, os, subprocess, sys
print("import")
def loud(evaluation):
    print("python")
    sys.__stdout__.write("its first stream\\n")
    sys.__stdout__.flush()
    os.write(1, b"descriptor\\n")
    subprocess.run(["echo", "child"])
    ctypes.CDLL(None).puts(b"C")
    return {"loud": 1.0}
"""
NOISE = ["C", "child", "descriptor", "import", "its first stream", "python"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config, in which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(CONFIG)
    return tmp_path


def fedskew(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Has a shell run a command in which ``fedskew`` stands for this one."""
    named = command.replace("fedskew", f"{sys.executable} -m fedskew")
    environment = {**os.environ, **more}
    return subprocess.run(
        ["bash", "-c", named], capture_output=True, text=True, check=False, env=environment, timeout=120
    )


@pytest.mark.parametrize(
    ("command", "code", "err"),
    [
        ("fedskew list split >&-", 0, ""),
        ("fedskew report none 2>&-", 2, ""),
        ("fedskew list >/dev/full", 2, "error: standard output or a file: No space left on device\n"),
        ("fedskew list | head -1; exit ${PIPESTATUS[0]}", 0, ""),
        ("fedskew plan quickstart | true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_streams_that_take_nothing(command: str, code: int, err: str) -> None:
    done = fedskew(command)
    assert (done.returncode, done.stderr) == (code, err)


def test_a_closed_stream_gives_its_number_to_no_file(here: Path) -> None:
    """What a library prints would be written into that file."""
    done = fedskew("fedskew run mine.toml --out run --quiet >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert len((here / "run" / "rounds.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("command", ["run mine.toml --out it", "study mine.toml --out it"])
def test_what_plug_ins_print_is_no_result(command: str, here: Path) -> None:
    """Printed by Python, by C and by a child; in this process and in a worker."""
    (here / "noisy.py").write_text(LOUD)
    path = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    done = fedskew(
        f"fedskew {command} --allow-plugin noisy --set 'evaluation.metrics=[\"noisy:loud\"]' --quiet --json",
        PYTHONPATH=path,
        CC="no-such-compiler",
        PYTHONUNBUFFERED="",  # as usual: what is printed waits in buffers
    )
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    # What C has in a buffer when a worker ends is lost.
    assert sorted({*done.stderr.splitlines(), *["C"] * command.startswith("study")}) == NOISE


@pytest.mark.parametrize("command", ["run mine.toml --out it", "study mine.toml --out it"])
def test_what_is_logged_is_spelled_out(command: str, here: Path) -> None:
    """In this process and in a worker."""
    (here / "odd.py").write_text("def odd(run):\n    raise OSError('red \\x1b[31m')\n")
    done = fedskew(
        f"fedskew {command} --quiet --track odd:odd --allow-plugin odd", PYTHONPATH=".", CC="no-such-compiler"
    )
    assert done.returncode == 0
    assert "failed (OSError: red \\x1b[31m); the run continues without it\n" in done.stderr


def test_one_inside_another_is_the_same_one(capfd: pytest.CaptureFixture[str]) -> None:
    with results_alone():
        with results_alone():
            show("inner")
            print("noise")
        show("outer")
    show("after")
    out, err = capfd.readouterr()
    assert out == "inner\nouter\nafter\n"
    assert err == "noise\n"


def test_json_is_the_same_in_every_encoding(here: Path) -> None:
    """Letters that an encoding lacks were left out of it."""
    (here / "mine.toml").write_text(f'{CONFIG}data = {{ name = "npz", path = "é.npz" }}\n')
    done = fedskew("fedskew plan mine.toml --out é --json", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["status"] == "to do"


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk without room."""
    (disk := tmp_path / "full").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with suppress(OSError), (disk / "filled").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one line on standard error of a command that is refused, without its hint."""
    with pytest.raises(SystemExit) as left:
        app([*arguments])
    out, err = capsys.readouterr()
    assert left.value.code == code, err
    assert out == ""
    line, *hint = [line for line in err.splitlines() if "started" not in line]
    assert all(line.startswith("hint: ") for line in hint)
    return line


def test_a_full_disk(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "study", "mine.toml", "--out", str(full / "study"))
    assert said == f"error: {full}/study/study.toml: No space left on device"
    said = refused(capsys, "run", "mine.toml", "--out", str(full / "run"), code=1)
    assert said.startswith("error: the run failed: OSError: [Errno 28] No space left on device: ")
    assert not (full / "run" / "failure.json").exists()


@pytest.mark.parametrize("command", ["study", "run", "plan", "inspect", "report", "pack", "watch"])
def test_a_path_that_is_too_long(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 300
    said = refused(capsys, command, name)
    assert said.startswith("error: ")
    assert name in said
    assert said.endswith("File name too long")


def test_a_folder_for_temporary_files_with_a_long_path(here: Path) -> None:
    """Workers are forked by a process with a socket there, whose name has some hundred letters at most."""
    long = here / ("x" * 100)
    long.mkdir()
    done = fedskew("fedskew study mine.toml --out it --quiet", TMPDIR=str(long))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: worker processes cannot be begun: the path of the folder for temporary files, {long}, is too long for "
        "a socket in it\nhint: let TMPDIR name a folder with a shorter path\n"
    )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("study", "mine.toml", "--out", ""), "--out"),
        (("run", "mine.toml", "--out="), "--out"),
        (("report", "study", "--picture", ""), "--picture"),
        (("data", "where", "--data-dir", ""), "--data-dir"),
        (("study", ""), "an argument"),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(
    arguments: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    assert refused(capsys, *arguments) == f"error: {option} is empty; expected a value"
    assert [path.name for path in here.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_numbers_of_options_are_finite(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("watch", "x", "--interval"), ("run", "mine.toml", "--checkpoint-every")):
        with pytest.raises(SystemExit) as left:
            app([*arguments, value])
        assert left.value.code == 2
        assert f"Invalid value for '{arguments[-1]}'" in capsys.readouterr().err
    clip = f'defence.transforms=[{{name="clip", norm={value}}}]'
    said = refused(capsys, "run", "mine.toml", "--set", clip)
    assert said.endswith(f"norm = {value}: input should be a finite number")


def test_text_that_is_no_utf_8(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "study", "mine.toml", "--set", "description=\udcff")
    assert said == "error: --set description is not UTF-8 text"
