"""Whether a run is done, and if it is not, why; from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from fedskew.config import Experiment
from fedskew.errors import FedskewError
from fedskew.files import read_lines
from fedskew.runs.inputs import changed_inputs

Status = Literal["done", "to do", "to do again"]


def status_of(folder: Path, experiment: Experiment) -> tuple[Status, str]:
    """Whether a run's folder is done, and if not, why it is to be done (again) and from where."""
    try:
        if changed := changed_inputs(folder, experiment):
            return "to do again", f"{', '.join(changed)} has changed since"
        result = folder / "result.json"
        if result.exists():
            try:
                value = json.loads(result.read_text(encoding="utf-8"))
                return (
                    "done",
                    f"{value['rounds']} rounds: {value['stopped'].partition(';')[0].partition(' (')[0]}",
                )
            except (ValueError, KeyError, TypeError):
                return "to do again", f"result.json is damaged; remove {folder.name} to do the run again"
        rounds = len(read_lines(folder / "rounds.jsonl"))
        failure = folder / "failure.json"
        if failure.exists():
            reason = str(json.loads(failure.read_text(encoding="utf-8")).get("reason", "")).splitlines()
            return (
                "to do again",
                f"failed after {rounds} rounds: {reason[0] if reason else 'no reason given'}",
            )
        if rounds:
            return "to do again", f"interrupted; goes on after round {rounds}"
        return "to do", "not started"
    except (FedskewError, ValueError) as error:
        return "to do again", str(error).splitlines()[0]
