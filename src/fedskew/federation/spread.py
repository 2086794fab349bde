"""Who holds which training images, who is malicious, what is set aside: index work, done before any training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fedskew.components.known import facts_of, options_of, with_inner
from fedskew.components.measured import check_own_tests
from fedskew.components.returned import checked_division, checked_server_data
from fedskew.components.rules import build_rule
from fedskew.config import Adversaries, Experiment
from fedskew.errors import PartitionError
from fedskew.partition.heterogeneity import Counts, label_counts
from fedskew.protocols import Aggregator, Division, IndexArray, LabelArray, SplitView, ViewedSplit
from fedskew.rounding import whole
from fedskew.seeding import stream


@dataclass(frozen=True)
class Spread:
    """Who holds which training images, before anything is poisoned.

    Attributes:
        shards: positions in the training set, int64, one array per client: what they train on.
        malicious: the ids of the adversaries, ascending.
        validation: positions held out before the split.
        root: positions that the server has set aside before the split.
        held_out: positions of each client that are set aside for measuring; empty where ``clients.held_out`` is 0.
        shared: positions that the split gave to several clients, each of which holds them in its shard.
    """

    shards: tuple[IndexArray, ...]
    malicious: tuple[int, ...]
    validation: IndexArray
    root: IndexArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    held_out: tuple[IndexArray, ...] = ()
    shared: IndexArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    tests: tuple[IndexArray, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def honest(self) -> tuple[int, ...]:
        """The ids of the honest clients, ascending."""
        malicious = set(self.malicious)
        return tuple(k for k in range(len(self.shards)) if k not in malicious)

    def own_places(self, client: int) -> IndexArray:
        """Where in a client's shard its own images are, those that are not shared."""
        shard = self.shards[client]
        return np.flatnonzero(~np.isin(shard, self.shared)) if len(self.shared) else np.arange(len(shard))

    def own(self, client: int) -> IndexArray:
        """What a client trains on without the shared images."""
        shard = self.shards[client]
        return shard[self.own_places(client)] if len(self.shared) else shard

    def unused(self, total: int) -> int:
        """How many of the training set's images nobody holds, neither a client nor the server."""
        held = np.zeros(total, dtype=np.bool_)
        for part in (*self.shards, *self.held_out, self.validation, self.root):
            held[part] = True
        return int(total - held.sum())

    @property
    def senders(self) -> int:
        """How many clients have data to train on; the others never send an update."""
        return sum(len(shard) > 0 for shard in self.shards)

    def counts(self, labels: LabelArray, num_classes: int) -> Counts:
        """The client x class table of the true labels, int64 [K, C]."""
        return label_counts(labels, self.shards, num_classes)


def spread(everything: SplitView, experiment: Experiment) -> Spread:
    """Divides the training images among the clients as the experiment says.

    The split, the sample and the choice of adversaries draw from separate streams, so that an attack
    changes no more of them than it must.

    Args:
        everything: the whole training set.

    Raises:
        PartitionError: there are not enough images.
        ConfigError: clients are to be measured, and the split gives them nothing to be measured on.
    """
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    labels, total = everything.labels, everything.total
    everyone = experiment.clients.count
    adversaries = experiment.adversaries
    validation, available = _hold_out(total, experiment.data.validation, seed)
    root, available = _set_aside(available, server_data(experiment), seed)
    rule: ViewedSplit = build_rule("split", experiment.split, "split")
    chosen = stream(seed, "adversaries").choice(everyone, size=adversaries.count, replace=False)
    malicious = tuple(sorted(int(k) for k in chosen))

    def split(pool: IndexArray, clients: int) -> tuple[Division, IndexArray]:
        view = everything.only(pool)
        parts = rule.divide(view, clients, stream(seed, "split"))
        facts = facts_of("split", experiment.split)
        found = checked_division(experiment.split.label, parts, view, clients, facts)
        holders = np.bincount(np.concatenate(found.parts), minlength=len(pool))
        return replace(found, parts=[pool[part] for part in found.parts]), pool[holders > 1]

    def done(division: Division, shared: IndexArray) -> Spread:
        check_own_tests(experiment, division.tests is not None)
        where = Spread(
            tuple(division.parts),
            malicious,
            validation,
            root,
            shared=shared,
            tests=tuple(division.tests or ()),
            names=division.names,
        )
        return _with_held_out(_checked(where, experiment), labels, experiment.clients.held_out, seed)

    if adversaries.data == "share" or not malicious:
        return done(*split(available, everyone))

    samples = _samples(available, total, adversaries, seed)
    taken = np.concatenate(samples) if adversaries.exclusive else np.empty(0, dtype=np.int64)
    if adversaries.split_over == "all":
        left = np.ones(total, dtype=np.bool_)
        left[taken] = False
        division, shared = split(available, everyone)
        parts, shared = [part[left[part]] for part in division.parts], shared[left[shared]]
        division = replace(division, parts=parts)
    else:
        remaining = np.setdiff1d(available, taken, assume_unique=True)
        division, shared = split(remaining, everyone - len(malicious))
        division = _among(division, malicious)
    parts = list(division.parts)
    for client, sample in zip(malicious, samples, strict=True):
        parts[client] = sample
    return done(replace(division, parts=parts), shared)


