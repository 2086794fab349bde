"""Checks of what is measured: metrics, client metrics, observers."""

from __future__ import annotations

from typing import Any

import torch

from fedskew.components.returned import checked_metrics, checked_observer
from fedskew.protocols import (
    ClientEvaluation,
    Evaluation,
    Observation,
    Observer,
    Predictions,
    Seat,
)
from fedskew.testing.examples import INFO, each, labels, matrix, row, updates
from fedskew.testing.exercise import Rule, exercise, stateless
from fedskew.testing.subject import Named, Subject, subject

IMAGES, HELD_OUT, HONEST = 60, 40, 4


def check_metric(metric: Named, **options: Any) -> None:
    """What every metric must do: named numbers, with and without a backdoor.

    Raises:
        ConformanceError, ConfigError: one sentence that names the metric.
    """
    checked = subject("metric", metric, options)
    exercise(checked, lambda built: _numbers(checked, built), each(2, _evaluation))


def check_client_metric(metric: Named, **options: Any) -> None:
    """What every client metric must do: named numbers.

    Raises:
        ConformanceError, ConfigError: one sentence that names the metric.
    """
    checked = subject("client-metric", metric, options)
    exercise(checked, lambda built: _numbers(checked, built), each(2, _client_evaluation))


def check_observer(observer: Named, **options: Any) -> None:
    """What every observer must do: a seat, and named numbers or nothing.

    Raises:
        ConformanceError, ConfigError: one sentence that names the observer.
    """
    checked = subject("observer", observer, options)
    first = checked.instance(checked.build(), Observer, "the result")
    seat = checked.returned(checked_observer, first).seat

    def wrap(built: Observer) -> Rule:
        return _numbers(checked, lambda seen: built.observe(seen) or {})

    exercise(checked, wrap, each(3, lambda i: {"observation": _observation(i, seat)}))


def _numbers(checked: Subject, function: Any) -> Rule:
    return stateless(lambda seen: checked.returned(checked_metrics, function(seen), ()))


def _predictions(count: int, number: int) -> Predictions:
    return Predictions(
        torch.from_numpy(labels(count)).roll(number + 1), 0.1 + matrix(1, 70 + number, count)[0].abs()
    )


def _evaluation(number: int) -> dict[str, Any]:
    """Without a backdoor and groups in the first round, with both in the second."""
    backdoor = number > 0
    return {
        "evaluation": Evaluation(
            labels=torch.from_numpy(labels(IMAGES)),
            clean=_predictions(IMAGES, 0),
            triggered=_predictions(IMAGES, 1) if backdoor else None,
            target=7 if backdoor else None,
            source_classes=None,
            num_adversaries=number,
            client_label_counts=1 + torch.arange(HONEST * INFO.num_classes).view(HONEST, INFO.num_classes),
            class_names=INFO.class_names,
            groups=torch.arange(IMAGES) % 2 if backdoor else None,
            group_names=("even", "odd") if backdoor else (),
        )
    }


def _client_evaluation(number: int) -> dict[str, Any]:
    return {
        "evaluation": ClientEvaluation(
            labels=torch.from_numpy(labels(HELD_OUT)),
            predictions=_predictions(HELD_OUT, number),
            clients=torch.arange(HELD_OUT) % HONEST,
            client_ids=torch.arange(HONEST) * 2,
            class_names=INFO.class_names,
        )
    }


def _observation(number: int, seat: Seat) -> Observation:
    return Observation(
        round=number + 1,
        weights=row(100 + number),
        updates=updates(matrix(5, number)) if seat == "server" else None,
        delta=row(number) if seat in ("server", "aggregate") else None,
        last=number == 2,
    )
