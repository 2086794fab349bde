"""What a run writes while it works: every record at once, and its state at most every so many seconds.

A record that was appended survives a kill. When a checkpoint is due, the records are synced first and the checkpoint is
replaced then: so what is on disk, also after a crash of the machine, holds the records of all rounds of the
checkpoint. Those of later rounds are cut on resuming and computed again, to the same bytes. The clock decides only how
many they are.
"""

from __future__ import annotations

import hashlib
import time
from types import TracebackType

from fedskew.federation.records import record_to_json
from fedskew.federation.state import RunState
from fedskew.files import LineFile
from fedskew.protocols import RoundRecord
from fedskew.runs.checkpoint import save_checkpoint
from fedskew.runs.folder import RunFolder


class RunLog:
    """Writes the rounds of a run into its folder.

    Args:
        folder: with the records of the rounds that are done, and of no others.
        run: the identity of its rounds, which runs share that continue from it.
        done: these records, as the lines of their file.
        state: the run's, which each round brings up to date.
        every: seconds between two checkpoints, at least; 0 for one after every round.
    """

    def __init__(self, folder: RunFolder, run: str, done: bytes, state: RunState, every: float) -> None:
        self._folder, self._run, self._state, self._every = folder, run, state, every
        self._checksum = hashlib.sha256(done)
        self._records, self._times = LineFile(folder.rounds), LineFile(folder.timings)
        self._saved, self._when = state.round, time.monotonic()

    def __enter__(self) -> RunLog:
        return self

    @property
    def checksum(self) -> str:
        """The SHA-256 of all records, as they were written."""
        return self._checksum.hexdigest()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()
        self._times.close()

    def add(self, record: RoundRecord) -> None:
        """Append a round's record and its times, and save the state if it is time."""
        self._checksum.update(self._records.append(record_to_json(record)))
        self._times.append({"round": record.round, **record.seconds})
        if time.monotonic() - self._when >= self._every:
            self.save()

    def save(self) -> None:
        """Bring all records and the state to disk, unless they are there."""
        if self._saved == self._state.round:
            return
        self._records.sync()
        self._times.sync()
        save_checkpoint(self._folder.checkpoint, self._state, self._run, self.checksum)
        self._saved, self._when = self._state.round, time.monotonic()
