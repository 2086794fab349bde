"""FLAME: the group against scikit-learn's HDBSCAN, the rule by hand and against a plain loop."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import HDBSCAN

from fedskew import aggregate
from fedskew.aggregation import majority as majority_module
from fedskew.aggregation.flame import flame
from fedskew.aggregation.majority import majority
from fedskew.protocols import AggregationTrace, ServerView
from helpers import PROPERTY, VIEW, client_updates, delta_matrices


def view(weights: object, seed: int = 0) -> ServerView:
    rng = np.random.default_rng(seed)
    return replace(VIEW, global_weights=torch.as_tensor(weights, dtype=torch.float32), rng=rng)


def admitted(trace: AggregationTrace) -> list[bool]:
    assert trace.client_weights is not None
    return (trace.client_weights > 0).tolist()


POINTS = st.lists(st.one_of(st.integers(0, 9), st.floats(0, 9)), min_size=2, max_size=14)


@PROPERTY
@given(POINTS, st.integers(0, 99))
def test_the_majority_is_the_cluster_that_hdbscan_finds(line: list[float], seed: int) -> None:
    points = np.stack([line, np.random.default_rng(seed).integers(0, 3, len(line))])
    distances = np.abs(points[:, :, None] - points[:, None]).sum(axis=0)
    clustering = HDBSCAN(
        metric="precomputed",
        min_cluster_size=len(line) // 2 + 1,
        min_samples=1,
        allow_single_cluster=True,
        copy=True,
    )
    found = majority(torch.from_numpy(distances))
    assert found.tolist() == (clustering.fit(distances).labels_ == 0).tolist()


@PROPERTY
@given(POINTS)
def test_the_majority_is_connected_and_no_smaller_distance_connects_one(line: list[float]) -> None:
    points = torch.tensor(sorted(line), dtype=torch.float64)
    kept = majority((points - points[:, None]).abs()).numpy()
    assert 2 * kept.sum() > len(line)
    gaps = np.diff(points.numpy())
    inside = np.flatnonzero(kept)
    assert (np.diff(inside) == 1).all()  # on a line a group is a stretch
    widest = gaps[inside[0] : inside[-1]].max(initial=0.0)
    runs = np.split(np.arange(len(line)), np.flatnonzero(gaps >= widest) + 1)
    assert widest == 0 or max(map(len, runs)) <= len(line) // 2


def test_a_single_client_is_the_majority() -> None:
    assert majority(torch.zeros(1, 1)).tolist() == [True]
    assert not doctest.testmod(majority_module).failed


def test_by_hand() -> None:
    # w = (1, 0). Models (4, 0), (4, 4), (4, 3), (-4, 0): the second and third are 8 degrees apart, then the first is
    # 37 degrees from the third. Norms of the updates: 3, 5, 4.24 and 5; their median is (4.24 + 5) / 2 = 4.62.
    deltas = torch.tensor([[3.0, 0.0], [3.0, 4.0], [3.0, 3.0], [-5.0, 0.0]])
    delta, trace = flame(client_updates(deltas), view([1.0, 0.0]), noise=0.0)
    assert admitted(trace) == [True, True, True, False]
    shrink = (18**0.5 + 5) / 2 / 5
    assert delta.tolist() == pytest.approx([(3 + 3 * shrink + 3) / 3, (4 * shrink + 3) / 3])


@PROPERTY
@given(delta_matrices(), st.integers(0, 99))
def test_it_agrees_with_a_plain_loop(deltas: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(deltas.shape[1],)).astype(np.float32)
    found, trace = flame(client_updates(deltas), view(weights), noise=0.0)
    count, exact = len(deltas), deltas.astype(np.float64)
    models = exact + weights
    apart = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j:
                lengths = np.linalg.norm(models[i]) * np.linalg.norm(models[j])
                apart[i, j] = round(1 - models[i] @ models[j] / lengths, 12)
    kept = np.ones(1, bool)
    if count > 1:
        clustering = HDBSCAN(
            metric="precomputed",
            min_cluster_size=count // 2 + 1,
            min_samples=1,
            allow_single_cluster=True,
            copy=True,
        )
        kept = clustering.fit(np.abs(apart)).labels_ == 0
    assert admitted(trace) == kept.tolist()
    norms = np.linalg.norm(exact, axis=1)
    bound, total = np.median(norms), np.zeros(deltas.shape[1])
    for row, length, taken in zip(exact, norms, kept, strict=True):
        if taken:
            total += row * min(1.0, bound / length) if length else row
    assert found.numpy() == pytest.approx(total / kept.sum(), rel=1e-5, abs=1e-6 * (1 + bound))


def test_the_noise_has_the_stated_spread_and_comes_from_the_view_alone() -> None:
    updates = client_updates(torch.full((3, 100_000), 0.01))
    state = torch.get_rng_state()
    first = flame(updates, view(torch.ones(100_000), 1), noise=0.5)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, flame(updates, view(torch.ones(100_000), 1), noise=0.5)[0])
    assert not torch.equal(first, flame(updates, view(torch.ones(100_000), 2), noise=0.5)[0])
    spread = 0.5 * 0.01 * 100_000**0.5  # half of the norm
    assert float(first.mean()) == pytest.approx(0.01, abs=5 * spread / 100_000**0.5)
    assert float(first.std()) == pytest.approx(spread, rel=0.01)


def test_updates_far_away_move_the_result_less_than_the_honest_ones_are_apart() -> None:
    honest = 1 + 0.1 * torch.randn(7, 300, generator=torch.Generator().manual_seed(0))
    alone = aggregate("flame", honest, noise=0.0)
    attacked = aggregate("flame", torch.cat([honest, torch.full((3, 300), -1e6)]), noise=0.0)
    assert float((attacked - alone).norm()) < float(torch.cdist(honest, honest).max())
