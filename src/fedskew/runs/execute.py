"""Doing one run in its folder: start, resume, and what remains when it ends or fails.

Records are appended as rounds are done, a checkpoint is written from time to time (``fedskew.runs.log``). A kill leaves
records of rounds after the checkpoint, which are cut on resuming and computed again, to the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import traceback
from collections.abc import Callable, Sequence

from fedskew.components.binding import check_experiment
from fedskew.components.completed import Completed
from fedskew.components.identity import VERSION
from fedskew.config import Execution, to_plain
from fedskew.config.toml_io import write_toml
from fedskew.errors import FailedRunError, FedskewError, RunError, place_of
from fedskew.federation.records import as_kept, records_of
from fedskew.federation.state import RunState, empty_states, initial_state
from fedskew.federation.world import World, build_world
from fedskew.files import first_lines, is_file, parse_lines, replace_file, sweep, to_json
from fedskew.protocols import Callback, Dataset
from fedskew.runs.checkpoint import (
    RECORDS,
    RUN,
    check_checkpoint,
    load_checkpoint,
    save_weights,
    unflatten_buffers,
)
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import changed_inputs, input_checksums
from fedskew.runs.locks import locked
from fedskew.runs.log import RunLog
from fedskew.runs.own import check_own, read_own_result
from fedskew.runs.result import RunResult
from fedskew.runs.session import of_another_version, resumed_in, session_here
from fedskew.runs.sharing import adopt
from fedskew.runs.status import status_of
from fedskew.runs.trigger import TriggerExamples
from fedskew.runs.whole import changed, checksums_of
from fedskew.simulation import rounds
from fedskew.wording import count

_log = logging.getLogger(__name__)


def execute(
    folder: RunFolder,
    run: Completed,
    execution: Execution,
    callbacks: Sequence[Callback] = (),
    dataset: Dataset | None = None,
    relatives: Sequence[RunFolder] = (),
    extend: bool = False,
    begun: Callable[[], None] = lambda: None,
) -> RunResult:
    """Start a run, resume it or, if it is complete, just read its result.

    Args:
        begun: called when there is something to do and no other process does it.
        relatives: folders of runs that differ from this one only in when they stop; where one is complete, a run that
            starts continues from it (``fedskew.runs.sharing``).
        extend: whether it is an error if a run that starts can continue from none of them.

    Raises:
        HeldError: another process is in the folder.
        RunError: it belongs to another config or is of another version and not
            complete, or it is damaged.
        FedskewError: the experiment cannot be done.
    """
    check_experiment(run.experiment)  # first: a folder should not be bound to a broken config
    if run.version != VERSION and status_of(folder, run, execution.data_dir)[0] != "done":
        raise of_another_version(folder.path)
    with locked(folder.path):
        folder.check_kinds()
        _check_config(folder, run)
        sweep(folder.path)
        if inputs := changed_inputs(folder, run, execution.data_dir):
            _put_aside(folder, inputs)
            _check_config(folder, run)
        if (done := read_own_result(folder, run)) is not None:
            _discard_client_states(folder)  # a kill may have come between the result and this
            return done
        folder.failure.unlink(missing_ok=True)
        begun()
        try:
            return _execute(folder, run, execution, callbacks, dataset, relatives, extend)
        except BrokenPipeError:  # an observer's reader has left; the run is interrupted, not failed
            raise
        except FedskewError as error:
            if error.__cause__ is None:
                folder.write_failure(str(error))
            else:  # raised inside a plug-in, whose author needs to see where
                folder.write_failure(str(error), traceback.format_exc())
                error.hint = error.hint or _where_the_traceback_is(folder)
            raise
        except Exception as error:
            folder.write_failure(repr(error), traceback.format_exc())
            raise


def crashed(error: Exception, folder: RunFolder) -> FailedRunError:
    """What to tell of an error in a run that is no ``FedskewError``: what, where, and where its traceback is."""
    return FailedRunError(
        f"{type(error).__name__}: {error} ({place_of(error)})", _where_the_traceback_is(folder)
    )


def _where_the_traceback_is(folder: RunFolder) -> str | None:
    """In its folder, unless that could not be written."""
    return f"the traceback is in {folder.failure}" if folder.failure.is_file() else None


def _execute(
    folder: RunFolder,
    run: Completed,
    execution: Execution,
    callbacks: Sequence[Callback],
    dataset: Dataset | None,
    relatives: Sequence[RunFolder],
    extend: bool,
) -> RunResult:
    world = build_world(run, execution, dataset)
    adopted = adopt(folder, world, relatives, execution.data_dir, required=extend)
    state, done = _resume(folder, world, execution)
    records = records_of(folder.rounds, parse_lines(folder.rounds, done))
    if adopted is None:
        # Sessions in which no round was completed are not kept.
        earlier = folder.read_sessions() if state.round else []
        if state.round and not earlier:
            raise changed(folder.environment, "it is missing")
        here = session_here(world, state.round, input_checksums(run, execution.data_dir))
        folder.write_sessions(resumed_in(earlier, here, folder.path))
    replace_file(folder.clients, to_json(ClientsSummary.of(world).to_json()))
    if (examples := TriggerExamples.of(world)) is not None:
        replace_file(folder.trigger, to_json(examples.to_json()))
    for record in records:
        for callback in callbacks:
            callback.on_round(as_kept(record))  # a copy of its own
    with RunLog(folder, run.rounds_identity, done, state, execution.checkpoint_every) as log:
        for record in rounds(world, state, records):
            log.add(record)
            records.append(record)
            for callback in callbacks:
                callback.on_round(as_kept(record))  # a copy of its own
        log.save()
    buffers = unflatten_buffers(world.module, state.buffers)
    save_weights(folder.weights, world.layout, state.weights, buffers)
    # Why this engine is in the session's record: it may be another reason on another processor, with the same result.
    engine = world.engine.name
    result = RunResult(
        folder.path,
        state.round,
        state.finished,
        records[-1],
        engine,
        world.skew(),
        world.threat,
        run.identity,
        {folder.rounds.name: log.checksum, **checksums_of([folder.clients, folder.trigger, folder.weights])},
    )
    replace_file(folder.result, to_json(result.to_json(), indent=1))
    _discard_client_states(folder)
    for callback in callbacks:
        callback.on_end([as_kept(record) for record in records], state.finished)
    return result


def _discard_client_states(folder: RunFolder) -> None:
    """Removes the clients' files, which may be many and large, where no run will be resumed from them."""
    shutil.rmtree(folder.client_states, ignore_errors=True)


