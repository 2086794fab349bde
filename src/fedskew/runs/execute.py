"""One run's folder: config, environment, rounds, checkpoint, result, weights; and how it is resumed.

    config.toml             the resolved experiment
    environment.json        one entry per sitting: versions, device, threads, commit
    clients.json            who holds how many images of which class, and who is malicious
    rounds.jsonl            one record per round, identical however often the run was interrupted
    timings.jsonl           seconds per round and phase
    checkpoint.safetensors  the state behind the last round
    clients/                the clients' own states, if they are many (client_state); removed when the run is complete
    result.json             the last record, why it stopped; exists only when the run is complete
    weights.safetensors     the final model
    failure.json            why it failed, if it did

A record is appended and synced before the checkpoint is replaced. A kill between the two leaves one record too
many, which is cut on resuming and computed again, to the same bytes.
"""

from __future__ import annotations

import logging
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedskew.components.binding import check_experiment, complete_experiment
from fedskew.components.identity import identity
from fedskew.config import Execution, Experiment, to_plain
from fedskew.config.toml_io import read_toml, write_toml
from fedskew.errors import FedskewError, RunError
from fedskew.federation.records import RunResult, read_records, read_result, record_to_json
from fedskew.federation.world import RunState, World, build_world, empty_states, initial_state
from fedskew.files import append_line, differences, keep_lines, replace_file, to_json
from fedskew.protocols import Callback, Dataset, RoundRecord
from fedskew.runs.checkpoint import CLIENTS, load_checkpoint, save_checkpoint, save_weights, unflatten_buffers
from fedskew.runs.inputs import changed_inputs
from fedskew.runs.locks import locked
from fedskew.runs.sessions import note_sitting
from fedskew.runs.sharing import adopt
from fedskew.simulation import rounds

_log = logging.getLogger(__name__)


def execute(
    folder: Path,
    experiment: Experiment,
    execution: Execution,
    callbacks: Sequence[Callback] = (),
    dataset: Dataset | None = None,
    relatives: Sequence[Path] = (),
) -> RunResult:
    """Starts, resumes or, if it is complete, just reads a run.

    Args:
        relatives: folders of runs that differ from this one in when they stop alone; where one is complete, a run that
            starts goes on from it (``fedskew.runs.sharing``).

    Raises:
        RunError: another process is in the folder, it belongs to another config, or it is damaged.
        FedskewError: the experiment cannot be done.
    """
    experiment = complete_experiment(experiment)
    check_experiment(
        experiment
    )  # before anything is written: a folder should not be bound to a broken config
    with locked(folder):
        _check_config(folder, experiment)
        if changed := changed_inputs(folder, experiment):
            _put_aside(folder, changed)
            _check_config(folder, experiment)
        if (done := read_result(folder)) is not None:
            _discard_client_states(folder)  # a kill may have come between the result and this
            return done
        (folder / "failure.json").unlink(missing_ok=True)
        try:
            return _execute(folder, experiment, execution, callbacks, dataset, relatives)
        except BrokenPipeError:  # an observer's reader has left; the run is interrupted, not failed
            raise
        except Exception as error:
            failure = {"reason": str(error) if isinstance(error, FedskewError) else repr(error)}
            if not isinstance(error, FedskewError):
                failure["traceback"] = traceback.format_exc()
            replace_file(folder / "failure.json", to_json(failure, indent=1))
            raise


