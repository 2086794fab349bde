"""The sentences of the page. Each rests on a verdict, a count or a record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from fedskew.analysis import Difference, Judgement
from fedskew.analysis.claims.judgement import Place, Verdict
from fedskew.evaluation.metric_table import meaning
from fedskew.report.evidence import Evidence
from fedskew.report.numbers import interval, number
from fedskew.wording import cell_in_words, count, duration

MOST_PLACES = 8
"""Points of an axis whose effects are listed beside a verdict."""
SYMBOLS = {"holds": "✓", "does not hold": "✗", "depends": "◐", "not decided": "?"}
"""Beside the word, so that a verdict can be found at a glance and not by its colour alone."""


def headline(judgements: Sequence[Judgement], evidence: Evidence) -> str:
    """How many claims hold, in one sentence; or why there are none."""
    if not evidence.done:
        return "No run of this study is complete, so there is nothing to conclude yet."
    if not judgements:
        return (
            "No claim is judged: the study states none, and its axes and settings are not those of a known paper's "
            "claims. A study file can state its own claims under [[claims]]."
        )
    counts = Counter(one.verdict for one in judgements)
    seeds = max(one.n for one in judgements)
    if not seeds:
        return (
            f"None of {count(len(judgements), 'claim')} can be judged yet: no seed has all the runs that one needs, "
            "complete and with a number for its metric."
        )
    if counts["not decided"] == len(judgements):
        return f"This data ({count(seeds, 'seed')}) decides none of {count(len(judgements), 'claim')}."
    phrases: dict[Verdict, tuple[str, str]] = {
        "holds": ("holds", "hold"),
        "depends": ("has no single verdict", "have no single verdict"),
        "does not hold": ("does not hold", "do not hold"),
        "not decided": ("is not decided by this data", "are not decided by this data"),
    }
    there = {verdict: counts[verdict] for verdict in phrases if counts[verdict]}
    parts = [f"{many} {_verb(many, *phrases[verdict])}" for verdict, many in there.items()]
    parts[0] = parts[0].replace(" ", f" of {count(len(judgements), 'claim')} ", 1)
    text = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
    return f"{text} ({count(seeds, 'seed')})."


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    text = _upper(text.strip())
    return text + ("" if text.endswith((".", "!", "?")) else ".")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def verdict_lines(
    judgements: Sequence[Judgement], late: Mapping[int, str], told: Collection[int] = ()
) -> list[str]:
    """The claims by name, verdict by verdict; of those that some place gives another one, the places; and which came
    late.

    Args:
        late: number of a claim -> how it was added or changed after results were there, in words.
        told: numbers of claims that are left out.
    """
    kinds = {
        "holds": "that hold",
        "does not hold": "that do not hold",
        "depends": "without a single verdict",
        "not decided": "that are not decided",
    }
    found = []
    for verdict, words in kinds.items():
        claims = [
            one.claim.text.rstrip(".")
            + "".join(f" ({more})" for more in (one.depends or apart_words(one), late.get(number)) if more)
            for number, one in enumerate(judgements)
            if one.verdict == verdict and number not in told
        ]
        if claims:
            found.append(f"Claims {words}: {'; '.join(claims)}.")
    return found


def apart_words(one: Judgement) -> str:
    """The effect at each place, where some place has another verdict than the mean; else ""."""
    if not one.places_apart:
        return ""
    return f"on average over {one.places[0].axis}; {_effects(one, one.places)}"


def _effects(one: Judgement, places: Sequence[Place]) -> str:
    """The effects at some places, with their verdicts where these are not the claim's."""
    signed = one.claim.compare is not None
    apart = one.places_apart if one.verdict != "depends" else ()
    return "; ".join(
        f"{'' if index else place.axis + ' '}{place.label}: {number(place.effect, one.claim.digits, sign=signed)}"
        + (f", {place.verdict}" if place in apart else "")
        for index, place in enumerate(places)
    )


def _verb(many: int, one: str, more: str) -> str:
    return one if many == 1 else more


def place_words(one: Judgement) -> str:
    """The effect at each point of the axis from left to right (of many, at the two ends of its range), and the single
    seed that is farthest from the claim; "" where there is nothing to see."""
    places = list(one.places)
    if len(places) > MOST_PLACES:
        places = sorted(places, key=lambda place: place.effect)
        places = [places[0], places[-1]]
    what = "At" if one.claim.over is None else f"{_upper(meaning(one.claim.metric).label)} at"
    if one.claim.over and one.claim.compare:
        what = "Difference at"
    words = _effects(one, places)
    many = (
        f" (of {len(one.places)} points the lowest and the highest)" if len(one.places) > MOST_PLACES else ""
    )
    worst = (
        f"Farthest from the claim: {one.worst}.".replace("(-", "(\N{MINUS SIGN}")
        if one.worst and one.n > 1
        else ""
    )
    return " ".join(filter(None, [f"{what} {words}{many}." if words else "", worst]))


