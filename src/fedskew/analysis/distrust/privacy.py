"""Reasons to distrust a stated privacy: it promises next to nothing, or its noise has drowned what clients sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, names, placed
from fedskew.wording import count

HIGHEST = 10.0
"""The epsilon above which a privacy promises next to nothing: e^10 is 22,026 to one."""


def privacy_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Runs whose aggregator states an epsilon that is too high, or adds more noise than there are updates."""
    weak: list[tuple[Finished, str]] = []
    noisy: list[tuple[Finished, str]] = []
    copied: list[tuple[Finished, str]] = []
    for run in {run.name: run for run in runs}.values():
        stated = [record.trace["epsilon"] for record in run.records if "epsilon" in record.trace]
        if stated and not stated[-1] <= HIGHEST:
            weak.append((run, f"epsilon = {stated[-1]:.3g}"))
        if stated and (known := run.row.get("threat_model")):
            copied.append((run, f"threat model {known}"))
        ratios = [
            record.trace["signal_to_noise"] for record in run.records if "signal_to_noise" in record.trace
        ]
        # Noise of independent rounds adds up like a root of their number, updates at most like the number itself.
        if ratios and (total := sum(ratios) / math.sqrt(len(ratios))) < 1:
            noisy.append((run, f"at most {total:.2g} times the noise in {count(len(ratios), 'round')}"))
    if weak:
        yield Reason(
            "weak-privacy",
            "caution",
            f"what {count(len(weak), 'run')} promised clients is noise, not privacy: {placed(weak)}",
            names(run for run, _ in weak),
        )
    if copied:
        yield Reason(
            "privacy-not-held",
            "caution",
            f"in {count(len(copied), 'run')} adversaries answer to what honest clients send, so that a client moves "
            f"more than its own row of the sum, and the stated epsilon does not hold: {placed(copied)}",
            names(run for run, _ in copied),
        )
    if noisy:
        yield Reason(
            "mostly-noise",
            "caution",
            f"the noise for privacy adds up to more than the updates in {count(len(noisy), 'run')}: {placed(noisy)}",
            names(run for run, _ in noisy),
        )
