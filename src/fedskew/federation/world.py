"""Everything a run needs before its first round, built from its config: data, clients, model, engine, defence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedskew import datasets
from fedskew.attacks.tails import in_tail
from fedskew.components.attacking import attack_in, check_uploads
from fedskew.components.binding import components_of, resolve
from fedskew.components.completed import Completed
from fedskew.components.outside import told
from fedskew.components.returned import (
    checked_dataset,
    checked_model,
    checked_observer,
    checked_personal,
    checked_privacy_attack,
)
from fedskew.components.rules import build_rule
from fedskew.components.secure import check_seat
from fedskew.components.values import check_values
from fedskew.config import Component, Execution, Experiment
from fedskew.federation.batches import check_batches
from fedskew.federation.chain import Chain, build_chain
from fedskew.federation.device import open_device
from fedskew.federation.held_out import HeldOut, held_out
from fedskew.federation.own_layers import own_mask
from fedskew.federation.planting import planted
from fedskew.federation.population import Population, populate
from fedskew.federation.released import check_released
from fedskew.federation.senders import check_senders
from fedskew.federation.shifting import shifted
from fedskew.federation.spread import Spread, spread
from fedskew.federation.watched import watched
from fedskew.models.build import fresh, layout_of
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.protocols import (
    Attack,
    ClientMetric,
    Dataset,
    IndexArray,
    LocalObjective,
    Metric,
    Observer,
    PersonalModel,
    PrivacyAttack,
    RoundRecord,
    Selection,
    SplitView,
    StartWeights,
    StoppingRule,
)
from fedskew.training.arithmetic import all_buffers, flatten, frozen_entries
from fedskew.training.choose import choose
from fedskew.training.engine import Engine


@dataclass(frozen=True)
class World(Chain):
    """A run's fixed parts; nothing here changes from round to round.

    Attributes:
        own: bool [P], the parameters that each honest client keeps for itself; None if clients share all.
    """

    dataset: Dataset
    population: Population
    held_out: HeldOut
    attack: Attack
    device: torch.device
    engine: Engine
    engine_reason: str
    engine_compiled: str
    module: nn.Module
    selection: Selection
    start: StartWeights
    personal: PersonalModel
    objective: LocalObjective
    schedule: Callable[[Sequence[RoundRecord]], float]
    stopping: StoppingRule
    metrics: list[tuple[str, Metric]]
    client_metrics: list[tuple[str, ClientMetric]]
    observers: list[tuple[str, Observer]]
    privacy_attacks: list[tuple[str, PrivacyAttack]]
    initial_weights: Tensor
    initial_buffers: Tensor
    own: Tensor | None
    triggered_images: Tensor | None

    @property
    def has_personal(self) -> bool:
        """Whether honest clients have personal models."""
        return self.personal.epochs != 0 or self.own is not None

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
    check_values(experiment, components_of(experiment), info.name, (info.values,))
    attack = attack_in(experiment, info)
    where = spread(SplitView.of(dataset), experiment)
    check_senders(where, experiment)
    moved, measured = shifted(dataset, where, held_out(dataset, where), experiment)
    population = populate(
        dataset, where, attack, experiment.seed, experiment.attack.label, planted(where, experiment), moved
    )
    factory: Any = resolve("model", experiment.model, "model")
    module = checked_model(experiment.model.label, fresh(factory, info, experiment.seed), info)
    check_batches(experiment, population, attack, module, info)
    check_released(experiment, module, info)
    device, frozen = open_device(execution.device), frozen_entries(module)

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
    chain = build_chain(completed, layout_of(module), None if frozen is None else frozen.to(device))
    training, evaluation = experiment.training, experiment.evaluation
    personal = checked_personal(
        experiment.clients.personal.label,
        build_rule("personal", experiment.clients.personal, "clients.personal"),
    )
    own = own_mask(personal, experiment.clients.personal.label, module, experiment.model.label)
    objective = build_rule("objective", training.objective, "training.objective")
    check_uploads(experiment, objective)
    return World(
        **vars(chain),
        dataset=dataset,
        population=population,
        held_out=measured,
        attack=attack,
        engine=watched(engine, experiment),
        device=device,
        engine_reason=choice.reason,
        engine_compiled=choice.compiled,
        module=module,
        selection=resolve("selection", experiment.clients.selection, "clients.selection"),
        start=build_rule("start", experiment.clients.start, "clients.start"),
        personal=personal,
        objective=objective,
        schedule=resolve("lr-schedule", training.lr_schedule, "training.lr_schedule"),
        stopping=resolve("stopping", experiment.stopping, "stopping"),
        metrics=_named(resolve, "metric", evaluation.metrics, "evaluation.metrics"),
        client_metrics=_named(
            resolve, "client-metric", evaluation.client_metrics, "evaluation.client_metrics"
        ),
        observers=_seated(
            experiment, checked_observer, "observer", evaluation.observers, "evaluation.observers"
        ),
        privacy_attacks=_seated(
            experiment,
            checked_privacy_attack,
            "privacy-attack",
            experiment.privacy.attacks,
            "privacy.attacks",
        ),
        initial_weights=flatten(list(module.parameters())).to(device),
        initial_buffers=flatten(all_buffers(module)).to(device),
        own=None if own is None else own.to(device),
        triggered_images=attack.trigger.apply(dataset.x_test) if attack.trigger else None,
    )


def _several(make: Callable[..., Any], kind: str, components: Sequence[Component], where: str) -> list[Any]:
    return [make(kind, component, f"{where}[{i}]") for i, component in enumerate(components)]


def _named(
    make: Callable[..., Any], kind: str, components: Sequence[Component], where: str
) -> list[tuple[str, Any]]:
    made = _several(make, kind, components, where)
    return [(component.label, one) for component, one in zip(components, made, strict=True)]


def _seated(
    experiment: Experiment,
    check: Callable[[str, Any], Any],
    kind: str,
    components: Sequence[Component],
    where: str,
) -> list[tuple[str, Any]]:
    """Those who watch the run, each from a seat that there is in it."""
    made = [(name, check(name, one)) for name, one in _named(build_rule, kind, components, where)]
    for number, (name, one) in enumerate(made):
        check_seat(experiment, f"{where}[{number}]", f"{kind} {name!r}", one.seat)
    return made


def honest_label_counts(world: World) -> Tensor:
    """int64 [K', C]: the training labels of each honest client that has data."""
    where: Spread = world.population.spread
    counts = where.counts(world.dataset.y_train.numpy(), world.dataset.info.num_classes)
    honest = torch.from_numpy(counts[list(where.honest)])
    return honest[honest.sum(dim=1) > 0]


def measured_tail(world: World) -> Tensor | None:
    """bool [N]: the test images that the attack's success is measured on; None for all of its source classes."""
    attack, data = world.attack, world.dataset
    if attack.tail is None:
        return None
    classes = range(data.info.num_classes) if attack.source_classes is None else attack.source_classes
    return in_tail(data.x_test.cpu(), data.y_test.cpu(), classes, attack.tail)
