"""The model of a run as PyTorch has it: its weights by name, and the module that the config describes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fedskew.components.binding import resolve
from fedskew.components.completed import Completed
from fedskew.components.returned import checked_model
from fedskew.config import Experiment
from fedskew.errors import RunError
from fedskew.models.build import fresh
from fedskew.protocols import DatasetInfo
from fedskew.runs.folder import RunFolder
from fedskew.runs.own import read_own_result
from fedskew.runs.whole import check_unchanged


def read_weights(folder: RunFolder, run: Completed) -> dict[str, Tensor]:
    """The parameters and buffers of a complete run's final model by name, on the CPU.

    Raises:
        RunError: the folder has none, or another run's, or the file is damaged.
    """
    if not folder.weights.exists():
        raise RunError(
            f"{folder.path} has no {folder.weights.name}, which a run has once it is complete",
            "the records below results/ are kept without weights; rerun the study to get them",
        )
    result = read_own_result(folder, run)
    if result is not None:
        check_unchanged(folder.weights, result.checksums)
    try:
        return dict(load_file(folder.weights))
    except (SafetensorError, OSError) as error:
        raise RunError(f"{folder.weights} is damaged: {error}") from None


def build_model(
    experiment: Experiment, info: DatasetInfo, weights: dict[str, Tensor], path: Path
) -> nn.Module:
    """The module that a config describes, in evaluation mode on the CPU, with weights from a file.

    Args:
        info: of the data set that it was trained on.
        path: of the file, for errors.

    Raises:
        ConfigError: the model cannot be built for such data.
        RunError: the weights are of another model.
    """
    factory: Any = resolve("model", experiment.model, "model")
    module = checked_model(experiment.model.label, fresh(factory, info, experiment.seed), info)
    kept = {name for name, _ in module.named_parameters()} | {name for name, _ in module.named_buffers()}
    try:
        if kept != weights.keys():
            raise RuntimeError(f"it has {', '.join(sorted(kept ^ weights.keys()))} on one side only")
        module.load_state_dict(
            weights, strict=False
        )  # buffers that a module leaves out of its state are there too
    except RuntimeError as error:
        raise RunError(
            f"{path} holds the weights of another model than {experiment.model.label!r}: {error}"
        ) from None
    return module.eval()
