"""A group's batch plan as tensors: built on the host, sent to the device in one copy each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedskew.training.arithmetic import step_seeds
from fedskew.training.plan import ClientWork


@dataclass(frozen=True)
class Batches:
    """The work of R clients in T steps.

    Attributes:
        positions: int64 [R, T, batch] in the population's images; after a short batch, 0.
        counts: int64 [R, T], the images of each batch; 0 where a client is done.
        seeds: int64 [R, T], of the dropout masks.
    """

    positions: Tensor
    counts: Tensor
    seeds: Tensor


def batches(jobs: Sequence[ClientWork], steps: int, batch: int) -> Batches:
    """The plan of these clients, in their order.

    Args:
        steps, batch: T and the width, at least what the jobs need.
    """
    counts = torch.zeros(len(jobs), steps, dtype=torch.int64)
    seeds = torch.zeros(len(jobs), steps, dtype=torch.int64)
    for row, job in enumerate(jobs):
        counts[row, : len(job.batches)] = torch.tensor([len(part) for part in job.batches])
        seeds[row, : len(job.batches)] = torch.from_numpy(step_seeds(job.seed, len(job.batches)))
    positions = torch.zeros(len(jobs), steps, batch, dtype=torch.int64)
    positions[torch.arange(batch) < counts[:, :, None]] = torch.cat([p for job in jobs for p in job.batches])
    return Batches(positions, counts, seeds)


def staged(tensor: Tensor, device: torch.device) -> Tensor:
    """On a device, without making the host wait: a CUDA device reads page-locked memory when it is ready."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def ranks(work: Sequence[ClientWork]) -> list[int]:
    """Positions in ``work``, those with the most steps first: the clients that have a batch in a step come first."""
    lengths = np.array([len(job.batches) for job in work])
    return [int(i) for i in np.argsort(-lengths, kind="stable")]
