"""From the notation to the fields of a defence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fedskew.audit.defences import ASSUMED, KINDS, Population, chosen
from fedskew.components.permission import allow_plugin, allowing
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.errors import ConfigError

TEN = Population(clients=10, adversaries=2)


def test_every_part_goes_to_its_field() -> None:
    found = chosen("clip(norm=1.5) + bucketing + krum(f=1) + rlr(theta=3) + momentum(beta=0.9)", TEN)
    assert found.changes == {
        "defence.transforms": [{"name": "clip", "norm": 1.5}, {"name": "bucketing"}],
        "defence.aggregator": {"name": "krum", "f": 1},
        "defence.learning_rate": {"name": "rlr", "theta": 3},
        "server.step": {"name": "momentum", "beta": 0.9},
    }
    assert found.label == "clip(norm=1.5) + bucketing + krum(f=1) + rlr(theta=3) + momentum(beta=0.9)"


def test_options_that_nobody_gave_are_assumed_and_shown() -> None:
    assert chosen("krum", TEN).label == "krum(f=2)"
    assert chosen("rlr", TEN).changes == {"defence.learning_rate": {"name": "rlr", "theta": 4}}
    assert chosen("rlr", Population(5, 1)).label == "rlr(theta=2)"


def test_options_beside_the_notation_go_to_the_part_that_has_them() -> None:
    found = chosen("clip + krum", TEN, {"f": 1, "norm": 2.0})
    assert found.label == "clip(norm=2.0) + krum(f=1)"
    with pytest.raises(ConfigError, match="krum has no option 'g'"):
        chosen("krum", TEN, {"g": 1})
    with pytest.raises(ConfigError, match="nnm and krum have an option 'f' each"):
        chosen("nnm + krum", TEN, {"f": 1})
    with pytest.raises(ConfigError, match="'f' is given twice"):
        chosen("krum(f=2)", TEN, {"f": 1})


def test_how_many_are_selected_follows_from_f() -> None:
    assert chosen("multi-krum", TEN).label == "multi-krum(f=2, m=8)"
    assert chosen("multi-krum", TEN, {"f": 3}).label == "multi-krum(f=3, m=7)"


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("krumm", "unknown defence 'krumm'", "did you mean 'krum'?"),
        ("scaffold", "'scaffold' is an objective and no defence", "--set training.objective=scaffold"),
        (
            "feddyn",
            "'feddyn' is one half of a method whose other half is training.objective = 'feddyn'",
            "a study",
        ),
        ("krum + median", "a defence has one aggregator and not two", None),
        ("noise", "noise needs its option 'std', for which an audit assumes nothing", "noise(std=...)"),
        ("strange:rule", "requires permission to be imported", "--allow-plugin strange"),
    ],
)
def test_what_is_no_defence_is_refused(text: str, words: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        chosen(text, TEN)
    assert words in refused.value.message
    assert (hint or "") in (refused.value.hint or "")


def test_an_unknown_option_lists_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as refused:
        chosen("nnm + krum", TEN, {"g": 2})
    assert refused.value.message == "nnm + krum has no option 'g'; nnm has f; krum has f"


def test_a_module_that_may_be_imported_is_no_defence_but_its_functions_are() -> None:
    with allowing(["medians"]), pytest.raises(ConfigError) as refused:
        chosen("medians", TEN)
    assert refused.value.hint == "write medians:FUNCTION"


PLUGIN = """
from fedskew import UpdateTransform
def rule(updates, view, *, share=0.5): return updates.deltas[0]
def shrink(updates, view, rng): return updates
def rate(updates, lr): return lr
def step(delta): return delta
def kept() -> UpdateTransform: return UpdateTransform(lambda updates, view, state, rng: (updates, state))
"""


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("rule", "defence.aggregator"),
        ("shrink", "defence.transforms"),
        ("rate", "defence.learning_rate"),
        ("step", "server.step"),
        ("kept", "defence.transforms"),
    ],
)
def test_the_kind_of_a_plug_in_is_that_of_its_signature(
    name: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audited_plugin.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "audited_plugin", raising=False)
    allow_plugin("audited_plugin")
    found = chosen(f"audited_plugin:{name}", TEN)
    assert list(found.changes) == [field]


def test_the_only_part_takes_any_option_of_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audited_plugin.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "audited_plugin", raising=False)
    allow_plugin("audited_plugin")
    assert chosen("audited_plugin:rule", TEN, {"share": 0.2}).label == "audited_plugin:rule(share=0.2)"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_assumed_is_a_valid_option(kind: str) -> None:
    """Of every built-in part whose required options are all assumed."""
    from fedskew.components.binding import resolve

    for name, row in BUILT_IN[kind].items():
        needed = {option for option, default in row.options.items() if default is REQUIRED}
        if needed <= ASSUMED.keys() and not row.facts.needs:  # half of a method is refused
            found = chosen(name, TEN)
            resolve(kind, Component.model_validate(found.parts[0][1]), "x")
