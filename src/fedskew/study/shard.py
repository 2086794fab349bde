"""A stated part of a study: ``--shard 3/20``, so that a scheduler's jobs can share its runs without talking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedskew.errors import ConfigError
from fedskew.study.grid import PlannedRun


@dataclass(frozen=True)
class Shard:
    """One of several parts.

    Attributes:
        number: from 1 to ``of``.
    """

    number: int
    of: int

    @staticmethod
    def read(text: str) -> Shard:
        """The part that ``NUMBER/OF`` means.

        Raises:
            ConfigError: it means none.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            raise ConfigError(
                f"--shard {text!r}: expected NUMBER/OF with NUMBER from 1 to OF, for example 3/20",
                "the numbers of a SLURM array are those that `--array=1-20` names",
            )
        return Shard(number, of)

    def part_of(self, planned: Sequence[PlannedRun]) -> list[PlannedRun]:
        """This part of the runs, in their order: the same for the same runs, whatever is done of them.

        The runs are dealt out like cards, cell after cell, so that every part has its share of each cell's seeds, up
        to one. Those that can share their rounds are one card.
        """
        cells: dict[str, list[str]] = {}
        for plan in planned:
            cells.setdefault(repr(plan.cell), []).append(plan.completed.rounds_identity)
        cards = dict.fromkeys(card for cell in cells.values() for card in cell)
        mine = {card for place, card in enumerate(cards) if place % self.of == self.number - 1}
        return [plan for plan in planned if plan.completed.rounds_identity in mine]
