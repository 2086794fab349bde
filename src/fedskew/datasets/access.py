"""Loading a built-in data set by its name, fetched first where it is missing."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedskew.datasets.locate import data_root, is_available
from fedskew.datasets.manage import fetch
from fedskew.datasets.published import LOADERS, PUBLISHED, checked_name
from fedskew.errors import DataError, unknown

if TYPE_CHECKING:
    from fedskew.protocols import Dataset


def names() -> tuple[str, ...]:
    """The built-in data sets; the first is the default of the demo."""
    return tuple(LOADERS)


def load(
    name: str, root: Path | None = None, *, download: bool = True, verify: bool = True, **options: Any
) -> Dataset:
    """Loads a built-in data set.

    Args:
        name: one of :func:`names`.
        root: the data root; None for :func:`~fedskew.datasets.data_root`.
        download: fetch what is missing; False never touches the network.
        verify: refuse content that is known not to be the official one.
        options: the loader's own, for example ``path`` for ``npz`` (docs/data.md).

    Raises:
        DataError: an unknown name or option, or files that are missing, truncated, corrupt or not what they
            should be.
        ConfigError: what was read is no valid data set.
    """
    from fedskew.components.returned import checked_dataset  # lazy: PyTorch is not needed to look at files

    loader = _loader(checked_name(name))
    _check_options(name, loader, options)
    base = data_root(root)
    entry = PUBLISHED.get(name)
    if download and entry is not None and not is_available(entry, base):
        fetch(name, base)
    return checked_dataset(name, loader(base, verify=verify, **options))


def _loader(name: str) -> Callable[..., Dataset]:
    module, _, function = LOADERS[name].partition(":")
    loader: Callable[..., Dataset] = getattr(importlib.import_module(module), function)
    return loader


def _check_options(name: str, loader: Callable[..., Dataset], options: dict[str, Any]) -> None:
    """Checks the options against the loader's signature: a wrong one is a DataError, not a TypeError."""
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(loader).parameters.items()
        if key not in ("root", "verify")
    }
    for option in options:
        if option not in parameters:
            raise DataError(*unknown(f"option of data set {name!r}", option, parameters))
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in options:
            raise DataError(f"data set {name!r} needs the option {key!r}")
