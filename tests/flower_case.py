"""A small model, updates of it by round and client, and what a run's own server makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedskew.config import Execution, Experiment
from fedskew.federation.collect import averaged
from fedskew.federation.defence import Defended, defend, moved
from fedskew.federation.state import initial_state
from fedskew.protocols import ClientUpdates, DatasetInfo
from fedskew.seeding import stream
from helpers import build_world, toy_info

CLIENTS, ROUNDS, SEED = 11, 3, 5
BUFFERS = ("1.norm.running_mean", "1.norm.running_var")
INFO = toy_info()
Arrays = dict[str, np.ndarray[Any, Any]]


class Normed(nn.Module):
    """A layer with running averages and a counter of batches."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.scale = nn.Parameter(torch.tensor(1.5), requires_grad=False)  # frozen, and without dimensions
        self.last = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.scale * self.norm(x[:, :6]))
        return found


def model(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), Normed(nn.BatchNorm1d(6)))


def plain(info: DatasetInfo) -> nn.Module:
    """The same without buffers."""
    return nn.Sequential(nn.Flatten(), Normed(nn.Identity()))


def first_arrays(make: Callable[[DatasetInfo], nn.Module] = model) -> Arrays:
    """A model's first weights and buffers, in the order of its state."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        state = make(INFO).state_dict()
    return {name: np.array(tensor.numpy()) for name, tensor in state.items()}


def answer(number: int, client: int, sent: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    """What a client makes of the model in a round; clients 9 and 10 send something large."""
    rng = stream(SEED, "flower case", number, client)
    found: Arrays = {}
    for name, array in sent.items():
        drawn = rng.standard_normal(array.shape) * (5 if client > 8 else 0.1)
        if array.dtype.kind == "f":
            still = name == "1.scale"
            found[name] = np.asarray(array + (0 if still else drawn)).astype(array.dtype)
        else:
            found[name] = np.asarray(array + 2 * client)
    return found


def report(number: int, client: int) -> dict[str, float]:
    """What it reports."""
    return {
        "num-examples": 10 + client**2,
        "num-steps": 2 + client % 3,
        "train-loss": 0.5 + client / 10,
        "start-loss": 1.0 + ((client + number) % 4) / 8,
        "partition-id": client,
    }


def root_arrays(number: int, sent: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    """What training on the server's own data gives."""
    return answer(number, 100, sent) | {name: array for name, array in sent.items() if name == "1.scale"}


class OwnServer:
    """The server of a run: w_t and the buffers, and what a round makes of them."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        clients: int = CLIENTS,
        make: Callable[[DatasetInfo], nn.Module] = model,
    ) -> None:
        given = {"seed": SEED, "clients": {"count": clients}, "model": {"name": make}, **fields}
        self.world = build_world(Experiment.model_validate(given), Execution(engine="torch"))
        self.arrays = first_arrays(make)
        self.rules = initial_state(self.world).rules
        self.names = self.world.layout.names

    def flat(self, arrays: Mapping[str, np.ndarray[Any, Any]], buffers: bool = False) -> Tensor:
        named = self.names if not buffers else [name for name in arrays if name not in self.names]
        parts = [torch.from_numpy(np.asarray(arrays[name], np.float32)).flatten() for name in named]
        return torch.cat([torch.zeros(0), *parts])

    def round(self, number: int, cohort: Sequence[int], ids: Sequence[int] | None = None) -> Defended:
        sent = [answer(number, client, self.arrays) for client in cohort]
        reports = [report(number, client) for client in cohort]
        weights, before = self.flat(self.arrays), self.flat(self.arrays, buffers=True)

        def reported(name: str, dtype: torch.dtype) -> Tensor:
            return torch.tensor([each[name] for each in reports], dtype=dtype)

        sizes = reported("num-examples", torch.int64)
        losses = reported("start-loss", torch.float64) if self.world.aggregator.start_losses else None
        asks = self.world.aggregator.server_data
        updates = ClientUpdates(
            torch.stack([self.flat(each) - weights for each in sent]),
            sizes,
            torch.tensor(cohort if ids is None else ids),
            steps=reported("num-steps", torch.int64),
            losses=reported("train-loss", torch.float64),
            start_losses=losses,
        )
        root = self.flat(root_arrays(number, self.arrays)) - weights if asks else None
        done = defend(self.world, self.rules, [updates], weights, number, root)
        after = moved(self.world, weights, done, number)
        kept = averaged(torch.stack([self.flat(each, buffers=True) for each in sent]), sizes, before)
        self.rules |= done.rules
        self._take(after, kept)
        return done

    def _take(self, weights: Tensor, buffers: Tensor) -> None:
        taken = {True: weights.numpy(), False: buffers.numpy()}
        for name, array in self.arrays.items():
            vector = taken[name in self.names]
            values, taken[name in self.names] = np.split(vector, [array.size])
            whole = values if array.dtype.kind == "f" else np.rint(values)
            self.arrays[name] = whole.reshape(array.shape).astype(array.dtype)
