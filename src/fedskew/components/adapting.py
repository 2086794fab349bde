"""Which attacks make use of what they may know of a defence: what counts as an adaptive attack on it."""

from __future__ import annotations

from fedskew.components.known import facts_of, norm_bound, options_of, threat_model, wrapped
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Defence
from fedskew.protocols import THREAT_MODELS


def adapts(attack: Component, threat: str, defence: Defence) -> bool:
    """Whether adversaries try their updates on this defence, or train as it suggests; of a plug-in, whether they may.

    An attack around another one may know the defence and do nothing with it: ``pgd`` without a norm to keep to.

    Args:
        threat: the name of the threat model under which the attack was carried out.
    """
    if threat not in THREAT_MODELS or not THREAT_MODELS[threat].knows_defence:
        return False
    facts = facts_of("attack", attack)
    held = wrapped("attack", attack, facts)
    if held is None or attack.label not in BUILT_IN["attack"]:
        return True
    own = facts.adapts is not None and facts.adapts(options_of("attack", attack), norm_bound(defence))
    return own or adapts(held, threat_model(held), defence)
