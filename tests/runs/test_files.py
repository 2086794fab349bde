"""Files that survive a kill at any instant, with real processes that are killed."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedskew.errors import HeldError, RunError
from fedskew.files import LineFile, keep_lines, read_lines, replace_file, to_json
from fedskew.runs.locks import locked

WRITER = """
import sys
import threading
from pathlib import Path
from fedskew.files import replace_file
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"abc":
        replace_file(path, bytes([letter]) * 300_000)
"""
APPENDER = """
import sys
import threading
from pathlib import Path
from fedskew.files import LineFile, keep_lines, read_lines
path = Path(sys.argv[1])
keep_lines(path, len(read_lines(path)))
number = len(read_lines(path))
file = LineFile(path)
print("ready", flush=True)
while True:
    file.append({"number": number, "padding": "x" * 5000})
    number += 1
"""
HOLDER = """
import sys, time
from pathlib import Path
from fedskew.runs.locks import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(120)
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


# --- replacing --------------------------------------------------------------------------------------


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    path, rng = tmp_path / "file", random.Random(0)
    replace_file(path, b"a" * 300_000)
    for _ in range(5):
        process = start(WRITER, path)
        deadline = time.monotonic() + rng.uniform(0.01, 0.2)
        while time.monotonic() < deadline:  # a reader beside the writer sees whole files too
            seen = path.read_bytes()
            assert len(seen) == 300_000
            assert len(set(seen)) == 1
        kill(process)
        seen = path.read_bytes()
        assert len(seen) == 300_000
        assert len(set(seen)) == 1


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_replacement_that_fails_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((Path, "replace", fail) if step == "replace" else (os, "fsync", fail)))
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    replace_file(path, "newer")
    assert path.read_text() == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_text_is_utf8_and_bytes_are_bytes(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", "± ü\n")
    assert (tmp_path / "a").read_bytes() == b"\xc2\xb1 \xc3\xbc\n"
    replace_file(tmp_path / "a", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"


# --- lines ------------------------------------------------------------------------------------------


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    keep_lines(path, 3)
    assert not path.exists()
    file = LineFile(path)
    for number in range(3):
        file.append({"n": number, "text": "a\nb ü"})
        assert len(read_lines(path)) == number + 1, "a reader sees it at once"
    file.sync()
    file.close()
    assert [line["n"] for line in read_lines(path)] == [0, 1, 2]
    assert read_lines(path)[0]["text"] == "a\nb ü"
    keep_lines(path, 5)
    assert len(read_lines(path)) == 3
    keep_lines(path, 2)
    assert [line["n"] for line in read_lines(path)] == [0, 1]
    keep_lines(path, 0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("torn", [b'{"n": 2', b'{"n": 2}', b'"', b"\xff\xfe", b"\x00" * 4096])
def test_a_torn_last_line_is_left_out_and_cut(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n": 0}\n{"n": 1}\n' + torn)
    assert [line["n"] for line in read_lines(path)] == [0, 1]
    keep_lines(path, 2)
    file = LineFile(path)
    file.append({"n": 2})
    file.close()
    assert [line["n"] for line in read_lines(path)] == [0, 1, 2]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n": 0}\n{"n":\n{"n": 2}\n')
    with pytest.raises(RunError, match=r"lines\.jsonl, line 2 is damaged"):
        read_lines(path)
    path.write_bytes(b'{"n": 0}\n' + b"[" * 100_000 + b"\n")
    with pytest.raises(RunError, match=r"lines\.jsonl, line 2 is damaged"):
        read_lines(path)


def test_an_appender_that_is_killed_loses_no_line_that_it_had_written(tmp_path: Path) -> None:
    path, rng, before = tmp_path / "lines.jsonl", random.Random(1), 0
    for _ in range(4):
        process = start(APPENDER, path)
        time.sleep(rng.uniform(0.01, 0.1))
        kill(process)
        numbers = [line["number"] for line in read_lines(path)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= before
        before = len(numbers)
    assert before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(JSON)
def test_json_is_strict_and_one_line(value: object) -> None:
    text = to_json(value)
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    again = json.loads(text, parse_constant=refuse)
    assert to_json(again) == text


def test_nan_and_infinity_are_null() -> None:
    value = {"a": math.nan, "b": [math.inf, 1.5, (-math.inf,)], 3: None}
    assert to_json(value) == '{"a": null, "b": [null, 1.5, [null]], "3": null}'


# --- locks ------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    process = start(HOLDER, folder)
    try:
        for _ in range(2):
            with pytest.raises(RunError, match="another process is working in") as caught, locked(folder):
                pass
            assert str(folder) in caught.value.message
        assert caught.value.hint is not None
        with locked(tmp_path / "another"):
            pass
    finally:
        kill(process)
    with locked(folder):
        assert (
            subprocess.run([sys.executable, "-c", HOLDER, str(folder)], capture_output=True).returncode == 1
        )


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        _ = 1 / 0
    with locked(tmp_path):
        pass


def test_a_second_holder_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_who_has_patience_waits(tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path)
    threading.Timer(0.3, holder.kill).start()
    with locked(tmp_path, patience=30):
        pass
    holder.communicate()
    with locked(tmp_path), pytest.raises(HeldError), locked(tmp_path, patience=0.1):
        pass


@pytest.mark.filterwarnings("ignore:flock not supported:UserWarning")
@pytest.mark.parametrize("error", [None, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    """One that pretends, and two that say so. ``filelock`` would make a file instead, which a kill leaves behind."""

    def flock(descriptor: int, operation: int) -> None:
        if error is not None:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(RunError, match="cannot work in"), locked(tmp_path):
        raise AssertionError("it is no lock")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """``--out`` with the name of a file."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="file"), locked(path):
            pass
