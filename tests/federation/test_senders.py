"""A defence is checked against the clients that have data, not only against those that the config counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.senders import check_senders
from fedskew.federation.spread import Spread
from helpers import build_world


def held_by(senders: int, clients: int = 20) -> Spread:
    """A spread in which so many of the clients have an image."""
    shards = tuple(np.arange(k, k + (k < senders), dtype=np.int64) for k in range(clients))
    return Spread(shards, (), np.empty(0, dtype=np.int64))


def experiment(defence: dict[str, Any], fraction: float = 1.0, **changes: Any) -> Experiment:
    content = {"clients": {"count": 20, "fraction": fraction}, "defence": defence, **changes}
    return completed(Experiment.model_validate(content)).experiment


KRUM = {"aggregator": {"name": "krum", "f": 2}}


@pytest.mark.parametrize(
    ("defence", "needed"),
    [
        (KRUM, 7),
        ({"aggregator": {"name": "multi-krum", "f": 0, "m": 9}}, 9),
        ({"aggregator": {"name": "dnc", "f": 2, "factor": 3.0}}, 7),
        ({"learning_rate": {"name": "rlr", "theta": 12}}, 12),
        (KRUM | {"transforms": ["bucketing"]}, 13),
        ({"aggregator": "median"}, 1),
    ],
)
def test_each_rule_needs_as_many_clients_with_data_as_it_needs_updates(
    defence: dict[str, Any], needed: int
) -> None:
    check_senders(held_by(needed), experiment(defence))
    if needed > 1:
        with pytest.raises(ConfigError, match=f"only {needed - 1} of 20 clients have data"):
            check_senders(held_by(needed - 1), experiment(defence))


def test_the_sentence_names_the_field_the_seed_of_the_split_and_both_numbers() -> None:
    with pytest.raises(ConfigError) as caught:
        check_senders(held_by(12), experiment(KRUM | {"transforms": ["bucketing"]}, seed=4, split_seed=9))
    assert caught.value.message == (
        "defence.aggregator: 'krum' with f = 2 needs 7 or more updates in a round, and with seed 9 only "
        "12 of 20 clients have data, so that there are at most 6: 2f + 3 updates"
    )
    assert caught.value.field == "defence.aggregator"
    assert caught.value.hint == (
        "change its options (f = 1 at most), or leave fewer clients without data: fewer clients, a larger alpha, "
        "split.min_size"
    )


def test_a_drawn_cohort_that_can_have_enough_is_not_refused() -> None:
    """Ten are drawn. Eight with data may all be among them; six never make seven updates."""
    check_senders(held_by(8), experiment(KRUM, fraction=0.5))
    with pytest.raises(ConfigError, match="only 6 of 20 clients have data, so that there are at most 6"):
        check_senders(held_by(6), experiment(KRUM, fraction=0.5))


def test_running_averages_are_not_sent_beside_a_stated_privacy() -> None:
    def build(norm: str, aggregator: Any) -> None:
        build_world(
            Experiment(
                clients={"count": 5},
                model={"name": "small-cnn", "norm": norm},
                defence={"aggregator": aggregator},
            ),
            Execution(),
        )

    private = {"name": "dp-fedavg", "clip": 1.0, "noise_multiplier": 1.0}
    with pytest.raises(ConfigError) as caught:
        build("batch", private)
    assert caught.value.message == (
        "model 'small-cnn' keeps running averages of the images that it is trained on, and clients send them as they "
        "are, so the privacy that 'dp-fedavg' states would not hold"
    )
    for norm, aggregator in (("group", private), ("none", private), ("batch", "mean")):
        build(norm, aggregator)
