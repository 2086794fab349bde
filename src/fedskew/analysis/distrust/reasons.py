"""What a reason to distrust is, and a complete run as those who look for reasons see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from fedskew.components.completed import completed
from fedskew.config import Experiment, Privacy
from fedskew.errors import RunError
from fedskew.protocols import RoundRecord
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import Session
from fedskew.study.grid import PlannedRun
from fedskew.wording import cell_in_words

Severity: TypeAlias = Literal["serious", "caution"]


@dataclass(frozen=True)
class Reason:
    """Why a number should not be taken at its word.

    Attributes:
        code: which kind, in kebab-case.
        severity: "serious" where a conclusion may be wrong, "caution" where it is weaker than it looks.
        text: one sentence with the numbers.
        runs: the run folders it is about.
        metrics: those it is about; empty where it is about no certain ones.
    """

    code: str
    severity: Severity
    text: str
    runs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A complete run.

    Attributes:
        folder: its own.
        row: its row of ``results_table``.
    """

    plan: PlannedRun
    folder: RunFolder
    row: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.plan.identity

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.plan.experiment

    @property
    def cell(self) -> str:
        """The cell in words."""
        return cell_in_words(self.plan.cell) or "the only cell"

    @cached_property
    def records(self) -> list[RoundRecord]:
        """All its rounds."""
        return self.folder.read_records()

    @cached_property
    def sessions(self) -> list[Session]:
        """Where it was done; empty where that was not kept."""
        try:
            return self.folder.read_sessions()
        except RunError:
            return []

    @cached_property
    def clients(self) -> ClientsSummary | None:
        """Who held what; None where that was not kept."""
        try:
            return self.folder.read_clients()
        except RunError:
            return None

    def metric(self, name: str) -> float:
        """A metric of the last round, a fraction; NaN if it was not measured."""
        return float(self.row.get(name, float("nan")))

    @property
    def unwatched(self) -> str:
        """The name of the same run without privacy attacks, which change nothing of it."""
        return self.twin() if self.experiment.privacy.attacks else self.name

    def twin(self, **changes: Any) -> str:
        """The name of the run that differs from this one in these fields of the experiment only, and has no privacy
        attacks (``unwatched``); a planted property, which does change a run, stays."""
        privacy = Privacy(property=self.experiment.privacy.property)
        changed = self.experiment.model_copy(update={**changes, "privacy": privacy})
        return completed(changed, self.plan.completed.version).identity


def by_cell(runs: Iterable[Finished]) -> dict[str, list[Finished]]:
    """Runs by their cell."""
    found: dict[str, list[Finished]] = {}
    for run in runs:
        found.setdefault(run.cell, []).append(run)
    return found


def names(runs: Iterable[Finished]) -> tuple[str, ...]:
    """The folders of runs, each once."""
    return tuple(dict.fromkeys(run.name for run in runs))


def listed(items: Sequence[str], limit: int = 3) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more


def placed(found: Iterable[tuple[Finished, str]]) -> str:
    """What was found in runs, each with its cell; the same words once."""
    words = (f"{run.cell}: {what}" if run.plan.cell else what for run, what in found)
    return listed(list(dict.fromkeys(words)))
