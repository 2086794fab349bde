"""What the recorded metrics mean, as a frame."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from fedskew.evaluation.metric_table import TABLE, meaning


def metrics_frame(names: Iterable[str] | None = None) -> pd.DataFrame:
    """One row per metric, by name: ``label``, ``unit`` (percent of a share, recorded as a fraction), ``better``
    (higher, lower or neither), ``formula``, ``measured`` (on what), ``chance``.

    Args:
        names: which ones; every built-in one unless given. One that is not built in has its name in words only.

    >>> metrics_frame().loc["bias", ["unit", "better"]].tolist()
    ['percent', 'lower']
    """
    columns = ("label", "unit", "better", "formula", "measured", "chance")
    rows = {name: meaning(name) for name in (TABLE if names is None else names)}
    data = [[getattr(row, column) for column in columns] for row in rows.values()]
    frame = pd.DataFrame(data, index=pd.Index(list(rows), name="metric"), columns=list(columns))
    return frame.astype({"chance": float})