def _resume(folder: RunFolder, world: World, execution: Execution) -> tuple[RunState, bytes]:
    """The state to resume from and the lines of its rounds; what was written after the checkpoint is cut.

    Raises:
        RunError: what is there is not what was written.
    """
    state = initial_state(world, empty_states(world, execution.client_state, folder.client_states))
    written = ""
    if folder.checkpoint.exists():
        metadata = check_checkpoint(folder.checkpoint)
        if metadata.get(RUN, "") not in ("", world.completed.rounds_identity):
            raise changed(folder.checkpoint, "it is the checkpoint of another run")
        written = metadata.get(RECORDS, "")
        state = load_checkpoint(folder.checkpoint, state)
    else:
        _discard_client_states(folder)
    lines = first_lines(folder.rounds, state.round)
    if (there := lines.count(b"\n")) < state.round:
        raise changed(
            folder.rounds, f"it has {count(there, 'round')}, and the checkpoint is of round {state.round}"
        )
    if written and written != hashlib.sha256(lines).hexdigest():
        try:
            records_of(folder.rounds, parse_lines(folder.rounds, lines))  # where it says more: which line
        except RunError as error:
            raise RunError(error.message, f"remove {folder.path} to do the run again") from None
        raise changed(folder.rounds, "the checksum of its rounds is not the one in the checkpoint")
    folder.keep_rounds(state.round)
    return state, lines


def _put_aside(folder: RunFolder, changed: Sequence[str]) -> None:
    """Keeps what a run gave with other inputs in a folder next to it, and leaves this one empty."""
    number = 1
    while os.path.lexists(aside := folder.path.with_name(f"{folder.name}~{number}")):
        number += 1
    aside.mkdir()
    # The sessions, which say what the inputs were, go last: a kill on the way leaves them here, so that the
    # next start sees the change again and moves the rest, instead of resuming from the old checkpoint. Before them goes
    # the config, without which the records would be nobody's.
    last = (folder.config, folder.environment)
    for path in sorted(folder.path.iterdir(), key=lambda path: last.index(path) if path in last else -1):
        if path.name != ".lock":
            path.rename(aside / path.name)
    _log.warning(
        "%s: %s changed since the last session, so the run starts again; the old one is in %s",
        folder.path,
        ", ".join(changed),
        aside.name,
    )


def _check_config(folder: RunFolder, run: Completed) -> None:
    if not is_file(folder.rounds) and not is_file(folder.result):  # not begun
        replace_file(folder.config, write_toml(to_plain(run.experiment)))
        return
    check_own(folder.config, run)
