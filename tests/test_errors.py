"""Hints and places that errors name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from torch import nn

from fedskew.components.permission import allow_plugin
from fedskew.components.rules import build_rule
from fedskew.config import Component
from fedskew.errors import ConfigError, nearest, place_of

DIRECTIONS = ("rises", "falls", "does not rise", "does not fall")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("decreases", "falls"),
        ("does not decrease", "does not fall"),
        ("reduces", "falls"),
        ("increases", "rises"),
        ("does not grow", "does not rise"),
        ("rise", "rises"),
        ("does not falls", "does not fall"),
        ("worsens", None),  # nobody can tell
    ],
)
def test_a_hint_never_says_the_opposite(given: str, meant: str | None) -> None:
    assert nearest(given, DIRECTIONS) == meant


def test_another_word_is_a_hint_only_where_its_meaning_is_valid() -> None:
    assert nearest("defence", ["aggregator", "attack"]) == "aggregator"
    assert nearest("defence", ["red", "green"]) is None


def test_where_an_error_was_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plug-in or what stands beside it, though it is called from within fedskew and goes on into libraries."""
    package = tmp_path / "fedskew_of_mine"  # its name begins like ours
    package.mkdir()
    (package / "helper.py").write_text("import torch\n\ndef halve(x):\n    return torch.stack(x)\n")
    (package / "rules.py").write_text(
        "import importlib\nfrom fedskew_of_mine.helper import halve\n\n"
        "def stacked(updates, view):\n    return halve('not tensors')\n\n"
        "def missing(updates, view):\n    return importlib.import_module('no_such_module')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    allow_plugin("fedskew_of_mine")
    for name, place in (("stacked", "helper.py, line 4"), ("missing", "rules.py, line 8")):
        rule = build_rule("aggregator", Component(name=f"fedskew_of_mine.rules:{name}"))
        with pytest.raises(ConfigError) as caught:
            rule.apply(None, None, None)
        cause = caught.value.__cause__
        assert cause is not None
        assert place_of(cause) == place_of(cause, own=False) == f"{package / place}"


def test_the_place_of_a_call_back_from_a_library_is_the_plug_ins() -> None:
    """The layers of a model are called by PyTorch."""

    class Broken(nn.Module):
        def forward(self, x: object) -> object:
            return x / 0  # type: ignore[operator]

    with pytest.raises(ZeroDivisionError) as caught:
        nn.Sequential(Broken())(1)
    assert place_of(caught.value).startswith(f"{Path(__file__)}, line ")


def test_a_place_in_fedskew_itself_is_named_only_where_it_is_wanted() -> None:
    with pytest.raises(AttributeError) as caught:
        build_rule(None, 3)  # type: ignore[arg-type]
    assert "fedskew" in place_of(caught.value)
    assert place_of(caught.value, own=False) == ""


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert place_of(ValueError()) == ""