def effect_words(one: Judgement) -> str:
    """The effect with its unit and interval; and both p-values, where only the correction for all claims leaves the
    claim undecided."""
    if math.isnan(one.effect):
        return "not measured"
    digits = one.claim.digits
    bounds = "" if math.isnan(one.low) else f" {interval(one.low, one.high, digits, sign=True)}"
    only_alone = one.verdict == "not decided" and one.p_value < 0.05 <= one.p_holm
    corrected = f"; p = {one.p_value:.2g}, {one.p_holm:.2g} corrected for all claims" if only_alone else ""
    return f"{number(one.effect, digits, sign=True)}{bounds} {one.unit}".rstrip() + corrected


def difference_sentences(found: Sequence[Difference], most: int = 6) -> list[str]:
    """The differences that remain significant after Holm's correction, for a study without claims; smallest p first."""
    standing = sorted((one for one in found if one.p_holm < 0.05), key=lambda one: one.p_holm)
    rows = {one.metric: meaning(one.metric) for one in standing}
    return [
        f"{rows[one.metric].label} is {number(abs(one.effect), rows[one.metric].digits)} {one.unit or 'units'} "
        f"{'higher' if one.effect > 0 else 'lower'} with {one.second} than with {one.first}"
        f"{_place(one)} (95 % interval of the difference "
        f"{interval(one.low, one.high, rows[one.metric].digits, sign=True)}, {count(one.n, 'seed')}, "
        f"Holm p {one.p_holm:.2g})"
        for one in standing[:most]
    ]


def _place(one: Difference) -> str:
    return " at " + cell_in_words(one.where) if one.where else ""


def completeness(evidence: Evidence) -> str:
    """How much of the study is complete, and what is missing; a run of several cells counts once."""
    total = len(evidence.notes)
    done = sum(note.status == "done" for note in evidence.notes)
    if done == total:
        return f"All {count(total, 'run')} of the study are complete."
    begun = sum(note.rounds > 0 and note.status != "done" and not note.failed for note in evidence.notes)
    failed = sum(note.failed for note in evidence.notes)
    parts = [f"{done} of {count(total, 'run')} are complete"]
    parts += [f"{count(failed, 'run')} failed"] if failed else []
    parts += [f"{count(begun, 'run')} under way or interrupted"] if begun else []
    rest = total - done - failed - begun
    parts += [f"{count(rest, 'run')} not started"] if rest > 0 else []
    return (
        ", ".join(parts)
        + ". Runs that are not complete are in no number, table or figure; the list of runs names them."
    )


def missing_cells(evidence: Evidence) -> list[str]:
    """The planned cells without a single complete run, in words."""
    cells: dict[str, bool] = {}
    done = set(evidence.results["run"]) if evidence.done else set()
    for plan in evidence.planned:
        name = cell_in_words(plan.cell) or "the experiment"
        cells[name] = cells.get(name, False) or plan.identity in done
    return [name for name, there in cells.items() if not there]


def data_words(evidence: Evidence) -> tuple[list[str], str]:
    """The provenance lines of the data of all runs; and "official" where every file is the official one, "own" where
    all are the user's, else ""."""
    sessions = [session for note in evidence.notes for session in note.sessions]
    lines = list(dict.fromkeys(line for session in sessions for line in session.data))
    marks = {"official": "official content", "own": "the user's own content"}
    kinds = [kind for kind, mark in marks.items() if all(_content(line).startswith(mark) for line in lines)]
    return lines, kinds[0] if lines and kinds else ""


def _content(line: str) -> str:
    """What a loader says of a file, after the file's name."""
    return line.partition(": ")[2]


def environments(evidence: Evidence) -> list[tuple[str, str]]:
    """(what, the distinct values of it) over all sessions of all runs."""
    names = {
        "fedskew": "fedskew",
        "commit": "commit",
        "engine": "engine",
        "engine_reason": "why this engine",
        "compiled": "compiled with",
        "device": "device",
        "workers": "threads per run",
        "processor": "processor",
        "cores": "cores",
        "platform": "system",
        "python": "Python",
        "torch": "PyTorch",
        "numpy": "NumPy",
    }
    found = []
    for key, words in names.items():
        given = [getattr(session, key) for note in evidence.notes for session in note.sessions]
        values = dict.fromkeys(str(value) for value in given if value is not None)
        if values:
            found.append((words, "; ".join(values)))
    seconds = [note.seconds for note in evidence.notes if not math.isnan(note.seconds)]
    if seconds:
        found.append(("time in rounds", f"{duration(math.fsum(seconds))} over {count(len(seconds), 'run')}"))
    return found
