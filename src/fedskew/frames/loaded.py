"""``fedskew.load``: the results of a study or of a single run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fedskew.analysis import judge, metric_columns, study_differences, summary_table
from fedskew.analysis.differences import Difference
from fedskew.analysis.tables import results_row
from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment, to_plain
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.config.toml_io import read_toml_text
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.metric_table import usual_metrics
from fedskew.frames import runs as tables
from fedskew.frames.best import best_frame
from fedskew.frames.clients import clients_frame
from fedskew.frames.meanings import metrics_frame
from fedskew.frames.verdicts import claims_frame, tests_frame
from fedskew.papers import claims_of
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import each_read_once
from fedskew.runs.own import read_own_records, read_own_result
from fedskew.study.folder import StudyFolder, is_study
from fedskew.study.grid import PlannedRun, Study
from fedskew.study.notes import RunNote, read_note
from fedskew.study.stated import afterthoughts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedskew.protocols import Dataset, DatasetInfo


@dataclass(frozen=True)
class Results:
    """What the folder of a study or of a single run says, as pandas frames.

    A frame is made when it is first asked for, from what the files say then; ``load`` again to see what was added
    since. Shares are fractions, but in percent in ``summary``, ``differences`` and ``claims``, as in the report. A run
    of several cells has a row in each of them. Every frame raises ``RunError`` where a record is damaged.

    Attributes:
        path: the folder.
        study: of a single run, the study of one cell that it would be.
        single: the folder of a single run; None for a study.
        data_dir: root of the data sets; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    >>> from tempfile import TemporaryDirectory
    >>> import fedskew
    >>> with TemporaryDirectory() as folder:
    ...     results = fedskew.run({"rounds": 2}, folder + "/run", quiet=True)
    ...     results.rounds.query("metric == 'accuracy'")["round"].tolist()
    [1, 2]
    """

    path: Path
    study: Study
    planned: Sequence[PlannedRun] = field(repr=False)
    single: RunFolder | None = field(default=None, repr=False)
    data_dir: Path | None = field(default=None, repr=False)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per planned run: the axes, ``seed``, ``run`` (the folder's name), ``status`` (done, failed, to do, to
        do again), ``why``, ``rounds`` (done so far), how and where it was done; of a complete run every metric of the
        last round and the measured skew (``skew_*``), else NaN."""
        return tables.runs_frame(self._notes)

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """Every metric of every round that is recorded, of incomplete runs too, long: the axes, ``seed``, ``run``,
        ``round``, ``metric``, ``value``."""
        return tables.rounds_frame(self._recorded)

    @cached_property
    def rounds_wide(self) -> pd.DataFrame:
        """The same, wide: a row per run and round, a column per metric."""
        return tables.wide_rounds_frame(self._recorded)

    @cached_property
    def traces(self) -> pd.DataFrame:
        """What was recorded of the defence, long: the axes, ``seed``, ``run``, ``round``, ``name``, ``client``,
        ``value``. See ``fedskew.frames.runs.traces_frame``."""
        return tables.traces_frame(self._recorded)

    @cached_property
    def accuracies(self) -> pd.DataFrame:
        """Accuracies of classes and groups, long: the axes, ``seed``, ``run``, ``round``, ``class`` or ``group``,
        ``accuracy``."""
        return tables.accuracies_frame(self._recorded)

    @cached_property
    def clients(self) -> pd.DataFrame:
        """One row per client of each run that was begun: who holds what, who is malicious, and how they fared. See
        ``fedskew.frames.clients.clients_frame``."""
        found = ((note, note.folder.read_clients()) for note in self._notes)
        return clients_frame(
            (note.plan, who, self._records[note.plan.identity]) for note, who in found if who is not None
        )

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per cell with complete runs: the mean of every metric over seeds, its ``std`` and 95 % interval
        (``low``, ``high``), shares in percent."""
        return summary_table(self._complete, self.study, self._metrics)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Differences between the settings of the study, paired by seed, corrected together, of the usual metrics
        (``analysis.differences.study_differences``); shares in percentage points."""
        return tests_frame(
            Difference, study_differences(self._complete, self.study, usual_metrics(self._metrics))
        )

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The study's claims and those of papers whose settings it has, each with its verdict; empty while no run is
        complete."""
        if self._complete.empty:
            return claims_frame([], {})
        late, _ = afterthoughts(self.path, self.study.claims)
        return claims_frame(judge(self.study, self._complete, claims_of(self.study)), late)

    def best(self, metric: str) -> pd.DataFrame:
        """One row per run: ``round``, the best one by a metric, and every metric of that round.

        A metric that is measured on the test images lets them choose: what is measured on them in that round is better
        than the model is. ``validation_loss`` does not, of runs with ``data.validation``.

        Raises:
            ConfigError: no run has this metric, or neither direction of it is better.
        """
        return best_frame(self._recorded, metric)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """What the recorded metrics mean, by name (``fedskew.metrics``)."""
        return metrics_frame(self._metrics)

    def weights(self, run: str | None = None) -> dict[str, Tensor]:
        """The final model's parameters and buffers by name, as ``module.load_state_dict`` takes them.

        Args:
            run: as in the column ``run``; may be left out where there is only one.

        Raises:
            ConfigError: no such run.
            RunError: it has no weights.
        """
        from fedskew.frames.model import read_weights  # lazy: brings PyTorch

        plan = self._plan(run)
        return read_weights(self._folder(plan), plan.completed)

    def load_data(self, run: str | None = None, *, data_dir: Path | str | None = None) -> Dataset:
        """The data set of a run; downloads nothing.

        Args:
            data_dir: root of the data sets; default: that of ``load``.

        Raises:
            DataError: it is missing or damaged.
        """
        from fedskew.federation.world import load_data  # lazy: brings PyTorch

        where = Execution(self.data_dir if data_dir is None else Path(data_dir), download=False)
        return load_data(self._plan(run).experiment, where)

    def load_model(self, run: str | None = None, *, info: DatasetInfo | None = None) -> nn.Module:
        """The final model of a run: the module that its config describes, with its weights, in evaluation mode.

        It maps float [batch, channels, height, width] of ``(pixel / 255 - info.mean) / info.std`` to logits [batch, C].

        Args:
            info: of the data set; read from the data itself unless given.

        Raises:
            ConfigError: no such run.
            DataError: ``info`` is not given and the data is missing.
            RunError: it has no weights.
        """
        from fedskew.frames.model import build_model, read_weights  # lazy: brings PyTorch

        plan = self._plan(run)
        folder = self._folder(plan)
        weights = read_weights(folder, plan.completed)
        known = self.load_data(plan.identity).info if info is None else info
        return build_model(plan.experiment, known, weights, folder.weights)

    def _plan(self, run: str | None) -> PlannedRun:
        known = {plan.identity: plan for plan in self.planned}
        if run is None and len(known) == 1:
            run = next(iter(known))
        if run is None:
            raise ConfigError(
                f"{self.path} has {len(known)} runs; say which one: run=NAME, as in the column run"
            )
        if run not in known:
            raise ConfigError(*unknown("run", run, known))
        return known[run]

    def _folder(self, plan: PlannedRun) -> RunFolder:
        return self.single or RunFolder.below(self.path, plan.identity)

    @cached_property
    def _notes(self) -> list[RunNote]:
        read: dict[str, RunNote] = {}
        with each_read_once():
            for plan in self.planned:
                if plan.identity not in read:
                    read[plan.identity] = read_note(self._folder(plan), plan, self.data_dir)
        return [replace(read[plan.identity], plan=plan) for plan in self.planned]

    @cached_property
    def _records(self) -> dict[str, list[RoundRecord]]:
        return {
            note.plan.identity: read_own_records(note.folder, note.plan.completed) for note in self._notes
        }

    @property
    def _recorded(self) -> list[tables.Recorded]:
        return [(plan, self._records[plan.identity]) for plan in self.planned]

    @cached_property
    def _complete(self) -> pd.DataFrame:
        found = ((note.plan, read_own_result(note.folder, note.plan.completed)) for note in self._notes)
        return pd.DataFrame([results_row(plan, result) for plan, result in found if result is not None])

    @property
    def _metrics(self) -> list[str]:
        return metric_columns(self._complete, self.study)


def load(name: str | Path, *, data_dir: str | Path | None = None) -> Results:
    """The results in a study's folder (or of its name below ``studies/``), or in the folder of a single run.

    Nothing is run, downloaded or imported. Frames are made when they are asked for.

    Args:
        data_dir: root of the data sets, in which files of the runs' data are looked for, to see whether they have
            changed; default: ``$FEDSKEW_DATA``, else the user's cache.

    Raises:
        ConfigError: there are none; says what there is.

    >>> from tempfile import TemporaryDirectory
    >>> import fedskew
    >>> with TemporaryDirectory() as folder:
    ...     _ = fedskew.run({"rounds": 1}, folder + "/run", quiet=True)
    ...     load(folder + "/run").runs["status"].tolist()
    ['done']
    """
    root = None if data_dir is None else Path(data_dir)
    folder = RunFolder(Path(name))
    if folder.config.is_file() and not is_study(folder.path):
        return _single(folder, root)
    found = StudyFolder.find(str(name))
    return Results(found.path, found.study, found.planned, data_dir=root)


def _single(folder: RunFolder, data_dir: Path | None) -> Results:
    """The results of one run, in whatever folder it lies."""
    content, text = read_toml_text(folder.config)
    origin = Origin(str(folder.config), text)
    run = completed(build(Experiment, content, origin), folder.read_version())
    base = {key: value for key, value in to_plain(run.experiment).items() if key != "seed"}
    study = Study(name="run", seeds=(run.experiment.seed,), base=base)
    plan = PlannedRun({}, run.experiment.seed, run, origin)
    return Results(folder.path, study, [plan], folder, data_dir)
