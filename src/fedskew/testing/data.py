"""Checks of what clients learn from and what they learn: data sets, splits, models, triggers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedskew.components.known import facts_of
from fedskew.components.returned import checked_dataset, checked_split
from fedskew.config import Component
from fedskew.models.build import fresh
from fedskew.protocols import DatasetInfo, IndexArray, LabelArray, Rng, Trigger
from fedskew.testing.examples import INFO, each, labels, rng
from fedskew.testing.exercise import Rule, exercise, limiting_case, stateless
from fedskew.testing.subject import Named, Subject, subject


def check_dataset(dataset: Named, *, root: Path | str = ".", **options: Any) -> None:
    """What every data set must do: images, labels and groups, if any, that fit together, the same each time.

    Args:
        root: the folder that its files are in.

    Raises:
        ConformanceError, ConfigError, DataError: one sentence that names the data set.
    """
    checked = subject("dataset", dataset, options)

    def wrap(load: Any) -> Rule:
        return stateless(lambda folder: checked.returned(checked_dataset, load(folder)))

    exercise(checked, wrap, [lambda: {"root": Path(root)}])


def check_split(split: Named, **options: Any) -> None:
    """What every split must do: each position is given to exactly one client, or, by one that states
    ``facts(shares=True)``, to every client or to none.

    The example has 1,000 images in ten classes and 8 clients.

    Raises:
        ConformanceError, ConfigError: one sentence that names the split.
    """
    checked = subject("split", split, options)
    shares = facts_of("split", Component.model_validate({"name": split, **options})).shares

    def wrap(function: Any) -> Rule:
        def parted(numbers: LabelArray, num_clients: int, draws: Rng) -> list[IndexArray]:
            parts = function(numbers, num_clients, draws)
            return checked.returned(partial(checked_split, shares=shares), parts, len(numbers), num_clients)

        return stateless(parted)

    def given(clients: int, number: int) -> dict[str, Any]:
        return {"labels": labels(1000), "num_clients": clients, "rng": rng(number)}

    exercise(checked, wrap, each(2, lambda i: given(8, i)))
    limiting_case(checked, wrap, lambda: given(1, 0), "a split over one client")


def check_model(model: Named, *, info: DatasetInfo = INFO, **options: Any) -> None:
    """What every model must do: images to finite logits, and weights that depend on the seed alone.

    Its initial weights may come from PyTorch's global random state, which fedskew seeds for this.

    Args:
        info: of the data that it is built for.

    Raises:
        ConformanceError, ConfigError: one sentence that names the model.
    """
    checked = subject("model", model, options)

    def wrap(factory: Any) -> Rule:
        def build(described: DatasetInfo) -> tuple[nn.Module, Tensor]:
            module = checked.instance(fresh(factory, described, 0), nn.Module, "the result")
            for name, parameter in module.named_parameters():
                checked.tensor(parameter.detach(), f"parameter {name!r}", tuple(parameter.shape))
            with torch.no_grad():
                given = described.inputs(2)
                if given.is_floating_point():
                    given[0], given[1] = -1, 1
                logits = module.eval()(given)
            return module, checked.tensor(logits, "the logits", (2, described.num_classes))

        return stateless(build)

    exercise(checked, wrap, [lambda: {"info": info}])


def check_trigger(trigger: Named, *, info: DatasetInfo = INFO, **options: Any) -> None:
    """What every trigger must do.

    Args:
        info: of the data that it is built for.

    Raises:
        ConformanceError, ConfigError: one sentence that names the trigger.
    """
    checked = subject("trigger", trigger, options)

    def wrap(factory: Any) -> Rule:
        def build(described: DatasetInfo) -> Trigger:
            found = checked.instance(factory(described), Trigger, "the result")
            return valid_trigger(checked, found, described)

        return stateless(build)

    exercise(checked, wrap, [lambda: {"info": info}])


def valid_trigger(checked: Subject, trigger: Trigger, info: DatasetInfo) -> Trigger:
    """A trigger that fits the images and changes at least one pixel."""
    shape = info.image_shape[1:] if trigger.mask.ndim == 2 else info.image_shape
    checked.tensor(trigger.mask, "the mask", shape, dtype=torch.bool)
    checked.tensor(trigger.value, "the value", info.image_shape, dtype=info.dtype)
    if not 0 < trigger.weight <= 1:
        checked.fail(f"has the weight {trigger.weight!r}; expected a number above 0, at most 1")
    if not trigger.mask.any():
        checked.fail("covers no pixel")
    return trigger
