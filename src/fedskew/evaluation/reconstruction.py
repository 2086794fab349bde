"""How good reconstructed images are, compared with the true ones; both float [n, channels, height, width] in 0 .. 1."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def paired(found: Tensor, truth: Tensor) -> Tensor:
    """The reconstructions in the order of the true images: the order with the smallest sum of squared errors.

    An update does not say in which order its images came.
    """
    errors = torch.cdist(truth.flatten(1).double(), found.flatten(1).double()).square()
    _, order = linear_sum_assignment(errors.cpu().numpy())
    return found[torch.from_numpy(order).to(found.device)]


def psnr(found: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, float64 [n] in dB; infinite where nothing differs.

    Formula: 10 log10(1 / mean squared error), for pixels in 0 .. 1
    """
    return -10 * (found.double() - truth.double()).square().flatten(1).mean(dim=1).log10()


def identified(found: Tensor, candidates: Tensor, positions: Tensor) -> float:
    """The share of the reconstructions whose nearest candidate is the true image; 1 / N by guessing.

    Args:
        found: ``paired`` with the true images, so that two that show the same image count once.
        candidates: float [N, ...], the true images and others.
        positions: int64 [n], where the true images stand among the candidates.
    """
    distances = torch.cdist(found.flatten(1).double(), candidates.flatten(1).double())
    return float((distances.argmin(dim=1) == positions).double().mean())
