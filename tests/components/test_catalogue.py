"""The catalogue: what each built-in component says of itself, and that it says enough."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from fedskew.components import catalogue
from fedskew.components.binding import complete_experiment
from fedskew.components.catalogue import docstring, entry, said, sections, statements
from fedskew.components.row import Facts
from fedskew.components.table import BUILT_IN
from fedskew.config import Experiment
from fedskew.errors import ConfigError

COMPONENTS = [(kind, name) for kind, names in BUILT_IN.items() for name in names]
NAMES = [f"{kind} {name}" for kind, name in COMPONENTS]

WITHOUT_PAPER = {
    "split shuffled",
    "dataset npz",
    "dataset csv",
    "dataset parquet",
    "dataset image-folder",
    "dataset hf",
    "split iid",
    "split file",
    "shift none",
    "model mlp",
    "model small-cnn",
    "trigger mask",
    "attack none",
    "attack n-k-inflation",
    "start global",
    "start stale",
    "objective none",
    "personal none",
    "aggregator mean",
    "learning-rate constant",
    "server-step plain",
    "lr-schedule constant",
    "lr-schedule plateau",
    "lr-schedule exponential",
    "stopping rounds",
    "observer update-norms",
    "callback tensorboard",
    "callback mlflow",
    "callback wandb",
}
"""Components that come from no paper; all others name theirs."""
WITHOUT_FORMULA = {"dataset", "callback"}
"""Kinds whose components compute nothing."""
NOT_SHOWN = {
    "factory",
    "always_acts",
    "never_stops",
    "relabels",
    "looks_at",
    "norm_bound",
    "idle",
    "defends",
    "shares",
    "leaves_out",
    "own_tests",
    "reads",
    "files",
    "at_root",
    "steps",
    "untrained",
    "adapts",
}
"""Facts that an entry does not say; ``defends`` stands in the introduction of its kind, ``steps`` is a part of
``each_client``, ``untrained`` of ``on_training``."""


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=NAMES)
def test_every_component_has_a_formula_and_a_reference(kind: str, name: str) -> None:
    one = entry(kind, name)
    module = BUILT_IN[kind][name].target
    if kind not in WITHOUT_FORMULA:
        assert one.formula, f"{kind} {name}: the docstring of {module} has no paragraph `Formula: ...`"
    if f"{kind} {name}" in WITHOUT_PAPER:
        assert not one.reference, f"{kind} {name} has a reference, and stands in WITHOUT_PAPER"
    else:
        assert one.reference, f"{kind} {name}: the docstring of {module} has no paragraph `Reference: ...`"
    assert re.search(r"\b(19|20)\d\d\b", one.reference or "2000"), f"{kind} {name}: the reference has no year"


def test_what_comes_from_no_paper_exists() -> None:
    assert set(NAMES) >= WITHOUT_PAPER


def test_every_fact_is_said_or_known_not_to_be() -> None:
    source = Path(catalogue.__file__).read_text(encoding="utf-8")
    shown = set(re.findall(r"\bfacts\.(\w+)", source))
    assert shown | NOT_SHOWN == {field.name for field in dataclasses.fields(Facts)}
    assert not shown & NOT_SHOWN


# --- entries by hand --------------------------------------------------------------------------------


def test_an_aggregator() -> None:
    one = entry("aggregator", "krum")
    assert one.options == ("f",)
    assert one.formula[0] == "the update with the lowest score_i"
    assert one.weights == "1 for the update taken and 0 for the others"
    assert one.needs == ("at least 7 updates in a round with f = 2: 2f + 3 updates",)
    assert one.reference.endswith("NeurIPS 2017, section 4.")
    assert one.refused == ("with `server.secure_aggregation = true`",)
    assert list(said(one)) == ["formula", "options", "weights", "needs", "refused", "reference"]


def test_what_needs_single_clients_is_refused_under_secure_aggregation() -> None:
    refused = ("with `server.secure_aggregation = true`",)
    for kind, name in (
        ("transform", "bucketing"),
        ("aggregator", "median"),
        ("selection", "power-of-choice"),
    ):
        assert entry(kind, name).refused == refused
    for kind, name in (("transform", "clip"), ("aggregator", "fedavg"), ("learning-rate", "rlr")):
        assert entry(kind, name).refused == ()
    assert entry("objective", "fedprox").refused == entry("split", "iid").refused == ()


def test_a_semicolon_in_parentheses_ends_no_statement() -> None:
    assert statements("score = -l(x; w + f(d; e)); member if score > 0") == (
        "score = -l(x; w + f(d; e))",
        "member if score > 0",
    )
    assert statements("") == ()
    for kind, name in COMPONENTS:
        for part in entry(kind, name).formula:
            assert part.count("(") == part.count(")"), f"{kind} {name}: {part}"


def test_what_rules_need() -> None:
    assert (
        entry("aggregator", "mda")
        .needs[1]
        .startswith("at most 632 updates in a round with f = 2: it looks at")
    )
    assert entry("aggregator", "fltrust").needs == (
        "training images that the server sets aside, as many as `images`",
    )
    assert entry("transform", "bucketing").needs == (
        "a rule after it that can work on 5 updates instead of 10",
        "no rule after it that needs what single clients report",
    )
    assert entry("selection", "power-of-choice").needs == (
        "`candidates` from the number of clients of a round to that of all clients",
    )
    assert entry("stopping", "plateau").needs == ("`data.validation` where `monitor` is validation_loss",)
    assert entry("attack", "pgd").needs == (
        "an attack in `of`",
        "adversaries of the attack in `of` who send something of their own training",
    )
    assert entry("objective", "feddyn").needs == ("`server.step = feddyn`",)
    assert entry("aggregator", "afl").needs == (
        "the loss of each client, which no transform before it may merge",
    )
    assert entry("attack", "backdoor").needs == (), "its trigger has a default"


def test_threat_models() -> None:
    expected = {
        "sign-flip": "own-updates",
        "mimic": "all-updates",
        "opt-ipm": "knows-the-defence",
        "gaussian": "own-updates, or as `threat_model` says",
        "neurotoxin": "that of the attack in `of`",
        "pgd": "that of the attack in `of`, or more where `threat_model` says so",
    }
    assert {name: entry("attack", name).threat_model for name in expected} == expected
    assert entry("aggregator", "krum").threat_model == ""


def test_what_is_refused_is_what_the_check_says() -> None:
    (refused,) = entry("attack", "alie").refused
    assert refused.startswith("for example with 1 adversary among 10 clients: `alie` would send the mean")
    experiment = Experiment(clients={"count": 10}, adversaries={"count": 1}, attack="alie")
    with pytest.raises(ConfigError) as caught:
        complete_experiment(experiment)
    assert caught.value.message == "attack: 'alie' " + refused.partition("`alie` ")[2]
    (refused,) = entry("attack", "pgd").refused
    assert refused.startswith("with these defaults: `pgd` without a radius takes")
    assert entry("attack", "sign-flip").refused == ()


def test_what_a_rule_that_states_a_privacy_is_refused_with() -> None:
    (refused,) = entry("aggregator", "dp-fedavg").refused
    others = {("learning-rate", "rlr"): {"theta": 2}, ("selection", "power-of-choice"): {"candidates": 10}}
    for kind, name in others:
        assert f"`{name}`" in refused, kind
    defence = {"aggregator": {"name": "dp-fedavg", "clip": 1.0, "noise_multiplier": 1.0}}
    for where in (
        {"defence": {**defence, "learning_rate": {"name": "rlr", "theta": 2}}},
        {"defence": defence, "clients": {"selection": {"name": "power-of-choice", "candidates": 10}}},
        {"defence": {**defence, "transforms": [{"name": "clip", "norm": 1.0}]}},
    ):
        with pytest.raises(ConfigError, match="makes use of what clients send"):
            complete_experiment(Experiment(**where))


# --- docstrings -------------------------------------------------------------------------------------


def test_marked_paragraphs() -> None:
    found = sections("Does it.\n\nFormula: a = b;\nb = c\n\nArgs:\n    x: y.\n\nReference: Somebody, 2020.")
    assert found == {"Formula": "a = b; b = c", "Weights": "", "Reference": "Somebody, 2020."}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Does it.\nFormula: a", "`Formula: a` in its docstring; expected a paragraph"),
        (
            "Does it.\n\nReference:\n    Somebody, 2020.",
            "`Reference:` in its docstring; expected a paragraph",
        ),
        (
            "Does it.\n\n    Reference: Somebody, 2020.",
            "expected a paragraph that starts with `Reference: ` and text",
        ),
        ("Formula: a\nReference: b", "`Reference: b` in its docstring; expected a paragraph"),
        ("Formula: a\n\nFormula: b", "two paragraphs that start with `Formula:`"),
    ],
)
def test_a_mark_in_the_wrong_place(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        sections(text)


def test_a_docstring_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "docstring", lambda target: "Formula:")
    with pytest.raises(ValueError, match=r"^aggregator krum: `Formula:` in its docstring"):
        entry("aggregator", "krum")


def test_docstrings_are_those_of_the_functions() -> None:
    assert docstring("fedskew.aggregation.mean:mean").startswith("The mean of the updates, [P].\n\nFormula: ")
    with pytest.raises(ValueError, match=r"there is no fedskew\.aggregation\.mean:nothing"):
        docstring("fedskew.aggregation.mean:nothing")
    with pytest.raises(ValueError, match=r"there is no fedskew\.aggregation\.nowhere:mean"):
        docstring("fedskew.aggregation.nowhere:mean")
