"""A study's records without weights and checkpoints, for this folder.

    python results/collect.py studies/paper-fashion-mnist [NAME]

Copies ``study.toml``, ``claims.jsonl`` and of each complete run what a report needs: its config, environment, who holds
what, what the trigger does, one record and one line of times per round, and the result. NAME is that of the folder
here: the study's, unless it is given.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder
from fedskew.study.source import STUDY_FILE
from fedskew.study.stated import STATED

HERE = Path(__file__).resolve().parent
KEPT = ("config", "environment", "clients", "trigger", "rounds", "timings", "result")
"""Which files of a run, as ``RunFolder`` calls them."""


def collect(folder: StudyFolder, target: Path) -> int:
    """Copies the study file and the complete runs of a study, which replace those of the same name; how many."""
    if target.exists() and folder.path.samefile(target):
        raise SystemExit(f"{target} would be copied onto itself")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder.path / STUDY_FILE, target / STUDY_FILE)
    if (folder.path / STATED).exists():  # when its claims were stated
        shutil.copyfile(folder.path / STATED, target / STATED)
    complete = {plan.identity for plan in folder.planned if folder.run_folder(plan).result.exists()}
    for name in sorted(complete):
        here, there = RunFolder.below(folder.path, name), RunFolder.below(target, name)
        shutil.rmtree(there.path, ignore_errors=True)
        there.path.mkdir(parents=True)
        for file in KEPT:
            if getattr(here, file).exists():
                shutil.copyfile(getattr(here, file), getattr(there, file))
    return len(complete)


def main() -> None:
    """Copies the study that the command line names."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    folder = StudyFolder.read(Path(sys.argv[1]))
    target = HERE / (sys.argv[2] if len(sys.argv) == 3 else folder.study.name)
    print(f"{collect(folder, target)} complete runs in {target}")


if __name__ == "__main__":
    main()
