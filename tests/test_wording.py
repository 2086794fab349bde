"""Parts of sentences, by hand."""

from __future__ import annotations

import math

import pytest

from fedskew.wording import cell_in_words, clock, duration, file_words


def test_a_cell_in_words() -> None:
    assert cell_in_words({"alpha": 0.5, "setting": "backdoor"}) == "alpha 0.5, setting backdoor"
    assert cell_in_words({}) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599.7, "1:00:00"), (7325, "2:02:05")]
)
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_duration() -> None:
    assert [duration(s) for s in (math.nan, 42, 600, 9000)] == ["–", "42 s", "10 min", "2.5 h"]


def test_files_that_are_the_same_are_named_once_and_without_checksums() -> None:
    variant = "known variant: 59 of 60 images bit-identical; another order"
    assert file_words(
        [
            f"f/a.bin: {variant} (SHA-256 12)",
            f"f/b.bin: {variant} (SHA-256 34)",
            "f/c.bin: official content (SHA-256 56)",
        ]
    ) == [f"f/a.bin and 1 more: {variant}", "f/c.bin: official content"]
    assert file_words([]) == []
