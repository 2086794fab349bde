"""What an experiment has of an attack and of a defence, and the same experiment without it. From facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedskew.components.identity import identity
from fedskew.components.known import facts_of
from fedskew.config import Component, Defence, Experiment, Server


def unattacked(experiment: Experiment) -> str:
    """What an experiment and the same one without adversaries have in common: all that is not about them, nor about
    who watches."""
    fields = Experiment.model_fields
    return identity(
        experiment.model_copy(
            update={name: fields[name].default for name in ("adversaries", "attack", "privacy")}
        )
    )


def defence_parts(experiment: Experiment) -> list[Component]:
    """The parts of what the server does that are there against adversaries."""
    return [part for _, part in defending(experiment)]


def defending(experiment: Experiment) -> list[tuple[str, Component]]:
    """(kind, component) of each of the ``defence_parts``."""
    defence = experiment.defence
    parts = [
        *(("transform", transform) for transform in defence.transforms),
        ("aggregator", defence.aggregator),
        ("learning-rate", defence.learning_rate),
        ("server-step", experiment.server.step),
    ]
    return [(kind, part) for kind, part in parts if facts_of(kind, part).defends]


def undefended(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """The fields that make it the same experiment without a defence; what does not defend stays as it is.

    Any average that does not defend, instead of an aggregator that does, makes such an experiment.
    """
    defence, server = experiment.defence, experiment.server
    averages = [Component(name=name) for name in ("fedavg", "mean")]
    if facts_of("server-step", server.step).defends:
        server = server.model_copy(update={"step": Server().step})
    stay = [not facts_of("transform", transform).defends for transform in defence.transforms]
    kept: dict[str, Any] = {
        "transforms": tuple(t for t, stays in zip(defence.transforms, stay, strict=True) if stays),
        "local_transforms": sum(stay[: defence.local_transforms]),
    }
    if facts_of("learning-rate", defence.learning_rate).defends:
        kept["learning_rate"] = Defence().learning_rate
    defends = facts_of("aggregator", defence.aggregator).defends
    for aggregator in averages if defends else [defence.aggregator]:
        bare = defence.model_copy(update={**kept, "aggregator": aggregator})
        yield {"defence": bare, "server": server}
