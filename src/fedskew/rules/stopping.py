"""When to stop: pure functions (history) -> Verdict. ``Experiment.rounds`` is the limit for all of them.

The default looks at the training loss, as the paper's text says. The authors' code looks at the test loss: that
rule exists for reproduction, and its verdict says so (docs/design.md, rule 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fedskew.errors import ConfigError
from fedskew.protocols import RoundRecord, Verdict

Monitor: TypeAlias = Literal["train_loss", "validation_loss", "test_loss"]


def monitored(history: Sequence[RoundRecord], monitor: Monitor) -> list[float]:
    """The monitored loss of each round; a round without a finite one counts as infinite.

    Raises:
        ConfigError: it is not recorded: ``validation_loss`` without a validation split.
    """
    if history and monitor not in history[-1].metrics and monitor == "validation_loss":
        raise ConfigError(
            "validation_loss is not measured without a validation split",
            "hold one out, for example --set data.validation=0.1",
        )
    values = [record.metrics.get(monitor, math.inf) for record in history]
    return [value if math.isfinite(value) else math.inf for value in values]


def plateau(
    history: Sequence[RoundRecord],
    *,
    monitor: Monitor = "train_loss",
    patience: Annotated[int, Field(ge=1)] = 10,
    min_delta: Annotated[float, Field(ge=0)] = 0.0,
) -> Verdict:
    """Stop when a loss has not improved by more than ``min_delta`` for ``patience`` rounds.

    Formula: t - t* >= patience, with t* the last round whose loss is below the best one before it by more than
    min_delta

    Args:
        monitor: ``"train_loss"``: the clients' loss while training (the paper's text);
            ``"validation_loss"``: on images held out before the split; ``"test_loss"``: on the test
            set (the authors' code).

    Reference: Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated
    Learning", 2021, section III.
    """
    values = monitored(history, monitor)
    best, best_round = math.inf, 0
    for number, value in enumerate(values, start=1):
        if value < best - min_delta:
            best, best_round = value, number
    if len(values) - best_round < patience:
        return Verdict(False)
    warning = "; the test set chose when to stop, as in the authors' code" if monitor == "test_loss" else ""
    return Verdict(
        True, f"{monitor} has not improved for {patience} rounds (best in round {best_round}){warning}"
    )


def rounds(history: Sequence[RoundRecord]) -> Verdict:
    """Never stops before ``Experiment.rounds`` are done.

    Formula: t = rounds
    """
    return Verdict(False)
