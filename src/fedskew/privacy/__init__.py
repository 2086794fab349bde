"""Privacy attacks: one per file, each from a seat, with a guess that evaluation compares with the truth; and an audit
of the privacy that an aggregator states.

The names below are imported when first used, so that reading the rows of this package imports little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedskew.privacy.canaries import CanaryAudit, audit_by_canaries

__all__ = ["CanaryAudit", "audit_by_canaries"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    import importlib

    if name in __all__:
        return getattr(importlib.import_module("fedskew.privacy.canaries"), name)
    raise AttributeError(f"module 'fedskew.privacy' has no attribute {name!r}")
