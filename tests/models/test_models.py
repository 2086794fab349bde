"""Architectures: shapes, sizes, and initial weights that depend on the seed alone."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fedskew.components.binding import resolve
from fedskew.components.registry import lookup
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.datasets.published import LOADERS
from fedskew.errors import ConfigError
from fedskew.models.build import fresh, layout_of
from fedskew.models.cnn6 import cnn6
from fedskew.models.lenet import lenet
from fedskew.models.mlp import mlp
from fedskew.models.small_cnn import small_cnn
from helpers import PROPERTY, toy_info

FASHION, CIFAR = toy_info((1, 28, 28)), toy_info((3, 32, 32))
ANY_MODEL = pytest.mark.parametrize("factory", [lenet, cnn6, mlp, small_cnn])


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def flat(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def answers(module: nn.Module, info: Any, batch: int = 2) -> Tensor:
    module.eval()
    with torch.no_grad():
        found: Tensor = module(torch.zeros(batch, *info.image_shape))
    return found


# --- sizes ------------------------------------------------------------------------------------------


def test_the_papers_lenet_has_61706_parameters() -> None:
    # 6 (25 + 1) + 16 (6 * 25 + 1) + 120 (400 + 1) + 84 (120 + 1) + 10 (84 + 1)
    assert parameters(lenet(FASHION)) == 156 + 2416 + 48_120 + 10_164 + 850 == 61_706


def test_the_papers_cnn_has_537610_parameters() -> None:
    # 64 (27 + 1) + 128 (576 + 1) + 256 (1152 + 1) + 128 (1024 + 1) + 256 (128 + 1) + 10 (256 + 1)
    assert parameters(cnn6(CIFAR)) == 1792 + 73_856 + 295_168 + 131_200 + 33_024 + 2570 == 537_610


def test_an_mlp_has_the_widths_it_is_told() -> None:
    info = toy_info((1, 8, 8))
    assert parameters(mlp(info)) == 64 * 65 + 10 * 65
    assert parameters(mlp(info, hidden=[])) == 10 * 65  # logistic regression
    assert [tuple(p.shape) for p in mlp(info, hidden=[5, 7]).parameters()] == [
        (5, 64),
        (5,),
        (7, 5),
        (7,),
        (10, 7),
        (10,),
    ]


def test_a_small_cnn_has_the_width_it_is_told() -> None:
    # width 4 at 1x8x8: 4 (9 + 1) + 8 (36 + 1) + 10 (8 * 2 * 2 + 1)
    assert parameters(small_cnn(toy_info((1, 8, 8)), width=4)) == 40 + 296 + 330


def test_dropout_stands_before_each_fully_connected_layer_of_the_papers_cnn() -> None:
    layers = list(cnn6(CIFAR))  # type: ignore[call-overload]
    positions = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    assert len(positions) == 3
    assert all(isinstance(layers[i - 1], nn.Dropout) and layers[i - 1].p == 0.5 for i in positions)
    assert {layer.p for layer in cnn6(CIFAR, dropout=0.0) if isinstance(layer, nn.Dropout)} == {0.0}  # type: ignore[attr-defined]


def test_lenet_pads_the_first_convolution_alone_and_the_cnn_none() -> None:
    def padding(module: nn.Module) -> list[Any]:
        return [layer.padding for layer in module.modules() if isinstance(layer, nn.Conv2d)]

    assert padding(lenet(FASHION)) == [(2, 2), (0, 0)]
    assert padding(cnn6(CIFAR)) == [(0, 0)] * 3


# --- shapes -----------------------------------------------------------------------------------------


@ANY_MODEL
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 22, 31), (1, 40, 25)])
def test_a_model_maps_images_to_one_logit_per_class(factory: Any, shape: tuple[int, int, int]) -> None:
    info = toy_info(shape, classes=7)
    module = factory(info)
    assert isinstance(module, nn.Sequential)
    assert answers(module, info).shape == (2, 7)


@pytest.mark.parametrize(("factory", "side"), [(lenet, 12), (cnn6, 22), (small_cnn, 4), (mlp, 1)])
def test_the_smallest_images_a_model_can_take(factory: Any, side: int) -> None:
    info = toy_info((1, side, side + 1), classes=3)
    assert answers(factory(info), info).shape == (2, 3)


@pytest.mark.parametrize(
    ("factory", "name", "side"), [(lenet, "lenet", 12), (cnn6, "cnn6", 22), (small_cnn, "small-cnn", 4)]
)
@pytest.mark.parametrize("flip", [False, True])
def test_smaller_images_are_an_error_that_names_both_sizes_and_another_model(
    factory: Any, name: str, side: int, flip: bool
) -> None:
    height, width = (40, side - 1) if flip else (side - 1, 40)
    words = rf"model '{name}' needs images of at least {side}x{side}, toy has {height}x{width}"
    with pytest.raises(ConfigError, match=words) as caught:
        factory(toy_info((1, height, width)))
    assert caught.value.hint is not None
    assert "mlp" in caught.value.hint


# --- initial weights --------------------------------------------------------------------------------


@ANY_MODEL
def test_initial_weights_depend_on_the_seed_alone(factory: Any) -> None:
    torch.manual_seed(1)
    one = flat(fresh(factory, CIFAR, 3))
    torch.manual_seed(2)
    torch.rand(5)
    assert torch.equal(flat(fresh(factory, CIFAR, 3)), one)
    assert not torch.equal(flat(fresh(factory, CIFAR, 4)), one)


def numpys_state() -> list[int]:
    """The words of NumPy's global generator."""
    state: Any = np.random.get_state()  # noqa: NPY002 (this is what must stay)
    words: list[int] = state[1].tolist()
    return words


