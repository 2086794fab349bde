"""The engine for GPUs, on whatever device there is: against the other engines; groups, padding, masks, formats."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rehearsal import Rehearsed, rehearse
from torch import Tensor, nn
from torch.nn import functional

from fedskew.config import SGD, Adam, EngineName, LastBatch, Training
from fedskew.errors import ConfigError
from fedskew.federation.device import open_device
from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.models.lenet import lenet
from fedskew.models.mlp import mlp
from fedskew.models.small_cnn import small_cnn
from fedskew.protocols import DatasetInfo
from fedskew.training.arithmetic import all_buffers, flatten, step_seed
from fedskew.training.choose import STACK_BELOW, choose
from fedskew.training.engine import CohortResult
from fedskew.training.native import build
from fedskew.training.native.plan import make_plan
from fedskew.training.native.work import work_of_a_step
from fedskew.training.plan import ClientWork, plan
from fedskew.training.resident import ModuleArithmetic, ResidentEngine, StackedArithmetic
from fedskew.training.resident.batches import batches, ranks
from fedskew.training.resident.dropout import KeyedDropout, dropout_keys, dropout_mask, keyed
from plain_loop import in_blocks, plain_loop
from tolerance import BFLOAT16, UNIT, Rounding, expect, longest_sum

if torch.cuda.is_available():
    open_device("cuda")  # with algorithms that repeat their results, as runs have them
CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param(
        torch.device("cuda"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
    ),
]
INFO = DatasetInfo("toy", tuple("abc"), (1, 12, 12), (0.4,), (0.3,))
COLOUR = DatasetInfo("c", tuple("abc"), (3, 24, 24), (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


def data(info: DatasetInfo, total: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (total, *info.image_shape), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, info.num_classes, (total,), generator=generator)


def work_of(sizes: tuple[int, ...], training: Training, number: int = 1) -> list[ClientWork]:
    shards = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    return plan(3, number, range(len(sizes)), shards, training)


def trained(
    module: nn.Module,
    info: DatasetInfo,
    sizes: tuple[int, ...],
    engine: EngineName,
    training: Training,
    device: torch.device = CPU,
    rounds: int = 1,
) -> list[CohortResult]:
    """Rounds of one cohort from the module's weights, the optimisers' state kept."""
    images, labels = data(info, sum(sizes))
    runner = choose(module, info, images, labels, device, engine, training).build(1)
    weights, buffers = (
        flatten(list(module.parameters())).to(device),
        flatten(all_buffers(module)).to(device),
    )
    states: dict[int, Any] = {}
    results = []
    for number in range(1, rounds + 1):
        results.append(runner.train(weights, buffers, work_of(sizes, training, number), states))
        states = {client: report.state for client, report in enumerate(results[-1].reports)}
    return results


def close(
    module: nn.Module,
    info: DatasetInfo,
    sizes: tuple[int, ...],
    training: Training,
    *results: list[CohortResult],
    at_most: float = 0.05,
) -> None:
    """Engines that trained the same clients agree with each other and with the plain loop in float64."""
    optimizer = training.optimizer
    assert isinstance(optimizer, SGD)
    make = partial(torch.optim.SGD, lr=optimizer.lr, momentum=optimizer.momentum)
    plans = [work_of(sizes, training, number) for number in range(1, len(results[0]) + 1)]
    images, labels = data(info, sum(sizes))
    unit = BFLOAT16 if training.precision == "bfloat16" else UNIT
    widest = max(len(batch) for jobs in plans for job in jobs for batch in job.batches)
    terms = longest_sum(module, info.image_shape, max(training.batch_size, widest))
    want = expect(
        lambda rounding: plain_loop(module, info, images, labels, plans, make, rounding), terms, unit, at_most
    )
    for result in results:
        assert want.excess([block.cpu() for block in in_blocks(module, result)]) < 1
        for mine, yours in zip(result, results[0], strict=True):
            for one, other in zip(mine.reports, yours.reports, strict=True):
                assert {name: kept.shape for name, kept in one.state.items()} == {
                    name: kept.shape for name, kept in other.state.items()
                }
                assert one.state.get("step", 0) == other.state.get("step", 0)


@pytest.mark.numerical
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_dropout_is_the_native_kernels_so_the_papers_cnn_trains_alike(
    engine: EngineName, device: torch.device
) -> None:
    training = Training(epochs=1, batch_size=8, optimizer=SGD(lr=0.01, momentum=0.5, state="persist"))
    module = fresh(cnn6, COLOUR, 3)
    ours = trained(module, COLOUR, (24, 9, 17), engine, training, device, rounds=2)
    theirs = trained(module, COLOUR, (24, 9, 17), "native", training, rounds=2)
    close(module, COLOUR, (24, 9, 17), training, ours, theirs)


@pytest.mark.numerical
@pytest.mark.parametrize("device", DEVICES)
def test_where_channels_lie_changes_rounding_alone(device: torch.device) -> None:
    sizes, training = (24, 9), Training(epochs=1, batch_size=8, optimizer=SGD(lr=0.01, momentum=0.5))
    module = fresh(cnn6, COLOUR, 3)
    images, labels = (t.to(device) for t in data(COLOUR, sum(sizes)))
    weights = flatten(list(module.parameters())).to(device)
    found = []
    for last in (False, True):
        arithmetic = ModuleArithmetic(module, COLOUR, device, channels_last=last)
        runner = ResidentEngine(arithmetic, images, labels)
        found.append(runner.train(weights, weights[:0], work_of(sizes, training), {}))
    close(module, COLOUR, sizes, training, *([result] for result in found))


@pytest.mark.numerical
@pytest.mark.parametrize("device", DEVICES)
def test_masks_are_those_of_the_native_kernels(device: torch.device) -> None:
    module = fresh(cnn6, COLOUR, 0)
    native = build(module, COLOUR.image_shape, COLOUR.mean, COLOUR.std)
    seeds = torch.tensor([0, 1, 2**40 + 7, 2**63 - 1], device=device)
    for layer, units in ((0, 256), (1, 128), (2, 256)):
        masks = dropout_mask(dropout_keys(seeds, 3, 5)[:, layer], units, 0.5).cpu()
        for row, seed in enumerate(seeds.tolist()):
            for position in (0, 4):
                assert torch.equal(masks[row, position], native.dropout_mask(layer, seed, position).flatten())


def test_masks_keep_the_mean_and_differ_between_seeds_layers_positions_and_units() -> None:
    masks = dropout_mask(dropout_keys(torch.arange(50), 2, 8), 500, 0.3).transpose(0, 1)
    assert masks.mean() == pytest.approx(1, abs=0.01)
    assert sorted(set(masks.flatten().tolist())) == pytest.approx([0.0, 1 / 0.7])
    for dim in range(4):
        rows = masks.movedim(dim, 0).flatten(1)
        assert len({bytes(row.numpy()) for row in rows.bool()}) == len(rows)
    assert not dropout_mask(dropout_keys(torch.tensor([3]), 1, 4), 9, 1.0).any()


def test_keyed_dropout_replaces_dropout_at_any_depth_and_is_the_identity_in_evaluation() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.ModuleDict({"deep": nn.Sequential(nn.Dropout(0.2))}))
    replaced, found = keyed(module)
    assert [(d.p, d.layer) for d in found] == [(0.5, 0), (0.2, 1)]
    assert isinstance(replaced, nn.Sequential)
    assert replaced[0] is found[0]
    layer = KeyedDropout(0.5, 0).eval()
    x = torch.randn(3, 4)
    assert layer(x) is x


@pytest.mark.numerical
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_a_clients_result_does_not_depend_on_whom_it_is_trained_beside(
    engine: EngineName, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of one, of two and of all, sizes with short last batches, one image among them."""
    sizes, training = (37, 1, 64, 16, 5), Training(epochs=2, batch_size=16, optimizer=SGD(lr=0.1))
    module = fresh(lenet, INFO, 0)
    images, labels = (t.to(device) for t in data(INFO, sum(sizes)))
    weights = flatten(list(module.parameters())).to(device)
    found = []
    for rows in (1, 2, 5):
        arithmetic: Any
        if engine == "stacked":
            arithmetic = StackedArithmetic(make_plan(module, INFO.image_shape), INFO, 16, device)
            monkeypatch.setattr(arithmetic, "rows", lambda batch, rows=rows: rows)
        else:
            arithmetic = ModuleArithmetic(module, INFO, device)
        runner = ResidentEngine(arithmetic, images, labels)
        found.append(runner.train(weights, weights[:0], work_of(sizes, training), {}))
    close(module, INFO, sizes, training, *([result] for result in found))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_repeats_are_the_same_bits_also_after_larger_and_smaller_cohorts(
    engine: EngineName, device: torch.device
) -> None:
    training = Training(epochs=2, batch_size=16, optimizer=Adam(state="persist"))
    module = fresh(lenet, INFO, 0)
    images, labels = data(INFO, 200)
    runner = choose(module, INFO, images, labels, device, engine, training).build(1)
    weights = flatten(list(module.parameters())).to(device)
    small, large = work_of((20, 33), training), work_of((90, 10, 100), training)
    first = runner.train(weights, weights[:0], small, {})
    runner.train(weights, weights[:0], large, {})
    again = runner.train(weights, weights[:0], small, {})
    assert torch.equal(first.deltas, again.deltas)
    assert torch.equal(first.reports[1].state["exp_avg"], again.reports[1].state["exp_avg"])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_lanes_change_no_bit(
    engine: EngineName, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clients than lanes, of two kinds, states that persist, and so many rounds that all steps are captured."""
    sizes, module = (37, 1, 64, 16, 5, 40, 30), fresh(cnn6, COLOUR, 0)
    training = Training(epochs=2, batch_size=8, optimizer=Adam(state="persist"))
    other = Training(epochs=2, batch_size=8, optimizer=SGD(lr=0.1, momentum=0.9, state="persist"))
    images, labels = (t.to(device) for t in data(COLOUR, sum(sizes)))
    weights = flatten(list(module.parameters())).to(device)
    found = []
    for lanes in (1, 3):
        arithmetic: Any = ModuleArithmetic(module, COLOUR, device)
        if engine == "stacked":
            arithmetic = StackedArithmetic(make_plan(module, COLOUR.image_shape), COLOUR, 16, device)
            monkeypatch.setattr(arithmetic, "rows", lambda batch: 1)
        runner = ResidentEngine(arithmetic, images, labels, lanes=lanes)
        states: dict[int, Any] = {}
        for number in range(1, 5):
            mixed = zip(work_of(sizes, training, number), work_of(sizes, other, number), strict=True)
            work = [pair[place % 2] for place, pair in enumerate(mixed)]
            found.append(runner.train(weights, weights[:0], work, states))
            states = {client: report.state for client, report in enumerate(found[-1].reports)}
        assert runner._lanes.count == lanes
    for one, three in zip(found[:4], found[4:], strict=True):
        assert torch.equal(one.deltas, three.deltas)
        for mine, theirs in zip(one.reports, three.reports, strict=True):
            assert (mine.loss, mine.accuracy) == (theirs.loss, theirs.accuracy)
            assert all(torch.equal(mine.state[name], theirs.state[name]) for name in mine.state)


@pytest.mark.numerical
@pytest.mark.parametrize("rule", ["keep", "merge", "drop"])
def test_engines_agree_under_every_rule_for_the_last_batch(rule: LastBatch) -> None:
    """Batches of 16 and of 21, a single short one, and a divided shard."""
    sizes = (37, 5, 32)
    training = Training(epochs=2, batch_size=16, last_batch=rule, optimizer=SGD(lr=0.1))
    module = fresh(lenet, INFO, 0)
    engines: tuple[EngineName, ...] = ("torch", "native", "stacked", "graph")
    close(
        module, INFO, sizes, training, *(trained(module, INFO, sizes, engine, training) for engine in engines)
    )


@pytest.mark.numerical
def test_batch_statistics_see_no_padding() -> None:
    """A module with BatchNorm on the graph engine is what a plain loop gives, short last batch included."""
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 3))
    training = Training(epochs=2, batch_size=16, optimizer=SGD(lr=0.1))
    ours = trained(module, INFO, (37, 20), "graph", training)
    theirs = trained(module, INFO, (37, 20), "torch", training)
    close(module, INFO, (37, 20), training, ours, theirs)


@pytest.mark.numerical
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("factory", [lenet, small_cnn])
def test_normalised_models_are_what_a_plain_loop_gives(factory: Any, norm: str) -> None:
    """Weights, running averages and their counter, on both engines that serve them; a last batch of one image too."""
    module, sizes = fresh(partial(factory, norm=norm), INFO, 1), (33, 20)
    training = Training(epochs=1, batch_size=16, optimizer=SGD(lr=0.01, momentum=0.5, state="persist"))
    engines: tuple[EngineName, ...] = ("torch", "graph")
    results = [trained(module, INFO, sizes, engine, training, rounds=2) for engine in engines]
    close(module, INFO, sizes, training, *results)


@pytest.mark.numerical
@settings(max_examples=15, deadline=None)
@given(
    channels=st.integers(1, 3),
    height=st.integers(6, 13),
    width=st.integers(6, 13),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    pool=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    bias=st.booleans(),
    clients=st.integers(1, 3),
    batch=st.integers(1, 5),
)
def test_stacked_gradients_are_autograds(
    channels: int,
    height: int,
    width: int,
    kernel: tuple[int, int],
    padding: tuple[int, int],
    pool: tuple[int, int],
    bias: bool,
    clients: int,
    batch: int,
) -> None:
    info = DatasetInfo("h", tuple("abcd"), (channels, height, width), (0.5,) * channels, (0.25,) * channels)
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 3, kernel, padding=padding, bias=bias)
    behind = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(pool), nn.Conv2d(3, 2, 1), nn.Flatten())
    features = behind(torch.zeros(1, *info.image_shape)).shape[1]
    module = nn.Sequential(*behind, nn.Linear(features, 5, bias=bias), nn.ReLU(), nn.Linear(5, 4))
    images, labels = data(info, clients * batch)
    arithmetic = StackedArithmetic(make_plan(module, info.image_shape), info, batch, CPU)
    weights = torch.stack([flatten(list(module.parameters())) * (1 + 0.1 * k) for k in range(clients)])
    counts = torch.arange(clients) % batch + 1
    gradients = torch.empty_like(weights)
    sums, hits = arithmetic.gradients(
        weights,
        weights[:, :0],
        gradients,
        images.view(clients, batch, *info.image_shape),
        labels.view(clients, batch),
        counts,
        torch.zeros(clients, 0, batch, dtype=torch.int64),
    )
    shapes = [parameter.shape for parameter in module.parameters()]
    names = [name for name, _ in module.named_parameters()]

    def cut(flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    for k, count in enumerate(counts.tolist()):
        chosen = slice(k * batch, k * batch + count)

        def exact(rounding: Rounding, k: int = k, chosen: slice = chosen) -> list[Tensor]:
            leaves = [
                rounding.multiplied(part).requires_grad_() for part in cut(weights[k].detach().double())
            ]
            x = rounding.summed((images[chosen].double() / 255 - 0.5) / 0.25)
            logits = torch.func.functional_call(module, dict(zip(names, leaves, strict=True)), (x,))
            losses = rounding.cross_entropy(logits, labels[chosen])
            gradients = torch.autograd.grad(losses.mean(), leaves)
            return [
                *map(rounding.summed, gradients),
                losses.detach().sum(),
                (logits.argmax(1) == labels[chosen]).sum(),
            ]

        want = expect(exact, longest_sum(module, info.image_shape, batch))
        assert want.excess([*cut(gradients[k]), sums[k], hits[k]]) < 1


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ["torch", "stacked", "graph"])
def test_bfloat16_is_near_float32_and_not_it(engine: EngineName) -> None:
    module, sizes = fresh(small_cnn, INFO, 0), (64, 30)
    settings = Training(optimizer=SGD(lr=0.05), precision="bfloat16")
    coarse = trained(module, INFO, sizes, engine, settings)
    exact = trained(module, INFO, sizes, engine, Training(optimizer=SGD(lr=0.05)))
    assert coarse[0].deltas.dtype == torch.float32
    assert not torch.equal(exact[0].deltas, coarse[0].deltas)
    close(module, INFO, sizes, settings, coarse, at_most=0.5)


def test_tf32_is_float32_where_there_is_none() -> None:
    module = fresh(small_cnn, INFO, 0)
    exact, coarse = (
        trained(module, INFO, (64, 30), "stacked", Training(precision=p))[0] for p in ("float32", "tf32")
    )
    assert torch.equal(exact.deltas, coarse.deltas)


def test_native_kernels_refuse_bfloat16_and_auto_takes_another_engine() -> None:
    module, (images, labels) = fresh(lenet, INFO, 0), data(INFO, 10)
    training = Training(precision="bfloat16")
    choice = choose(module, INFO, images, labels, CPU, "auto", training)
    assert choice.build(1).name == "torch"
    assert "bfloat16" in choice.reason
    with pytest.raises(ConfigError, match=r"native.*bfloat16"):
        choose(module, INFO, images, labels, CPU, "native", training)


def test_engines_refuse_what_they_cannot_serve() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(144, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(functional.dropout(x.flatten(1), training=self.training))
            return out

    images, labels = data(INFO, 10)
    with pytest.raises(ConfigError, match=r"stacked.*Noisy"):
        choose(Noisy(), INFO, images, labels, CPU, "stacked")
    with pytest.raises(ConfigError, match=r"graph.*global generator"):
        choose(Noisy(), INFO, images, labels, CPU, "graph")


def test_small_models_are_stacked_and_large_ones_are_not() -> None:
    digits = DatasetInfo("d", tuple("0123456789"), (1, 8, 8), (0.3,), (0.3,))
    fashion = DatasetInfo("f", tuple("0123456789"), (1, 28, 28), (0.3,), (0.3,))
    cifar = DatasetInfo("c", tuple("0123456789"), (3, 32, 32), (0.5,) * 3, (0.2,) * 3)
    small = work_of_a_step(make_plan(fresh(mlp, digits, 0), digits.image_shape), 32)
    middle = work_of_a_step(make_plan(fresh(lenet, fashion, 0), fashion.image_shape), 256)
    large = work_of_a_step(make_plan(fresh(cnn6, cifar, 0), cifar.image_shape), 256)
    # LeNet by hand: 2 x (2 x 784 x 25 x 6 + 3 x (100 x 150 x 16 + 400 x 120 + 120 x 84 + 84 x 10)) per image
    assert middle == 256 * 2 * (2 * 784 * 150 + 3 * (100 * 2400 + 48_000 + 10_080 + 840))
    assert small < STACK_BELOW < middle < large


@pytest.mark.numerical
def test_optimizer_state_of_another_engine_is_gone_on_with() -> None:
    """A state is the same tensors under the same names, so engines can be compared round by round."""
    training = Training(batch_size=16, optimizer=SGD(lr=0.05, momentum=0.9, state="persist"))
    module = fresh(lenet, INFO, 0)
    first = trained(module, INFO, (37,), "native", training)
    states = {0: first[0].reports[0].state}
    images, labels = data(INFO, 37)
    weights = flatten(list(module.parameters()))
    stacked, plain = (
        choose(module, INFO, images, labels, CPU, name, training)
        .build(1)
        .train(weights, weights[:0], work_of((37,), training, 2), states)
        for name in ("stacked", "torch")
    )
    close(module, INFO, (37,), training, [*first, stacked], [*first, plain])


@pytest.mark.parametrize("optimizer", [Adam(weight_decay=0.1), SGD(lr=0.1, weight_decay=0.1)])
def test_frozen_parameters_stay_as_the_server_sent_them(optimizer: Adam | SGD) -> None:
    """On every engine, weight decay or not; and those that cannot keep them leave the model to one that can."""
    module = fresh(lenet, INFO, 0)
    for parameter in module[0].parameters():  # type: ignore[index]
        parameter.requires_grad_(False)
    held = sum(p.numel() for p in module[0].parameters())  # type: ignore[index]
    training = Training(batch_size=16, optimizer=optimizer)
    serving: tuple[EngineName, ...] = ("torch", "graph", "auto")
    for engine in serving:
        deltas = trained(module, INFO, (37, 20), engine, training)[0].deltas
        assert not deltas[:, :held].any()
        assert deltas[:, held:].any(dim=1).all()
    images, labels = data(INFO, 10)
    refusing: tuple[EngineName, ...] = ("native", "stacked")
    for engine in refusing:
        with pytest.raises(ConfigError, match="frozen"):
            choose(module, INFO, images, labels, CPU, engine)


@pytest.mark.parametrize(
    "optimizer", [Adam(amsgrad=True, state="persist"), SGD(lr=0.1, momentum=0.9, state="persist")]
)
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_what_is_tried_before_a_capture_leaves_no_trace(
    engine: EngineName, optimizer: Adam | SGD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growing and shrinking cohorts, kept moments, BatchNorm or dropout: the same bits as without captures."""
    module: nn.Module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(144), nn.Dropout(0.3), nn.Linear(144, 3))
    if engine == "stacked":
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(400, 3)
        )
    training = Training(batch_size=8, optimizer=optimizer)
    plain = [trained(module, INFO, sizes, engine, training, rounds=2) for sizes in ((40, 70), (90, 10, 60))]
    made = rehearse(monkeypatch)
    again = [trained(module, INFO, sizes, engine, training, rounds=2) for sizes in ((40, 70), (90, 10, 60))]
    for before, after in zip(plain, again, strict=True):
        for one, other in zip(before, after, strict=True):
            assert torch.equal(one.deltas, other.deltas)
            assert torch.equal(one.buffers, other.buffers)
            assert [r.loss for r in one.reports] == [r.loss for r in other.reports]
    assert sum(graphs.replays for graphs in made) > 20
    assert any(len(graphs) > 0 for graphs in made)


