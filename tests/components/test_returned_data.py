"""What a data set and a model of one's own must be: each mistake is one sentence that names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedskew import Dataset, DatasetInfo
from fedskew.components.returned import checked_dataset, checked_model, checked_split
from fedskew.errors import ConfigError

INFO = DatasetInfo("mine", ("a", "b", "c"), (1, 4, 4), (0.0,), (1.0,))


def good() -> Dataset:
    images = torch.arange(6 * 16).reshape(6, 1, 4, 4).byte()
    labels = torch.arange(6) % 3
    return Dataset(INFO, images, labels, images[:3], labels[:3])


def test_a_good_one_is_returned_as_it_is() -> None:
    data = good()
    assert checked_dataset("mine", data) is data


def test_tensors_in_another_order_of_memory_are_copied() -> None:
    """Images with channels last, and labels of every second image, as one gets them from elsewhere."""
    data = good()
    last = data.x_train.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    wide = last.transpose(2, 3)
    assert not wide.is_contiguous()
    given = replace(data, x_train=wide, y_train=torch.arange(12)[::2] % 3)
    found = checked_dataset("mine", given)
    assert found.x_train.is_contiguous()
    assert found.y_train.is_contiguous()
    assert torch.equal(found.x_train, wide)
    assert torch.equal(found.y_train, given.y_train)


def with_info(**changes: Any) -> Dataset:
    return replace(good(), info=replace(INFO, **changes))


def with_groups(names: Any = ("old", "new"), **groups: Any) -> Dataset:
    data = with_info(group_names=names)
    return replace(
        data, **({"groups_train": torch.arange(6) % 2, "groups_test": torch.arange(3) % 2} | groups)
    )


def test_groups_may_be_known_of_the_test_images_alone() -> None:
    for data in (with_groups(), with_groups(groups_train=None), with_groups(groups_test=None)):
        assert checked_dataset("mine", data) is data


def with_clients(names: Any = ("north", "south"), **clients: Any) -> Dataset:
    data = with_info(client_names=names)
    return replace(
        data, **({"clients_train": torch.arange(6) % 2, "clients_test": torch.arange(3) % 2} | clients)
    )


def test_clients_may_be_known_of_one_part_alone_and_be_one() -> None:
    one = with_clients(names=("all",), clients_train=torch.zeros(6, dtype=torch.int64), clients_test=None)
    for data in (with_clients(), with_clients(clients_test=None), one):
        assert checked_dataset("mine", data) is data


def with_rows(train: Any, test: Any) -> Dataset:
    return replace(good(), rows_train=train, rows_test=test)


def test_rows_of_the_source_are_each_there_once() -> None:
    data = with_rows(torch.tensor([0, 1, 3, 4, 6, 7]), torch.tensor([8, 5, 2]))
    assert checked_dataset("mine", data) is data


def flat(values: Any, x: Tensor, mean: Any = (), std: Any = (), **info: Any) -> Dataset:
    described = DatasetInfo("mine", ("a", "b", "c"), (2, 1, 1), mean, std, values=values, **info)
    samples = x[:, :, None, None]
    return Dataset(described, samples, torch.arange(6) % 3, samples[:3], torch.arange(3))


def numbers(**changes: Any) -> Dataset:
    given: dict[str, Any] = {"x": torch.arange(12.0).view(6, 2) - 4, "mean": (-1e6, 2.0), "std": (1e-3, 1e9)}
    return flat("numbers", **given | changes)


TOKENS = torch.arange(12).view(6, 2)


def test_numbers_and_tokens() -> None:
    for data in (numbers(), numbers(feature_names=("age", "bmi")), flat("tokens", TOKENS)):
        assert checked_dataset("mine", data) is data


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "must be a Dataset, not NoneType"),
        (lambda: replace(good(), info=None), "info must be a DatasetInfo"),  # type: ignore[arg-type]
        (
            lambda: replace(good(), x_train=good().x_train / 255),
            r"x_train is float32 \[6, 1, 4, 4\]; expected uint8",
        ),
        (lambda: replace(good(), x_test=good().x_test.squeeze(1)), r"x_test is uint8 \[3, 4, 4\]"),
        (lambda: replace(good(), x_test=good().x_test[:0], y_test=good().y_test[:0]), "x_test has no images"),
        (
            lambda: replace(good(), y_train=good().y_train.int()),
            r"y_train is int32 \[6\]; expected int64 \[6\]",
        ),
        (
            lambda: replace(good(), y_train=good().y_train[:5]),
            r"y_train is int64 \[5\]; expected int64 \[6\]",
        ),
        (lambda: replace(good(), y_train=good().y_train + 1), "labels from 1 to 3; expected 0 to 2"),
        (lambda: replace(good(), y_test=good().y_test - 1), "labels from -1 to 1; expected 0 to 2"),
        (lambda: with_info(mean=(73.0,)), r"mean is \(73.0,\); expected 1 number between 0 and 1"),
        (lambda: with_info(mean=(0.1, 0.2)), "mean is"),
        (lambda: with_info(mean=(float("nan"),)), "mean is"),
        (lambda: with_info(std=(0.0,)), r"std is \(0.0,\); expected 1 number above 0"),
        (lambda: with_info(std=(90.0,)), "std is"),
        (lambda: with_info(image_shape=(4, 4)), "image_shape is"),
        (lambda: with_info(class_names=()), "no class names"),
        (
            lambda: with_info(class_names=("a", "b", "a")),
            "class_names has 'a' twice; expected a different name",
        ),
        (lambda: with_groups(groups_test=torch.zeros(2, dtype=torch.int64)), r"groups_test is int64 \[2\]"),
        (
            lambda: with_groups(groups_test=torch.zeros(3)),
            r"groups_test is float32 \[3\]; expected int64 \[3\]",
        ),
        (lambda: with_groups(groups_test=torch.arange(3)), "groups from 0 to 2; expected 0 to 1"),
        (lambda: with_groups(groups_train=-torch.arange(6)), "groups_train has groups from -5 to 0"),
        (lambda: with_groups(names=()), "group_names has 0 different names; expected one for each group"),
        (lambda: with_groups(names=("old", "old")), "group_names has 1 different name; expected one"),
        (lambda: with_groups(names=("old", 2)), "group_names is tuple; expected a tuple of strings"),
        (
            lambda: with_rows(torch.arange(6), None),
            "rows_test is .*; expected int64 .*, or None in both parts",
        ),
        (
            lambda: with_rows(torch.arange(5), torch.arange(3)),
            r"rows_train is int64 \[5\]; expected int64 \[6\]",
        ),
        (lambda: with_rows(torch.arange(6), torch.arange(3)), "each row of their source once, from 0 to 8"),
        (lambda: with_info(group_names=("old", "new")), "neither groups_train nor groups_test"),
        (lambda: numbers(x=TOKENS), r"x_train is int64 \[6, 2, 1, 1\]; expected float32 \[N, 2, 1, 1\]"),
        (lambda: numbers(x=TOKENS / 0), "x_train has the value nan in row 0, feature 0; expected finite"),
        (lambda: numbers(mean=(0.0, float("inf"))), "mean is .*; expected 2 numbers that are finite"),
        (lambda: numbers(std=(0.0, 1.0)), "std is .*; expected 2 numbers above 0"),
        (
            lambda: numbers(feature_names=("age", "age")),
            "feature_names has 'age' twice; expected a different",
        ),
        (lambda: numbers(feature_names=("age",)), "feature_names has 1 name; expected one for each of the 2"),
        (
            lambda: with_info(values="numbers"),
            r"image_shape is .*; expected \(how many numbers a sample has, 1, 1",
        ),
        (lambda: with_info(values="floats"), "values is 'floats'; expected 'pixels', 'numbers', 'tokens'"),
        (lambda: flat("tokens", TOKENS - 1), "x_train has the token -1; expected 0 or more"),
        (lambda: flat("tokens", TOKENS, (0.0,), (1.0,)), r"tokens are not normalised; expected mean = \(\)"),
        (lambda: with_info(class_names=["a", "b", "c"]), "class_names is list; expected a tuple of strings"),
        (lambda: with_clients(clients_train=torch.arange(6)), "clients from 0 to 5; expected 0 to 1"),
        (lambda: with_clients(names=()), "client_names has 0 different names; expected one for each client"),
        (lambda: with_clients(names=("north", "north")), "client_names has 1 different name"),
        (lambda: with_info(client_names=("north",)), "neither clients_train nor clients_test"),
    ],
)
def test_a_data_set_that_is_not_what_it_says(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_dataset("mine", make())


@pytest.mark.parametrize(
    ("parts", "alone", "shares"),
    [
        ([[0, 2], [1, 3]], True, True),
        ([[0, 2, 3], [1, 3, 2]], False, True),  # 2 and 3 are everybody's
        ([[0], [1]], False, True),  # 2 and 3 are nobody's
        ([[0, 1, 2], [0, 1, 2]], False, True),
        ([[0, 0, 2], [1, 3]], False, False),  # twice with one of two clients
        ([[0, 2], [1, 4]], False, False),
        ([[0, 2], [1, -1]], False, False),
        ([[], []], False, True),
    ],
)
def test_a_split_may_share_images_with_everybody_only_if_it_says_so(
    parts: list[list[int]], alone: bool, shares: bool
) -> None:
    arrays = [np.array(part) for part in parts]
    for stated, fits in ((False, alone), (True, shares)):
        if fits:
            found = checked_split("mine", arrays, 4, 2, shares=stated)
            assert [part.tolist() for part in found] == parts
            continue
        with pytest.raises(ConfigError) as caught:
            checked_split("mine", arrays, 4, 2, shares=stated)
        assert "did not divide the 4 samples" in caught.value.message
        assert ("to every client or to none" in caught.value.message) is stated


def test_an_image_of_some_clients_is_neither_one_clients_nor_everybodys() -> None:
    with pytest.raises(ConfigError, match="exactly one client, to every client or to none"):
        checked_split("mine", [np.array([0, 1]), np.array([1]), np.array([2])], 3, 3, shares=True)


def linear(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, classes))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = linear()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(images), images


def broken(change: Callable[[Tensor], Any]) -> nn.Module:
    module = linear()
    for parameter in module.parameters():
        change(parameter.data)
    return module


def not_copied() -> nn.Module:
    """A module that holds a tensor with a history, which PyTorch does not copy."""
    module = linear()
    module.held = torch.ones(1, requires_grad=True) * 2
    return module


def frozen() -> nn.Module:
    return linear().requires_grad_(False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: linear, "must return an nn.Module, not function"),
        (Pair, r"returned tuple for images \[2, 1, 4, 4\]; expected logits \[2, 3\]"),
        (lambda: linear(2), r"returned float32 \[2, 2\]"),
        (lambda: nn.Sequential(nn.Linear(16, 3)), r"fails on images \[2, 1, 4, 4\]"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "parameter 1.weight is not known yet"),
        (lambda: broken(lambda p: p.fill_(float("nan"))), "initial weights are not finite: 1.weight"),
        (frozen, "no parameters to train"),
        (not_copied, "cannot be copied: Only Tensors created explicitly"),
        (nn.Flatten, "no parameters to train"),
    ],
)
def test_a_model_that_cannot_be_trained(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_model("mine", make(), INFO)


def test_trying_a_model_changes_nothing_in_it() -> None:
    """Not its mode, part by part, nor its buffers, nor the global random state."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm = linear(), nn.BatchNorm2d(1)
            self.norm.eval()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            assert isinstance(self.calls, Tensor)
            self.calls += 1
            return self.body(self.norm(images) + torch.rand(()))  # type: ignore[no-any-return]

    module = Counting()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    assert checked_model("mine", module, INFO) is module
    assert (module.training, module.norm.training) == (True, False)
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_split_that_says_so_may_leave_images_out() -> None:
    parts = [np.array([0, 3]), np.array([1])]
    found = checked_split("mine", parts, 4, 2, leaves_out=True)
    assert [part.tolist() for part in found] == [[0, 3], [1]]
    with pytest.raises(ConfigError, match=r"must be given to exactly one client$"):
        checked_split("mine", parts, 4, 2)
    with pytest.raises(ConfigError, match=r"must be given to at most one client$"):
        checked_split("mine", [np.array([0, 1]), np.array([1])], 4, 2, leaves_out=True)
