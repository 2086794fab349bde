"""Which attacks make use of what they may know of a defence."""

from __future__ import annotations

from typing import Any

import pytest

from fedskew.components.adapting import adapts
from fedskew.components.known import threat_model
from fedskew.config import Component, Defence

KNOWS: dict[str, Any] = {"threat_model": "knows-the-defence"}
CLIP = {"transforms": [{"name": "clip", "norm": 0.5}]}
PGD = {"name": "pgd", "of": "sign-flip", **KNOWS}


def adaptive(attack: Any, **defence: Any) -> bool:
    named = Component.model_validate(attack)
    return adapts(named, threat_model(named), Defence.model_validate(defence))


def test_pgd_makes_use_only_of_a_norm_that_it_is_not_given() -> None:
    assert adaptive(PGD, **CLIP)
    assert not adaptive(PGD, aggregator="median")
    assert not adaptive(PGD, transforms=[{"name": "clip", "norm": "median"}])
    assert not adaptive(PGD | {"radius": 1.0}, **CLIP)


@pytest.mark.parametrize(
    ("attack", "uses"),
    [
        ({"name": "opt-ipm"}, True),
        ({"name": "min-max"}, False),
        ({"name": "model-replacement", "of": "sign-flip", **KNOWS}, True),
        ({"name": "model-replacement", "of": "sign-flip", "factor": 2.0, **KNOWS}, False),
        ({"name": "train-and-scale", "of": "sign-flip", "norm": "median", **KNOWS}, False),
        ({"name": "train-and-scale", "of": "opt-ipm", "norm": 1.0}, True),
        ({"name": "n-k-inflation", "factor": 2.0, "of": PGD}, False),
    ],
    ids=str,
)
def test_of_the_others_those_that_try_their_updates(attack: dict[str, Any], uses: bool) -> None:
    assert adaptive(attack, aggregator="median") is uses


def test_a_plug_in_may_make_use_of_it_where_it_knows_it() -> None:
    mine = Component(name="mine:attack")
    assert adapts(mine, "knows-the-defence", Defence())
    assert not adapts(mine, "all-updates", Defence())
    assert not adapts(mine, "a model of its own", Defence())
