"""Checks of what clients learn from and what they learn: data sets, splits, shifts, models, triggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedskew.components.known import facts_of
from fedskew.components.returned import (
    checked_dataset,
    checked_division,
    checked_shift,
    checked_shifted_images,
    checked_shifted_labels,
)
from fedskew.config import Component
from fedskew.models.build import fresh
from fedskew.protocols import DatasetInfo, Division, Rng, ShiftView, Trigger, ViewedSplit
from fedskew.testing.examples import INFO, each, rng, shard, split_view
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
    ``facts(leaves_out=True)``, to at most one, or, by one that states ``facts(shares=True)``, to every client or to
    none.

    The example has 1,000 images in ten classes, of 12 natural clients and two groups, and 8 clients. The images are
    those that are left of 1,200; there are 200 test images.

    Raises:
        ConformanceError, ConfigError: one sentence that names the split.
    """
    checked = subject("split", split, options)
    facts = facts_of("split", Component.model_validate({"name": split, **options}))

    viewed = isinstance(checked.build(), ViewedSplit)

    def wrap(built: Any) -> Rule:
        divide = built.divide if viewed else built

        def parted(seen: Any, num_clients: int, draws: Rng) -> Division:
            found = divide(seen, num_clients, draws)
            return checked.returned(checked_division, found, split_view(), num_clients, facts)

        return stateless(parted)

    def given(clients: int, number: int) -> dict[str, Any]:
        seen = {"view": split_view()} if viewed else {"labels": split_view().labels}
        return {**seen, "num_clients": clients, "rng": rng(number)}

    exercise(checked, wrap, each(2, lambda i: given(8, i)))
    limiting_case(checked, wrap, lambda: given(1, 0), "a split over one client")


def check_shift(shift: Named, **options: Any) -> None:
    """What every shift must do: images and labels of the same number, shape and type, from the generator it is given.

    The example has 30 images in ten classes, of 4 clients.

    Raises:
        ConformanceError, ConfigError: one sentence that names the shift.
    """
    checked = subject("shift", shift, options)

    def wrap(function: Any) -> Rule:
        def altered(view: ShiftView, images: Tensor, numbers: Tensor, draws: Rng) -> tuple[Tensor, Tensor]:
            found = checked.returned(checked_shift, function(view, draws))
            seen = images if found.images is None else found.images(images, draws)
            called = numbers if found.labels is None else found.labels(numbers, draws)
            classes = view.info.num_classes
            return (
                checked.returned(checked_shifted_images, seen, images),
                checked.returned(checked_shifted_labels, called, numbers, classes),
            )

        return stateless(altered)

    def given(images: int, client: int) -> dict[str, Any]:
        data = shard(images)
        view = ShiftView(INFO, client, 4)
        return {"view": view, "images": data.images, "labels": data.labels, "rng": rng(client)}

    exercise(checked, wrap, each(3, lambda i: given(30, i)))
    limiting_case(checked, wrap, lambda: given(1, 3), "a client with one image")


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
