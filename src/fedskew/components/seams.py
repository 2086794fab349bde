"""The kinds of component and how each is called (docs/plugins.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seam:
    """How components of a kind are called.

    Attributes:
        arguments: the positional arguments a component must take first, by name; the rest are its options.
        factory: the record of ``protocols`` that a component may return, as a factory of its options alone, instead
            of being the rule itself (for rules that keep state). Without arguments, it always is one.
    """

    arguments: tuple[str, ...]
    factory: str | None = None


SEAMS: dict[str, Seam] = {
    "dataset": Seam(("root",)),
    "split": Seam(("labels", "num_clients", "rng")),
    "model": Seam(("info",)),
    "trigger": Seam(("info",)),
    "attack": Seam(("info",)),
    "selection": Seam(("view", "rng")),
    "start": Seam(("view", "rng"), factory="StartWeights"),
    "objective": Seam((), factory="LocalObjective"),
    "transform": Seam(("updates", "view", "rng"), factory="UpdateTransform"),
    "aggregator": Seam(("updates", "view"), factory="Aggregator"),
    "learning-rate": Seam(("updates", "lr")),
    "server-step": Seam(("delta",), factory="ServerStep"),
    "lr-schedule": Seam(("history",)),
    "stopping": Seam(("history",)),
    "metric": Seam(("evaluation",)),
    "client-metric": Seam(("evaluation",)),
    "observer": Seam((), factory="Observer"),
    "callback": Seam(("run",)),
}
