"""Models and objectives that fail or draw inside an engine: one sentence names them; what is seeded repeats."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import Attack, DatasetInfo, LocalObjective, LocalView
from fedskew.simulation import simulate
from helpers import build_world

BASE: dict[str, Any] = {
    "rounds": 2,
    "stopping": "rounds",
    "clients": {"count": 3},
    "training": {"epochs": 1, "batch_size": 240},
}


class Odd(nn.Module):
    """A linear model that does something to its logits."""

    def __init__(self, then: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.then = nn.Linear(64, 10), then

    def forward(self, images: Tensor) -> Tensor:
        return self.then(self, self.layer(images.flatten(1)))


def run(then: Callable[[nn.Module, Tensor], Tensor], **more: Any) -> list[Any]:
    def odd(info: DatasetInfo) -> nn.Module:
        return Odd(then)

    return list(simulate(Experiment.model_validate({**BASE, "model": odd, **more})))


def too_many(module: nn.Module, logits: Tensor) -> Tensor:
    if len(logits) > 100:
        raise RuntimeError("too many images")
    return logits


def by_random(module: nn.Module, logits: Tensor) -> Tensor:
    return logits * (random.random() if module.training else 1)


def by_numpy(module: nn.Module, logits: Tensor) -> Tensor:
    return logits if module.training else logits * np.random.rand()  # noqa: NPY002


def now_and_then(module: nn.Module, logits: Tensor) -> Tensor:
    return logits + (torch.rand(()) if len(logits) > 2 else 0)


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (
            too_many,
            r"odd': (training|evaluation) failed with RuntimeError: too many images \(.*test_watched\.py",
        ),
        (by_random, "odd': training used the global random generator of random, so"),
        (by_numpy, r"odd': evaluation used the global random generator of numpy\.random"),
        (now_and_then, "odd': training used the global random generator of torch"),
        (lambda module, logits: 1 / 0, r"model '.*odd' fails on images \[2, 1, 8, 8\]: division by zero"),
        (
            lambda module, logits: 1 / 0 if module.training else logits,
            r"model '.*odd' failed with ZeroDivisionError",
        ),
    ],
    ids=["fails", "random", "numpy", "unseen by the trial", "always", "in training"],
)
def test_a_model_that_fails_or_draws_elsewhere_is_named(then: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model '.*{words}|^{words}"):
        run(then)


def test_a_model_that_draws_from_pytorch_in_every_pass_repeats_bit_by_bit() -> None:
    """In evaluation too, whose numbers would differ from run to run."""

    def noisy(module: nn.Module, logits: Tensor) -> Tensor:
        return logits + torch.randn_like(logits)

    def noisy_in_evaluation(module: nn.Module, logits: Tensor) -> Tensor:
        return logits if module.training else noisy(module, logits)

    for then in (noisy, noisy_in_evaluation):
        torch.manual_seed(1)
        first = run(then)
        torch.manual_seed(2)
        assert run(then) == first


def test_an_objective_that_draws_is_found_though_it_is_not_looked_at_in_every_step() -> None:
    def add(gradient: Tensor, view: LocalView) -> None:
        gradient.add_(torch.randn_like(gradient))

    def jitter() -> LocalObjective:
        return LocalObjective(add=add)

    words = r"objective '.*jitter': training used the global random generator of torch"
    with pytest.raises(ConfigError, match=words) as caught:
        list(
            simulate(
                Experiment.model_validate({**BASE, "training": {**BASE["training"], "objective": jitter}})
            )
        )
    assert caught.value.hint is not None

    def secret(info: DatasetInfo) -> Attack:
        return Attack(objective=jitter())

    attacked = {**BASE, "attack": secret, "adversaries": {"count": 1}}
    with pytest.raises(ConfigError, match=r"^attack '.*secret': training used the global"):
        list(simulate(Experiment.model_validate(attacked)))


def test_only_engines_that_call_something_from_outside_are_watched() -> None:
    plain = build_world(Experiment.model_validate(BASE), Execution())
    assert type(plain.engine).__name__ == "ThreadedEngine"
    own = build_world(
        Experiment.model_validate({**BASE, "model": lambda info: Odd(lambda m, x: x)}), Execution()
    )
    assert (own.engine.name, own.engine.workers) == ("torch", 1)
    assert type(own.engine).__name__ == "WatchedEngine"
