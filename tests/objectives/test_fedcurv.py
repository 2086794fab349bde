"""FedCurv: its penalty against the sum over other clients, its estimate of the Fisher information, its limits."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.objectives.fedcurv import fedcurv
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State
from fedskew.simulation import simulate
from helpers import skewed

LAMBDA, PARAMETERS = 0.7, 6


def test_strength_0_is_no_objective() -> None:
    assert fedcurv(strength=0) == LocalObjective()


def penalty(weights: Tensor, others: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The gradient of the paper's penalty, of (F_j, w_j) of the others, differentiated by autograd."""
    leaf = weights.clone().requires_grad_()
    terms = [(fisher * (leaf - at).square()).sum() for fisher, at in others]
    (LAMBDA * torch.stack(terms).sum()).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return leaf.grad


def test_the_penalty_is_the_papers_sum_over_the_others_of_the_round_before() -> None:
    """Four clients, who take part now and then; a slow reference keeps every F_j and w_j of the round before."""
    objective, rng = fedcurv(strength=LAMBDA), np.random.default_rng(1)
    assert objective.add is not None

    def drawn(scale: float = 1.0) -> Tensor:
        return torch.from_numpy(scale * rng.standard_normal(PARAMETERS))

    kept = [{n: t.double() for n, t in objective.init(PARAMETERS).items()} for _ in range(4)]
    state, before = objective.server_init(), dict[int, tuple[Tensor, Tensor]]()
    for cohort in ((0, 1, 2, 3), (0, 1), (1, 2), (0, 3), (3,), (0, 1, 2, 3)):
        start, sent, now = drawn(), objective.send(state), dict[int, tuple[Tensor, Tensor]]()
        uploads: list[State] = []
        for k in cohort:
            squares, weights = torch.zeros(PARAMETERS, dtype=torch.float64), start.clone()
            others = [before[j] for j in before if j != k]
            for _ in range(3):
                raw, gradient = drawn(), torch.zeros(0)
                gradient = raw.clone()
                objective.add(gradient, LocalView(weights, start, sent, kept[k], 0.1))
                expected = raw + penalty(weights, others) if others else raw
                assert torch.allclose(gradient, expected, rtol=0, atol=1e-12)
                squares, weights = squares + raw**2, weights - 0.1 * gradient
            result = LocalResult(weights - start, 3, 0.1, sent, kept[k], start, 12)
            kept[k], up = objective.finish(result)
            uploads.append(up)
            now[k] = 4 * squares / 3, weights  # batches of 12 / 3 images
            assert torch.allclose(up["fisher"], now[k][0])
            assert torch.allclose(up["anchored"], now[k][0] * weights)
        state = objective.collect(state, {n: torch.stack([up[n] for up in uploads]) for n in uploads[0]}, 4)
        before = now


def estimate(batches: list[Tensor]) -> float:
    """F_k of a client of one parameter whose batches have these gradients of single images."""
    objective = fedcurv(strength=1.0)
    assert objective.add is not None
    kept = {name: tensor.double() for name, tensor in objective.init(1).items()}
    zero = torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        objective.add(batch.mean(dim=0, keepdim=True), LocalView(zero, zero, {}, kept, 0.1))
    visits = sum(len(batch) for batch in batches)
    _, uploads = objective.finish(LocalResult(zero, len(batches), 0.1, {}, kept, zero, visits))
    return float(uploads["fisher"])


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_what_its_estimate_is_of_the_empirical_fisher_information(size: int) -> None:
    """Over all batches of B of five images, v (n - B) / (n - 1) + B m^2: the Fisher information itself for B = 1."""
    images = torch.tensor([0.3, -1.0, 2.0, 0.5, -0.8], dtype=torch.float64)
    n, m, v = len(images), float(images.mean()), float(images.var(correction=0))
    found = estimate([images[list(chosen)] for chosen in combinations(range(n), size)])
    assert found == pytest.approx(v * (n - size) / (n - 1) + size * m**2)
    if size == 1:
        assert found == pytest.approx(float(images.square().mean()))
    if size == n:
        assert found == pytest.approx(n * m**2)


def run(objective: Any, **fields: Any) -> list[dict[str, float]]:
    return [
        record.metrics for record in simulate(skewed(objective, batch_size=16, **{"rounds": 4, **fields}))
    ]


def test_the_first_round_is_fedavgs_and_later_ones_move_less() -> None:
    plain, found = run("none"), run({"name": "fedcurv", "strength": 0.3})
    assert found[0] == plain[0]
    assert run({"name": "fedcurv", "strength": 0.0}) == plain
    assert found[-1]["update_norm_honest"] < 0.9 * plain[-1]["update_norm_honest"]


def test_a_client_alone_has_no_others_and_pulls_on_nothing() -> None:
    alone = {"clients": {"count": 1}}
    assert run({"name": "fedcurv", "strength": 5.0}, **alone) == run("none", **alone)
