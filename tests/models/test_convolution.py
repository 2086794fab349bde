"""Normalisations of the convolutional models: none changes nothing, the others change nothing but what they add."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedskew.components.identity import identity
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.models.convolution import convolution
from fedskew.models.lenet import lenet
from fedskew.models.small_cnn import small_cnn
from helpers import toy_info

INFO = toy_info((3, 32, 32))
MODELS = {"lenet": lenet, "cnn6": cnn6, "small-cnn": small_cnn}
ANY_MODEL = pytest.mark.parametrize("name", MODELS)
KINDS: dict[str, Any] = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm}
ANY_NORM = pytest.mark.parametrize("norm", KINDS)


def built(name: str, **options: Any) -> nn.Sequential:
    found = fresh(partial(MODELS[name], **options), INFO, 3)
    assert isinstance(found, nn.Sequential)
    return found


def of_kind(module: nn.Module, *kinds: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


@ANY_MODEL
def test_no_normalisation_is_the_model_without_the_option(name: str) -> None:
    plain, none = built(name).state_dict(), built(name, norm="none", groups=7).state_dict()
    assert list(plain) == list(none)
    assert all(torch.equal(plain[key], none[key]) for key in plain)
    assert not of_kind(built(name), *KINDS.values())


@ANY_MODEL
def test_no_normalisation_leaves_the_name_of_a_run(name: str) -> None:
    given = {"name": name, "norm": "none", "groups": 2}
    plain, none = Experiment(model=Component(name=name)), Experiment(model=Component.model_validate(given))
    assert identity(plain) == identity(none)
    assert identity(plain) != identity(Experiment(model=Component(name=name, norm="group")))


@ANY_MODEL
@ANY_NORM
def test_every_convolution_is_normalised_before_its_relu_and_has_no_bias(name: str, norm: Any) -> None:
    layers = list(built(name, norm=norm))
    convolutions = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == len(of_kind(built(name), nn.Conv2d))
    for place in convolutions:
        layer, after, relu = layers[place : place + 3]
        assert layer.bias is None
        assert isinstance(after, KINDS[norm])
        assert isinstance(relu, nn.ReLU)
        assert after.weight.shape == (layer.out_channels,), "a scale and a shift per channel"


@ANY_MODEL
@ANY_NORM
def test_all_other_weights_start_as_they_do_without_a_normalisation(name: str, norm: Any) -> None:
    plain, normalised = (of_kind(built(name, norm=n), nn.Conv2d, nn.Linear) for n in ("none", norm))
    for one, other in zip(plain, normalised, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert other.bias is None or torch.equal(one.bias, other.bias)


def normal(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-5), over these dimensions."""
    mean = x.mean(dim=dims, keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean(dim=dims, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
def test_two_groups_of_channels_are_normalised_image_by_image() -> None:
    torch.manual_seed(0)
    layer, norm, relu = convolution("mine", 1, 4, 3, "group", 2)
    x = layer(torch.rand(5, 1, 6, 6))
    by_hand = torch.stack(
        [torch.cat([normal(image[:2], (0, 1, 2)), normal(image[2:], (0, 1, 2))]) for image in x]
    )
    assert relu(norm(x)) == pytest.approx(by_hand.clamp(min=0), abs=1e-5)
    alone = torch.cat([norm(image[None]) for image in x])
    assert norm(x) == pytest.approx(alone, abs=1e-6), "whose images are in the batch makes no difference"


@torch.no_grad()
def test_batch_normalisation_is_over_the_images_of_a_batch_in_training_only() -> None:
    torch.manual_seed(0)
    layer, norm, _ = convolution("mine", 1, 4, 3, "batch", 2)
    assert isinstance(norm, nn.BatchNorm2d)
    x = layer(torch.rand(5, 1, 6, 6))
    assert norm(x) == pytest.approx(normal(x, (0, 2, 3)), abs=1e-5)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    running = norm.running_mean.clone()
    assert running == pytest.approx(0.1 * x.mean(dim=(0, 2, 3)))
    scale = (norm.running_var + 1e-5).sqrt().view(1, 4, 1, 1)
    assert norm.eval()(x) == pytest.approx((x - running.view(1, 4, 1, 1)) / scale, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("small-cnn", {"width": 3}, "model 'small-cnn': groups = 2 must divide the 3 channels"),
        ("lenet", {"groups": 4}, "model 'lenet': groups = 4 must divide the 6 channels"),
        ("cnn6", {"groups": 128}, "model 'cnn6': groups = 128 must divide the 64 channels"),
    ],
)
def test_groups_must_divide_the_channels(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        built(name, norm="group", **options)
    assert caught.value.field == "model.groups"
    assert built(name, norm="batch", **options), "it is an option of groups alone"
