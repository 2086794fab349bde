"""Lanes: streams of a CUDA device, on which groups of clients are trained beside each other.

A step of a small model is a hundred short kernels one after another, which leave most of a card idle; those of other
clients fill it. What a client computes does not depend on its lane, so neither do the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

SPARE = 2
"""How much of the free memory is left alone: one part in so many."""


class Lanes:
    """Streams that begin after what was launched before, and end before what is launched after.

    Args:
        most: of them; fewer where memory is short.
    """

    def __init__(self, device: torch.device, most: int) -> None:
        self.device, self.most = device, most
        self.count = 1  # until it is known what one takes
        self._streams: list[Any] = []
        self._before = self._taken(torch.cuda.memory_allocated), self._taken(torch.cuda.memory_reserved)

    def measure(self) -> None:
        """Finds out how many lanes there is room for, once the first one has been used."""
        # The peak too, since what is reserved does not grow where an earlier run has left some.
        peak, reserved = self._taken(torch.cuda.max_memory_allocated), self._taken(torch.cuda.memory_reserved)
        needed = max(peak - self._before[0], reserved - self._before[1])
        free = torch.cuda.mem_get_info(self.device)[0] // SPARE if self._on_a_card else 0
        room = free // needed if self._on_a_card and needed > 0 else self.most
        self.count = max(1, min(self.most, 1 + room))

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The lanes of the next groups, as many as ``most``."""
        if not self._on_a_card:
            yield
            return
        while len(self._streams) < self.most:
            self._streams.append(torch.cuda.Stream(self.device))  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self.device)
        for stream in self._streams:
            stream.wait_stream(current)
        try:
            yield
        finally:
            for stream in self._streams:
                current.wait_stream(stream)

    def on(self, lane: int) -> AbstractContextManager[Any]:
        """Lets what is launched inside the block run in a lane."""
        return torch.cuda.stream(self._streams[lane]) if self._on_a_card else nullcontext()

    @property
    def _on_a_card(self) -> bool:
        return self.device.type == "cuda"

    def _taken(self, memory: Callable[[torch.device], int]) -> int:
        return memory(self.device) if self._on_a_card else 0
