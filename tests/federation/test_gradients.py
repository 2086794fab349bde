"""Cosines of directions with the gradients of single records: a plain loop gives the same, for any model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedskew.config import Experiment
from fedskew.federation import gradients
from fedskew.models.build import fresh
from fedskew.models.small_cnn import small_cnn
from fedskew.protocols import DatasetInfo
from fedskew.simulation import simulate
from fedskew.training.arithmetic import all_buffers, flatten
from helpers import toy_info

RECORDS = 9
INFO = toy_info((1, 8, 8))


class Normed(nn.Sequential):
    """A model with running averages."""

    def __init__(self, info: DatasetInfo) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


class Looking(nn.Module):
    """A model that looks at values while it computes."""

    def __init__(self, info: DatasetInfo) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        largest = pixels.abs().max().item()
        found: Tensor = self.layer(pixels.flatten(1)) * (2.0 if largest > 1.0 else 0.5)
        return found


class Branching(Looking):
    """A model that decides by a tensor."""

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.layer(pixels.flatten(1))
        return found if pixels.mean() > 0 else -found


def looking(info: DatasetInfo) -> nn.Module:
    return Looking(info)


def made(model: Callable[..., nn.Module]) -> tuple[nn.Module, list[Tensor]]:
    """A model, and the arguments of ``cosines`` after its info."""
    module, draws = fresh(model, INFO, 0).eval(), torch.Generator().manual_seed(0)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2.0, generator=draws)
    weights = flatten(list(module.parameters())).detach()
    return module, [
        flatten(all_buffers(module)),
        weights,
        torch.randn(2, len(weights), generator=draws),
        torch.randint(0, 256, (RECORDS, 1, 8, 8), generator=draws).to(torch.uint8),
        torch.randint(0, 10, (RECORDS,), generator=draws),
    ]


def one_by_one(module: nn.Module, given: list[Tensor]) -> Tensor:
    """float32 [S, N], by PyTorch's own backward pass."""
    _, _, directions, images, labels = given
    mean, std = (torch.tensor(values)[:, None, None] for values in (INFO.mean, INFO.std))
    columns = []
    for pixels, label in zip(images, labels, strict=True):
        module.zero_grad()
        nn.functional.cross_entropy(module((pixels[None] / 255 - mean) / std), label[None]).backward()  # type: ignore[no-untyped-call]
        gradient = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
        columns.append(nn.functional.cosine_similarity(-gradient, directions, dim=1))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("model", [small_cnn, Normed, Looking, Branching])
@pytest.mark.parametrize("together", [2, 64])
def test_cosines_are_those_of_the_gradient_of_each_image(
    model: Callable[..., nn.Module], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, given = made(model)
    monkeypatch.setattr(gradients, "MOST", together)
    found = gradients.cosines(module, INFO, *given)
    assert found.shape == (2, RECORDS)
    assert torch.allclose(found, one_by_one(module, given), atol=1e-5)


def test_one_at_a_time_gives_the_same_up_to_rounding() -> None:
    module, (buffers, weights, _, images, labels) = made(small_cnn)
    loss = gradients._loss_of(module, buffers)
    pixels = images / 255
    each = gradients.each_gradient(loss, weights, pixels, labels)
    alone = [gradients.one_gradient(loss, weights, *one) for one in zip(pixels, labels, strict=True)]
    assert torch.allclose(each, torch.stack(alone), atol=1e-6)


@pytest.mark.parametrize(("bound", "sizes"), [(2**28, [9]), (4, [4, 4, 1]), (0.5, [1] * 9)])
def test_no_more_gradients_are_held_than_their_bytes_allow(
    bound: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is as many gradients of this model; one is always possible."""
    module, given = made(small_cnn)
    usual, seen = gradients.each_gradient, list[int]()

    def each(loss: gradients.Loss, weights: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        seen.append(len(labels))
        return usual(loss, weights, pixels, labels)

    monkeypatch.setattr(gradients, "each_gradient", each)
    monkeypatch.setattr(gradients, "MOST_BYTES", int(bound * given[1].nbytes))
    gradients.cosines(module, INFO, *given)
    assert seen == sizes


def test_what_is_wrong_with_a_model_is_said_by_the_model() -> None:
    module, (buffers, weights, directions, images, labels) = made(small_cnn)
    with pytest.raises(RuntimeError, match="channels"):
        gradients.cosines(module, INFO, buffers, weights, directions, images.expand(-1, 3, -1, -1), labels)


def test_a_run_with_a_model_that_looks_at_values() -> None:
    config = Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 1,
            "model": looking,
            "clients": {"count": 3, "held_out": 0.4},
            "privacy": {"attacks": ["delta-cosine"], "records": 10},
        }
    )
    assert 0 < list(simulate(config))[-1].metrics["delta_cosine_auc"] < 1
