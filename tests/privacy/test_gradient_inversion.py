"""Gradient inversion where the answer is known: exact recovery, labels, and a plain search that must find the image."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from fedskew.datasets.digits import digits
from fedskew.errors import ConfigError
from fedskew.evaluation.reconstruction import paired, psnr
from fedskew.models.build import fresh
from fedskew.models.mlp import mlp
from fedskew.models.small_cnn import small_cnn
from fedskew.privacy.gradient_inversion import first_layer_input, invert, label
from fedskew.protocols import DatasetInfo

Model = Callable[[DatasetInfo], nn.Module]
DATA = digits()
INFO, LR = DATA.info, 0.1


def update(module: nn.Module, images: Tensor, labels: Tensor, lr: float = LR) -> Tensor:
    """Local minus global weights after one step of torch's SGD on uint8 images."""
    local = copy.deepcopy(module)
    optimiser = torch.optim.SGD(local.parameters(), lr=lr)
    seen = (images.float() / 255 - INFO.mean[0]) / INFO.std[0]
    functional.cross_entropy(local(seen), labels).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return (parameters_to_vector(local.parameters()) - parameters_to_vector(module.parameters())).detach()


@pytest.mark.parametrize("hidden", [(), (64,), (32, 16)])
def test_a_single_image_of_a_fully_connected_model_is_in_its_update(hidden: tuple[int, ...]) -> None:
    module = fresh(lambda info: mlp(info, hidden=hidden), INFO, seed=0)
    for i in range(5):
        delta = update(module, DATA.x_train[i : i + 1], DATA.y_train[i : i + 1])
        found = first_layer_input(module, INFO, delta)
        assert torch.equal((255 * found).round().to(torch.uint8), DATA.x_train[i : i + 1])


def test_several_images_of_a_linear_model_come_out_as_the_mixture_that_its_gradient_holds() -> None:
    module = fresh(lambda info: mlp(info, hidden=()), INFO, seed=0).double()
    images, labels = DATA.x_train[:2], DATA.y_train[:2]
    pixels = (images.double() / 255 - INFO.mean[0]) / INFO.std[0]
    with torch.no_grad():
        errors = (module(pixels).softmax(dim=1) - functional.one_hot(labels, 10)) / 2  # [2, C], dl/dlogits
    weights = errors @ errors.sum(dim=0) / errors.sum(dim=0).square().sum()
    mixture = ((weights[:, None] * pixels.flatten(1)).sum(dim=0) * INFO.std[0] + INFO.mean[0]).clamp(0, 1)
    gradient = torch.cat([(errors.T @ pixels.flatten(1)).flatten(), errors.sum(dim=0)])
    found = first_layer_input(module, INFO, -LR * gradient)
    assert torch.allclose(found.flatten(), mixture, rtol=0, atol=1e-12)  # float64, sums of 64 and of 10 terms


@pytest.mark.parametrize("factory", [mlp, small_cnn])
def test_the_label_of_a_single_image_is_in_its_update(factory: Model) -> None:
    module = fresh(factory, INFO, seed=1)
    for i in range(20):
        delta = update(module, DATA.x_train[i : i + 1], DATA.y_train[i : i + 1])
        assert label(module, INFO, delta) == DATA.y_train[i]


def smooth(info: DatasetInfo) -> nn.Module:
    """``small_cnn`` with tanh and mean pooling."""
    swapped: dict[type[nn.Module], nn.Module] = {nn.ReLU: nn.Tanh(), nn.MaxPool2d: nn.AvgPool2d(2)}
    return nn.Sequential(*(swapped.get(type(layer), layer) for layer in small_cnn(info).children()))


