"""Property inference: cases with known answers, chance where there is nothing to find, and what it looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor

from fedskew.config import Execution, Experiment
from fedskew.config.planted import Property
from fedskew.privacy.properties import PROPERTIES
from fedskew.privacy.property_inference import features, probabilities, property_inference, uneven
from fedskew.protocols import Observation, ParameterLayout
from fedskew.simulation import simulate
from fedskew.testing.examples import matrix, row, updates
from fedskew.testing.privacy import example_view
from helpers import execute

ATTACK = {"name": "property-inference", "virtual": 8, "images": 60}


def experiment(share: float, attacks: list[Any], **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 2,
            "clients": {"count": 10, "held_out": 0.2},
            "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}},
            "privacy": {"attacks": attacks, "every": 1, "property": {"name": "rotated", "share": share}},
            **changes,
        }
    )


def found(config: Experiment) -> float:
    return list(simulate(config))[-1].metrics["property_inference_property_auc"]


def test_the_names_are_those_of_the_config() -> None:
    assert set(PROPERTIES) == set(Property.model_fields["name"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", list(PROPERTIES))
def test_holders_all_of_whose_images_have_it_are_found(name: str) -> None:
    assert (
        found(
            experiment(1.0, [ATTACK], privacy={"attacks": [ATTACK], "property": {"name": name, "share": 1.0}})
        )
        == 1
    )


def test_a_property_that_no_image_has_is_not_found() -> None:
    """Holders of less than one image: 0.5 within four standard deviations of chance, 20 x 20 pairs."""
    auc = found(experiment(0.001, [ATTACK], clients={"count": 40, "held_out": 0.2}))
    assert abs(auc - 0.5) < 4 * np.sqrt((20 + 20 + 1) / (12 * 20 * 20))


def test_it_changes_no_bit_of_a_run_and_finds_the_same_each_time(tmp_path: Path) -> None:
    watched, alone = (experiment(0.3, attacks, rounds=1) for attacks in ([ATTACK], []))
    for place, config in (("with", watched), ("again", watched), ("without", alone)):
        execute(tmp_path / place, config, Execution())
    weights = [(tmp_path / place / "weights.safetensors").read_bytes() for place in ("with", "without")]
    assert weights[0] == weights[1]
    records = [(tmp_path / place / "rounds.jsonl").read_bytes() for place in ("with", "again")]
    assert records[0] == records[1]


def test_features_by_hand() -> None:
    """A vector is left out, a kernel keeps its largest entry, a large layer the largest of each input's."""
    layout = ParameterLayout(("conv", "bias", "large"), ((1, 2, 2, 2), (3,), (2, 2501)))
    update = torch.zeros(layout.total)
    update[:8] = torch.tensor([1.0, -3.0, 2.0, 0.0, 0.0, 0.0, -4.0, 1.0])
    update[8:11] = 99.0
    update[11:].view(2, 2501)[:, 7] = torch.tensor([5.0, -12.0])
    seen = features(torch.stack([update, 2 * update]), layout)
    assert seen.shape == (2, 2 + 2501)
    expected = np.zeros(2503)
    expected[[0, 1, 9]] = np.array([3.0, 4.0, 12.0]) / 13
    for one in seen.numpy():
        assert one == pytest.approx(expected)


def test_probabilities_are_those_of_the_plain_classifier() -> None:
    drawn = np.random.default_rng(0)
    known, seen = np.abs(drawn.normal(size=(24, 6))), np.abs(drawn.normal(size=(5, 6)))
    known[:, 5] = seen[:, 5] = 0.0  # a weight that never moves
    holds = np.arange(24) < 12
    known[holds, 0] += 1.0
    scaler, norm = StandardScaler(), Normalizer()
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=3)
    forest.fit(scaler.fit_transform(norm.fit_transform(known)), holds)
    expected = forest.predict_proba(scaler.transform(norm.transform(seen)))[:, 1]
    rows = [torch.from_numpy(norm.transform(part)) for part in (known, seen)]
    assert probabilities(rows[0], torch.from_numpy(holds), rows[1], 3).numpy() == pytest.approx(expected)


def test_updates_that_say_nothing_have_one_score() -> None:
    """Constant features: every client is as probable as any other."""
    found = probabilities(torch.ones(12, 3), torch.arange(12) < 6, torch.ones(4, 3), 0)
    assert len(found.unique()) == 1  # type: ignore[no-untyped-call]


def test_virtual_clients_have_the_median_of_the_numbers_that_the_rounds_clients_report() -> None:
    view, sizes = example_view(0), list[int]()

    def train(weights: Tensor, images: Tensor, labels: Tensor, draw: int) -> Tensor:
        sizes.append(len(images))
        return view.train(weights, images, labels, draw)

    reported = replace(updates(matrix(3, 0)), num_examples=torch.tensor([10**12, 9, 4]))
    property_inference(virtual=5).observe(Observation(1, row(0), reported), replace(view, train=train), {})
    assert sizes == [9] * 10


def test_virtual_clients_have_uneven_classes_and_no_image_twice() -> None:
    view = example_view(0)
    mixes = []
    for _ in range(40):
        at = uneven(view, 12)
        assert len(np.unique(at)) == 12
        mixes.append(np.bincount(view.public_labels[at].numpy(), minlength=view.num_classes))
    largest = np.array(mixes).max(axis=1)
    assert largest.min() <= 4
    assert largest.max() == 12  # of one class alone, as far as there are so many
    assert len(uneven(view, 1000)) == len(view.public)
