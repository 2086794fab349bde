"""The seams: the records that cross them and the callables that users may plug in (docs/design.md, "The seams").

Everything here is a plain record or the type of a plain callable; there is no base class to inherit.
Shapes are written in brackets: ``N`` images, ``C`` classes, ``K`` clients, ``S`` clients of a round
(the cohort, the paper's S_t), ``P`` parameters of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

IndexArray: TypeAlias = npt.NDArray[np.int64]
LabelArray: TypeAlias = npt.NDArray[np.int64]
Rng: TypeAlias = np.random.Generator
State: TypeAlias = dict[str, Tensor]
"""What a stateful component keeps from round to round: named tensors, so that it can be checkpointed."""

# --- data -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DatasetInfo:
    """What a model and a report need to know of a data set without its images.

    Attributes:
        name: as in the config, e.g. ``"fashion-mnist"``.
        class_names: one per class, in label order.
        image_shape: (channels, height, width).
        mean, std: per channel, of pixel/255; the model sees ``(pixel / 255 - mean) / std``.
        provenance: one line per file or archive: what it is and how it was checked; kept in the run's record.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    provenance: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return len(self.class_names)


@dataclass(frozen=True)
class Dataset:
    """A classification data set, resident in memory as uint8.

    Attributes:
        x_train, x_test: uint8 [N, channels, height, width].
        y_train, y_test: int64 [N], in 0 .. C-1.
    """

    info: DatasetInfo
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


class DatasetLoader(Protocol):
    """Reads a data set from files below ``root``; fetching what is missing is not its business."""

    def __call__(self, root: Path, /, **options: Any) -> Dataset: ...


class Partitioner(Protocol):
    """Spreads training indices over clients.

    Takes labels [N] and returns one int64 array of positions in ``labels`` per client: disjoint, together
    all of 0 .. N-1, an empty array for a client without data. Draws only from ``rng``.
    """

    def __call__(
        self, labels: LabelArray, num_clients: int, rng: Rng, /, **options: Any
    ) -> list[IndexArray]: ...


class ModelFactory(Protocol):
    """Builds a fresh module that maps float [batch, channels, height, width] to logits [batch, C]."""

    def __call__(self, info: DatasetInfo, /, **options: Any) -> torch.nn.Module: ...


# --- attacks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trigger:
    """A trojan pattern: where it is put and what is put there.

    Attributes:
        mask: bool [height, width], true where the pattern replaces the image.
        value: uint8 [channels, height, width], the pixels it puts there (before normalisation).
    """

    mask: Tensor
    value: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """A copy of uint8 images [N, channels, height, width] that carry the trigger."""
        return torch.where(self.mask.to(images.device), self.value.to(images.device), images)


TriggerFactory: TypeAlias = Callable[..., Trigger]
"""(info, **options) -> Trigger."""


@dataclass(frozen=True)
class Shard:
    """One client's own training data: uint8 images [n, channels, height, width] and int64 labels [n]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class AdversaryView:
    """All that an attack may see when it crafts updates; never the defence (docs/design.md, rule 1).

    Attributes:
        round: 1-based.
        global_weights: float32 [P], what the server sent.
        layout: names and shapes of the parameters.
        client_ids: int64 [A], the adversaries of this cohort, in the order of the rows that craft() gets.
        num_examples: int64 [A], on the device of the updates (client_ids are on the CPU).
        others: float32 [S - A, P], the honest updates; only under the threat model ``"all-updates"``.
    """

    round: int
    global_weights: Tensor
    layout: ParameterLayout
    client_ids: Tensor
    num_examples: Tensor
    others: Tensor | None = None


ThreatModel: TypeAlias = Literal["own-updates", "all-updates"]


def keep_shard(shard: Shard, rng: Rng) -> Shard:
    """The identity as data poisoning: leaves the shard alone."""
    return shard


def keep_updates(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
    """The identity as update poisoning: sends what training gave."""
    return deltas


@dataclass(frozen=True)
class Attack:
    """What the adversaries do; either half may be the identity.

    Attributes:
        poison: (shard, rng) -> shard, once, before training.
        craft: (deltas [A, P], view, rng) -> deltas [A, P], every round, after the adversaries' local training.
        threat_model: what ``view`` holds.
        trigger, target: what evaluation stamps on the test images and the class it then looks for; None for
            an attack without a backdoor.
        source_classes: the classes whose triggered images should become ``target``; None for all.
    """

    poison: Callable[[Shard, Rng], Shard] = keep_shard
    craft: Callable[[Tensor, AdversaryView, Rng], Tensor] = keep_updates
    threat_model: ThreatModel = "own-updates"
    trigger: Trigger | None = None
    target: int | None = None
    source_classes: tuple[int, ...] | None = None


AttackFactory: TypeAlias = Callable[..., Attack]
"""(info, **options) -> Attack."""

# --- the server -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParameterLayout:
    """Where each named parameter lies in the flat weight vector [P].

    Attributes:
        names: in the order of ``module.named_parameters()``.
        shapes: one per name.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each parameter."""
        return tuple(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)

    @property
    def total(self) -> int:
        """P, the number of parameters."""
        return sum(self.sizes)

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat vector [P], by name."""
        parts = torch.split(flat, list(self.sizes))
        return {
            name: part.view(shape) for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }


