"""Every rule by itself on a matrix: what it may be given, what it gives, and what is refused."""

from __future__ import annotations

import doctest
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import fedskew
from fedskew import aggregate, craft, direct
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import (
    AdversaryView,
    AggregationTrace,
    Aggregator,
    Attack,
    ClientUpdates,
    Crafted,
    DatasetInfo,
    ServerView,
    State,
    UpdateTransform,
)
from helpers import PROPERTY, delta_matrices, toy_info

ROWS = [[1.0, 2.0], [3.0, 9.0], [2.0, 0.0]]
NEEDS: dict[str, dict[str, Any]] = {
    "krum": {"f": 1},
    "dnc": {"f": 1},
    "trimmed-mean": {"b": 1},
    "meamed": {"f": 1},
    "multi-krum": {"f": 1, "m": 2},
    "bulyan": {"f": 1},
    "mda": {"f": 1},
    "sign-majority": {"step": 0.1},
    "sparse-fed": {"share": 0.5},
    "fltrust": {"root_update": [1.0, 0.0]},
    "dp-fedavg": {"clip": 1.0, "noise_multiplier": 0.1},
    "q-fedavg": {"q": 1.0, "lipschitz": 1.0, "start_losses": [1.0, 2.0, 0.5, 0.0, 1.0, 3.0, 0.1]},
    "afl": {"gamma": 0.1, "start_losses": [1.0, 2.0, 0.5, 0.0, 1.0, 3.0, 0.1]},
    "term": {"t": 1.0, "start_losses": [1.0, 2.0, 0.5, 0.0, 1.0, 3.0, 0.1]},
    "fedmgda": {"epsilon": 0.1},
    "backdoor": {"target": 7},
    "ipm": {"eps": 1.0},
    "dba": {"target": 7},
    "edge-case": {"source": 3, "target": 7},
    "pgd": {"of": "sign-flip", "radius": 1.0},
    "neurotoxin": {"of": "sign-flip"},
    "constrain-and-scale": {"of": "sign-flip", "alpha": 0.5},
    "model-replacement": {"of": "sign-flip", "threat_model": "knows-the-defence"},
    "train-and-scale": {"of": "sign-flip", "norm": 2.0},
    "n-k-inflation": {"of": "sign-flip", "factor": 10},
    "upload-scaling": {"of": "sign-flip", "factor": -2},
}


def test_the_examples_in_the_docstrings_are_right() -> None:
    assert not doctest.testmod(direct).failed


@pytest.mark.parametrize("as_given", [torch.tensor, np.array, list, tuple, lambda x: np.array(x).astype(int)])
def test_a_matrix_may_be_a_tensor_an_array_or_lists(as_given: Any) -> None:
    found = aggregate("median", as_given(ROWS))
    assert found.tolist() == [2, 2]
    assert found.dtype == torch.float32


def half(updates: ClientUpdates, view: ServerView, *, share: float = 0.5) -> Tensor:
    assert (view.round, view.num_clients, view.global_weights.tolist()) == (1, 3, [0, 0])
    return share * updates.deltas.sum(dim=0)


def test_a_rule_may_be_a_name_a_function_a_table_or_a_component() -> None:
    assert aggregate(half, ROWS, share=1.0).tolist() == [6, 11]
    assert aggregate({"name": half, "share": 1.0}, ROWS).tolist() == [6, 11]
    assert aggregate(Component(name=half), ROWS).tolist() == [3, 5.5]
    assert aggregate({"name": "mean"}, ROWS).tolist() == pytest.approx([2, 11 / 3])


def test_a_rule_with_state_starts_from_its_first() -> None:
    def counting() -> Aggregator:
        def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
            return updates.deltas[0] * state["rounds"], AggregationTrace(), {"rounds": state["rounds"] + 1}

        return Aggregator(apply, init=lambda: {"rounds": torch.ones(())})

    for _ in range(2):
        assert aggregate(counting, ROWS).tolist() == [1, 2]


