"""The calls of the kernels for one convolution: direct (convolution.h, correlate.h, wide.h) or filtered (minimal.h).

The choice (``minimal``) is by the layer's shape alone, so that it is the same on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedskew.training.native.plan import Conv, Map
from fedskew.training.native.template import Source

_TILE = 32  # T of vector.h
_CACHE_STRIP = 8 * 1024  # bytes of one strip of gradient rows: a quarter of a small first-level cache


@dataclass(frozen=True)
class Activation:
    """Where an activation is: its number, shape and border."""

    number: int
    map: Map
    border: tuple[int, int]

    @property
    def row(self) -> int:
        """Pixels per row, with the border."""
        return self.map.width + 2 * self.border[1]

    @property
    def size(self) -> str:
        """Floats of a tile, as a C expression."""
        return f"{(self.map.height + 2 * self.border[0]) * self.row * self.map.channels} * T"

    @property
    def inside(self) -> str:
        """The address of pixel (0, 0)."""
        offset = (self.border[0] * self.row + self.border[1]) * self.map.channels
        return f"ws->a{self.number} + {offset} * T"

    @property
    def geometry(self) -> str:
        """Channels, height, width and border, as arguments."""
        m = self.map
        return f"{m.channels}, {m.height}, {m.width}, {self.border[0]}, {self.border[1]}"


def minimal(layer: Conv) -> bool:
    """Is a convolution done by minimal filtering (minimal.h)?

    Its transforms cost about as much as 15 products each, for every input and every output, which must be shared by
    enough channels of the other kind.
    """
    return (
        layer.kernel == (3, 3)
        and layer.pool in ((1, 1), (2, 2))
        and layer.source.channels >= 16
        and layer.target.channels % _TILE == 0
    )


def halved(layer: Conv) -> bool:
    """Has a convolution products in bfloat16?"""
    return minimal(layer) and layer.source.channels % 2 == 0


def tiled(layer: Conv) -> bool:
    """Can its products in bfloat16 be done in the processor's tiles (tiles.h), 32 channels of either kind at a time?"""
    return halved(layer) and layer.source.channels % _TILE == 0


