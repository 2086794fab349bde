"""Minimal filtering (minimal.h, winograd.h): the method in exact arithmetic, its transforms, whole layers, rounding."""

from __future__ import annotations

import ctypes
import itertools
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from fedskew.config import Training
from fedskew.protocols import DatasetInfo
from fedskew.training.choose import choose
from fedskew.training.native import codegen, compiler
from fedskew.training.native.convolutions import minimal
from fedskew.training.native.plan import Conv, make_plan
from native_case import Case
from tolerance import BFLOAT16, HALVED, MAGNIFIED, MAGNIFIED_HALF, gamma, likely_gamma

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
Matrices = tuple[Matrix, Matrix, Matrix]
PUBLISHED: Matrices = (B_T, G, A_T)


def for_points(p: Fraction, q: Fraction) -> Matrices:
    """B', G, A' of F(4, 3) with points 0, p, -p, q, -q, infinity (Toom and Cook)."""
    one, zero = Fraction(1), Fraction(0)
    points = [zero, p, -p, q, -q]
    a_t = [[x**i for x in points] + [one if i == 3 else zero] for i in range(4)]
    g, b_t = [], []
    for x in points:
        others = [y for y in points if y != x]
        scale = one
        for y in others:
            scale *= x - y
        g.append([x**k / scale for k in range(3)])
        b_t.append([*polynomial(others), zero])
    g.append([zero, zero, one])
    b_t.append(polynomial(points))
    return b_t, g, a_t


