"""The number formats that local training may use: float32, or by name a coarser one (``training.precision``).

``float32``   every product and sum in IEEE single precision, also on tensor cores' hardware (the default).
``tf32``      CUDA devices may round the factors of products to 10 bits; elsewhere it is float32.
``bfloat16``  forward and backward pass under autocast; weights, gradients' sums, optimiser and server stay float32.

Evaluation is always float32, so that measurements do not depend on the format of training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from fedskew.config import Precision


@contextmanager
def precision(name: Precision, device: torch.device) -> Iterator[None]:
    """Products inside the block are done in the given format; the previous settings are restored after it."""
    if device.type != "cuda":  # the CUDA settings are global: threads that train on the CPU do not touch them
        with _autocast(name, device):
            yield
        return
    cudnn: Any = torch.backends.cudnn
    settings = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if name == "tf32" else "ieee"
    try:
        with _autocast(name, device):
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def _autocast(name: Precision, device: torch.device) -> AbstractContextManager[Any]:
    # Without a cache of converted weights, which would outlive a captured graph.
    if name != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
