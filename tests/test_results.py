"""The records that the project publishes, and the scripts beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fedskew.files import read_lines
from fedskew.study_folder import StudyFolder

RESULTS = Path(__file__).resolve().parent.parent / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/study.toml"))


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", STUDIES)
def test_published_runs_are_complete_and_of_their_study(name: str) -> None:
    folder = StudyFolder.read(RESULTS / name)
    planned = {plan.identity: plan for plan in folder.planned}
    runs = {path.parent.name for path in (RESULTS / name).glob("runs/*/config.toml")}
    assert runs
    assert runs <= set(planned), "a run of no cell: the config of the study has another identity now"
    for run in runs:
        assert folder.status(planned[run])[0] == "done"
        records = read_lines(RESULTS / name / "runs" / run / "rounds.jsonl")
        assert [record["round"] for record in records] == list(range(1, len(records) + 1))


def test_the_tables_come_from_the_records() -> None:
    folder = StudyFolder.read(RESULTS / "paper-fashion-mnist")
    done = sum(folder.status(plan)[0] == "done" for plan in folder.planned)
    agreement = script(str(RESULTS / "tables.py"), "agreement", "paper-fashion-mnist")
    assert agreement.returncode == 0, agreement.stderr
    rows = [line.split(" | ") for line in agreement.stdout.splitlines() if line.startswith(("| I", "| V"))]
    assert len(rows) == 24, "36 entries, of which the 12 of Tables II and III stand in IV and V too"
    settings = {(row[1], row[2]): int(row[6]) for row in rows}  # (alpha, setting): seeds
    assert sum(settings.values()) == done


@pytest.mark.parametrize(
    ("kind", "name", "documents"),
    [
        ("beside", "paper-fashion-mnist", ["README.md", "docs/reproduction.md"]),
        ("agreement", "paper-fashion-mnist", ["docs/reproduction.md"]),
        ("claims", "paper-fashion-mnist", ["docs/reproduction.md"]),
        ("endings", "paper-fashion-mnist", ["docs/reproduction.md"]),
        ("sensitivities", "sensitivities-fashion-mnist", ["docs/reproduction.md"]),
    ],
)
def test_the_documents_show_the_tables_that_the_records_give(
    kind: str, name: str, documents: list[str]
) -> None:
    done = script(str(RESULTS / "tables.py"), kind, name)
    assert done.returncode == 0, done.stderr
    table = "\n".join(line for line in done.stdout.splitlines() if line.startswith("|"))
    assert table.count("\n") > 8
    for document in documents:
        assert table in (RESULTS.parent / document).read_text(encoding="utf-8"), document


def test_collecting_takes_complete_runs_alone(tmp_path: Path) -> None:
    sys.path.insert(0, str(RESULTS))
    try:
        from collect import KEPT, collect  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(RESULTS))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.toml").write_text('name = "s"\nseeds = [0, 1]\n')
    folder = StudyFolder.read(tmp_path / "s")
    done, half = (folder.run_folder(plan) for plan in folder.planned)
    everything = [*KEPT, "weights.safetensors", "checkpoint.safetensors"]
    for run, names in ((done, everything), (half, KEPT[:-1]), (done.with_name("a-stranger"), everything)):
        run.mkdir(parents=True)
        for name in names:
            (run / name).write_text(f"{run} {name}")
    assert collect(folder, tmp_path / "target") == 1
    found = {str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*") if p.is_file()}
    assert found == {"study.toml", *(f"runs/{done.name}/{name}" for name in KEPT)}
    assert script(str(RESULTS / "collect.py"), str(tmp_path / "nothing")).returncode == 1
