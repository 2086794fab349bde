"""The result of a complete run (``result.json``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedskew.federation.records import record_from_json, record_to_json
from fedskew.protocols import RoundRecord


@dataclass(frozen=True)
class RunResult:
    """A complete run.

    Attributes:
        folder: where it is kept.
        rounds: how many it took.
        stopped: why it stopped.
        last: the last round's record.
        engine: what trained, and why that engine.
        skew: the measured heterogeneity of the honest clients' data, by measure.
    """

    folder: Path
    rounds: int
    stopped: str
    last: RoundRecord
    engine: str = ""
    skew: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def from_json(folder: Path, value: Any) -> RunResult:
        """The result that the file's content describes.

        Raises:
            KeyError, TypeError, RunError: it describes none.
        """
        last = record_from_json(value["last"])
        return RunResult(
            folder, value["rounds"], value["stopped"], last, value.get("engine", ""), value.get("skew", {})
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "rounds": self.rounds,
            "stopped": self.stopped,
            "engine": self.engine,
            "skew": self.skew,
            "last": record_to_json(self.last),
        }
