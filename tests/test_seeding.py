"""Streams are pure functions of their names, differ when the names do, and leave no trace anywhere else."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.seeding import stream, stream_seed, torch_seeded
from helpers import PROPERTY

NAMES = st.tuples(st.integers(0, 2**64), st.text(max_size=8), st.lists(st.integers(0, 2**31), max_size=3))


def start(seed: int, purpose: str, ids: list[int]) -> list[int]:
    found: list[int] = stream(seed, purpose, *ids).integers(2**62, size=2).tolist()
    return found


@PROPERTY
@given(NAMES, NAMES)
def test_streams_are_equal_exactly_when_their_names_are(
    one: tuple[int, str, list[int]], other: tuple[int, str, list[int]]
) -> None:
    assert start(*one) == start(*one)
    assert (start(*one) == start(*other)) == (one == other)


def test_neighbouring_names_give_different_streams() -> None:
    """Those that a careless way to join seed, purpose and ids would take for one another."""
    names: list[tuple[int, str, list[int]]] = [
        (0, "split", []),
        (0, "split", [0]),
        (0, "split", [0, 0]),
        (1, "split", []),
        (1, "split", [0]),
        (0, "split", [1]),
        (0, "split", [0, 1]),
        (0, "split", [1, 0]),
        (0, "split", [10]),
        (10, "split", []),
        (0, "split1", []),
        (0, "splits", []),
        (0, "", []),
        (2**32, "split", []),
        (2**32 + 1, "split", []),
    ]
    assert all(start(*one) != start(*other) for one, other in combinations(names, 2))
    assert all(
        stream_seed(a[0], a[1], *a[2]) != stream_seed(b[0], b[1], *b[2]) for a, b in combinations(names, 2)
    )


def test_a_stream_does_not_depend_on_other_draws_or_on_global_state() -> None:
    first = start(3, "batches", [2, 5])
    np.random.default_rng(0).random(10)
    torch.manual_seed(9)
    stream(3, "batches", 2, 4).random(100)
    assert start(3, "batches", [2, 5]) == first


def test_streams_of_neighbouring_ids_are_uncorrelated() -> None:
    drawn = np.array([stream(0, "batches", 1, client).standard_normal(2000) for client in range(8)])
    between = np.corrcoef(drawn)[np.triu_indices(8, 1)]
    assert np.abs(between).max() < 0.1  # standard deviation 0.022


@PROPERTY
@given(NAMES)
def test_a_stream_seed_has_63_bits_and_is_a_pure_function(name: tuple[int, str, list[int]]) -> None:
    seed, purpose, ids = name
    found = stream_seed(seed, purpose, *ids)
    assert isinstance(found, int)
    assert 0 <= found < 2**63
    assert found == stream_seed(seed, purpose, *ids)
    torch.Generator().manual_seed(found)


def test_these_first_draws_never_change() -> None:
    """Results on disk were made with them: a refactoring must not renumber the streams."""
    assert stream(0, "split").bit_generator.random_raw(2).tolist() == [
        15482407255912828824,
        12861180452127639372,
    ]
    assert stream(3, "batches", 2, 5).bit_generator.random_raw(2).tolist() == [
        17683235587870263017,
        16137293982888883735,
    ]
    assert stream_seed(0, "model") == 5497431306773268928


@pytest.mark.parametrize("arguments", [(-1, "split"), (0, "split", -1)])
def test_negative_seeds_and_ids_are_refused(arguments: tuple[int, str]) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        stream(*arguments)


def test_torch_seeded_depends_on_the_seed_alone_and_restores_the_callers_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with torch_seeded(7):
        one = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    with torch_seeded(7):
        assert torch.equal(torch.rand(3), one)
    with torch_seeded(8):
        assert not torch.equal(torch.rand(3), one)


def test_torch_seeded_restores_the_state_behind_an_error_and_may_be_nested() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="shape"), torch_seeded(7):
        torch.rand(3).view(2)
    assert torch.equal(torch.get_rng_state(), before)
    with torch_seeded(7):
        expected = torch.rand(2)
    with torch_seeded(7):
        first = torch.rand(1)
        with torch_seeded(8):
            torch.rand(5)
        assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
