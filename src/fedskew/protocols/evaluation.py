"""What is measured: of the global model, of clients on their own held-out data, and what observers see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fedskew.protocols.server import ClientUpdates

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor


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
        tail: bool [N], the images of the source classes that the attack's success is measured on; None for all.
        groups: int64 [N], which group each image belongs to; None where the data set does not say it.
        group_names: G names; none where the data set has no groups.

    >>> import torch
    >>> clean = Predictions(classes=torch.tensor([0, 1, 1, 0]), losses=torch.tensor([0.1, 0.2, 0.1, 2.0]))
    >>> evaluation = Evaluation(
    ...     labels=torch.tensor([0, 1, 1, 1]), clean=clean, triggered=None, target=None, source_classes=None,
    ...     num_adversaries=0, client_label_counts=torch.tensor([[2, 3], [2, 2]]), class_names=("cat", "dog"),
    ... )
    >>> float((evaluation.clean.classes == evaluation.labels).double().mean())
    0.75
    """

    labels: Tensor
    clean: Predictions
    triggered: Predictions | None
    target: int | None
    source_classes: tuple[int, ...] | None
    num_adversaries: int
    client_label_counts: Tensor
    class_names: tuple[str, ...]
    tail: Tensor | None = None
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()


class Metric(Protocol):
    """(evaluation) -> named numbers, fractions not percent."""

    def __call__(self, evaluation: Evaluation, /, **options: Any) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class ClientEvaluation:
    """What a client metric may see: predictions of the global model on the honest clients' own held-out data.

    Attributes:
        labels: int64 [M], of the held-out images of all these clients together.
        predictions: on the same images.
        clients: int64 [M], which client holds each image: a position in ``client_ids``.
        client_ids: int64 [K'], the honest clients that have held-out images.
        class_names: C names.
        groups: int64 [M], which group each image belongs to; None where the data set does not say it.
        group_names: G names; none where the data set has no groups.
    """

    labels: Tensor
    predictions: Predictions
    clients: Tensor
    client_ids: Tensor
    class_names: tuple[str, ...]
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()

    def accuracies(self) -> Tensor:
        """The share of each client's own held-out images that is classified correctly, float64 [K']."""
        right = (self.predictions.classes == self.labels).double()
        total = right.new_zeros(len(self.client_ids))
        return total.index_add(0, self.clients, right) / self.clients.bincount(minlength=len(self.client_ids))


class ClientMetric(Protocol):
    """(client evaluation) -> named numbers, fractions not percent."""

    def __call__(self, evaluation: ClientEvaluation, /, **options: Any) -> Mapping[str, float]: ...


Seat = Literal["server", "aggregate", "client", "outsider"]
"""What an observer can see: ``server`` every update as it arrives, ``aggregate`` the aggregated delta only (as under
secure aggregation), ``client`` the global model that is sent in each round, ``outsider`` the global model after the
last round."""


@dataclass(frozen=True)
class Observation:
    """What an observer sees of one round from its seat; its own copies.

    Attributes:
        round: 1-based.
        weights: float32 [P], the global model that was sent; for an outsider, the one that was released at the end.
        updates: as they arrived, before any transform; for the server only. Never who is malicious.
        delta: float32 [P], the aggregated delta; for the seats "server" and "aggregate".
        last: whether it is the run's last round.
    """

    round: int
    weights: Tensor
    updates: ClientUpdates | None = None
    delta: Tensor | None = None
    last: bool = False


@dataclass(frozen=True)
class Observer:
    """Watches a run from one seat; what it returns is recorded, and it can change nothing.

    observe: (observation) -> named numbers for the round's record, or nothing.
    """

    seat: Seat
    observe: Callable[[Observation], Mapping[str, float] | None]
