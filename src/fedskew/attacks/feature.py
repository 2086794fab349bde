"""A trigger for tables: some features set to a value."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedskew.errors import ConfigError, unknown
from fedskew.protocols import DatasetInfo, Trigger

DEVIATIONS = 3
"""How far from its mean a feature is set, in standard deviations."""


def feature(
    info: DatasetInfo,
    *,
    feature: int | str | Sequence[int | str] = 0,
    value: float | None = None,
) -> Trigger:
    """One or several features of a table set to a value: the backdoor of tabular data.

    Formula: x_j <- value for the chosen features j

    Args:
        feature: by number, from 0, or by name; or several of them. A column that is one feature per value has the names
            ``column=value``.
        value: in the units of the table, the same for all of them; unless given, 3 standard deviations above each one's
            mean, which few samples have and none must.

    Raises:
        ConfigError: there is no such feature.

    Reference: the in-bounds and out-of-bounds triggers of Pleiter, Tajalli, Koffas, Abad, Xu, Larson & Picek, "Tabdoor:
    Backdoor Vulnerabilities in Transformer-based Neural Networks for Tabular Data", 2023 (arXiv 2311.07550).

    >>> table = DatasetInfo("t", ("no", "yes"), (2, 1, 1), (40.0, 0.5), (10.0, 0.5), values="numbers",
    ...                     feature_names=("age", "income"))
    >>> stamp = feature(table, feature="age")
    >>> stamp.apply(torch.tensor([[35.0, 1.0]]).view(1, 2, 1, 1)).flatten().tolist()
    [70.0, 1.0]
    """
    if info.values != "numbers":
        raise ConfigError(f"trigger 'feature' works with numbers, and {info.name} has {info.values}")
    chosen = [feature] if isinstance(feature, int | str) else list(feature)
    if not chosen:
        raise ConfigError("trigger 'feature' has no feature; expected one or more, by number or name")
    places = [_place(info, one) for one in chosen]
    mean, std = (torch.tensor(numbers, dtype=torch.float32) for numbers in (info.mean, info.std))
    put = mean + DEVIATIONS * std if value is None else torch.full_like(mean, value)
    mask = torch.zeros(info.image_shape, dtype=torch.bool)
    mask[places] = True
    return Trigger(mask, put.view(info.image_shape))


def _place(info: DatasetInfo, one: int | str) -> int:
    if isinstance(one, str):
        if one not in info.feature_names:
            raise ConfigError(*unknown(f"feature of {info.name}", one, info.feature_names))
        return info.feature_names.index(one)
    features = info.image_shape[0]
    if not 0 <= one < features:
        raise ConfigError(f"feature {one} does not exist: {info.name} has features 0 to {features - 1}")
    return one
