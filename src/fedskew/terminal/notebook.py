"""An output of a notebook that is brought up to date, in every front end and without an extension of it."""

from __future__ import annotations

import sys
import time
from typing import Any

EVERY = 0.5
"""Seconds between two states of an output, at least."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Output:
    """A text in the output of the cell that is running; nothing before the first one is shown."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._text = ""
        self._shown = -EVERY

    def show(self, text: str, *, now: bool = False) -> None:
        """Replaces the text, unless one was shown a moment ago.

        Args:
            now: replace it in any case.
        """
        from IPython.display import DisplayHandle

        moment = time.monotonic()
        if text == self._text or (not now and moment - self._shown < EVERY):
            return
        self._text, self._shown = text, moment
        content = {"text/plain": text}
        if self._handle is None:
            untyped: Any = DisplayHandle
            self._handle = untyped()
            self._handle.display(content, raw=True)
        else:
            self._handle.update(content, raw=True)
