"""What an option that is left open asks of the threat model. Imports nothing, for rows and attacks alike.

Each function gives the end of a sentence after the attack's name; "" where nothing is lacking. The adversaries know
what the attack says or what the one inside it needs, whichever is more.
"""

from __future__ import annotations


def of_radius(radius: object, knows_defence: bool) -> str:
    """PGD without a radius trains within the norm that the defence allows."""
    if radius is not None or knows_defence:
        return ""
    return (
        "without a radius takes the norm that the defence allows, so it must know the defence; expected radius = ..., "
        'or threat_model = "knows-the-defence"'
    )


def of_factor(factor: object, knows_defence: bool) -> str:
    """Model replacement without a factor measures it on the defence."""
    if factor is not None or knows_defence:
        return ""
    return (
        "without a factor measures it on the defence, so it must know the defence; expected factor = ..., or "
        'threat_model = "knows-the-defence"'
    )


def of_norm(norm: object, sees_all: bool) -> str:
    """The median norm is that of the honest updates."""
    if norm != "median" or sees_all:
        return ""
    return (
        'with norm = "median" takes the median of the honest updates, so it must see them; expected a number, or '
        'threat_model = "all-updates"'
    )
