"""Packages that only some loaders need."""

from __future__ import annotations

import importlib
from typing import Any

from fedskew.errors import DataError


def needed(module: str, extra: str) -> Any:
    """A module of an optional dependency.

    Args:
        extra: the extra of fedskew that installs it.

    Raises:
        DataError: it is not installed; the hint is the command.
    """
    try:
        found = importlib.import_module(module)
    except ImportError:
        found = None
    if (
        found is None or getattr(found, "__file__", None) is None
    ):  # a folder of this name is no installed package
        raise DataError(
            f"this data set needs {module.partition('.')[0]}, which is not installed here",
            f"pip install 'fedskew[{extra}]'",
        )
    return found