def polynomial(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients of prod (x - root), from that of 1 on."""
    found = [Fraction(1)]
    for root in roots:
        found = [
            low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)
        ]
    return found


FINER = for_points(Fraction(3, 4), Fraction(3, 2))


def turned(m: Matrix) -> Matrix:
    return [list(column) for column in zip(*m, strict=True)]


TRANSFORMS: dict[str, Callable[[Matrix, Matrix, Matrix], Matrix]] = {
    "to_points": lambda b_t, g, a_t: b_t,
    "from_points": lambda b_t, g, a_t: turned(b_t),
    "to_outputs": lambda b_t, g, a_t: a_t,
    "from_outputs": lambda b_t, g, a_t: turned(a_t),
    "from_filter": lambda b_t, g, a_t: g,
    "to_filter": lambda b_t, g, a_t: turned(g),
}


@pytest.fixture(autouse=True, scope="module")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "cache_folder", lambda: folder / "native")
        yield


def test_the_matrices_of_the_points_1_and_2_are_the_published_ones() -> None:
    assert for_points(Fraction(1), Fraction(2)) == PUBLISHED


@pytest.mark.parametrize("matrices", [PUBLISHED, FINER])
def test_the_method_gives_a_correlation_in_exact_arithmetic(matrices: Matrices) -> None:
    """For every pair of unit vectors, so for all inputs: y_i = sum_k w_k d_(i + k)."""
    b_t, g, a_t = matrices
    for at, tap in itertools.product(range(6), range(3)):
        products = [g[p][tap] * b_t[p][at] for p in range(6)]
        outputs = [sum(a * m for a, m in zip(row, products, strict=True)) for row in a_t]
        assert outputs == [1 if i + tap == at else 0 for i in range(4)]


@pytest.mark.parametrize(("matrices", "magnified"), [(PUBLISHED, MAGNIFIED), (FINER, MAGNIFIED_HALF)])
def test_the_magnification_of_rounding_is_that_of_the_matrices(matrices: Matrices, magnified: float) -> None:
    def squares(row: list[Fraction]) -> Fraction:
        return sum((x * x for x in row), Fraction(0))

    b_t, g, a_t = matrices
    spread = [squares(b) * squares(u) for b, u in zip(b_t, g, strict=True)]
    one_way = max(sum(a * a * m for a, m in zip(row, spread, strict=True)) for row in a_t) / 3
    assert 0.95 * magnified < one_way <= magnified  # two ways: the root of its square


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_each_transform_is_its_matrix(name: str, half: int) -> None:
    exact = TRANSFORMS[name](*(FINER if half else PUBLISHED))
    rows, columns = len(exact), len(exact[0])
    library = compiler.load(f"""#include "winograd.h"
        void apply(const float *from, float *to) {{
            vf x[{columns}], y[{rows}];
            for (int i = 0; i < {columns}; i++) x[i] = load(from + i * LANES);
            {name}(P_OF({half}), Q_OF({half}), x, y);
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
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    body = nn.Sequential(nn.Conv2d(1, first.in_channels, 1), *layers, nn.Flatten())
    with torch.no_grad():
        features = body(torch.zeros(1, 1, 8, 8)).numel()
    planned = make_plan(nn.Sequential(body, nn.Linear(features, 2)), (1, 8, 8)).layers
    assert [minimal(layer) for layer in planned if isinstance(layer, Conv)] == [False, filtered]


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


def halved_case(half: bool = True, in_tiles: bool | None = False) -> Case:
    torch.manual_seed(6)
    before = nn.Conv2d(32, 64, 3)
    return Case(*layer((9, 11), (1, 0), True, before, channels=32), half=half, in_tiles=in_tiles)


@pytest.mark.slow
@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("in_tiles", [False, True])
def test_products_in_bfloat16_agree_with_autograd(in_tiles: bool) -> None:
    """In tiles too, which are emulated where the processor has none."""
    case = halved_case(in_tiles=in_tiles)
    assert case.factors().count(HALVED) == 2
    for batch in (2, 300):
        case.check(batch)


@pytest.mark.numerical
@needs_compiler
def test_products_in_bfloat16_err_as_much_as_their_format_and_points_say() -> None:
    """Of layers without a decision: the distance to float32 is that of random roundings, not less, not more."""
    case, exact = halved_case(), halved_case(half=False)
    indices = torch.arange(40)
    one, other = case.run(indices)[2], exact.run(indices)[2]
    distance = float((one - other).norm() / other.norm())
    assert BFLOAT16 / 4 < distance < MAGNIFIED_HALF * BFLOAT16


@needs_compiler
def test_evaluation_is_in_float32_even_right_after_training_in_bfloat16() -> None:
    case, exact = halved_case(), halved_case(half=False)
    case.run(torch.arange(40))
    found, wanted = (c.model.evaluate(c.weights, c.images, c.labels, None) for c in (case, exact))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    assert case.model.described().endswith(
        "minimal filtering in 2 of 3 convolutions, their products in bfloat16"
    )


@needs_compiler
def test_tiles_do_the_same_products_in_another_order() -> None:
    case, tiles = halved_case(), halved_case(in_tiles=True)
    assert tiles.model.described().endswith("their products in bfloat16 by tiles")
    indices = torch.arange(40)
    one, other = case.run(indices)[2], tiles.run(indices)[2]
    assert 0 < (one - other).norm() < BFLOAT16 / 4 * other.norm()
    found, wanted = (c.model.evaluate(c.weights, c.images, c.labels, None)[0] for c in (case, tiles))
    assert torch.equal(found, wanted), "evaluation has no products in bfloat16"


@needs_compiler
def test_tiles_are_for_layers_whose_channels_fill_them() -> None:
    torch.manual_seed(6)
    some = Case(*layer((9, 11), (1, 0), True), half=True, in_tiles=True)  # 16 channels
    assert some.model.described().endswith("their products in bfloat16")


@needs_compiler
def test_the_processor_s_tiles_do_what_the_emulation_does(monkeypatch: pytest.MonkeyPatch) -> None:
    if not {"amx_tile", "amx_bf16"} <= set(compiler.cpu_identity().split()):
        pytest.skip("needs a processor with AMX tiles")
    case = halved_case(in_tiles=None)
    assert case.model.described().endswith("by tiles"), "they are taken where they are"
    monkeypatch.setenv(compiler.TARGET_VARIABLE, "x86-64-v4")
    emulated = halved_case(in_tiles=True)
    indices = torch.arange(40)
    one, other = case.run(indices)[2], emulated.run(indices)[2]
    assert (one - other).norm() < BFLOAT16 / 4 * other.norm()


@pytest.mark.slow
@needs_compiler
def test_other_processors_emulate_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """AVX2 has no instruction for them: the kernels are as right, but the choice does not take them."""
    case = halved_case()
    if not {"avx2", "fma"} <= set(compiler.cpu_identity().split()):
        pytest.skip("needs a processor with AVX2")
    monkeypatch.setenv(compiler.TARGET_VARIABLE, "x86-64-v3")
    emulated = halved_case()
    assert "no bfloat16 products" in emulated.model.why_not_half()
    indices = torch.arange(40)
    one, other = case.run(indices)[2], emulated.run(indices)[2]
    assert (one - other).norm() < MAGNIFIED_HALF * BFLOAT16 * other.norm()


@needs_compiler
@pytest.mark.parametrize("target", ["", "x86-64-v3"])
def test_bfloat16_takes_the_kernels_where_the_processor_has_its_products(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = set(compiler.cpu_identity().split())
    if target and not {"avx2", "fma"} <= flags:
        pytest.skip("needs a processor with AVX2")
    monkeypatch.setenv(compiler.TARGET_VARIABLE, target)
    case = halved_case(half=False)
    info = DatasetInfo("toy", ("a", "b", "c"), case.shape, case.mean, case.std)
    training = Training(precision="bfloat16")
    choice = choose(case.module, info, case.images, case.labels, torch.device("cpu"), "auto", training)
    if "avx512_bf16" in flags and not target:
        assert choice.build(1).name == "native"
        assert "filtering in 2 of 3 convolutions, their products in bfloat16" in choice.reason
    else:
        assert choice.build(1).name == "torch"
        assert choice.reason.endswith("this processor has no bfloat16 products (AVX512-BF16)")
