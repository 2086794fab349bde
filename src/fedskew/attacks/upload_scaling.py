"""Upload scaling: adversaries change what they upload for the objective, and leave their updates as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from fedskew.attacks.wrapping import changed, inner_attack, sending
from fedskew.config import Component
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo

Factor = Annotated[float, Field(ge=-1e6, le=1e6)]


def upload_scaling(info: DatasetInfo, *, of: Component, factor: Factor) -> Attack:
    """The adversaries of ``of`` upload a multiple of what they would upload for the local objective.

    Formula: upload <- factor * upload

    An objective with a part on the server (SCAFFOLD's control variates, FedCurv's curvatures) is a second channel
    beside the deltas, which no built-in aggregator looks at. This attack uses that channel alone: with ``of = "none"``
    the deltas are honest ones. What the adversaries keep for themselves stays what their training gave.

    With SCAFFOLD, c moves by factor/K times each adversary's change of its control variate. With 0 their part is
    missing in c; above 1 all clients follow the adversaries' gradients more than SCAFFOLD means them to, below 0 they
    go against them. BadSFL adds tampering with control variates to a backdoor too, but by a prediction of where the
    global model goes, which this is not.

    Args:
        of: the attack whose adversaries upload so.
        factor: -1e6 to 1e6; 1 is ``of`` itself, bit for bit.

    Refused with an objective that uploads nothing, and with an attack, inside this one or around it, whose adversaries
    follow an objective of their own instead (``pgd`` and ``neurotoxin``, for example).

    Reference: Han et al., "Mind the Cost of Scaffold! Benign Clients May Even Become Accomplices of Backdoor Attack",
    ICCV 2025 (BadSFL).

    The updates are those of ``of``:

    >>> from fedskew import craft
    >>> craft("upload-scaling", [[1, 2], [3, 4]], of={"name": "sign-flip"}, factor=-5)
    tensor([[-2., -3.]])
    """

    return changed(inner_attack(of, info), lambda attack: scaled(attack, factor))


def scaled(attack: Attack, factor: float) -> Attack:
    """The attack with so many times what it would have uploaded."""
    if factor == 1:
        return attack

    def upload(sent: Crafted, view: AdversaryView) -> Crafted:
        before = view.uploads if sent.uploads is None else sent.uploads
        return replace(sent, uploads={name: (factor * each).to(each.dtype) for name, each in before.items()})

    return sending(attack, upload)
