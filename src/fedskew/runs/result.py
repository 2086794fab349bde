"""The result of a complete run (``result.json``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedskew.errors import RunError
from fedskew.federation.records import record_from_json, record_to_json
from fedskew.files import to_json
from fedskew.protocols import RoundRecord
from fedskew.runs.diverged import diverged

RESULT = "result.json"


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
        run: the identity of the run; empty in older results.
        checksums: name -> SHA-256 of the other files of the folder that the run determines; empty in older results.
    """

    folder: Path
    rounds: int
    stopped: str
    last: RoundRecord
    engine: str = ""
    skew: dict[str, float] = field(default_factory=dict)
    threat_model: str = ""
    run: str = ""
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
        checksums = dict(value.get("sha256", {}))
        own = checksums.pop(RESULT, None)
        if own is not None and own != _checksum(value):
            raise RunError("it is not what the run wrote: its own checksum is another one")
        last = record_from_json(value["last"])
        return RunResult(
            folder,
            value["rounds"],
            value["stopped"],
            last,
            value.get("engine", ""),
            value.get("skew", {}),
            value.get("threat_model", ""),
            value.get("run", ""),
            checksums,
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content; with checksums of other files, one of its own, too."""
        plain = {
            "rounds": self.rounds,
            "stopped": self.stopped,
            "engine": self.engine,
            "skew": self.skew,
            **({"threat_model": self.threat_model} if self.threat_model else {}),
            **({"run": self.run} if self.run else {}),
            "last": record_to_json(self.last),
        }
        if self.checksums:
            plain["sha256"] = {**self.checksums, RESULT: _checksum(plain | {"sha256": self.checksums})}
        return plain


def _checksum(plain: Mapping[str, Any]) -> str:
    """The SHA-256 of a result without that of itself, as JSON with sorted keys."""
    others = {name: checksum for name, checksum in plain["sha256"].items() if name != RESULT}
    as_read = json.loads(to_json({**plain, "sha256": others}))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
