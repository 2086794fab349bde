"""Checks of models."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.protocols import DatasetInfo
from fedskew.seeding import torch_seeded


def checked_model(name: str, module: object, info: DatasetInfo) -> nn.Module:
    """An ``nn.Module`` with finite weights to train, which maps samples [N, C, H, W] to logits [N, classes].

    The images are tried on a copy, so that nothing in the module changes.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r} must return an nn.Module, not {type(module).__name__}")
    for label, parameter in module.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ConfigError(
                f"model {name!r}: the size of its parameter {label} is not known yet; lazy modules are not supported",
                "give each layer its input size; info.image_shape has the size of the images",
            )
        if not parameter.isfinite().all():
            raise ConfigError(
                f"model {name!r}: its initial weights are not finite: {label} has a NaN or an infinity"
            )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ConfigError(f"model {name!r} has no parameters to train; expected some with requires_grad")
    images = info.inputs(2)
    try:
        trial = copy.deepcopy(module).eval()  # which the engines need as well
    except Exception as error:
        raise ConfigError(f"model {name!r} cannot be copied: {error}") from error
    try:
        with torch.no_grad(), torch_seeded(0):
            logits = trial(images)
    except Exception as error:
        raise ConfigError(f"model {name!r} fails on images {list(images.shape)}: {error}") from error
    expected = [2, info.num_classes]
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or list(logits.shape) != expected:
        raise ConfigError(
            f"model {name!r} returned {described(logits)} for images {list(images.shape)}; expected logits {expected}",
            "one per image and class; a model that returns more than its logits needs a module around it",
        )
    return module


def trained_on(images: int, module: nn.Module, info: DatasetInfo) -> str:
    """Why a model cannot be trained on a batch of so many images; empty if it can.

    They are tried on a copy, so that nothing in the module changes.
    """
    try:
        with torch.no_grad(), torch_seeded(0):
            copy.deepcopy(module).train()(info.inputs(images))
    except Exception as error:
        return next(iter(str(error).splitlines()), type(error).__name__)
    return ""
