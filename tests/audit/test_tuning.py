"""The options of an audit's defences, chosen by their worst case on validation data."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from fedskew.audit.build import Wish, prepare
from fedskew.audit.defences import Population
from fedskew.audit.tuning import (
    FIRST_SEED,
    GRIDS,
    VALIDATION,
    Candidates,
    audited_settings,
    best,
    in_words,
    others_settings,
    score_of,
)
from fedskew.components.table import BUILT_IN
from fedskew.errors import ConfigError, RunError
from fedskew.study.grid import Study, planned_runs

TEN = Population(10, 2)


def labels(candidates: Candidates) -> list[str]:
    return [one.label for one in candidates.settings]


def test_the_settings_are_all_combinations() -> None:
    found = audited_settings("clip + multi-krum", TEN, {"m": 2}, ["f=1,2", "norm=0.5,1.5"])
    assert labels(found) == [
        f"clip(norm={norm}) + multi-krum(m=2, f={f})" for f in (1, 2) for norm in (0.5, 1.5)
    ]
    assert labels(audited_settings("krum", TEN, {}, [])) == ["krum(f=2)"]


@pytest.mark.parametrize("given", ["f", "f=", "f=1", "=1,2", "f=2,2"])
def test_what_is_no_list_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="two or more different values"):
        audited_settings("krum", TEN, {}, [given])


def test_others_have_no_more_settings_than_the_audited_one() -> None:
    assert labels(others_settings("rlr", TEN, 3)) == ["rlr(theta=4)", "rlr(theta=5)", "rlr(theta=3)"]
    assert labels(others_settings("rlr", TEN, 1)) == ["rlr(theta=4)"]
    assert labels(others_settings("rlr(theta=7)", TEN, 3)) == ["rlr(theta=7)"], "what is given is not tuned"
    assert labels(others_settings("median", TEN, 3)) == ["median"]


@pytest.mark.parametrize("clients", range(5, 25))
@pytest.mark.parametrize("name", [*GRIDS, "median"])
def test_what_is_compared_with_begins_with_what_it_is_as_an_audited_one(name: str, clients: int) -> None:
    people = Population(clients, 2)
    audited = audited_settings(name, people, {}, []).settings
    assert others_settings(name, people, 1).settings == audited
    several = others_settings(name, people, 4).settings
    assert several[:1] == audited
    assert len({repr(one.changes) for one in several}) == len(several)


def test_grids_are_of_options_that_there_are() -> None:
    for name, (option, _) in GRIDS.items():
        rows = [rows[name] for rows in BUILT_IN.values() if name in rows]
        assert rows, name
        assert option in rows[0].options, name


def frame(**scores: list[float]) -> pd.DataFrame:
    """Two alphas x two attacks x one seed for each setting; success of the second attack's backdoor beside it."""
    cells = [(a, b) for a in (10.0, 0.3) for b in ("none", "x")]
    rows: list[dict[str, Any]] = [
        {"setting": name.replace("_", "-"), "alpha": a, "attack": b, "validation_accuracy": value}
        for name, values in scores.items()
        for (a, b), value in zip(cells, values, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_best_worst_case_wins_and_not_the_best_mean() -> None:
    results = frame(median=[0.9, 0.9, 0.9, 0.2], krum=[0.6, 0.6, 0.6, 0.5])
    each = Candidates(
        "x", tuple(others_settings(name, TEN, 1).settings[0] for name in ("median", "krum(f=1)"))
    )
    results["setting"] = results["setting"].replace({"krum": "krum(f=1)"})
    assert best(each, results, ["alpha", "attack"]).label == "krum(f=1)"
    assert score_of(results[results["setting"] == "median"], ["alpha", "attack"]) == 0.2


def test_a_backdoor_counts_where_it_is_worse_than_the_accuracy() -> None:
    results = frame(median=[0.9, 0.9, 0.9, 0.8])
    results["validation_attack_success_rate"] = [None, 0.05, None, 0.7]
    assert score_of(results, ["alpha", "attack"]) == pytest.approx(0.3)


def test_of_equal_settings_the_first_wins() -> None:
    results = frame(median=[0.5] * 4, mean=[0.5] * 4)
    each = Candidates("x", tuple(others_settings(name, TEN, 1).settings[0] for name in ("mean", "median")))
    assert best(each, results, ["alpha", "attack"]).label == "mean"


def test_a_setting_without_runs_is_no_loser() -> None:
    each = others_settings("median", TEN, 1)
    with pytest.raises(RunError, match="no run of median is complete"):
        best(each, frame(krum=[0.1] * 4), ["alpha", "attack"])


def test_tuning_is_a_study_apart_from_the_audit() -> None:
    prepared = prepare(
        Wish("krum", "quick", tune=("f=1,2",), attacks=("backdoor",), against=("rlr", "median"))
    )
    assert prepared.is_tuned
    tuning = Study.model_validate(prepared.tuning())
    runs = planned_runs(tuning)
    assert [label for label, _ in tuning.axes["setting"].points()] == [
        "krum(f=1)",
        "krum(f=2)",
        "rlr(theta=4)",
        "rlr(theta=5)",
        "median",
    ]
    assert {run.experiment.data.validation for run in runs} == {VALIDATION}
    assert min(run.seed for run in runs) == FIRST_SEED
    winners = [each.settings[-1] for each in (prepared.audited, *prepared.others)]
    audit = Study.model_validate(prepared.content(winners))
    assert not {run.seed for run in runs} & set(audit.seeds)
    assert {run.experiment.data.validation for run in planned_runs(audit)} == {0}
    assert audit.audit is not None
    assert audit.audit.defence == "krum(f=2)"
    assert audit.audit.tuned == in_words([prepared.audited, *prepared.others], winners, prepared.tuning_seeds)
    assert "rlr(theta=5) of 2 settings" in audit.audit.tuned
