"""Numbers in words, the same everywhere: two decimals, a real minus, and a dash for a missing number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedskew.analysis import Difference, Estimate
from fedskew.wording import count


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """``12.30``; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("+-")


def mean_std(mean: float, std: float, digits: int = 2) -> str:
    """``90.08 ± 0.17``; only the mean where there is a single seed."""
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if math.isnan(std) else f"{mean:.{digits}f} ± {std:.{digits}f}"


def interval(low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """``[1.20, 3.40]``; a dash where one seed has none."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"[{number(low, digits, sign)}, {number(high, digits, sign)}]"


ALIKE = "‡"
ALIKE_NOTE = (
    f"{ALIKE} all seeds gave this number: no spread to make an interval of, which does not make it certain"
)


def with_interval(found: Estimate | Difference, sign: bool = False, digits: int = 1) -> str:
    """``95.1 [93.1, 97.1]``; marked where all seeds agree, since an interval of no width looks certain."""
    mean = number(found.effect if isinstance(found, Difference) else found.mean, digits, sign)
    alike = found.n > 1 and found.low == found.high
    return f"{mean} {ALIKE}" if alike else f"{mean} {interval(found.low, found.high, digits, sign)}"


def alike_note(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The note below a table that explains the mark; none where it is not used."""
    return (ALIKE_NOTE,) if any(ALIKE in cell for row in rows for cell in row) else ()


def p_text(value: float) -> str:
    """A p-value with two significant digits, never as 0."""
    if math.isnan(value):
        return "–"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


MOST_RUNS = 12
"""In one list of words; tables have them all."""


def estimate_words(
    what: str, found: Estimate, unit: str, values: Sequence[float] = (), digits: int = 2
) -> str:
    """An estimate over several lines, with the runs that it comes from, if they are known.

    Args:
        values: what each of these runs measured, in their order; left out if there are none or one.
    """
    mean = number(found.mean, digits)
    spread = "" if math.isnan(found.std) else f" ± {number(found.std, digits)}"
    lines = [f"{what} {mean}{spread}{unit}"]
    if not math.isnan(found.low):
        lines.append(f"95 % interval {interval(found.low, found.high, digits)}")
    if len(values) > MOST_RUNS:
        lines.append(f"single seeds from {number(min(values), digits)} to {number(max(values), digits)}")
    elif len(values) > 1:
        lines.append(f"single seeds: {', '.join(number(value, digits) for value in values)}")
    behind = f": {run_words(found.runs)}" if found.runs else ""
    return "\n".join([*lines, count(found.n, "seed") + behind])


def run_words(runs: Sequence[str]) -> str:
    """The run folders that a number comes from; where they are many, the first of them."""
    more = f" and {len(runs) - MOST_RUNS} more" if len(runs) > MOST_RUNS else ""
    return (", ".join(runs[:MOST_RUNS]) or "no run") + more
