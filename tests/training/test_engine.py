"""The engine against a plain torch.optim loop, its limiting cases, and independence of workers and chunks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedskew.config import SGD, Adam, EngineName, Training
from fedskew.errors import ConfigError
from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.models.lenet import lenet
from fedskew.models.small_cnn import small_cnn
from fedskew.protocols import DatasetInfo
from fedskew.training.arithmetic import TorchArithmetic, all_buffers, flatten, step_seed
from fedskew.training.choose import choose
from fedskew.training.determinism import unrepeatable
from fedskew.training.engine import CohortResult, one_thread
from fedskew.training.plan import ClientWork, plan
from fedskew.training.recipe import Recipe
from fedskew.training.threads import ThreadedEngine
from plain_loop import MakeOptimizer, in_blocks, plain_loop, plain_losses
from tolerance import EXACT, Expected, Rounding, expect, longest_sum

INFO = DatasetInfo("toy", tuple("abc"), (1, 12, 12), (0.4,), (0.3,))
SIZES = (37, 5, 64)
ENGINES: tuple[EngineName, ...] = ("torch", "native", "stacked", "graph")


def make_data(info: DatasetInfo, total: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (total, *info.image_shape), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, info.num_classes, (total,), generator=generator)


IMAGES, LABELS = make_data(INFO, sum(SIZES))


def make_plan(
    round_number: int = 1, epochs: int = 2, batch_size: int = 16, recipe: Recipe | None = None
) -> list[ClientWork]:
    shards = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
    training = Training(epochs=epochs, batch_size=batch_size)
    return plan(3, round_number, range(len(SIZES)), shards, training, recipe)


def train(
    module: nn.Module,
    settings: Adam | SGD,
    engine: EngineName | Sequence[EngineName] = "torch",
    workers: int = 1,
    rounds: int = 1,
    lr_scale: float = 1.0,
    device: str = "cpu",
    epochs: int = 2,
) -> list[CohortResult]:
    """Every round starts from the initial weights: what is under test is a cohort's training and its state.

    Args:
        engine: of all rounds, or of each in turn.
    """
    training = Training(batch_size=16, optimizer=settings)
    engines = (engine,) if isinstance(engine, str) else engine
    where = torch.device(device)
    runners = [choose(module, INFO, IMAGES, LABELS, where, each, training).build(workers) for each in engines]
    weights, buffers = flatten(list(module.parameters())), flatten(all_buffers(module))
    recipe = Recipe(settings, lr_scale)
    states: dict[int, Any] = {}
    results = []
    for number in range(1, rounds + 1):
        runner = runners[(number - 1) % len(runners)]
        result = runner.train(weights, buffers, make_plan(number, epochs, recipe=recipe), states)
        states = {client: report.state for client, report in enumerate(result.reports)}
        results.append(result)
    return results


PERSISTENT = Adam(state="persist")
OPTIMIZERS: dict[str, tuple[Adam | SGD, MakeOptimizer]] = {
    "adam": (PERSISTENT, torch.optim.Adam),
    "adam, all settings": (
        Adam(lr=1e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01, amsgrad=True, state="persist"),
        lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01, amsgrad=True),
    ),
    "adamw": (
        Adam(weight_decay=0.1, decoupled_weight_decay=True, state="persist"),
        lambda p: torch.optim.AdamW(p, weight_decay=0.1),
    ),
    "sgd": (SGD(lr=0.05, state="persist"), lambda p: torch.optim.SGD(p, lr=0.05)),
    "sgd, all settings": (
        SGD(lr=0.02, momentum=0.9, weight_decay=0.01, nesterov=True, state="persist"),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01, nesterov=True),
    ),
    "sgd, dampened": (
        SGD(lr=0.02, momentum=0.9, dampening=0.5, state="persist"),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, dampening=0.5),
    ),
}


WELL_CONDITIONED = 35
"""Weights from which no ReLU or pooling comes so near its kink in these rounds that rounding decides it; ``at_most``
below tests that."""


def plain(
    make: MakeOptimizer, rounding: Rounding = EXACT, plans: Any = None, fresh_optimizers: bool = False
) -> list[Tensor]:
    plans = plans or [make_plan(number, epochs=1) for number in (1, 2)]
    module = fresh(lenet, INFO, WELL_CONDITIONED)
    return plain_loop(module, INFO, IMAGES, LABELS, plans, make, rounding, fresh_optimizers)


@cache
def expected(name: str) -> Expected:
    terms = longest_sum(fresh(lenet, INFO, 0), INFO.image_shape, 16)
    return expect(lambda rounding: plain(OPTIMIZERS[name][1], rounding), terms, at_most=0.01)


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_agrees_with_a_plain_optimizer_loop_over_rounds_with_persistent_state(
    name: str, engine: EngineName
) -> None:
    module = fresh(lenet, INFO, WELL_CONDITIONED)
    ours = train(module, OPTIMIZERS[name][0], engine, rounds=2, epochs=1)
    assert expected(name).excess(in_blocks(module, ours)) < 1


@pytest.mark.numerical
@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_moments_are_handed_from_one_engine_to_another(first: EngineName, second: EngineName) -> None:
    """A state is the same tensors under the same names on every engine; Adam with all that it can keep."""
    name = "adam, all settings"
    module = fresh(lenet, INFO, WELL_CONDITIONED)
    ours = train(module, OPTIMIZERS[name][0], (first, second), rounds=2, epochs=1)
    assert expected(name).excess(in_blocks(module, ours)) < 1


def late(p: Any) -> torch.optim.Optimizer:
    """Adam that counts one step too many, so that the bias of its moments is not corrected as it should be."""
    optimizer = torch.optim.Adam(p)

    def count(*_: Any) -> None:
        if all(state["step"] == 1 for state in optimizer.state.values()):
            for state in optimizer.state.values():
                state["step"] += 1

    optimizer.register_step_post_hook(count)
    return optimizer


def without_short_batches() -> list[list[ClientWork]]:
    """A client with nothing but a short batch keeps it."""
    return [
        [
            replace(job, batches=tuple(b for b in job.batches if len(b) == 16) or job.batches)
            for job in make_plan(number, epochs=1)
        ]
        for number in (1, 2)
    ]


MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "moments not carried over": ("adam", {"fresh_optimizers": True}),
    "maximum of moments not carried over": ("adam, all settings", {"fresh_optimizers": True}),
    "momentum not carried over": ("sgd, all settings", {"fresh_optimizers": True}),
    "last short batch dropped, adam": ("adam", {"plans": without_short_batches()}),
    "last short batch dropped, sgd": ("sgd", {"plans": without_short_batches()}),
    "bias correction a step ahead": ("adam", {"make": late}),
    "another beta1": ("adam", {"make": lambda p: torch.optim.Adam(p, betas=(0.89, 0.999))}),
    "another beta2": ("adam", {"make": lambda p: torch.optim.Adam(p, betas=(0.9, 0.99))}),
    "another eps": (
        "adam, all settings",
        {"make": lambda p: torch.optim.Adam(p, 1e-3, (0.8, 0.95), 1e-8, weight_decay=0.01, amsgrad=True)},
    ),
    "no maximum of moments": (
        "adam, all settings",
        {"make": lambda p: torch.optim.Adam(p, 1e-3, (0.8, 0.95), 1e-6, weight_decay=0.01)},
    ),
    "coupled weight decay": ("adamw", {"make": lambda p: torch.optim.Adam(p, weight_decay=0.1)}),
    "no weight decay": ("adamw", {"make": torch.optim.Adam}),
    "another learning rate": ("sgd", {"make": lambda p: torch.optim.SGD(p, lr=0.051)}),
    "no dampening": ("sgd, dampened", {"make": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)}),
    "no look ahead": (
        "sgd, all settings",
        {"make": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01)},
    ),
}


@pytest.mark.numerical
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_tolerance_excuses_no_mistake_of_an_optimizer(mistake: str) -> None:
    """A loop with the mistake is far outside, by its weights alone."""
    name, changes = MISTAKES[mistake]
    wrong = plain(**{"make": OPTIMIZERS[name][1], **changes})
    assert expected(name).of_weights().excess([block for block in wrong if block.dim()]) > 50


def test_a_fresh_optimizer_forgets_the_round_before() -> None:
    module = fresh(lenet, INFO, 0)
    weights, buffers = flatten(list(module.parameters())), torch.zeros(0)
    choice = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), "torch")
    runner = choice.build(1)
    persistent, forgetful = (make_plan(2, recipe=Recipe(Adam(state=state))) for state in ("persist", "fresh"))
    states = {0: train(module, PERSISTENT)[0].reports[0].state}
    once = runner.train(weights, buffers, persistent, {})
    kept = runner.train(weights, buffers, persistent, states)
    assert torch.equal(once.deltas[1:], kept.deltas[1:])
    assert not torch.equal(once.deltas[0], kept.deltas[0])
    fresh_each_time = runner.train(weights, buffers, forgetful, {})
    assert torch.equal(once.deltas, fresh_each_time.deltas)
    assert [report.state for report in fresh_each_time.reports] == [{}] * len(SIZES), "nothing is kept"


def test_state_handed_in_is_not_changed() -> None:
    module = fresh(lenet, INFO, 0)
    state = train(module, PERSISTENT)[0].reports[0].state
    before = {name: tensor.clone() for name, tensor in state.items()}
    assert set(before) == {"step", "exp_avg", "exp_avg_sq"}
    choice = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), "torch")
    work = make_plan(2, recipe=Recipe(PERSISTENT))
    choice.build(1).train(flatten(list(module.parameters())), torch.zeros(0), work, {0: state})
    assert all(torch.equal(state[name], before[name]) for name in before)


@pytest.mark.numerical
def test_the_learning_rate_is_scaled() -> None:
    module = fresh(lenet, INFO, WELL_CONDITIONED)
    ours = train(module, SGD(lr=0.1), rounds=2, lr_scale=0.5, epochs=1)
    assert expected("sgd").excess(in_blocks(module, ours)) < 1


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ["torch", "native"])
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_change_no_bit(engine: EngineName, workers: int) -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(100, 3)
    )
    one, several = (train(module, PERSISTENT, engine, workers=n, rounds=2) for n in (1, workers))
    for a, b in zip(one, several, strict=True):
        assert torch.equal(a.deltas, b.deltas)
        for mine, theirs in zip(a.reports, b.reports, strict=True):
            assert (mine.loss, mine.accuracy) == (theirs.loss, theirs.accuracy)
            assert all(torch.equal(mine.state[name], theirs.state[name]) for name in mine.state)


def test_dropout_is_a_function_of_the_clients_seed_alone() -> None:
    class Functional(nn.Module):
        """Draws from PyTorch's global generator, which threads would share."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(144, 3)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.linear(functional.dropout(x.flatten(1), 0.5, self.training))
            return found

    module = Functional()
    state = torch.get_rng_state()
    first = train(module, SGD(), workers=2)[0]
    torch.rand(7)
    second = train(module, SGD(), workers=1)[0]
    torch.set_rng_state(state)
    assert torch.equal(first.deltas, second.deltas)
    assert (
        ThreadedEngine(lambda: TorchArithmetic(module, INFO, IMAGES, LABELS, torch.device("cpu")), 2).workers
        == 1
    )


