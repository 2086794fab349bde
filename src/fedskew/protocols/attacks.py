"""What adversaries do, and what they know: triggers, data poisoning, update poisoning, threat models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from fedskew.protocols.clients import LocalObjective
from fedskew.protocols.data import ParameterLayout, Rng, State, no_state

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor


@dataclass(frozen=True)
class Trigger:
    """A trojan pattern: where it is put and what is put there.

    Attributes:
        mask: bool [height, width] or [channels, height, width], true where the pattern replaces the image.
        value: uint8 [channels, height, width], the pixels it puts there (before normalisation); float32 for numbers.
        weight: of the pattern, above 0; the rest of a pixel is the image's, and the sum is rounded. 1 replaces it.

    >>> import torch
    >>> corner = torch.zeros(2, 2, dtype=torch.bool)
    >>> corner[0, 0] = True
    >>> trigger = Trigger(corner, torch.full((1, 2, 2), 255, dtype=torch.uint8))
    >>> trigger.apply(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)).tolist()
    [[[[255, 0], [0, 0]]]]
    """

    mask: Tensor
    value: Tensor
    weight: float = 1.0

    def apply(self, images: Tensor) -> Tensor:
        """A copy of images [N, channels, height, width] that carry the trigger, in their type."""
        import torch

        there = self.value.to(images.device)
        if self.weight != 1:
            blend = images * (1 - self.weight)
            there = blend.add_(there * self.weight)
            there = there if images.is_floating_point() else there.round_().to(images.dtype)
        return torch.where(self.mask.to(images.device), there, images)


TriggerFactory: TypeAlias = Callable[..., Trigger]
"""(info, **options) -> Trigger."""


@dataclass(frozen=True)
class Shard:
    """One client's own training data: images [n, channels, height, width], in the data set's type; int64 labels [n].

    Attributes:
        rank, count: which of the run's adversaries holds it, 0 .. count-1, and how many there are.

    >>> import torch
    >>> shard = Shard(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 7, 3]), rank=1, count=2)
    >>> len(shard.labels), shard.rank
    (3, 1)
    """

    images: Tensor
    labels: Tensor
    rank: int = 0
    count: int = 1


@dataclass(frozen=True)
class ThreatModel:
    """What adversaries know; recorded with every run.

    Attributes:
        name: as in the config.
        sees: ``"own-updates"``: the adversaries' own and the global model; ``"all-updates"``: the honest clients' of
            the round too.
        knows_defence: whether they may try rows on the run's own defence (``AdversaryView.simulate``).
    """

    name: str
    sees: Literal["own-updates", "all-updates"]
    knows_defence: bool = False


THREAT_MODELS: dict[str, ThreatModel] = {
    model.name: model
    for model in (
        ThreatModel("own-updates", "own-updates"),
        ThreatModel("all-updates", "all-updates"),
        ThreatModel("knows-the-defence", "all-updates", knows_defence=True),
    )
}


@dataclass(frozen=True)
class AdversaryView:
    """All that an attack may see when it crafts updates; the defence only if its threat model says so (rule 1).

    Attributes:
        round: 1-based.
        global_weights: float32 [P], what the server sent.
        layout: names and shapes of the parameters.
        client_ids: int64 [A], the adversaries of this cohort, in the order of the rows that craft() gets.
        num_examples: int64 [A], on the device of the updates (client_ids are on the CPU).
        others: float32 [S - A, P], the honest updates; only under a threat model that sees them.
        ranks: int64 [A], which of the run's adversaries each row is, 0 .. count-1.
        count: adversaries in this run, in the cohort or not.
        state: what the attack has kept, not to be changed in place; see ``Crafted.state``.
        other_ids: int64 [S - A], on the CPU: whose the rows of ``others`` are; None where these are.
        simulate: (rows [A, P]) -> delta [P], by how much the run's own defence would move the global model if the
            adversaries sent these rows; None unless the threat model knows the defence. Random draws of the defence
            are fixed, and differ from those that it will make. A second argument is the n_k that they report, int64
            [A]; the true ones unless given.
        uploads: what their own training would upload for the local objective, by name, each [A, ...]; see
            ``Crafted.uploads``.

    >>> import torch
    >>> layout = ParameterLayout(names=("bias",), shapes=((2,),))
    >>> view = AdversaryView(1, torch.zeros(2), layout, torch.tensor([3]), torch.tensor([20]), others=torch.ones(4, 2))
    >>> (-view.others.mean(dim=0)).tolist()
    [-1.0, -1.0]
    """

    round: int
    global_weights: Tensor
    layout: ParameterLayout
    client_ids: Tensor
    num_examples: Tensor
    others: Tensor | None = None
    ranks: Tensor | None = None
    count: int = 1
    state: State | None = None
    simulate: Callable[..., Tensor] | None = None
    other_ids: Tensor | None = None
    uploads: State = field(default_factory=dict)


@dataclass(frozen=True)
class Crafted:
    """What the adversaries send, where it is more than their rows.

    Attributes:
        deltas: float32 [A, P].
        state: what the attack keeps for the next round; None keeps what it had.
        num_examples: int64 [A], > 0: the n_k that they report; None for the true ones.
        uploads: what they upload for the local objective instead, with the names, shapes and types of
            ``AdversaryView.uploads``; None for what their training gave.
    """

    deltas: Tensor
    state: State | None = None
    num_examples: Tensor | None = None
    uploads: State | None = None


@dataclass(frozen=True)
class LocalSettings:
    """How adversaries train where it differs from honest clients; None: as honest clients do.

    Attributes:
        epochs, batch_size: whole, >= 1.
        lr: the learning rate, > 0.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None


