"""Sign flip, free-riders and Opt-IPM: what they send, by hand, and what they know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attack_helpers import crafted, view
from fedskew.attacks.free_rider import free_rider
from fedskew.attacks.line_search import argmax_on_line
from fedskew.attacks.opt_ipm import opt_ipm
from fedskew.attacks.sign_flip import sign_flip
from fedskew.errors import ConfigError
from helpers import PROPERTY, delta_matrices, toy_info

INFO = toy_info()


# --- sign flip --------------------------------------------------------------------------------------


@PROPERTY
@given(delta_matrices(), st.sampled_from([0.5, 1.0, 4.0]))
def test_a_flipped_update_is_the_adversarys_own_turned_around(deltas: np.ndarray, scale: float) -> None:
    own = torch.from_numpy(deltas)
    sent = crafted(sign_flip(INFO, scale=scale), own, view(torch.ones(deltas.shape[1]), len(own))).deltas
    assert torch.equal(sent, -scale * own)
    assert sign_flip(INFO).threat_model == "own-updates"


# --- free-rider -------------------------------------------------------------------------------------


def test_a_free_rider_sends_how_the_global_model_has_changed() -> None:
    attack, own = free_rider(INFO), torch.ones(2, 3)
    weights = [torch.tensor(w) for w in ([1.0, 2, 3], [1.0, 4, 0], [0.0, 0, 0])]
    state, sent = attack.init(), []
    for now in weights:
        found = crafted(attack, own, view(now, 2, state=state))
        assert found.state is not None
        state = found.state
        sent.append(found.deltas.tolist())
    assert sent == [[[0.0] * 3] * 2, [[0, 2, -3]] * 2, [[-1, -4, 0]] * 2]


def test_a_free_riders_noise_is_relative_to_the_change_and_each_has_its_own() -> None:
    before, now = torch.zeros(20_000), torch.full((20_000,), 3.0)  # a root mean square of 3
    seen = view(now, 2, state={"weights": before})
    sent = crafted(free_rider(INFO, noise=0.5), torch.zeros(2, 20_000), seen).deltas
    assert sent.mean(1).tolist() == pytest.approx([3, 3], abs=0.05)  # known to 1.5 / sqrt(20,000) = 0.011
    assert sent.std(1).tolist() == pytest.approx([1.5, 1.5], rel=0.03)
    assert not torch.equal(sent[0], sent[1])
    again = crafted(free_rider(INFO, noise=0.5), torch.zeros(2, 20_000), seen).deltas
    assert torch.equal(sent, again)


def test_what_a_free_rider_keeps_is_a_copy() -> None:
    weights = torch.ones(2)
    state = crafted(free_rider(INFO), torch.zeros(1, 2), view(weights)).state
    weights.zero_()
    assert state is not None
    assert state["weights"].tolist() == [1, 1]


# --- the line search --------------------------------------------------------------------------------


def bump(peak: float) -> Callable[[float], float]:
    return lambda x: -abs(x - peak)


@PROPERTY
@given(st.floats(0, 500))
def test_the_search_finds_the_top_of_a_bump(peak: float) -> None:
    found = argmax_on_line(bump(peak), evaluations=60, step=10.0)
    assert found == pytest.approx(peak, abs=0.05 * (10 + peak))


@PROPERTY
@given(st.floats(0, 500), st.integers(1, 30))
def test_the_search_never_does_worse_than_0_and_looks_as_often_as_it_may(
    peak: float, evaluations: int
) -> None:
    looks: list[float] = []

    def value(x: float) -> float:
        looks.append(x)
        return bump(peak)(x)

    found = argmax_on_line(value, evaluations=evaluations, step=10.0)
    assert len(looks) == evaluations
    assert looks[0] == 0
    assert min(looks) >= 0
    assert found in looks
    assert bump(peak)(found) == max(bump(peak)(x) for x in looks)


def test_the_steps_double_while_the_value_grows_and_then_shrink() -> None:
    looks: list[float] = []
    argmax_on_line(lambda x: looks.append(x) or bump(35)(x), evaluations=6, step=10.0)  # type: ignore[func-returns-value]
    # 0, 10, 30 grow; 70 does not; back by 0.8 * 40 = 32 to 38, which is best; back again by 0.8 * 32 = 25.6
    assert looks == pytest.approx([0, 10, 30, 70, 38, 12.4])


# --- Opt-IPM ----------------------------------------------------------------------------------------

HONEST = torch.tensor([[1.0, 0.0], [3.0, 0.0]])


def against(simulate: Callable[[Tensor], Tensor], adversaries: int = 1, **options: Any) -> Tensor:
    seen = view(torch.zeros(2), adversaries, others=HONEST, simulate=simulate)
    return crafted(opt_ipm(INFO, **options), torch.ones(adversaries, 2), seen).deltas


def test_against_the_mean_it_goes_as_far_as_the_search_does() -> None:
    # 0, 10, 30, 70, 150: each is better than the last.
    sent = against(lambda rows: torch.cat([HONEST, rows]).mean(0), evaluations=5)
    assert sent.tolist() == [[-300.0, 0.0]]


def test_against_a_norm_bound_it_stops_at_the_bound() -> None:
    def bounded(rows: Tensor) -> Tensor:
        kept = rows[rows.norm(dim=1) <= 5]  # eps * 2 <= 5
        return torch.cat([HONEST, kept]).mean(0)

    (row,) = against(bounded, evaluations=60)
    assert float(row.norm()) <= 5
    assert float(row[0]) == pytest.approx(-5, abs=0.2)


def test_all_adversaries_send_the_same_row_against_the_honest_mean() -> None:
    sent = against(lambda rows: torch.cat([HONEST, rows]).mean(0), adversaries=3)
    assert torch.equal(sent, sent[:1].expand(3, 2))
    assert float(sent[0] @ HONEST.mean(0)) < 0


def test_it_harms_at_least_as_much_as_any_factor_it_looked_at() -> None:
    def median(rows: Tensor) -> Tensor:
        return torch.cat([HONEST, rows]).median(0).values

    mu = HONEST.mean(0)
    best = float((median(against(median)) - mu).norm())
    for eps in (0.0, 10.0, 30.0):
        assert best >= float((median(-eps * mu[None]) - mu).norm())


def mean_of(rows: Tensor) -> Tensor:
    return rows.mean(0)


def median_of(rows: Tensor) -> Tensor:
    return rows.median(0).values


def row_of_middle_length(rows: Tensor) -> Tensor:
    return rows[rows.norm(dim=1).argsort(stable=True)[len(rows) // 2]]


@PROPERTY
@given(
    st.integers(0, 1000),
    st.sampled_from([mean_of, median_of, row_of_middle_length]),
    st.sampled_from([1 / 1024, 0.01, 1 / 8, 4.0]),
)
def test_the_choice_does_not_depend_on_the_servers_learning_rate(
    seed: int, rule: Callable[[Tensor], Tensor], lr: float
) -> None:
    drawn = torch.Generator().manual_seed(seed)
    honest, own = torch.randn(5, 3, generator=drawn), torch.randn(2, 3, generator=drawn)

    def sent(scale: float, offset: float) -> Tensor:
        def simulate(rows: Tensor) -> Tensor:
            return scale * rule(torch.cat([honest, rows])).double() + offset

        return crafted(opt_ipm(INFO), own, view(torch.zeros(3), 2, others=honest, simulate=simulate)).deltas

    assert torch.equal(sent(lr, 0.0), sent(1.0, 0.0))
    assert torch.equal(sent(1.0, 4.0), sent(1.0, 0.0))  # what momentum adds to every step


def test_a_small_learning_rate_changes_nothing_where_the_defence_has_a_bound() -> None:
    def at(lr: float) -> Callable[[Tensor], Tensor]:
        def simulate(rows: Tensor) -> Tensor:
            kept = rows[rows.norm(dim=1) <= 50]  # eps * 2 <= 50
            return lr * torch.cat([HONEST, kept]).mean(0)

        return simulate

    for evaluations in (1, 2, 5, 20):
        fast, slow = (against(at(lr), evaluations=evaluations) for lr in (1.0, 0.01))
        assert torch.equal(fast, slow)


def test_harm_is_the_distance_from_the_round_without_the_attack() -> None:
    # The rule takes the first coordinate's largest row in absolute value: 3 without the attack. -eps mu is beyond it
    # from eps = 1.5 on; each step of the search is better than the last.
    def largest(rows: Tensor) -> Tensor:
        everything = torch.cat([HONEST, rows])
        return everything[everything[:, 0].abs().argmax()]

    tried: list[list[list[float]]] = []

    def simulate(rows: Tensor) -> Tensor:
        tried.append(rows.tolist())
        return largest(rows)

    assert against(simulate, evaluations=3).tolist() == [[-60.0, 0.0]]
    assert tried == [[[1.0, 1.0]], [[0.0, 0.0]], [[-20.0, 0.0]], [[-60.0, 0.0]]]


def test_where_nobody_is_honest_they_send_their_own() -> None:
    seen = view(torch.zeros(2), 2, others=torch.zeros(0, 2), simulate=lambda rows: rows.mean(0))
    own = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(crafted(opt_ipm(INFO), own, seen).deltas, own)


def test_it_says_what_it_must_know() -> None:
    assert opt_ipm(INFO).threat.knows_defence
    with pytest.raises(ConfigError, match="'opt-ipm' needs the honest updates and a defence"):
        crafted(opt_ipm(INFO), torch.ones(1, 2), view(torch.zeros(2)))
