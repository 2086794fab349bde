"""Steps that are captured once as a CUDA graph and replayed; on other devices, plain calls."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fedskew.errors import ConfigError

_log = logging.getLogger(__name__)

WORTH_A_GRAPH = 4
"""Times that a step is done, from which capturing it is faster. Over all rounds: a client's last, short batch comes
twice in two epochs, and launching one such step takes as long as ten captured ones."""

MOST = 128
"""Captured steps of one room; each keeps some memory of the driver's."""


@contextmanager
def waiting_forbidden() -> Iterator[None]:
    """Lets PyTorch raise at the first operation that makes the host wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)  # that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Graphs:
    """Captured steps by key. A step takes no arguments and works in place on tensors with fixed addresses.

    Args:
        rewind: puts those tensors into a state in which any step can run; called before each trial.
        capture: whether to capture at all; only CUDA devices can.
    """

    def __init__(self, device: torch.device, rewind: Callable[[], object], capture: bool = True) -> None:
        self.device, self.rewind = device, rewind
        self.captures = capture and device.type == "cuda"
        self._times: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, Any] = {}
        self._pool: Any = None
        # Its own: what libraries keep for a stream, two graphs that run at the same time must not share.
        self._stream: Any = torch.cuda.Stream(device) if self.captures else None  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self._graphs)

    def prepare(self, key: Hashable, step: Callable[[], None], times: int = WORTH_A_GRAPH) -> None:
        """Captures a step that is done often enough, unless it has been; what the tensors held before is lost.

        A step that cannot be captured (it uses the host) is called each time instead; the result is the same. So is one
        in which a component fails: what it says where it is called is what is meant for the user.

        Args:
            times: how often it is about to be done; added to those before.
        """
        self._times[key] += times
        if not self.captures or key in self._graphs or len(self._graphs) == MOST:
            return
        if self._times[key] < WORTH_A_GRAPH:
            return
        try:
            self._graphs[key] = self._capture(step)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ConfigError) as error:  # the latter from the guard around a plug-in
            self.captures = False
            _log.warning(
                "a training step cannot be captured as a CUDA graph and is launched op by op, which is slower: %s",
                str(error).splitlines()[0],
            )

    def _capture(self, step: Callable[[], None]) -> Any:
        before = torch.cuda.current_stream(self.device)
        try:
            with torch.cuda.device(self.device):  # a capture takes its stream from the current device
                self._rehearse(step)
                self.rewind()
                graph = torch.cuda.CUDAGraph()
                # One pool for all: graphs are replayed one after another and leave nothing in it.
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    step()
        except (RuntimeError, ConfigError):
            torch.cuda.set_stream(before)  # a capture that fails does not restore the stream
            torch.cuda.synchronize(self.device)
            raise
        self._pool = graph.pool() if self._pool is None else self._pool
        return graph

    def _rehearse(self, step: Callable[[], None]) -> None:
        aside = self._stream
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(2):  # libraries choose algorithms and allocate work space in their first calls
                self.rewind()
                step()
            self.rewind()
            with waiting_forbidden():  # finds most steps that cannot be captured, before a capture fails
                step()
        torch.cuda.current_stream(self.device).wait_stream(aside)

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Does a step: by replaying it where it was captured."""
        graph = self._graphs.get(key) if self.captures else None
        if graph is None:
            step()
        else:
            graph.replay()