def test_numbers_of_examples_weigh() -> None:
    for counts in ([1, 1, 2], torch.tensor([1, 1, 2])):
        assert aggregate("fedavg", ROWS, counts).tolist() == [2, 2.75]
    assert aggregate("fedavg", [[0.0], [1.0]], [2**24 + 1, 2**24 + 1]).tolist() == [0.5]


def test_what_clients_report_is_given_to_the_rules_that_look_at_it() -> None:
    rows = [[4.0, 0.0], [0.0, 4.0]]
    assert aggregate("term", rows, t=1e6, start_losses=[1, 2]).tolist() == [0, 4]
    nova = {"name": "fednova", "weights": "equal"}
    assert aggregate("mean", rows, transforms=[nova], steps=[1, 3]).tolist() == pytest.approx([4, 4 / 3])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "needs each client's loss before training (start_losses)"),
        ({"start_losses": [1.0]}, "start_losses must be 3 finite numbers, one per row of deltas"),
        ({"start_losses": [1.0, 2.0, float("nan")]}, "start_losses must be 3 finite numbers"),
        ({"start_losses": "high"}, "start_losses cannot be read as numbers"),
        ({"start_losses": [1, 2, 3], "steps": [1, 0, 1]}, "steps must be 3 whole numbers > 0"),
    ],
)
def test_what_clients_cannot_report_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        aggregate("term", ROWS, t=1.0, **more)


def test_transforms_come_first_in_their_order() -> None:
    def shift(updates: ClientUpdates, view: ServerView, rng: Any, *, by: float) -> ClientUpdates:
        return updates.with_deltas(updates.deltas + by)

    rows = [[3.0, 4.0], [0.0, 1.0]]
    clip = {"name": "clip", "norm": 1}
    assert aggregate("mean", rows, transforms=[clip, {"name": shift, "by": 1.0}]).tolist() == pytest.approx(
        [1.3, 1.9]
    )
    shifted = [[4.0, 5.0], [1.0, 2.0]]
    both = aggregate("mean", rows, transforms=[{"name": shift, "by": 1.0}, clip])
    assert torch.equal(both, aggregate("mean", shifted, transforms=[clip]))


def test_draws_come_from_the_seed_or_the_rng() -> None:
    def noisy(**of: Any) -> list[float]:
        return aggregate("mean", ROWS, transforms=[{"name": "noise", "std": 1.0}], **of).tolist()

    assert noisy() == noisy() == noisy(seed=0)
    assert noisy(seed=1) != noisy()
    assert noisy(rng=np.random.default_rng(3)) == noisy(rng=np.random.default_rng(3), seed=5)


@PROPERTY
@given(delta_matrices(), st.sampled_from(["fedavg", "mean", "median"]))
def test_what_is_given_is_left_as_it_was(deltas: np.ndarray, name: str) -> None:
    before = deltas.copy()
    tensor = torch.from_numpy(deltas)
    assert torch.equal(aggregate(name, deltas), aggregate(name, tensor))
    assert np.array_equal(deltas, before)
    assert tensor._version == 0


def options(kind: str, name: str) -> dict[str, Any]:
    found = NEEDS.get(name, {})
    assert {o for o, default in BUILT_IN[kind][name].options.items() if default is REQUIRED} <= set(found)
    return found


@pytest.mark.parametrize("name", BUILT_IN["aggregator"])
def test_every_built_in_aggregator_works_on_a_matrix(name: str) -> None:
    rows = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    found = aggregate(name, rows, **options("aggregator", name))
    assert found.shape == (2,)
    assert found.isfinite().all()


@pytest.mark.parametrize("name", BUILT_IN["attack"])
def test_every_built_in_attack_works_on_a_matrix(name: str) -> None:
    found = craft(name, ROWS, adversaries=2, **options("attack", name))
    assert found.shape == (2, 2)
    assert found.isfinite().all()


def pairless() -> UpdateTransform:
    return UpdateTransform(lambda updates, view, state, rng: None)  # type: ignore[arg-type,return-value]


