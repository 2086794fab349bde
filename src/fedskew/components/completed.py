"""A completed experiment: what is planned, run and named. Made once, where an experiment comes in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fedskew.components.binding import complete_experiment
from fedskew.components.identity import hashed, rounds_identity
from fedskew.config import Experiment


@dataclass(frozen=True)
class Completed:
    """An experiment whose components have valid names and options, with the defaults filled in.

    Made by ``completed``; what takes one need not check or complete it again.
    """

    experiment: Experiment

    @cached_property
    def identity(self) -> str:
        """The name of its run: see ``fedskew.components.identity``."""
        return hashed(self.experiment)

    @cached_property
    def rounds_identity(self) -> str:
        """The identity of what happens in each round, whenever the run stops."""
        return rounds_identity(self.experiment)

    def with_seed(self, seed: int) -> Completed:
        """The same experiment with another seed."""
        return Completed(self.experiment.model_copy(update={"seed": seed}))


def completed(experiment: Experiment) -> Completed:
    """Check the names and options of an experiment's components and fill in the defaults; imports no component.

    Raises:
        ConfigError: names the field.
    """
    return Completed(complete_experiment(experiment))
