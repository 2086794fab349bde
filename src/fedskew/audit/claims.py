"""The claims of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedskew.evaluation.metric_table import meaning

UNDEFENDED, NO_ATTACK = "no defence", "no attack"
"""Labels of an audit's axes."""
COSTS, COSTS_WORST = 2.0, 5.0
"""The margins of the claims on what a defence costs, in percentage points of the accuracy and of the worst class's."""


def claims_about(
    defence: str,
    spread: Mapping[str, Sequence[Any]],
    backdoors: bool,
    leaks: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """What an audit asks of a defence.

    Args:
        spread: the axis of how the data is spread, and its labels from even to uneven.
        backdoors: whether some attack is measured by a target class.
        leaks: each privacy attack that watches, and the metric that stands for what it finds.
    """
    compare, clean = {"defence": [UNDEFENDED, defence]}, {"attack": NO_ATTACK}
    found: list[dict[str, Any]] = [
        {
            "text": f"without an attack, {defence} costs at most {COSTS:g} points of accuracy",
            "metric": "accuracy",
            "direction": "does not fall",
            "margin": COSTS,
            "compare": compare,
            "where": clean,
        },
        {
            "text": f"without an attack, {defence} costs the worst class at most {COSTS_WORST:g} points",
            "metric": "worst_class_accuracy",
            "direction": "does not fall",
            "margin": COSTS_WORST,
            "compare": compare,
            "where": clean,
        },
        {
            "text": f"under the worst attack, {defence} is more accurate than no defence",
            "metric": "accuracy",
            "direction": "rises",
            "compare": compare,
            "worst_of": "attack",
        },
    ]
    if backdoors:
        found.append(
            {
                "text": f"the worst backdoor succeeds less often against {defence} than against no defence",
                "metric": "attack_success_rate",
                "direction": "falls",
                "compare": compare,
                "worst_of": "attack",
            }
        )
    found += [
        {
            "text": f"without an attack, {attack} finds out less with {defence} than with no defence",
            "metric": metric,
            "direction": "falls" if meaning(metric).better == "lower" else "rises",
            "compare": compare,
            "where": clean,
        }
        for attack, metric in (leaks or {}).items()
    ]
    ((axis, labels),) = spread.items()
    changes: dict[str, Any] = {}
    if all(isinstance(label, int | float) for label in labels) and len(labels) > 1:
        changes = {"over": axis}
        how = "the more unevenly the data is spread"
    elif len(labels) > 1:
        changes = {"compare": {axis: [labels[0], labels[-1]]}}
        how = "with the data as it is spread than with the same data spread evenly"
    if changes:
        found.append(
            {
                "text": f"under the worst attack, {defence} is less accurate {how}",
                "metric": "accuracy",
                "direction": "falls",
                **changes,
                "where": {"defence": defence},
                "worst_of": "attack",
            }
        )
    return found