def register_block(outputs: int, run: int, registers: int, vectors: int) -> tuple[int, int]:
    """How many outputs x taps of a weight gradient to hold as sums in that many registers.

    Two multiply-adds and two loads start per cycle, and a sum can be continued after four, so a step of m x n sums
    of one vector each costs about max(mn, m + n, 8) / 2 cycles. Layers with few channels (6 outputs, 5 taps) choose
    another block than 4 x 3.

    Args:
        vectors: of one sum, which are added to one after another.
    """

    def sizes(total: int, limit: int) -> list[int]:
        count = -(-total // limit)
        return [total // count + (i < total % count) for i in range(count)]

    def cost(block: tuple[int, int]) -> tuple[float, int]:
        pairs = [(m, n) for m in sizes(outputs, block[0]) for n in sizes(run, block[1])]
        return sum(max(m * n, m + n, 8 / vectors) + (m + n) / 4 for m, n in pairs), block[0]

    most = registers // vectors
    return min(((m, n) for m in range(1, 7) for n in range(1, 7) if m * n <= most), key=cost)


def direct_convolution(src: Source, layer: Conv, a: Activation, b: Activation, first: bool) -> None:
    """Adds the calls for the convolution from activation a to b; ``first``: nobody needs the gradient by a."""
    k, i, o = b.number, layer.source, layer.target
    (kh, kw), (ph, pw), (pool_h, pool_w) = layer.kernel, layer.padding, layer.pool
    used_h, used_w = o.height * pool_h, o.width * pool_w  # what floor-mode pooling ignores is never computed
    pooled = layer.pool != (1, 1)
    shape = f"{i.channels}, {o.channels}, {kh}, {kw}"
    src.floats(f"wf{k}", f"{i.channels * o.channels * kh * kw}")
    quads = "LANES == 16" if layer.pool == (2, 2) else "0"
    src.pack_forward.append(
        f"pack_forward(weights + {layer.weight}, ws->wf{k}, {quads} ? QUAD : BLOCK, {shape});"
    )
    gradient = f"ws->g{k}"
    if pooled:
        src.buffers.append(("int32_t", f"arg{k}", f"{o.units} * PLACES"))
        gradient = src.floats(f"u{k}", f"{used_h * used_w * o.channels} * T")
    bias = "0" if layer.bias is None else f"weights + {layer.bias}"
    arg = f"ws->arg{k}" if pooled else "0"
    call = (
        f"convolve({a.inside}, ws->wf{k}, {bias}, {b.inside}, {arg}, {i.channels}, {i.height}, {i.width}, {a.row}, "
        f"{o.channels}, {o.height}, {o.width}, {b.row}, {kh}, {kw}, {ph}, {pw}, {pool_h}, {pool_w}, {int(layer.relu)})"
    )
    if quads != "0":
        call = (
            f"if ({quads}) convolve_quads({a.inside}, ws->wf{k}, {bias}, {b.inside}, {arg}, {i.channels}, {a.row}, "
            f"{o.channels}, {o.height}, {o.width}, {b.row}, {kh}, {kw}, {ph}, {pw}, {int(layer.relu)}); else {call}"
        )
    src.forward.append(src.function(f"forward{k}", [call]))

    wide = src.wide_buffers(k, layer, used_w)
    few, many = (register_block(o.channels, kw * i.channels, *held) for held in ((12, 2), (24, 1)))
    m, n = (f"(LANES == 16 ? {large} : {small})" for small, large in zip(few, many, strict=True))
    strips = -(-used_h * few[0] * used_w * _TILE * 4 // _CACHE_STRIP)
    rows = -(-used_h // min(strips, used_h))
    sums = src.floats(f"sums{k}", f"{o.channels * i.channels * kh * kw} * FOLD")
    steps = []
    direct = first and pooled  # nothing else needs the gradient before the pooling
    if pooled:
        steps.append(
            f"if ({int(not direct)} || {o.channels} % T) pool_backward(ws->g{k}, ws->arg{k}, {gradient}, {o.channels}, "
            f"{used_w}, {o.height}, {o.width}, {pool_h}, {pool_w})"
        )
    elif layer.relu:
        steps.append(f"relu_backward(ws->a{k}, ws->g{k}, {b.geometry})")
    if layer.bias is not None:
        steps.append(f"bias_gradient(ws->g{k}, {arg}, gradient + {layer.bias}, {o.pixels}, {o.channels})")
    source = f"ws->g{k}, {arg}" if direct else f"{gradient}, 0"
    sizes = f"{i.channels}, {a.row}, {o.channels}, {used_h}, {used_w}, {kh}, {kw}"
    steps += [
        f"if ({o.channels} % T == 0) wide_gradient({source}, {pool_h}, {pool_w}, ws->a{a.number}, {wide}, {sizes})",
        f"else weight_gradient({m}, {n}, {gradient}, ws->a{a.number}, {sums}, {rows}, {sizes})",
    ]
    finish = [
        f"if ({o.channels} % T == 0) wide_finish(ws->wide{k}, gradient + {layer.weight}, {i.channels}, {o.channels}, "
        f"{kh * kw})",
        f"else weight_finish({m}, {n}, {sums}, gradient + {layer.weight}, {i.channels}, {o.channels}, {kh}, {kw})",
    ]
    src.chunk_end.append(src.function(f"finish{k}", finish))
    calls = [src.function(f"weights{k}", steps)]
    if not first:
        src.floats(f"wb{k}", f"{i.channels * o.channels * kh * kw}")
        src.pack_backward.append(f"pack_backward(weights + {layer.weight}, ws->wb{k}, {shape});")
        call = (
            f"convolve({gradient}, ws->wb{k}, 0, ws->g{a.number}, 0, {o.channels}, {used_h}, {used_w}, {used_w}, "
            f"{i.channels}, {i.height}, {i.width}, {i.width}, {kh}, {kw}, {kh - 1 - ph}, {kw - 1 - pw}, 1, 1, 0)"
        )
        calls.append(src.function(f"backward{k}", [call]))
    src.backward.append(" ".join(calls))


def filtered_convolution(src: Source, layer: Conv, a: Activation, b: Activation, first: bool) -> None:
    """The same by minimal filtering; with ``src.half``, in bfloat16 while training."""
    k, i, o = b.number, layer.source, layer.target
    (ph, pw), pool = layer.padding, layer.pool[0]
    half = "0"  # in training; evaluation is always in float32
    if src.half and halved(layer):
        half = "TILED" if src.tiles and tiled(layer) else "1"
    windows = -(-o.height * pool // 4) * -(-o.width * pool // 4)
    keep = next(tiles for tiles in (1, 2, 4, 8) if tiles * windows >= 8 or tiles == 8)
    everything, size = keep * windows, i.channels * o.channels
    kept = src.floats(f"kept{k}", f"POINTS * POINT({i.channels * everything})")
    turned = src.floats(f"turned{k}", f"{everything} * POINTS * {o.channels} * T")
    sums = src.floats(f"wide{k}", f"POINTS * {size}")
    src.points = max(src.points, i.channels, o.channels)

    def at(buffer: str, row: str) -> str:
        return f"{buffer} + (int64_t)(tile % {keep}) * {windows} * {row}"

    arg = "0"
    if pool > 1:
        src.buffers.append(("int32_t", f"arg{k}", f"{o.units} * PLACES"))
        arg = f"ws->arg{k}"
    bias = "0" if layer.bias is None else f"weights + {layer.bias}"
    geometry = (
        f"{i.channels}, {i.height}, {i.width}, {a.row}, {o.channels}, {o.height}, {o.width}, {b.row}, {ph}, {pw}, "
        f"{pool}, {int(layer.relu)}, {everything}"
    )
    variants = (("0", "!train"), (half, "train")) if half != "0" else (("0", ""),)
    for in_half, when in variants:
        packed = src.floats(f"{'wf' if in_half == '0' else 'wh'}{k}", f"POINTS * {size}")
        place = at(kept, f"{i.channels} * ROW({in_half})")
        test = f"if ({when}) " if when else ""
        src.pack_forward.append(
            f"{test}minimal_pack({in_half}, weights + {layer.weight}, {packed}, {i.channels}, {o.channels}, 9, "
            f"{i.channels * 9});"
        )
        call = (
            f"minimal_forward({in_half}, {a.inside}, {packed}, {bias}, {b.inside}, {arg}, {place}, ws->pairs, "
            f"ws->made, {geometry})"
        )
        src.forward.append(test + src.function(f"forward{k}{'' if in_half == '0' else 'h'}", [call]))

    steps = []
    back = gradient_in = "0"
    if pool == 1 and layer.relu:
        steps.append(f"relu_backward(ws->a{k}, ws->g{k}, {b.geometry})")
    if not first:
        back, gradient_in = src.floats(f"wb{k}", f"POINTS * {size}"), f"ws->g{a.number}"
        src.pack_backward.append(
            f"minimal_pack({half}, weights + {layer.weight}, {back}, {o.channels}, {i.channels}, {i.channels * 9}, 9);"
        )
        steps.append(f"memset({gradient_in}, 0, sizeof(float) * {i.units} * T)")
    if layer.bias is not None:
        steps.append(f"bias_gradient(ws->g{k}, {arg}, gradient + {layer.bias}, {o.pixels}, {o.channels})")
    place = at(turned, f"ROW({half}) * T")
    steps.append(
        f"minimal_backward({half}, ws->g{k}, {arg}, {back}, ws->points, ws->pairs, ws->made, {place}, {gradient_in}, "
        f"{i.channels}, {i.height}, {i.width}, {o.channels}, {o.height}, {o.width}, {ph}, {pw}, {pool}, {everything})"
    )

    def product(tiles: str) -> str:
        sizes = f"{i.channels}, {o.channels}, {everything}"
        return f"minimal_gradient({half}, {turned}, {kept}, {sums}, {tiles} * {windows}, {sizes})"

    whole = src.function(f"weights{k}", [product(str(keep))])
    src.backward.append(src.function(f"backward{k}", steps) + f" if (tile % {keep} == {keep - 1}) {whole}")
    rest = [f"if ((tile + 1) % {keep}) {product(f'((tile + 1) % {keep})')}"] if keep > 1 else []
    finish = f"minimal_finish({half}, {sums}, gradient + {layer.weight}, {i.channels}, {o.channels})"
    src.chunk_end.append(src.function(f"finish{k}", [*rest, finish]))
