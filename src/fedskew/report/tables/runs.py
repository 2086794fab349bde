"""The runs of a study as a list, and the metrics of a single one."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fedskew.evaluation.metric_table import meaning, usual_metrics
from fedskew.report.evidence import Evidence
from fedskew.report.tables.sheet import Sheet
from fedskew.wording import duration

FURTHER = (
    "worst_class_accuracy",
    "worst_group_accuracy",
    "client_accuracy_worst",
    "test_loss",
)
"""What is said of a single run beside the usual metrics."""


def metrics_text(metrics: dict[str, float]) -> str:
    """The usual metrics of one record, and what stands for its privacy attacks, one per line."""
    shown = [*usual_metrics(metrics), *(name for name in FURTHER if name in metrics)]
    rows = {name: meaning(name) for name in shown}
    width = max((len(row.label) for row in rows.values()), default=0)
    return "\n".join(
        f"{row.label:<{max(width, 22)}} {row.text(metrics[name])}{row.suffix}" for name, row in rows.items()
    )


def runs_sheet(evidence: Evidence) -> Sheet:
    """Every planned run: its status, and where and when it was done."""
    axes = list(evidence.study.axes)
    rows, plain = [], []
    for note in evidence.notes:
        where = note.session
        record: dict[str, Any] = {
            **note.plan.cell,
            "seed": note.plan.seed,
            "run": note.plan.identity,
            "status": "failed" if note.failed else note.status,
            "why": note.why,
            "rounds": note.rounds,
            "seconds": note.seconds,
            "sessions": len(note.sessions),
            **{key: getattr(where, key) for key in ("started", "engine", "device", "workers", "commit")},
        }
        plain.append(record)
        rows.append(
            [
                *(str(note.plan.cell[axis]) for axis in axes),
                str(note.plan.seed),
                note.plan.identity,
                str(record["status"]),
                note.why,
                duration(note.seconds),
                str(where.engine or "–"),
                str(where.device or "–"),
                str(where.commit or "–"),
                str(where.started or "–").replace("T", " ").removesuffix("+00:00"),
            ]
        )
    header = [*axes, "seed", "run", "status", "why", "time", "engine", "device", "commit", "started (UTC)"]
    notes = ("time: of all rounds together, as recorded; run: the folder below runs/",)
    return Sheet("runs", "Runs", header, rows, pd.DataFrame(plain), notes, len(axes) + 2)
