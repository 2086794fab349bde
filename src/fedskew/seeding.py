"""Independent random streams: every draw of a run comes from ``stream(seed, purpose, *ids)``.

There is no global random state: a stream depends only on its name, so neither the order in which things are
done nor what else is drawn can change it (DESIGN.md, rule 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def _sequence(seed: int, purpose: str, ids: tuple[int, ...]) -> np.random.SeedSequence:
    # The purpose is hashed rather than numbered, so that adding one never renumbers the others.
    digest = hashlib.sha256(purpose.encode()).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest[:16], "little"), *ids])


def stream(seed: int, purpose: str, *ids: int) -> np.random.Generator:
    """An independent generator.

    Args:
        seed: the run's seed, >= 0.
        purpose: what the draws are for, e.g. ``"split"`` or ``"batches"``.
        ids: what tells this stream from others of the same purpose, e.g. round and client; each in 0 .. 2**32 - 1.

    Returns:
        A generator that is a pure function of the arguments.
    """
    return np.random.Generator(np.random.PCG64DXSM(_sequence(seed, purpose, ids)))


def stream_seed(seed: int, purpose: str, *ids: int) -> int:
    """A 63-bit seed for generators that are not NumPy's; a pure function of the arguments."""
    return int(_sequence(seed, purpose, ids).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seeds PyTorch's default CPU generator inside the block and restores it behind it.

    ``nn.Module`` initialisers and functional dropout know no other source of randomness; this keeps them
    reproducible without leaving a trace in the caller's random state.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
