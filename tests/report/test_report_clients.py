"""Clients with names: the accuracy of each on its own data, in the report's table and in its CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fedskew
from fedskew.report.write import write_report
from fedskew.study.folder import StudyFolder

SITES = """site,0,1,2,3,4,5,6,7,8,9
North <1>,40,10,0,0,12,30,25,0,0,6
South,0,20,35,40,0,0,10,25,20,0
West,5,5,5,5,5,5,5,5,5,5
"""


def study(place: Path, **clients: Any) -> dict[str, Any]:
    given = {"name": "file", "path": str(place / "sites.csv")}
    return {
        "name": "sites",
        "seeds": [0, 1],
        "base": {
            "rounds": 2,
            "data": "digits",
            "model": {"name": "mlp", "hidden": [8]},
            "clients": {"count": 3, "held_out": 0.2, "personal": "fine-tuning", **clients},
            "adversaries": {"count": 0},
            "training": {"epochs": 1},
            "stopping": "rounds",
        },
        "axes": {
            "spread": {
                "variants": {"even": {"split": {"name": "shuffled", "of": given}}, "given": {"split": given}}
            }
        },
    }


def test_each_client_has_its_accuracy_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text(SITES)
    results = fedskew.run_study(study(tmp_path), tmp_path / "done", jobs=1, quiet=True, offline=True)
    report = write_report(StudyFolder.read(tmp_path / "done"))
    tables = {path.name: path for path in report.tables}
    found = pd.read_csv(tables["clients.csv"])
    assert found.shape == results.clients.shape
    assert found["name"].tolist() == ["North <1>", "South", "West"] * 4
    shown = pd.read_csv(tables["client-accuracy.csv"])
    assert shown["spread"].tolist() == ["even", "given"]
    for row in shown.to_dict("records"):
        own = found[found["spread"] == row["spread"]].groupby("name")["held_out_accuracy"].mean()
        for name in ("North <1>", "South", "West"):
            assert row[name] == pytest.approx(100 * own[name])
    page = report.page.read_text(encoding="utf-8")
    assert "percent of the client&#39;s own held-out samples" in page
    assert "North &lt;1&gt;" in page
    assert "North <1>" not in page


def test_clients_without_names_or_held_out_data_have_no_table(tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text(SITES)
    one = study(tmp_path, held_out=0.0, personal="none")
    one |= {"seeds": [0], "axes": {}}
    one["base"]["split"] = {"name": "file", "path": str(tmp_path / "sites.csv")}
    fedskew.run_study(one, tmp_path / "done", jobs=1, quiet=True, offline=True)
    report = write_report(StudyFolder.read(tmp_path / "done"))
    assert "client-accuracy.csv" not in {path.name for path in report.tables}
