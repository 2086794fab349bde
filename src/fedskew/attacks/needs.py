"""What an option that is left open asks of the threat model. Imports nothing, for rows and attacks alike.

Each function gives the end of a sentence after the attack's name; "" where nothing is lacking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def of_radius(options: Mapping[str, Any]) -> str:
    """PGD without a radius trains within the norm that the defence allows."""
    if options.get("radius") is not None or options.get("threat_model") == "knows-the-defence":
        return ""
    return (
        "without a radius takes the norm that the defence allows, so it must know the defence; expected radius = ..., "
        'or threat_model = "knows-the-defence"'
    )


def of_factor(options: Mapping[str, Any]) -> str:
    """Model replacement without a factor measures it on the defence."""
    if options.get("factor") is not None or options.get("threat_model") == "knows-the-defence":
        return ""
    return (
        "without a factor measures it on the defence, so it must know the defence; expected factor = ..., or "
        'threat_model = "knows-the-defence"'
    )


def of_norm(options: Mapping[str, Any]) -> str:
    """The median norm is that of the honest updates."""
    if options.get("norm") != "median" or options.get("threat_model") is not None:
        return ""
    return (
        'with norm = "median" takes the median of the honest updates, so it must see them; expected a number, or '
        'threat_model = "all-updates"'
    )
