"""Reasons to distrust a study's numbers, found in its own records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from fedskew.study import PlannedRun, Study


@dataclass(frozen=True)
class Reason:
    """Why a number should not be taken at its word.

    Attributes:
        code: which kind, in kebab-case.
        severity: "serious" where a conclusion may be wrong, "caution" where it is weaker than it looks.
        text: one sentence with the numbers.
        runs: the run folders it is about.
    """

    code: str
    severity: Literal["serious", "caution"]
    text: str
    runs: tuple[str, ...] = ()


def reasons_to_distrust(
    study: Study, planned: Sequence[PlannedRun], folder: Path, results: pd.DataFrame
) -> list[Reason]:
    """All reasons that a study's records give, the serious ones first."""
    raise NotImplementedError
