"""A console of rich's on which a text from outside is only text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from fedskew.wording import visible


class PlainConsole(Console):
    """Spells out what cannot be seen in whatever it shows."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is shown."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(visible(piece.text), piece.style)

    def on_broken_pipe(self) -> NoReturn:
        """The reader has left, which is for whoever shows things to deal with: rich's own would end the process."""
        raise BrokenPipeError
