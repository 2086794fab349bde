"""What was done, in five lines: from the plan alone, and with what the records add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedskew.config import Component
from fedskew.evaluation.metric_table import TABLE
from fedskew.report.described import component_words
from fedskew.report.evidence import Evidence, gather
from fedskew.report.overview import definitions, overview
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study, planned_runs


def lines(folder: Path, **content: Any) -> dict[str, str]:
    return dict(overview(evidence(folder, **content)))


def evidence(folder: Path, **content: Any) -> Evidence:
    study = Study.model_validate({"name": "s", "seeds": [0, 1]} | content)
    return gather(StudyFolder(folder, study, planned_runs(study)))


SETTINGS = {
    "alpha": {"field": "split.alpha", "values": [10.0, 0.3]},
    "attack": {"variants": {"clean": {"adversaries.count": 0}, "backdoor": {}}},
    "defence": {
        "variants": {
            "FedAvg": {},
            "RLR": {"defence.learning_rate": {"name": "rlr", "theta": 4}},
            "mine": {"defence.aggregator": {"name": "plug:mine", "drop": 0.2}},
        }
    },
}
BASE = {
    "rounds": 40,
    "split": {"name": "dirichlet", "alpha": 1.0},
    "clients": {"count": 200, "fraction": 0.05},
    "adversaries": {"count": 3, "data": "sample", "fraction": 0.1},
    "attack": {"name": "backdoor", "target": 7},
    "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
}


def test_a_study_that_has_not_begun(tmp_path: Path) -> None:
    found = lines(tmp_path, base=BASE, axes=SETTINGS)
    assert list(found) == ["Data and clients", "alpha", "Attack", "Defences", "Seeds and rounds"]
    assert found["Data and clients"] == (
        "digits; model mlp. 200 clients, 10 of them in a round (uniform). In a round each trains 1 epoch in batches of "
        "32 with SGD (learning rate 0.1)."
    )
    own = {"none": {}, "own": {"clients.personal": {"name": "ditto", "strength": 0.5}}}
    clients = {"clients": {"count": 200, "fraction": 0.05, "held_out": 0.2}}
    personal = lines(tmp_path, base=BASE | clients, axes={"models": {"variants": own}})["Data and clients"]
    assert personal == f"{found['Data and clients']} Personal models: none / ditto (strength 0.5)."
    assert found["alpha"].startswith(
        "10.0, 0.3 (split.alpha). Split dirichlet: label skew: each class divided"
    )
    assert "The smaller alpha is, the more unevenly the classes are spread." in found["alpha"]
    assert "Measured" not in found["alpha"]
    assert found["Attack"] == (
        "clean: no attack. backdoor: backdoor (target 7, poison fraction 0.5, trigger plus, report 1), trojan: a "
        "trigger and the target's label on a part of the adversaries' data (the paper's), by 3 of 200 clients with a "
        "random sample of 10 % of the training data."
    )
    assert found["Defences"] == (
        "FedAvg: no defence (fedavg, mean weighted by the number of examples n_k). RLR: fedavg; rlr (theta 4), robust "
        "learning rate: negative where the signs' sum is below theta in size (the paper's defence). mine: plug:mine "
        "(drop 0.2)."
    )
    assert found["Seeds and rounds"] == "2 seeds of 12 settings: 24 runs, 0 complete; 40 rounds."


def test_without_axes_or_attack(tmp_path: Path) -> None:
    found = lines(tmp_path, base={"stopping": "plateau", "rounds": 9}, seeds=[3])
    assert list(found) == ["Data and clients", "Attack", "Defence", "Seeds and rounds"]
    assert "10 clients, all in every round." in found["Data and clients"]
    assert found["Attack"] == "None: all clients are honest."
    assert (
        found["Seeds and rounds"]
        == "1 seed of 1 setting: 1 run, 0 complete; up to 9 rounds, stopped by plateau."
    )


def test_an_axis_that_is_none_of_the_split_says_so_little(tmp_path: Path) -> None:
    found = lines(tmp_path, axes={"lr": {"field": "training.optimizer.lr", "values": [0.1, 0.01]}})
    assert found["lr"] == "0.1, 0.01 (training.optimizer.lr)."
    assert "Adam (learning rate 0.1) / 1 epoch" not in found["Data and clients"]
    assert (
        "(learning rate 0.1) / 2 epochs in batches of 256 with Adam (learning rate 0.01)."
        in found["Data and clients"]
    )


def test_many_settings_are_cut_and_counted(tmp_path: Path) -> None:
    variants = {f"d{n}": {"defence.transforms": [{"name": "clip", "norm": float(n + 1)}]} for n in range(40)}
    text = lines(tmp_path, axes={"alpha": SETTINGS["alpha"], "d": {"variants": variants}}, base=BASE)[
        "Defences"
    ]
    assert text.startswith(
        "d0: clip (norm 1), scale each update down to an L2 norm, or to the median one; fedavg, mean"
    )
    assert text.endswith(". 34 more.")
    assert text.count("scale each update down") == 1, "said once"


def test_what_a_component_is(tmp_path: Path) -> None:
    assert (
        component_words("learning-rate", Component.model_validate({"name": "rlr", "theta": 4}))
        == "rlr (theta 4)"
    )
    assert component_words("aggregator", Component(name="fedavg")) == "fedavg"
    trigger = {"name": "square", "size": 3, "value": 255}
    attack = Component.model_validate(
        {"name": "backdoor", "target": 7, "trigger": trigger, "source_classes": [1, 2]}
    )
    assert (
        component_words("attack", attack)
        == "backdoor (target 7, trigger square (size 3), source classes 1 and 2)"
    )


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_metric_has_a_definition(name: str) -> None:
    ((label, words),) = definitions([name])
    assert label
    assert len(words) > 10
    assert words.endswith(".")
    assert not {*words} & {"*", "`"}


def test_a_metric_of_ones_own() -> None:
    assert definitions(["my_metric"]) == [("my metric", "a metric of this study's own.")]
