"""What the other packages know of a paper: its front matter, its claims, and its numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from fedskew.study.claim import Claim
from fedskew.study.grid import Study


@dataclass(frozen=True)
class Paper:
    """One paper.

    Attributes:
        authors: full names, in the paper's order.
        tables: number of each published table -> what it is called, shortened.
        runs: how many each published entry comes from.
        axes: axis of a study -> what the paper calls it. The first one makes the rows of its tables.
        metrics: those of its tables.
        references: what ``Study.reference`` can be, to have the paper's numbers beside the study's.
        claims: (study) -> its claims that the study has the settings for.
        beside: (summary table, reference) -> one row per published entry; the columns are those of ``Published``.
    """

    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    url: str
    tables: Mapping[str, str]
    runs: int
    axes: Mapping[str, str]
    metrics: tuple[str, ...]
    references: tuple[str, ...]
    claims: Callable[[Study], tuple[Claim, ...]]
    beside: Callable[[pd.DataFrame, str], pd.DataFrame]

    @property
    def short(self) -> str:
        """Last names and year, e.g. "Ozdayi & Kantarcioglu (2021)"."""
        return f"{' & '.join(name.split()[-1] for name in self.authors)} ({self.year})"

    @property
    def citation(self) -> str:
        """Authors, title, venue and year in one line, without the full stop."""
        return f"{', '.join(self.authors)}: {self.title}. {self.venue}, {self.year}"


@dataclass(frozen=True)
class Published:
    """The numbers of a paper beside those of a study.

    Attributes:
        numbers: one row per published entry. Columns: ``table``, the paper's axes, ``metric``, ``paper``,
            ``paper_std``, ``ours``, ``ours_std``, ``seeds``, ``z`` (ours minus the paper's, over the root of the sum
            of both squared deviations), ``p_value`` and ``p_holm``.
    """

    paper: Paper
    numbers: pd.DataFrame
