"""What attacks share that change how another attack's adversaries train, or what they send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from torch import Tensor

from fedskew.attacks.joined import joined
from fedskew.components.attacking import attack_of, told
from fedskew.components.returned import checked_crafted, unchanged
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.protocols import (
    THREAT_MODELS,
    AdversaryView,
    Attack,
    Crafted,
    DatasetInfo,
    KnownDefence,
    LocalObjective,
    Rng,
    ThreatModel,
    keep_updates,
)

MoreKnown = Literal["all-updates", "knows-the-defence"] | None
"""An option ``threat_model``: what a wrapper's adversaries know, where it is more than what it wraps needs."""


def inner_attack(of: Component, info: DatasetInfo, threat_model: MoreKnown = None) -> Attack:
    """The attack that is wrapped, with adversaries that know at least so much. What it crafts is checked.

    What they know beyond the threat model of ``of`` is for the wrapper: ``of`` crafts from what it sees alone, and is
    told of the defence only if its own threat model knows it.

    Args:
        of: a component of the kind "attack".

    Raises:
        ConfigError: it does not fit the data set.
    """
    attack = attack_of(of, info, where="attack.of")
    if not attack.threat.knows_defence:
        attack = replace(attack, knowing=None)

    def knowing(defence: KnownDefence, known: Attack = attack) -> Attack:
        return told(of, known, defence, info)

    def prepare(attack: Attack) -> Attack:
        return _checked(of, _knowing_more(attack, threat_model))

    return changed(attack if attack.knowing is None else replace(attack, knowing=knowing), prepare)


def changed(attack: Attack, change: Callable[[Attack], Attack]) -> Attack:
    """``change(attack)``; where the defence is known, ``change`` of the attack that knows it."""
    learn, made = attack.knowing, change(attack)
    return made if learn is None else replace(made, knowing=lambda defence: change(learn(defence)))


def sending(attack: Attack, change: Callable[[Crafted, AdversaryView], Crafted]) -> Attack:
    """An attack whose adversaries send ``change`` of what they would have sent."""
    before = attack.craft

    def craft(deltas: Tensor, view: AdversaryView, rng: Rng) -> Crafted:
        made = before(deltas, view, rng)
        return change(made if isinstance(made, Crafted) else Crafted(made), view)

    return replace(attack, craft=craft)


def training(attack: Attack, objective: LocalObjective) -> Attack:
    """An attack whose adversaries follow this local objective after their own."""
    return replace(attack, objective=joined(attack.objective, objective))


def _knowing_more(attack: Attack, threat_model: MoreKnown) -> Attack:
    if threat_model is None or _knowledge(attack.threat) >= _knowledge(THREAT_MODELS[threat_model]):
        return attack
    before, threat = attack.craft, attack.threat
    if before is keep_updates:
        return replace(attack, threat_model=threat_model)

    def craft(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor | Crafted:
        return before(deltas, _cut_down(view, threat), rng)

    return replace(attack, craft=craft, threat_model=threat_model)


def _cut_down(view: AdversaryView, threat: ThreatModel) -> AdversaryView:
    """What adversaries under this threat model see of a view."""
    if threat.sees != "all-updates":
        view = replace(view, others=None, other_ids=None)
    return view if threat.knows_defence else replace(view, simulate=None)


def _knowledge(threat: ThreatModel) -> tuple[bool, bool]:
    return threat.sees == "all-updates", threat.knows_defence


def _checked(of: Component, attack: Attack) -> Attack:
    """An attack whose crafted rows are what they must be when a wrapper gets them, and that leaves the wrapper what it
    sees."""
    before, name, thorough = attack.craft, of.label, of.label not in BUILT_IN["attack"]
    if before is keep_updates:
        return attack

    def craft(deltas: Tensor, view: AdversaryView, rng: Rng) -> Crafted:
        with unchanged(f"attack {name!r}: craft", replace(view, state=None), thorough=thorough):
            found = before(deltas, view, rng)
        return checked_crafted(name, found, deltas, view.uploads)

    return replace(attack, craft=craft)
