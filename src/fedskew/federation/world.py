"""Everything a run needs before its first round, built from its config: data, clients, model, engine, defence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedskew import datasets
from fedskew.components.binding import build_attack, resolve
from fedskew.components.completed import Completed
from fedskew.components.outside import told
from fedskew.components.returned import (
    checked_attack,
    checked_dataset,
    checked_model,
    checked_observer,
    checked_state,
)
from fedskew.components.rules import build_rule
from fedskew.config import ClientStatePlace, Component, Execution, Experiment
from fedskew.federation.client_state import ClientStates, MemoryStates, open_states
from fedskew.federation.device import open_device
from fedskew.federation.population import Population, populate
from fedskew.federation.spread import Spread, spread
from fedskew.federation.watched import watched
from fedskew.models.build import fresh, layout_of
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.protocols import (
    Aggregator,
    Attack,
    ClientMetric,
    Dataset,
    IndexArray,
    LocalObjective,
    Metric,
    Observer,
    ParameterLayout,
    RoundRecord,
    Selection,
    ServerLearningRate,
    ServerStep,
    StartWeights,
    State,
    StoppingRule,
    UpdateTransform,
)
from fedskew.training.arithmetic import all_buffers, flatten
from fedskew.training.choose import choose
from fedskew.training.engine import Engine
from fedskew.training.recipe import first_kept


@dataclass(frozen=True)
class World:
    """A run's fixed parts; nothing here changes from round to round."""

    completed: Completed
    dataset: Dataset
    population: Population
    attack: Attack
    device: torch.device
    engine: Engine
    engine_reason: str
    module: nn.Module
    layout: ParameterLayout
    selection: Selection
    start: StartWeights
    objective: LocalObjective
    schedule: Callable[[Sequence[RoundRecord]], float]
    transforms: list[UpdateTransform]
    aggregator: Aggregator
    server_step: ServerStep
    learning_rate: ServerLearningRate
    stopping: StoppingRule
    metrics: list[tuple[str, Metric]]
    client_metrics: list[tuple[str, ClientMetric]]
    observers: list[tuple[str, Observer]]
    initial_weights: Tensor
    initial_buffers: Tensor
    triggered_images: Tensor | None

    @property
    def experiment(self) -> Experiment:
        """What is run, with all defaults filled in."""
        return self.completed.experiment

    @cached_property
    def num_examples(self) -> IndexArray:
        """int64 [K]: the training images of each client."""
        return np.array([len(shard) for shard in self.population.shards], dtype=np.int64)

    @property
    def threat(self) -> str:
        """The name of the threat model, where there are adversaries that know more than their own updates; else ""."""
        known = self.attack.threat
        more = known.sees != "own-updates" or known.knows_defence
        return known.name if more and self.population.spread.malicious else ""

    def skew(self) -> dict[str, float]:
        """The heterogeneity of the honest clients' data, by measure."""
        where = self.population.spread
        counts = where.counts(self.dataset.y_train.numpy(), self.dataset.info.num_classes)
        return heterogeneity(counts[list(where.honest)]).as_dict()


@dataclass
class RunState:
    """What changes from round to round; a checkpoint of it and the records so far continue a run exactly.

    Attributes:
        round: rounds done.
        weights, buffers: float32 [P] and [B] of the global model.
        clients: what clients keep, by id: their optimiser's state where it persists, their objective's.
        rules: what stateful components keep, by name: ``transforms/0``, ``aggregator/0``, ``server-step/0``,
            ``objective/0``, ``start/0``, ``attack/0``.
        finished: why the run has stopped; empty while it has not.
    """

    round: int
    weights: Tensor
    buffers: Tensor
    clients: ClientStates = field(default_factory=MemoryStates)
    rules: dict[str, State] = field(default_factory=dict)
    finished: str = ""


def load_data(experiment: Experiment, execution: Execution) -> Dataset:
    """The experiment's data set; a built-in one is fetched first if it is missing.

    Raises:
        DataError: it is missing and cannot be downloaded, or its files are damaged.
    """
    data = experiment.data
    if isinstance(data.name, str) and data.name in datasets.names():
        return datasets.load(
            data.name, execution.data_dir, download=execution.download, verify=data.verify, **data.options
        )
    plain = Component.model_validate({"name": data.name, **data.options})
    return checked_dataset(
        data.label, resolve("dataset", plain, "data")(datasets.data_root(execution.data_dir))
    )


