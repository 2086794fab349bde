"""What components give back: what is taken, and the one sentence for what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.components import returned
from fedskew.errors import ConfigError
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    Attack,
    ClientUpdates,
    Crafted,
    LocalObjective,
    LocalSettings,
    Observer,
    Shard,
    StartView,
    Tail,
    ThreatModel,
    Trigger,
    Verdict,
)
from helpers import PROPERTY, client_updates, delta_matrices, toy_info

UPDATES = client_updates([[1.0, 2.0], [3.0, 6.0], [0.0, 1.0]])
WEIGHTS = torch.zeros(2)
INFO = toy_info((1, 2, 3), 4)
SHARD = Shard(torch.zeros((2, 1, 2, 3), dtype=torch.uint8), torch.tensor([0, 3]))
NAN, INF = float("nan"), float("inf")


def refused(words: str, check: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check("mine", *arguments)
    assert "'mine'" in caught.value.message
    assert "\n" not in caught.value.message


# --- unchanged --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.add_(1),
        lambda rows: rows[1].mul_(2),
        lambda rows: rows.view(-1)[3:].zero_(),
        lambda rows: rows.__setitem__((0, 0), 7.0),
        lambda rows: torch.sort(rows, dim=0, out=(rows, torch.empty(2, 3).long())),
    ],
)
def test_an_operation_in_place_is_found(change: Callable[[torch.Tensor], object]) -> None:
    rows = torch.arange(6.0).flip(0).reshape(2, 3)
    with (
        pytest.raises(ConfigError, match=r"^aggregator .mine. changed in place"),
        returned.unchanged("aggregator 'mine'", None, WEIGHTS, rows),
    ):
        change(rows)


@pytest.mark.parametrize(
    "change",
    [lambda view: view.sort(axis=0), lambda view: np.negative(view, out=view), lambda view: view.fill(0)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_a_change_through_numpy_is_found_by_a_thorough_look(change: Any, dtype: torch.dtype) -> None:
    rows = torch.tensor([[3, 1], [1, 2], [NAN, 0]]).nan_to_num(5).to(dtype)
    view = rows.view(torch.int16 if dtype == torch.bfloat16 else dtype).numpy()
    with pytest.raises(ConfigError, match="changed"), returned.unchanged("x", rows, thorough=True):
        change(view)


def test_what_only_reads_passes_and_so_does_an_error_of_the_component() -> None:
    with torch.inference_mode():
        untracked = torch.ones(3)
    for rows in (UPDATES.deltas, UPDATES.deltas.T, torch.tensor(1.0), torch.empty(0, 2), untracked):
        with returned.unchanged("x", rows, thorough=True):
            rows.clone().add_(1)
            rows.numpy().sum()
    with pytest.raises(ConfigError), torch.inference_mode(), returned.unchanged("x", untracked):
        untracked.add_(1)
    with pytest.raises(ZeroDivisionError), returned.unchanged("x", rows):
        raise ZeroDivisionError


@PROPERTY
@given(delta_matrices(), st.data())
def test_any_one_bit_is_found(matrix: np.ndarray, data: st.DataObject) -> None:
    rows = torch.from_numpy(matrix)
    flat = matrix.reshape(-1).view(np.uint32)
    where, bit = data.draw(st.integers(0, len(flat) - 1)), data.draw(st.integers(0, 31))
    with pytest.raises(ConfigError), returned.unchanged("x", rows, thorough=True):
        flat[where] ^= np.uint32(1 << bit)


# --- the server -------------------------------------------------------------------------------------


def test_transforms() -> None:
    assert returned.checked_transform("mine", UPDATES, UPDATES) is UPDATES
    pair = ClientUpdates(torch.ones(2, 2), torch.tensor([2, 1]), torch.tensor([-1, 2]))
    assert returned.checked_transform("mine", pair, UPDATES) is pair


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deltas": torch.ones(3)}, r"returned deltas = float32 \[3\]; expected a matrix"),
        ({"deltas": None}, "returned deltas = None; expected a matrix"),
        ({"deltas": torch.ones(4, 2)}, "returned 4 rows for 3; expected 1 to 3"),
        ({"deltas": torch.ones(0, 2)}, "returned 0 rows for 3"),
        ({"deltas": torch.ones(3, 1)}, r"deltas = float32 \[3, 1\]; expected float32 \[3, 2\]"),
        ({"deltas": torch.ones(3, 2).double()}, r"deltas = float64 \[3, 2\]; expected float32"),
        ({"deltas": torch.ones(2, 2)}, r"num_examples = int64 \[3\]; expected int64 \[2\]"),
        ({"num_examples": torch.tensor([1, 0, 1])}, "num_examples = 0; expected 1 or more"),
        ({"num_examples": torch.ones(3)}, r"num_examples = float32 \[3\]; expected int64 \[3\]"),
        ({"client_ids": torch.tensor([0, 0, 1])}, "expected ids that it was given, each at most once"),
        ({"client_ids": torch.tensor([0, 1, 5])}, "expected ids that it was given"),
        ({"client_ids": torch.tensor([0, 1, -2])}, "expected ids that it was given"),
        ({"client_ids": torch.tensor([0, 1])}, r"client_ids = int64 \[2\]; expected int64 \[3\]"),
        ({"steps": torch.ones(2)}, r"steps = float32 \[2\]; expected one per row, 3"),
        ({"uploads": {"c": torch.ones(2, 3)}}, r"c = float32 \[2, 3\]; expected one per row, 3"),
        ({"uploads": None}, r"uploads = None; expected \{name: tensor\}"),
    ],
)
def test_what_a_transform_must_not_return(changes: dict[str, Any], words: str) -> None:
    refused(words, returned.checked_transform, replace(UPDATES, **changes), UPDATES)


def test_a_transform_that_returns_a_matrix() -> None:
    refused("must return ClientUpdates, not float32", returned.checked_transform, UPDATES.deltas, UPDATES)


def test_aggregates() -> None:
    trace = AggregationTrace({"kept": torch.tensor(2), "odd": NAN}, torch.tensor([0.5, 0.5, 0.0]))  # type: ignore[dict-item]
    delta, kept, state = returned.checked_aggregate("mine", (WEIGHTS, trace, {"v": WEIGHTS}), WEIGHTS, 3)
    assert delta is WEIGHTS
    assert kept.values["kept"] == 2.0
    assert kept.client_weights is trace.client_weights
    assert state["v"] is WEIGHTS


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (WEIGHTS, r"must return \(delta, trace, state\)"),
        ((torch.ones(1), AggregationTrace(), {}), r"returned \[1\], not a tensor of shape \[2\]"),
        ((WEIGHTS, {}, {}), "must return an AggregationTrace"),
        ((WEIGHTS, AggregationTrace({"x": "y"}), {}), "recorded something that is not a number"),  # type: ignore[dict-item]
        ((WEIGHTS, AggregationTrace(), [1]), "returned list as its state"),
        ((WEIGHTS, AggregationTrace(), {"v": 1}), "returned 1 as state 'v'; expected a tensor"),
        ((WEIGHTS, AggregationTrace({}, torch.ones(2)), {}), r"client_weights = float32 \[2\]"),
        ((WEIGHTS, AggregationTrace({}, torch.tensor([1.0, -1.0, 1.0])), {}), "negative or not finite"),
    ],
)
def test_what_an_aggregator_must_not_return(found: Any, words: str) -> None:
    refused(words, returned.checked_aggregate, found, WEIGHTS, 3)


def test_rates() -> None:
    assert returned.checked_rate("mine", 1, WEIGHTS) == 1.0
    assert returned.checked_rate("mine", np.float32(0.5), WEIGHTS) == 0.5
    assert returned.checked_rate("mine", torch.tensor(-2.0), WEIGHTS) == -2.0
    each = torch.tensor([1.0, -1.0])
    assert returned.checked_rate("mine", each, WEIGHTS) is each


@pytest.mark.parametrize(
    "found", [NAN, INF, None, "1", torch.tensor(NAN), torch.tensor([1, 1]), torch.ones(3)]
)
def test_what_a_rate_must_not_be(found: Any) -> None:
    refused("learning-rate 'mine' returned .*; expected", returned.checked_rate, found, WEIGHTS)
    refused("not finite", returned.checked_rate, torch.tensor([1.0, INF]), WEIGHTS)


def test_steps() -> None:
    assert returned.checked_step("mine", (WEIGHTS, {}), WEIGHTS) == (WEIGHTS, {})
    refused(r"must return \(step, state\), not float32", returned.checked_step, WEIGHTS, WEIGHTS)
    refused(r"returned \[3\], not a tensor", returned.checked_step, (torch.ones(3), {}), WEIGHTS)
    refused("as its state", returned.checked_step, (WEIGHTS, None), WEIGHTS)


def test_what_autograd_kept_track_of_is_left_behind() -> None:
    """Training could not write into the weights that it led to."""
    tracked = torch.ones(2, requires_grad=True) * 2
    matrix = torch.ones(3, 2, requires_grad=True) * 2
    trace = AggregationTrace()
    for found in (
        returned.checked_aggregate("mine", (tracked, trace, {}), WEIGHTS, 3)[0],
        returned.checked_rate("mine", tracked, WEIGHTS),
        returned.checked_step("mine", (tracked, {}), WEIGHTS)[0],
        returned.checked_start("mine", (tracked, {}), StartView(1, WEIGHTS, (0,)))[0],
        returned.checked_crafted("mine", matrix, torch.ones(3, 2), {}).deltas,
        returned.checked_transform("mine", replace(UPDATES, deltas=matrix), UPDATES).deltas,
    ):
        assert isinstance(found, torch.Tensor)
        assert not found.requires_grad
        assert (found == 2).all()


# --- clients ----------------------------------------------------------------------------------------


def test_schedules() -> None:
    assert returned.checked_schedule("mine", 1) == 1.0
    assert returned.checked_schedule("mine", torch.tensor(0.5)) == 0.5
    assert returned.checked_schedule("mine", 0.5**2000) == 0.0, "an exponential schedule underflows in time"
    for found in (-1.0, NAN, INF, None, "1", torch.ones(1)):
        refused("expected a finite number, at least 0", returned.checked_schedule, found)


def test_cohorts() -> None:
    for found in ([2, 0], np.array([2, 0]), torch.tensor([0, 2]), (np.int64(0), 2)):
        ids = returned.checked_cohort("mine", found, 3)
        assert ids.tolist() == [0, 2]
        assert ids.dtype == np.int64
    refused("returned client 3; expected 0 to 2", returned.checked_cohort, [0, 3], 3)
    refused("returned client -1; expected 0 to 2", returned.checked_cohort, [0, -1], 3)
    refused("returned client 1 more than once", returned.checked_cohort, [1, 0, 1], 3)
    for wrong in ([], None, [0.5], [True], "x", [[1], [1, 2]], {0: 1}):
        refused("expected at least one client id", returned.checked_cohort, wrong, 3)


def test_start_weights() -> None:
    view = StartView(1, WEIGHTS, (0, 4, 5))
    assert returned.checked_start("mine", (None, {}), view) == (None, {})
    for weights in (torch.ones(2), torch.ones(3, 2)):
        assert returned.checked_start("mine", (weights, {}), view)[0] is weights
    refused(r"must return \(weights, state\), not None", returned.checked_start, None, view)
    refused(
        r"expected weights \[2\] or \[3, 2\], or None", returned.checked_start, (torch.ones(2, 2), {}), view
    )
    refused("not finite", returned.checked_start, (torch.tensor([1.0, NAN]), {}), view)


def test_what_a_client_keeps_and_sends() -> None:
    assert returned.checked_finish("mine", ({"h": WEIGHTS}, {})) == ({"h": WEIGHTS}, {})
    refused(r"must return \(kept, uploads\), not None", returned.checked_finish, None)
    refused("as its state", returned.checked_finish, (None, {}))


# --- attacks ----------------------------------------------------------------------------------------


def test_attacks() -> None:
    for known in ("own-updates", "all-updates", "knows-the-defence", ThreatModel("mine", "own-updates")):
        attack = Attack(threat_model=known)
        assert returned.checked_attack("mine", attack, INFO) is attack
    refused("must return an Attack, not NoneType", returned.checked_attack, None, INFO)
    refused(
        "threat_model = 'god'; valid: own-updates", returned.checked_attack, Attack(threat_model="god"), INFO
    )
    stamp = Trigger(torch.ones(2, 3), torch.ones(1, 2, 3).byte())
    refused(r"mask = float32 \[2, 3\]", returned.checked_attack, Attack(trigger=stamp), INFO)


def test_a_tail_needs_no_trigger_and_may_have_one() -> None:
    for attack in (
        Attack(tail=Tail(3, 2), target=1),
        Attack(tail=Tail(3, 2), target=1, trigger=STAMP, source_classes=(0,)),
    ):
        assert returned.checked_attack("mine", attack, INFO) is attack


STAMP = Trigger(torch.ones(2, 3).bool(), torch.ones(1, 2, 3).byte())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"trigger": STAMP}, "has a trigger without a target class; evaluation needs both"),
        ({"target": 1}, "has a target class without a trigger"),
        ({"tail": Tail(1, 1)}, "has a tail without a target class"),
        ({"tail": 3, "target": 1}, "tail is 3; expected a Tail"),
        ({"tail": Tail(0, 1), "target": 1}, "count of its tail is 0; expected a whole number, at least 1"),
        ({"tail": Tail(1, 1.5), "target": 1}, r"components of its tail is 1\.5; expected a whole number"),  # type: ignore[arg-type]
        ({"knowing": 3}, "knowing of its Attack is 3; expected a function"),
        ({"trigger": STAMP, "target": 4}, "names the class 4, which does not exist; there are 0 to 3"),
        ({"trigger": STAMP, "target": "cat"}, "names the class 'cat'"),
        ({"trigger": STAMP, "target": 1, "source_classes": (0, -1)}, "names the class -1"),
        ({"trigger": STAMP, "target": 1, "source_classes": 3}, "source_classes is 3; expected a tuple"),
        ({"trigger": STAMP, "target": True}, "names the class True"),
        ({"trigger": STAMP, "target": 1.0}, r"names the class 1\.0"),
        ({"trigger": STAMP, "target": np.int64(4)}, "names the class .*4.*, which does not exist"),
        ({"trigger": STAMP, "target": 1, "source_classes": "12"}, "source_classes is str; expected a tuple"),
        ({"trigger": STAMP, "target": 1, "source_classes": np.array(2)}, "expected a tuple of classes"),
        ({"trigger": STAMP, "target": 1, "source_classes": [0, False]}, "names the class False"),
        ({"craft": 3}, "craft of its Attack is 3; expected a function"),
        ({"objective": 3}, "objective is 3; expected a LocalObjective"),
        (
            {"objective": LocalObjective(finish=None)},  # type: ignore[arg-type]
            "finish of its LocalObjective is None; expected a function",
        ),
        ({"training": None}, "training is None; expected LocalSettings"),
        ({"training": LocalSettings(epochs=0)}, "epochs = 0; expected a whole number, at least 1"),
        ({"training": LocalSettings(batch_size=2.5)}, r"batch_size = 2\.5; expected a whole number"),  # type: ignore[arg-type]
        ({"training": LocalSettings(lr="x")}, "lr = 'x'; expected a number above 0"),  # type: ignore[arg-type]
        ({"training": LocalSettings(lr=NAN)}, "lr = nan; expected a number above 0"),
    ],
)
def test_what_an_attack_must_not_be(parts: dict[str, Any], words: str) -> None:
    refused(words, returned.checked_attack, Attack(**parts), INFO)


@pytest.mark.parametrize(
    "sources", [(0, 2), [0, 2], range(0, 3, 2), np.array([0, 2]), (np.int64(0), np.uint8(2))]
)
def test_classes_may_be_numbers_of_numpy_in_any_sequence(sources: Any) -> None:
    attack = Attack(trigger=STAMP, target=np.int64(3), source_classes=sources)  # type: ignore[arg-type]
    found = returned.checked_attack("mine", attack, INFO)
    assert (found.target, found.source_classes) == (3, (0, 2))
    assert [type(label) for label in (found.target, *(found.source_classes or ()))] == [int] * 3
    assert type(found.source_classes) is tuple
    assert returned.checked_attack("mine", found, INFO) is found


def test_a_plug_ins_subclass_of_a_record_may_name_types_that_it_does_not_import() -> None:
    """This module has ``from __future__ import annotations``, and nothing in it is called Unheard."""

    @dataclass(frozen=True)
    class Mine(Attack):
        more: Unheard | None = None  # type: ignore[name-defined]  # noqa: F821

    attack = Mine()
    assert returned.checked_attack("mine", attack, INFO) is attack
    refused("craft of its Mine is 3; expected a function", returned.checked_attack, Mine(craft=3), INFO)  # type: ignore[arg-type]


def test_parts_of_records() -> None:
    for record in (Aggregator(print), LocalObjective(), LocalObjective(add=print), Attack()):  # type: ignore[arg-type]
        returned.checked_parts("x", record)
    with pytest.raises(ConfigError, match=r"^x: init of its Aggregator is None; expected a function"):
        returned.checked_parts("x", Aggregator(print, init=None))  # type: ignore[arg-type]
    assert returned.checked_server_data("mine", 3) == 3
    for found in (-1, 2.0, True, "3", None):
        refused("server_data is .*; expected a whole number", returned.checked_server_data, found)


def test_triggers() -> None:
    mask, value = torch.ones(2, 3).bool(), torch.ones(1, 2, 3).byte()
    trigger = Trigger(mask, value)
    assert returned.checked_trigger("mine", trigger, INFO) is trigger
    refused("must return a Trigger, not tuple", returned.checked_trigger, (mask, value), INFO)
    refused(
        r"mask = uint8 \[2, 3\]; expected bool", returned.checked_trigger, Trigger(mask.byte(), value), INFO
    )
    refused(
        r"value = uint8 \[2, 3\]; expected uint8 \[1, 2, 3\]",
        returned.checked_trigger,
        Trigger(mask, value[0]),
        INFO,
    )


def test_poisoned_shards() -> None:
    assert returned.checked_shard("mine", SHARD, SHARD, 4) is SHARD
    empty = Shard(SHARD.images[:0], SHARD.labels[:0])
    assert returned.checked_shard("mine", empty, empty, 4) is empty
    refused("must return a Shard, not tuple", returned.checked_shard, (1, 2), SHARD, 4)
    refused("returned no image for a client that had 2", returned.checked_shard, empty, SHARD, 4)
    refused("returned the label 3; expected 0 to 2", returned.checked_shard, SHARD, SHARD, 3)
    for images, labels, words in (
        (SHARD.images.float(), SHARD.labels, "images = float32"),
        (SHARD.images[:, 0], SHARD.labels, r"images = uint8 \[2, 2, 3\]; expected uint8 \[2, 1, 2, 3\]"),
        (None, SHARD.labels, "images = None; expected a tensor"),
        (SHARD.images, SHARD.labels.int(), "labels = int32"),
        (SHARD.images, SHARD.labels[:1], r"labels = int64 \[1\]; expected int64 \[2\]"),
    ):
        refused(words, returned.checked_shard, Shard(images, labels), SHARD, 4)  # type: ignore[arg-type]


def test_crafted_updates() -> None:
    own, check = torch.ones(2, 3), returned.checked_crafted
    assert check("mine", own, own, {}) == Crafted(own)
    crafted = Crafted(own, {"z": WEIGHTS}, torch.tensor([1, 9]))
    assert check("mine", crafted, own, {}) == crafted
    refused(r"craft returned \[3\], not a tensor of shape \[2, 3\]", check, own[0], own, {})
    refused("craft returned NoneType", check, None, own, {})
    refused("num_examples = 0", check, Crafted(own, None, torch.tensor([1, 0])), own, {})
    refused("num_examples = float32", check, Crafted(own, None, torch.ones(2)), own, {})
    refused("as state 'z'", check, Crafted(own, {"z": 1}), own, {})  # type: ignore[dict-item]


def test_crafted_uploads_are_like_those_of_the_training() -> None:
    own, check = torch.ones(2, 3), returned.checked_crafted
    given = {"control": torch.zeros(2, 3), "count": torch.tensor([4, 5])}
    sent = {"count": torch.tensor([7, 7]), "control": torch.ones(2, 3, requires_grad=True)}
    found = check("mine", Crafted(own, uploads=sent), own, given).uploads
    assert found is not None
    assert found["count"].tolist() == [7, 7]
    assert not found["control"].requires_grad
    assert check("mine", Crafted(own), own, given).uploads is None
    for wrong, words in (
        ({}, r"uploads = \[\]; expected tensors named \['control', 'count'\]"),
        ({**given, "more": own}, "'more'"),
        (own, "uploads = float32"),
        ({**given, "count": torch.ones(2)}, r"the upload 'count' = float32 \[2\]; expected int64 \[2\]"),
        (
            {**given, "control": torch.zeros(3)},
            r"the upload 'control' = float32 \[3\]; expected float32 \[2, 3\]",
        ),
        ({**given, "control": 1.0}, r"the upload 'control' = 1.0"),
    ):
        refused(words, check, Crafted(own, uploads=wrong), own, given)  # type: ignore[arg-type]
    refused("expected tensors named", check, Crafted(own, uploads={"control": own}), own, {})


# --- evaluation -------------------------------------------------------------------------------------


def test_metrics_and_observations() -> None:
    assert returned.checked_metrics("mine", {"a": torch.tensor(1)}, ()) == {"a": 1.0}
    assert returned.checked_observed("mine", None, ()) == {}
    assert returned.checked_observed("mine", {"a": 1}, ()) == {"a": 1.0}
    refused("^metric 'mine' must return", returned.checked_metrics, 1.0, ())
    refused("^observer 'mine' must return", returned.checked_observed, 1.0, ())
    refused("which is the name of another metric", returned.checked_observed, {"a": 1}, {"a"})
    refused("not a number", returned.checked_metrics, {"a": "b"}, ())
    refused("not a number: int too large", returned.checked_metrics, {"a": 10**400}, ())
    for column in ("seed", "round", "diverged", "skew_total_variation"):
        refused("which is a column of the results", returned.checked_metrics, {column: 1.0}, ())
    for unseen in ("", "a\x1b[31m", "a\nb", "\ud800"):
        refused("expected a name that can be shown", returned.checked_observed, {unseen: 1.0}, ())


def test_observers_sit_in_a_seat_that_there_is() -> None:
    observer = Observer("server", lambda seen: None)
    assert returned.checked_observer("mine", observer) is observer
    refused("has the seat 'moon'; valid: server", returned.checked_observer, replace(observer, seat="moon"))  # type: ignore[arg-type]


def test_verdicts_say_why() -> None:
    assert returned.checked_verdict("mine", Verdict(False)).stop is False
    assert returned.checked_verdict("mine", Verdict(True, "enough")) == Verdict(True, "enough")
    numpys: Any = np.bool_(True)
    assert returned.checked_verdict("mine", Verdict(numpys)) == Verdict(True, "stopping rule 'mine'")
    refused("must return a Verdict, not bool", returned.checked_verdict, True)
    refused(r"returned Verdict\(str, str\); expected true or false", returned.checked_verdict, Verdict("no"))  # type: ignore[arg-type]
    refused(r"returned Verdict\(True, None\)", returned.checked_verdict, Verdict(True, None))  # type: ignore[arg-type]


# --- splits -----------------------------------------------------------------------------------------


def test_splits() -> None:
    halves = [[0, 2], np.array([]), torch.tensor([1]), np.array([3.0, 4.0])]
    parts = returned.checked_split("mine", halves, 5, 4)
    assert [part.tolist() for part in parts] == [[0, 2], [], [1], [3, 4]]
    assert {part.dtype for part in parts} == {np.dtype(np.int64)}
    refused("returned 4 parts for 3 clients", returned.checked_split, halves, 5, 3)
    for found in ([[0, 1], [1, 2]], [[0], [1]], [[-1, 0], [1, 2]]):
        refused("did not divide the 3 samples", returned.checked_split, found, 3, 2)
    for none in (None, 3, "ab", iter([[0]])):
        refused("returned .*; expected one array per client", returned.checked_split, none, 3, 2)
    for wrong in (np.array([0.5]), np.array([NAN]), np.ones(3, dtype=bool), "012", None, [[0], [1, 2]]):
        refused("for a client; expected positions", returned.checked_split, [wrong, []], 3, 2)
