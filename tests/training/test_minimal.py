"""Minimal filtering (minimal.h, winograd.h): the method in exact arithmetic, its transforms, whole layers, rounding."""

from __future__ import annotations

import ctypes
import itertools
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from fedskew.training.native import codegen, compiler
from fedskew.training.native.plan import Conv, make_plan
from native_case import Case
from tolerance import MAGNIFIED, gamma, likely_gamma

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
Matrix = list[list[Fraction]]


def matrix(text: str) -> Matrix:
    return [[Fraction(number) for number in row.split()] for row in text.strip().splitlines()]


# Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1: F(4, 3).
B_T = matrix("""
    4  0 -5  0 1 0
    0 -4 -4  1 1 0
    0  4 -4 -1 1 0
    0 -2 -1  2 1 0
    0  2 -1 -2 1 0
    0  4  0 -5 0 1
""")
G = matrix("""
     1/4     0    0
    -1/6  -1/6 -1/6
    -1/6   1/6 -1/6
    1/24  1/12  1/6
    1/24 -1/12  1/6
       0     0    1
""")
A_T = matrix("""
    1 1  1 1  1 0
    0 1 -1 2 -2 0
    0 1  1 4  4 0
    0 1 -1 8 -8 1
""")


def turned(m: Matrix) -> Matrix:
    return [list(column) for column in zip(*m, strict=True)]


TRANSFORMS = {
    "to_points": B_T,
    "from_points": turned(B_T),
    "to_outputs": A_T,
    "from_outputs": turned(A_T),
    "from_filter": G,
    "to_filter": turned(G),
}


@pytest.fixture(autouse=True, scope="module")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "cache_folder", lambda: folder / "native")
        yield


def test_the_method_gives_a_correlation_in_exact_arithmetic() -> None:
    """For every pair of unit vectors, so for all inputs: y_i = sum_k w_k d_(i + k)."""
    for at, tap in itertools.product(range(6), range(3)):
        products = [G[p][tap] * B_T[p][at] for p in range(6)]
        outputs = [sum(a * m for a, m in zip(row, products, strict=True)) for row in A_T]
        assert outputs == [1 if i + tap == at else 0 for i in range(4)]


