"""Trackers: callbacks that send a run's records to another tool, chosen by ``--track``.

A tracker is made for every run by a function ``(run: TrackedRun, *, where=None) -> Callback``, a component of
kind "callback" like any other (``registry``). It sees every record from round 1, also on resuming, when the kept ones
are shown again before new ones come; so it can rewrite its log or continue it where it ended, but never twice.

It only observes: it gets copies, settings of the process that it changes are put back, and if it raises, one sentence
says so, the run continues without it, and the result is the same.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedskew.components.completed import Completed
from fedskew.components.registry import lookup
from fedskew.config import Experiment, to_plain
from fedskew.errors import ConfigError

if TYPE_CHECKING:
    from fedskew.protocols import Callback, RoundRecord

_log = logging.getLogger(__name__)

_NEEDS = {
    "tensorboard": (("tensorboard",), "pip install tensorboard"),
    "mlflow": (("mlflow", "sqlalchemy", "alembic"), "pip install mlflow-skinny sqlalchemy alembic"),
    "wandb": (("wandb",), "pip install wandb"),
}
"""Tracker -> the modules that it imports, and how to get them."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of its run.

    Attributes:
        study: the study's name, or that of the experiment.
        root: the study's folder (of a single run: its own), where a tracker keeps its files unless told otherwise.
        cell: axis -> label, and the seed.
    """

    study: str
    root: Path
    completed: Completed
    cell: Mapping[str, Any] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        """What is run, with all defaults filled in."""
        return self.completed.experiment

    @property
    def identity(self) -> str:
        """The run's identity, as in the name of its folder."""
        return self.completed.identity

    @property
    def name(self) -> str:
        """Its cell in words and its identity; unique in the study and fit for a folder's name."""
        words = "-".join(f"{axis}={label}" for axis, label in self.cell.items()) or self.study
        return f"{re.sub(r'[^A-Za-z0-9.=+-]+', '_', words)[:120]}-{self.identity}"


def numbers(record: RoundRecord) -> dict[str, float]:
    """All finite numbers of a record by name, fractions as they are: the metrics, then ``class_accuracy/N``,
    ``group_accuracy/N``, ``clients/rejected`` and ``trace/NAME``."""
    found = dict(record.metrics)
    found |= {f"class_accuracy/{number}": value for number, value in enumerate(record.per_class_accuracy)}
    groups = record.per_group_accuracy.values()
    found |= {f"group_accuracy/{number}": value for number, value in enumerate(groups)}
    found["clients/rejected"] = len(record.rejected)
    found |= {f"trace/{name}": value for name, value in record.trace.items()}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def hyperparameters(run: TrackedRun) -> dict[str, bool | int | float | str]:
    """The fields of a run's config by dotted path; lists as text."""

    def flat(value: Any, path: str) -> Iterator[tuple[str, bool | int | float | str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from flat(inner, f"{path}.{key}" if path else key)
        else:
            yield path, value if isinstance(value, bool | int | float | str) else str(value)

    return dict(flat(to_plain(run.experiment), ""))


def check_trackers(specs: Sequence[str]) -> None:
    """Check that these trackers exist, before anything starts.

    Args:
        specs: each ``NAME`` or ``NAME=WHERE``; a name is built in, registered or ``package.module:function``.

    Raises:
        ConfigError: no such tracker, its import is not permitted, or a package that it needs is not installed.
    """
    for spec in specs:
        name, _ = _resolve(spec)
        modules, command = _NEEDS.get(name, ((), ""))
        missing = [module for module in modules if not _is_installed(module)]
        if missing:
            raise ConfigError(
                f"--track {name} needs {' and '.join(missing)}, not installed in this environment",
                f"`{command}`",
            )


def _is_installed(module: str) -> bool:
    """Whether a module is there, and not just a folder of its name, as trackers make for their files."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


@contextmanager
def tracking(specs: Sequence[str], run: TrackedRun | None) -> Iterator[list[Callback]]:
    """The trackers of one run, closed at the end of the block, whether it has ended or failed."""
    trackers = [] if run is None else [_Guarded(spec, run) for spec in dict.fromkeys(specs)]
    try:
        yield list(trackers)
    finally:
        for tracker in trackers:
            tracker.close()


def _resolve(spec: str) -> tuple[str, Any]:
    """The name of a tracker and its function, with WHERE bound."""
    name, equals, where = spec.partition("=")
    function = lookup("callback", name)
    if not equals:
        return name, function
    if not where:
        raise ConfigError(
            f"--track {spec!r}: the value after `=` is empty; expected {name}=WHERE", f"`--track {name}`"
        )
    if "where" not in inspect.signature(function).parameters:
        raise ConfigError(f"--track {spec!r}: this tracker has no option 'where'", f"`--track {name}`")
    return name, lambda run: function(run, where=where)


class _Guarded:
    """A tracker that cannot harm the run: made at the first record, given copies, not called again after an error."""

    def __init__(self, spec: str, run: TrackedRun) -> None:
        self._spec, self._run = spec, run
        self._tracker: Any = None
        self._broken = False

    def on_round(self, record: RoundRecord) -> None:
        self._try("on_round", record)

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
        self._try("on_end", records, reason)

    def close(self) -> None:
        """Lets a tracker that has begun let go of what it holds, if it has a method for it."""
        if hasattr(self._tracker, "close"):
            self._try("close")

    def _try(self, method: str, *arguments: Any) -> None:
        if self._broken:
            return
        from fedskew.components.process import restored  # lazy: brings PyTorch, for runs only

        try:
            with restored():
                if self._tracker is None:
                    self._tracker = _resolve(self._spec)[1](copy.deepcopy(self._run))
                getattr(self._tracker, method)(*copy.deepcopy(arguments))
        except Exception as error:  # anything that another tool raises
            self._broken = True
            reason = next(iter(str(error).splitlines()), "")
            _log.warning(
                "%s: --track %s failed (%s: %s); the run continues without it",
                self._run.name,
                self._spec,
                type(error).__name__,
                reason,
            )