def test_a_step_that_cannot_be_captured_is_done_each_time_and_memory_that_runs_out_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []
    graphs = Rehearsed(CPU, lambda: None)

    def refuse(step: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "_capture", refuse)
    graphs.prepare("a", lambda: done.append(1))
    assert "cannot be captured" in caplog.text
    graphs.run("a", lambda: done.append(1))
    graphs.prepare("b", lambda: done.append(1))
    assert done == [1]
    assert len(graphs) == 0

    def full(step: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    graphs = Rehearsed(CPU, lambda: None)
    graphs.prepare("a", lambda: None, times=1)  # once is not worth it, four times are
    graphs.prepare("a", lambda: None, times=2)
    monkeypatch.setattr(graphs, "_capture", full)
    with pytest.raises(torch.OutOfMemoryError):
        graphs.prepare("a", lambda: None, times=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_captured_steps_are_the_same_bits_as_launched_ones(
    engine: EngineName, caplog: pytest.LogCaptureFixture
) -> None:
    device, training, sizes = torch.device("cuda"), Training(batch_size=8), (70, 90, 40)
    module, (images, labels) = fresh(cnn6, COLOUR, 0), data(COLOUR, 200)
    weights = flatten(list(module.parameters())).to(device)
    found = []
    for capture in (True, False):
        arithmetic: Any = (
            StackedArithmetic(make_plan(module, COLOUR.image_shape), COLOUR, 8, device)
            if engine == "stacked"
            else ModuleArithmetic(module, COLOUR, device)
        )
        runner = ResidentEngine(arithmetic, images.to(device), labels.to(device), capture=capture)
        found.append(runner.train(weights, weights[:0], work_of(sizes, training), {}))
        assert (runner.captured > 0) == capture
    assert torch.equal(found[0].deltas, found[1].deltas)
    assert "captured" not in caplog.text


def test_a_groups_plan_is_the_plan() -> None:
    jobs = work_of((37, 5, 64), Training(epochs=2, batch_size=16))
    plan_of_all = batches(jobs, 9, 20)
    for row, job in enumerate(jobs):
        for step, indices in enumerate(job.batches):
            assert int(plan_of_all.counts[row, step]) == len(indices)
            assert torch.equal(plan_of_all.positions[row, step, : len(indices)], indices)
            assert int(plan_of_all.seeds[row, step]) == step_seed(job.seed, step)
        assert not plan_of_all.counts[row, len(job.batches) :].any()
    assert [len(jobs[i].batches) for i in ranks(jobs)] == sorted((len(j.batches) for j in jobs), reverse=True)


@pytest.mark.parametrize("engine", ["native", "torch", "stacked", "graph"])
def test_no_images_have_no_predictions(engine: EngineName) -> None:
    images, labels = data(INFO, 10)
    module = fresh(lenet, INFO, 0)
    runner = choose(module, INFO, images, labels, CPU, engine).build(1)
    weights = flatten(list(module.parameters()))
    for count in (0, 3):
        found = runner.predict(weights, torch.zeros(0), images[:count], labels[:count])
        assert (found.classes.shape, found.losses.shape) == ((count,), (count,))
        assert (found.classes.dtype, found.losses.dtype) == (torch.int64, torch.float32)
    every_second = runner.predict(weights, torch.zeros(0), images[::2], labels[::2])
    assert torch.equal(
        every_second.losses,
        runner.predict(weights, torch.zeros(0), images[::2].clone(), labels[::2].clone()).losses,
    )
