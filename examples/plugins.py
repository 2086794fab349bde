"""Plug-ins of every size: one for each seam that takes more than a line. docs/plugins.md says how to name them."""

import numpy as np
import torch
from torch import Tensor, nn

from fedskew import AdversaryView, Attack, DatasetInfo, Evaluation, FedskewError
from fedskew.protocols import (
    Crafted,
    LocalObjective,
    LocalView,
    PersonalModel,
    SelectionView,
    ServerStep,
    State,
)


def sleeper(info: DatasetInfo, *, factor: float = 1.0, rounds: int = 3) -> Attack:
    """Honest for `rounds` rounds; then the adversaries send their update with the opposite sign."""

    def craft(deltas: Tensor, view: AdversaryView, rng: np.random.Generator) -> Crafted:
        seen = view.state["rounds"]
        awake = bool(seen >= rounds)
        return Crafted(-factor * deltas if awake else deltas, state={"rounds": seen + 1})

    return Attack(craft=craft, init=lambda: {"rounds": torch.tensor(0)})


def anchored(*, strength: float = 0.1) -> LocalObjective:
    """Clients are pulled towards zero weights and stay in a box of side 2 around the start weights."""

    def add(gradient: Tensor, view: LocalView) -> None:
        gradient.add_(view.weights, alpha=strength)

    def project(weights: Tensor, view: LocalView) -> None:
        weights.clamp_(view.start - 1, view.start + 1)

    return LocalObjective(add=add, project=project)


def leashed(*, radius: float = 1.0, epochs: int = 1) -> PersonalModel:
    """Each client fine-tunes the global model, within a distance of it."""

    def project(weights: Tensor, view: LocalView) -> None:
        away = weights - view.sent["global"]
        length = away.norm(dim=-1, keepdim=True)
        weights.copy_(view.sent["global"] + away * (radius / length).clamp(max=1))

    return PersonalModel(epochs, LocalObjective(project=project))


def round_robin(view: SelectionView, rng: np.random.Generator) -> list[int]:
    """Every client in turn."""
    first = (view.round - 1) * view.size
    return [(first + k) % view.num_clients for k in range(view.size)]


def averaged(*, beta: float = 0.5) -> ServerStep:
    """The server moves by an exponential average of the aggregated updates."""

    def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
        mean = beta * state["mean"] + (1 - beta) * delta if state else delta
        return mean, {"mean": mean}

    return ServerStep(apply)


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
