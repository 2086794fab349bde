"""Results as frames: every number against the records that it comes from, on a study that was really run."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import fedskew
from fedskew.errors import ConfigError, RunError
from fedskew.frames.runs import Recorded, rounds_frame, thinned, traces_frame
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from report_helpers import complete, make_study

STUDY: dict[str, Any] = {
    "name": "little",
    "seeds": [0],
    "base": {
        "rounds": 2,
        "data": {"name": "digits", "validation": 0.1},
        "model": {"name": "mlp", "hidden": [8]},
        "clients": {"count": 5, "held_out": 0.2, "personal": {"name": "fine-tuning", "epochs": 1}},
        "split": {"name": "dirichlet", "alpha": 1.0},
        "training": {"epochs": 1},
        "adversaries": {"count": 1},
        "attack": {"name": "backdoor", "target": 7},
        "defence": {"aggregator": {"name": "krum", "f": 1}},
        "stopping": "rounds",
    },
    "axes": {"alpha": {"field": "split.alpha", "values": [5.0, 0.5]}},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study one of whose two runs is done."""
    place = tmp_path_factory.mktemp("frames") / "little"
    fedskew.run_study(STUDY, place, jobs=1, only=["alpha=5.0"], quiet=True, offline=True)
    return place


@pytest.fixture(scope="module")
def results(done: Path) -> fedskew.Results:
    return fedskew.load(done)


def recorded(results: fedskew.Results) -> list[RoundRecord]:
    (run,) = results.runs["run"][results.runs["status"] == "done"]
    return RunFolder.below(results.path, str(run)).read_records()


def test_one_row_per_planned_run(results: fedskew.Results) -> None:
    assert results.runs[["alpha", "seed", "status", "rounds"]].to_numpy().tolist() == [
        [5.0, 0, "done", 2],
        [0.5, 0, "to do", 0],
    ]
    first, second = (row for _, row in results.runs.iterrows())
    last = recorded(results)[-1]
    assert {name: first[name] for name in last.metrics} == last.metrics
    result = RunFolder.below(results.path, first["run"]).read_result()
    assert result is not None
    assert first["engine"] == result.engine.partition(" ")[0]
    assert (first["stopped"], second["stopped"]) == ("the round limit", "")
    assert math.isnan(second["accuracy"])
    assert 0 < first["skew_total_variation"] < 1


def test_every_metric_of_every_round(results: fedskew.Results) -> None:
    found = {(row.round, row.metric): row.value for row in results.rounds.itertuples()}
    expected = {(r.round, name): value for r in recorded(results) for name, value in r.metrics.items()}
    assert found == expected
    wide = results.rounds_wide
    assert wide["round"].tolist() == [1, 2]
    assert wide["accuracy"].tolist() == [r.metrics["accuracy"] for r in recorded(results)]
    assert set(results.rounds["alpha"]) == {5.0}


def test_what_the_defence_records(results: fedskew.Results) -> None:
    weights = results.traces[results.traces["name"] == "weight"]
    found = {(row.round, row.client): row.value for row in weights.itertuples()}
    assert found == {(r.round, c): w for r in recorded(results) for c, w in r.client_weights.items()}
    assert len(found) == 10


def test_clients_see_what_the_recorded_metrics_say(results: fedskew.Results) -> None:
    clients, last = results.clients, recorded(results)[-1]
    honest = clients[~clients["malicious"]]
    assert len(clients) == 5
    assert len(honest) == 4
    assert honest["accuracy"].mean() == pytest.approx(last.metrics["client_accuracy_mean"], rel=1e-12)
    assert honest["accuracy"].min() == pytest.approx(last.metrics["client_accuracy_worst"], rel=1e-12)
    counts = honest[[f"count_{name}" for name in range(10)]].sum(axis=1)
    assert counts.tolist() == honest["images"].tolist()
    assert clients["rounds"].tolist() == [2] * 5
    for column, metric in (("held_out_accuracy", "held_out"), ("personal_accuracy", "personal")):
        assert clients[column].isna().tolist() == clients["malicious"].tolist()
        own = honest[column]
        assert own.mean() == pytest.approx(last.metrics[f"{metric}_accuracy_mean"], rel=1e-12)
        assert own.min() == last.metrics[f"{metric}_accuracy_worst"]
    assert clients["weight"].tolist() == [last.client_weights[client] for client in range(5)]


def test_accuracies_of_classes(results: fedskew.Results) -> None:
    last = results.accuracies[results.accuracies["round"] == 2]
    assert last["accuracy"].tolist() == recorded(results)[-1].per_class_accuracy
    assert last["class"].tolist() == list(range(10))


