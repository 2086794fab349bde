"""Shuffled: what another split gives, dealt out anew, so that all that is left of its skew is sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedskew.components.known import facts_of
from fedskew.components.returned import checked_division
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import PartitionError
from fedskew.protocols import Division, Rng, SplitView, ViewedSplit


def shuffled(*, of: Component) -> ViewedSplit:
    """The samples that another split gives to clients, each client as many as before, dealt out at random.

    Formula: S = S_1 + ... + S_K as ``of`` gives them;
    client k holds the next |S_k| samples of a random order of S

    So a run with ``of`` beside one with this split, of the same seed, shows what the spread of labels costs and nothing
    else: clients, sizes and the samples that take part are the same. With sampled adversaries or data set aside for the
    server, S is what these leave. Names of clients, and test samples of their own, stay as they are. The order is drawn
    from a stream of its own, so that ``of`` draws what it would draw alone.

    Args:
        of: the split.

    Raises:
        PartitionError: ``of`` gives a sample to several clients, as data sharing does.

    >>> from fedskew.protocols import DatasetInfo
    >>> info = DatasetInfo("example", ("a", "b"), (1, 1, 1), (0.0,), (1.0,))
    >>> view = SplitView(np.repeat([0, 1], 4), np.arange(8), 8, info)
    >>> division = shuffled(of=Component(name="shards", classes_per_client=1)).divide(view, 2, np.random.default_rng(3))
    >>> [view.labels[part].tolist() for part in division.parts]  # one class each before
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    inner: ViewedSplit = build_rule("split", of, "split.of")

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        parts = inner.divide(view, num_clients, rng)
        order = rng.spawn(1)[0]  # after ``of``, which may have streams of its own
        found = checked_division(of.label, parts, view, num_clients, facts_of("split", of))
        held = np.concatenate(found.parts)
        if len(np.unique(held)) < len(held):
            raise PartitionError(
                f"split 'shuffled': {of.label!r} gives a sample to several clients, so that it cannot be dealt out",
                "put it around this one: of = {name = 'shuffled', ...}",
            )
        ends = np.cumsum([len(part) for part in found.parts])[:-1]
        return replace(found, parts=[np.sort(part) for part in np.split(order.permutation(held), ends)])

    return ViewedSplit(divide)
