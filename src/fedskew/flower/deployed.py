"""The server's rules of a deployment, and what they need of clients and server. Knows nothing of Flower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedskew.audit.defences import kind_of, placed
from fedskew.audit.notation import parse_chain
from fedskew.components.binding import components_of
from fedskew.components.completed import completed
from fedskew.components.known import facts_of
from fedskew.components.rules import build_rule
from fedskew.components.together import check_together
from fedskew.config import Component, Defence, Experiment, Server
from fedskew.config.component import Named
from fedskew.errors import ConfigError
from fedskew.federation.chain import Chain, build_chain
from fedskew.protocols import LocalObjective, ParameterLayout


@dataclass(frozen=True)
class Reported:
    """The names of the metrics by which clients report; None for what they do not report."""

    steps: str | None = None
    losses: str | None = None
    start_losses: str | None = None
    client_id: str | None = None


def deployed(
    defence: Defence | Mapping[str, Any] | str | Callable[..., Any],
    *,
    clients: int,
    cohort: int,
    server: Server | Mapping[str, Any] | None,
    objective: Named,
    seed: int,
) -> Chain:
    """The rules, checked as those of a run with so many clients; the layout of the parameters is not known yet.

    Args:
        cohort: the clients of a round.

    Raises:
        ConfigError: names the field.
    """
    step = None
    if isinstance(defence, str):
        defence, step = _from_notation(defence)
    elif not isinstance(defence, Defence | Mapping):
        defence = Defence(aggregator=Component(name=defence))
    experiment = Experiment.model_validate(
        {
            "seed": seed,
            "clients": {"count": clients, "fraction": cohort / clients},
            "training": {"objective": objective},
            "defence": defence,
            "server": {} if server is None else server,
        }
    )
    given = experiment.server
    if given.secure_aggregation:
        raise ConfigError(
            "server.secure_aggregation = true: this strategy gets the update of every client, so it would not hold",
            "leave it out",
            "server.secure_aggregation",
        )
    if experiment.defence.local_transforms:
        raise ConfigError(
            "defence.local_transforms: clients do these before they send, and this strategy is the server's part",
            "do them in the ClientApp, and leave them out here",
            "defence.local_transforms",
        )
    if step is not None:
        if "step" in given.model_fields_set:
            raise ConfigError("server.step is given, and the defence has one too", field="server.step")
        experiment = experiment.model_copy(update={"server": given.model_copy(update={"step": step})})
    whole = completed(experiment)
    chain = build_chain(whole, ParameterLayout((), ()), None)
    check_together(whole.experiment, components_of(whole.experiment))  # again: plug-ins are imported now
    _check_objective(whole.experiment.training.objective)
    return chain


def _from_notation(text: str) -> tuple[dict[str, Any], Any]:
    """The fields of a defence as ``fedskew audit`` reads it from a text, and the server step in it, if any."""
    fields = placed(text, [(kind_of(part["name"]), part) for part in parse_chain(text)])
    step = fields.pop("server.step", None)
    return {name.removeprefix("defence."): each for name, each in fields.items()}, step


def _check_objective(component: Component) -> None:
    """Of an objective, only the clients' part is there: what the server sends and collects for it is not."""
    record, usual = build_rule("objective", component, "training.objective"), LocalObjective()
    for part in ("server_init", "send", "collect"):
        if getattr(record, part) is not getattr(usual, part):
            raise ConfigError(
                f"objective {component.label!r} has a part on the server, which this strategy does not do",
                field="training.objective",
            )


def check_reported(chain: Chain, reported: Reported, root_update: object) -> None:
    """Refuses rules that need what Flower's server does not have unless it is told where it is.

    Raises:
        ConfigError: names the argument.
    """
    defence = chain.experiment.defence
    parts = [("transform", one) for one in defence.transforms] + [("aggregator", defence.aggregator)]
    for kind, part in parts:
        if reported.steps is None and facts_of(kind, part).steps:
            raise ConfigError(
                f"{kind} {part.label!r} needs the number of optimiser steps that each client took",
                'have clients report it as a metric, and name that: steps="num-steps"',
                "steps",
            )
    rule = f"aggregator {defence.aggregator.label!r}"
    if chain.aggregator.start_losses and reported.start_losses is None:
        raise ConfigError(
            f"{rule} needs each client's loss before training",
            'have clients report it as a metric, and name that: start_losses="start-loss"',
            "start_losses",
        )
    if chain.aggregator.server_data and root_update is None:
        raise ConfigError(
            f"{rule} needs an update that is trained on the server's own data",
            "give a function that trains it: root_update=lambda round, arrays: ...",
            "root_update",
        )
    if root_update is not None and not chain.aggregator.server_data:
        raise ConfigError(f"{rule} makes no use of root_update", "leave it out", "root_update")


def check_released(chain: Chain, buffers: Sequence[str]) -> None:
    """Refuses a rule that states a privacy for a model with more than parameters, which the rule does not see.

    Args:
        buffers: the names of the model's other arrays.

    Raises:
        ConfigError: names one of them.
    """
    rule = chain.experiment.defence.aggregator
    if buffers and facts_of("aggregator", rule).private:
        raise ConfigError(
            f"the model has an array that is no parameter, {buffers[0]!r}, and clients send it as it is, so the "
            f"privacy that {rule.label!r} states would not hold",
            "take a model without running averages, and send parameters alone",
        )