@ANY_MODEL
def test_making_a_model_leaves_the_global_random_states_alone(factory: Any) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    before = numpys_state()
    fresh(factory, CIFAR, 0)
    assert torch.equal(torch.rand(3), expected)
    assert numpys_state() == before


def test_options_that_draw_nothing_leave_the_initial_weights() -> None:
    with_dropout, without = (fresh(partial(cnn6, dropout=p), CIFAR, 0) for p in (0.5, 0.0))
    assert torch.equal(flat(with_dropout), flat(without))


def test_the_model_of_a_config_is_the_same_as_the_function() -> None:
    resolved = resolve("model", Component(name="mlp", hidden=[5]))
    assert torch.equal(flat(fresh(resolved, FASHION, 0)), flat(fresh(partial(mlp, hidden=[5]), FASHION, 0)))


# --- layout -----------------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.integers(1, 5), max_size=3), st.integers(2, 4))
def test_a_layout_cuts_the_flat_vector_into_the_modules_parameters(hidden: list[int], classes: int) -> None:
    module = mlp(toy_info((1, 2, 3), classes), hidden=hidden)
    layout, weights = layout_of(module), flat(module)
    assert layout.total == len(weights) == sum(layout.sizes)
    parts = layout.unflatten(weights)
    assert list(parts) == list(layout.names) == [name for name, _ in module.named_parameters()]
    for name, parameter in module.named_parameters():
        assert torch.equal(parts[name], parameter)
    assert all(
        part.untyped_storage().data_ptr() == weights.untyped_storage().data_ptr() for part in parts.values()
    )


# --- rows that test_registry.py does not compare with the code -----------------------


def test_the_two_tables_of_data_sets_agree_and_every_loader_takes_verify() -> None:
    assert {name: entry.target for name, entry in BUILT_IN["dataset"].items()} == dict(LOADERS)
    for name in LOADERS:
        verify = inspect.signature(lookup("dataset", name)).parameters["verify"]
        assert (verify.kind, verify.default) == (verify.KEYWORD_ONLY, True)


def test_the_table_names_the_models_under_test() -> None:
    assert {lookup("model", name) for name in BUILT_IN["model"]} == {lenet, cnn6, mlp, small_cnn}