def test_the_callers_random_state_and_threads_are_left_alone() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(fresh(cnn_with_dropout, INFO, 0), Adam(), "torch", workers=2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def cnn_with_dropout(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(small_cnn(info), nn.Dropout(0.3))


@pytest.mark.numerical
def test_buffers_are_trained_per_client_and_handed_back() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(200, 3))
    results = train(module, SGD(), "auto")
    assert results[0].buffers.shape == (3, 5)  # mean and variance of two channels, and the counter
    make = partial(torch.optim.SGD, lr=0.01)
    terms = longest_sum(module, INFO.image_shape, 16)
    want = expect(lambda r: plain_loop(module, INFO, IMAGES, LABELS, [make_plan()], make, r), terms)
    assert want.excess(in_blocks(module, results)) < 1


@pytest.mark.numerical
def test_evaluation_does_not_depend_on_workers_and_agrees_with_the_module() -> None:
    module = fresh(lenet, INFO, 0)
    weights = flatten(list(module.parameters()))
    want = expect(lambda r: [plain_losses(module, INFO, IMAGES, LABELS, r)], 1)
    with torch.no_grad():
        logits = copy.deepcopy(module).double()((IMAGES.double() / 255 - INFO.mean[0]) / INFO.std[0])
    for engine in ENGINES:
        choice = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), engine)
        built: list[Any] = [choice.build(workers) for workers in (1, 2)]  # engines of which each has chunks
        seen = [one.predict(weights, torch.zeros(0), IMAGES, LABELS, chunk=40) for one in built]
        assert torch.equal(seen[0].losses, seen[1].losses)
        assert torch.equal(seen[0].classes, logits.argmax(1))
        assert want.excess([seen[0].losses]) < 1


