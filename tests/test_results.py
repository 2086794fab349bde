"""The records that the project publishes, and the scripts beside them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fedskew import ClientUpdates, ServerView
from fedskew.files import read_lines
from fedskew.protocols import ParameterLayout
from fedskew.report.tables.study import study_tables
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import planned_runs
from helpers import load_module, put_records
from report_helpers import complete, make_study

RESULTS = Path(__file__).resolve().parent.parent / "results"
STUDIES = sorted(path.name.removesuffix(".tar.xz") for path in RESULTS.glob("*.tar.xz"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a script beside the records prints. It runs in this process, which has imported all that it needs."""

    def printed(name: str, *arguments: str) -> str:
        monkeypatch.syspath_prepend(RESULTS)
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(RESULTS / name), run_name="__main__")
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("name", STUDIES)
def test_published_runs_are_complete_and_of_their_study(name: str) -> None:
    folder = StudyFolder.read(RESULTS / f"{name}.tar.xz")
    planned = {plan.identity: plan for plan in folder.planned}
    runs = {run.name: run for run in RunFolder.all_below(folder.path)}
    assert runs
    assert runs.keys() <= planned.keys(), "a run of no cell: the config of the study has another identity now"
    for run in runs.values():
        assert folder.status(planned[run.name])[0] == "done"
        records = read_lines(run.rounds)
        assert [record["round"] for record in records] == list(range(1, len(records) + 1))
    beside = study_tables(folder.study, folder.planned, folder.path, "markdown", [])
    assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == beside, "fedskew report ... -f markdown"


def test_the_tables_come_from_the_records(script: Callable[..., str]) -> None:
    folder = StudyFolder.read(RESULTS / "paper-fashion-mnist.tar.xz")
    done = sum(folder.status(plan)[0] == "done" for plan in folder.planned)
    agreement = script("tables.py", "agreement", "paper-fashion-mnist")
    rows = [line.split(" | ") for line in agreement.splitlines() if line.startswith(("| I", "| V"))]
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
        ("beside", "paper-fashion-mnist-weighted", ["docs/reproduction.md"]),
        ("sensitivities", "sensitivities-fashion-mnist", ["docs/reproduction.md"]),
        ("spread", "sensitivities-fashion-mnist", ["docs/reproduction.md"]),
        ("beside", "paper-text-fashion-mnist", ["docs/reproduction.md"]),
        ("endings", "paper-text-fashion-mnist", ["docs/reproduction.md"]),
        ("beside", "paper-cifar-10-bfloat16", ["README.md", "docs/reproduction.md"]),
        ("agreement", "paper-cifar-10-bfloat16", ["docs/reproduction.md"]),
        ("claims", "paper-cifar-10-bfloat16", ["docs/reproduction.md"]),
        ("endings", "paper-cifar-10-bfloat16", ["docs/reproduction.md"]),
        ("precision", "precision-fashion-mnist", ["docs/performance.md"]),
        ("precision", "precision-cifar-10", ["docs/reproduction.md"]),
    ],
)
def test_the_documents_show_the_tables_that_the_records_give(
    script: Callable[..., str], kind: str, name: str, documents: list[str]
) -> None:
    done = script("tables.py", kind, name)
    table = "\n".join(line for line in done.splitlines() if line.startswith("|"))
    assert table.count("\n") > 6
    for document in documents:
        assert table in (RESULTS.parent / document).read_text(encoding="utf-8"), document


