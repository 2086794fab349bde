"""Claims and differences as frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from fedskew.analysis import Judgement
from fedskew.analysis.claims.judgement import Place
from fedskew.wording import cell_in_words

_JUDGED = (
    *("effect", "low", "high", "unit", "n", "p_value", "p_holm", "exact_p", "smallest_p"),
    *("why", "caution", "exceptions", "depends", "size", "worst"),
)
"""What a claim's row has of the judgement under the same name."""


def claims_frame(judgements: Sequence[Judgement], late: Mapping[int, str]) -> pd.DataFrame:
    """One row per claim: its words, what was tested, the verdict, the effect with its interval and p-values.

    Args:
        late: number of a claim -> how it was added or changed after results were there, in words.
    """
    rows = [
        {
            "claim": one.claim.text,
            "tested": one.tested,
            "source": one.claim.source,
            "verdict": one.verdict,
            **{name: getattr(one, name) for name in _JUDGED},
            "places": "; ".join(_place(place, one.claim.digits) for place in one.places),
            "stated": late.get(index, ""),
            "runs": " ".join(one.runs),
        }
        for index, one in enumerate(judgements)
    ]
    columns = ("claim", "tested", "source", "verdict", *_JUDGED, "places", "stated", "runs")
    return pd.DataFrame(rows, columns=list(columns))


def tests_frame(kind: type, items: Sequence[Any]) -> pd.DataFrame:
    """Differences or trends, one per row.

    Args:
        kind: of the items, whose fields are the columns, also where there are none.
    """
    columns = [one.name for one in fields(kind)]
    return joined(pd.DataFrame([vars(one) for one in items], columns=columns))


def joined(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with lists and cells as text: run folders and seeds separated by spaces, cells in words."""
    frame = frame.copy()
    for column in ("runs", "left_out"):
        if column in frame:
            frame[column] = [" ".join(map(str, value)) for value in frame[column]]
    if "where" in frame:
        frame["where"] = [cell_in_words(value) for value in frame["where"]]
    return frame


def _place(place: Place, digits: int) -> str:
    bounds = "" if math.isnan(place.low) else f" [{place.low:+.{digits}f}, {place.high:+.{digits}f}]"
    return f"{place.axis} {place.label} {place.effect:+.{digits}f}{bounds}" + (
        f" {place.verdict}" if place.verdict else ""
    )
