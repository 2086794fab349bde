"""The compiled optimiser steps: single roundings in one order, for any length, on any processor.

``test_engine`` compares every setting with torch.optim.
"""

from __future__ import annotations

import math
import platform
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fedskew.config import SGD, Adam
from fedskew.protocols import State
from fedskew.training.native import Unsupported, compiler, step

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

TARGETS = ("", "x86-64", "x86-64-v3") if platform.machine() in ("x86_64", "AMD64") else ("",)
SETTINGS: dict[str, Adam | SGD] = {
    "adam": Adam(),
    "amsgrad": Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01, amsgrad=True),
    "adamw": Adam(weight_decay=0.1, decoupled_weight_decay=True),
    "sgd": SGD(lr=0.05, weight_decay=0.01),
    "momentum": SGD(lr=0.02, momentum=0.9, dampening=0.5),
    "nesterov": SGD(lr=0.02, momentum=0.9, weight_decay=0.01, nesterov=True),
}
Row = np.ndarray


@pytest.fixture(autouse=True, scope="module")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "cache_folder", lambda: folder)
        yield


def one_by_one(settings: Adam | SGD, weights: Row, gradients: Row) -> tuple[Row, dict[str, Row]]:
    """The formulas with NumPy's float32 operations, each rounded by itself: weights and state after the last step."""
    f = np.float32
    w, zero = weights.copy(), np.zeros_like(weights)
    if isinstance(settings, SGD):
        velocity = None
        for gradient in gradients:
            g = gradient + f(settings.weight_decay) * w
            if settings.momentum:
                kept = zero if velocity is None else f(settings.momentum) * velocity
                velocity = kept + f(1 if velocity is None else 1 - settings.dampening) * g
                g = g + f(settings.momentum) * velocity if settings.nesterov else velocity
            w = w - f(settings.lr) * g
        return w, {} if velocity is None else {"momentum_buffer": velocity}
    (beta1, beta2), decay = settings.betas, settings.weight_decay
    m, v, largest = zero, zero, zero
    for t, gradient in enumerate(gradients, start=1):
        if settings.decoupled_weight_decay:
            w, g = f(1 - settings.lr * decay) * w, gradient
        else:
            g = gradient + f(decay) * w
        m = f(beta1) * m + f(1 - beta1) * g
        v = f(beta2) * v + f(1 - beta2) * g * g
        largest = np.maximum(largest, v)
        root = np.sqrt(largest if settings.amsgrad else v)
        denominator = root / f(math.sqrt(1 - beta2**t)) + f(settings.eps)
        w = w - f(settings.lr / (1 - beta1**t)) * m / denominator
    state = {"exp_avg": m, "exp_avg_sq": v}
    return w, state | ({"max_exp_avg_sq": largest} if settings.amsgrad else {})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_element_has_the_bits_of_single_operations(
    name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiler.TARGET_VARIABLE, target)
    try:
        library = step.load()
    except Unsupported as why:
        pytest.skip(str(why))
    rng = np.random.default_rng(1)
    for length in (1, 7, 16, 33, 1000):  # below, at and above the widths of vectors
        weights = rng.standard_normal(length, dtype=np.float32)
        gradients = rng.standard_normal((4, length), dtype=np.float32)
        gradients[:, 0] = 0.0
        expected, kept = one_by_one(SETTINGS[name], weights, gradients)
        found, state = torch.from_numpy(weights.copy()), State()
        stepped = step.make_step(library, SETTINGS[name], SETTINGS[name].lr, state)
        for gradient in gradients:
            given = torch.from_numpy(gradient.copy())
            stepped(found, given)
            assert np.array_equal(given.numpy(), gradient), "the gradient is not changed"
        assert found.numpy().tobytes() == expected.tobytes()
        assert state.keys() - {"step"} == kept.keys()
        for part, numbers in kept.items():
            assert state[part].numpy().tobytes() == numbers.tobytes(), part
        assert int(state.get("step", torch.tensor(4))) == 4


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_that_is_not_finite_shows_in_the_weights(name: str) -> None:
    weights, state = torch.zeros(20), State()
    stepped = step.make_step(step.load(), SETTINGS[name], 0.1, state)
    gradient = torch.ones(20)
    gradient[3], gradient[18] = torch.nan, torch.inf
    for _ in range(2):
        stepped(weights, gradient)
    assert weights.isfinite().tolist() == [k not in (3, 18) for k in range(20)]


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(4, dtype=torch.float64), torch.zeros(5), torch.zeros(8)[::2], torch.zeros(4, device="meta")],
    ids=["float64", "too long", "not contiguous", "elsewhere"],
)
def test_other_vectors_are_refused(wrong: torch.Tensor) -> None:
    stepped = step.make_step(step.load(), Adam(), 0.1, {})
    with pytest.raises(ValueError, match="a step needs contiguous float32 CPU vectors of length 4"):
        stepped(torch.zeros(4), wrong)


def test_a_state_of_another_length_is_refused() -> None:
    state: State = {"momentum_buffer": torch.zeros(3)}
    stepped = step.make_step(step.load(), SETTINGS["momentum"], 0.1, state)
    stepped(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="of length 4, not"):
        stepped(torch.zeros(4), torch.zeros(4))
