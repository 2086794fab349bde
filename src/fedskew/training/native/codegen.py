"""From a plan to one C file: every layer becomes a call of a kernel (``*.h``) with its shapes as constants.

The file exports ``fs_create``, ``fs_destroy``, ``fs_gradient``, ``fs_evaluate``, ``fs_dropout_mask`` and
``fs_tile``; ``model`` holds their signatures. Names in the C file: ``a3`` is activation 3 (0 is the image), ``g3``
the gradient of the loss by it, ``arg3`` the places of its maxima, ``u3`` the gradient before its pooling, ``x3`` the
inputs that a linear layer keeps, ``wf3``/``wb3`` the packed weights of the layer that makes it, ``wide3`` the sums of
its weight gradient (``wide.h``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fedskew.training.native.plan import Conv, Dropout, Layer, Linear, Map, Plan, Pool, Relu
from fedskew.training.native.template import Source, render

_TILE = 32  # T of vector.h
_CACHE_STRIP = 16 * 1024  # bytes of one strip of gradient rows: half of a small first-level cache


def register_block(outputs: int, run: int, registers: int) -> tuple[int, int]:
    """How many outputs x taps of a weight gradient to hold as sums in that many registers.

    Two multiply-adds and two loads start per cycle, and a sum can be continued after four, so a step of m x n sums
    costs about max(mn, m + n, 8) / 2 cycles. Layers with few channels (6 outputs, 5 taps) choose another block
    than 4 x 3.
    """

    def sizes(total: int, limit: int) -> list[int]:
        count = -(-total // limit)
        return [total // count + (i < total % count) for i in range(count)]

    def cost(block: tuple[int, int]) -> tuple[float, int]:
        pairs = [(m, n) for m in sizes(outputs, block[0]) for n in sizes(run, block[1])]
        return sum(max(m * n, m + n, 8) + (m + n) / 4 for m, n in pairs), block[0]

    return min(((m, n) for m in range(1, 7) for n in range(1, 7) if m * n <= registers), key=cost)


def _border(layers: tuple[Layer, ...], start: int) -> tuple[int, int]:
    """The zero border with which the activation that enters layer ``start`` is stored: its consumer's padding."""
    for layer in layers[start:]:
        if isinstance(layer, Conv):
            return layer.padding
        if not isinstance(layer, Relu | Dropout):
            break
    return (0, 0)


@dataclass(frozen=True)
class _Activation:
    """Where an activation is: its number, shape and border."""

    number: int
    map: Map
    border: tuple[int, int]

    @property
    def row(self) -> int:
        return self.map.width + 2 * self.border[1]

    @property
    def size(self) -> str:
        return f"{(self.map.height + 2 * self.border[0]) * self.row * self.map.channels} * T"

    @property
    def inside(self) -> str:
        """The address of pixel (0, 0)."""
        offset = (self.border[0] * self.row + self.border[1]) * self.map.channels
        return f"ws->a{self.number} + {offset} * T"

    @property
    def geometry(self) -> str:
        m = self.map
        return f"{m.channels}, {m.height}, {m.width}, {self.border[0]}, {self.border[1]}"


def _conv(src: Source, layer: Conv, a: _Activation, b: _Activation, first: bool) -> None:
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
    few, many = (register_block(o.channels, kw * i.channels, sums) for sums in (6, 24))
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


