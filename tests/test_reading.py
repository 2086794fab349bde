"""Files from outside: nothing is waited for, nothing is read without bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedskew import Experiment
from fedskew.attacks.triggers import mask
from fedskew.config.build import MOST_ERRORS, build
from fedskew.config.origin import Origin
from fedskew.config.toml_io import MOST_BYTES, parse_override, read_toml
from fedskew.datasets.csv_file import csv
from fedskew.datasets.leaf import leaf
from fedskew.datasets.npz_file import read_arrays
from fedskew.errors import ConfigError, FedskewError, RunError
from fedskew.files import read_lines, to_json
from fedskew.partition.client_array import has_test
from fedskew.partition.client_file import read_owners
from fedskew.reading import DEEPEST, open_file, parse_json, parse_toml, read_bytes
from helpers import toy_info


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("put", "words"),
    [(pipe, "it is a pipe"), (folder, "it is a folder"), (device, "it is a device")],
)
def test_what_is_no_file_is_not_waited_for(put: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    put(path := tmp_path / "x")
    with pytest.raises(OSError) as error:
        open_file(path)
    assert words in str(error.value)


READERS: dict[str, Callable[[Path], object]] = {
    "x.toml": read_toml,
    "x.jsonl": read_lines,
    "x.csv": lambda path: csv(path.parent, path=str(path)),
    "x.json": lambda path: leaf(path.parents[1], path=path.parent.name),
    "x.npz": lambda path: read_arrays(path, ["x_train"], []),
    "mask.npy": lambda path: mask(toy_info(), path=path),
    "clients.csv": lambda path: read_owners(path, 10),
    "clients.npy": lambda path: read_owners(path, 10),
    "clients.npz": has_test,
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_waits_for_a_pipe(name: str, tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / name)
    with pytest.raises(FedskewError):
        READERS[name](path)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (path := tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="it is larger than 4 bytes"):
        read_bytes(path, 4)
    with (tmp_path / "big.toml").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ConfigError, match=r"cannot read .*big.toml: it is larger than 16,000,000 bytes"):
        read_toml(tmp_path / "big.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 10_000 + "]" * 10_000, "more than 100 tables or lists within each other"),
        (".".join("a" * 200) + " = 1", "more than 100 tables or lists within each other"),
        ("a = " + "9" * 5_000, "a whole number of more than 300 digits"),
        ("a = [[{b = -" + "9" * 301 + "}]]", "a whole number of more than 300 digits"),
        ("a = 0x" + "f" * 50_000, "a whole number of more than 300 digits"),
    ],
)
def test_toml_without_measure(text: str, words: str, tmp_path: Path) -> None:
    (path := tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_toml(path)
    assert str(error.value) == f"{path}: {words}"
    if text.startswith("a ="):
        with pytest.raises(ConfigError, match=f"--set a: {words}"):
            parse_override(text.replace(" ", ""))


def test_what_has_measure_is_read() -> None:
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parse_toml(f"a = {deep}")["a"]) == deep
    assert parse_toml("a = -" + "9" * 300)["a"] == 1 - 10**300
    assert parse_json('["\\ud83d\\ude00"]') == ["\N{GRINNING FACE}"]
    assert parse_json(to_json("a\udcff")) == "a\\udcff", "spelled out"
    assert parse_json(b'{"a": -12, "b": [1e3, null]}') == {"a": -12, "b": [1e3, None]}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5_000, '{"a": ' * 5_000, "[1,", "\xff", '["\\ud83d"]', '{"\\uDE00": 1}']
)
def test_json_without_measure_is_a_damaged_line(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "x.jsonl").write_bytes(text.encode("latin-1") + b"\n")
    with pytest.raises(RunError, match="line 1 is damaged"):
        read_lines(path)


def test_of_many_errors_the_first_are_said() -> None:
    """Each looks for its line and for the name that is meant, which took minutes for 100,000 of them."""
    text = "".join(f"k{n} = 1\n" for n in range(5_000))
    with pytest.raises(ConfigError) as error:
        build(Experiment, parse_toml(text), Origin("x.toml", text))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("x.toml, line 1: unknown field 'k0'")
    assert len(lines) == MOST_ERRORS + 1
    assert lines[-1] == "  and 4990 more errors"


def test_the_bound_is_no_memory_that_is_taken(tmp_path: Path) -> None:
    """Asked for 64 GiB at once, Python takes them, however small the file is."""
    (tmp_path / "small").write_bytes(b"content")
    code = (
        "import pathlib, resource, sys; from fedskew.reading import read_bytes; "
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
        "print(len(read_bytes(pathlib.Path(sys.argv[1]), 64 << 30)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "small")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "7\n", done.stderr
