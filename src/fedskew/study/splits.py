"""The distinct splits of a study, made without training, for ``inspect`` and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fedskew.config import Execution, to_plain
from fedskew.errors import PartitionError
from fedskew.files import to_json
from fedskew.partition.heterogeneity import Counts, Heterogeneity, heterogeneity
from fedskew.study.grid import PlannedRun
from fedskew.wording import cell_in_words, count

if TYPE_CHECKING:
    from fedskew.federation.spread import Spread
    from fedskew.protocols import Dataset


@dataclass(frozen=True)
class Split:
    """One split of a study.

    Attributes:
        titles: the cells that use it.
        seed: it was drawn with.
        counts: int64 [K, C], true labels before poisoning.
        malicious: ids of the adversaries.
        held_out: images in the validation split.
        measures: of the honest clients.
        cells: {axis: label} of the cells that use it.
        shared: images that several clients hold, each of whom counts them.
        unused: training images that nobody holds, neither a client nor the server.
        names: of the clients; empty where they have none.
    """

    titles: tuple[str, ...]
    seed: int
    class_names: tuple[str, ...]
    counts: Counts
    malicious: tuple[int, ...]
    held_out: int
    measures: Heterogeneity
    cells: tuple[dict[str, Any], ...] = ()
    shared: int = 0
    unused: int = 0
    names: tuple[str, ...] = ()

    @property
    def sharing(self) -> str:
        """What is said of shared images; "" if there are none."""
        return f"{count(self.shared, 'shared sample')}, counted for each holder" if self.shared else ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON-friendly values."""
        return {
            "cells": list(self.titles),
            "seed": self.seed,
            "classes": list(self.class_names),
            "counts": self.counts.tolist(),
            "malicious": list(self.malicious),
            "held_out": self.held_out,
            "shared": self.shared,
            "unused": self.unused,
            "names": list(self.names),
            "measures": self.measures.as_dict(),
        }


Drawn: TypeAlias = "tuple[list[PlannedRun], Dataset, Spread]"
"""(runs that have it, their data set, the spread) of a distinct split."""


def distinct_splits(planned: Sequence[PlannedRun], execution: Execution) -> list[Split]:
    """The splits of these runs, each once, in the order of the plan."""
    return splits_of(drawn_splits(planned, execution))


def splits_of(drawn: Iterable[Drawn]) -> list[Split]:
    """The same of splits that are drawn already."""
    found = []
    for plans, dataset, where in drawn:
        counts = where.counts(dataset.y_train.numpy(), dataset.info.num_classes)
        found.append(
            Split(
                titles=tuple(dict.fromkeys(cell_in_words(plan.cell) or "the experiment" for plan in plans)),
                seed=plans[0].seed,
                class_names=dataset.info.class_names,
                counts=counts,
                malicious=where.malicious,
                held_out=len(where.validation),
                measures=heterogeneity(counts[list(where.honest)]),
                cells=tuple(plan.cell for plan in plans),
                shared=len(where.shared),
                unused=where.unused(len(dataset.y_train)),
                names=where.names,
            )
        )
    return found


def drawn_splits(
    planned: Sequence[PlannedRun], execution: Execution, *, skip_impossible: bool = False
) -> Iterator[Drawn]:
    """Each distinct split, in the order of the plan.

    Args:
        skip_impossible: leave out splits that cannot be made.

    Raises:
        PartitionError: a split cannot be made.
    """
    # A report reads splits from the folders of runs, and draws them again only where these say nothing.
    from fedskew.federation.spread import server_data, spread  # lazy
    from fedskew.federation.world import load_data  # lazy
    from fedskew.protocols import SplitView  # lazy

    groups: dict[str, list[PlannedRun]] = {}
    for plan in planned:
        plain = to_plain(plan.experiment)
        seed = plain.get("split_seed", plain["seed"])
        root = server_data(plan.experiment)
        key = to_json([seed, root, *(plain[name] for name in ("data", "split", "clients", "adversaries"))])
        groups.setdefault(key, []).append(plan)
    loaded: dict[str, Dataset] = {}
    for plans in groups.values():
        experiment = plans[0].experiment
        name = experiment.data.model_dump_json()
        if name not in loaded:
            loaded[name] = load_data(experiment, execution)
        try:
            where = spread(SplitView.of(loaded[name]), experiment)
        except PartitionError:
            if skip_impossible:
                continue
            raise
        yield plans, loaded[name], where
