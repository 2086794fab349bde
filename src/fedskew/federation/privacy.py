"""Privacy attacks on a run: the records they ask about, the tools they have, and what their guesses are worth.

The records are half of images that honest clients trained on, and half of images of the same clients and classes that
were set aside (``clients.held_out``); with them come test images, which are nobody's. An image that a client trains on
with a planted property is not among them: it never saw the original. An attack gets the records in random order.
What is true of them stays here and meets the guess only in ``evaluation.leakage``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from fedskew.components.returned import checked_guess, checked_metrics, checked_state
from fedskew.errors import ConfigError
from fedskew.evaluation.leakage import Truth, leakage
from fedskew.evaluation.leakage_table import metric_name
from fedskew.federation.observation import Watch
from fedskew.federation.references import own_engine, reference
from fedskew.federation.state import RunState, copied
from fedskew.federation.world import World
from fedskew.protocols import IndexArray, LabelArray, PrivacyView, Rng, RoundRecord
from fedskew.seeding import stream
from fedskew.training.engine import one_thread
from fedskew.training.plan import plan
from fedskew.training.resident.images import Normalise

CHUNK = 64
"""Images whose gradients are held at the same time."""


@dataclass(frozen=True)
class Records:
    """What the attacks ask about, and the truth about it.

    Attributes:
        images, labels: uint8 [N, ...] and int64 [N], in random order.
        public, public_labels: the test images that are not among them.
    """

    images: Tensor
    labels: Tensor
    public: Tensor
    public_labels: Tensor
    truth: Truth


class Leaks:
    """The privacy attacks of a run; does nothing where there are none."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.attacks = world.privacy_attacks
        asking = [name for name, attack in self.attacks if attack.aim in ("membership", "source")]
        if asking and not len(self.records.truth.asked):
            raise ConfigError(
                f"privacy-attack {asking[0]!r} has nothing to ask about: no honest client has held out an image "
                "of a class that it trains on",
                "hold out more (clients.held_out), or take fewer clients",
                "privacy.attacks",
            )

    def after(
        self,
        state: RunState,
        watch: Watch,
        history: Sequence[RoundRecord],
        *,
        last: bool,
        taken: Mapping[str, float],
    ) -> dict[str, float]:
        """Shows the attacks a round that ``state`` has just completed, and after the last one takes their guesses.

        What they note of the last round is thrown away afterwards, unless the round is audited anyway: so a run that
        goes on later is the one that never stopped.

        Args:
            history: the records up to this round; who never took part was not trained on, and is not asked about.
            taken: the round's metrics, whose names are taken.
        """
        privacy, found = self.world.experiment.privacy, dict[str, float]()
        audited = state.round % privacy.every == 0
        if not self.attacks or not (audited or last):
            return found
        for number, (name, attack) in enumerate(self.attacks):
            key, part = f"privacy/{number}", f"privacy-attack {name!r}"
            seen = watch.seen(attack.seat, last=last)
            noted = copied(state.rules[key])
            if seen is not None and attack.seat != "outsider":
                view = self._view(watch.buffers, "observe", name, state.round)
                noted = checked_state(f"{part}: observe", attack.observe(seen, view, noted))
            if audited:
                state.rules[key] = copied(noted)
            if last:
                view = self._view(state.buffers, "guess", name, state.round)
                guess = checked_guess(name, attack, attack.guess(state.weights.clone(), view, noted), view)
                scores = guess.scores.double().cpu().numpy()
                measured = leakage(attack.aim, scores, self._truth(history), guess.threshold)
                named = {metric_name(name, metric): value for metric, value in measured.items()}
                found |= checked_metrics(name, named, {**taken, **found}, "privacy-attack")
        return found

    @cached_property
    def _module(self) -> nn.Module:
        return copy.deepcopy(self.world.module).to(self.world.device).eval()

    @cached_property
    def records(self) -> Records:
        """The records of this run, drawn from streams of their own."""
        return draw_records(self.world)

    def _truth(self, history: Sequence[RoundRecord]) -> Truth:
        """What is true of those clients whose updates arrived in some round."""
        truth, took_part = self.records.truth, {client for record in history for client in record.arrived}
        mixes = truth.mixes.copy()
        mixes[[k for k in range(len(mixes)) if k not in took_part]] = np.nan
        return replace(truth, asked=truth.asked[np.isin(truth.asked, list(took_part))], mixes=mixes)

    def _view(self, buffers: Tensor, purpose: str, attack: str, number: int) -> PrivacyView:
        world, records = self.world, self.records
        rng: Rng = stream(world.experiment.seed, f"privacy {purpose} {attack}", number)
        return PrivacyView(
            records=records.images.clone(),
            labels=records.labels.clone(),
            public=records.public.clone(),
            public_labels=records.public_labels.clone(),
            num_clients=world.experiment.clients.count,
            num_classes=world.dataset.info.num_classes,
            num_examples=self._num_examples(),
            layout=world.layout,
            losses=lambda weights, images, labels: self._losses(weights, buffers, images, labels),
            cosines=lambda weights, directions, images, labels: self._cosines(
                weights, directions, buffers, images, labels
            ),
            train=lambda weights, images, labels, draw: self._train(
                weights, buffers, images, labels, draw, number
            ),
            reference=partial(reference, world),
            rng=rng,
            altered=None if world.population.planted is None else world.population.planted.alter,
        )

    def _num_examples(self) -> Tensor:
        """See ``PrivacyView.num_examples``."""
        reported = torch.from_numpy(self.world.num_examples.copy())
        if not self.world.experiment.server.secure_aggregation:
            return reported
        return torch.full_like(reported, int(reported.sum()) // len(reported))

    def _losses(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return self.world.engine.predict(weights, buffers, images, labels).losses

    def _cosines(
        self, weights: Tensor, directions: Tensor, buffers: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        """See ``PrivacyView.cosines``; in evaluation mode, without dropout."""
        module, normalise = self._module, Normalise(self.world.dataset.info, self.world.device)
        names = [(name, p.shape) for name, p in module.named_parameters()]
        kept = {name: b.clone() for name, b in module.named_buffers()}
        parts = torch.split(buffers, [b.numel() for b in kept.values()])
        fixed = {
            name: (part if b.is_floating_point() else part.round()).view_as(b).to(b.dtype)
            for (name, b), part in zip(kept.items(), parts, strict=True)
        }

        def loss(flat: Tensor, pixels: Tensor, label: Tensor) -> Tensor:
            cut = torch.split(flat, [shape.numel() for _, shape in names])
            named = {name: part.view(shape) for (name, shape), part in zip(names, cut, strict=True)}
            logits: Tensor = functional_call(module, {**named, **fixed}, (pixels[None],))
            return functional.cross_entropy(logits, label[None])

        each = vmap(grad(loss), in_dims=(None, 0, 0))
        towards, found = functional.normalize(directions, dim=1), []
        with one_thread():
            for part, truth in zip(torch.split(images, CHUNK), torch.split(labels, CHUNK), strict=True):
                device = self.world.device
                gradients = each(weights, normalise(part.to(device)), truth.to(device))
                found.append(-(towards @ functional.normalize(gradients, dim=1).T).cpu())
        return torch.cat(found, dim=1)

    def _train(
        self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor, draw: int, number: int
    ) -> Tensor:
        """See ``PrivacyView.train``."""
        experiment = self.world.experiment
        shards = {draw: np.arange(len(labels))}
        work = plan(experiment.seed, number, [draw], shards, experiment.training, purpose="privacy ")
        return own_engine(self.world, images, labels).train(weights, buffers, work, {}).deltas[0]


def draw_records(world: World) -> Records:
    """Chooses the records: of each honest client as many of those it trained on as of those held out, class by class.

    Test images come with them, as many as there are members, but at most half of all.
    """
    where, data = world.population.spread, world.dataset
    most, seed = world.experiment.privacy.records, world.experiment.seed
    labels = data.y_train.numpy()
    members, others, owners = list[IndexArray](), list[IndexArray](), list[int]()
    for k in where.honest:
        rng = stream(seed, "privacy records", k)
        inside, outside = matched(labels, world.population.members(k), where.held_out[k], most, rng)
        if len(inside):
            members.append(inside)
            others.append(outside)
            owners.append(k)
    count = sum(len(part) for part in members)
    rng = stream(seed, "privacy test images")
    order = rng.permutation(len(data.y_test))
    asked, public = order[: min(count, len(order) // 2)], np.sort(order[min(count, len(order) // 2) :])
    train = (
        torch.from_numpy(np.concatenate([*members, *others])) if count else torch.empty(0, dtype=torch.int64)
    )
    test = torch.from_numpy(asked)
    images = torch.cat([data.x_train[train], data.x_test[test]])
    all_labels = torch.cat([data.y_train[train], data.y_test[test]])
    holder = np.repeat(owners, [len(part) for part in members])
    client = np.concatenate([holder, holder, np.full(len(asked), -1)]).astype(np.int64)
    member = np.arange(len(client)) < count
    shuffled = stream(seed, "privacy order").permutation(len(client))
    at = torch.from_numpy(shuffled)
    mixes = np.full((world.experiment.clients.count, data.info.num_classes), np.nan)
    for k in where.honest:
        if len(shard := where.shards[k]):
            mixes[k] = np.bincount(labels[shard], minlength=mixes.shape[1]) / len(shard)
    truth = Truth(
        member[shuffled],
        client[shuffled],
        all_labels.numpy()[shuffled],
        mixes,
        np.array(owners, dtype=np.int64),
        holders(world),
    )
    return Records(
        images[at],
        all_labels[at],
        data.x_test[torch.from_numpy(public)],
        data.y_test[torch.from_numpy(public)],
        truth,
    )


def holders(world: World) -> npt.NDArray[np.float64] | None:
    """``Truth.holders`` of the planted property; None where none is planted."""
    where, planted = world.population.spread, world.population.planted
    if planted is None:
        return None
    found = np.full(len(where.shards), np.nan)
    for k in where.honest:
        if len(where.shards[k]):
            found[k] = k in planted.places
    return found


def matched(
    labels: LabelArray, trained: IndexArray, held_out: IndexArray, most: int, rng: Rng
) -> tuple[IndexArray, IndexArray]:
    """Positions of a client that it trained on and as many of each class that it did not, at most ``most`` of each."""
    inside, outside = list[IndexArray](), list[IndexArray]()
    chosen = rng.permutation(held_out)[:most]
    for label in np.unique(labels[chosen]):
        theirs = chosen[labels[chosen] == label]
        own = rng.permutation(trained[labels[trained] == label])[: len(theirs)]
        inside.append(own)
        outside.append(theirs[: len(own)])
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *inside]), np.concatenate([empty, *outside])
