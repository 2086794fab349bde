"""The device that a run computes on: found, tried, and told to repeat its results."""

from __future__ import annotations

import os

import torch

from fedskew.errors import ConfigError


def check_device(name: str) -> torch.device:
    """The PyTorch device of this name, after a trial.

    Raises:
        ConfigError: there is no such device, or it does not work.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}",
            "a GPU needs a build of PyTorch for it, and a driver; --device cpu needs neither",
        ) from None
    return device


def open_device(name: str) -> torch.device:
    """The PyTorch device of this name, made the current one and set to repeat its results bit for bit.

    Raises:
        ConfigError: there is no such device, or it does not work.
    """
    device = check_device(name)
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        torch.cuda.set_device(device)  # some libraries use the current device, not that of their tensors
        # Repeats must give the same bits: no algorithms that add in any order, none chosen by timing.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return device
