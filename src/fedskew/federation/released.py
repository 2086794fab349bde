"""What clients send besides their updates: running averages of the images that they train on."""

from __future__ import annotations

from torch import nn

from fedskew.components.known import facts_of
from fedskew.config import Experiment
from fedskew.errors import ConfigError
from fedskew.models.build import notes_inputs
from fedskew.protocols import DatasetInfo


def check_released(experiment: Experiment, module: nn.Module, info: DatasetInfo) -> None:
    """Refuses a rule that states a privacy for a model whose running averages clients would send beside their updates.

    Raises:
        ConfigError: names the model.
    """
    rule = experiment.defence.aggregator
    if facts_of("aggregator", rule).private and notes_inputs(module, info):
        raise ConfigError(
            f"model {experiment.model.label!r} keeps running averages of the images that it is trained on, and clients "
            f"send them as they are, so the privacy that {rule.label!r} states would not hold",
            'take a model without them (for a built-in one, norm = "group" or "none")',
            "model",
        )
