"""Small builders and the hypothesis settings that several test modules share."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.federation import world
from fedskew.files import to_json
from fedskew.protocols import (
    Callback,
    ClientUpdates,
    Dataset,
    DatasetInfo,
    ParameterLayout,
    RoundRecord,
    SelectionView,
    ServerStep,
    ServerView,
    SplitView,
)
from fedskew.runs import execute as runs
from fedskew.runs import status
from fedskew.runs.folder import RunFolder
from fedskew.runs.result import RunResult
from fedskew.seeding import stream
from fedskew.selection.uniform import uniform

PROPERTY = settings(
    deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
"""The same examples on every machine, and no time limits on a loaded one."""


def load_module(path: Path) -> ModuleType:
    """A module from its file, which stands in no package, with its neighbours to import, as a script has them."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
    return module


def build_world(experiment: Experiment, execution: Execution, dataset: Dataset | None = None) -> world.World:
    """The world of an experiment that is completed first."""
    return world.build_world(completed(experiment), execution, dataset)


def execute(
    folder: Path,
    experiment: Experiment,
    execution: Execution,
    callbacks: Sequence[Callback] = (),
    relatives: Sequence[Path] = (),
) -> RunResult:
    """Does a run of an experiment that is completed first."""
    others = [RunFolder(path) for path in relatives]
    return runs.execute(RunFolder(folder), completed(experiment), execution, callbacks, relatives=others)


def status_of(folder: Path, experiment: Experiment) -> tuple[status.Status, str]:
    """The status of a run of an experiment that is completed first."""
    return status.status_of(RunFolder(folder), completed(experiment))


def put_records(run: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Gives the folder of a run these records, and its result, if it has one, the last of them."""
    (run / "rounds.jsonl").write_text("".join(to_json(record) + "\n" for record in records))
    if (run / "result.json").exists():
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        result |= {"rounds": len(records), "last": records[-1], "sha256": {}}
        (run / "result.json").write_text(to_json(result))


def as_without_checksums(run: Path) -> None:
    """Makes the folder of a complete run one of an earlier version, whose result says neither checksums nor its run."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    del result["sha256"], result["run"]
    (run / "result.json").write_text(to_json(result))


def toy_info(shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> DatasetInfo:
    channels = shape[0]
    names = tuple(f"class-{i}" for i in range(classes))
    return DatasetInfo("toy", names, shape, (0.5,) * channels, (0.25,) * channels)


def view_of(labels: np.ndarray, classes: int = 10) -> SplitView:
    """What a split sees of a training set of which nothing but the labels is known."""
    return SplitView(labels, np.arange(len(labels)), len(labels), toy_info(classes=classes))


def client_updates(
    deltas: Tensor | np.ndarray | Sequence[Sequence[float]], num_examples: Sequence[int] | None = None
) -> ClientUpdates:
    rows = torch.as_tensor(deltas, dtype=torch.float32)
    sizes = torch.tensor([1] * len(rows) if num_examples is None else list(num_examples))
    return ClientUpdates(rows, sizes, torch.arange(len(rows)))


def reported(deltas: Any, losses: Sequence[float]) -> ClientUpdates:
    """Updates with the loss before training that each client reports."""
    return replace(client_updates(deltas), start_losses=torch.tensor(losses, dtype=torch.float64))


def near(expected: Any, **tolerance: Any) -> Any:
    """``pytest.approx`` inside a tuple or a record, where a type checker expects a number."""
    return pytest.approx(expected, **tolerance)


VIEW = ServerView(1, torch.zeros(0), ParameterLayout((), ()))
"""What the rules under test do not look at."""


def server_steps(step: ServerStep, deltas: Tensor) -> list[Tensor]:
    """The step of each round, given one delta per round [rounds, P]."""
    state, found = step.init(), []
    for delta in deltas:
        moved, state = step.apply(delta, state)
        found.append(moved)
    return found


def history(monitor: str, losses: Sequence[float]) -> list[RoundRecord]:
    return [
        RoundRecord(round_number, {monitor: loss}, [], [], [], [], {})
        for round_number, loss in enumerate(losses, start=1)
    ]


def delta_matrices(clients: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[np.ndarray]:
    """Float32 matrices [1..7 clients, 1..12 parameters] with many ties and zeros among their entries."""
    numbers = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5]), st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
    )
    shapes = st.tuples(st.integers(1, 7) if clients is None else clients, st.integers(1, 12))
    return arrays.arrays(np.float32, shapes, elements=numbers)


def uniform_cohort(experiment: Experiment, round_number: int) -> np.ndarray:
    """The cohort that uniform selection gives, from the rule alone."""
    clients = experiment.clients
    view = SelectionView(
        round=round_number,
        num_clients=clients.count,
        size=max(1, round(clients.fraction * clients.count)),
        num_examples=np.ones(clients.count, dtype=np.int64),
        losses=lambda ids: np.zeros(len(ids)),
    )
    return np.sort(uniform(view, stream(experiment.seed, "cohort", round_number)))


def skewed(objective: Any, *, epochs: int = 2, batch_size: int = 64, **fields: Any) -> Experiment:
    """Three rounds of five clients with unevenly spread digits and an objective, by plain SGD."""
    plain: dict[str, Any] = {
        "rounds": 3,
        "data": "digits",
        "split": {"name": "dirichlet", "alpha": 0.3},
        "clients": {"count": 5},
        "model": {"name": "mlp", "hidden": [8]},
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "objective": objective,
            "optimizer": {"name": "sgd", "lr": 0.1},
        },
    }
    return Experiment.model_validate({**plain, **fields})
