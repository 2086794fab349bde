"""The best round of a run by a metric, beside its last."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import TABLE, meaning
from fedskew.frames.runs import Recorded, labels
from fedskew.protocols import RoundRecord
from fedskew.study.claim import known_metrics
from fedskew.study.grid import PlannedRun


def check_chooser(metric: str, records: Iterable[Sequence[RoundRecord]]) -> None:
    """Check that a metric can choose the best round of some runs.

    Raises:
        ConfigError: no run has it, or neither direction of it is better.
    """
    _check(metric, {name for some in records for record in some for name in record.metrics})


def check_asked_for(metric: str, planned: Iterable[PlannedRun]) -> None:
    """The same before any run is done, as far as it can be told then: which of the metrics of docs/metrics.md a run
    records is seen from its records alone.

    Raises:
        ConfigError: no run of these can have the metric, or neither direction of it is better.
    """
    _check(metric, known_metrics(plan.experiment for plan in planned))


def _check(metric: str, known: Collection[str] | None) -> None:
    if known is not None and metric not in known:
        if metric in TABLE and metric.startswith("validation_"):
            raise ConfigError(
                f"no run has measured {metric}",
                "hold validation data out, for example with data.validation = 0.1",
            )
        raise ConfigError(*unknown("metric", metric, known))
    if meaning(metric).better == "neither":
        raise ConfigError(
            f"{metric} cannot choose the best round: neither a high nor a low value of it is better",
            "for example validation_loss, of runs with data.validation",
        )


def best_record(records: Sequence[RoundRecord], metric: str) -> RoundRecord | None:
    """The first round in which a metric (``check_chooser``) has its best value; None if no round has it as a finite
    number."""
    sign = 1 if meaning(metric).better == "lower" else -1
    found = [record for record in records if math.isfinite(record.metrics.get(metric, math.nan))]
    return min(found, key=lambda record: sign * record.metrics[metric], default=None)


def best_frame(runs: Sequence[Recorded], metric: str) -> pd.DataFrame:
    """One row per run: ``round``, the best one by a metric, and every metric of that round.

    Raises:
        ConfigError: no run has this metric, or neither direction of it is better.
    """
    check_chooser(metric, (records for _, records in runs))
    rows = [
        labels(plan) | {"round": best.round} | best.metrics
        for plan, records in runs
        if (best := best_record(records, metric)) is not None
    ]
    return pd.DataFrame(rows)
