"""FedNova: by hand, against the paper's formulas, and what it makes of a run with unequal steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew import aggregate
from fedskew.aggregation.fednova import fednova
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.protocols import ClientUpdates
from fedskew.simulation import rounds
from helpers import PROPERTY, VIEW, build_world, client_updates, delta_matrices

RNG = np.random.default_rng(0)


def transformed(
    deltas: Any,
    steps: list[int],
    sizes: list[int] | None = None,
    *,
    momentum: float = 0.0,
    weights: Literal["n_k", "equal"] = "n_k",
) -> ClientUpdates:
    given = replace(client_updates(deltas, sizes), steps=torch.tensor(steps))
    return fednova(given, VIEW, RNG, momentum=momentum, weights=weights)


def test_by_hand() -> None:
    # p = (1/4, 3/4): 1/4 * 2 + 3/4 * 6 = 5 steps. The first is worth 2, the second 6: times 5/2 and 5/6.
    found = transformed([[4.0, 0.0], [0.0, 12.0]], [2, 6], [10, 30])
    assert found.deltas.tolist() == [[10, 0], [0, 10]]
    equal = transformed([[4.0, 0.0], [0.0, 12.0]], [2, 6], [10, 30], weights="equal")
    assert equal.deltas.tolist() == [[8, 0], [0, 8]]


def test_with_momentum_by_hand() -> None:
    # rho = 1/2: one step is worth 1, two 1 + 1.5 = 2.5; their mean is 1.75.
    found = transformed([[1.0], [1.0]], [1, 2], momentum=0.5)
    assert found.deltas.flatten().tolist() == pytest.approx([1.75, 0.7])


@PROPERTY
@given(st.data(), st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from(["n_k", "equal"]))
def test_it_agrees_with_the_papers_formulas(
    data: st.DataObject, rho: float, weights: Literal["n_k", "equal"]
) -> None:
    deltas = data.draw(delta_matrices())
    counts = st.lists(st.integers(1, 50), min_size=len(deltas), max_size=len(deltas))
    steps, sizes = data.draw(counts), data.draw(counts)
    t, n = np.array(steps, dtype=np.float64), np.array(sizes, dtype=np.float64)
    a = (t - rho * (1 - rho**t) / (1 - rho)) / (1 - rho)
    p = n / n.sum() if weights == "n_k" else np.full(len(n), 1 / len(n))
    expected = deltas.astype(np.float64) * ((p @ a) / a)[:, None]
    found = transformed(deltas, steps, sizes, momentum=rho, weights=weights).deltas
    assert np.allclose(found.numpy(), expected, rtol=1e-6)
    # and with FedAvg's weights it is the paper's round
    averaged = aggregate(
        "fedavg",
        deltas,
        sizes,
        transforms=[{"name": "fednova", "momentum": rho, "weights": weights}],
        steps=steps,
    )
    shares = n / n.sum()
    whole = (p @ a) * (shares @ (deltas / a[:, None]))
    bound = 1e-5 * (1 + float((p @ a) * np.abs(deltas / a[:, None]).max()))
    assert np.allclose(averaged.numpy(), whole, rtol=0, atol=bound)


@PROPERTY
@given(delta_matrices(), st.integers(1, 200), st.floats(0, 0.999), st.data())
def test_equal_steps_leave_the_updates_as_they_are(
    deltas: np.ndarray, steps: int, rho: float, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 10**6), min_size=len(deltas), max_size=len(deltas)))
    before = replace(client_updates(deltas, sizes), steps=torch.full((len(deltas),), steps))
    assert fednova(before, VIEW, RNG, momentum=rho) is before


def test_a_client_that_reports_few_steps_gains_length() -> None:
    honest = transformed(torch.ones(10, 1), [20] * 10).deltas
    lied = transformed(torch.ones(10, 1), [1, *[20] * 9]).deltas
    assert float(lied[0]) == pytest.approx(18.1)
    assert float(honest[0]) == 1


def test_a_report_below_one_step_counts_as_one() -> None:
    assert torch.equal(transformed([[1.0], [1.0]], [0, 3]).deltas, transformed([[1.0], [1.0]], [1, 3]).deltas)


def test_updates_without_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs the number of steps that each client took"):
        fednova(client_updates([[1.0], [2.0]]), VIEW, RNG)


# --- in a run ------------------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "rounds": 3,
    "clients": {"count": 5},
    "split": {"name": "quantity", "alpha": 0.7},
    "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
}


def weights_of(transforms: list[Any], **changes: Any) -> torch.Tensor:
    experiment = Experiment.model_validate({**BASE, **changes, "defence": {"transforms": transforms}})
    world = build_world(experiment, Execution())
    state = initial_state(world)
    for _ in rounds(world, state, []):
        pass
    return state.weights


def test_a_run_in_which_all_take_as_many_steps_has_the_bits_of_the_run_without() -> None:
    one_step = {"training": {**BASE["training"], "batch_size": 2000}}
    assert torch.equal(weights_of(["fednova"], **one_step), weights_of([], **one_step))
    assert not torch.equal(weights_of(["fednova"]), weights_of([])), "here steps differ"


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_it_brings_clients_with_the_same_gradient_to_the_same_progress(momentum: float) -> None:
    """Of a loss that is linear in the weights, every update is its gradient times what its steps are worth."""
    steps = [1, 4, 9]
    rows = []
    for count in steps:
        w = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=momentum)
        for _ in range(count):
            optimizer.zero_grad()
            (w @ torch.tensor([1.0, -2.0])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        rows.append(w.detach())
    found = transformed(torch.stack(rows), steps, momentum=momentum).deltas
    assert torch.allclose(found, found[:1].expand_as(found))
    assert torch.allclose(found.mean(dim=0), torch.stack(rows).mean(dim=0))
