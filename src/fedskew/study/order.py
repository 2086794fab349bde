"""The order of runs that have rounds in common (``shared_rounds``), and the folders from which they may go on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fedskew.components.identity import rounds_identity
from fedskew.config import Experiment
from fedskew.config.toml_io import read_toml
from fedskew.errors import FedskewError
from fedskew.study.grid import PlannedRun


def relatives(path: Path, planned: Sequence[PlannedRun]) -> dict[str, tuple[Path, ...]]:
    """The folders of a study's runs that have their rounds in common, by ``rounds_identity``: its own, and complete
    ones that were copied there from another study.

    Args:
        path: the study's folder.
    """
    found: dict[str, dict[Path, None]] = {}
    for plan in planned:
        found.setdefault(rounds_identity(plan.experiment), {})[path / "runs" / plan.identity] = None
    own = {plan.identity for plan in planned}
    for result in sorted(path.glob("runs/*/result.json")):
        if result.parent.name not in own and "~" not in result.parent.name:  # nor what was put aside
            with suppress(FedskewError, ValueError):
                other = Experiment.model_validate(read_toml(result.parent / "config.toml"))
                found.setdefault(rounds_identity(other), {})[result.parent] = None
    return {rounds: tuple(folders) if len(folders) > 1 else () for rounds, folders in found.items()}


def shorter_first(missing: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The same runs, where those that differ in nothing but the limit of their rounds change places with each other:
    the longer ones can then go on from the shorter ones."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, plan in enumerate(missing):
        key = (rounds_identity(plan.experiment), plan.experiment.stopping.model_dump_json())
        places.setdefault(key, []).append(place)
    found = list(missing)
    for group in places.values():
        ordered = sorted((missing[place] for place in group), key=lambda plan: plan.experiment.rounds)
        for place, plan in zip(group, ordered, strict=True):
            found[place] = plan
    return found