def traceless() -> Aggregator:
    return Aggregator(lambda updates, view, state: updates.deltas[0])  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("rule", "deltas", "more", "words"),
    [
        ("medain", ROWS, {}, "unknown aggregator 'medain'"),
        ("median", ROWS, {"f": 1}, "'median' has no option 'f'"),
        ("krum", ROWS, {}, "'krum' needs f"),
        ("krum", ROWS, {"f": 1}, r"needs at least 2f \+ 3 = 5 updates in a round, got 3"),
        ("krum", ROWS, {"f": -1}, r"f = -1: input should be greater"),
        ("fltrust", ROWS, {}, "needs a root update"),
        ("fltrust", ROWS, {"root_update": [1.0]}, r"root_update must be 2 finite numbers.*the shape \[1\]"),
        ("mean", [1.0, 2.0], {}, r"deltas must be a matrix.*got the shape \[2\]"),
        ("mean", [], {}, r"deltas must be a matrix"),
        ("mean", [[], []], {}, r"deltas must be a matrix"),
        ("mean", [[1.0], [1.0, 2.0]], {}, "deltas cannot be read as numbers"),
        ("mean", [["a"]], {}, "deltas cannot be read as numbers"),
        ("mean", [[1.0], [float("nan")]], {}, "deltas: row 1 has an entry that is not finite"),
        ("mean", [[1e39]], {}, "row 0 has an entry that is not finite in float32"),
        ("mean", ROWS, {"num_examples": [1, 2]}, "num_examples must be 3 whole numbers > 0"),
        ("mean", ROWS, {"num_examples": [1, 2, 0]}, "num_examples must be 3 whole numbers > 0"),
        ("mean", ROWS, {"num_examples": [1, 2, 0.5]}, "num_examples must be 3 whole numbers > 0"),
        ("mean", ROWS, {"num_examples": [1, 2, 1e300]}, "num_examples must be 3 whole numbers > 0"),
        ("mean", ROWS, {"transforms": ["clip"]}, "'clip' needs norm"),
        ("mean", ROWS, {"transforms": "clip"}, "transforms must be a list of components, not str"),
        ("mean", ROWS, {"transforms": {"name": "clip"}}, "transforms must be a list of components, not dict"),
        (
            "mean",
            ROWS,
            {"transforms": [lambda updates, view, rng: None]},
            "must return ClientUpdates, not None",
        ),
        ("mean", ROWS, {"transforms": [pairless]}, r"must return \(updates, state\), not NoneType"),
        ("mean", ROWS, {"rng": 5}, r"rng must be a numpy\.random\.Generator, not int"),
        ("mean", ROWS, {"seed": -1}, "seed = -1: must be a whole number >= 0"),
        ("mean", ROWS, {"seed": 0.5}, r"seed = 0\.5: must be a whole number >= 0"),
        (lambda updates, view: None, ROWS, {}, r"returned NoneType, not a tensor of shape \[2\]"),
        (traceless, ROWS, {}, r"must return \(delta, trace, state\), not float32 \[2\]"),
        ({"norm": 1}, ROWS, {}, "is not a component"),
        (lambda updates, view: updates.deltas, ROWS, {}, r"returned \[3, 2\], not a tensor of shape \[2\]"),
        (lambda deltas: deltas, ROWS, {}, "deltas"),
    ],
)
def test_what_cannot_be_aggregated_is_refused(
    rule: Any, deltas: Any, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        aggregate(rule, deltas, **more)
    assert "\n" not in caught.value.message


# --- craft ------------------------------------------------------------------------------------------


def seen(info: DatasetInfo, *, threat_model: str = "own-updates") -> Attack:
    """Sends how much it sees: the number of honest rows, whether there is a defence, its rank."""

    def send(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
        assert view.ranks is not None
        others = 0 if view.others is None else len(view.others)
        return torch.stack(
            [torch.tensor([others, view.simulate is not None, rank]).float() for rank in view.ranks.tolist()]
        )

    return Attack(craft=send, threat_model=threat_model)


@pytest.mark.parametrize(
    ("threat", "honest", "defence"),
    [("own-updates", 0, 0), ("all-updates", 4, 0), ("knows-the-defence", 4, 1)],
)
def test_an_attack_sees_what_its_threat_model_says(threat: str, honest: int, defence: int) -> None:
    rows = torch.zeros(4, 3)
    assert craft(seen, rows, 2, threat_model=threat).tolist() == [[honest, defence, 0], [honest, defence, 1]]


def test_an_unknown_threat_model_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="threat_model = 'all'; valid: own-updates, all-updates, knows-the-defence"
    ):
        craft(seen, ROWS, threat_model="all")


def test_the_adversaries_own_updates_are_given_or_the_honest_mean() -> None:
    assert craft("none", [[1.0, 2], [3, 4]], adversaries=3).tolist() == [[2, 3]] * 3
    assert craft("sign-flip", [[1.0, 2]], own=[[1.0, 0], [0, 5]]).tolist() == [[-1, 0], [0, -5]]


def test_an_attack_that_knows_the_defence_tries_its_rows_on_it() -> None:
    honest = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))

    def harm(defence: Any, rows: Tensor) -> float:
        moved = aggregate(defence, torch.cat([honest, rows]))
        return float((moved - honest.mean(0)).norm())

    for defence in ("mean", "median", {"name": "krum", "f": 1}):
        best = craft("opt-ipm", honest, aggregator=defence)
        others = [craft("opt-ipm", honest, aggregator=other) for other in ("mean", "median")]
        assert (
            harm(defence, best) >= max(harm(defence, rows) for rows in others) * (1 - 1e-6)
            or defence != "mean"
        )
        assert harm(defence, best) >= harm(defence, torch.zeros(1, 5))
    bounded = craft("opt-ipm", honest, aggregator="mean", transforms=[{"name": "clip", "norm": 1.0}])
    assert bounded.isfinite().all()


