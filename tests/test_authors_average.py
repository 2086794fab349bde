"""The average that the authors' code takes, written independently of the source: it is ``mean``, not ``fedavg``."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedskew import Dataset, DatasetInfo
from fedskew.config import Execution, Experiment
from fedskew.federation.state import initial_state
from fedskew.federation.world import World
from fedskew.simulation import rounds
from helpers import build_world

SIZES = (4, 11, 25)


def three_sizes(labels: Any, num_clients: int, rng: Any) -> list[Any]:
    """Three clients with few images and very different n_k."""
    order = rng.permutation(len(labels))
    ends = [sum(SIZES[: k + 1]) for k in range(num_clients)]
    return [order[end - size : end] for end, size in zip(ends, SIZES, strict=True)]


def world_with(aggregator: str) -> World:
    one = Experiment.model_validate(
        {
            "rounds": 1,
            "stopping": "rounds",
            "clients": {"count": 3},
            "split": {"name": three_sizes},
            "model": "mlp",
            "training": {"epochs": 2, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1}},
            "defence": {"aggregator": aggregator},
        }
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (sum(SIZES), 1, 6, 6), generator=generator).byte()
    labels = torch.randint(0, 3, (sum(SIZES),), generator=generator)
    info = DatasetInfo("small", ("a", "b", "c"), (1, 6, 6), (0.4,), (0.3,))
    return build_world(one, Execution(), Dataset(info, images, labels, images, labels))


def trained(start: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    """Two epochs of one batch each."""
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def authors_round(world: World, leftover: bool) -> Tensor:
    """One round in the order of the authors' code: clients are made in one loop, trained in another.

    With ``leftover`` the second loop takes the number of samples of the client that the first loop made last.
    """
    info, data = world.dataset.info, world.population
    start = copy.deepcopy(world.module)
    nn.utils.vector_to_parameters(world.initial_weights.clone(), start.parameters())
    clients, made_last = [], 0
    for shard in data.shards:
        where = torch.from_numpy(shard)
        pixels = data.images[where].float() / 255
        images = (pixels - torch.tensor(info.mean).view(-1, 1, 1)) / torch.tensor(info.std).view(-1, 1, 1)
        clients.append((images, data.labels[where].long()))
        made_last = len(where)
    sizes, updates = [], []
    for images, labels in clients:
        model = trained(start, images, labels)
        updates.append(nn.utils.parameters_to_vector(model.parameters()).detach() - world.initial_weights)
        sizes.append(made_last if leftover else len(labels))
    total = torch.zeros_like(updates[0])
    for size, update in zip(sizes, updates, strict=True):
        total += size * update
    return world.initial_weights + total / sum(sizes)


@pytest.mark.parametrize(("aggregator", "leftover"), [("mean", True), ("fedavg", False)])
def test_one_round_on_three_small_clients(aggregator: str, leftover: bool) -> None:
    world = world_with(aggregator)
    state = initial_state(world)
    [_] = rounds(world, state, [])
    assert sorted(map(len, world.population.shards)) == sorted(SIZES)
    assert (state.weights - authors_round(world, leftover)).abs().max() < 1e-6
    # The two averages are far apart on such clients, so that the first line can fail.
    assert (state.weights - authors_round(world, not leftover)).abs().max() > 1e-3
