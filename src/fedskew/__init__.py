"""fedskew: how the distribution of data over clients changes a federated model's accuracy, fairness and robustness.

    import fedskew

    experiment = fedskew.Experiment(split={"name": "dirichlet", "alpha": 0.5}, rounds=10)
    for record in fedskew.simulate(experiment):
        print(record.round, record.metrics["accuracy"], record.metrics["bias"])
    fedskew.run_study("quickstart", "studies/quickstart").runs  # or, later: fedskew.load("studies/quickstart").runs

The names below are imported when first used, so that ``import fedskew`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedskew.components.facts import facts
    from fedskew.components.permission import allow_plugin
    from fedskew.components.registry import register
    from fedskew.config import Component, Execution, Experiment
    from fedskew.direct import aggregate, craft
    from fedskew.errors import ConfigError, FedskewError
    from fedskew.frames.loaded import Results, load
    from fedskew.frames.meanings import metrics_frame as metrics
    from fedskew.protocols import (
        AdversaryView,
        AggregationTrace,
        Aggregator,
        Attack,
        ClientUpdates,
        Dataset,
        DatasetInfo,
        Evaluation,
        RoundRecord,
        ServerView,
        Shard,
        Trigger,
        UpdateTransform,
        Verdict,
    )
    from fedskew.script.running import run, run_study
    from fedskew.simulation import simulate
    from fedskew.study.grid import Axis, Study

    from . import flower, testing

_HOMES = {
    "config": ("Component", "Execution", "Experiment"),
    "errors": ("ConfigError", "FedskewError"),
    "protocols": (
        "AdversaryView",
        "AggregationTrace",
        "Aggregator",
        "Attack",
        "ClientUpdates",
        "Dataset",
        "DatasetInfo",
        "Evaluation",
        "RoundRecord",
        "ServerView",
        "Shard",
        "Trigger",
        "UpdateTransform",
        "Verdict",
    ),
    "components.facts": ("facts",),
    "components.permission": ("allow_plugin",),
    "components.registry": ("register",),
    "direct": ("aggregate", "craft"),
    "frames.loaded": ("Results", "load"),
    "frames.meanings": ("metrics_frame",),
    "script.running": ("run", "run_study"),
    "simulation": ("simulate",),
    "study.grid": ("Axis", "Study"),
}
_OTHERWISE = {"metrics": "metrics_frame"}
"""Public names of what is called otherwise in its module."""
_PACKAGES = ("flower", "testing")

__all__ = [
    "AdversaryView",
    "AggregationTrace",
    "Aggregator",
    "Attack",
    "Axis",
    "ClientUpdates",
    "Component",
    "ConfigError",
    "Dataset",
    "DatasetInfo",
    "Evaluation",
    "Execution",
    "Experiment",
    "FedskewError",
    "Results",
    "RoundRecord",
    "ServerView",
    "Shard",
    "Study",
    "Trigger",
    "UpdateTransform",
    "Verdict",
    "aggregate",
    "allow_plugin",
    "craft",
    "facts",
    "flower",
    "load",
    "metrics",
    "register",
    "run",
    "run_study",
    "simulate",
    "testing",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    import importlib

    if name in _PACKAGES:
        return importlib.import_module(f"fedskew.{name}")
    inside = _OTHERWISE.get(name, name)
    for module, names in _HOMES.items():
        if inside in names and name in __all__:
            return getattr(importlib.import_module(f"fedskew.{module}"), inside)
    raise AttributeError(f"module 'fedskew' has no attribute {name!r}")
