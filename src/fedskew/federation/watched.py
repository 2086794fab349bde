"""An engine with the guard around it: models and local objectives are called inside of it, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from fedskew.components.known import is_built_in
from fedskew.components.outside import repeatable
from fedskew.components.seams import SEAMS
from fedskew.config import Component, Experiment
from fedskew.protocols import Predictions, State
from fedskew.training.engine import CohortResult, Engine
from fedskew.training.plan import ClientWork


def called_in_training(experiment: Experiment) -> list[tuple[str, Component]]:
    """(kind, component) of those that an engine calls and that are not built in, the likelier culprit first."""
    asked = [
        ("objective", experiment.training.objective),
        ("attack", experiment.attack),
        ("personal", experiment.clients.personal),
        ("model", experiment.model),
    ]
    return [(kind, component) for kind, component in asked if not is_built_in(kind, component)]


def watched(engine: Engine, experiment: Experiment) -> Engine:
    """The engine, watched if it calls something that is not built in."""
    asked = called_in_training(experiment)
    if not asked:
        return engine
    who = " or ".join(f"{kind} {part.label!r}" for kind, part in asked)
    return WatchedEngine(engine, who, SEAMS[asked[0][0]].rng)


@dataclass
class WatchedEngine:
    """See ``Engine``. Nothing in training uses a global generator that it does not restore, so that what is used is
    used by one of the components.

    Attributes:
        who: the components that it calls, in words.
        rng: what the first of them may draw from.
    """

    engine: Engine
    who: str
    rng: str

    def __post_init__(self) -> None:
        self.name, self.workers = self.engine.name, self.engine.workers

    def train(
        self, weights: Tensor, buffers: Tensor, work: Sequence[ClientWork], states: Mapping[int, State]
    ) -> CohortResult:
        """See ``Engine``."""
        with repeatable(f"{self.who}: training", self.rng):
            return self.engine.train(weights, buffers, work, states)

    def predict(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Predictions:
        """See ``Engine``."""
        with repeatable(f"{self.who}: evaluation", self.rng):
            return self.engine.predict(weights, buffers, images, labels)
