"""How long runs will still take, from what they have taken so far."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

PACE_OVER = 20
"""The pace of a run is the median of this many last rounds: the machine may have become busier."""


def pace(seconds: Sequence[float]) -> float | None:
    """Seconds per round of a run, from how long each of its rounds took; None before the first."""
    return statistics.median(seconds[-PACE_OVER:]) if seconds else None


@dataclass(frozen=True)
class Course:
    """How far a run has come.

    Attributes:
        state: a failed run is not waited for; ``"waiting"`` is one that will be done, whether begun or not.
        rounds: done.
        limit: the most rounds there will be.
        pace: seconds per round; None before the first.
        may_stop_early: whether it may end before its limit.
        cell: runs of the same cell are expected to be of the same length.
    """

    state: Literal["running", "waiting", "done", "failed"]
    rounds: int
    limit: int
    pace: float | None
    may_stop_early: bool = True
    cell: Hashable = ()


@dataclass(frozen=True)
class Left:
    """Time until something is done.

    Attributes:
        at_most: whether the seconds go up to the round limit of runs that may stop before it.
    """

    seconds: float
    at_most: bool


def time_left(runs: Mapping[int, Course], side_by_side: int) -> tuple[dict[int, Left], Left | None]:
    """How long each run that is not over and all of them together will take.

    A run's pace is its own or, before its first round, the mean of those that are running (of all, if none is). A run
    that may stop early is taken to be as long as the median of the finished ones, of its own cell where there are any;
    while none is finished, its round limit is used, an upper bound. The whole is the sum of what is left, shared by as
    many runs as are done at a time, and at least the longest of those that are running.

    Args:
        runs: by any number.
        side_by_side: how many runs are done at a time.

    Returns:
        By the run's number; and of all, None while no pace is known.
    """
    running = [run for run in runs.values() if run.state == "running"]
    known = [run.pace for run in running if run.pace is not None] or [
        run.pace for run in runs.values() if run.pace is not None
    ]
    if not known:
        return {}, None
    usual = statistics.fmean(known)
    done: dict[Hashable, list[int]] = {}
    for run in runs.values():
        if run.state == "done":
            done.setdefault(run.cell, []).append(run.rounds)
    lengths = {cell: statistics.median(rounds) for cell, rounds in done.items()}
    usual_length = statistics.median(chain(*done.values())) if done else 0.0
    left: dict[int, Left] = {}
    for number, run in runs.items():
        if run.state in ("done", "failed"):
            continue
        length, at_most = float(run.limit), run.may_stop_early
        if at_most and done:
            length, at_most = min(length, lengths.get(run.cell, usual_length)), False
        each = usual if run.pace is None else run.pace
        left[number] = Left(max(length - run.rounds, 1.0) * each, at_most)
    total = sum(item.seconds for item in left.values())
    longest = max((left[n].seconds for n, run in runs.items() if run.state == "running"), default=0.0)
    whole = max(total / max(1, min(side_by_side, len(left))), longest)
    return left, Left(whole, any(item.at_most for item in left.values()))
