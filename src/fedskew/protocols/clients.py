"""What clients do: who takes part, from which weights, what they minimise, and what they keep for themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedskew.protocols.data import IndexArray, Rng, State, no_state

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class LocalView:
    """What a local objective sees at one step of a client's training.

    An engine may train R clients at once. Then ``weights``, the gradient and each tensor in ``kept`` have a leading
    axis of R clients, as ``start`` has where clients start from different weights; what is the same for all clients
    has none. Arithmetic that broadcasts over the last axis serves both.

    Attributes:
        weights: float32 [P] or [R, P], the local weights before this step.
        start: float32 [P] or [R, P], the weights that the client started the round from; w_t unless said otherwise.
        sent: what the server sent with the weights, by name; each [...], the same for all clients.
        kept: the client's own state, by name; each [...] or [R, ...]. May be changed in place.
        lr: the learning rate of this step; a number, or a tensor without dimensions on a device.
    """

    weights: Tensor
    start: Tensor
    sent: State
    kept: State
    lr: float | Tensor


@dataclass(frozen=True)
class LocalResult:
    """What a client's local training gave, for ``LocalObjective.finish``.

    Attributes:
        delta: float32 [P], local minus start weights.
        steps: how many steps the client took.
        lr: the learning rate of its steps.
        sent, kept: as in ``LocalView``, after the last step.
        start: float32 [P], the weights that the client started from.
        visits: how many images its steps saw together, each as often as it was seen.
    """

    delta: Tensor
    steps: int
    lr: float
    sent: State
    kept: State
    start: Tensor
    visits: int


def _nothing_kept(parameters: int) -> State:
    return {}


def _as_it_was(result: LocalResult) -> tuple[State, State]:
    return result.kept, {}


def _nothing_sent(state: State) -> State:
    return {}


def _nothing_collected(state: State, uploads: State, num_clients: int) -> State:
    return state


@dataclass(frozen=True)
class LocalObjective:
    """What a client minimises: its loss, perhaps of other logits, and what else changes the gradient (FedProx, ...).

    Works on flat vectors, so that every engine can serve it: one call between gradient and optimiser step.

    Attributes:
        logits: (int64 [C], how many images of each class the client trains on) -> float32 [2, C], a scale and an
            offset for each class: it minimises the loss of scale * logits + offset (FedLC, FedRS, logit adjustment),
            and reports that loss and its predictions. Evaluation takes the logits as they are. None: they are.
        look: (gradient [P] or [R, P], view) -> weights of the same shape, new ones: the gradient that is followed is
            taken there, on the same images (FedSAM). Costs a second pass. None for the gradient where the client is.
        add: (gradient [P] or [R, P], view) -> None; changes the gradient in place.
        project: (weights [P] or [R, P], view) -> None, after each step, in place; None for none.
        init: P -> what a client keeps before its first round, tensors on the CPU.
        finish: (result) -> (what the client keeps for its next round, what it uploads: by name, float32).
        server_init: () -> the server's own part of the objective.
        send: (the server's part) -> what goes to every client of the cohort with the weights.
        collect: (the server's part, uploads by name [S, ...], K) -> the server's part after the round, a new one.
    """

    logits: Callable[[Tensor], Tensor] | None = None
    look: Callable[[Tensor, LocalView], Tensor] | None = None
    add: Callable[[Tensor, LocalView], None] | None = None
    project: Callable[[Tensor, LocalView], None] | None = None
    init: Callable[[int], State] = _nothing_kept
    finish: Callable[[LocalResult], tuple[State, State]] = _as_it_was
    server_init: Callable[[], State] = no_state
    send: Callable[[State], State] = _nothing_sent
    collect: Callable[[State, State, int], State] = _nothing_collected

    @property
    def keeps(self) -> bool:
        """Whether a client keeps something for its next round."""
        return self.init is not _nothing_kept

    @property
    def uploads(self) -> bool:
        """Whether a client may upload something with its update."""
        return self.finish is not _as_it_was


@dataclass(frozen=True)
class SelectionView:
    """What the server knows when it chooses a cohort.

    Attributes:
        round: 1-based.
        num_clients: K.
        size: how many clients a round has (``clients.fraction``).
        num_examples: int64 [K], the training images of each client; 0 for a client without data.
        losses: (ids) -> float64 [len(ids)], the mean loss of the global model on each client's own training data,
            as the client reports it; NaN for a client without data. Costs one pass over their data.
    """

    round: int
    num_clients: int
    size: int
    num_examples: IndexArray
    losses: Callable[[Sequence[int]], Any] = field(repr=False)


class Selection(Protocol):
    """(view, rng) -> the ids of the round's cohort: distinct, at least one; in any order."""

    def __call__(self, view: SelectionView, rng: Rng, /, **options: Any) -> Sequence[int] | IndexArray: ...


@dataclass(frozen=True)
class StartView:
    """What decides from which weights a cohort starts.

    Attributes:
        round: 1-based.
        global_weights: float32 [P], w_t.
        client_ids: the cohort's clients that have data, ascending; S of them.
    """

    round: int
    global_weights: Tensor
    client_ids: tuple[int, ...]


@dataclass(frozen=True)
class StartWeights:
    """From which weights the clients of a cohort start: personal models, stale clients, clusters.

    apply: (view, state, rng) -> (start weights [P] or [S, P], state), the state a new one. ``None`` as weights
    means w_t.
    """

    apply: Callable[[StartView, State, Rng], tuple[Tensor | None, State]]
    init: Callable[[], State] = no_state


@dataclass(frozen=True)
class PersonalModel:
    """What an honest client makes of the global model for itself, beside its local training.

    Local training never depends on it, but for layers that are a client's own.

    A personal model is trained as local training is, on the client's own data, with the run's optimiser and batches of
    its own. The objective's ``view.sent`` has one tensor, ``"global"``, float32 [P]: the global weights.

    Attributes:
        epochs: passes over the client's data; None for those of its local training, 0 for no personal model.
        objective: what the client minimises in addition to its loss. It has no part on the server; what it keeps lives
            as long as the personal model, and what it uploads nobody gets.
        own: (model) -> bool [P], the weights that each honest client keeps for itself, and with them all buffers: it
            starts its local training from the global weights with its own in their place. The one part of a personal
            model that changes the global run. None: clients share all.
        lasting: whether each client keeps its model from round to round. Then it begins with the weights from before
            the first round and is trained in each round in which the client takes part, with the global weights of
            that round. Otherwise it is made of the new global weights each time clients are measured, and is thrown
            away then.
    """

    epochs: int | None = None
    objective: LocalObjective = LocalObjective()
    lasting: bool = False
    own: Callable[[nn.Module], Tensor] | None = None
