"""The densest group that more than half of some points make up: what HDBSCAN finds when it may find only one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor


def majority(distances: Tensor) -> Tensor:
    """Which of S points belong to the first group of single linkage that holds more than half of them, bool [S].

    As the allowed distance grows from 0, points within it of each other join. The group is the one that is first to
    hold S // 2 + 1 points, so there is always exactly one; points that join it at the same distance belong to it.
    It is the cluster of HDBSCAN (Campello et al. 2013) with ``min_cluster_size = S // 2 + 1``, ``min_samples = 1`` and
    ``allow_single_cluster``: no two clusters of that size can exist, so the tree has one branch, and a distance to the
    nearest neighbour is never above another distance.

    Args:
        distances: [S, S], symmetric, not negative.

    The points 0, 1 and 2.5 are more than half of five as soon as a distance of 1.5 is allowed.

    >>> points = torch.tensor([0.0, 1.0, 2.5, 10.0, 12.0])
    >>> majority((points - points[:, None]).abs())
    tensor([ True,  True,  True, False, False])
    """
    count = len(distances)
    order, steps = _nearest_first(distances.cpu().numpy())
    size = count // 2 + 1
    allowed = sliding_window_view(steps, size - 1).max(axis=1, initial=0.0).min()
    groups = np.concatenate([[0], np.cumsum(steps > allowed)])
    kept = torch.zeros(count, dtype=torch.bool)
    kept[order] = torch.from_numpy(groups == np.bincount(groups).argmax())
    return kept.to(distances.device)


def _nearest_first(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points in the order in which Prim's algorithm adds them to a minimum spanning tree, [S], and the distance
    over which it reaches each but the first, [S - 1].

    Whatever distance is allowed, a group is a stretch of this order without a longer step: a point outside of it is
    added only when no one within reach is left.
    """
    count = len(distances)
    order, steps = [0], []
    reach = distances[0].copy()
    outside = np.arange(count) > 0
    for _ in range(count - 1):
        nearest = int(np.where(outside, reach, np.inf).argmin())
        order.append(nearest)
        steps.append(reach[nearest])
        outside[nearest] = False
        reach = np.minimum(reach, distances[nearest])
    return np.array(order), np.array(steps, dtype=float)
