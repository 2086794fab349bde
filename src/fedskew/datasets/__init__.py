"""Data sets: files to :class:`fedskew.protocols.Dataset`, uint8 tensors that stay resident.

One module per format (:mod:`~fedskew.datasets.digits`, :mod:`~fedskew.datasets.idx`,
:mod:`~fedskew.datasets.cifar`, :mod:`~fedskew.datasets.npz`) reads; :mod:`~fedskew.datasets.download`
fetches; :mod:`~fedskew.datasets.published` knows what the published files are. The names below are imported when first
used, so that reading the rows of this package imports little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedskew.datasets.access import load, names
    from fedskew.datasets.locate import data_root
    from fedskew.datasets.manage import DatasetReport, FileReport, fetch, verify, where

_HOMES = {
    "access": ("load", "names"),
    "locate": ("data_root",),
    "manage": ("DatasetReport", "FileReport", "fetch", "verify", "where"),
}

__all__ = [
    "DatasetReport",
    "FileReport",
    "data_root",
    "fetch",
    "load",
    "names",
    "verify",
    "where",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    for module, found in _HOMES.items():
        if name in found:
            return getattr(importlib.import_module(f"fedskew.datasets.{module}"), name)
    raise AttributeError(f"module 'fedskew.datasets' has no attribute {name!r}")
