"""The claims of an audit."""

from __future__ import annotations

from typing import Any

UNDEFENDED, NO_ATTACK = "no defence", "no attack"
"""Labels of an audit's axes."""
COSTS, COSTS_WORST = 2.0, 5.0
"""The margins of the claims on what a defence costs, in percentage points of the accuracy and of the worst class's."""


def claims_about(defence: str, alphas: int, backdoors: bool) -> list[dict[str, Any]]:
    """What an audit asks of a defence.

    Args:
        alphas: how many spreads there are.
        backdoors: whether some attack is measured by a target class.
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
    if alphas > 1:
        found.append(
            {
                "text": f"under the worst attack, {defence} is less accurate the more unevenly the data is spread",
                "metric": "accuracy",
                "direction": "falls",
                "over": "alpha",
                "where": {"defence": defence},
                "worst_of": "attack",
            }
        )
    return found
