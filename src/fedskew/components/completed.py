"""A completed experiment: what is planned, run and named. Made once, where an experiment comes in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from fedskew.components.binding import complete_experiment
from fedskew.components.identity import VERSION, hashed, rounds_identity
from fedskew.config import Experiment


@dataclass(frozen=True)
class Completed:
    """An experiment whose components have valid names and options, with the defaults filled in.

    Made by ``completed``; what takes one need not check or complete it again.

    Attributes:
        version: of its results; a run of an earlier one is found and read, but no round of it is done.
    """

    experiment: Experiment
    version: int = VERSION

    @cached_property
    def identity(self) -> str:
        """The name of its run: see ``fedskew.components.identity``."""
        return hashed(self.experiment, self.version)

    @cached_property
    def rounds_identity(self) -> str:
        """The identity of what happens in each round, whenever the run stops."""
        return rounds_identity(self.experiment, self.version)

    def with_seed(self, seed: int) -> Completed:
        """The same experiment with another seed."""
        return replace(self, experiment=self.experiment.model_copy(update={"seed": seed}))


def completed(experiment: Experiment, version: int = VERSION) -> Completed:
    """Check the names and options of an experiment's components and fill in the defaults; imports no component.

    Raises:
        ConfigError: names the field.
    """
    return Completed(complete_experiment(experiment), version)
