"""The server's rules, built from a config: transforms, aggregator, learning-rate rule, server step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fedskew.components.binding import resolve
from fedskew.components.completed import Completed
from fedskew.components.returned import checked_state
from fedskew.components.rules import build_rule
from fedskew.config import Component, Experiment
from fedskew.protocols import (
    Aggregator,
    ParameterLayout,
    ServerLearningRate,
    ServerStep,
    State,
    UpdateTransform,
)


@dataclass(frozen=True)
class Chain:
    """What a server does with the updates of every round (``federation.defence``).

    Attributes:
        layout: of the parameters [P].
        frozen: bool [P], the parameters that the model does not train and that the server does not move either; None
            if there are none.
    """

    completed: Completed
    layout: ParameterLayout
    frozen: Tensor | None
    transforms: list[UpdateTransform]
    aggregator: Aggregator
    server_step: ServerStep
    learning_rate: ServerLearningRate

    @property
    def experiment(self) -> Experiment:
        """What is run, with all defaults filled in."""
        return self.completed.experiment


def build_chain(completed: Completed, layout: ParameterLayout, frozen: Tensor | None) -> Chain:
    """The rules of an experiment.

    Raises:
        ConfigError: names the field.
    """
    defence, step = completed.experiment.defence, completed.experiment.server.step
    return Chain(
        completed=completed,
        layout=layout,
        frozen=frozen,
        transforms=[
            build_rule("transform", transform, f"defence.transforms[{i}]")
            for i, transform in enumerate(defence.transforms)
        ],
        aggregator=build_rule("aggregator", defence.aggregator, "defence.aggregator"),
        server_step=build_rule("server-step", step, "server.step"),
        learning_rate=resolve("learning-rate", defence.learning_rate, "defence.learning_rate"),
    )


def begun(kind: str, component: Component, init: Callable[[], State], part: str = "init") -> State:
    """What a component keeps before its first round.

    Raises:
        ConfigError: it is not tensors by name.
    """
    return checked_state(f"{kind} {component.label!r}: {part}", init())


def first_states(chain: Chain) -> dict[str, State]:
    """What the rules keep before the first round, by name (``RunState.rules``)."""
    defence = chain.experiment.defence
    return {
        **{
            f"transforms/{i}": begun("transform", component, transform.init)
            for i, (component, transform) in enumerate(zip(defence.transforms, chain.transforms, strict=True))
        },
        "aggregator/0": begun("aggregator", defence.aggregator, chain.aggregator.init),
        "server-step/0": begun("server-step", chain.experiment.server.step, chain.server_step.init),
    }