def _among(division: Division, malicious: tuple[int, ...]) -> Division:
    """What a split gave to the honest clients, with nothing for each adversary in its place."""
    parts, names = list(division.parts), list(division.names)
    tests = None if division.tests is None else list(division.tests)
    nothing = np.empty(0, dtype=np.int64)
    for client in malicious:
        parts.insert(client, nothing)
        if tests is not None:
            tests.insert(client, nothing)
        if names:
            names.insert(client, "adversary")
    return Division(parts, tests, tuple(names))


def _checked(where: Spread, experiment: Experiment) -> Spread:
    """Refuses a spread that leaves an honest client nothing to train on or to measure."""
    if not any(len(where.shards[k]) for k in where.honest):
        raise PartitionError(
            f"split {experiment.split.label!r} ({_options(experiment)}) over {experiment.clients.count} clients "
            f"gives no data to any {'honest ' if experiment.adversaries.count else ''}client",
            "another seed, a larger alpha, or split.min_size",
        )
    smallest = min(len(where.own(k)) for k in where.honest)
    for at, kind, part in with_inner("split", "split", experiment.split):
        if smallest < int(options_of(kind, part).get("min_size", 0)):
            raise PartitionError(
                f"split {experiment.split.label!r} ({_options(experiment)}) over {experiment.clients.count} clients: "
                f"the smallest honest shard has {smallest} samples without those of the adversaries"
                + (" and those that are shared" if len(where.shared) else ""),
                f"lower {at}.min_size, or set adversaries.exclusive = false",
            )
    return where


def _options(experiment: Experiment) -> str:
    return ", ".join(f"{name} = {value}" for name, value in experiment.split.options.items()) or "no options"


def _hold_out(total: int, size: float, seed: int) -> tuple[IndexArray, IndexArray]:
    """A uniform validation sample and the rest; ``size`` is a count, or a fraction below 1."""
    count = round(size * total) if size < 1 else int(size)
    if size and not 0 < count < total:
        raise PartitionError(
            f"data.validation = {size:g} holds out {count} of the {total} training samples; "
            "at least one must be held out and one left for the clients"
        )
    order = stream(seed, "validation").permutation(total)
    return np.sort(order[:count]), np.sort(order[count:])


def server_data(experiment: Experiment) -> int:
    """How many images the run's aggregator needs the server to set aside."""
    rule: Aggregator = build_rule("aggregator", experiment.defence.aggregator, "defence.aggregator")
    return checked_server_data(experiment.defence.aggregator.label, rule.server_data)


def _set_aside(available: IndexArray, size: int, seed: int) -> tuple[IndexArray, IndexArray]:
    """A uniform sample for the server, and what is left for the clients."""
    if not size:
        return available[:0], available
    if size >= len(available):
        raise PartitionError(
            f"defence.aggregator sets {size} samples aside for the server, which leaves none of "
            f"{len(available)} for the clients"
        )
    order = stream(seed, "root").permutation(len(available))
    return np.sort(available[order[:size]]), np.sort(available[order[size:]])


def _with_held_out(where: Spread, labels: LabelArray, fraction: float, seed: int) -> Spread:
    """Sets a share of every client's images aside, class by class; never shared ones, which others train on."""
    if not fraction:
        return where
    parts = [
        _stratified(where.own(client), labels, fraction, stream(seed, "held-out", client))
        for client in range(len(where.shards))
    ]
    held_out = tuple(held for _, held in parts)
    # An adversary's sample may overlap with honest shards: what one client holds out, nobody trains on.
    left = np.ones(len(labels), dtype=np.bool_)
    left[np.concatenate(held_out)] = False
    shared = [shard[np.isin(shard, where.shared)] for shard in where.shards]
    shards = [np.concatenate([own[left[own]], more]) for (own, _), more in zip(parts, shared, strict=True)]
    return replace(where, shards=tuple(shards), held_out=held_out)


def _stratified(
    shard: IndexArray, labels: LabelArray, fraction: float, rng: np.random.Generator
) -> tuple[IndexArray, IndexArray]:
    """A shard in two parts, the second of floor(fraction n) images, as evenly over the classes as whole numbers allow.

    Each class gives floor(fraction n_c); what is then missing comes from the classes whose fraction was cut most.
    """
    order = rng.permutation(shard)
    classes, position = np.unique(labels[order], return_inverse=True)
    wanted = fraction * np.bincount(position, minlength=len(classes))
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    missing = whole(fraction * len(shard)) - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:missing]] += 1
    by_class = np.argsort(position, kind="stable")
    starts = np.cumsum(np.bincount(position, minlength=len(classes))) - np.bincount(
        position, minlength=len(classes)
    )
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = np.arange(len(order)) - starts[position[by_class]]
    held = rank < counts[position]
    return np.sort(order[~held]), np.sort(order[held])


def _samples(available: IndexArray, total: int, adversaries: Adversaries, seed: int) -> list[IndexArray]:
    """One uniform sample per adversary; disjoint if they are taken away from the honest clients."""
    fraction, size = adversaries.fraction, adversaries.size
    each = whole(fraction * total) if fraction is not None else int(size or 0)
    rng = stream(seed, "adversary-data")
    needed = each * (adversaries.count if adversaries.exclusive else 1)
    if not 0 < needed < len(available) + (not adversaries.exclusive):
        raise PartitionError(
            f"adversaries.count = {adversaries.count} with {each} samples each cannot be drawn from "
            f"{len(available)} training samples"
        )
    if adversaries.exclusive:
        drawn = rng.choice(available, size=needed, replace=False)
        return [np.sort(part) for part in np.split(drawn, adversaries.count)]
    return [np.sort(rng.choice(available, size=each, replace=False)) for _ in range(adversaries.count)]
