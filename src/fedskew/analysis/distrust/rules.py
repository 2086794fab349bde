"""Reasons to distrust a rule of the server: it does the same extreme thing in every round, or could not work at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, Severity, names, placed
from fedskew.components.known import enough_updates
from fedskew.protocols import RoundRecord
from fedskew.runs.diverged import all_rejected
from fedskew.wording import count

NEARLY_ALL = 0.99
"""The share of negative rates from which on a learning-rate rule turns the model away from what the clients sent."""
MOST = 0.5
"""The share of rounds from which on it is serious."""
FEWEST = 5
"""Rounds that there must be before one client that is alone in all of them is more than chance."""


def rule_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Rules that are extreme in rounds of a run, and rounds in which a rule got too few updates."""
    distinct = list({run.name: run for run in runs}.values())
    yield from _in_rounds(
        distinct,
        "degenerate-rule",
        "a rule of the server went to an extreme in {runs}, which may be why the numbers there are as they are",
        _extremes,
    )
    yield from _in_rounds(
        distinct,
        "skipped-rounds",
        "in rounds of {runs} too few updates arrived for the defence, and the model stayed as it was",
        _skipped,
    )


Found = Iterator[tuple[int, str, bool]]
"""(in how many rounds, what, whether it makes no sense in most of them)."""


def _in_rounds(
    runs: Sequence[Finished], code: str, words: str, look: Callable[[Finished], Found]
) -> Iterator[Reason]:
    """A serious reason for runs in which it was so in most rounds and makes no sense, a caution for the others."""
    often: list[tuple[Finished, str]] = []
    seldom: list[tuple[Finished, str]] = []
    for run in runs:
        for times, what, senseless in look(run):
            place = often if senseless and times >= MOST * len(run.records) else seldom
            place.append((run, f"{what} in {times} of {count(len(run.records), 'round')}"))
    grades: tuple[tuple[Severity, list[tuple[Finished, str]]], ...] = (
        ("serious", often),
        ("caution", seldom),
    )
    for severity, found in grades:
        if found:
            behind = names(run for run, _ in found)
            text = words.format(runs=count(len(behind), "run"))
            yield Reason(code, severity, f"{text}: {placed(found)}", behind)


def _extremes(run: Finished) -> Found:
    """What the records of a rule's work show: negative rates, and the weights of clients."""
    defence = run.experiment.defence
    negative = sum(record.trace.get("negative_rate_share", 0.0) >= NEARLY_ALL for record in run.records)
    if negative:
        yield negative, f"{defence.learning_rate.label} turned nearly all learning rates negative", True
    weighed = [record for record in run.records if record.client_weights]
    nobody = sum(not any(record.client_weights.values()) for record in weighed)
    if nobody:
        yield nobody, f"{defence.aggregator.label} gave no client any weight", True
    # One client may really be the best each time, but then the model is that of one client's data.
    alone = {_alone(record) for record in weighed}
    if len(weighed) == len(run.records) >= FEWEST and len(alone) == 1 and None not in alone:
        yield len(weighed), f"{defence.aggregator.label} took the update of client {alone.pop()} alone", False


def _alone(record: RoundRecord) -> int | None:
    """The only client with a weight in a round in which more than one update arrived; None if there is none."""
    chosen = [client for client, weight in record.client_weights.items() if weight]
    return chosen[0] if len(chosen) == 1 < len(record.client_weights) else None


def _skipped(run: Finished) -> Found:
    """Rounds without enough updates; those in which all were rejected are said to have diverged."""
    defence = run.experiment.defence
    short = [
        len(record.arrived)
        for record in run.records
        if not all_rejected(record) and not enough_updates(defence, len(record.arrived))
    ]
    if short:
        yield len(short), f"as few as {count(min(short), 'update')}", True
