"""What a plug-in gives back is held against its seam at once, so that a mistake is one sentence that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from fedskew.errors import ConfigError
from fedskew.protocols import THREAT_MODELS, Attack, IndexArray, Verdict


def checked_split(name: str, parts: Sequence[Any], total: int, clients: int) -> list[IndexArray]:
    """One array of positions per client; disjoint and together all of them.

    Raises:
        ConfigError: they are not.
    """
    if len(parts) != clients:
        raise ConfigError(f"split {name!r} returned {len(parts)} parts for {clients} clients")
    arrays = [np.asarray(part, dtype=np.int64).reshape(-1) for part in parts]
    positions = np.sort(np.concatenate(arrays))
    if len(positions) != total or not np.array_equal(positions, np.arange(total)):
        raise ConfigError(
            f"split {name!r} did not spread the {total} images: every position must be given to exactly one client"
        )
    return arrays


def checked_attack(name: str, attack: object) -> Attack:
    """An ``Attack`` with a known threat model.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(attack, Attack):
        raise ConfigError(f"attack {name!r} must return an Attack, not {type(attack).__name__}")
    if isinstance(attack.threat_model, str) and attack.threat_model not in THREAT_MODELS:
        raise ConfigError(
            f"attack {name!r}: threat_model = {attack.threat_model!r}; valid: {', '.join(THREAT_MODELS)}"
        )
    return attack


def checked_model(name: str, module: object) -> nn.Module:
    """An ``nn.Module``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r} must return an nn.Module, not {type(module).__name__}")
    return module


def checked_verdict(name: str, verdict: object) -> Verdict:
    """A ``Verdict``.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(verdict, Verdict):
        raise ConfigError(f"stopping rule {name!r} must return a Verdict, not {type(verdict).__name__}")
    return verdict


def checked_metrics(name: str, found: object, taken: Mapping[str, float]) -> dict[str, float]:
    """Named numbers, none of them under a name that is taken.

    Raises:
        ConfigError: they are something else.
    """
    if not isinstance(found, Mapping):
        raise ConfigError(f"metric {name!r} must return {{name: number}}, not {type(found).__name__}")
    for key in found:
        if key in taken:
            raise ConfigError(f"metric {name!r} returned {key!r}, which is the name of another metric")
    try:
        return {str(key): float(value) for key, value in found.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"metric {name!r} returned something that is not a number: {error}") from None


def same_shape(name: str, found: object, expected: Tensor) -> Tensor:
    """A tensor of the expected shape.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(f"{name} returned {what}, not a tensor of shape {list(expected.shape)}")
    return found.to(expected)
