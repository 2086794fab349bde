"""When a run stops and how the clients' learning rate falls: sequences of losses worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.errors import ConfigError
from fedskew.protocols import RoundRecord
from fedskew.rules import schedules
from fedskew.rules.stopping import monitored, plateau, rounds
from helpers import PROPERTY, history

NAN, INF = math.nan, math.inf
LOSSES = st.lists(st.one_of(st.floats(0, 5), st.sampled_from([1.0, 2.0, NAN, INF])), max_size=25)


def stops_after(losses: list[float], **options: Any) -> int | None:
    """The first round after which the rule says stop, as the round loop asks it."""
    records = history("train_loss", losses)
    for done in range(1, len(records) + 1):
        if plateau(records[:done], **options).stop:
            return done
    return None


# --- plateau ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3, 2, 2, 2, 2], 3, 5),  # best in round 2; rounds 3, 4, 5 do not improve
        ([3, 2, 2, 2, 1.9, 2, 2, 2], 3, 8),  # improved just in time
        ([5, 4, 3, 2, 1], 2, None),
        ([1, 1], 1, 2),
        ([1, 2, 0.5, 0.6, 0.4, 0.5, 0.5], 2, 7),
        ([2, 3, 1], 1, 2),
        ([2], 1, None),
        # a round without a finite loss does not improve and does not harm
        ([3, NAN, 2, INF, NAN], 2, 5),
        ([NAN, 2, 2], 2, None),
        ([NAN, 2, 2, 2], 2, 4),
        ([NAN, NAN, NAN], 3, 3),
        ([2, INF, 1, 1, 1], 2, 5),
    ],
)
def test_a_run_stops_when_its_loss_has_not_improved_for_so_many_rounds(
    losses: list[float], patience: int, expected: int | None
) -> None:
    assert stops_after(losses, patience=patience) == expected


def test_an_improvement_must_exceed_min_delta() -> None:
    # By more than 0.5: from 1 neither to 0.75 nor to 0.5, but to 0.25. By more than 0.25: from 1 to 0.5, no further.
    losses = [1, 0.75, 0.5, 0.25, 0.25, 0.0]
    assert stops_after(losses, patience=2, min_delta=0.5) == 3
    assert stops_after(losses, patience=3, min_delta=0.5) is None
    assert stops_after(losses, patience=2, min_delta=0.25) == 5
    assert stops_after(losses, patience=2) is None


def test_the_default_watches_the_training_loss_for_10_rounds() -> None:
    assert stops_after([1.0] * 30) == 11
    verdict = plateau(history("train_loss", [2.0] + [1.0] * 11))
    assert verdict.stop
    assert verdict.reason == "train_loss has not improved for 10 rounds (best in round 2)"


def test_stopping_on_the_test_loss_says_that_the_test_set_chose() -> None:
    verdict = plateau(history("test_loss", [1.0, 1.0]), monitor="test_loss", patience=1)
    assert verdict.stop
    assert verdict.reason.startswith("test_loss has not improved for 1 rounds (best in round 1)")
    assert "the test set chose when to stop" in verdict.reason


def test_the_default_does_not_look_at_the_test_loss() -> None:
    records = [
        RoundRecord(n, {"train_loss": 1 / n, "test_loss": float(n)}, [], [], [], [], {}) for n in range(1, 30)
    ]
    assert not plateau(records, patience=2).stop
    assert plateau(records, patience=2, monitor="test_loss").stop


def test_nothing_done_is_no_reason_to_stop() -> None:
    assert not plateau([]).stop
    assert not rounds([]).stop


@PROPERTY
@given(LOSSES, st.integers(1, 6), st.sampled_from([0.0, 0.1, 1.0]))
def test_plateau_agrees_with_a_counter_that_is_carried_along(
    losses: list[float], patience: int, min_delta: float
) -> None:
    best, waited, expected = INF, 0, None
    for number, loss in enumerate(losses, start=1):
        if math.isfinite(loss) and loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience and expected is None:
            expected = number
    assert stops_after(losses, patience=patience, min_delta=min_delta) == expected


@PROPERTY
@given(LOSSES)
def test_the_rule_rounds_never_stops(losses: list[float]) -> None:
    assert not rounds(history("train_loss", losses)).stop


# --- what is monitored ------------------------------------------------------------------------------


def test_a_round_without_a_finite_loss_counts_as_infinite() -> None:
    records = [*history("train_loss", [1.0, NAN, INF, -INF]), RoundRecord(5, {}, [], [], [], [], {})]
    assert monitored(records, "train_loss") == [1.0, INF, INF, INF, INF]


@pytest.mark.parametrize("rule", [plateau, schedules.plateau])
def test_a_validation_loss_that_is_not_measured_is_an_error_that_says_how_to_have_one(rule: Any) -> None:
    with pytest.raises(ConfigError, match="validation_loss is not measured") as caught:
        rule(history("train_loss", [1.0]), monitor="validation_loss")
    assert caught.value.hint is not None
    assert "data.validation" in caught.value.hint


# --- learning-rate schedules ------------------------------------------------------------------------


def scales(losses: list[float], **options: Any) -> list[float]:
    """The factor in each round and in the one that would follow."""
    records = history("validation_loss", losses)
    return [schedules.plateau(records[:done], **options) for done in range(len(records) + 1)]


def test_the_rate_is_halved_each_time_the_loss_has_not_improved_for_so_many_rounds() -> None:
    # waited:          -  0  1  2->0  1  2->0  0  1  2->0
    assert scales([5, 5, 5, 5, 5, 4, 4, 4], patience=2) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_an_improvement_starts_the_count_anew() -> None:
    # waited:          0  1  0  1  0  1  2->0
    assert scales([5, 5, 4, 4, 3, 3, 3], patience=2) == [1, 1, 1, 1, 1, 1, 1, 0.5]


def test_losses_that_are_not_finite_do_not_improve() -> None:
    assert scales([NAN, NAN, 3, INF, NAN], patience=2) == [1, 1, 0.5, 0.5, 0.5, 0.25]


def test_the_schedule_has_its_own_factor_and_monitor_and_halves_after_5_rounds_by_default() -> None:
    assert scales([1] * 7)[-1] == 0.5
    assert scales([1] * 6)[-1] == 0.5
    assert scales([1] * 5)[-1] == 1
    assert scales([1, 1, 1], patience=1, factor=0.1) == pytest.approx([1, 1, 0.1, 0.01])
    assert schedules.plateau(history("train_loss", [1, 1]), monitor="train_loss", patience=1) == 0.5


@PROPERTY
@given(LOSSES, st.integers(1, 5))
def test_the_rate_never_rises(losses: list[float], patience: int) -> None:
    found = scales(losses, patience=patience)
    assert found[0] == 1
    assert all(later in (earlier, earlier / 2) for earlier, later in pairwise(found))
    assert found[-1] >= 0.5 ** (len(losses) / patience)


def test_the_exponential_schedule_is_gamma_to_the_power_of_the_rounds_done() -> None:
    records = history("train_loss", [1.0, 1.0, 1.0])
    assert [schedules.exponential(records[:n], gamma=0.5) for n in range(4)] == [1, 0.5, 0.25, 0.125]
    assert schedules.exponential(records, gamma=1.0) == 1


def test_the_constant_schedule_is_1() -> None:
    assert schedules.constant([]) == schedules.constant(history("train_loss", [1.0, NAN])) == 1
