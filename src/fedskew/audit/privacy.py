"""The privacy attacks of an audit.

They watch the runs without an attack by adversaries, of every defence at every spread of the data. What they look for
is in the honest clients' data, which trains the model whether somebody attacks or not; under each attack of the suite
they would cost as much again, and say what that attack does to the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedskew.audit.notation import in_notation, parse_chain
from fedskew.components.registry import names
from fedskew.components.returned import checked_privacy_attack
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.leakage_table import LEADS, metric_name

SUITE = ("loss-threshold", "delta-loss", "source-inference", "label-inference")
"""What ``fedskew audit --privacy`` runs, in the notation of components."""


def named_privacy(texts: Sequence[str]) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """The privacy attacks that were asked for, ``"suite"`` for those of ``SUITE``.

    Returns:
        label -> component, and the labels that were asked for by their names.

    Raises:
        ConfigError: there is no such privacy attack, or one comes twice, whose metrics would have the same names.
    """
    found: dict[str, dict[str, Any]] = {}
    asked: set[str] = set()
    for text in texts:
        for one in SUITE if text == "suite" else (text,):
            parts = parse_chain(one)
            if len(parts) > 1:
                raise ConfigError(
                    f"{one!r}: a privacy attack is one component", "name several with --privacy-attacks each"
                )
            (part,) = parts
            if ":" not in part["name"] and part["name"] not in names("privacy-attack"):
                raise ConfigError(
                    *unknown("privacy-attack", part["name"], ["suite", *names("privacy-attack")])
                )
            label = in_notation(part)
            if any(part["name"] == other["name"] and label != known for known, other in found.items()):
                raise ConfigError(
                    f"--privacy-attacks {one!r}: {part['name']} is there with other options, and the metrics of both "
                    "would have the same names"
                )
            found[label] = part
            asked |= {label} if text != "suite" else set()
    return found, asked


def leading_metric(part: dict[str, Any]) -> str:
    """The recorded name of the metric that stands for what a privacy attack finds.

    Raises:
        ConfigError: the attack cannot be made, or has an aim that there is not.
    """
    component = Component.model_validate(part)
    attack = checked_privacy_attack(component.label, build_rule("privacy-attack", component))
    return metric_name(component.label, LEADS[attack.aim])
