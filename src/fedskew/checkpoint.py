"""The state of a run as one safetensors file, and the model's weights as another. No pickle anywhere."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedskew.errors import RunError
from fedskew.files import replace_file
from fedskew.protocols import ParameterLayout, State
from fedskew.world import RunState


def save_checkpoint(path: Path, state: RunState) -> None:
    """Replaces the checkpoint atomically; it is on disk when this returns."""
    tensors = {"weights": state.weights, "buffers": state.buffers}
    for prefix, states in (
        ("clients", state.clients),
        ("transforms", dict(enumerate(state.transforms))),
        ("aggregator", {0: state.aggregator}),
    ):
        for key, inner in states.items():
            tensors |= {f"{prefix}/{key}/{name}": tensor for name, tensor in inner.items()}
    # Cloned, because a rule may keep views of one tensor under several names, which safetensors refuses.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    replace_file(path, save(plain, metadata={"round": str(state.round)}))


def load_checkpoint(path: Path, fresh: RunState) -> RunState:
    """The saved state.

    Args:
        fresh: the state before the first round, which says where tensors belong and which rules there are.

    Raises:
        RunError: the file is damaged or of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            round_number = int(file.metadata()["round"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} is damaged: {error}", "remove the run's folder to start it from the beginning"
        ) from None
    device = fresh.weights.device
    state = RunState(
        round=round_number,
        weights=tensors.pop("weights").to(device),
        buffers=tensors.pop("buffers").to(device),
        transforms=[{} for _ in fresh.transforms],
    )
    if state.weights.shape != fresh.weights.shape or state.buffers.shape != fresh.buffers.shape:
        raise RunError(f"{path} belongs to a model with {len(state.weights)} parameters")
    for name, tensor in tensors.items():
        kind, key, leaf = name.split("/", 2)
        # A step counter is read by Python each step, so it stays on the CPU.
        value = tensor if tensor.ndim == 0 else tensor.to(device)
        inner: State
        match kind:
            case "clients":
                inner = state.clients.setdefault(int(key), {})
            case "transforms":
                inner = state.transforms[int(key)]
            case _:
                inner = state.aggregator
        inner[leaf] = value
    return state


def save_weights(path: Path, layout: ParameterLayout, weights: Tensor, buffers: dict[str, Tensor]) -> None:
    """The model by parameter name, as ``module.load_state_dict(load_file(path), strict=False)`` wants it."""
    named = {**layout.unflatten(weights), **buffers}
    replace_file(path, save({n: t.detach().cpu().contiguous() for n, t in named.items()}))


def unflatten_buffers(module: torch.nn.Module, flat: Tensor) -> dict[str, Tensor]:
    """The buffers of a module by name and in their own types, out of their flat vector [B]."""
    named = list(module.named_buffers())
    parts = torch.split(flat, [b.numel() for _, b in named])
    return {
        n: (part if b.is_floating_point() else part.round()).view(b.shape).to(b.dtype)
        for (n, b), part in zip(named, parts, strict=True)
    }
