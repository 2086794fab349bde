"""What clients do to their own updates before they send them: the first of the transforms (``local_transforms``)."""

from __future__ import annotations

from fedskew.components.known import facts_of, works_on_sums
from fedskew.config import Defence
from fedskew.errors import ConfigError
from fedskew.wording import count


def check_local(defence: Defence) -> None:
    """Refuses local transforms that are not there, or that a client cannot do alone.

    Raises:
        ConfigError: names the field.
    """
    local, where, there = defence.local_transforms, "defence.local_transforms", len(defence.transforms)
    if local > there:
        raise ConfigError(
            f"{where} = {local}: defence.transforms has {count(there, 'transform')}",
            "it says how many of them, from the first on, clients do before they send",
            where,
        )
    for component in defence.transforms[:local]:
        if works_on_sums("transform", component) and not facts_of("transform", component).steps:
            continue
        options = ", ".join(f"{name} = {value}" for name, value in component.options.items())
        raise ConfigError(
            f"{where} = {local}: transform {component.label!r}{options and f' with {options}'} needs the updates of "
            "other clients, which no client has",
            "let the server do it, or take one that works on sums (docs/privacy-attacks.md)",
            where,
        )
