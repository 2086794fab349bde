"""Privacy attacks: what somebody makes of what they saw of a run, and what they may use for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fedskew.protocols.data import ParameterLayout, Rng, State, no_state
from fedskew.protocols.evaluation import Observation, Seat

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor

Aim = Literal["membership", "source", "labels", "property"]
"""What is guessed: ``membership`` whether a record was trained on, ``source`` which client holds it, ``labels`` the mix
of classes of each client, ``property`` which clients hold images with a property."""

Losses = Callable[["Tensor", "Tensor"], "Tensor"]
"""(images uint8 [n, channels, height, width], labels int64 [n]) -> float32 [n], the cross-entropy of each."""


@dataclass(frozen=True)
class PrivacyView:
    """What a privacy attacker has besides what they observe; nothing in it says who holds what.

    Attributes:
        records, labels: uint8 [N, channels, height, width] and int64 [N]: the records that they ask about, in random
            order: some were trained on, some were not.
        public, public_labels: uint8 [M, ...] and int64 [M]: images like those of all clients together, which no client
            has and which are not among the records.
        num_clients: K.
        asked: int64 [A], ascending: the ids of the clients that they are asked about, all K or, where these and their
            records are too many, some that were drawn whoever they are (docs/privacy-attacks.md).
        num_classes: C.
        layout: of the weights.
        losses: (weights [P], images, labels) -> float32 [n], the cross-entropy of each image.
        cosines: (weights [P], directions [S, P], images, labels) -> float32 [S, n], the cosine similarity of each
            direction and minus the gradient of each image's loss; the gradients are computed once for all directions.
            0 where either is 0.
        train: (weights [P], images, labels, number) -> float32 [P], the update of a client with these images that
            trains from these weights as the run's clients do (optimiser, learning rate of the round, epochs and batches
            are public), without their objective and with moments that start fresh. Different numbers draw different
            batches.
        reference: (images, labels, rounds, number) -> (images, labels) -> float32 [n], a model of the run's
            architecture that the attacker trains on these images alone, and the cross-entropy of other images under it.
            Its initial weights are the attacker's own draw, not the run's; it is trained ``rounds`` times as a client
            trains in a round, with the learning rates of the run's rounds one after another, and keeps running
            averages of its own. Different numbers draw different models.
        rng: for all random draws; the same in each call.
        altered: uint8 images [n, ...] -> what they look like with the planted property, which an attacker who looks for
            it knows; None where none is planted.
        as_sent: (weights [P], delta [P], number) -> float32 [P], an update after what this run's clients do themselves
            before they send it (``defence.local_transforms``), which is public; the same update if they do nothing.
            Different numbers, and different rounds, have different noise.
    """

    records: Tensor
    labels: Tensor
    public: Tensor
    public_labels: Tensor
    num_clients: int
    asked: Tensor
    num_classes: int
    layout: ParameterLayout
    losses: Callable[[Tensor, Tensor, Tensor], Tensor] = field(repr=False)
    cosines: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = field(repr=False)
    train: Callable[[Tensor, Tensor, Tensor, int], Tensor] = field(repr=False)
    reference: Callable[[Tensor, Tensor, int, int], Losses] = field(repr=False)
    rng: Rng = field(repr=False)
    altered: Callable[[Tensor], Tensor] | None = field(repr=False, default=None)
    as_sent: Callable[[Tensor, Tensor, int], Tensor] = field(
        repr=False, default=lambda weights, delta, number: delta
    )


@dataclass(frozen=True)
class Guess:
    """What a privacy attacker says at the end.

    Attributes:
        scores: float [...], NaN where they have nothing to say; for the aim

            ========== =========== ==================================================================
            membership [N]         higher for records that they rather take for trained on
            membership [A, N]      the same, for each client of ``view.asked`` by itself
            source     [A, N]      higher for the client that they rather take for the holder
            labels     [A, C]      the shares of the classes in each client's data
            property   [A]         higher for clients that they rather take for holders of the property
            ========== =========== ==================================================================
        threshold: of membership scores, from which they say "trained on"; None for the median of all scores, since half
            of the records that count were trained on.
    """

    scores: Tensor
    threshold: float | None = None


def _nothing_noted(observation: Observation, view: PrivacyView, state: State) -> State:
    return state


@dataclass(frozen=True)
class PrivacyAttack:
    """Guesses private things from one seat; it can change nothing.

    Attributes:
        seat: what it sees of each audited round; everyone sees the final model.
        aim: what it guesses.
        guess: (final weights [P], view, state) -> the guess.
        observe: (observation, view, state) -> state, a new one; called in the rounds that ``privacy.every`` says and in
            the last one. An outsider observes nothing.
        init: () -> the state before the first round.
    """

    seat: Seat
    aim: Aim
    guess: Callable[[Tensor, PrivacyView, State], Guess]
    observe: Callable[[Observation, PrivacyView, State], State] = _nothing_noted
    init: Callable[[], State] = no_state
