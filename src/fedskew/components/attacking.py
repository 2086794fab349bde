"""The attack of an experiment on a data set: built, checked, and told of the defence if it may know it."""

from __future__ import annotations

from fedskew.components.binding import build_attack, guarded
from fedskew.components.known import facts_of, norm_bound, with_inner
from fedskew.components.returned import checked_attack
from fedskew.config import Component, Defence, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, KnownDefence, LocalObjective


def attack_in(experiment: Experiment, info: DatasetInfo) -> Attack:
    """The attack that is carried out in an experiment. Without adversaries nobody knows its defence.

    Raises:
        ConfigError: as ``attack_against``; or it changes what adversaries upload for the experiment's objective, and
            they follow another one.
    """
    if not experiment.adversaries.count:
        return attack_of(experiment.attack, info)
    attack = attack_against(experiment.attack, info, experiment.defence)
    for where, kind, component in with_inner("attack", "attack", experiment.attack):
        if attack.objective is not None and facts_of(kind, component).on_uploads:
            raise ConfigError(
                f"{where}: {component.label!r} changes what adversaries upload for training.objective, and with this "
                "attack they follow an objective of their own instead",
                f"use {component.label!r} with attacks that leave the adversaries' objective alone",
                where,
            )
    return attack


def check_uploads(experiment: Experiment, objective: LocalObjective) -> None:
    """Refuses an attack on what clients upload where this objective, with its options, has them upload nothing.

    Raises:
        ConfigError: names the field.
    """
    if not experiment.adversaries.count or objective.uploads:
        return
    for where, kind, component in with_inner("attack", "attack", experiment.attack):
        if facts_of(kind, component).on_uploads:
            raise ConfigError(
                f"{where}: {component.label!r} changes what adversaries upload for the objective, and as "
                f"training.objective = {experiment.training.objective.label!r} is set clients upload nothing",
                field=where,
            )


def attack_against(component: Component, info: DatasetInfo, defence: Defence) -> Attack:
    """An attack on a defence, which it is told of if its threat model knows it.

    Raises:
        ConfigError: it does not fit the data set or the defence, or is not what an attack must be.
    """
    attack = attack_of(component, info)
    if not attack.threat.knows_defence:
        return attack
    return told(component, attack, KnownDefence(norm_bound(defence)), info)


def attack_of(component: Component, info: DatasetInfo, where: str = "attack") -> Attack:
    """An attack as it is before it is told of any defence.

    Args:
        where: the field of the config, for errors.
    """
    return checked_attack(component.label, build_attack(component, info, where), info)


def told(component: Component, attack: Attack, defence: KnownDefence, info: DatasetInfo) -> Attack:
    """What an attack of this component is when it knows the defence."""
    if attack.knowing is None:
        return attack
    learned = guarded("attack", component, attack.knowing(defence), "attack")
    return checked_attack(component.label, learned, info)
