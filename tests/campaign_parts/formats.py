"""All that fedskew reads and others may have written: configs, data, and the records of runs and studies."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from campaign_parts import mutations
from campaign_parts.damaged import Format
from campaign_parts.data_formats import data_formats
from campaign_parts.mutations import Mutate
from campaign_parts.subject import STUDY
from fedskew.components.binding import check_experiment
from fedskew.config import Execution
from fedskew.federation.client_state import MemoryStates
from fedskew.federation.state import initial_state
from fedskew.federation.world import World, build_world
from fedskew.presets import preset_names, preset_path
from fedskew.runs.checkpoint import load_checkpoint
from fedskew.runs.folder import RunFolder
from fedskew.runs.result import RunResult
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import planned_runs
from fedskew.study.source import as_experiment, as_study, find_config
from fedskew.study.stated import read_notes

ROOT = Path(__file__).parents[2]
SMALL = b"""
seed = 3
rounds = 4
split = { name = "dirichlet", alpha = 0.5 }
attack = "none"
[clients]
count = 9
[training]
epochs = 1
[training.optimizer]
name = "sgd"
lr = 0.1
[defence]
aggregator = "median"
"""
NOTE = b'{"claim":{"metric":"accuracy","direction":"rises","over":"a"},"stated":"2026-11-27","complete":0}\n'


def formats(study: Path, archive: Path) -> dict[str, Format]:
    """All formats by name.

    Args:
        study: the folder of a study that is done, with clients' states in its checkpoints.
        archive: the same study, packed.
    """
    return {**_configs(), **data_formats(), **_records(study, archive)}


def _configs() -> dict[str, Format]:
    presets = [path.read_bytes() for name in preset_names() if (path := preset_path(name)) is not None]
    experiments = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.toml"))]
    experiments = [text for text in experiments if b"[axes" not in text and b"seeds" not in text]
    return {
        "experiment.toml": Format("config.toml", [SMALL, *experiments], mutations.of_toml, _experiment),
        "study.toml": Format("mine.toml", [STUDY.read_bytes(), *presets], mutations.of_toml, _study),
    }


def _experiment(path: Path) -> None:
    check_experiment(as_experiment(find_config(str(path))).experiment)


def _study(path: Path) -> None:
    source = find_config(str(path))
    planned_runs(as_study(source), source.origin)


def _results(study: Path) -> list[bytes]:
    """Results with and without checksums, which would hide from the rest of the reader what is damaged."""
    found = [run.result.read_bytes() for run in RunFolder.all_below(study)]
    plain = [{k: v for k, v in json.loads(one).items() if k != "sha256"} for one in found]
    return [*found, *(json.dumps(one, indent=1).encode() for one in plain)]


def _read_result(path: Path) -> object:
    """A result by itself, without the records that it is compared with."""
    return RunFolder(path.parent)._read(path, lambda value: RunResult.from_json(path.parent, value))


def _records(study: Path, archive: Path) -> dict[str, Format]:
    def whole(name: str) -> list[bytes]:
        return [getattr(run, name).read_bytes() for run in RunFolder.all_below(study)]

    def of_run(name: str, mutate: Mutate, read: Callable[[RunFolder], object]) -> Format:
        return Format(
            getattr(RunFolder(Path()), name).name,
            whole(name),
            mutate,
            lambda path: read(RunFolder(path.parent)),
        )

    return {
        "rounds.jsonl": of_run("rounds", mutations.of_lines, RunFolder.read_records),
        "timings.jsonl": of_run("timings", mutations.of_lines, RunFolder.read_seconds),
        "result.json": Format("result.json", _results(study), mutations.of_json, _read_result),
        "clients.json": of_run("clients", mutations.of_json, RunFolder.read_clients),
        "environment.json": of_run("environment", mutations.of_json, RunFolder.read_sessions),
        "checkpoint": of_run(
            "checkpoint", mutations.in_safetensors, lambda run: _loaded(run.checkpoint, study)
        ),
        "claims.jsonl": Format(
            "claims.jsonl", [NOTE * 2], mutations.of_lines, lambda path: read_notes(path.parent)
        ),
        "study.tar.xz": Format("study.tar.xz", [archive.read_bytes()], mutations.in_xz, _packed),
    }


def _loaded(path: Path, study: Path) -> object:
    return load_checkpoint(path, initial_state(_world(study), MemoryStates()))


@cache
def _world(study: Path) -> World:
    run = RunFolder.all_below(study)[0]
    return build_world(as_experiment(find_config(str(run.config))), Execution(engine="torch"))


def _packed(path: Path) -> None:
    folder = StudyFolder.read(path)
    for planned in folder.planned:
        folder.status(planned)
