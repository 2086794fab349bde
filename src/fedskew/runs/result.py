"""The result of a complete run (``result.json``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedskew.federation.records import record_from_json, record_to_json
from fedskew.protocols import RoundRecord
from fedskew.runs.diverged import diverged


@dataclass(frozen=True)
class RunResult:
    """A complete run.

    Attributes:
        folder: where it is kept.
        rounds: how many it took.
        stopped: why it stopped.
        last: the last round's record.
        engine: what trained; older results say why, too.
        skew: the measured heterogeneity of the honest clients' data, by measure.
        threat_model: what the run's adversaries knew, by name, where it was more than their own updates and the
            global model; else empty.
        checksums: name -> SHA-256 of the other files of the folder that the run determines; empty in older results.
    """

    folder: Path
    rounds: int
    stopped: str
    last: RoundRecord
    engine: str = ""
    skew: dict[str, float] = field(default_factory=dict)
    threat_model: str = ""
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def diverged(self) -> str:
        """Why its numbers are not those of a trained model; empty where they may be."""
        return diverged(self.last)

    @staticmethod
    def from_json(folder: Path, value: Any) -> RunResult:
        """The result that the file's content describes.

        Raises:
            KeyError, TypeError, RunError: it describes none.
        """
        last = record_from_json(value["last"])
        return RunResult(
            folder,
            value["rounds"],
            value["stopped"],
            last,
            value.get("engine", ""),
            value.get("skew", {}),
            value.get("threat_model", ""),
            dict(value.get("sha256", {})),
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "rounds": self.rounds,
            "stopped": self.stopped,
            "engine": self.engine,
            "skew": self.skew,
            **({"threat_model": self.threat_model} if self.threat_model else {}),
            **({"sha256": self.checksums} if self.checksums else {}),
            "last": record_to_json(self.last),
        }