@dataclass(frozen=True)
class ClientUpdates:
    """The updates of a round, as the server sees them: no word of who is malicious (docs/design.md, rule 1).

    Attributes:
        deltas: float32 [S, P]; **delta = local weights - global weights** (the paper's Delta_t^k, section II-A).
        num_examples: int64 [S], the n_k that the clients report; all > 0. On the device of the updates.
        client_ids: int64 [S].
    """

    deltas: Tensor
    num_examples: Tensor
    client_ids: Tensor

    def with_deltas(self, deltas: Tensor) -> ClientUpdates:
        """The same clients with other deltas."""
        return ClientUpdates(deltas, self.num_examples, self.client_ids)


@dataclass(frozen=True)
class ServerView:
    """What else the server knows when it aggregates: the round (1-based), its weights [P], their layout."""

    round: int
    global_weights: Tensor
    layout: ParameterLayout


@dataclass(frozen=True)
class AggregationTrace:
    """What a rule wants to have recorded of a round: named numbers, kept in the record's ``trace``."""

    values: Mapping[str, float] = field(default_factory=dict)


def no_state() -> State:
    """The state of a component that keeps none."""
    return {}


@dataclass(frozen=True)
class UpdateTransform:
    """A step between the clients and the aggregator: clipping, noise, ...

    apply: (updates, view, state, rng) -> (updates, state).
    """

    apply: Callable[[ClientUpdates, ServerView, State, Rng], tuple[ClientUpdates, State]]
    init: Callable[[], State] = no_state


@dataclass(frozen=True)
class Aggregator:
    """The paper's g: many updates to one.

    apply: (updates, view, state) -> (delta [P], trace, state).
    """

    apply: Callable[[ClientUpdates, ServerView, State], tuple[Tensor, AggregationTrace, State]]
    init: Callable[[], State] = no_state


class ServerLearningRate(Protocol):
    """The step size: (updates before any transform, lr) -> a scalar, or one per parameter [P]."""

    def __call__(self, updates: ClientUpdates, lr: float, /, **options: Any) -> Tensor | float: ...


# --- evaluation -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """What one forward pass over N images gave: int64 classes [N], float32 cross-entropy losses [N]."""

    classes: Tensor
    losses: Tensor


@dataclass(frozen=True)
class Evaluation:
    """What a metric may see: predictions on the test set, and the ground truth that only evaluation knows.

    Attributes:
        labels: int64 [N], of the test images.
        clean: predictions on the test images.
        triggered: predictions on the same images with the trigger; None if the attack has none.
        target: the attack's target class.
        source_classes: the classes the attack starts from; None for all.
        num_adversaries: clients that are malicious in this run; 0 for a clean run.
        client_label_counts: int64 [K', C], the training labels of each honest client that has data.
        class_names: C names.
    """

    labels: Tensor
    clean: Predictions
    triggered: Predictions | None
    target: int | None
    source_classes: tuple[int, ...] | None
    num_adversaries: int
    client_label_counts: Tensor
    class_names: tuple[str, ...]


class Metric(Protocol):
    """(evaluation) -> named numbers, fractions not percent."""

    def __call__(self, evaluation: Evaluation, /, **options: Any) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class RoundRecord:
    """One line of ``rounds.jsonl``: everything measured in one round, and nothing that differs between repeats.

    Attributes:
        round: 1-based.
        metrics: name -> fraction or number, as listed in docs/metrics.md.
        per_class_accuracy: [C] on the clean test images.
        cohort: ids of the clients that took part.
        rejected: ids of those whose update was not finite; they were left out of the round.
        empty: ids of those without data; they have weight 0.
        trace: what the aggregation wanted to have recorded.
        seconds: wall-clock time of each phase; kept in ``timings.jsonl``, apart from the record.
    """

    round: int
    metrics: dict[str, float]
    per_class_accuracy: list[float]
    cohort: list[int]
    rejected: list[int]
    empty: list[int]
    trace: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What a stopping rule says: whether to stop, and why (one sentence)."""

    stop: bool
    reason: str = ""


class StoppingRule(Protocol):
    """(history so far, last round last) -> whether to stop, and why. A pure function of the history."""

    def __call__(self, history: Sequence[RoundRecord], /, **options: Any) -> Verdict: ...


class Callback(Protocol):
    """An observer: sees every round and the end of a run; it can change no result."""

    def on_round(self, record: RoundRecord) -> None:
        """Called after each round."""

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """Called once, when the run has stopped, with why."""
