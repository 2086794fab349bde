"""Which parts of an audit can be run: attacks, privacy attacks, settings of defences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedskew.audit.defences import Chosen
from fedskew.audit.tuning import Candidates
from fedskew.config import Experiment
from fedskew.config.origin import Origin
from fedskew.config.toml_io import with_override
from fedskew.errors import ConfigError
from fedskew.study.grid import completed_experiment


def check_possible(base: dict[str, Any], changes: Mapping[str, Any], what: str) -> None:
    """Refuses what cannot be run; the errors name it."""
    content = base
    for path, value in changes.items():
        content = with_override(content, path.split("."), value, Experiment())
    completed_experiment(content, Origin(what))


def doable(
    base: dict[str, Any], variants: Mapping[str, dict[str, Any]], asked: set[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The variants that can be run, and why the others cannot.

    Raises:
        ConfigError: one that was asked for by its name cannot be run.
    """
    found, left_out = dict[str, dict[str, Any]](), dict[str, str]()
    for label, changes in variants.items():
        try:
            check_possible(base, changes, label)
            found[label] = changes
        except ConfigError as error:
            if label in asked:
                raise
            left_out[label] = error.message
    return found, left_out


def possible_settings(base: dict[str, Any], each: Candidates) -> tuple[list[Chosen], str]:
    """The settings of a defence that can be run, and why the last of the others cannot."""
    found, why = [], ""
    for one in each.settings:
        try:
            check_possible(base, one.changes, one.label)
            found.append(one)
        except ConfigError as error:
            why = error.message
    return found, why
