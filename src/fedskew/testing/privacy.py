"""Checks of privacy attacks, on clients of a small linear model."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fedskew.components.returned import checked_guess, checked_privacy_attack
from fedskew.protocols import Guess, Losses, Observation, PrivacyAttack, PrivacyView, Seat, State
from fedskew.seeding import stream
from fedskew.testing.examples import CLIENTS, LAYOUT, matrix, rng, row, updates
from fedskew.testing.exercise import Inputs, Make, Rule, exercise
from fedskew.testing.subject import Named, subject

CLASSES, FEATURES = LAYOUT.shapes[0]
ROUNDS = 3
ALL = torch.arange(CLIENTS)
SOME = ALL[1::2]
"""Clients that an attack is asked about."""


def check_privacy_attack(attack: Named, **options: Any) -> None:
    """What every privacy attack must do: a seat and an aim, a state of tensors, and scores of its aim's shape, also
    where it has seen nothing or is not asked about every client.

    Raises:
        ConformanceError, ConfigError: one sentence that names the attack.
    """
    checked = subject("privacy-attack", attack, options)
    first = checked.instance(checked.build(), PrivacyAttack, "the result")
    seat = checked.returned(checked_privacy_attack, first).seat

    def guessed(built: PrivacyAttack, view: PrivacyView, state: State) -> Guess:
        found = built.guess(row(99), view, state)
        return checked.returned(checked_guess, built, found, view)

    def watch(built: PrivacyAttack) -> Rule:
        def apply(observation: Observation, view: PrivacyView, state: State) -> tuple[Guess, State]:
            noted = built.observe(observation, view, state)
            return guessed(built, example_view(observation.round, view.asked), noted), noted

        return Rule(apply, built.init)

    for asked in (ALL, SOME):
        exercise(checked, watch, [_round(number, seat, asked) for number in range(ROUNDS)])
        guessed(first, example_view(0, asked), first.init())


def _round(number: int, seat: Seat, asked: Tensor) -> Make:
    def make() -> Inputs:
        observation = Observation(
            round=number + 1,
            weights=row(100 + number),
            updates=updates(matrix(5, number)) if seat == "server" else None,
            delta=row(number) if seat in ("server", "aggregate") else None,
            last=number == ROUNDS - 1,
        )
        return {"observation": observation, "view": example_view(number, asked)}

    return make


def example_view(number: int, asked: Tensor = ALL) -> PrivacyView:
    """What an attacker has on a linear model of four classes and five pixels; training is one step of SGD.

    Args:
        asked: the ids of the clients that they are asked about, ascending.
    """

    def logits(weights: Tensor, images: Tensor) -> Tensor:
        matrix_, bias = torch.split(weights, [CLASSES * FEATURES, CLASSES])
        found: Tensor = images.flatten(1).float() / 255 @ matrix_.view(CLASSES, FEATURES).T + bias
        return found

    def gradients(weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        pixels = images.flatten(1).float() / 255
        errors = logits(weights, images).softmax(dim=1) - functional.one_hot(labels, CLASSES)
        return torch.cat([(errors[:, :, None] * pixels[:, None]).flatten(1), errors], dim=1)

    def losses(weights: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits(weights, images), labels, reduction="none")

    def cosines(weights: Tensor, directions: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        each = gradients(weights, images, labels)
        return functional.cosine_similarity(-each[None], directions[:, None], dim=2)

    def train(weights: Tensor, images: Tensor, labels: Tensor, draw: int) -> Tensor:
        return -0.5 * gradients(weights, images, labels).mean(dim=0)

    def reference(images: Tensor, labels: Tensor, rounds: int, draw: int) -> Losses:
        weights = row(1_000 + draw)
        for _ in range(rounds):
            weights = weights + train(weights, images, labels, draw)
        return partial(losses, weights)

    def images(count: int, which: int) -> tuple[Tensor, Tensor]:
        drawn = stream(0, "testing privacy", which)
        pixels = torch.from_numpy(drawn.integers(0, 256, (count, 1, 1, FEATURES))).to(torch.uint8)
        return pixels, torch.from_numpy(drawn.integers(0, CLASSES, count))

    records, labels = images(24, 0)
    public, public_labels = images(80, 1)
    return PrivacyView(
        records=records,
        labels=labels,
        public=public,
        public_labels=public_labels,
        num_clients=CLIENTS,
        asked=asked.clone(),
        num_classes=CLASSES,
        layout=LAYOUT,
        losses=losses,
        cosines=cosines,
        train=train,
        reference=reference,
        rng=rng(number),
        altered=lambda images: 255 - images,
    )
