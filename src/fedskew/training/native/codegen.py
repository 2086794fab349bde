"""From a plan to one C file: every layer becomes a call of a kernel (``*.h``) with its shapes as constants.

The file exports ``fs_create``, ``fs_destroy``, ``fs_gradient``, ``fs_evaluate``, ``fs_dropout_mask`` and
``fs_lanes``; ``model`` holds their signatures. Names in the C file: ``a3`` is activation 3 (0 is the image), ``g3``
the gradient of the loss by it, ``arg3`` the places of its maxima, ``u3`` the gradient before its pooling, ``x3`` the
inputs that a linear layer keeps, ``wf3``/``wb3`` the packed weights of the layer that makes it, ``wide3`` the sums of
its weight gradient (``wide.h``).
"""

from __future__ import annotations

import struct

from fedskew.training.native.convolutions import (
    Activation,
    direct_convolution,
    filtered_convolution,
    minimal,
)
from fedskew.training.native.plan import Conv, Dropout, Layer, Linear, Plan, Pool, Relu
from fedskew.training.native.template import Source, render


def _border(layers: tuple[Layer, ...], start: int) -> tuple[int, int]:
    """The zero border with which the activation that enters layer ``start`` is stored: its consumer's padding."""
    for layer in layers[start:]:
        if isinstance(layer, Conv):
            return layer.padding
        if not isinstance(layer, Relu | Dropout):
            break
    return (0, 0)


def _linear(src: Source, layer: Linear, a: Activation, b: Activation, first: bool, gradient_in: str) -> None:
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


def _dropout(src: Source, layer: Dropout, a: Activation, gradient: str, learns: bool) -> None:
    threshold, scale = round(layer.p * 2**24), _hex(1 / (1 - layer.p) if layer.p < 1 else 0.0)
    keys = f"uint32_t keys[T] __attribute__((aligned(64))); dropout_keys(keys, seed, {layer.number}, first)"
    m = layer.source
    name = f"drop{layer.number}"
    call = f"dropout(ws->a{a.number}, keys, {threshold}, {scale}, {a.geometry})"
    src.forward.append("if (train) " + src.function(f"forward_{name}", [keys, call]))
    if learns:
        call = f"dropout({gradient}, keys, {threshold}, {scale}, {m.channels}, {m.height}, {m.width}, 0, 0)"
        src.backward.append(src.function(f"backward_{name}", [keys, call]))


def generate(plan: Plan, half: bool = False, tiles: bool = False) -> str:
    """The C file for a plan (a pure function of it).

    Args:
        half: training rounds the factors of filtered convolutions to bfloat16.
        tiles: their products are done in the processor's tiles, where channels allow it.
    """
    src = Source(half, tiles)
    a = Activation(0, plan.image, _border(plan.layers, 0))
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
        b = Activation(a.number + 1, layer.target, _border(plan.layers, position + 1))
        src.floats(f"a{b.number}", b.size)
        chunk = " * CHUNK" if isinstance(layer, Linear) else ""
        src.floats(f"g{b.number}", f"{layer.target.units} * T{chunk}")
        if isinstance(layer, Conv) and minimal(layer):
            filtered_convolution(src, layer, a, b, not learns)
        elif isinstance(layer, Conv):
            direct_convolution(src, layer, a, b, not learns)
        elif isinstance(layer, Linear):
            _linear(src, layer, a, b, not learns, gradient)
        else:
            _pool(src, layer, a, b, gradient, learns)
        learns = learns or not isinstance(layer, Pool)
        gradient = f"ws->g{b.number}" + (f" + (int64_t)tile * {layer.target.units} * T" if chunk else "")
        a = b
    src.floats("points", f"POINTS * POINT({src.points})")
    src.floats("pairs", f"POINTS * POINT({src.points} / 2)")
    src.floats("made", f"POINTS * POINT({'T' if tiles else 'MAX_BLOCK'})")
    src.floats("turned", f"{max(src.turned, 1)} * T * T")
    return render(plan, src, _border(plan.layers, 0), f"ws->a{a.number}", gradient)


def _pool(src: Source, layer: Pool, a: Activation, b: Activation, gradient: str, learns: bool) -> None:
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
