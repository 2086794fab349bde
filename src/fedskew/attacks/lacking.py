"""What makes an attack useless whatever happens in a run (``Facts.lacking``). Imports no PyTorch.

Each function is (options, clients of a round n, adversaries of the run A, clients of the run N) -> why, as a clause
about the attack, or "". Where cohorts are sampled, a round in which the attack acts may have any number of adversaries
from max(1, n - (N - A)) to min(n, A); these look at the number that suits the attack best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedskew.attacks.needs import of_factor, of_norm, of_radius
from fedskew.attacks.quantile import largest_z
from fedskew.wording import count


def flips_nothing(options: Mapping[str, Any], *_: int) -> str:
    """Label flips: classes that are missing, or that the map has no use for."""
    given = [name for name in ("source", "target") if options.get(name) is not None]
    if options["map"] != "pair":
        return f"takes no {given[0]} with map = {options['map']!r}, only with map = 'pair'" if given else ""
    if len(given) < 2:
        return "needs source and target with map = 'pair'"
    same = options["source"] == options["target"]
    return f"flips nothing: its source and its target are both {options['source']!r}" if same else ""


def sees_one(options: Mapping[str, Any], clients: int, adversaries: int, everybody: int) -> str:
    """Attacks that stay within the spread of the updates that they see, of which one alone has none."""
    own = options.get("threat_model") == "own-updates"
    seen = min(adversaries, clients) if own else min(everybody - adversaries, clients - 1)
    if seen > 1:
        return ""
    whose = "the adversaries' own" if own else "the honest"
    cohort = count(clients, "client") if clients == everybody else f"{clients} of {everybody} clients"
    return (
        f"needs two of {whose} updates in a round to see how far they spread, and with {cohort} in a round and "
        f"{_who(adversaries)} in the run there is {'one' if seen else 'none'}"
    )


def goes_beyond_one(options: Mapping[str, Any], *numbers: int) -> str:
    """Fang et al.: as ``sees_one`` where the adversaries see their own updates; a single honest one has extremes."""
    return sees_one(options, *numbers) if options["threat_model"] == "own-updates" else ""


def goes_nowhere(options: Mapping[str, Any], clients: int, adversaries: int, everybody: int) -> str:
    """ALIE: as ``sees_one``, or a formula whose z is not above 0."""
    if why := sees_one(options, clients, adversaries, everybody):
        return why
    if options.get("z") is not None:
        return ""
    if options["threat_model"] == "own-updates":
        return "needs z with threat_model = 'own-updates': without the number of clients there is no formula for it"
    z = largest_z(clients, adversaries)
    if z > 0:
        return ""
    return (
        f"would send the mean of the honest updates, which does no harm: for {_who(adversaries)} and "
        f"{count(clients, 'client')} in a round its formula gives z = {z:.2g}, and z must be above 0; z = ... can be "
        "given, for example z = 1.5"
    )


def without_a_radius(options: Mapping[str, Any], *_: int) -> str:
    """PGD: the radius of a defence that is not known."""
    return of_radius(options["radius"], options["threat_model"] == "knows-the-defence")


def without_a_factor(options: Mapping[str, Any], *_: int) -> str:
    """Model replacement: the factor against a defence that is not known."""
    return of_factor(options["factor"], options["threat_model"] == "knows-the-defence")


def to_the_median(options: Mapping[str, Any], *_: int) -> str:
    """Train-and-scale: the median of norms that are not seen."""
    return of_norm(options["norm"], options["threat_model"] in ("all-updates", "knows-the-defence"))


def _who(adversaries: int) -> str:
    return count(adversaries, "adversary", "adversaries")
