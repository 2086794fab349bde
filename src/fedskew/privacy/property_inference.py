"""Which clients hold a planted property: the server trains a classifier on updates that it makes itself."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from fedskew.privacy.scores import added, means, of_asked
from fedskew.protocols import (
    Guess,
    IndexArray,
    Observation,
    ParameterLayout,
    PrivacyAttack,
    PrivacyView,
    State,
)

LARGE = 5000
"""Entries of a layer above which only the largest of each input's remains."""

LEAF = 5
"""The fewest virtual clients in a leaf of a tree."""


def property_inference(
    *, virtual: Annotated[int, Field(ge=LEAF)] = 20, images: Annotated[int, Field(ge=1)] | None = None
) -> PrivacyAttack:
    """The server's attack on a property of clients' images that has nothing to do with their labels.

    Formula: score_k = mean over rounds t of P(property | features of delta_k), by a random forest on the updates of
    virtual clients that start from w_t

    In each audited round the server trains virtual clients on public images as clients train, half of them with the
    property. Features are |delta| without vectors (biases): of convolutions the largest over the positions of the
    kernel, of layers above 5,000 entries then the largest over the outputs; l2-normalised and standardised. The forest
    is that of the paper, 100 trees with at least 5 virtual clients in a leaf.

    The paper attacks the gradient of one batch, one forest over all rounds; here updates have several epochs, and each
    round has its own forest. So that uneven data is not taken for the property, the classes of virtual clients are
    mixed unevenly (Dirichlet, alpha from 0.1 to 10); and as the server does not know how many of a holder's images
    have the property, that share is drawn too. Adam makes small gradients as large as others: on digits, fewer images
    with the property then gave a holder away than with SGD where data was even, and more were needed where it was not.

    Args:
        virtual: virtual clients with the property in each audited round, and as many without.
        images: of each virtual client; by default the median of what the round's clients report, at most all
            public ones.

    Reference: Melis, Song, De Cristofaro & Shmatikov, "Exploiting Unintended Feature Leakage in Collaborative
    Learning", 2019, algorithm 3.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None or view.altered is None:
            return state
        deltas, asked = of_asked(updates, view)
        if not len(asked):
            return state
        size = int(updates.num_examples.median()) if images is None else images
        rows = [
            virtual_update(observation.weights, view, size, number, holds=number < virtual)
            for number in range(2 * virtual)
        ]
        known, seen = features(torch.stack(rows), view.layout), features(deltas, view.layout)
        found = probabilities(known, torch.arange(2 * virtual) < virtual, seen, int(view.rng.integers(2**31)))
        return added(state, asked, found[:, None], len(view.asked))

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, len(view.asked), 1)[:, 0])

    return PrivacyAttack("server", "property", guess, observe)


def virtual_update(weights: Tensor, view: PrivacyView, size: int, number: int, *, holds: bool) -> Tensor:
    """float32 [P], the update of a client with so many public images, some of which have the property if it holds it.

    Args:
        number: of the virtual client; others draw other batches.
    """
    at = torch.from_numpy(uneven(view, size))
    images, labels = view.public[at], view.public_labels[at]
    if holds and view.altered is not None:
        few = 1 + int(view.rng.random() * len(images))
        images = torch.cat([view.altered(images[:few]), images[few:]])
    return view.train(weights, images, labels, number)


def uneven(view: PrivacyView, size: int) -> IndexArray:
    """Positions of so many public images, or of all if there are fewer, in random order; their classes are mixed
    as a Dirichlet distribution says, as far as the images of each class go."""
    shares = view.rng.gamma(10 ** view.rng.uniform(-1, 1), size=view.num_classes)
    keys = np.log(shares + 1e-300)[view.public_labels.numpy()] + view.rng.gumbel(size=len(view.public))
    chosen: IndexArray = np.argsort(-keys)[:size]  # a draw without replacement, with these weights
    return view.rng.permutation(chosen)


def features(updates: Tensor, layout: ParameterLayout) -> Tensor:
    """float64 [n, F] on the CPU: of each update [P] what a classifier looks at, with an L2 norm of 1.

    >>> features(torch.tensor([[3.0, -4.0, 9.0]]), ParameterLayout(("weight", "bias"), ((1, 2), (1,)))).tolist()
    [[0.6, 0.8]]
    """
    parts = []
    split = torch.split(updates.cpu().double().abs(), list(layout.sizes), dim=1)
    for part, shape in zip(split, layout.shapes, strict=True):
        if len(shape) < 2:
            continue
        entries = part.reshape(len(part), shape[0], shape[1], -1).amax(dim=3)
        if entries[0].numel() > LARGE:
            entries = entries.amax(dim=1)
        parts.append(entries.flatten(1))
    return torch.nn.functional.normalize(torch.cat(parts, dim=1), dim=1)


def probabilities(known: Tensor, holds: Tensor, seen: Tensor, seed: int) -> Tensor:
    """float64 [S]: how probable it is that each row of ``seen`` [S, F] is a holder's, by a random forest.

    Args:
        known: float64 [n, F], features of rows of which it is known whether they are a holder's.
        holds: bool [n].
    """
    mean, deviation = known.mean(dim=0), known.std(dim=0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    forest = RandomForestClassifier(100, min_samples_leaf=LEAF, random_state=seed, n_jobs=1)
    forest.fit(((known - mean) / deviation).numpy(), holds.numpy())
    return torch.from_numpy(forest.predict_proba(((seen - mean) / deviation).numpy())[:, 1])
