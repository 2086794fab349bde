"""Sign flip: adversaries send their update with the opposite sign."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from fedskew.protocols import AdversaryView, Attack, DatasetInfo


def sign_flip(info: DatasetInfo, *, scale: Annotated[float, Field(gt=0)] = 1.0) -> Attack:
    """Each adversary sends its own update with the opposite sign; its training is honest.

    Formula: delta <- -scale * delta

    The sign of the update changes, not that of the weights. The mean of S updates of equal length, A of them
    malicious, changes its direction only if scale > (S - A) / A.

    Args:
        scale: the factor of an adversary's own update.

    Reference: Damaskinos et al., "Asynchronous Byzantine Machine Learning", ICML 2018; Li et al., "RSA", AAAI 2019,
    section 5.

    >>> from fedskew import craft
    >>> craft("sign-flip", [[1.0, 2.0]], own=[[3.0, -1.0]], scale=2.0)
    tensor([[-6.,  2.]])
    """

    def flip(deltas: Tensor, view: AdversaryView, rng: np.random.Generator) -> Tensor:
        return -scale * deltas

    return Attack(craft=flip)
