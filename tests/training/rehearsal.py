"""Captured steps without a GPU: tried and replayed as a CUDA device would, by plain calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedskew.training.resident.graphs import Graphs


class Rehearsed(Graphs):
    """Captures as a CUDA device would, by trying a step several times over, and replays by doing it."""

    def __init__(self, device: torch.device, rewind: Any, capture: bool = True) -> None:
        super().__init__(device, rewind, capture)
        self.captures = capture
        self.replays = 0

    def _capture(self, step: Any) -> Any:
        for _ in range(4):
            self.rewind()
            step()

        class Graph:
            def replay(_) -> None:  # noqa: N805 (self is the outer one)
                self.replays += 1
                step()

        return Graph()


def rehearse(monkeypatch: pytest.MonkeyPatch) -> list[Rehearsed]:
    """Lets resident engines capture on the CPU; the list grows with what they make."""
    made: list[Rehearsed] = []

    def rehearsed(*arguments: Any) -> Rehearsed:
        made.append(Rehearsed(*arguments))
        return made[-1]

    monkeypatch.setattr("fedskew.training.resident.room.Graphs", rehearsed)
    return made
