"""The audit by canaries: the real dp-fedavg is never refuted, broken ones are."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from fedskew.aggregation import dp_fedavg as module
from fedskew.aggregation.dp_fedavg import dp_fedavg
from fedskew.aggregation.privacy import epsilon
from fedskew.errors import ConfigError
from fedskew.portable import row_mean
from fedskew.privacy import CanaryAudit, audit_by_canaries
from fedskew.protocols import Aggregator

SEEDS = 25
small = functools.partial(audit_by_canaries, clip=0.5, rounds=4, canaries=200, guesses=100)


@pytest.mark.parametrize("noise_multiplier", [8.0, 2.0, 0.8])
def test_what_holds_is_not_refuted(noise_multiplier: float) -> None:
    """Each audit may err once in 20 times; that as many as 6 of 25 do has a probability of 0.1 %."""
    audits = [small(noise_multiplier=noise_multiplier, seed=seed) for seed in range(SEEDS)]
    assert audits[0].stated == pytest.approx(epsilon(noise_multiplier, 4), rel=1e-5)
    assert sum(audit.refuted for audit in audits) < 6


def test_the_less_noise_the_higher_the_bound() -> None:
    bounds = [small(noise_multiplier=z, seed=1).bound for z in (50.0, 2.0, 1.0, 0.2)]
    assert bounds == sorted(bounds)
    assert bounds[0] < 0.5
    assert bounds[1] > 0.5
    loud = small(noise_multiplier=0.2, seed=1)
    assert loud.right == loud.guesses == 100
    assert loud.bound == loud.highest > 3.0


def test_a_canary_moves_the_aggregate_as_the_accountant_says() -> None:
    """Of two gaussians sqrt(rounds) / z apart, of which half of 400 are guessed, as many are told apart as of these."""
    audit = audit_by_canaries(1.0, 1.0, 1, canaries=400, guesses=400, seed=3)
    expected = 0.6915  # Phi(1/2), the share that a cut in the middle has right
    assert abs(audit.right / 400 - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5


def stating(broken: Callable[..., Aggregator]) -> Callable[..., Aggregator]:
    """What a broken mechanism gives, with what the right one states."""

    def rule(*, clip: float, noise_multiplier: float, delta: float) -> Aggregator:
        right = dp_fedavg(clip=clip, noise_multiplier=noise_multiplier, delta=delta)
        wrong = broken(clip=clip, noise_multiplier=noise_multiplier, delta=delta)

        def apply(updates: Any, view: Any, state: Any) -> Any:
            _, trace, after = right.apply(updates, view, state)
            return wrong.apply(updates, view, state)[0], trace, after

        return Aggregator(apply)

    return rule


@stating
def quiet(*, clip: float, noise_multiplier: float, delta: float) -> Aggregator:
    return dp_fedavg(clip=clip, noise_multiplier=noise_multiplier / 10, delta=delta)


@stating
def loose(*, clip: float, noise_multiplier: float, delta: float) -> Aggregator:
    return dp_fedavg(clip=10 * clip, noise_multiplier=noise_multiplier / 10, delta=delta)


@pytest.mark.parametrize("broken", [quiet, loose])
def test_noise_ten_times_too_small_or_a_clip_ten_times_too_wide_is_found(broken: Any) -> None:
    audits = [small(noise_multiplier=6.0, seed=seed, aggregator=broken) for seed in range(3)]
    assert all(audit.refuted for audit in audits), audits
    assert audits[0].stated == pytest.approx(epsilon(6.0, 4), rel=1e-5)


def test_a_rule_that_does_not_clip_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def mean(rows: Tensor, norms: Tensor, bound: float) -> Tensor:
        return row_mean(rows).double()

    assert not small(noise_multiplier=6.0).refuted
    monkeypatch.setattr(module, "clipped_mean", mean)
    assert small(noise_multiplier=6.0).refuted


def test_an_accountant_that_counts_too_little_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forgets the rounds before: of 40 rounds, it states the epsilon of one."""
    monkeypatch.setattr(module, "epsilon", lambda z, rounds, delta: epsilon(z, 1, delta=delta))
    assert small(noise_multiplier=4.0, rounds=40).refuted


def test_without_noise_nothing_is_stated_and_nothing_can_be_refuted() -> None:
    audit = small(noise_multiplier=0.0)
    assert audit.stated == float("inf")
    assert audit.right == audit.guesses
    assert not audit.refuted


def test_it_is_a_function_of_its_arguments() -> None:
    first, second = (small(noise_multiplier=1.0, seed=5) for _ in range(2))
    assert isinstance(first, CanaryAudit)
    assert first == second
    assert small(noise_multiplier=1.0, guesses=None).guesses == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "rounds = 0: must be at least 1"),
        ({"canaries": 1}, "canaries = 1: must be at least 2"),
        ({"guesses": 201}, "guesses = 201: must be at least 1 and at most the 200 canaries"),
        ({"confidence": 1.0}, "confidence = 1: must be at least 0 and below 1"),
        ({"clip": 0.0}, r"clip = 0.0"),
        ({"delta": 2.0}, r"delta = 2"),
        ({"aggregator": "dp-fedag"}, "unknown aggregator 'dp-fedag'"),
        ({"aggregator": "median"}, "has no option 'clip'"),
    ],
)
def test_what_cannot_be_audited_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**{"noise_multiplier": 1.0, **changes})


@pytest.mark.slow
def test_the_numbers_of_the_docs() -> None:
    """A processor that rounds otherwise may order a few canaries otherwise."""
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    section = page.partition("## Is what is stated true?")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| ([\d.]+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \| (\d+) \| ([\d.]+)(: refuted)? \|$",
        section,
        re.MULTILINE,
    )
    assert len(rows) == 5
    for noise, stated, right, bound, right_of_quiet, bound_of_quiet, refuted in rows:
        for aggregator, guessed, shown, false in (
            ("dp-fedavg", right, bound, ""),
            (quiet, right_of_quiet, bound_of_quiet, refuted),
        ):
            audit = audit_by_canaries(1.0, float(noise), 10, aggregator=aggregator)
            assert audit.stated == pytest.approx(float(stated), abs=0.006)
            assert abs(audit.right - int(guessed)) <= 2
            assert audit.bound == pytest.approx(float(shown), abs=0.5)
            assert audit.refuted == bool(false)
    (code,) = re.findall(r"```py\n(.*?)```", section, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {})
    assert said.getvalue().startswith("stated 4.65, at least 1.")
    assert said.getvalue().endswith("audit.refuted = False\n")
