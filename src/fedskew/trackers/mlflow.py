"""MLflow: an experiment per study, an MLflow run per run; ``mlflow ui --backend-store-uri sqlite:///STUDY/mlflow.db``.

What is logged cannot be removed, so a run that is resumed continues after the last round that MLflow has. It is
found by its identity and a checksum of its first record, since a run that is done again with other inputs has others.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from fedskew.federation.records import record_to_json
from fedskew.files import is_own_file, to_json
from fedskew.protocols import RoundRecord
from fedskew.trackers.tracking import TrackedRun, hyperparameters, numbers

LOCK = ".mlflow.lock"
MOST = 100
"""Parameters that MLflow takes at a time."""


def mlflow(run: TrackedRun, *, where: str | None = None) -> MLflow:
    """Metrics of every round, the config's fields as parameters, the cell as tags.

    Args:
        where: a tracking URI; default: ``$MLFLOW_TRACKING_URI``, else the SQLite file ``mlflow.db`` in the study's
            folder.
    """
    uri = where or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is not None:
        return MLflow(run, uri)
    for name in ("mlflow.db", LOCK):
        is_own_file(run.root / name)
    with _one_at_a_time(run.root):  # the first one makes the tables
        return MLflow(run, f"sqlite:///{(run.root / 'mlflow.db').resolve()}")


class MLflow:
    """One run in an MLflow experiment of the study's name."""

    def __init__(self, run: TrackedRun, uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is sent without permission
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # no lines about making its tables
        self._run = run
        self._client: Any = MlflowClient(tracking_uri=uri)
        found: Any = self._client.get_experiment_by_name(run.study)
        if found is None:
            with suppress(MlflowException):  # another process was quicker
                self._client.create_experiment(run.study)
            found = self._client.get_experiment_by_name(run.study)
        self._experiment: str = found.experiment_id
        self._id = ""
        self._logged = 0

    def on_round(self, record: RoundRecord) -> None:
        """Logs a round in one request, unless MLflow has it."""
        from mlflow.entities import Metric

        if not self._id:
            self._find(record)
        if record.round <= self._logged:
            return
        now = int(time.time() * 1000)
        values = {"round": float(record.round), **numbers(record)}
        metrics = [Metric(_key(name), value, now, record.round) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)
        self._logged = record.round

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """Marks the run as finished, with why it stopped."""
        self._client.set_tag(self._id, "fedskew.stopped", reason)
        self._client.set_terminated(self._id, "FINISHED")
        self._id = ""

    def close(self) -> None:
        """Marks a run that has not come to its end."""
        if self._id:
            self._client.set_terminated(self._id, "KILLED")

    def _find(self, first: RoundRecord) -> None:
        """Continues the MLflow run that started with this record, or starts one."""
        from mlflow.entities import Param

        text = to_json(record_to_json(first))
        own = {
            "fedskew.run": self._run.identity,
            "fedskew.first_record": hashlib.sha256(text.encode()).hexdigest()[:16],
        }
        same = " and ".join(f"tags.`{name}` = '{value}'" for name, value in own.items())
        known = self._client.search_runs([self._experiment], filter_string=same, max_results=1)
        if known:
            self._id = known[0].info.run_id
            self._logged = int(known[0].data.metrics.get("round", 0))
            self._client.update_run(self._id, status="RUNNING")
            return
        cell = {_key(str(axis)): str(label) for axis, label in self._run.cell.items()}
        made = self._client.create_run(self._experiment, run_name=self._run.name, tags={**cell, **own})
        self._id = made.info.run_id
        params = [Param(_key(name), str(value)) for name, value in hyperparameters(self._run).items()]
        for start in range(0, len(params), MOST):
            self._client.log_batch(self._id, params=params[start : start + MOST])


def _key(name: str) -> str:
    """A name of the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name)


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Makes the other workers of the study wait, which would create the same tables at the same time."""
    with FileLock(root / LOCK) if root.is_dir() else nullcontext():
        yield
