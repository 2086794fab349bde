"""An audit: a study of a defence, or of several, under a suite of attacks, over the spread of the data.

What makes it one is its table ``[audit]``, which says which axes and labels play which part: any study of this shape
can be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedskew.config import Record
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, unknown


class Audit(Record):
    """Which parts the axes of an audit play. An axis besides these two is how the data is spread.

    Attributes:
        defence: the label that is audited; "" where all are, as in a comparison of many defences.
        undefended: the label of the setting without a defence; the other labels are what it is compared with.
        no_attack: the label of the runs without adversaries.
        defences, attacks: the names of the two axes.
        tuned: how the defences' options were chosen, in words; "" if nobody chose them by a rule.
    """

    defence: str = ""
    undefended: str = "no defence"
    no_attack: str = "no attack"
    defences: str = "defence"
    attacks: str = "attack"
    tuned: str = ""


def check_audit(audit: Audit, axes: Mapping[str, Sequence[Any]], origin: Origin) -> None:
    """Refuses an audit whose parts the study does not have.

    Raises:
        ConfigError: an unknown axis or label, or more than one axis besides the two; names the field.
    """

    def refuse(field: str, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{origin.at(('audit', field))}: audit.{field}: {message}", hint, f"audit.{field}")

    for field in ("defences", "attacks"):
        if getattr(audit, field) not in axes:
            raise refuse(field, *unknown("axis", getattr(audit, field), axes))
    if audit.defences == audit.attacks:
        raise refuse("attacks", f"is the same axis as audit.defences, {audit.defences!r}")
    for field, axis in (
        ("defence", audit.defences),
        ("undefended", audit.defences),
        ("no_attack", audit.attacks),
    ):
        if getattr(audit, field) not in axes[axis] and (field, audit.defence) != ("defence", ""):
            raise refuse(field, *unknown(f"label of {axis}", getattr(audit, field), map(str, axes[axis])))
    if audit.defence == audit.undefended:
        raise refuse("defence", f"{audit.defence!r} is the setting without a defence")
    others = [name for name in axes if name not in (audit.defences, audit.attacks)]
    if len(others) > 1:
        raise refuse(
            "defences",
            f"an audit has one axis besides these two, how the data is spread; got {', '.join(others)}",
        )
