"""Who pays for a defence, as the records of a study's runs say it: how each run treated its honest clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedskew.analysis import holm
from fedskew.analysis.pays.cost import Cost, Costs, defence_costs
from fedskew.analysis.pays.treatment import TreatedRun, treated, weighed
from fedskew.analysis.pays.unusual import Bin, Slope, everybody, in_bins, slope
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import interval, number, p_text
from fedskew.study.notes import read_counts
from fedskew.wording import count

MOST_NAMES = 6
"""Series in one sentence."""
MOST_SENTENCES = 6


@dataclass(frozen=True)
class WhoPays:
    """What a study shows of it.

    Attributes:
        runs: run -> how it treated its honest clients; of those whose rule gives weights and whose folder says who
            holds which classes.
        silent: series whose runs give no weights -> their aggregators.
        unknown: how many runs give weights while their folders do not say who holds what.
        costs: of the defended cells, corrected together.
    """

    runs: dict[str, TreatedRun]
    silent: dict[str, tuple[str, ...]]
    unknown: int
    costs: Costs

    def of(self, evidence: Evidence, series: str, column: Any) -> list[TreatedRun]:
        """The runs of a cell, each once."""
        cell = evidence.cell(series, column)
        names = dict.fromkeys(cell["run"]) if len(cell) else ()
        return [self.runs[run] for run in names if run in self.runs]


@dataclass(frozen=True)
class Told:
    """One row on the honest clients of a series: at one label of the axis from left to right, or (None) at all."""

    series: str
    label: Any
    runs: tuple[str, ...]
    everybody: Bin
    bins: list[Bin]
    slope: Slope | None


def who_pays(evidence: Evidence) -> WhoPays:
    """Reads who holds what in the folders of the complete runs, and joins it to their records."""
    notes = {note.plan.identity: note for note in evidence.notes}
    runs: dict[str, TreatedRun] = {}
    giving: set[str] = set()
    for run, records in evidence.records.items():
        rounds = weighed(records)
        if rounds:
            giving.add(run)
            recorded = read_counts(notes[run])
            found = treated(rounds, recorded[1], recorded[0].malicious) if recorded else ()
            if found:
                runs[run] = TreatedRun(run, notes[run].plan.seed, found)
    silent: dict[str, tuple[str, ...]] = {}
    for series in evidence.series:
        cell = evidence.cell(series)
        names = set(cell["run"]) if len(cell) else set()
        if names and not names & giving:
            rules = (notes[run].plan.experiment.defence.aggregator.label for run in names)
            silent[series] = tuple(sorted(set(rules)))
    costs = defence_costs(evidence.results, evidence.study, evidence.planned)
    return WhoPays(runs, silent, len(giving) - len(runs), Costs(_corrected(costs.found), costs.alone))


def _corrected(costs: Sequence[Cost]) -> tuple[Cost, ...]:
    """Corrected together; the worst tenth of few clients is the worst client, and such a number counts once."""
    keys = [
        (str(one.where), meaning(one.metric).with_few or one.metric, one.effect, one.low, one.high, one.n)
        for one in costs
    ]
    distinct = dict(zip(keys, costs, strict=True))
    p_values = {key: one.p_holm for key, one in zip(distinct, holm([*distinct.values()]), strict=True)}
    return tuple(replace(one, p_holm=p_values[key]) for key, one in zip(keys, costs, strict=True))


def told(evidence: Evidence, who: WhoPays) -> list[Told]:
    """A row for each series and label that has runs with weights, then one for all labels; slopes corrected together.

    All labels are taken together over the seeds that have runs at each of them.
    """
    found: list[Told] = []
    for series in evidence.series:
        at = {label: who.of(evidence, series, label) for label in evidence.columns or [None]}
        at = {label: runs for label, runs in at.items() if runs}
        found += [_told(series, label, runs) for label, runs in at.items()]
        if len(at) > 1:
            whole = set.intersection(*({run.seed for run in runs} for runs in at.values()))
            runs = dict.fromkeys(run for some in at.values() for run in some if run.seed in whole)
            found += [_told(series, None, list(runs))] if runs else []
    slopes = iter(holm([one.slope for one in found if one.slope is not None]))
    return [replace(one, slope=one.slope and next(slopes)) for one in found]


def _told(series: str, label: Any, runs: Sequence[TreatedRun]) -> Told:
    names = tuple(run.name for run in runs)
    return Told(series, label, names, everybody(runs), in_bins(runs), slope(runs))


def pays_notes(who: WhoPays) -> list[str]:
    """Of which runs the treatment of honest clients is not known, and why, in sentences; none where it is of none."""
    found: list[str] = []
    if who.silent and (who.runs or who.unknown):
        rules = sorted({rule for some in who.silent.values() for rule in some})
        found.append(
            f"Not shown, because their rules ({', '.join(rules)}) give no weights of clients: {_few(list(who.silent))}."
        )
    if who.unknown:
        found.append(
            f"{count(who.unknown, 'run')} with weights {'is' if who.unknown == 1 else 'are'} not shown, because the "
            "folder does not say which honest clients hold which classes (no folder does for more than 1,000 clients)."
        )
    return found


def cost_notes(who: WhoPays) -> list[str]:
    """Which defended cells have nothing to be compared with, in a sentence."""
    if not who.costs.alone:
        return []
    cells = [", ".join(map(str, cell.values())) or "the only setting" for cell in who.costs.alone]
    return [f"The study has no run without a defence to compare these settings with: {_few(cells)}."]


def pays_sentences(evidence: Evidence, found: Sequence[Told]) -> list[str]:
    """What a reader can quote: the slopes that stand after Holm's correction, the smallest p first."""
    standing = [(one, one.slope) for one in found if one.slope is not None and one.slope.p_holm < 0.05]
    standing.sort(key=lambda pair: pair[1].p_holm)
    sentences = []
    for one, steep in standing[:MOST_SENTENCES]:
        more = "more" if steep.effect > 0 else "less"
        ends = ""
        if len(one.bins) > 1:
            first, last = one.bins[0], one.bins[-1]
            ends = (
                f": in {number(first.down_weighted.mean)} % of its rounds from {first.low:.1f} to {first.high:.1f}, in "
                f"{number(last.down_weighted.mean)} % from {last.low:.1f} to {last.high:.1f}"
            )
        bounds = interval(steep.low, steep.high, sign=True)
        sentences.append(
            f"{_where(evidence, one)}: an honest client is down-weighted {number(abs(steep.effect))} percentage points "
            f"{more} often for each 0.1 of total variation (95 % interval of the slope {bounds}, "
            f"{count(steep.n, 'seed')}, Holm p {p_text(steep.p_holm)}){ends}"
        )
    return sentences


def _where(evidence: Evidence, one: Told) -> str:
    place = f"{evidence.across} {one.label}" if one.label is not None else f"all {evidence.across}"
    return f"{one.series}, {place}" if evidence.across else one.series


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return "; ".join(names[:MOST_NAMES]) + more
