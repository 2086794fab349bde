"""PGD: adversaries whose local weights stay in a ball around the start weights, wrapped around another attack."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedskew.attacks.needs import of_radius
from fedskew.attacks.projection import ball
from fedskew.attacks.wrapping import MoreKnown, changed, inner_attack, training
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, KnownDefence


def pgd(
    info: DatasetInfo,
    *,
    of: Component,
    radius: Annotated[float, Field(gt=0)] | None = None,
    threat_model: MoreKnown = None,
) -> Attack:
    """After every step of the training of ``of``, the weights are projected onto a ball around the start.

    Formula: w <- start + (w - start) * min(1, radius / ||w - start||_2)

    So the norm of an adversary's update is at most the radius: a defence that clips at it leaves the update as it is.
    Weights inside the ball keep their bits, so that a radius that is never reached changes nothing. The authors
    project after every k-th batch and the last one; here it is after every one. Around an attack whose adversaries send
    nothing of their own training (``ipm``, ``mimic`` and the like) it is refused when the config is read.

    Args:
        of: the attack whose adversaries train so.
        radius: > 0, in the unit of the weights; unless given, the norm to which the defence clips updates, which only
            adversaries under "knows-the-defence" know. Against one that clips to no number that is known before a
            round ("fedavg", "flame", clip with norm = "median"), they train as those of ``of`` do.
        threat_model: what they know, where it is more than ``of`` needs.

    Raises:
        ConfigError: no radius, and the threat model does not know the defence.

    Reference: Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning", NeurIPS 2020.

    >>> from fedskew import craft
    >>> craft("pgd", [[1.0, 0.0]], of="sign-flip", radius=0.5)  # what is sent is the business of ``of``
    tensor([[-1., -0.]])
    """
    inner = inner_attack(of, info, threat_model)
    if why := of_radius(radius, inner.threat.knows_defence):
        raise ConfigError(f"attack 'pgd' {why}")
    if radius is not None:
        bound = ball(radius)
        return changed(inner, lambda attack: training(attack, bound))

    def knowing(defence: KnownDefence) -> Attack:
        told = inner if inner.knowing is None else inner.knowing(defence)
        return told if defence.norm_bound is None else training(told, ball(defence.norm_bound))

    return replace(inner, knowing=knowing)