@pytest.mark.parametrize(("factory", "lr"), [(mlp, 0.1), (mlp, 1.0), (smooth, 0.1)])
def test_one_image_is_found_without_its_label_whatever_the_learning_rate(factory: Model, lr: float) -> None:
    module = fresh(factory, INFO, seed=0)
    image, truth = DATA.x_train[3:4], DATA.y_train[3:4]
    found = invert(module, INFO, update(module, image, truth, lr), steps=200)
    assert found.shape == (1, 1, 8, 8)
    assert found.min() >= 0
    assert found.max() <= 1
    assert psnr(found, image.float() / 255) > 30


def test_some_images_are_found_and_the_model_is_left_as_it_was() -> None:
    module = fresh(
        lambda info: nn.Sequential(*mlp(info).children(), nn.BatchNorm1d(10)), INFO, seed=0
    ).train()
    before = copy.deepcopy(module.state_dict())
    images, labels = DATA.x_train[:4], DATA.y_train[:4]
    found = invert(module, INFO, update(module, images, labels), labels, steps=300)
    truth = images.float() / 255
    assert psnr(paired(found, truth), truth).mean() > 20
    assert all(torch.equal(before[name], part) for name, part in module.state_dict().items())


def test_a_restart_is_taken_only_if_it_is_closer() -> None:
    module = fresh(small_cnn, INFO, seed=0)
    images, labels = DATA.x_train[:2], DATA.y_train[:2]
    delta = update(module, images, labels)

    def distance(found: Tensor) -> float:
        seen = (found - INFO.mean[0]) / INFO.std[0]
        parts = torch.autograd.grad(functional.cross_entropy(module(seen), labels), list(module.parameters()))
        gradient = torch.cat([part.flatten() for part in parts])
        return 1 - float(functional.cosine_similarity(-delta, gradient, dim=0))

    first, *_, best = (invert(module, INFO, delta, labels, steps=40, restarts=r) for r in (1, 2, 3))
    assert distance(best) < distance(first)
    again = invert(module, INFO, delta, labels, steps=40, restarts=3)
    assert torch.equal(again, best)


def test_more_variation_makes_smoother_images() -> None:
    module = fresh(mlp, INFO, seed=0)
    delta = update(module, DATA.x_train[:1], DATA.y_train[:1])
    rough = [
        float(invert(module, INFO, delta, steps=60, variation=v).diff(dim=-1).abs().mean())
        for v in (0, 0.1, 10)
    ]
    assert rough[0] > rough[1] > rough[2]


@pytest.mark.parametrize(
    ("delta", "labels", "said"),
    [
        (torch.zeros(4810), None, "delta must be 4810 finite numbers"),
        (torch.ones(4809), None, "delta must be 4810 finite numbers"),
        (torch.full((4810,), torch.nan), None, "delta must be 4810 finite numbers"),
        (torch.ones(4810), None, "raises the output bias of 10 classes"),
        (torch.ones(4810), torch.tensor([10]), "labels must be at least one class in 0 .. 9"),
        (torch.ones(4810), torch.tensor([], dtype=torch.int64), "labels must be at least one class"),
    ],
)
def test_what_cannot_be_inverted_is_refused(delta: Tensor, labels: Tensor | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        invert(fresh(mlp, INFO, seed=0), INFO, delta, labels)


def test_a_model_that_hides_its_label_or_its_input_is_named() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    with pytest.raises(ConfigError, match=r"last parameter, 1.weight, is no output bias"):
        label(module, INFO, torch.ones(640))
    with pytest.raises(ConfigError, match="not with a linear layer on the pixels with a bias"):
        first_layer_input(module, INFO, torch.ones(640))
    convolution = fresh(small_cnn, INFO, seed=0)
    delta = torch.ones(sum(p.numel() for p in convolution.parameters()))
    with pytest.raises(ConfigError, match="begins with Conv2d"):
        first_layer_input(convolution, INFO, delta)
    with pytest.raises(ConfigError, match="leaves the bias of the first layer as it was"):
        first_layer_input(fresh(mlp, INFO, seed=0), INFO, torch.eye(4810)[0])
