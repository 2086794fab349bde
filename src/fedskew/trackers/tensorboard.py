"""TensorBoard, the tracker of the paper's authors: ``tensorboard --logdir STUDY/tensorboard``.

A log is rewritten at every start, from the records that are kept, as all else is derived from them: TensorBoard's
files cannot be cut after a round, and a kill may leave a part of one. Its first event tells a TensorBoard that is
already showing the old log to forget it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.files import is_own_folder
from fedskew.trackers.tracking import TrackedRun, hyperparameters, numbers

if TYPE_CHECKING:
    from fedskew.protocols import RoundRecord


def tensorboard(run: TrackedRun, *, where: str | None = None) -> TensorBoard:
    """Scalars of every round, the config as text and, at the end, the hyper-parameters with the final metrics.

    Args:
        where: the folder for ``--logdir``; default: ``tensorboard`` in the study's folder. One folder per run below.
    """
    place = run.root / "tensorboard" if where is None else Path(where)
    if where is None:
        is_own_folder(place)
    is_own_folder(place / run.name)
    return TensorBoard(run, place / run.name)


class TensorBoard:
    """The log of one run in one folder."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._run = run
        self._writer = SummaryWriter(str(folder), purge_step=1)
        config = "".join(f"    {line}\n" for line in write_toml(to_plain(run.experiment)).splitlines())
        self._writer.add_text("config", config, global_step=1)

    def on_round(self, record: RoundRecord) -> None:
        """Logs a round's numbers, on disk when it returns."""
        for name, value in numbers(record).items():
            self._writer.add_scalar(name, value, record.round)
        self._writer.flush()

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        """Logs the hyper-parameters beside what they led to."""
        last = {f"final/{name}": value for name, value in numbers(records[-1]).items()}
        fields = hyperparameters(self._run) | {
            str(axis): str(label) for axis, label in self._run.cell.items()
        }
        self._writer.add_hparams(fields, last, run_name=".", global_step=records[-1].round)
        self._writer.add_text("stopped", reason, global_step=records[-1].round)

    def close(self) -> None:
        """Closes the log."""
        self._writer.close()
