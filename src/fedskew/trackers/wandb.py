"""Weights & Biases, offline: a project per study, a W&B run per run; ``wandb sync STUDY/wandb/offline-run-*`` uploads.

As with TensorBoard a log is rewritten at every start from the records that are kept, since W&B's files cannot be cut
after a round. Its name has the run's identity and a checksum of its first record, so that an upload after the run was
resumed is of the same W&B run, and one of a run that was done again with other inputs is not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from fedskew.config import to_plain
from fedskew.federation.records import record_to_json
from fedskew.files import is_own_folder, to_json
from fedskew.protocols import RoundRecord
from fedskew.trackers.tracking import TrackedRun, numbers


def wandb(run: TrackedRun, *, where: str | None = None) -> WandB:
    """Metrics of every round, the config with the cell, and at the end why the run stopped; nothing is sent.

    Args:
        where: the project; default: the study's name.
    """
    return WandB(run, run.study if where is None else where)


class WandB:
    """The log of one run in ``wandb/`` in the study's folder."""

    def __init__(self, run: TrackedRun, project: str) -> None:
        self._run, self._project = run, re.sub(r"[/\\#?%:]", "_", project)
        self._log: Any = None

    def on_round(self, record: RoundRecord) -> None:
        """Logs a round's numbers with the round as step."""
        if self._log is None:
            self._log = self._begin(record)
        self._log.log(numbers(record), step=record.round)

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """Says why the run stopped and closes the log."""
        self._log.summary["stopped"] = reason
        self._finish(0)

    def close(self) -> None:
        """Closes the log of a run that has not come to its end."""
        if self._log is not None:
            self._finish(1)

    def _finish(self, code: int) -> None:
        log, self._log = self._log, None
        log.finish(exit_code=code)

    def _begin(self, first: RoundRecord) -> Any:
        """An empty log, without those of earlier starts."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing is sent without permission
        if "wandb" not in sys.modules:  # else this process has its service already
            # One inherited from another process would hold the name of a run that was killed, so that no log of it
            # could be begun again.
            os.environ.pop("WANDB_SERVICE", None)
        import wandb as package

        text = to_json(record_to_json(first))
        name = f"{self._run.identity}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        is_own_folder(self._run.root / "wandb")
        for old in (self._run.root / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(old)
        return package.init(
            project=self._project,
            id=name,
            name=self._run.name,
            dir=str(self._run.root),
            config={**to_plain(self._run.experiment), "cell": {str(k): v for k, v in self._run.cell.items()}},
            reinit="create_new",  # a worker does several runs, one after another
            settings=package.Settings(
                mode="offline",
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