@dataclass(frozen=True)
class Tail:
    """The images of a class that are least like the rest of it (``fedskew.attacks.tails``).

    Evaluation finds those of the test images by itself from these numbers, so that none reaches an attack.

    Attributes:
        count: how many of each class, >= 1; all of a class that has no more.
        components: of the principal component analysis of a class, >= 1.
    """

    count: int
    components: int


@dataclass(frozen=True)
class KnownDefence:
    """What an attack whose threat model knows the defence is told of it before the first round.

    Attributes:
        norm_bound: the L2 norm to which the server clips what clients send, the least where it does so more than once;
            None where it clips to no number that is known before a round (not at all, or to a median). Steps before a
            clipping, such as means of several updates, and after it, such as noise, do not count.
    """

    norm_bound: float | None = None


def keep_shard(shard: Shard, rng: Rng) -> Shard:
    """The identity as data poisoning: leaves the shard alone."""
    return shard


def keep_updates(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
    """The identity as update poisoning: sends what training gave."""
    return deltas


@dataclass(frozen=True)
class Attack:
    """What the adversaries do in the rounds in which they act; every part may be the identity.

    Attributes:
        poison: (shard, rng) -> shard, once, before training.
        craft: (deltas [A, P], view, rng) -> deltas [A, P] or ``Crafted``, in every round in which adversaries act,
            after their local training.
        threat_model: a name of ``THREAT_MODELS`` or your own record: what ``view`` holds.
        trigger, target: what evaluation stamps on the test images and the class it then looks for; None for
            an attack without a backdoor.
        source_classes: the classes whose triggered images should become ``target``; None for all.
        tail: the test images of these classes that the attack's success is measured on; None for all. With it, an
            attack may have a target without a trigger: its images are those of the tail as they are.
        init: () -> the state before the first round; kept and resumed like an aggregator's.
        objective: the adversaries' own local objective or projection, instead of the honest clients'.
        training: their own settings of local training.
        knowing: (what is known of the defence) -> the attack that is carried out instead; asked once, before the first
            round, only if the threat model knows the defence. None: the same.

    >>> import torch
    >>> def craft(deltas, view, rng):  # the mean of the honest updates, turned around
    ...     return (-view.others.mean(dim=0)).expand_as(deltas)
    >>> attack = Attack(craft=craft, threat_model="all-updates")
    >>> attack.threat.sees
    'all-updates'
    """

    poison: Callable[[Shard, Rng], Shard] = keep_shard
    craft: Callable[[Tensor, AdversaryView, Rng], Tensor | Crafted] = keep_updates
    threat_model: str | ThreatModel = "own-updates"
    trigger: Trigger | None = None
    target: int | None = None
    source_classes: tuple[int, ...] | None = None
    init: Callable[[], State] = no_state
    objective: LocalObjective | None = None
    training: LocalSettings = LocalSettings()
    tail: Tail | None = None
    knowing: Callable[[KnownDefence], Attack] | None = None

    @property
    def threat(self) -> ThreatModel:
        """The threat model as a record."""
        return THREAT_MODELS[self.threat_model] if isinstance(self.threat_model, str) else self.threat_model


AttackFactory: TypeAlias = Callable[..., Attack]
"""(info, **options) -> Attack."""
