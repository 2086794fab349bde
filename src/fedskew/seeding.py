"""Independent random streams: every draw of a run comes from ``stream(seed, purpose, *ids)``.

There is no global random state: a stream depends only on its name, so neither the order in which things are
done nor what else is drawn can change it (docs/design.md, rule 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _sequence(seed: int, purpose: str, ids: tuple[int, ...]) -> np.random.SeedSequence:
    if min(seed, *ids, 0) < 0:
        raise ValueError(f"seed and ids must be non-negative, got {(seed, *ids)}")
    # Hashed, so that a new purpose never renumbers the others, and so that a component that gets a generator (a
    # defence, say) cannot read the run's seed from it and redraw who is malicious.
    digest = hashlib.sha256(repr((seed, purpose, *(int(i) for i in ids))).encode()).digest()
    return np.random.SeedSequence(int.from_bytes(digest[:16], "little"))


def stream(seed: int, purpose: str, *ids: int) -> np.random.Generator:
    """An independent generator.

    Args:
        seed: the run's seed, >= 0.
        purpose: what the draws are for, e.g. ``"split"`` or ``"batches"``.
        ids: what tells this stream from others of the same purpose, e.g. round and client; each >= 0.

    Returns:
        A generator that is a pure function of the arguments.
    """
    return np.random.Generator(np.random.PCG64DXSM(_sequence(seed, purpose, ids)))


def stream_seed(seed: int, purpose: str, *ids: int) -> int:
    """A 63-bit seed for generators that are not NumPy's; a pure function of the arguments."""
    return int(_sequence(seed, purpose, ids).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def torch_seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seeds PyTorch's default generators (the CPU's, and a CUDA device's) inside the block and restores them.

    ``nn.Module`` initialisers and functional dropout use no other source of randomness; this keeps them
    reproducible and leaves the caller's random state as it was.
    """
    import torch

    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
