"""Rows of runs in short, kept over several sittings: what is collected stays, what a folder has done since is added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedskew.study.grid import Study, planned_runs


def write_rows(
    rows: pd.DataFrame, path: Path, study: Study, order: Sequence[str], down: Sequence[str] = ()
) -> int:
    """Writes rows with those that the file has already; says how many there are then.

    A run depends on its config alone and is named after it, so a row that was collected elsewhere is as good as one
    that was not. Rows of runs that the study no longer plans are left out.

    Args:
        rows: with a column ``run``; a run has all its rows here or none.
        study: whose runs they are, all of them; what was done may be a part of it.
        order: columns to sort by.
        down: those of them that fall.
    """
    planned = {plan.identity for plan in planned_runs(study)}
    if len(rows):
        rows = rows[rows["run"].isin(list(planned))]
    if path.exists():
        earlier = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"run": "string"})
        kept = earlier[earlier["run"].isin(list(planned - set(rows["run"] if len(rows) else [])))]
        rows = pd.concat([one for one in (kept, rows) if len(one)], ignore_index=True)
    # The same numbers give the same bytes.
    rows.sort_values(list(order), ascending=[name not in down for name in order], kind="stable").to_csv(
        path, index=False, float_format="%.6g", compression={"method": "gzip", "mtime": 0}
    )
    return len(rows)
