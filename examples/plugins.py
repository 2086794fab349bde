"""Four plug-ins of one's own: an attack, a split, a model, a metric. docs/plugins.md says how to name them."""

import numpy as np
from torch import Tensor, nn

from fedskew import AdversaryView, Attack, DatasetInfo, Evaluation, FedskewError


def sign_flip(info: DatasetInfo, *, factor: float = 1.0) -> Attack:
    """The adversaries send what they have learnt with the sign turned, `factor` times as long."""

    def craft(deltas: Tensor, view: AdversaryView, rng: np.random.Generator) -> Tensor:
        return -factor * deltas

    return Attack(craft=craft)


def even_odd(labels: np.ndarray, num_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The first half of the clients hold the even classes, the others the odd ones."""
    if num_clients < 2:
        raise FedskewError("even_odd needs two clients or more")
    order, half = rng.permutation(len(labels)), num_clients // 2
    even = labels[order] % 2 == 0
    return [*np.array_split(order[even], half), *np.array_split(order[~even], num_clients - half)]


def norm_cnn(info: DatasetInfo, *, width: int = 8) -> nn.Module:
    """A convolution with batch normalisation and a linear layer."""
    channels, rows, columns = info.image_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * rows * columns, info.num_classes),
    )


def share_of_zero(evaluation: Evaluation) -> dict[str, float]:
    """The share of the test images that are taken for class 0."""
    return {"share_of_zero": float((evaluation.clean.classes == 0).double().mean())}