def _minimal(src: Source, layer: Conv, a: _Activation, b: _Activation, first: bool) -> None:
    k, i, o = b.number, layer.source, layer.target
    (ph, pw), pool = layer.padding, layer.pool[0]
    windows = -(-o.height * pool // 4) * -(-o.width * pool // 4)
    keep = next(tiles for tiles in (1, 2, 4, 8) if tiles * windows >= 8 or tiles == 8)
    kept = src.floats(f"kept{k}", f"POINTS * POINT({i.channels * keep * windows})")
    turned = src.floats(f"turned{k}", f"{keep * windows} * POINTS * {o.channels} * T")
    forward = src.floats(f"wf{k}", f"POINTS * {i.channels * o.channels}")
    sums = src.floats(f"wide{k}", f"POINTS * {i.channels * o.channels}")
    src.points = max(src.points, i.channels, o.channels)
    kept_at = f"{kept} + (int64_t)(tile % {keep}) * {windows} * {i.channels} * T"
    turned_at = f"{turned} + (int64_t)(tile % {keep}) * {windows} * T * T"
    back = "0"
    gradient_in = "0"
    steps = []
    arg = "0"
    if pool > 1:
        src.buffers.append(("int32_t", f"arg{k}", f"{o.units} * PLACES"))
        arg = f"ws->arg{k}"
    elif layer.relu:
        steps.append(f"relu_backward(ws->a{k}, ws->g{k}, {b.geometry})")
    if not first:
        back = src.floats(f"wb{k}", f"POINTS * {i.channels * o.channels}")
        gradient_in = f"ws->g{a.number}"
        src.pack_backward.append(
            f"minimal_pack(weights + {layer.weight}, {back}, {o.channels}, {i.channels}, {i.channels * 9}, 9);"
        )
        steps.append(f"memset({gradient_in}, 0, sizeof(float) * {i.units} * T)")
    src.pack_forward.append(
        f"minimal_pack(weights + {layer.weight}, {forward}, {i.channels}, {o.channels}, 9, {i.channels * 9});"
    )
    bias = "0" if layer.bias is None else f"weights + {layer.bias}"
    call = (
        f"minimal_forward({a.inside}, {forward}, {bias}, {b.inside}, {arg}, {kept_at}, ws->made, {i.channels}, "
        f"{i.height}, {i.width}, {a.row}, {o.channels}, {o.height}, {o.width}, {b.row}, {ph}, {pw}, {pool}, "
        f"{int(layer.relu)}, {keep * windows})"
    )
    src.forward.append(src.function(f"forward{k}", [call]))
    if layer.bias is not None:
        steps.append(f"bias_gradient(ws->g{k}, {arg}, gradient + {layer.bias}, {o.pixels}, {o.channels})")
    steps.append(
        f"minimal_backward(ws->g{k}, {arg}, {back}, ws->points, ws->made, {turned_at}, {gradient_in}, {i.channels}, "
        f"{i.height}, {i.width}, {o.channels}, {o.height}, {o.width}, {ph}, {pw}, {pool}, {keep * windows})"
    )
    sizes = f"{{}} * {windows}, {i.channels}, {o.channels}, {keep * windows}"
    product = f"minimal_gradient({turned}, {kept}, {sums}, {sizes})"
    whole = src.function(f"weights{k}", [product.format(keep)])
    src.backward.append(src.function(f"backward{k}", steps) + f" if (tile % {keep} == {keep - 1}) {whole}")
    rest = [f"if ((tile + 1) % {keep}) {product.format(f'((tile + 1) % {keep})')}"] if keep > 1 else []
    finish = f"minimal_finish({sums}, gradient + {layer.weight}, {i.channels}, {o.channels})"
    src.chunk_end.append(src.function(f"finish{k}", [*rest, finish]))


def _linear(
    src: Source, layer: Linear, a: _Activation, b: _Activation, first: bool, gradient_in: str
) -> None:
    k, inputs, outputs = b.number, layer.source.units, layer.target.units
    c, pixels = layer.source.channels, layer.source.pixels
    src.floats(f"wf{k}", f"{inputs * outputs}")
    src.floats(f"x{k}", f"({inputs} + T - 1) / T * CHUNK * T * T")
    src.pack_forward.append(
        f"pack_linear_forward(weights + {layer.weight}, ws->wf{k}, {c}, {pixels}, {outputs});"
    )
    bias = "0" if layer.bias is None else f"weights + {layer.bias}"
    call = (
        f"convolve(ws->a{a.number}, ws->wf{k}, {bias}, ws->a{k}, 0, {inputs}, 1, 1, 1, {outputs}, 1, 1, 1, 1, 1, 0, 0, "
        f"1, 1, {int(layer.relu)})"
    )
    src.forward.append(src.function(f"forward{k}", [call]))
    gradient = f"ws->g{k} + (int64_t)tile * {outputs} * T"
    steps = [f"keep_inputs(ws->a{a.number}, ws->x{k}, tile, {c}, {pixels})"]
    if layer.relu:
        steps.append(f"relu_backward(ws->a{k}, {gradient}, {b.geometry})")
    if layer.bias is not None:
        steps.append(f"bias_gradient({gradient}, 0, gradient + {layer.bias}, 1, {outputs})")
    if not first:
        src.floats(f"wb{k}", f"{inputs * outputs}")
        src.pack_backward.append(
            f"pack_linear_backward(weights + {layer.weight}, ws->wb{k}, {c}, {pixels}, {outputs});"
        )
        steps.append(
            f"convolve({gradient}, ws->wb{k}, 0, {gradient_in}, 0, {outputs}, 1, 1, 1, {inputs}, 1, 1, 1, 1, 1, 0, 0, "
            "1, 1, 0)"
        )
    src.backward.append(src.function(f"backward{k}", steps))
    call = f"linear_gradient(ws->g{k}, ws->x{k}, gradient + {layer.weight}, tile + 1, {outputs}, {inputs})"
    src.chunk_end.append(src.function(f"weights{k}", [call]))


def _hex(value: float) -> str:
    """A float32 as an exact C literal."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded).hex() + "f"


def _dropout(src: Source, layer: Dropout, a: _Activation, gradient: str, learns: bool) -> None:
    threshold, scale = round(layer.p * 2**24), _hex(1 / (1 - layer.p) if layer.p < 1 else 0.0)
    keys = f"uint32_t keys[T] __attribute__((aligned(64))); dropout_keys(keys, seed, {layer.number}, first)"
    m = layer.source
    name = f"drop{layer.number}"
    call = f"dropout(ws->a{a.number}, keys, {threshold}, {scale}, {a.geometry})"
    src.forward.append("if (train) " + src.function(f"forward_{name}", [keys, call]))
    if learns:
        call = f"dropout({gradient}, keys, {threshold}, {scale}, {m.channels}, {m.height}, {m.width}, 0, 0)"
        src.backward.append(src.function(f"backward_{name}", [keys, call]))


def generate(plan: Plan) -> str:
    """The C file for a plan (a pure function of it)."""
    src = Source()
    a = _Activation(0, plan.image, _border(plan.layers, 0))
    src.floats("a0", a.size)
    learns = False  # is there a layer with weights before this one?
    gradient = "NONE"  # the address of the gradient of activation a
    for position, layer in enumerate(plan.layers):
        if isinstance(layer, Relu):
            src.forward.append(
                src.function(f"forward_relu{position}", [f"relu_forward(ws->a{a.number}, {a.geometry})"])
            )
            if learns:
                call = f"relu_backward(ws->a{a.number}, {gradient}, {a.geometry})"
                src.backward.append(src.function(f"backward_relu{position}", [call]))
            continue
        if isinstance(layer, Dropout):
            _dropout(src, layer, a, gradient, learns)
            scale = _hex(1 / (1 - layer.p) if layer.p < 1 else 0.0)
            src.masks.append(
                f"    case {layer.number}: dropout_mask(seed, {layer.number}, position, mask, "
                f"{round(layer.p * 2**24)}, {scale}, {layer.source.units}); return {layer.source.units};"
            )
            continue
        b = _Activation(a.number + 1, layer.target, _border(plan.layers, position + 1))
        src.floats(f"a{b.number}", b.size)
        chunk = " * CHUNK" if isinstance(layer, Linear) else ""
        src.floats(f"g{b.number}", f"{layer.target.units} * T{chunk}")
        if isinstance(layer, Conv) and minimal(layer):
            _minimal(src, layer, a, b, not learns)
        elif isinstance(layer, Conv):
            _conv(src, layer, a, b, not learns)
        elif isinstance(layer, Linear):
            _linear(src, layer, a, b, not learns, gradient)
        else:
            _pool(src, layer, a, b, gradient, learns)
        learns = learns or not isinstance(layer, Pool)
        gradient = f"ws->g{b.number}" + (f" + (int64_t)tile * {layer.target.units} * T" if chunk else "")
        a = b
    src.floats("points", f"POINTS * POINT({src.points})")
    src.floats("made", "POINTS * POINT(MAX_BLOCK)")
    src.floats("turned", f"{max(src.turned, 1)} * T * T")
    return render(plan, src, _border(plan.layers, 0), f"ws->a{a.number}", gradient)


def _pool(src: Source, layer: Pool, a: _Activation, b: _Activation, gradient: str, learns: bool) -> None:
    k, i, o, (ph, pw) = b.number, layer.source, layer.target, layer.pool
    src.buffers.append(("int32_t", f"arg{k}", f"{o.units} * PLACES"))
    call = (
        f"pool_forward({a.inside}, {b.inside}, ws->arg{k}, {o.channels}, {a.row}, {o.height}, {o.width}, {b.row}, "
        f"{ph}, {pw})"
    )
    src.forward.append(src.function(f"forward{k}", [call]))
    if learns:
        call = (
            f"pool_backward(ws->g{k}, ws->arg{k}, {gradient}, {o.channels}, {i.width}, {o.height}, {o.width}, "
            f"{ph}, {pw})"
        )
        clear = f"memset({gradient}, 0, sizeof(float) * {i.units} * T)"
        src.backward.append(src.function(f"backward{k}", [clear, call]))
