"""From a sequential ``nn.Module`` to a list of layers with all shapes known; no compiler, no arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

MAX_POOL_WINDOW = 32767
"""The place of a maximum is kept in 16 bits, with a sign."""


class Unsupported(Exception):  # noqa: N818 - it is an answer ("use PyTorch"), not a fault
    """These kernels cannot serve this model on this machine; the text says why, in a few words."""


@dataclass(frozen=True)
class Map:
    """A map of units: channels x height x width; a flat vector of n features is n x 1 x 1."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def pixels(self) -> int:
        """height x width."""
        return self.height * self.width

    @property
    def units(self) -> int:
        """channels x height x width."""
        return self.channels * self.pixels


@dataclass(frozen=True)
class Conv:
    """A convolution, with the ReLU and the max pooling that follow it. Offsets count floats in the flat vector."""

    source: Map
    target: Map  # after pooling
    kernel: tuple[int, int]
    padding: tuple[int, int]
    weight: int
    bias: int | None
    relu: bool = False
    pool: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Linear:
    """A linear layer over all units of its source (torch's order: channel, row, column), with the ReLU that follows."""

    source: Map
    target: Map
    weight: int
    bias: int | None
    relu: bool = False


@dataclass(frozen=True)
class Pool:
    """Max pooling that does not directly follow a convolution."""

    source: Map
    target: Map
    pool: tuple[int, int]