def test_auto_takes_native_kernels_where_it_can_and_says_why_where_it_cannot() -> None:
    cpu = torch.device("cpu")
    served = choose(fresh(lenet, INFO, 0), INFO, IMAGES, LABELS, cpu)
    assert served.build(1).name == "native"
    batch_norm = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 3))
    norms: tuple[tuple[Any, str], ...] = (("batch", "BatchNorm2d"), ("group", "GroupNorm"))
    for norm, layer in norms:
        model = fresh(partial(lenet, norm=norm), INFO, 0)
        assert choose(model, INFO, IMAGES, LABELS, cpu).reason == (
            f"native kernels cannot serve this model: layer {layer} is not supported"
        )
        for engine in ("native", "stacked"):
            with pytest.raises(
                ConfigError, match=f"engine '{engine}' cannot serve this model: layer {layer}"
            ):
                choose(model, INFO, IMAGES, LABELS, cpu, engine)
    refused = choose(batch_norm, INFO, IMAGES, LABELS, cpu)
    assert refused.build(1).name == "torch"
    assert "BatchNorm1d" in refused.reason


def test_step_seeds_are_distinct_and_not_negative() -> None:
    seeds = {step_seed(2**63 - 1, step) for step in range(10_000)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_one_thread_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(RuntimeError, match="inside"), one_thread():
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


@pytest.mark.numerical
def test_the_papers_cnn_trains_with_dropout_on_both_engines() -> None:
    info = DatasetInfo("c", tuple("abc"), (3, 24, 24), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    images, labels = make_data(info, 24)
    module = fresh(cnn6, info, 0)
    work = ClientWork(0, tuple(torch.split(torch.arange(24), 8)), 11, 24, Recipe(Adam()))
    weights = flatten(list(module.parameters()))
    for engine in ENGINES:
        choice = choose(module, info, images, labels, torch.device("cpu"), engine)
        runner = choice.build(1)
        first, second = (runner.train(weights, torch.zeros(0), [work], {}) for _ in range(2))
        assert torch.equal(first.deltas, second.deltas)
        assert first.deltas.isfinite().all()
        assert first.deltas.abs().max() > 0


def test_operations_whose_repeats_may_differ_are_found_and_the_setting_is_restored() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    target, where = torch.zeros(4), torch.tensor([1, 1])
    found = unrepeatable(lambda: target.put_(where, torch.tensor([1.0, 2.0])))
    assert found == ["put_"]
    assert unrepeatable(lambda: target + 1) == []
    assert torch.are_deterministic_algorithms_enabled() == before