def test_the_model_is_the_one_that_was_measured(results: fedskew.Results) -> None:
    run = results.runs["run"][0]
    data, model = results.load_data(run), results.load_model(run)
    assert not model.training
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (data.info.mean, data.info.std))
    with torch.no_grad():
        classes = model((data.x_test / 255 - mean) / std).argmax(dim=1)
    assert float((classes == data.y_test).double().mean()) == pytest.approx(
        recorded(results)[-1].metrics["accuracy"]
    )
    given = results.load_model(run, info=data.info)
    assert all(torch.equal(given.state_dict()[n], w) for n, w in results.weights(run).items())


def test_what_has_no_weights_says_so(results: fedskew.Results, done: Path, tmp_path: Path) -> None:
    run, missing = results.runs["run"]
    with pytest.raises(RunError, match=r"has no weights\.safetensors"):
        results.weights(missing)
    with pytest.raises(ConfigError, match="has 2 runs; say which one"):
        results.weights()
    with pytest.raises(ConfigError, match="unknown run 'x'"):
        results.load_model("x")
    shutil.copytree(done / "runs" / run, tmp_path / "other")
    text = (tmp_path / "other" / "config.toml").read_text()
    (tmp_path / "other" / "config.toml").write_text(text.replace("hidden = [", "hidden = [\n    4,"))
    with pytest.raises(RunError, match="it is the result of another run"):
        fedskew.load(tmp_path / "other").load_model()
    result = json.loads((tmp_path / "other" / "result.json").read_text())
    del result["sha256"], result["run"]  # as in earlier versions
    (tmp_path / "other" / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError, match="holds the weights of another model than 'mlp'"):
        fedskew.load(tmp_path / "other").load_model()
    (tmp_path / "other" / "config.toml").write_text(text)
    (tmp_path / "other" / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(RunError, match="is damaged"):
        fedskew.load(tmp_path / "other").weights()
    shutil.copy(done / "runs" / run / "result.json", tmp_path / "other")
    with pytest.raises(RunError, match="is not what the run wrote"):
        fedskew.load(tmp_path / "other").weights()


def test_a_single_run(results: fedskew.Results, done: Path, tmp_path: Path) -> None:
    run = str(results.runs["run"][0])
    shutil.copytree(done / "runs" / run, tmp_path / "elsewhere")
    for place in (done / "runs" / run, tmp_path / "elsewhere"):
        one = fedskew.load(str(place))
        assert one.runs[["seed", "run", "status"]].to_numpy().tolist() == [[0, run, "done"]]
        assert one.rounds["value"].tolist() == results.rounds["value"].tolist()
        assert one.summary["accuracy"].tolist() == [100 * recorded(results)[-1].metrics["accuracy"]]
        assert one.weights().keys() == results.weights(run).keys()
        assert one.claims["verdict"].empty
        assert one.differences["effect"].empty


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no study in nowhere"):
        fedskew.load("nowhere")


def test_statistics_are_those_of_the_report(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "made-up", seeds=[0, 1, 2])
    empty = fedskew.load(folder.path)
    assert empty.claims.empty
    assert empty.rounds.empty
    assert set(empty.runs["status"]) == {"to do"}
    complete(folder)
    found = fedskew.load(folder.path)
    from fedskew.report.write import write_report

    tables = {path.name: path for path in write_report(folder).tables}

    def same(frame: pd.DataFrame, name: str) -> None:
        assert pd.read_csv(tables[name]).shape == frame.shape
        assert tables[name].read_text() == frame.to_csv(index=False)

    same(found.runs, "runs.csv")
    same(found.rounds, "rounds.csv")
    same(found.traces, "traces.csv")
    assert set(found.traces["name"]) == {"negative_rate_share"}
    same(found.claims, "claims.csv")
    same(found.differences, "differences.csv")
    assert found.summary.columns[:4].tolist() == ["alpha", "setting", "seeds", "rounds"]
    assert set(found.metrics.index) == set(found.rounds["metric"])


def test_a_run_of_two_cells_has_two_rows(tmp_path: Path) -> None:
    axes = {"setting": {"variants": {"one": {}, "the same": {"clients.count": 10}}}}
    folder = make_study(tmp_path / "twice", axes=axes, seeds=[0])
    complete(folder)
    found = fedskew.load(folder.path).runs
    assert found["run"].nunique() == 1
    assert found["setting"].tolist() == ["one", "the same"]


def test_an_axis_takes_the_place_of_no_column(tmp_path: Path) -> None:
    axes = {"value": {"field": "split.alpha", "values": [1.0]}, "device": {"field": "rounds", "values": [9]}}
    folder = make_study(tmp_path / "named", axes=axes, seeds=[0])
    complete(folder)
    found = fedskew.load(folder.path)
    assert found.rounds.columns.tolist()[:2] == ["axis value", "axis device"]
    assert found.runs[["axis value", "axis device"]].to_numpy().tolist() == [[1.0, 9]]
    assert found.runs.columns.is_unique
    assert found.rounds["value"].notna().all()


def test_a_damaged_record_is_named(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "damaged")
    (path,) = (tmp_path / "damaged").glob("runs/*/rounds.jsonl")
    path.write_text("{}\n")
    results = fedskew.load(tmp_path / "damaged")
    assert results.runs["status"].tolist() == ["to do again", "to do"]
    with pytest.raises(RunError, match=r"rounds\.jsonl, line 1 is damaged"):
        _ = results.rounds
    (path,) = (tmp_path / "damaged").glob("runs/*/result.json")
    path.write_text("{")
    assert fedskew.load(tmp_path / "damaged").runs["status"].tolist() == ["to do again", "to do"]


def test_an_interrupted_run_has_its_rounds(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "interrupted")
    (path,) = (tmp_path / "interrupted").glob("runs/*/result.json")
    path.unlink()
    found = fedskew.load(tmp_path / "interrupted")
    assert found.runs["status"].tolist() == ["to do again", "to do"]
    assert found.runs["rounds"].tolist() == [2, 0]
    assert sorted(set(found.rounds["round"])) == [1, 2]
    assert "accuracy" not in found.runs


def record(number: int, **metrics: float) -> RoundRecord:
    return RoundRecord(number, metrics, [], [0, 1], [1], [0], {"epsilon": 0.5}, {1: 0.25})


def test_a_huge_study_has_every_nth_round_and_the_last_in_its_file(results: fedskew.Results) -> None:
    plan = results.planned[0]
    long = [record(number, a=1.0, b=2.0) for number in range(1, 101)]
    short = long[:7]

    def fewer(most: int) -> tuple[list[Recorded], int]:
        return thinned([(plan, long), (plan, short)], most, lambda record: len(record.metrics))

    kept, every = fewer(300)
    assert (every, kept[0][1]) == (1, long)
    kept, every = fewer(60)
    assert every > 1
    assert [r.round for r in kept[0][1]] == [n for n in range(1, 101) if n % every == 0 or n == 100]
    assert kept[1][1][-1].round == 7
    assert len(rounds_frame(kept)) <= 60
    kept, every = fewer(1)
    assert [[r.round for r in records] for _, records in kept] == [[100], [7]]


def test_traces_name_the_client_where_there_is_one(results: fedskew.Results) -> None:
    frame = traces_frame([(results.planned[0], [record(1)])])
    rows: Sequence[Any] = frame[["round", "name", "client", "value"]].astype(object).to_numpy().tolist()
    assert rows[0][:2] == [1, "epsilon"]
    assert frame["client"].isna().tolist() == [True, False, False, False]
    assert rows[1:] == [[1, "weight", 1, 0.25], [1, "rejected", 1, 1.0], [1, "empty", 0, 1.0]]


def test_the_best_round(results: fedskew.Results) -> None:
    records = recorded(results)
    for metric, choose in (("validation_loss", np.argmin), ("accuracy", np.argmax)):
        (row,) = results.best(metric).to_dict("records")
        best = records[int(choose([r.metrics[metric] for r in records]))]
        assert row["round"] == best.round
        assert {name: row[name] for name in best.metrics} == best.metrics
    with pytest.raises(ConfigError, match="unknown metric 'acuracy'") as caught:
        results.best("acuracy")
    assert caught.value.hint == "did you mean 'accuracy'?"
    with pytest.raises(ConfigError, match="cannot choose the best round"):
        results.best("update_norm_honest")
    with pytest.raises(ConfigError, match="unknown metric 'worst_group_accuracy'"):
        results.best("worst_group_accuracy")


def test_the_page_on_results_names_every_frame_and_shows_what_works(results: fedskew.Results) -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    table = page.partition("| `runs` |")[1] + page.partition("| `runs` |")[2].partition("\n\n")[0]
    named = {row.split("`")[1].partition("(")[0]: row.split(" | ")[-1] for row in table.splitlines()}
    frames = {name for name, value in vars(fedskew.Results).items() if isinstance(value, cached_property)}
    assert named.keys() == {name for name in frames if not name.startswith("_")} | {"best"}
    for name in named.keys() - {"best", "claims"}:
        told = re.findall("`([a-z_]+)`", named[name])
        frame = getattr(results, name)
        if len(frame):
            assert told
            assert set(told) <= {*frame.columns, "std", "low", "high", *frame.get("name", ()), *EXAMPLES}, (
                name
            )
    code = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (study,) = (block for block in code if "fedskew.Study(" in block)
    exec(study.partition("results =")[0], {"fedskew": fedskew})


EXAMPLES = {"name", "epsilon", "negative_rate_share", "rejected", "empty"}
"""Entries of a trace that the page names and this study does not have."""


def test_what_metrics_mean() -> None:
    table = fedskew.metrics()
    assert list(table.loc["test_loss", ["unit", "better"]]) == ["number", "lower"]
    assert json.loads(table.to_json())["unit"]["accuracy"] == "percent"
