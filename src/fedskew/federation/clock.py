"""The time of each phase of a round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Clock:
    """Wall-clock seconds by phase."""

    def __init__(self) -> None:
        self._start = perf_counter()
        self._phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Counts the time inside the block towards a phase."""
        start = perf_counter()
        yield
        self._phases[phase] = self._phases.get(phase, 0.0) + perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """By phase, with ``total`` since this clock was made."""
        return {**self._phases, "total": perf_counter() - self._start}
