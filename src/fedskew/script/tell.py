"""What is said on stderr of the folder of a study before its runs begin."""

from __future__ import annotations

from pathlib import Path

from fedskew.runs.mounts import locks_only_here
from fedskew.terminal.say import show
from fedskew.wording import count


def tell_of_defaults(place: Path) -> None:
    """Says that a folder keeps the defaults with which it was begun."""
    show(
        f"note: {place} was begun with the defaults of an earlier version and keeps them (docs/config.md, Defaults)",
        err=True,
    )


def tell_of_version(place: Path, version: int) -> None:
    """Says that the results in a folder are of an earlier version, if they are."""
    from fedskew.components.identity import VERSION  # lazy: brings pydantic

    if version != VERSION:
        show(
            f"note: {place} holds results of an earlier version, whose numbers differ from those of this version by "
            "rounding (docs/config.md, Versions of results)",
            err=True,
        )


def tell_of_reused(taken: dict[Path, int]) -> None:
    """Says how many complete runs were taken from other studies."""
    for other, number in taken.items():
        show(f"note: {count(number, 'complete run')} copied from {other}", err=True)


def tell_of_locks(place: Path) -> None:
    """Says that processes on other machines are not kept out of the runs that are done here, if so."""
    if why := locks_only_here(place):
        show(
            f"note: {place} is on {why}: its locks do not reach other machines, which could do the same runs at once "
            "(docs/scale.md)",
            err=True,
        )
