"""The runs of a study as a list, and the metrics of a single one."""

from __future__ import annotations

from dataclasses import replace

from fedskew.evaluation.metric_table import meaning, usual_metrics
from fedskew.frames.runs import runs_frame
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
    """Every planned run: its status, and where and when it was done. Its numbers are those of ``frames.runs``, with a
    row for each cell of a run, and every metric of the last round."""
    axes = list(evidence.study.axes)
    rows = [
        [
            *(str(note.plan.cell[axis]) for axis in axes),
            str(note.plan.seed),
            note.plan.identity,
            note.state,
            note.why,
            duration(note.seconds),
            str(note.session.engine or "–"),
            str(note.session.device or "–"),
            str(note.session.commit or "–"),
            str(note.session.started or "–").replace("T", " ").removesuffix("+00:00"),
        ]
        for note in evidence.notes
    ]
    by_name = {note.plan.identity: note for note in evidence.notes}
    numbers = runs_frame(replace(by_name[plan.identity], plan=plan) for plan in evidence.planned)
    header = [*axes, "seed", "run", "status", "why", "time", "engine", "device", "commit", "started (UTC)"]
    notes = ("time: of all rounds together, as recorded; run: the folder below runs/",)
    return Sheet("runs", "Runs", header, rows, numbers, notes, len(axes) + 2)
