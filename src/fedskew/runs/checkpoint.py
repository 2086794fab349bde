"""The state of a run as one safetensors file, and the model's weights as another. No pickle anywhere.

The first has a checksum of its own (``fedskew.federation.sealed``) and one of the records of its rounds, so that a run
is not continued from what somebody, or a disk, has changed.

The clients' own states are in it, or in files of their own that it names (``fedskew.federation.client_state``).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedskew.errors import RunError
from fedskew.federation.client_state import plain, restore
from fedskew.federation.sealed import check_seal, seal
from fedskew.federation.state import RunState
from fedskew.files import is_file, replace_file
from fedskew.protocols import ParameterLayout
from fedskew.runs.folder import RunFolder

UNSEALED = ("round", "on_cpu")
"""The names of the metadata that checkpoints of earlier versions have, which had no checksum."""
RUN, RECORDS = "run", "records"
"""The names in a checkpoint's metadata of the identity of its rounds, and of the SHA-256 of their lines in
``rounds.jsonl``."""


def save_checkpoint(path: Path, state: RunState, run: str = "", records: str = "") -> None:
    """Replace the checkpoint atomically; it is on disk when this returns, and what only older ones needed is gone.

    Args:
        run: the identity of its rounds (``Completed.rounds_identity``).
        records: SHA-256 of its rounds' lines in ``rounds.jsonl``.
    """
    tensors = {"weights": state.weights, "buffers": state.buffers}
    tensors |= {f"clients/{name}": tensor for name, tensor in state.clients.named().items()}
    of_rules = {
        f"{rule}/{name}": tensor for rule, inner in state.rules.items() for name, tensor in inner.items()
    }
    metadata = {"round": str(state.round), RUN: run, RECORDS: records}
    if state.weights.device.type != "cpu":
        # A rule may keep some of its tensors on the host, and would not find them there again.
        metadata["on_cpu"] = json.dumps([name for name, t in of_rules.items() if t.device.type == "cpu"])
    replace_file(path, seal(plain(tensors | of_rules), metadata))
    state.clients.settle()


def load_checkpoint(path: Path, fresh: RunState) -> RunState:
    """The saved state, of a file that ``check_checkpoint`` has found to be what was written.

    Args:
        fresh: the state before the first round, which says where tensors belong and which rules there are. Its
            store of client states is filled and becomes that of the result.

    Raises:
        RunError: the file is damaged or of another model, or a file of a client that it names is.
    """
    is_file(path)
    device = fresh.weights.device
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = list(file.keys())
            tensors = {n: file.get_tensor(n).clone() for n in names if not n.startswith("clients/")}
            state = RunState(
                round=int(file.metadata()["round"]),
                weights=tensors.pop("weights").to(device),
                buffers=tensors.pop("buffers").to(device),
                clients=fresh.clients,
                rules={rule: {} for rule in fresh.rules},
            )
            if state.weights.shape != fresh.weights.shape or state.buffers.shape != fresh.buffers.shape:
                raise RunError(f"{path} belongs to a model with {len(state.weights)} parameters")
            on_cpu = set(json.loads(file.metadata().get("on_cpu", "[]")))
            for name, tensor in tensors.items():
                kind, key, leaf = name.split("/", 2)
                state.rules[f"{kind}/{key}"][leaf] = tensor if name in on_cpu else tensor.to(device)
            restore(
                state.clients,
                RunFolder(path.parent).client_states,
                state.round,
                [name.removeprefix("clients/") for name in names if name.startswith("clients/")],
                lambda name: file.get_tensor(f"clients/{name}").clone(),
                device,
            )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    return state


def check_checkpoint(path: Path) -> dict[str, str]:
    """The metadata of a checkpoint: ``round``, and ``run`` and ``records`` as ``save_checkpoint`` was given them.

    Raises:
        RunError: it is damaged or changed, or something else than a file is there.
    """
    is_file(path)
    try:
        with path.open("rb") as file:
            return check_seal(file, UNSEALED)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{path} is damaged: {error}", "remove the run's folder to start it from the beginning")


def save_weights(path: Path, layout: ParameterLayout, weights: Tensor, buffers: dict[str, Tensor]) -> None:
    """The model by parameter name, as ``module.load_state_dict(load_file(path), strict=False)`` takes it."""
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
