"""What is said on stderr of a folder that was begun by an earlier version of fedskew."""

from __future__ import annotations

import sys
from pathlib import Path


def tell_of_defaults(place: Path) -> None:
    """Says that a folder keeps the defaults with which it was begun."""
    print(
        f"note: {place} was begun with the defaults of an earlier version and keeps them (docs/config.md, Defaults)",
        file=sys.stderr,
    )


def tell_of_version(place: Path, version: int) -> None:
    """Says that the results in a folder are of an earlier version, if they are."""
    from fedskew.components.identity import VERSION  # lazy: brings pydantic

    if version != VERSION:
        print(
            f"note: {place} holds results of an earlier version, whose numbers differ from those of this version by "
            "rounding (docs/config.md, Versions of results)",
            file=sys.stderr,
        )