def build_world(completed: Completed, execution: Execution, dataset: Dataset | None = None) -> World:
    """Builds a run's fixed parts.

    Args:
        dataset: instead of the one that the experiment names (which then only says what it is).

    Raises:
        FedskewError: the experiment cannot be done; one sentence says why.
    """
    experiment = completed.experiment
    given = load_data(experiment, execution) if dataset is None else dataset
    dataset = checked_dataset(experiment.data.label, given)
    info = dataset.info
    attack = checked_attack(experiment.attack.label, build_attack(experiment.attack, info), info)
    where = spread(dataset.y_train.numpy(), experiment)
    population = populate(dataset, where, attack, experiment.seed, experiment.attack.label)
    factory: Any = resolve("model", experiment.model, "model")
    module = checked_model(experiment.model.label, fresh(factory, info, experiment.seed), info)
    device = open_device(execution.device)

    with told(f"model {experiment.model.label!r}", "model"):
        choice = choose(
            module,
            info,
            population.images,
            population.labels,
            device,
            execution.engine,
            experiment.training,
        )
        engine = choice.build(execution.workers)
    defence, training, evaluation = experiment.defence, experiment.training, experiment.evaluation
    return World(
        completed=completed,
        dataset=dataset,
        population=population,
        attack=attack,
        engine=watched(engine, experiment),
        device=device,
        engine_reason=choice.reason,
        module=module,
        layout=layout_of(module),
        selection=resolve("selection", experiment.clients.selection, "clients.selection"),
        start=build_rule("start", experiment.clients.start, "clients.start"),
        objective=build_rule("objective", training.objective, "training.objective"),
        schedule=resolve("lr-schedule", training.lr_schedule, "training.lr_schedule"),
        transforms=_several(build_rule, "transform", defence.transforms, "defence.transforms"),
        aggregator=build_rule("aggregator", defence.aggregator, "defence.aggregator"),
        server_step=build_rule("server-step", experiment.server.step, "server.step"),
        learning_rate=resolve("learning-rate", defence.learning_rate, "defence.learning_rate"),
        stopping=resolve("stopping", experiment.stopping, "stopping"),
        metrics=_named(resolve, "metric", evaluation.metrics, "evaluation.metrics"),
        client_metrics=_named(
            resolve, "client-metric", evaluation.client_metrics, "evaluation.client_metrics"
        ),
        observers=[
            (name, checked_observer(name, observer))
            for name, observer in _named(build_rule, "observer", evaluation.observers, "evaluation.observers")
        ],
        initial_weights=flatten(list(module.parameters())).to(device),
        initial_buffers=flatten(all_buffers(module)).to(device),
        triggered_images=attack.trigger.apply(dataset.x_test) if attack.trigger else None,
    )


def _several(make: Callable[..., Any], kind: str, components: Sequence[Component], where: str) -> list[Any]:
    return [make(kind, component, f"{where}[{i}]") for i, component in enumerate(components)]


def _named(
    make: Callable[..., Any], kind: str, components: Sequence[Component], where: str
) -> list[tuple[str, Any]]:
    made = _several(make, kind, components, where)
    return [(component.label, one) for component, one in zip(components, made, strict=True)]


def copied(state: State) -> State:
    """A copy of what a component keeps, to hand out: what the component does to it changes nothing that is kept."""
    return {name: tensor.clone() for name, tensor in state.items()}


def initial_state(world: World, clients: ClientStates | None = None) -> RunState:
    """The state before the first round, with an empty store for the clients' own (by default in memory).

    Raises:
        ConfigError: what a component keeps before its first round is not tensors by name.
    """
    experiment = world.experiment
    defence, objective = experiment.defence, experiment.training.objective

    def begun(kind: str, component: Component, init: Callable[[], State], part: str = "init") -> State:
        return checked_state(f"{kind} {component.label!r}: {part}", init())

    return RunState(
        round=0,
        weights=world.initial_weights.clone(),
        buffers=world.initial_buffers.clone(),
        clients=MemoryStates() if clients is None else clients,
        rules={
            **{
                f"transforms/{i}": begun("transform", component, transform.init)
                for i, (component, transform) in enumerate(
                    zip(defence.transforms, world.transforms, strict=True)
                )
            },
            "aggregator/0": begun("aggregator", defence.aggregator, world.aggregator.init),
            "server-step/0": begun("server-step", experiment.server.step, world.server_step.init),
            "objective/0": begun("objective", objective, world.objective.server_init, "server_init"),
            "start/0": begun("start", experiment.clients.start, world.start.init),
            "attack/0": begun("attack", experiment.attack, world.attack.init),
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
    return open_states(
        place,
        experiment.training.optimizer,
        experiment.clients.count,
        parameters,
        folder,
        world.initial_weights.device,
        kept=kept,
        durable=durable,
    )


def honest_label_counts(world: World) -> Tensor:
    """int64 [K', C]: the training labels of each honest client that has data."""
    where: Spread = world.population.spread
    counts = where.counts(world.dataset.y_train.numpy(), world.dataset.info.num_classes)
    honest = torch.from_numpy(counts[list(where.honest)])
    return honest[honest.sum(dim=1) > 0]
