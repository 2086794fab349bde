"""A compiler that hangs, prints without end, or is none: the run trains without kernels and says why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fedskew.training.native import command, compiler
from fedskew.training.native.command import outcome
from fedskew.training.native.plan import Unsupported


def script(path: Path, text: str) -> list[str]:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def test_what_it_says(tmp_path: Path) -> None:
    said = script(tmp_path / "cc", "cat; echo out; printf 'b\\377d' >&2; exit 3")
    assert outcome(said, 10.0) == (3, "out\n", "b\N{REPLACEMENT CHARACTER}d")


def test_one_that_hangs_is_ended_even_if_what_it_started_goes_on(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"cc did not end within 0\.5 s"):
        outcome(script(tmp_path / "cc", "sleep 5 & sleep 5"), 0.5)
    assert time.monotonic() - begun < 4


def test_one_that_prints_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_PRINTED", 10_000)
    for stream in ("1", "2"):
        with pytest.raises(OSError, match="cc printed more than 10,000 bytes"):
            outcome(script(tmp_path / "cc", f"while :; do echo yes; done >&{stream}"), 30.0)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    with pytest.raises(Unsupported, match=r"the C compiler did not run: .*cc printed more than 10,000 bytes"):
        compiler.load("int x;")


def test_a_long_reason_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "cc", "head -c 100000 /dev/zero | tr '\\0' e >&2; exit 1")
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    with pytest.raises(Unsupported, match=r"failed \(exit code 1\): e{300}$"):
        compiler.load("int x;")
