"""What the components of an experiment need of each other and of the rest of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fedskew.components.around import check_around
from fedskew.components.known import (
    facts_of,
    fewest_updates,
    lacking,
    looks_at,
    merges_clients,
    most_updates,
    options_of,
    uses_what_is_sent,
    with_inner,
    with_updates,
)
from fedskew.components.local import check_local
from fedskew.components.measured import check_measured
from fedskew.components.secure import check_sums
from fedskew.config import Component, Defence, Experiment, Property
from fedskew.errors import ConfigError


def check_together(experiment: Experiment, components: Sequence[tuple[str, str, Component]]) -> None:
    """Refuses an experiment whose components lack what they need. Of a plug-in, only what is known so far.

    Args:
        components: all of the experiment's, as (field, kind, component).

    Raises:
        ConfigError: names the field.
    """
    _check_needs(experiment, components)
    _check_suited(experiment)
    _check_losses(experiment)
    check_measured(experiment)
    _check_named_once(experiment)
    _check_schedule(experiment)
    _check_selection(experiment)
    _check_attack(experiment)
    check_around(experiment)
    _check_privacy(experiment)
    _check_property(experiment)
    _check_single_clients(experiment.defence)
    check_local(experiment.defence)
    check_sums(experiment)
    check_updates(
        experiment.defence,
        experiment.clients.per_round,
        "there are",
        "take more clients per round, or change its options",
    )


def check_updates(defence: Defence, arriving: int, there: str, hint: str) -> None:
    """Refuses a defence that cannot work on so many updates in a round.

    Args:
        arriving: updates of a round.
        there: what stands before the number of updates in the sentence.

    Raises:
        ConfigError: names the field.
    """
    for where, kind, component, updates in with_updates(defence, arriving):
        fewest, most = fewest_updates(kind, component), most_updates(kind, component)
        if fewest <= updates <= most:
            continue
        facts, few = facts_of(kind, component), updates < fewest
        options = ", ".join(f"{name} = {value}" for name, value in component.options.items())
        needed = f"needs {fewest:g} or more updates" if few else f"works on at most {most:g} updates"
        why = facts.clients_why if few else facts.most_why
        at_most = _at_most(kind, component, updates) if few else ""
        raise ConfigError(
            f"{where}: {component.label!r}{options and f' with {options}'} {needed} in a round, and {there} {updates}"
            + (f": {why}" if why else ""),
            hint.replace("change its options", f"change its options{at_most}")
            if few
            else "take fewer clients per round, or change its options",
            where,
        )


def _check_needs(experiment: Experiment, components: Sequence[tuple[str, str, Component]]) -> None:
    """Of a method that has several parts, all are there."""
    for where, kind, component in components:
        for field, name in facts_of(kind, component).needs.items():
            there: Any = experiment
            for part in field.split("."):
                there = getattr(there, part)
            found = there.label if isinstance(there, Component) else there
            if found != name:
                raise ConfigError(
                    f"{where}: {component.label!r} is a part of a method that also needs {field} = {name!r}, and "
                    f"that is {found!r}",
                    f"set {field} = {name!r} too, or change {where}",
                    where,
                )


def _check_suited(experiment: Experiment) -> None:
    """Transforms that count on how clients train are told the truth of it."""
    for number, component in enumerate(experiment.defence.transforms):
        unsuited = facts_of("transform", component).unsuited
        if unsuited and (why := unsuited(options_of("transform", component), experiment.training.optimizer)):
            where = f"defence.transforms[{number}]"
            raise ConfigError(f"{where}: {component.label!r} {why}", field=where)


def _at_most(kind: str, component: Component, updates: int) -> str:
    """The largest value of each option with which a component that needs more updates could work on these, e.g.
    " (f = 3 at most)"; "" where there is none."""
    found = []
    for name, value in component.options.items():
        if isinstance(value, int) and not isinstance(value, bool):
            for smaller in range(min(value - 1, updates), -1, -1):
                other = Component.model_validate({"name": component.name, **component.options, name: smaller})
                if fewest_updates(kind, other) <= updates:
                    found.append(f"{name} = {smaller}")
                    break
    return f" ({' or '.join(found)} at most)" if found else ""


def _check_privacy(experiment: Experiment) -> None:
    """An aggregator that states a privacy counts its own result: nothing else may depend on what clients send."""
    rule = experiment.defence.aggregator
    if not facts_of("aggregator", rule).private:
        return
    others = (
        ("defence.learning_rate", "learning-rate", experiment.defence.learning_rate),
        ("clients.selection", "selection", experiment.clients.selection),
        ("training.objective", "objective", experiment.training.objective),
    )
    using = [(where, component) for where, kind, component in others if uses_what_is_sent(kind, component)]
    using += [
        (where, component)
        for where, kind, component in (
            ("stopping", "stopping", experiment.stopping),
            ("training.lr_schedule", "lr-schedule", experiment.training.lr_schedule),
        )
        if "train_loss" in looks_at(kind, component)
    ]
    using += [("defence.transforms", transform) for transform in experiment.defence.transforms]
    for where, component in using:
        raise ConfigError(
            f"{where}: {component.label!r} makes use of what clients send, so the privacy that {rule.label!r} states "
            "would not hold; it must be the only part that does",
            f"leave {where} at its default, or use another aggregator",
            where,
        )


def _check_property(experiment: Experiment) -> None:
    """An attack that looks for a planted property needs one, and clients with it and without."""
    planted, clients = experiment.privacy.property, experiment.clients.count
    for i, attack in enumerate(experiment.privacy.attacks):
        if planted is None and facts_of("privacy-attack", attack).planted:
            raise ConfigError(
                f"privacy.attacks[{i}]: {attack.label!r} looks for clients that hold a planted property, and there is "
                "no privacy.property",
                'plant one, for example with privacy.property = "inverted"',
                "privacy.attacks",
            )
    if planted is not None:
        honest = clients - experiment.adversaries.count
        check_holders(planted, honest, f"there are {honest}")


def check_holders(planted: Property, clients: int, there: str) -> None:
    """Refuses a property that fewer than two honest clients have, or that fewer than two lack.

    Args:
        clients: honest clients that can have it.
        there: how many these are, as the end of a sentence.

    Raises:
        ConfigError: names the field.
    """
    have = planted.holders(clients)
    if have < 2 or clients - have < 2:
        raise ConfigError(
            f"privacy.property.clients = {planted.clients}: of the honest clients at least two must hold the property "
            f"and two not, and {there}: {have} would hold it and {clients - have} not",
            "more honest clients, or a share nearer to 0.5",
            "privacy.property.clients",
        )


def _check_single_clients(defence: Defence) -> None:
    """What a rule needs of single clients must still be there when its turn comes."""
    merging = None
    # It makes no difference how many updates there are.
    for where, kind, component, _ in with_updates(defence, 1):
        needed = facts_of(kind, component).each_client
        if needed and merging is not None:
            raise ConfigError(
                f"{where}: {component.label!r} needs {needed}, and {merging.label!r} before it makes one update of "
                "several clients",
                f"leave out {merging.label!r}" + (", or put it last" if kind == "transform" else ""),
                where,
            )
        if kind == "transform" and merges_clients(component):
            merging = component


def _check_losses(experiment: Experiment) -> None:
    """Whatever looks at the validation loss needs a validation split."""
    for where, kind, component in (
        ("stopping", "stopping", experiment.stopping),
        ("training.lr_schedule", "lr-schedule", experiment.training.lr_schedule),
    ):
        seen = looks_at(kind, component)
        if "validation_loss" in seen and not experiment.data.validation:
            option = seen["validation_loss"]
            raise ConfigError(
                f"{where} looks at validation_loss, which is not measured without a validation split",
                "hold one out, for example with data.validation = 0.1",
                f"{where}.{option}" if option else where,
            )


def _check_named_once(experiment: Experiment) -> None:
    """What privacy attacks find has their names."""
    named = [re.sub(r"\W+", "_", attack.label) for attack in experiment.privacy.attacks]
    for place, name in enumerate(named):
        if name in named[:place]:
            raise ConfigError(
                f"privacy.attacks[{place}]: {experiment.privacy.attacks[place].label!r} is there twice, and what both "
                "find would have the same names",
                "take one of them, or make a study with an axis over the option",
                f"privacy.attacks[{place}]",
            )


def _check_schedule(experiment: Experiment) -> None:
    start, stop = experiment.adversaries.start, experiment.adversaries.stop
    if stop is not None and start > stop:
        raise ConfigError(
            f"adversaries.start = {start} is after adversaries.stop = {stop}: they would never act",
            "for a run without adversaries, adversaries.count = 0",
            "adversaries.start",
        )


def _check_selection(experiment: Experiment) -> None:
    """A cohort is chosen from at least as many clients as it has, and from no more than there are."""
    clients = experiment.clients
    option = facts_of("selection", clients.selection).pool
    pool = None if option is None else options_of("selection", clients.selection).get(option)
    if isinstance(pool, int | float) and not clients.per_round <= pool <= clients.count:
        where = f"clients.selection.{option}"
        raise ConfigError(
            f"{where} = {pool}: must be at least the {clients.per_round} clients of a round and at most all "
            f"{clients.count} clients",
            field=where,
        )


def _check_attack(experiment: Experiment) -> None:
    """An attack, and each that it wraps, can do something with these clients, adversaries and uploads."""
    adversaries, clients = experiment.adversaries.count, experiment.clients
    objective = experiment.training.objective
    for where, kind, component in with_inner("attack", "attack", experiment.attack):
        why = lacking(kind, component, clients.per_round, adversaries, clients.count) if adversaries else ""
        if why:
            raise ConfigError(f"{where}: {component.label!r} {why}", field=where)
        nothing = adversaries and facts_of("objective", objective).blind
        if nothing and facts_of(kind, component).on_uploads:
            raise ConfigError(
                f"{where}: {component.label!r} changes what adversaries upload for the objective, and with "
                f"training.objective = {objective.label!r} clients upload nothing",
                "take an objective that uploads something, for example training.objective = 'scaffold'",
                where,
            )