def test_the_magnification_of_rounding_is_that_of_the_matrices() -> None:
    def squares(row: list[Fraction]) -> Fraction:
        return sum((x * x for x in row), Fraction(0))

    spread = [squares(b) * squares(g) for b, g in zip(B_T, G, strict=True)]
    one_way = max(sum(a * a * m for a, m in zip(row, spread, strict=True)) for row in A_T) / 3
    assert 0.95 * MAGNIFIED < one_way <= MAGNIFIED  # two ways: the root of its square


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_each_transform_is_its_matrix(name: str) -> None:
    exact = TRANSFORMS[name]
    rows, columns = len(exact), len(exact[0])
    library = compiler.load(f"""#include "winograd.h"
        void apply(const float *from, float *to) {{
            vf x[{columns}], y[{rows}];
            for (int i = 0; i < {columns}; i++) x[i] = load(from + i * LANES);
            {name}(x, y);
            for (int i = 0; i < {rows}; i++) store(to + i * LANES, y[i]);
        }}
        int lanes(void) {{ return LANES; }}""")
    lanes = library.lanes()
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(columns, lanes, generator=generator)
    values[:, :columns] = torch.eye(columns)[:, :lanes]
    buffer = torch.zeros(16 * columns * lanes // 8 + 16)  # room for an aligned start
    shift = -buffer.data_ptr() % 64 // 4
    aligned = buffer[shift : shift + columns * lanes].view(columns, lanes)
    aligned.copy_(values)
    result = torch.zeros(rows * lanes + 16)
    offset = -result.data_ptr() % 64 // 4
    made = result[offset : offset + rows * lanes].view(rows, lanes)
    library.apply(ctypes.c_void_p(aligned.data_ptr()), ctypes.c_void_p(made.data_ptr()))
    m = torch.tensor([[float(x) for x in row] for row in exact], dtype=torch.float64)
    bound = gamma(10) * (m.abs() @ values.double().abs())
    assert ((made.double() - m @ values.double()).abs() <= bound).all()


def layer(
    size: tuple[int, int], padding: tuple[int, int], bias: bool, *after: nn.Module, channels: int = 32
) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A 1x1 convolution, which makes 16 channels, then a 3x3 one; after it what is given."""
    first = nn.Conv2d(2, 16, 1)
    second = nn.Conv2d(16, channels, 3, padding=padding, bias=bias)
    body = nn.Sequential(first, second, *after)
    with torch.no_grad():
        features = body(torch.zeros(1, 2, *size)).numel()
    return nn.Sequential(body, nn.Flatten(), nn.Linear(features, 3)), (2, *size)


SIZES = [
    (15, 9),
    *(pytest.param(size, marks=pytest.mark.slow) for size in [(6, 6), (3, 3), (5, 12), (4, 8), (14, 7)]),
]


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_linear_layers_agree_with_autograd(size: tuple[int, int], padding: tuple[int, int]) -> None:
    """Without ReLU or pooling, where nothing but rounding can differ."""
    torch.manual_seed(1)
    case = Case(*layer(size, padding, bias=padding == (0, 0)))
    assert MAGNIFIED in case.factors()
    for batch in (1, 33):
        case.check(batch)


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize(
    "size", [(9, 7), *(pytest.param(s, marks=pytest.mark.slow) for s in [(6, 6), (16, 5)])]
)
@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
def test_pooled_layers_agree_with_autograd(size: tuple[int, int], padding: tuple[int, int]) -> None:
    torch.manual_seed(2)
    case = Case(*layer(size, padding, True, nn.ReLU(), nn.MaxPool2d(2)))
    assert MAGNIFIED in case.factors()
    for batch in (3, 40):
        case.check(batch)


@pytest.mark.numerical
@needs_compiler
def test_two_layers_and_several_chunks_agree_with_autograd() -> None:
    torch.manual_seed(3)
    case = Case(*layer((11, 10), (1, 1), True, nn.ReLU(), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU()))
    assert case.factors().count(MAGNIFIED) == 2
    for batch in (1, 300):
        case.check(batch)


@pytest.mark.numerical
@needs_compiler
def test_a_first_layer_of_many_channels_agrees_with_autograd() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(nn.Conv2d(17, 32, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 2 * 3, 4))
    case = Case(module, (17, 7, 9))
    assert MAGNIFIED in case.factors()
    case.check(37)


@pytest.mark.parametrize(
    ("layers", "filtered"),
    [
        ((nn.Conv2d(16, 32, 3),), True),
        ((nn.Conv2d(16, 32, 3), nn.MaxPool2d(2)), True),
        ((nn.Conv2d(16, 32, 3), nn.MaxPool2d(3)), False),
        ((nn.Conv2d(16, 32, 5),), False),
        ((nn.Conv2d(15, 32, 3),), False),
        ((nn.Conv2d(16, 33, 3),), False),
    ],
)
def test_which_layers_are_filtered(layers: tuple[nn.Module, ...], filtered: bool) -> None:
    body = nn.Sequential(nn.Conv2d(1, layers[0].in_channels, 1), *layers, nn.Flatten())
    with torch.no_grad():
        features = body(torch.zeros(1, 1, 8, 8)).numel()
    planned = make_plan(nn.Sequential(body, nn.Linear(features, 2)), (1, 8, 8)).layers
    assert [codegen.minimal(layer) for layer in planned if isinstance(layer, Conv)] == [False, filtered]


@pytest.mark.numerical
@needs_compiler
def test_direct_and_minimal_kernels_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same layer by both: nearer to each other than either bound, and not the same bits."""
    torch.manual_seed(5)
    module, shape = layer((13, 13), (1, 1), True)
    minimal = Case(module, shape)
    monkeypatch.setattr(codegen, "minimal", lambda layer: False)
    direct = Case(module, shape)
    indices = torch.arange(40)
    one, other = minimal.run(indices)[2], direct.run(indices)[2]
    assert not torch.equal(one, other)
    assert (one - other).norm() < MAGNIFIED * likely_gamma(16 * 9) * other.norm()
