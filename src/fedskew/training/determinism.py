"""Operations for which PyTorch does not promise the same bits in each repeat, found by a trial step.

On CUDA some backward passes add in the order that threads arrive (adaptive pooling, some scatters). For convolutions
this is switched off (``world``); for the rest, a run says so in its record.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import torch

HARMLESS = ("max_pool2d_with_indices_backward",)
"""PyTorch lists them because of overlapping windows; where windows do not overlap, nothing is added."""


def unrepeatable(step: Callable[[], object]) -> list[str]:
    """The names of such operations in a step, which is done once.

    Overlapping max-pooling windows are not reported: they are among ``HARMLESS``.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        memory.fill_uninitialized_memory = filled
    names = [
        match.group(1)
        for item in caught
        if (match := re.match(r"(\S+) does not have a deterministic implementation", str(item.message)))
    ]
    return [name for name in dict.fromkeys(names) if not name.startswith(HARMLESS)]
