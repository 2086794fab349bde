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
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"this data set needs {module.partition('.')[0]}, which is not installed here",
            f"pip install 'fedskew[{extra}]'",
        ) from error
