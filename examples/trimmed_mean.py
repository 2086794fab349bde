"""Your own defence: the trimmed mean (Yin et al. 2018). `fedskew study my-defence.toml --allow-plugin trimmed_mean`."""

from torch import Tensor

from fedskew import ClientUpdates, ServerView


def trimmed_mean(updates: ClientUpdates, view: ServerView, *, fraction: float = 0.2) -> Tensor:
    """Drops the largest and the smallest `fraction` of each coordinate, then averages."""
    cut = int(fraction * len(updates.deltas))
    ordered = updates.deltas.sort(dim=0).values
    return ordered[cut : len(ordered) - cut].mean(dim=0)