def _execute(
    folder: Path,
    experiment: Experiment,
    execution: Execution,
    callbacks: Sequence[Callback],
    dataset: Dataset | None,
    relatives: Sequence[Path],
) -> RunResult:
    world = build_world(experiment, execution, dataset)
    adopted = adopt(folder, world, relatives)
    state, records = _resume(folder, world, execution)
    if adopted is None:
        note_sitting(folder, world, state.round)
    replace_file(folder / "clients.json", to_json(clients_summary(world)))
    for record in records:
        for callback in callbacks:
            callback.on_round(record)
    for record in rounds(world, state, records):
        append_line(folder / "rounds.jsonl", record_to_json(record))
        append_line(folder / "timings.jsonl", {"round": record.round, **record.seconds})
        save_checkpoint(folder / "checkpoint.safetensors", state)
        records.append(record)
        for callback in callbacks:
            callback.on_round(record)
    buffers = unflatten_buffers(world.module, state.buffers)
    save_weights(folder / "weights.safetensors", world.layout, state.weights, buffers)
    engine = f"{world.engine.name} ({world.engine_reason})"
    summary = {
        "rounds": state.round,
        "stopped": state.finished,
        "engine": engine,
        "skew": world.skew(),
        "last": record_to_json(records[-1]),
    }
    replace_file(folder / "result.json", to_json(summary, indent=1))
    _discard_client_states(folder)
    for callback in callbacks:
        callback.on_end(records, state.finished)
    return RunResult(folder, state.round, state.finished, records[-1], engine, world.skew())


def clients_summary(world: World) -> dict[str, Any]:
    """What a report says of the clients without the data at hand: class names, adversaries and, for at most 1,000
    clients, the client x class table of true labels before anything was poisoned."""
    where, info = world.population.spread, world.dataset.info
    found: dict[str, Any] = {
        "class_names": list(info.class_names),
        "clients": len(where.shards),
        "malicious": list(where.malicious),
        "held_out": len(where.validation),
    }
    if len(where.shards) <= 1000:
        found["label_counts"] = where.counts(world.dataset.y_train.numpy(), info.num_classes).tolist()
    return found


def _discard_client_states(folder: Path) -> None:
    """Removes the clients' files, which may be many and large, where nothing will go on from them."""
    shutil.rmtree(folder / CLIENTS, ignore_errors=True)


def _resume(folder: Path, world: World, execution: Execution) -> tuple[RunState, list[RoundRecord]]:
    """The state to go on from and the records behind it; what was written after the checkpoint is cut."""
    state = initial_state(world, empty_states(world, execution.client_state, folder / CLIENTS))
    path = folder / "checkpoint.safetensors"
    if path.exists():
        state = load_checkpoint(path, state)
    else:
        _discard_client_states(folder)
    records = read_records(folder)
    if len(records) < state.round:
        raise RunError(
            f"{folder / 'rounds.jsonl'} holds {len(records)} rounds, the checkpoint is behind round {state.round}",
            f"remove {folder} to do the run again",
        )
    keep_lines(folder / "rounds.jsonl", state.round)
    keep_lines(folder / "timings.jsonl", state.round)
    return state, records[: state.round]


def _put_aside(folder: Path, changed: Sequence[str]) -> None:
    """Keeps what a run gave with other inputs in a folder beside it, and leaves this one empty."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}~{number}")).exists():
        number += 1
    aside.mkdir()
    # environment.json, which says what the inputs were, goes last: a kill on the way leaves it here, so that the
    # next start sees the change again and moves the rest, instead of going on from the old checkpoint.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "environment.json"):
        if path.name != ".lock":
            path.rename(aside / path.name)
    _log.warning(
        "%s: %s has changed; done again, the old run is in %s", folder, ", ".join(changed), aside.name
    )


def _check_config(folder: Path, experiment: Experiment) -> None:
    path, wanted = folder / "config.toml", to_plain(experiment)
    begun = any((folder / name).exists() for name in ("rounds.jsonl", "result.json"))
    if not path.exists() or not begun:
        replace_file(path, write_toml(wanted))
        return
    stored = read_toml(path)
    try:
        same = identity(Experiment.model_validate(stored)) == identity(experiment)
    except (ValueError, FedskewError):  # a field that this version does not know
        same = False
    changed = differences(stored, wanted)
    if changed and not same:
        raise RunError(
            f"{folder} holds a run of another config:\n" + "\n".join(changed),
            "choose another folder, or undo the change",
        )
