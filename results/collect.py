"""A study's records without weights and checkpoints, for this folder.

    python results/collect.py studies/paper-fashion-mnist

Copies ``study.toml`` and of each complete run what a report needs: its config, environment, who holds what, one record
and one line of times per round, and the result.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from fedskew.study_folder import StudyFolder

HERE = Path(__file__).resolve().parent
KEPT = ("config.toml", "environment.json", "clients.json", "rounds.jsonl", "timings.jsonl", "result.json")


def collect(study: Path, target: Path) -> int:
    """Copies a study's folder; returns the number of complete runs, which replace those of the same name."""
    (target / "runs").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(study / "study.toml", target / "study.toml")
    complete = [result.parent for result in sorted(study.glob("runs/*/result.json"))]
    for run in complete:
        (target / "runs" / run.name).mkdir(exist_ok=True)
        for name in KEPT:
            if (run / name).exists():
                shutil.copyfile(run / name, target / "runs" / run.name / name)
    return len(complete)


def main() -> None:
    """Copies the study that the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    study = Path(sys.argv[1])
    target = HERE / StudyFolder.read(study).study.name
    print(f"{collect(study, target)} complete runs in {target}")


if __name__ == "__main__":
    main()