@dataclass(frozen=True)
class Relu:
    """ReLU that does not directly follow a convolution or a linear layer; works in place."""

    source: Map


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout, in place; ``number`` counts the dropout layers of the model from 0."""

    source: Map
    p: float
    number: int


Layer: TypeAlias = Conv | Linear | Pool | Relu | Dropout


@dataclass(frozen=True)
class Plan:
    """All layers in order, the input map, and the sizes of the parameter vector and of the logits."""

    image: Map
    layers: tuple[Layer, ...]
    num_parameters: int
    num_classes: int


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that compute something, in order, through nested ``nn.Sequential``."""
    if (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    ):
        raise Unsupported(f"a hook on layer {type(module).__name__} is not supported")
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for child in module:
            yield from _leaves(child)
    else:
        yield module


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    kernel = _pair(layer.kernel_size)
    if layer.padding == "valid":
        return (0, 0)
    if layer.padding == "same":
        if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
            raise Unsupported("Conv2d with padding='same' and an even kernel is not supported")
        return (kernel[0] // 2, kernel[1] // 2)
    return _pair(layer.padding)


def _conv(layer: nn.Conv2d, source: Map, weight: int) -> Conv:
    for name, wanted in (("stride", (1, 1)), ("dilation", (1, 1)), ("groups", 1), ("padding_mode", "zeros")):
        if getattr(layer, name) != wanted:
            raise Unsupported(f"Conv2d with {name}={getattr(layer, name)} is not supported")
    if layer.in_channels != source.channels:
        raise Unsupported(f"Conv2d expects {layer.in_channels} channels and gets {source.channels}")
    kernel, padding = _pair(layer.kernel_size), _padding(layer)
    height = source.height + 2 * padding[0] - kernel[0] + 1
    width = source.width + 2 * padding[1] - kernel[1] + 1
    if height < 1 or width < 1:
        raise Unsupported(f"Conv2d's kernel {kernel} is larger than its {source.height}x{source.width} map")
    bias = None if layer.bias is None else weight + layer.weight.numel()
    return Conv(source, Map(layer.out_channels, height, width), kernel, padding, weight, bias)


def _pool(layer: nn.MaxPool2d, source: Map) -> Pool:
    pool = _pair(layer.kernel_size)
    simple = _pair(layer.padding) == (0, 0) and _pair(layer.dilation) == (1, 1)
    if _pair(layer.stride) != pool or not simple or layer.ceil_mode or layer.return_indices:
        raise Unsupported(
            "MaxPool2d is supported with stride = kernel, no padding, no dilation, floor mode only"
        )
    if pool[0] * pool[1] > MAX_POOL_WINDOW:
        raise Unsupported(f"MaxPool2d with a window of more than {MAX_POOL_WINDOW} units is not supported")
    if source.height < pool[0] or source.width < pool[1]:
        raise Unsupported(f"MaxPool2d's window {pool} is larger than its {source.height}x{source.width} map")
    return Pool(source, Map(source.channels, source.height // pool[0], source.width // pool[1]), pool)


def _append(layers: list[Layer], layer: Layer) -> None:
    """Adds a layer, or merges it into the one before it: ReLU and pooling are done on a convolution's registers."""
    last = layers[-1] if layers else None
    if isinstance(layer, Relu) and isinstance(last, Conv | Linear):
        layers[-1] = replace(
            last, relu=True
        )  # max and ReLU commute, so before or after the pooling is the same
    elif isinstance(layer, Pool) and isinstance(last, Conv) and last.pool == (1, 1):
        layers[-1] = replace(last, pool=layer.pool, target=layer.target)
    else:
        layers.append(layer)


def make_plan(module: nn.Module, image_shape: tuple[int, int, int]) -> Plan:
    """The plan of a module for images [channels, height, width].

    Raises:
        Unsupported: a layer or a setting that the kernels do not know; shapes that do not fit.
    """
    image = shape = Map(*image_shape)
    if min(image_shape) < 1:
        raise Unsupported(f"an image of shape {image_shape} is empty")
    offsets: dict[int, int] = {}
    total = 0
    for parameter in module.parameters():
        if parameter.dtype != torch.float32:
            raise Unsupported(f"parameters of type {parameter.dtype} are not supported")
        if not parameter.requires_grad:
            raise Unsupported("frozen parameters (requires_grad = False) are not supported")
        offsets[id(parameter)] = total
        total += parameter.numel()
    layers: list[Layer] = []
    seen: set[int] = set()
    flat, dropouts = False, 0
    for leaf in _leaves(module):
        kind = type(leaf)
        own = {id(parameter) for parameter in leaf.parameters()}
        if own & seen:
            raise Unsupported(f"layer {kind.__name__} shares its parameters with another one")
        seen |= own
        if kind is nn.Conv2d and isinstance(leaf, nn.Conv2d):
            if flat:
                raise Unsupported("Conv2d after Flatten is not supported")
            conv = _conv(leaf, shape, offsets[id(leaf.weight)])
            shape = conv.target
            _append(layers, conv)
        elif kind is nn.MaxPool2d and isinstance(leaf, nn.MaxPool2d):
            if flat:
                raise Unsupported("MaxPool2d after Flatten is not supported")
            pool = _pool(leaf, shape)
            shape = pool.target
            _append(layers, pool)
        elif kind is nn.Linear and isinstance(leaf, nn.Linear):
            if not flat or leaf.in_features != shape.units:
                what = f"{shape.units} features" if flat else "a map that was not flattened"
                raise Unsupported(f"Linear expects {leaf.in_features} features and gets {what}")
            bias = None if leaf.bias is None else offsets[id(leaf.bias)]
            target = Map(leaf.out_features)
            _append(layers, Linear(shape, target, offsets[id(leaf.weight)], bias))
            shape = target
        elif kind is nn.ReLU:
            _append(layers, Relu(shape))
        elif kind is nn.Dropout and isinstance(leaf, nn.Dropout):
            if leaf.p > 0:
                layers.append(Dropout(shape, float(leaf.p), dropouts))
            dropouts += 1
        elif kind is nn.Flatten and isinstance(leaf, nn.Flatten):
            if leaf.start_dim != 1 or leaf.end_dim != -1:
                raise Unsupported("Flatten is supported with start_dim=1, end_dim=-1 only")
            flat = True
        elif kind is not nn.Identity:
            raise Unsupported(f"layer {kind.__name__} is not supported")
    if len(seen) != len(offsets):
        raise Unsupported("the module has parameters outside its layers")
    if not flat or shape.pixels != 1:
        raise Unsupported("the model must end in one flat vector of logits")
    if not any(isinstance(layer, Conv | Linear) for layer in layers):
        raise Unsupported("the model has no convolution and no linear layer")
    return Plan(image, tuple(layers), total, shape.units)
