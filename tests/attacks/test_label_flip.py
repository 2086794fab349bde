"""Label flips: which labels become which, and what a run makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedskew
from fedskew.attacks.label_flip import label_flip
from fedskew.errors import ConfigError
from fedskew.federation.poisoning import only_poisons
from fedskew.protocols import RoundRecord, Shard
from helpers import PROPERTY, toy_info

INFO = toy_info((1, 8, 8))


def shard_of(labels: list[int]) -> Shard:
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, *INFO.image_shape)
    return Shard(images, torch.tensor(labels, dtype=torch.int64), rank=1, count=3)


def labels_after(labels: list[int], seed: int = 0, **options: Any) -> list[int]:
    shard = shard_of(labels)
    found = label_flip(INFO, **options).poison(shard, np.random.default_rng(seed))
    assert shard.labels.tolist() == labels  # a copy
    assert torch.equal(found.images, shard.images)
    assert (found.rank, found.count) == (1, 3)
    return found.labels.tolist()


def test_reversed_labels_count_from_the_last_class() -> None:
    assert labels_after([0, 1, 4, 9, 0]) == [9, 8, 5, 0, 9]
    odd = label_flip(toy_info((1, 8, 8), classes=3)).poison(shard_of([0, 1, 2]), np.random.default_rng(0))
    assert odd.labels.tolist() == [2, 1, 0]


def test_a_pair_turns_one_class_into_another_by_number_or_name() -> None:
    assert labels_after([3, 7, 1, 3], map="pair", source=3, target=7) == [7, 7, 1, 7]
    assert labels_after([3, 7, 1, 3], map="pair", source="class-3", target="class-0") == [0, 7, 1, 0]


def test_a_share_is_of_the_images_that_the_map_concerns_rounded_down() -> None:
    found = labels_after([3] * 5 + [7] * 9, map="pair", source=3, target=0, fraction=0.5)
    assert found.count(0) == 2
    assert found[5:] == [7] * 9
    assert sum(label == 9 for label in labels_after([0] * 100, fraction=0.29)) == 29
    assert labels_after([0, 1, 2], fraction=0) == [0, 1, 2]
    assert labels_after([]) == []


def test_a_random_label_is_any_other_class_equally_often() -> None:
    found = labels_after([4] * 9000, map="random")
    counts = np.bincount(found, minlength=10)
    assert counts[4] == 0
    # 1000 each, with a standard deviation of 30
    assert np.delete(counts, 4) == pytest.approx(np.full(9, 1000), abs=120)


@PROPERTY
@given(
    st.lists(st.integers(0, 9), max_size=30),
    st.sampled_from([{"map": "reverse"}, {"map": "random"}, {"map": "pair", "source": 2, "target": 5}]),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_flipping_is_a_pure_function_of_shard_and_rng(
    labels: list[int], options: dict[str, Any], fraction: float, seed: int
) -> None:
    one, other = (labels_after(labels, seed, fraction=fraction, **options) for _ in range(2))
    assert one == other
    concerned = [i for i, y in enumerate(labels) if options.get("source", y) == y]
    changed = [i for i, (old, new) in enumerate(zip(labels, one, strict=True)) if old != new]
    assert len(changed) == int(fraction * len(concerned) + 1e-9)
    assert set(changed) <= set(concerned)


def test_what_evaluation_is_told() -> None:
    pair = label_flip(INFO, map="pair", source=3, target=7)
    assert (pair.source_classes, pair.target, pair.trigger) == ((3,), None, None)
    assert label_flip(INFO).source_classes is None
    assert only_poisons(pair)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"map": "pair", "source": 3}, "needs source and target"),
        ({"map": "pair", "source": 3, "target": 10}, "class 10 does not exist"),
        ({"map": "pair", "source": "clas-3", "target": 1}, "unknown class of toy 'clas-3'"),
        (
            {"map": "pair", "source": "class-3", "target": 3},
            "flips nothing: its source and its target are both 3",
        ),
        ({"map": "reverse", "source": 3}, "takes no source with map = 'reverse', only with map = 'pair'"),
        ({"map": "random", "target": 0}, "takes no target with map = 'random', only with map = 'pair'"),
    ],
)
def test_classes_that_are_missing_or_useless_or_do_not_exist(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        label_flip(INFO, **options)


def test_a_class_that_the_map_has_no_use_for_is_refused_without_a_config_too() -> None:
    with pytest.raises(ConfigError, match="attack 'label-flip' takes no source with map = 'reverse'"):
        fedskew.craft("label-flip", [[1.0, 2.0]], map="reverse", source=3)


def test_one_class_has_no_other() -> None:
    with pytest.raises(ConfigError, match="needs two classes or more; toy has 1"):
        label_flip(toy_info(classes=1))


def test_a_pair_takes_the_recall_of_its_source_and_of_no_other_class() -> None:
    def recalls(adversaries: int) -> list[float]:
        experiment = fedskew.Experiment(
            rounds=4,
            clients={"count": 4},
            adversaries={"count": adversaries},
            attack={"name": "label-flip", "map": "pair", "source": 3, "target": 8},
            training={"batch_size": 32},
        )
        return list(fedskew.simulate(experiment))[-1].per_class_accuracy

    clean, attacked = recalls(0), recalls(3)
    assert clean[3] > 0.7
    assert attacked[3] < 0.2
    assert attacked[:3] == pytest.approx(clean[:3], abs=0.15)


def test_a_share_of_0_is_the_benign_run() -> None:
    def records(attack: Any) -> list[RoundRecord]:
        return list(fedskew.simulate(fedskew.Experiment(rounds=2, adversaries={"count": 3}, attack=attack)))

    assert records({"name": "label-flip", "map": "random", "fraction": 0.0}) == records("none")
