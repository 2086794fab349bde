"""The attack of an experiment on a data set: built, checked, and told of the defence if it may know it."""

from __future__ import annotations

from collections.abc import Sequence

from fedskew.components.binding import build_attack, guarded
from fedskew.components.known import norm_bound
from fedskew.components.returned import checked_attack
from fedskew.config import Component, Experiment
from fedskew.protocols import Attack, DatasetInfo, KnownDefence


def attack_in(experiment: Experiment, info: DatasetInfo) -> Attack:
    """The attack of an experiment. Without adversaries nobody knows its defence."""
    told = experiment.defence.transforms if experiment.adversaries.count else None
    return attack_of(experiment.attack, info, told)


def attack_of(component: Component, info: DatasetInfo, transforms: Sequence[Component] | None) -> Attack:
    """The attack that is carried out against a defence with these update transforms; None: it is told of none.

    Raises:
        ConfigError: it does not fit the data set or the defence, or is not what an attack must be.
    """
    attack = checked_attack(component.label, build_attack(component, info), info)
    if attack.knowing is None or transforms is None or not attack.threat.knows_defence:
        return attack
    told = guarded("attack", component, attack.knowing(KnownDefence(norm_bound(transforms))), "attack")
    return checked_attack(component.label, told, info)
