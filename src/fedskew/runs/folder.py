"""The folder of one run: what its files are called, how they are read and written.

    config.toml             the completed experiment
    environment.json        one entry per session: versions, device, threads, commit
    clients.json            who holds how many images of which class, and who is malicious
    trigger.json            test images with and without the trigger, if the attack has one
    rounds.jsonl            one record per round, identical however often the run was interrupted
    timings.jsonl           seconds per round and phase
    checkpoint.safetensors  the state after some round, from which the run would be resumed; at the end after the last
    clients/                the clients' own states, if they are many (client_state); removed when the run is complete
    result.json             the last record, why it stopped; exists only when the run is complete
    weights.safetensors     the final model
    failure.json            why it failed, if it did

The runs of a study are in ``STUDY/runs/IDENTITY``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fedskew.components.identity import OLDEST, VERSION
from fedskew.errors import FedskewError, RunError
from fedskew.federation.records import records_of
from fedskew.files import is_file, is_own_folder, keep_lines, read_header, read_lines, replace_file, to_json
from fedskew.protocols import RoundRecord
from fedskew.reading import parse_json
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.result import RunResult
from fedskew.runs.session import Session
from fedskew.runs.trigger import MOST_BYTES, TriggerExamples
from fedskew.runs.whole import changed, check_last, check_unchanged

RUNS = "runs"
"""The folder of a study that holds the folders of its runs."""

T = TypeVar("T")

_DAMAGED = (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError, FedskewError)
"""What reading a damaged record raises; ``OverflowError``: a count that is infinite."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, which need not exist."""

    path: Path

    @staticmethod
    def below(root: Path, name: str) -> RunFolder:
        """The folder of the run of this name in a study's folder."""
        return RunFolder(root / RUNS / name)

    @staticmethod
    def all_below(root: Path) -> list[RunFolder]:
        """The folders of runs in a study's folder, by name; without those that were put aside."""
        folders = (path for path in (root / RUNS).glob("*") if path.is_dir())
        return [RunFolder(path) for path in sorted(folders) if "~" not in path.name]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """``config.toml``."""
        return self.path / "config.toml"

    @property
    def environment(self) -> Path:
        """``environment.json``: the sessions."""
        return self.path / "environment.json"

    @property
    def clients(self) -> Path:
        """``clients.json``."""
        return self.path / "clients.json"

    @property
    def trigger(self) -> Path:
        """``trigger.json``."""
        return self.path / "trigger.json"

    @property
    def rounds(self) -> Path:
        """``rounds.jsonl``."""
        return self.path / "rounds.jsonl"

    @property
    def timings(self) -> Path:
        """``timings.jsonl``."""
        return self.path / "timings.jsonl"

    @property
    def checkpoint(self) -> Path:
        """``checkpoint.safetensors``."""
        return self.path / "checkpoint.safetensors"

    @property
    def client_states(self) -> Path:
        """``clients/``."""
        return self.path / "clients"

    @property
    def result(self) -> Path:
        """``result.json``."""
        return self.path / "result.json"

    @property
    def weights(self) -> Path:
        """``weights.safetensors``."""
        return self.path / "weights.safetensors"

    @property
    def failure(self) -> Path:
        """``failure.json``."""
        return self.path / "failure.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that a complete run may have."""
        return (
            self.config,
            self.environment,
            self.clients,
            self.trigger,
            self.rounds,
            self.timings,
            self.checkpoint,
            self.result,
            self.weights,
        )

    def check_kinds(self) -> None:
        """See that where a run has files there are files, and a folder where it has one.

        Raises:
            RunError: something else is there, in the way of what would be written at the end, or read or removed.
        """
        for path in (*self.files, self.failure):
            is_file(path)
        is_own_folder(self.client_states)

    def read_records(self) -> list[RoundRecord]:
        """The records of all whole rounds.

        Raises:
            RunError: a line is damaged.
        """
        return records_of(self.rounds, read_lines(self.rounds))

    def keep_rounds(self, count: int) -> None:
        """Cut the records and times after the first ``count`` rounds."""
        keep_lines(self.rounds, count)
        keep_lines(self.timings, count)

    def read_saved_round(self) -> int:
        """After which round the run would be resumed; 0 if there is no checkpoint.

        Raises:
            RunError: the checkpoint is damaged.
        """
        if not is_file(self.checkpoint):
            return 0
        try:
            return int(read_header(self.checkpoint)["__metadata__"]["round"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{self.checkpoint} is damaged: {error}") from None

    def read_seconds(self, phase: str = "total") -> list[float]:
        """How long each round took, or one phase of it, in seconds; nothing of rounds without this phase.

        Raises:
            RunError: a line is damaged.
        """
        try:
            lines = read_lines(self.timings)
            return [float(line[phase]) for line in lines if phase == "total" or phase in line]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{self.timings} is damaged: {error}") from None

    def read_result(self) -> RunResult | None:
        """The result of a complete run; None if it is not complete.

        Raises:
            RunError: the file is damaged, or the records and what else is kept of the run do not fit it.
        """
        result = self._read(self.result, lambda value: RunResult.from_json(self.path, value))
        if result is not None:
            check_last(self.rounds, result.rounds, result.last)
            for path in (self.rounds, self.clients, self.trigger):
                check_unchanged(path, result.checksums)
        return result

    def read_clients(self) -> ClientsSummary | None:
        """Who holds what; None if nothing says it.

        Raises:
            RunError: the file is damaged.
        """
        return self._read(self.clients, ClientsSummary.from_json)

    def read_trigger(self) -> TriggerExamples | None:
        """What the trigger does to test images; None if nothing says it.

        Raises:
            RunError: the file is damaged or larger than any that a run writes.
        """
        if is_file(self.trigger) and self.trigger.stat().st_size > MOST_BYTES:
            raise RunError(f"{self.trigger} is damaged: it has more than {MOST_BYTES:,} bytes")
        return self._read(self.trigger, TriggerExamples.from_json)

    def read_sessions(self) -> list[Session]:
        """The run's sessions, the first one first; empty if nothing is known of them.

        Raises:
            RunError: the file is damaged.
        """
        return self._read(self.environment, lambda value: [*map(Session.from_json, value["sittings"])]) or []

    def read_version(self) -> int:
        """The version of its results (``components.identity``); without any round the present one, which it will have.

        Raises:
            RunError: the file of its sessions is damaged, or missing.
        """
        if not is_file(self.rounds):
            return VERSION
        if not is_file(self.environment):
            raise changed(self.environment, "it is missing")
        sessions = self.read_sessions()
        return (sessions[-1].identity_version if sessions else None) or OLDEST

    def write_sessions(self, sessions: Sequence[Session]) -> None:
        """Replace the file atomically."""
        plain = [session.to_json() for session in sessions]
        replace_file(self.environment, to_json({"sittings": plain}, indent=1))

    def read_failure(self) -> str | None:
        """Why the run failed, in one line; None if it did not.

        Raises:
            RunError: the file is damaged.
        """
        reason = self._read(self.failure, lambda value: str(value.get("reason", "")))
        return None if reason is None else (reason.splitlines() or ["no reason given"])[0]

    def write_failure(self, reason: str, traceback: str | None = None) -> None:
        """Say why the run failed."""
        failure = {"reason": reason} if traceback is None else {"reason": reason, "traceback": traceback}
        replace_file(self.failure, to_json(failure, indent=1))

    def _read(self, path: Path, parse: Callable[[Any], T]) -> T | None:
        try:
            if not is_file(path):
                return None
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path} cannot be read: {error}") from None
        try:
            return parse(parse_json(text))
        except _DAMAGED as error:
            raise RunError(f"{path} is damaged: {error}", f"remove {self.path} to do the run again") from None
