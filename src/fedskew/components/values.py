"""Whether the components of an experiment work with what the samples of its data set are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedskew.components.known import facts_of
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from fedskew.wording import article

if TYPE_CHECKING:  # as in ``known``
    from fedskew.protocols import Values


def check_values(
    experiment: Experiment,
    components: Sequence[tuple[str, str, Component]],
    data: str,
    values: Sequence[Values],
) -> None:
    """Refuses what does not work with any of these values, of which the data set has one.

    Args:
        components: all of the experiment's, as (field, kind, component).
        data: the name of the data set, for errors.
        values: what the samples may be made of; one once the data set is read.

    Raises:
        ConfigError: names the field.
    """
    there = f"{data!r} has {' or '.join(values)}"
    for where, kind, component in components:
        served = facts_of(kind, component).values
        if kind != "dataset" and not set(served) & set(values):
            others = [name for name, row in BUILT_IN[kind].items() if set(row.facts.values) & set(values)]
            raise ConfigError(
                f"{where}: {component.label!r} works with {' and '.join(served)}, and the data set {there}",
                f"take another {kind}: {', '.join(others)}"
                if others
                else f"take {article(kind)} of your own",
                where,
            )
    if experiment.privacy.property is not None and "pixels" not in values:
        raise ConfigError(
            f"privacy.property: a property is planted in pixels, and the data set {there}",
            "leave it out",
            "privacy.property",
        )
