"""Which check belongs to which kind of component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedskew.errors import ConfigError, unknown
from fedskew.testing.attacks import check_attack
from fedskew.testing.clients import check_personal, check_selection, check_start
from fedskew.testing.data import check_dataset, check_model, check_shift, check_split, check_trigger
from fedskew.testing.evaluation import check_client_metric, check_metric, check_observer
from fedskew.testing.objectives import check_objective
from fedskew.testing.privacy import check_privacy_attack
from fedskew.testing.rounds import check_callback, check_lr_schedule, check_stopping
from fedskew.testing.server import (
    check_aggregator,
    check_learning_rate,
    check_server_step,
    check_transform,
)
from fedskew.testing.subject import Named

CHECKS: dict[str, Callable[..., None]] = {
    "dataset": check_dataset,
    "split": check_split,
    "model": check_model,
    "shift": check_shift,
    "trigger": check_trigger,
    "attack": check_attack,
    "selection": check_selection,
    "start": check_start,
    "objective": check_objective,
    "personal": check_personal,
    "transform": check_transform,
    "aggregator": check_aggregator,
    "learning-rate": check_learning_rate,
    "server-step": check_server_step,
    "lr-schedule": check_lr_schedule,
    "stopping": check_stopping,
    "metric": check_metric,
    "client-metric": check_client_metric,
    "observer": check_observer,
    "privacy-attack": check_privacy_attack,
    "callback": check_callback,
}
"""The check of each kind of component."""


def check(kind: str, component: Named, **options: Any) -> None:
    """What every component of this kind must do.

    Args:
        kind: as in ``fedskew.register``, for example ``"aggregator"``.
        component: a name, a callable or ``"package.module:function"``.
        options: the component's, and those of the check itself.

    Raises:
        ConformanceError, ConfigError: one sentence that names the component.
    """
    if kind not in CHECKS:
        raise ConfigError(*unknown("kind of component", kind, CHECKS))
    CHECKS[kind](component, **options)
