"""What the server must not move: frozen parameters, and buffers that no client changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedskew.config import Execution, Experiment
from fedskew.federation.state import initial_state
from fedskew.protocols import AdversaryView, Attack, DatasetInfo
from fedskew.simulation import rounds
from helpers import build_world

BASE: dict[str, Any] = {
    "rounds": 3,
    "stopping": "rounds",
    "split": {"name": "dirichlet", "alpha": 1.0},
    "clients": {"count": 7},  # whose rounded shares do not add up to 1
    "training": {"epochs": 1, "batch_size": 256},
}
NOISE = {"name": "noise", "std": 0.1}


class Tuned(nn.Module):
    """A frozen layer below a trained one, running statistics, and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10)
        self.body.requires_grad_(False)
        self.body.bias.data[:] = torch.tensor([0.0, -0.0, 0.1, -3.0])
        self.register_buffer("table", torch.linspace(0.1, 1234.5, 20))
        self.register_buffer("index", torch.arange(20000, 20010))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.body(images.flatten(1))).relu())  # type: ignore[no-any-return]


def tuned(info: DatasetInfo) -> nn.Module:
    return Tuned()


def everything(info: DatasetInfo) -> Attack:
    """Sends a row of ones, and sees that the defence would not move what is frozen."""

    def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
        assert view.simulate is not None
        moved = view.simulate(torch.ones_like(deltas))
        assert (moved[:260] == 0).all()
        assert (moved[260:] != 0).any()
        return torch.ones_like(deltas)

    return Attack(craft=craft, threat_model="knows-the-defence")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"defence": {"transforms": [NOISE]}},
        {"defence": {"transforms": [NOISE], "learning_rate": {"name": "rlr", "theta": 4}}},
        {"defence": {"transforms": [NOISE]}, "server": {"step": {"name": "momentum", "beta": 0.9}}},
        {"defence": {"transforms": [NOISE]}, "server": {"step": "adam"}},
        {"attack": everything, "adversaries": {"count": 2}},
        {"attack": {"name": "free-rider", "noise": 1.0}, "adversaries": {"count": 2}},
    ],
    ids=["plain", "noise", "rlr", "momentum", "adam", "crafted", "free-rider"],
)
def test_frozen_parameters_and_constants_stay_bit_by_bit(changes: dict[str, Any]) -> None:
    world = build_world(Experiment.model_validate({**BASE, "model": tuned, **changes}), Execution())
    state = initial_state(world)
    for _ in rounds(world, state, []):
        assert torch.equal(bits(state.weights[:260]), bits(world.initial_weights[:260]))
        assert not torch.equal(state.weights[260:], world.initial_weights[260:])
        named = dict(
            zip(sizes(world.module), torch.split(state.buffers, [*sizes(world.module).values()]), strict=True)
        )
        assert torch.equal(bits(named["table"]), bits(torch.linspace(0.1, 1234.5, 20)))
        assert torch.equal(named["index"], torch.arange(20000, 20010).float())
        assert (named["norm.running_mean"] != 0).all(), "running statistics are what the clients make of them"


def test_a_model_without_frozen_parameters_knows_of_none() -> None:
    assert build_world(Experiment.model_validate(BASE), Execution()).frozen is None


def bits(tensor: Tensor) -> Tensor:
    return tensor.view(torch.int32)  # 0.0 == -0.0


def sizes(module: nn.Module) -> dict[str, int]:
    return {name: buffer.numel() for name, buffer in module.named_buffers()}
