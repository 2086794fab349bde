"""The shuffled split: the sizes and samples of another one, without its skew of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fedskew
from fedskew.config import Component
from fedskew.errors import PartitionError
from fedskew.partition.heterogeneity import heterogeneity, label_counts
from fedskew.partition.shuffled import shuffled
from fedskew.protocols import Division, SplitView
from helpers import PROPERTY, toy_info, view_of

LABELS = np.random.default_rng(0).integers(0, 10, 300)
SPLITS = (
    Component(name="iid"),
    Component(name="dirichlet", alpha=0.1),
    Component(name="shards", classes_per_client=2),
    Component(name="pathological", classes_per_client=2),
    Component(name="quantity", alpha=0.5),
)


def divided(of: Component, seed: int, view: SplitView | None = None, clients: int = 5) -> Division:
    given = view_of(LABELS) if view is None else view
    found = shuffled(of=of).divide(given, clients, np.random.default_rng(seed))
    assert isinstance(found, Division)
    return found


def alone(of: Component, seed: int, clients: int = 5) -> list[np.ndarray]:
    from fedskew.components.rules import build_rule

    found = build_rule("split", of, "split").divide(view_of(LABELS), clients, np.random.default_rng(seed))
    return list(found.parts if isinstance(found, Division) else found)


@PROPERTY
@given(st.sampled_from(SPLITS), st.integers(0, 2**32), st.integers(5, 8))
def test_sizes_and_samples_are_those_of_the_split(of: Component, seed: int, clients: int) -> None:
    parts, before = divided(of, seed, clients=clients).parts, alone(of, seed, clients)
    assert [len(part) for part in parts] == [len(part) for part in before]
    assert sorted(np.concatenate(parts)) == sorted(np.concatenate(before))
    assert [part.tolist() for part in divided(of, seed, clients=clients).parts] == [p.tolist() for p in parts]


def test_labels_are_spread_as_evenly_as_a_random_order_spreads_them() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 5000)
    of = Component(name="shards", classes_per_client=2)
    parts = divided(of, 3, view_of(labels)).parts
    skew = heterogeneity(label_counts(labels, parts, 10))
    assert skew.total_variation < 0.05, "shards have 0.8; 1,000 samples of ten equal classes some 0.03"


def test_names_and_own_test_samples_stay_where_they_are() -> None:
    info = replace(toy_info(classes=2), client_names=("Ann", "Bob"))
    clients, tests = np.array([0, 0, 0, 1]), np.array([1, 0, 1])
    view = SplitView(
        np.array([0, 0, 0, 1]), np.arange(4), 4, info, clients=clients, num_test=3, test_clients=tests
    )
    found = divided(Component(name="natural"), 1, view, clients=2)
    assert found.names == ("Ann", "Bob")
    assert found.tests is not None
    assert [part.tolist() for part in found.tests] == [[1], [0, 2]]
    assert [len(part) for part in found.parts] == [3, 1]


def test_what_several_clients_hold_cannot_be_dealt_out() -> None:
    of = Component(name="data-sharing", of={"name": "iid"}, fraction=0.1, share=1.0)
    with pytest.raises(PartitionError, match="'data-sharing' gives a sample to several clients") as caught:
        divided(of, 0)
    assert "put it around this one" in str(caught.value.hint)
    experiment: dict[str, Any] = {
        "data": "digits",
        "rounds": 1,
        "clients": {"count": 4},
        "training": {"epochs": 1},
        "model": {"name": "mlp", "hidden": [4]},
        "split": {
            "name": "data-sharing",
            "of": {"name": "shuffled", "of": {"name": "dirichlet", "alpha": 1.0}},
        },
    }
    assert len(list(fedskew.simulate(fedskew.Experiment.model_validate(experiment)))) == 1
