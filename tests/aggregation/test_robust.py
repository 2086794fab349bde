"""What robust rules and transforms have in common: breakdown, symmetries, limiting cases, what others compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import fedskew
from fedskew.components.binding import complete_experiment
from fedskew.components.rules import build_rule
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from helpers import VIEW, client_updates

CHAIN = tuple[str, dict[str, Any], list[dict[str, Any]]]
"""An aggregator, its options, and the transforms before it."""
COUNT, F = 11, 2
RULES: dict[str, CHAIN] = {
    "median": ("median", {}, []),
    "trimmed-mean": ("trimmed-mean", {"b": F}, []),
    "meamed": ("meamed", {"f": F}, []),
    "geometric-median": ("geometric-median", {}, []),
    "krum": ("krum", {"f": F}, []),
    "multi-krum": ("multi-krum", {"f": F, "m": COUNT - F}, []),
    "bulyan": ("bulyan", {"f": F}, []),
    "mda": ("mda", {"f": F}, []),
    "nnm": ("trimmed-mean", {"b": F}, [{"name": "nnm", "f": F}]),
    "bucketing": ("median", {}, [{"name": "bucketing", "size": 2}]),
}
"""Those that depend neither on where the origin is nor on the unit."""
AROUND_0: dict[str, CHAIN] = {
    "centered-clipping": ("centered-clipping", {}, []),
    "several iterations": ("centered-clipping", {"iterations": 3}, []),
    "arc": ("mean", {}, [{"name": "arc", "f": F}]),
    "clip": ("mean", {}, [{"name": "clip", "norm": "median"}]),
    "sparse-fed": ("sparse-fed", {"share": 0.5}, [{"name": "clip", "norm": "median"}]),
}
"""Those that depend on lengths, but not on the unit."""
SEEDS = pytest.mark.parametrize("seed", range(5))


def each(rules: dict[str, CHAIN]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", rules.values(), ids=rules)


def aggregated(rule: CHAIN, deltas: NDArray[Any] | Tensor) -> Tensor:
    name, options, transforms = rule
    return fedskew.aggregate(name, deltas, transforms=transforms, **options)


def rows_after(transform: str, deltas: Any, **options: Any) -> Tensor:
    rule = build_rule("transform", Component(name=transform, **options))
    found: Tensor = rule.apply(client_updates(deltas), VIEW, {}, np.random.default_rng(0))[0].deltas
    return found


def drawn(seed: int, rows: int = COUNT) -> NDArray[np.float32]:
    """Rows without ties, [rows, 30]."""
    return np.random.default_rng(seed).standard_normal((rows, 30)).astype(np.float32)


def diameter(rows: NDArray[np.float32]) -> float:
    return max(float(np.linalg.norm(a - b)) for a in rows for b in rows)


@SEEDS
@each(RULES | AROUND_0)
def test_f_rows_far_away_move_the_result_by_less_than_the_honest_diameter(rule: CHAIN, seed: int) -> None:
    honest = drawn(seed, COUNT - F)
    random = np.random.default_rng(100 + seed)
    together = np.full((F, 30), 1e6) + random.standard_normal((F, 30))
    apart = 1e6 * random.standard_normal((F, 30))
    for malicious in (together, -together, apart):
        everyone = np.concatenate([malicious, honest]).astype(np.float32)
        moved = aggregated(rule, everyone).numpy() - honest.mean(axis=0)
        assert float(np.linalg.norm(moved)) < diameter(honest)


@SEEDS
def test_the_mean_has_no_such_bound(seed: int) -> None:
    everyone = np.concatenate([np.full((1, 30), 1e6), drawn(seed, COUNT - 1)])
    fragile: list[tuple[str, dict[str, Any]]] = [("mean", {}), ("sparse-fed", {"share": 0.5})]
    for name, options in fragile:
        assert float(fedskew.aggregate(name, everyone, **options).norm()) > 1e5


@SEEDS
@each({k: v for k, v in (RULES | AROUND_0).items() if k not in ("bucketing", "bulyan")})
def test_the_order_of_the_clients_does_not_matter(rule: CHAIN, seed: int) -> None:
    deltas = drawn(seed)
    order = np.random.default_rng(seed).permutation(COUNT)
    assert torch.allclose(aggregated(rule, deltas), aggregated(rule, deltas[order]), atol=1e-6)


@SEEDS
@each(RULES)
def test_moving_all_updates_moves_the_result(rule: CHAIN, seed: int) -> None:
    deltas = drawn(seed)
    shift = np.random.default_rng(50 + seed).integers(-8, 9, 30)
    moved = aggregated(rule, deltas + shift) - torch.from_numpy(shift)
    assert torch.allclose(moved, aggregated(rule, deltas), atol=1e-5)


@SEEDS
@each(RULES | AROUND_0)
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_the_unit_of_the_updates_does_not_matter(rule: CHAIN, seed: int, factor: float) -> None:
    deltas = torch.from_numpy(drawn(seed))
    assert torch.equal(aggregated(rule, factor * deltas), factor * aggregated(rule, deltas))


@each(RULES | {k: v for k, v in AROUND_0.items() if k != "sparse-fed"})
def test_the_update_that_all_clients_sent_is_the_result(rule: CHAIN) -> None:
    row = drawn(7, 1)
    assert torch.allclose(aggregated(rule, row.repeat(COUNT, 0)), torch.from_numpy(row[0]), rtol=1e-6)


@each(RULES | AROUND_0)
def test_updates_of_zeros_give_zeros(rule: CHAIN) -> None:
    found = aggregated(rule, torch.zeros(COUNT, 5))
    assert torch.equal(found, torch.zeros(5))
    assert not found.signbit().any()


@SEEDS
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("trimmed-mean", {"b": 0}),
        ("meamed", {"f": 0}),
        ("multi-krum", {"f": 0, "m": COUNT}),
        ("bulyan", {"f": 0}),
        ("mda", {"f": 0}),
        ("centered-clipping", {"tau": 1e6}),
        ("sparse-fed", {"share": 1}),
    ],
)
def test_with_nobody_to_leave_out_a_rule_is_the_mean(name: str, options: dict[str, Any], seed: int) -> None:
    deltas = drawn(seed)
    assert torch.equal(fedskew.aggregate(name, deltas, **options), fedskew.aggregate("mean", deltas))


@SEEDS
def test_with_nobody_to_leave_out_a_transform_changes_nothing_or_gives_the_mean(seed: int) -> None:
    deltas = torch.from_numpy(drawn(seed))
    assert torch.equal(rows_after("arc", deltas, f=0), deltas)
    mixed = rows_after("nnm", deltas, f=0)
    assert torch.equal(mixed, fedskew.aggregate("mean", deltas).expand_as(mixed))


LEAST: list[tuple[str, str, dict[str, Any], int]] = [
    ("aggregator", "trimmed-mean", {"b": 2}, 5),
    ("aggregator", "meamed", {"f": 2}, 5),
    ("aggregator", "multi-krum", {"f": 2, "m": 4}, 7),
    ("aggregator", "multi-krum", {"f": 1, "m": 9}, 10),
    ("aggregator", "bulyan", {"f": 2}, 11),
    ("aggregator", "mda", {"f": 2}, 5),
    ("transform", "nnm", {"f": 2}, 5),
    ("transform", "arc", {"f": 2}, 5),
]


@pytest.mark.parametrize(("kind", "name", "options", "least"), LEAST)
def test_too_few_updates_are_refused_by_the_rule_and_when_the_config_is_read(
    kind: str, name: str, options: dict[str, Any], least: int
) -> None:
    component = {"name": name, **options}
    defence = {"aggregator": component} if kind == "aggregator" else {"transforms": [component]}

    def alone(count: int) -> None:
        deltas = [[float(k * k)] for k in range(count)]
        if kind == "aggregator":
            fedskew.aggregate(name, deltas, **options)
        else:
            rows_after(name, deltas, **options)

    def read(count: int) -> None:
        complete_experiment(Experiment.model_validate({"clients": {"count": count}, "defence": defence}))

    alone(least)
    read(least)
    with pytest.raises(ConfigError, match=f"needs at least .* = {least} updates in a round, got {least - 1}"):
        alone(least - 1)
    with pytest.raises(
        ConfigError, match=f"needs {least} or more updates in a round, and there are {least - 1}"
    ):
        read(least - 1)


# --- what others compute ----------------------------------------------------------------------------

INTEGERS = [
    [3, -1, 4, 1],
    [5, -9, 2, 6],
    [-5, 3, 5, 8],
    [9, 7, -9, 3],
    [2, -3, 8, 4],
    [6, 2, -6, -4],
    [3, 3, 8, 3],
    [2, 7, -9, 5],
    [0, 2, 8, -8],
    [40, -41, 39, 42],
    [-43, 44, 45, -46],
]
# The numbers below came, in November 2026, from calling on this matrix: aggregate_krum, aggregate_bulyan,
# aggregate_median and _trim_mean of flwr 1.42.0 (server/strategy/aggregate.py) and TrMean, Meamed, MDA, GeometricMedian
# (nu = 0.1, T = 200), NNM and ARC of byzfl 0.0.11; each on a copy, since ByzFL's ARC changes its input.
PUBLISHED: list[tuple[str, dict[str, Any], list[float]]] = [
    ("krum", {"f": 2}, [3, -1, 4, 1]),
    ("multi-krum", {"f": 2, "m": 5}, [1.8, 0.8, 3.8, 2.4]),
    ("bulyan", {"f": 1}, [3, 1.8571429, 4.1428571, 4.2857143]),
    ("bulyan", {"f": 2}, [2.6666667, 2.6666667, 3.6666667, 4]),
    ("median", {}, [3, 2, 5, 3]),
    ("trimmed-mean", {"b": 1}, [2.7777778, 1.2222222, 6.5555556, 2]),
    ("trimmed-mean", {"b": 2}, [3, 1.8571429, 4.1428571, 2.5714286]),
    ("meamed", {"f": 2}, [2.7777778, 1.2222222, 1.2222222, 2]),
    ("mda", {"f": 1}, [6.5, -3, 5, 6]),
    ("mda", {"f": 2}, [2.7777778, 1.2222222, 1.2222222, 2]),
]


@pytest.mark.parametrize(("name", "options", "expected"), PUBLISHED)
def test_rules_agree_with_flower_and_byzfl(name: str, options: dict[str, Any], expected: list[float]) -> None:
    assert fedskew.aggregate(name, INTEGERS, **options).tolist() == pytest.approx(expected, rel=1e-6)


def test_the_geometric_median_agrees_with_byzfl_where_both_have_converged() -> None:
    expected = [2.7023637, -0.1182506, 4.139799, 1.7320536]
    assert fedskew.aggregate("geometric-median", INTEGERS).tolist() == pytest.approx(expected, rel=1e-4)


def test_transforms_agree_with_byzfl() -> None:
    mixed = [[2.7777778, 1.2222222, 1.2222222, 2]] * 9
    mixed += [[7, -4.1111111, 6.5555556, 6.1111111], [-2.5555556, 7.1111111, 6, -3.7777778]]
    assert np.allclose(rows_after("nnm", INTEGERS, f=2), mixed, rtol=1e-6)
    clipped = [[float(x) for x in row] for row in INTEGERS]
    clipped[3] = [7.6512031, 5.9509358, -7.6512031, 2.550401]
    clipped[9:] = [
        [6.2245522, -6.380166, 6.0689384, 6.5357798],
        [-6.0903182, 6.2319535, 6.3735888, -6.5152241],
    ]
    assert np.allclose(rows_after("arc", INTEGERS, f=2), clipped, rtol=1e-6)
