"""Adversaries' views, and what attacks craft from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedskew.protocols import AdversaryView, Attack, Crafted, ParameterLayout


def view(weights: Tensor, adversaries: int = 1, **known: Any) -> AdversaryView:
    counts = torch.ones(adversaries, dtype=torch.int64)
    layout = ParameterLayout(("w",), (tuple(weights.shape),))
    return AdversaryView(1, weights, layout, torch.arange(adversaries), counts, **known)


def crafted(attack: Attack, deltas: Tensor, seen: AdversaryView, seed: int = 0) -> Crafted:
    found = attack.craft(deltas, seen, np.random.default_rng(seed))
    return found if isinstance(found, Crafted) else Crafted(found)
