"""What was done, in five lines: from the plan alone, and with what the records add."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import Tensor

from fedskew import ClientUpdates, ServerView
from fedskew.audit.build import Wish, prepare
from fedskew.components.own_words import own_words
from fedskew.config import Component, Experiment
from fedskew.evaluation.metric_table import TABLE
from fedskew.report.described import component_words
from fedskew.report.evidence import Evidence, gather
from fedskew.report.overview import definitions, overview
from fedskew.runs.session import Session
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
    before, after = found["Data and clients"].split("mlp.")
    split = "Split dirichlet (alpha 1): label skew: each class divided by one draw from Dirichlet(alpha) (the paper's)."
    assert personal == f"{before}mlp. {split}{after} Personal models: none / ditto (strength 0.5)."
    assert found["alpha"].startswith(
        "10.0, 0.3 (split.alpha). Split dirichlet: label skew: each class divided"
    )
    assert "The smaller alpha is, the more unevenly the classes are spread." in found["alpha"]
    assert "Measured" not in found["alpha"]
    assert found["Attack"] == (
        "clean: none. backdoor: backdoor (target 7, poison fraction 0.5, trigger plus, report 1), trojan: a "
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


SPLIT = "Split dirichlet (alpha 0.1): label skew: each class divided by one draw from Dirichlet(alpha) (the paper's)."


def test_a_split_that_no_axis_changes_is_said(tmp_path: Path) -> None:
    base = {**BASE, "split": {"name": "dirichlet", "alpha": 0.1}}
    axes = {name: SETTINGS[name] for name in ("attack", "defence")}
    assert f" {SPLIT} 200 clients" in lines(tmp_path, base=base, axes=axes)["Data and clients"]
    axes["lr"] = {"variants": {"a": {}, "b": {"training.optimizer.lr": 0.2, "split": "iid"}}}
    found = lines(tmp_path, base=base, axes=axes)["Data and clients"]
    assert " Split dirichlet (alpha 0.1) / iid: label skew: each" in found, "an axis changes more than it"


def test_the_measured_skew_of_a_split_that_no_axis_changes(tmp_path: Path) -> None:
    axes = {name: SETTINGS[name] for name in ("attack", "defence")}
    plain = evidence(tmp_path, base=BASE, axes=axes)
    runs = [plan.identity for plan in plain.planned]
    results = pd.DataFrame({"run": runs, "skew_total_variation": [0.6] * len(runs)})
    found = dict(overview(replace(plain, results=results)))["Data and clients"]
    assert "(the paper's). Measured label skew (total variation from 0, all alike, to 1): 0.60. 200" in found


@pytest.mark.parametrize("first", ["attack", "defence"])
def test_each_axis_names_what_it_changes(tmp_path: Path, first: str) -> None:
    order = [first, *({"attack", "defence"} - {first})]
    found = lines(tmp_path, base=BASE, axes={name: SETTINGS[name] for name in order})
    assert found["Attack"].startswith("clean: none. backdoor: backdoor (target 7, ")
    assert found["Defences"].startswith("FedAvg: no defence (fedavg, ")
    assert ". mine: plug:mine (drop 0.2)." in found["Defences"]


def test_what_two_axes_change_together_is_named_by_both(tmp_path: Path) -> None:
    axes = {"target": {"field": "attack.target", "values": [1, 2]}, **SETTINGS}
    found = lines(tmp_path, base=BASE, axes=axes)["Attack"]
    assert found.startswith(
        "target 1 + clean, target 2 + clean: none. target 1 + backdoor: backdoor (target 1, "
    )


def test_every_attack_of_an_audit_is_described(tmp_path: Path) -> None:
    content = prepare(Wish("median", level="thorough")).content()
    study = Study.model_validate(content)
    planned = planned_runs(study)
    found = dict(overview(gather(StudyFolder(tmp_path, study, planned))))["Attack"]
    assert found.startswith("no attack: none. label-flip: label-flip (map reverse")
    assert "scaled backdoor: train-and-scale (of backdoor (target 7" in found
    assert "more." not in found
    assert all(f" {label}: " in found for label in list(content["axes"]["attack"]["variants"])[1:])
    assert found.count("a random sample of 10 %") == 1, "said once, not of each"
    assert found.endswith(" Adversaries: 2 of 10 clients with a random sample of 10 % of the training data.")


def soft(updates: ClientUpdates, view: ServerView, *, width: float = 1.5) -> Tensor:
    """Soften the median
    by a window. And more.

    In detail.
    """
    return updates.deltas.median(dim=0).values


def test_a_plug_in_is_described_by_what_its_runs_kept(tmp_path: Path) -> None:
    plug = f"{__name__}:soft"
    own = own_words(Experiment(defence={"aggregator": plug}))
    assert own == {plug: {"summary": "Soften the median by a window", "options": {"width": 1.5}}}
    plain = evidence(tmp_path, base={**BASE, "defence": {"aggregator": plug}})
    session = Session.from_json(Session(own_words=own).to_json())
    notes = [replace(note, sessions=(session,)) for note in plain.notes]
    assert dict(overview(replace(plain, notes=notes)))["Defence"] == (
        f"{plug} (width 1.5), Soften the median by a window."
    )
    assert dict(overview(plain))["Defence"] == f"{plug}."


def test_an_axis_that_is_none_of_the_split_says_so_little(tmp_path: Path) -> None:
    found = lines(tmp_path, axes={"lr": {"field": "training.optimizer.lr", "values": [0.1, 0.01]}})
    assert found["lr"] == "0.1, 0.01 (training.optimizer.lr)."
    assert "Adam (learning rate 0.1) / 1 epoch" not in found["Data and clients"]
    assert (
        "(learning rate 0.1) / 2 epochs in batches of 256 with Adam (learning rate 0.01)."
        in found["Data and clients"]
    )


def test_what_clients_do_to_their_updates_is_said(tmp_path: Path) -> None:
    noise = {
        "transforms": [{"name": "clip", "norm": 1.0}, {"name": "noise", "std": 0.5}],
        "local_transforms": 1,
    }
    text = lines(tmp_path, axes={"alpha": SETTINGS["alpha"]}, base={**BASE, "defence": noise})["Defences"]
    clip, added, _ = text.split("; ")
    assert clip.endswith("or to the median one, by the clients")
    assert added == "noise (std 0.5), add Gaussian noise to each update"


def test_many_settings_are_cut_and_counted(tmp_path: Path) -> None:
    variants = {f"d{n}": {"defence.transforms": [{"name": "clip", "norm": float(n + 1)}]} for n in range(40)}
    text = lines(tmp_path, axes={"alpha": SETTINGS["alpha"], "d": {"variants": variants}}, base=BASE)[
        "Defences"
    ]
    assert text.startswith(
        "d0: clip (norm 1), scale each update down to an L2 norm, or to the median one; fedavg, mean"
    )
    assert text.endswith(". 16 more.")
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
