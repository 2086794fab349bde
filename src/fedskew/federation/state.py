"""What changes from round to round, and what it is before the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from fedskew.config import ClientStatePlace
from fedskew.federation.chain import begun, first_states
from fedskew.federation.client_state import ClientStates, MemoryStates, open_states
from fedskew.federation.world import World
from fedskew.protocols import State
from fedskew.training.recipe import first_kept


@dataclass
class RunState:
    """What changes from round to round; a checkpoint of it and the records so far continue a run exactly.

    Attributes:
        round: rounds done.
        weights, buffers: float32 [P] and [B] of the global model.
        clients: what clients keep, by id: their optimiser's state where it persists, their objective's, their personal
            model where it lasts.
        rules: what stateful components keep, by name: ``transforms/0``, ``aggregator/0``, ``server-step/0``,
            ``objective/0``, ``start/0``, ``attack/0``, ``privacy/0``.
        finished: why the run has stopped; empty while it has not.
    """

    round: int
    weights: Tensor
    buffers: Tensor
    clients: ClientStates = field(default_factory=MemoryStates)
    rules: dict[str, State] = field(default_factory=dict)
    finished: str = ""


def copied(state: State) -> State:
    """A copy of what a component keeps, to hand out: what the component does to it changes nothing that is kept."""
    return {name: tensor.clone() for name, tensor in state.items()}


def initial_state(world: World, clients: ClientStates | None = None) -> RunState:
    """The state before the first round, with an empty store for the clients' own (by default in memory).

    Raises:
        ConfigError: what a component keeps before its first round is not tensors by name.
    """
    experiment = world.experiment
    objective = experiment.training.objective
    return RunState(
        round=0,
        weights=world.initial_weights.clone(),
        buffers=world.initial_buffers.clone(),
        clients=MemoryStates() if clients is None else clients,
        rules={
            **first_states(world),
            "objective/0": begun("objective", objective, world.objective.server_init, "server_init"),
            "start/0": begun("start", experiment.clients.start, world.start.init),
            "attack/0": begun("attack", experiment.attack, world.attack.init),
            **{
                f"privacy/{i}": begun("privacy-attack", component, attacker.init)
                for i, (component, (_, attacker)) in enumerate(
                    zip(experiment.privacy.attacks, world.privacy_attacks, strict=True)
                )
            },
        },
    )


def empty_states(
    world: World, place: ClientStatePlace, folder: Path, *, durable: bool = True
) -> ClientStates:
    """The store for what the clients of a run keep; see ``client_state.open_states``."""
    experiment, parameters = world.experiment, world.layout.total
    kept = [first_kept(experiment.training.objective.label, world.objective, parameters)]
    if world.attack.objective is not None and world.population.spread.malicious:
        kept.append(first_kept(experiment.attack.label, world.attack.objective, parameters))
    models = 1
    if world.personal.lasting:
        kept.append({"weights": world.initial_weights, "buffers": world.initial_buffers})
        kept.append(first_kept(experiment.clients.personal.label, world.personal.objective, parameters))
        models = 2
    if world.own is not None:
        own = world.initial_weights[world.own]
        kept.append({"own": own, "buffers": world.initial_buffers})
    return open_states(
        place,
        experiment.training.optimizer,
        experiment.clients.count,
        parameters,
        folder,
        world.initial_weights.device,
        kept=kept,
        models=models,
        durable=durable,
    )