def test_the_two_choices_on_cifar_10_are_those_of_their_runs(script: Callable[..., str]) -> None:
    done = script("tables.py", "sensitivities", "sensitivities-cifar-10")
    table = [line for line in done.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 5, "the authors' choice, two others, and two that are made afterwards"
    assert "\n".join(table) in (RESULTS.parent / "docs" / "reproduction.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["paper", "trends", "hundred", "interventions"])
def test_the_findings_show_the_tables_that_the_records_give(script: Callable[..., str], kind: str) -> None:
    done = script("weights.py", kind)
    assert done.count("\n") > 6
    assert done.strip() in (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")


def test_honest_steps_by_hand() -> None:
    """Clients of 256, 512 and 1,024 images take 2, 4 and 8 steps; the one of 256 is the adversary."""
    steps = load_module(RESULTS / "weights.py").honest_steps
    sizes = (256, 512, 1024)
    assert steps(sizes, [0], "n_k") == pytest.approx((512 * 4 + 1024 * 8) / 1792)
    assert steps(sizes, [0], "equal") == pytest.approx((4 + 8) / 3)
    assert steps(sizes, [0], "n_k, shuffled") == pytest.approx(768 * (4 + 8) / 1792)
    four = (1024, 256, 512, 2048)  # the second is the adversary; the others take 8, 4 and 16 steps
    assert steps(four, [1], "n_k, rotated") == pytest.approx((512 * 8 + 2048 * 4 + 1024 * 16) / 3840)
    assert steps(four, [1], "n_k, reversed") == pytest.approx((1024 * 8 + 2048 * 4 + 512 * 16) / 3840)


def test_what_the_tables_take_of_a_run_by_hand() -> None:
    weights = load_module(RESULTS / "weights.py")

    def run(seed: int, backdoor: list[float], loss: list[float]) -> Any:
        return weights.Run(seed, np.array(backdoor), np.array(loss), steps=10.0)

    assert run(0, [1, 2, 3], [3, 1, 2]).best == 2
    assert run(0, [], [3 - 0.1 * r for r in range(40)]).jump == pytest.approx(0)
    zigzag = run(
        0, [], [float(r % 2) for r in range(40)]
    ).jump  # second differences of 2 in size: sqrt(4 / 6)
    assert zigzag == pytest.approx((4 / 6) ** 0.5)
    steady = [0.0] * 30
    first = [run(1, [*steady, 5.0], [1.0] * 31), run(0, steady, [1.0] * 30)]
    second = [run(0, [*steady, 7.0], [1.0] * 31), run(1, [*steady, 6.0, 9.0], [1.0] * 32)]
    *_, rounds, at_the_end, shared = weights.differences(first, second)
    assert rounds.startswith("+1.0 (+1.0 to +1.0)")
    assert at_the_end.startswith("+5.5 ")  # 7 - 0 and 9 - 5
    assert shared.startswith("+0.5 ")  # 0 - 0 in round 30, 6 - 5 in round 31


def test_rotated_reversed_and_shuffled_weights_by_hand() -> None:
    """Each row of the identity gives the weight of its client; the adversary with 40 images keeps theirs."""
    view = ServerView(round=1, global_weights=torch.zeros(4), layout=ParameterLayout((), ()))
    updates = ClientUpdates(torch.eye(4), torch.tensor([10, 40, 30, 20]), torch.arange(4))
    rotated = load_module(RESULTS / "rotated_weights.py").rotated
    by_size = load_module(RESULTS / "average_weights.py").by_size
    torch.testing.assert_close(rotated(updates, view, adversary=40), torch.tensor([0.3, 0.4, 0.2, 0.1]))
    found = by_size(updates, view, order="reversed", adversary=40)
    torch.testing.assert_close(found, torch.tensor([0.3, 0.4, 0.1, 0.2]))
    shuffled = by_size(updates, view, order="shuffled", adversary=40)
    assert shuffled[1] == pytest.approx(0.4)
    assert sorted(shuffled.tolist()) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    draws = {tuple(by_size(updates, view, order="shuffled", adversary=40).tolist()) for _ in range(20)}
    assert len(draws) > 2, "anew in each round"
    with pytest.raises(ValueError, match="exactly one"):
        rotated(updates, view, adversary=41)


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_module(RESULTS / "tables.py")


def rows_of(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def test_the_spread_of_splits_by_hand(tmp_path: Path, tables: ModuleType) -> None:
    """Accuracy 0.5, 0.6, 0.7 with splits of their own, 0.5, 0.51, 0.52 with one for all: 10 points and 1."""
    choices = {"as the authors' code": {}, "one split for all seeds": {"split_seed": 0}}
    axes = {
        "alpha": {"field": "split.alpha", "values": [1.0]},
        "setting": {"variants": {"backdoor": {}}},
        "choice": {"variants": choices},
    }
    folder = make_study(tmp_path / "study", seeds=[0, 1, 2], axes=axes)
    complete(folder)
    for plan in folder.planned:
        step = 0.1 if plan.cell["choice"] == "as the authors' code" else 0.01
        path = folder.run_folder(plan).path
        records = read_lines(path / "rounds.jsonl")
        records[-1]["metrics"]["accuracy"] = 0.5 + step * plan.seed
        put_records(path, records)
    (row,) = rows_of(tables.spread(folder))[2:]
    assert row[:4] == ["1.0", "backdoor", "3, 3", "10.00, 1.00"]


@pytest.mark.parametrize(("kind", "defences"), [("leaderboard", 24), ("cost", 23), ("clients", 12)])
def test_the_findings_on_defences_are_those_of_their_runs(
    script: Callable[..., str], kind: str, defences: int
) -> None:
    done = script("defences.py", kind)
    assert done.count("\n") == 2 + defences
    assert done.strip() in (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "rows"), [("leaderboard", 8), ("cost", 7), ("backdoor", 8)])
def test_the_findings_on_defences_on_fashion_mnist_are_those_of_their_runs(
    script: Callable[..., str], kind: str, rows: int
) -> None:
    done = script("defences.py", kind, "defences-fashion-mnist")
    assert done.count("\n") == 2 + rows
    assert done.strip() in (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        *(("tuning", 20), ("even", 23), ("attacked", 23), ("defended", 21), ("personal", 6)),
        *(("sharing", 2), ("norms", 3), ("fair", 13), ("channel", 10), ("own", 2)),
        *(("even remedies-fashion-mnist", 23), ("attacked remedies-fashion-mnist", 23)),
        *(("defended remedies-fashion-mnist", 21), ("personal remedies-fashion-mnist", 6)),
    ],
)
def test_the_findings_on_remedies_are_those_of_their_runs(
    script: Callable[..., str], kind: str, rows: int
) -> None:
    done = script("remedies.py", *kind.split())
    assert done.count("\n") == 2 + rows
    assert done.strip() in (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("study", ["privacy-under-skew", "privacy-fashion-mnist"])
@pytest.mark.parametrize(
    ("kind", "rows"), [("membership", 10), ("source", 3), ("labels", 3), ("defences", 5)]
)
def test_the_findings_on_privacy_are_those_of_their_runs(
    script: Callable[..., str], kind: str, rows: int, study: str
) -> None:
    done = script("privacy.py", kind, study)
    assert done.count("\n") == 2 + rows
    assert done.strip() in (RESULTS.parent / "docs" / "findings.md").read_text(encoding="utf-8")


def test_the_study_of_remedies_has_the_options_that_were_best_on_validation_data() -> None:
    remedies = load_module(RESULTS / "remedies.py")
    taken = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[1].split()[0] for line in [*remedies.tuning()][2:]
    }
    tried = dict(remedies.study("remedies-tuning").axes["remedy"].points())
    chosen = dict(remedies.study("remedies-under-skew").axes["remedy"].points())
    assert len(taken) == 20
    for remedy, value in taken.items():
        assert chosen[remedy] == tried[f"{remedy} {value}"], remedy


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/*.csv.gz")), ids=lambda path: path.parent.name)
def test_collected_rows_are_those_of_the_study_as_it_is_now(path: Path) -> None:
    """All of its runs, or, of clients, some: a changed study has other runs under the same labels."""
    name = path.name.removesuffix(".csv.gz")
    owner = {"remedies": "remedies", "defences": "defences", "privacy": "privacy"}[
        path.parent.name.partition("-")[0]
    ]
    study = load_module(RESULTS / f"{owner}.py").study(
        path.parent.name if name in ("runs", "clients") else name
    )
    planned = {plan.identity: plan for plan in planned_runs(study)}
    rows = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"run": "string"})
    assert {*rows["run"]} <= planned.keys()
    if name != "clients":
        assert rows["run"].is_unique
        assert len(rows) == len(planned)
        cells = [name for name in study.axes if name in rows]
        for row in rows[["run", "seed", *cells]].to_dict("records"):
            plan = planned[row["run"]]
            assert (row["seed"], *(row[axis] for axis in cells)) == (
                plan.seed,
                *(plan.cell[axis] for axis in cells),
            )


def test_rows_that_were_collected_stay(tmp_path: Path) -> None:
    collected = load_module(RESULTS / "collected.py")
    made = load_module(RESULTS / "privacy.py").study("privacy-fashion-mnist")
    names = [plan.identity for plan in planned_runs(made)[:3]]
    path = tmp_path / "runs.csv.gz"

    def add(runs: list[str], accuracy: float, **more: float) -> list[list[object]]:
        rows = pd.DataFrame({"run": runs, "seed": 0, "accuracy": accuracy, **more})
        found = collected.write_rows(rows, path, made, ["seed", "run"])
        kept = pd.read_csv(path, dtype={"run": "string"})
        assert found == len(kept)
        return kept.sort_values("run")[["run", "accuracy"]].to_numpy().tolist()

    assert len(add([names[0], "not planned"], 0.5)) == 1
    assert add(names[1:2], 0.25) == sorted([[names[0], 0.5], [names[1], 0.25]])
    before = path.read_bytes()
    assert add(names[:1], 0.5) == sorted([[names[0], 0.5], [names[1], 0.25]])
    assert path.read_bytes() == before, "the same rows are the same bytes"
    assert len(add(names[2:3], 0.125, bias=0.5)) == 3, "with a column that the others lack"
    assert add([], 0.0) == sorted([[names[0], 0.5], [names[1], 0.25], [names[2], 0.125]])