def test_what_an_attack_is_told_of_the_data() -> None:
    with pytest.raises(ConfigError, match="class 7 does not exist: toy has classes 0 to 2"):
        craft("backdoor", ROWS, target=7, info=toy_info(classes=3))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"adversaries": 0}, "adversaries = 0: must be a whole number >= 1"),
        ({"adversaries": 1.5}, r"adversaries = 1\.5: must be a whole number >= 1"),
        ({"adversaries": "2"}, "adversaries = '2': must be a whole number >= 1"),
        ({"adversaries": True}, "adversaries = True: must be a whole number >= 1"),
        ({"rng": 5}, r"rng must be a numpy\.random\.Generator, not int"),
        ({"seed": -1}, "seed = -1: must be a whole number >= 0"),
        ({"transforms": "clip"}, "transforms must be a list of components, not str"),
        ({"own": [[1.0]]}, "own has 1 parameters and honest has 2"),
        ({"own": [1.0, 2.0]}, r"own must be a matrix"),
        ({"scale": 0}, r"scale = 0: input should be greater than 0"),
        ({"scales": 1}, "has no option 'scales'"),
    ],
)
def test_what_cannot_be_crafted_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        craft("sign-flip", ROWS, **more)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, r"craft returned NoneType, not a tensor of shape \[1, 2\]"),
        (torch.ones(2), r"craft returned \[2\], not a tensor of shape \[1, 2\]"),
        (Crafted(torch.ones(1, 2), num_examples=torch.zeros(1, dtype=torch.int64)), "num_examples = 0"),
        (Crafted(torch.ones(1, 2), state={"n": 1}), "state"),  # type: ignore[dict-item]
    ],
)
def test_what_an_attack_may_not_send_is_refused(sent: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        craft(lambda info: Attack(craft=lambda deltas, view, rng: sent), ROWS)


def test_whole_numbers_may_be_numpys() -> None:
    assert craft("none", ROWS, adversaries=np.int64(2)).shape == (2, 2)  # type: ignore[arg-type]
    noise = {"name": "noise", "std": 1.0}
    drawn = [aggregate("mean", ROWS, transforms=[noise], seed=seed) for seed in (3, np.int64(3))]  # type: ignore[arg-type]
    assert torch.equal(*drawn)


def test_both_are_there_when_the_package_is_imported() -> None:
    assert {"aggregate", "craft", "testing"} <= set(dir(fedskew))
    assert fedskew.aggregate is direct.aggregate
    assert fedskew.testing.check is not None
