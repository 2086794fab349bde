"""A model's arrays as vectors and back; without Flower."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import fedskew
from fedskew.errors import ConfigError
from fedskew.flower.arrays import arrays_of

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "half": np.array([[0.5, 1.5]], np.float16),
    "count": np.array(7, np.int64),
    "double": np.array([0.1, 1e300]),
    "average": np.array([2.0], np.float32),
    "mask": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}


def test_parameters_and_buffers_are_vectors_in_the_order_of_the_arrays() -> None:
    model = arrays_of(ARRAYS, frozenset({"average"}), frozenset({"double"}))
    assert model.layout.names == ("half", "double", "none")
    assert model.layout.shapes == ((1, 2), (2,), (0, 3))
    assert model.frozen is not None
    assert model.frozen.tolist() == [False, False, True, True]
    parameters, buffers = model.vectors(dict(reversed(ARRAYS.items())))
    assert parameters.tolist() == [0.5, 1.5, np.float32(0.1), np.inf]  # it is float32
    assert buffers.tolist() == [7, 2, 1, 0]


def test_each_array_comes_back_in_its_own_type_and_whole_numbers_are_rounded() -> None:
    model = arrays_of(ARRAYS, frozenset({"average"}), frozenset())
    parameters, buffers = model.vectors(ARRAYS)
    found = model.arrays(parameters, buffers + 0.625)
    assert [(name, array.dtype, array.shape) for name, array in found.items()] == [
        (name, array.dtype, array.shape) for name, array in ARRAYS.items()
    ]
    assert found["count"] == 8
    assert found["average"].tolist() == [2.625]
    assert found["mask"].tolist() == [True, True]
    assert model.arrays(parameters, buffers - 0.625)["mask"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("arrays", "buffers", "frozen", "message"),
    [
        ({"w": np.zeros(2, np.complex64)}, None, (), "array 'w' of the model is complex64"),
        ({"w": np.array(["a"])}, None, (), "expected real numbers or booleans"),
        (
            {"w": np.zeros(2), "n": np.array(3)},
            None,
            (),
            "array 'n' of the model is int64, which is no parameter",
        ),
        ({"w": np.zeros(2)}, ("v",), (), "unknown array in buffers: 'v'; valid: w"),
        ({"w": np.zeros(2), "b": np.zeros(1)}, ("b",), ("b",), "unknown array in frozen: 'b'; valid: w"),
        ({"n": np.array(3)}, (), (), "the model has no parameters"),
    ],
)
def test_what_is_no_model_is_refused(arrays: Any, buffers: Any, frozen: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arrays_of(arrays, None if buffers is None else frozenset(buffers), frozenset(frozen))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": None}, "it lacks the array 'count'"),
        ({"more": np.zeros(1)}, "the model lacks the array 'more'"),
        ({"half": np.zeros((2, 1), np.float16)}, r"half is float16 \[2, 1\], not float16 \[1, 2\]"),
        ({"count": np.array(7.0)}, r"count is float64 \[\], not int64 \[\]"),
        ({"mask": np.array(["a", "b"])}, "mask is <U1"),
    ],
)
def test_other_arrays_are_not_taken_for_the_models(change: dict[str, Any], message: str) -> None:
    model = arrays_of(ARRAYS, frozenset({"average"}), frozenset())
    arrays = {name: array for name, array in {**ARRAYS, **change}.items() if array is not None}
    with pytest.raises(ValueError, match=message):
        model.vectors(arrays)


def test_without_flower_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)  # as if it were not installed
    for name in [name for name in sys.modules if name.startswith(("flwr.", "fedskew.flower.message"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "fedskew.flower.replies", raising=False)
    monkeypatch.delattr(fedskew.flower, "message", raising=False)
    with pytest.raises(ConfigError, match=r"needs Flower \(flwr 1\.42 or newer\), not installed") as refused:
        fedskew.flower.strategy("median", clients=3)
    assert refused.value.hint == "`pip install 'fedskew[flower]'`"
