"""The checks on components from outside: a good one of each shape passes, a bad one is refused for its reason."""

from __future__ import annotations

import importlib
import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedskew
from fedskew import testing
from fedskew.components.randomness import global_states
from fedskew.errors import ConfigError, FedskewError
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    Attack,
    ClientUpdates,
    Crafted,
    Dataset,
    DatasetInfo,
    LocalObjective,
    LocalResult,
    LocalView,
    Observer,
    SelectionView,
    ServerStep,
    ServerView,
    Shard,
    State,
    Trigger,
    UpdateTransform,
    Verdict,
)

# --- good ones --------------------------------------------------------------------------------------


def trimmed(updates: ClientUpdates, view: ServerView, *, cut: int = 1) -> Tensor:
    if len(updates.deltas) <= 2 * cut:
        raise FedskewError("too few updates to trim")
    return updates.deltas.sort(dim=0).values[cut:-cut].mean(dim=0)


def random_client(updates: ClientUpdates, view: ServerView) -> tuple[Tensor, AggregationTrace]:
    chosen = int(view.rng.integers(len(updates.deltas)))
    weights = torch.zeros(len(updates.deltas))
    weights[chosen] = 1
    return updates.deltas[chosen], AggregationTrace({"chosen": chosen}, weights)


def smoothed(*, keep: float = 0.5) -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        delta = updates.deltas.mean(dim=0)
        if "last" in state:
            delta = keep * state["last"] + (1 - keep) * delta
        return delta, AggregationTrace(), {"last": delta}

    return Aggregator(apply)


def shrinking() -> UpdateTransform:
    def apply(updates: ClientUpdates, view: ServerView, state: State, rng: Any) -> Any:
        factor = state.get("factor", torch.ones(())) / 2
        return updates.with_deltas(updates.deltas * factor), {"factor": factor}

    return UpdateTransform(apply)


def drift(*, weight: float = 1.0) -> LocalObjective:
    """SCAFFOLD's shape: the client and the server each keep something."""

    def add(gradient: Tensor, view: LocalView) -> None:
        gradient += weight * (view.sent["c"] - view.kept["c"])

    def finish(result: LocalResult) -> tuple[State, State]:
        new = -result.delta / (result.steps * result.lr)
        return {"c": new}, {"change": new - result.kept["c"]}

    def collect(state: State, uploads: State, num_clients: int) -> State:
        return {"c": state["c"] + uploads["change"].sum(dim=0) / num_clients}

    return LocalObjective(
        add=add,
        init=lambda parameters: {"c": torch.zeros(parameters)},
        finish=finish,
        server_init=lambda: {"c": torch.zeros(())},
        send=lambda state: state,
        collect=collect,
    )


def echo(info: DatasetInfo) -> Attack:
    """Sends what it saw last, under a threat model that sees everything and tries it on the defence."""

    def craft(deltas: Tensor, view: Any, rng: Any) -> Crafted:
        moved = view.simulate(deltas)
        last = (view.state or {}).get("last", moved)
        return Crafted(last.expand_as(deltas).clone(), {"last": view.others.mean(dim=0)})

    return Attack(craft=craft, threat_model="knows-the-defence")


def smallest(view: SelectionView, rng: Any) -> list[int]:
    found: list[int] = np.argsort(view.num_examples)[: view.size].tolist()
    return found


GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    ("aggregator", trimmed, {"cut": 2, "promises": ("permutation", "unanimity")}),
    ("aggregator", random_client, {"promises": ["unanimity"]}),
    ("aggregator", smoothed, {"keep": 0.9, "promises": ("permutation",)}),
    ("transform", shrinking, {}),
    ("objective", drift, {"weight": 0.5}),
    ("attack", echo, {}),
    ("selection", smallest, {}),
]


@pytest.mark.parametrize(("kind", "component", "options"), GOOD, ids=lambda x: getattr(x, "__name__", ""))
def test_a_good_component_passes_and_leaves_the_global_random_states(
    kind: str, component: Any, options: dict[str, Any]
) -> None:
    before = global_states()
    testing.check(kind, component, **options)
    assert global_states() == before


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        ("aggregator", "seam_components:alternating"),
        ("objective", "seam_components:counting_objective"),
        ("aggregator", "stateful_rules:alternating"),
    ],
)
def test_the_components_of_other_tests_pass(kind: str, component: str) -> None:
    module, _, name = component.partition(":")
    testing.check(kind, getattr(importlib.import_module(module), name))


def test_one_line_is_enough() -> None:
    fedskew.testing.check_aggregator(trimmed, cut=1)
    fedskew.testing.check_attack(echo)


# --- bad aggregators --------------------------------------------------------------------------------

calls = itertools.count()


def in_place(updates: ClientUpdates, view: ServerView) -> Tensor:
    updates.deltas.clamp_(-1, 1)
    return updates.deltas.mean(dim=0)


def in_place_and_back(updates: ClientUpdates, view: ServerView) -> Tensor:
    updates.deltas.neg_().neg_()
    return updates.deltas.mean(dim=0)


def in_place_by_numpy(updates: ClientUpdates, view: ServerView) -> Tensor:
    updates.deltas.numpy().sort(axis=0)
    return updates.deltas[len(updates.deltas) // 2].clone()


def in_place_weights(updates: ClientUpdates, view: ServerView) -> Tensor:
    view.global_weights.add_(1)
    return updates.deltas.mean(dim=0)


def wrong_shape(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.mean(dim=1)


def wrong_type(updates: ClientUpdates, view: ServerView) -> Any:
    return updates.deltas.mean(dim=0).numpy()


def double(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.double().mean(dim=0)


def not_a_number(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.mean(dim=0) / 0


def by_torch(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.mean(dim=0) + torch.randn(updates.deltas.shape[1])


def by_numpy(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas[np.random.randint(len(updates.deltas))]  # noqa: NPY002


def by_random(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas[random.randrange(len(updates.deltas))]


def by_fresh_entropy(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.mean(dim=0) + float(np.random.default_rng().normal())


def reseeding(updates: ClientUpdates, view: ServerView) -> Tensor:
    torch.manual_seed(0)
    return updates.deltas.mean(dim=0)


def hidden_count(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas.mean(dim=0) * (1 + next(calls))


def kept_in_the_factory() -> Aggregator:
    last: list[Tensor] = []

    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        if view.round == 1:
            last.clear()
        delta = sum(last, updates.deltas.mean(dim=0))
        last.append(delta)
        return delta, AggregationTrace(), state

    return Aggregator(apply)


def drawn_in_the_factory() -> Aggregator:
    factor = 1 + random.random()
    return Aggregator(lambda updates, view, state: (factor * updates.deltas[0], AggregationTrace(), state))


def state_of_numbers() -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        return updates.deltas.mean(dim=0), AggregationTrace(), {"round": view.round}

    return Aggregator(apply)


def counting_in_place() -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        state["n"].add_(1)
        return updates.deltas.mean(dim=0) * state["n"], AggregationTrace(), state

    return Aggregator(apply, init=lambda: {"n": torch.zeros(())})


def state_with_more() -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: State) -> Any:
        state["round"] = torch.tensor(view.round)
        return updates.deltas.mean(dim=0), AggregationTrace(), state

    return Aggregator(apply)


def two_parts() -> Aggregator:
    return Aggregator(lambda updates, view, state: (updates.deltas.mean(dim=0), state))  # type: ignore[return-value,arg-type]


def needs_two(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas[0] + 0 * updates.deltas[1]


def weights_of_others(updates: ClientUpdates, view: ServerView) -> tuple[Tensor, AggregationTrace]:
    return updates.deltas[0], AggregationTrace(client_weights=torch.ones(3))


def first_row(updates: ClientUpdates, view: ServerView) -> Tensor:
    return updates.deltas[0]


def doubled(updates: ClientUpdates, view: ServerView) -> Tensor:
    return 2 * updates.deltas.mean(dim=0)


def contiguous_only(updates: ClientUpdates, view: ServerView) -> Tensor:
    flat = torch.from_numpy(updates.deltas.numpy().ravel(order="K"))
    return flat.view(updates.deltas.shape).mean(dim=0)


RULES: list[tuple[Any, dict[str, Any], str]] = [
    (in_place, {}, r"changed updates\.deltas in place"),
    (in_place_and_back, {}, r"changed updates\.deltas in place"),
    (in_place_by_numpy, {}, r"changed updates\.deltas in place"),
    (in_place_weights, {}, r"changed view\.global_weights in place"),
    (wrong_shape, {}, r"the result must be a tensor \[24\], not a tensor \[11\]"),
    (wrong_type, {}, r"the result must be a tensor \[24\], not ndarray"),
    (double, {}, "the result must have the dtype float32, not float64"),
    (not_a_number, {}, "the result has entries that are not finite"),
    (by_torch, {}, "used the global random generator of torch; draw from `view.rng`"),
    (by_numpy, {}, r"used the global random generator of numpy\.random"),
    (by_random, {}, "used the global random generator of random;"),
    (reseeding, {}, "used the global random generator of torch"),
    (by_fresh_entropy, {}, "gave another result for the same input"),
    (hidden_count, {}, "gave another result for the same input"),
    (kept_in_the_factory, {}, "gave another result from a saved state"),
    (drawn_in_the_factory, {}, "used the global random generator of random;"),
    (state_of_numbers, {}, "must keep its state as tensors by name"),
    (counting_in_place, {}, r"changed state\.n in place; it must work on a copy"),
    (state_with_more, {}, "changed state in place"),
    (two_parts, {}, r"must return \(delta, trace, state\), not tuple"),
    (needs_two, {}, "failed on a round with one client: IndexError: .*raise a FedskewError that says why"),
    (weights_of_others, {}, r"returned client_weights = float32 \[3\]; expected float \[11\]"),
    (first_row, {"promises": ("permutation",)}, "depends on the order of the updates"),
    (doubled, {"promises": ("unanimity",)}, "does not give the update that all clients sent"),
    (contiguous_only, {}, "gives another result for a matrix that is not contiguous"),
]


@pytest.mark.parametrize(("rule", "options", "words"), RULES, ids=lambda x: getattr(x, "__name__", ""))
def test_a_bad_aggregator_is_refused_in_one_sentence_that_names_it(
    rule: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(testing.ConformanceError, match=words) as caught:
        testing.check_aggregator(rule, **options)
    assert str(caught.value).startswith(f"aggregator '{rule.__module__}:{rule.__qualname__}' ")
    assert "\n" not in str(caught.value)


def test_promises_that_are_not_made_are_not_required() -> None:
    testing.check_aggregator(first_row, promises=("unanimity",))
    testing.check_aggregator(doubled, promises=("permutation",))


def wrong_arguments(deltas: Tensor, view: ServerView) -> Tensor:
    return deltas.mean(dim=0)


@pytest.mark.parametrize(
    ("kind", "component", "options", "words"),
    [
        ("objective", 3, {}, "objective 3 is not a component; expected a name or a callable"),
        ("transform", wrong_arguments, {}, "wrong_arguments"),
        ("aggregator", trimmed, {"cutt": 1}, "has no option 'cutt'"),
        ("aggregator", trimmed, {"cut": "many"}, "cut = 'many': must be a number"),
        ("aggregator", "trimed", {}, "unknown aggregator 'trimed'"),
        (
            "aggregator",
            trimmed,
            {"promises": ("order",)},
            "unknown promise 'order'; valid: permutation, unanimity",
        ),
        ("aggregators", trimmed, {}, "unknown kind of component 'aggregators'"),
    ],
)
def test_a_wrong_signature_option_or_name_is_a_config_error(
    kind: str, component: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        testing.check(kind, component, **options)


# --- bad components of other kinds ------------------------------------------------------------------


def more_rows(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
    deltas, sizes, ids = (
        torch.cat([x, x]) for x in (updates.deltas, updates.num_examples, updates.client_ids)
    )
    return ClientUpdates(deltas, sizes, ids)


def new_ids(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
    return ClientUpdates(updates.deltas, updates.num_examples, updates.client_ids + 1000)


def lost_counts(updates: ClientUpdates, view: ServerView, rng: Any) -> ClientUpdates:
    return ClientUpdates(updates.deltas[:5], updates.num_examples, updates.client_ids[:5])


def rate_per_client(updates: ClientUpdates, lr: float) -> Tensor:
    return lr * torch.ones(len(updates.deltas))


def endless(delta: Tensor) -> Tensor:
    return delta / 0


def forgetful() -> ServerStep:
    kept: dict[str, Tensor] = {}

    def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
        kept["v"] = kept.get("v", torch.zeros_like(delta)) + delta
        return kept["v"], state

    return ServerStep(apply)


def twice(view: SelectionView, rng: Any) -> list[int]:
    return [1, 1]


def nobody(view: SelectionView, rng: Any) -> list[int]:
    return []


def beyond(view: SelectionView, rng: Any) -> list[int]:
    return [view.num_clients]


def counts_down(view: SelectionView, rng: Any) -> list[int]:
    view.num_examples[0] -= 1
    return [0]


def half(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
    return np.array_split(np.arange(len(labels) // 2), num_clients)


def nobody_alone(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
    return np.array_split(np.arange(len(labels)), max(2, num_clients))


def sorting(labels: np.ndarray, num_clients: int, rng: Any) -> list[np.ndarray]:
    labels.sort()
    return np.array_split(np.arange(len(labels)), num_clients)


def one_class(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1))


def numpy_weights(info: DatasetInfo) -> nn.Module:
    layer = nn.Linear(784, info.num_classes)
    layer.weight.data += torch.from_numpy(np.random.rand(1)).float()  # noqa: NPY002
    return nn.Sequential(nn.Flatten(), layer)


def nothing_to_see(info: DatasetInfo) -> Trigger:
    return Trigger(torch.zeros(28, 28, dtype=torch.bool), torch.zeros(1, 28, 28, dtype=torch.uint8))


def everything(info: DatasetInfo) -> Trigger:
    return Trigger(torch.ones(28, 28, dtype=torch.bool), torch.zeros(1, 28, 28, dtype=torch.uint8))


def perhaps(history: Sequence[Any]) -> Any:
    return len(history) > 3


def forgets(history: Any) -> Verdict:
    history.pop()
    return Verdict(False)


def explodes(history: Sequence[Any]) -> float:
    return float("inf")


def bare(evaluation: Any) -> Any:
    return 0.5


def words_only(evaluation: Any) -> Mapping[str, Any]:
    return {"mood": "good"}


def no_seat() -> Observer:
    return Observer("window", lambda observation: None)  # type: ignore[arg-type]


def returns_the_gradient() -> LocalObjective:
    return LocalObjective(add=lambda gradient, view: gradient + view.weights - view.start)  # type: ignore[arg-type]


def adds_to_start() -> LocalObjective:
    return LocalObjective(add=lambda gradient, view: _nothing(view.start.add_(1)))


def adds_to_sent() -> LocalObjective:
    return LocalObjective(
        add=lambda gradient, view: _nothing(view.sent["c"].add_(1)),
        server_init=lambda: {"c": torch.zeros(())},
        send=lambda state: state,
    )


def one_length_for_all() -> LocalObjective:
    """A norm over all clients together, where each has its own."""
    return LocalObjective(add=lambda gradient, view: _nothing(gradient.div_(gradient.norm())))


def projects_for_all() -> LocalObjective:
    return LocalObjective(project=lambda weights, view: _nothing(weights.div_(weights.norm())))


def _nothing(_: object) -> None:
    return None


def one_row(info: DatasetInfo) -> Attack:
    return Attack(craft=lambda deltas, view, rng: deltas[0])


def drawn_in_the_attack(info: DatasetInfo) -> Attack:
    noise = torch.randn(24)
    return Attack(craft=lambda deltas, view, rng: deltas + noise)


def peeks(info: DatasetInfo) -> Attack:
    return Attack(threat_model="everything")


def without_target(info: DatasetInfo) -> Attack:
    return Attack(trigger=everything(info))


def far_class(info: DatasetInfo) -> Attack:
    return Attack(trigger=everything(info), target=10)


def spoils_the_shard(info: DatasetInfo) -> Attack:
    def poison(shard: Shard, rng: Any) -> Shard:
        shard.labels.numpy()[:] = 0
        return shard

    return Attack(poison=poison)


def spoils_the_view(info: DatasetInfo) -> Attack:
    def craft(deltas: Tensor, view: Any, rng: Any) -> Tensor:
        view.others.zero_()
        return deltas

    return Attack(craft=craft, threat_model="all-updates")


def reports_nothing(info: DatasetInfo) -> Attack:
    return Attack(craft=lambda deltas, view, rng: Crafted(deltas, num_examples=0 * view.num_examples))


def bad_objective(info: DatasetInfo) -> Attack:
    return Attack(objective=projects_for_all())


def clips_in_place() -> UpdateTransform:
    def apply(updates: ClientUpdates, view: ServerView, state: State, rng: Any) -> Any:
        state["most"] *= 0.9
        return updates.with_deltas(updates.deltas.clamp(max=float(state["most"]))), dict(state)

    return UpdateTransform(apply, init=lambda: {"most": torch.ones(())})


def gathers_in_place() -> ServerStep:
    def apply(delta: Tensor, state: State) -> tuple[Tensor, State]:
        state["sum"].numpy()[:] += delta.numpy()
        return state["sum"].clone(), {"sum": state["sum"].clone()}

    return ServerStep(apply, init=lambda: {"sum": torch.zeros(24)})


def collects_in_place() -> LocalObjective:
    return LocalObjective(
        server_init=lambda: {"rounds": torch.zeros(())},
        collect=lambda state, uploads, clients: {"rounds": state["rounds"].add_(1)},
    )


def looks_at_one_place() -> LocalObjective:
    return LocalObjective(look=lambda gradient, view: view.weights.add_(gradient))


def scales_only() -> LocalObjective:
    return LocalObjective(logits=lambda counts: 1 / (1 + counts))


def leaves_out() -> LocalObjective:
    return LocalObjective(logits=lambda counts: torch.stack([torch.ones(len(counts)), counts.log()]))


def counts_in_place(info: DatasetInfo) -> Attack:
    def craft(deltas: Tensor, view: Any, rng: Any) -> Crafted:
        return Crafted(-deltas, {"rounds": view.state["rounds"].add_(1)})

    return Attack(craft=craft, init=lambda: {"rounds": torch.zeros(())})


def ten_images(**changes: Any) -> Dataset:
    info = DatasetInfo("mine", ("a", "b"), (1, 2, 2), (0.5,), (0.5,), group_names=("old", "new"))
    images, labels = torch.zeros(10, 1, 2, 2, dtype=torch.uint8), torch.arange(10) % 2
    return Dataset(info, images, labels, images, labels, **{"groups_test": labels, **changes})


def two_groups(root: Any) -> Dataset:
    return ten_images()


def third_group(root: Any) -> Dataset:
    return ten_images(groups_train=torch.arange(10) % 3)


LOADS = itertools.count()


def other_groups_each_time(root: Any) -> Dataset:
    return ten_images(groups_test=(torch.arange(10) + next(LOADS)) % 2)


OTHERS: list[tuple[str, Any, str]] = [
    ("dataset", third_group, "groups_train has groups from 0 to 2; expected 0 to 1, one for each of its 2"),
    ("dataset", other_groups_each_time, "gave another result for the same input"),
    ("transform", more_rows, "made 22 rows of 11"),
    ("transform", new_ids, "returned a client id that it was not given"),
    ("transform", lost_counts, r"num_examples must be a tensor \[5\], not a tensor \[11\]"),
    (
        "learning-rate",
        rate_per_client,
        r"the learning rate must be a tensor \[\] or \[24\], not a tensor \[11\]",
    ),
    ("server-step", endless, "the step has entries that are not finite"),
    ("transform", clips_in_place, r"changed state\.most in place"),
    ("server-step", gathers_in_place, r"changed state\.sum in place"),
    ("objective", collects_in_place, r"changed state\.server/rounds in place"),
    ("attack", counts_in_place, r"changed state\.rounds in place"),
    ("server-step", forgetful, "gave another result for the same input"),
    ("selection", twice, "returned a client twice"),
    ("selection", nobody, "must return the ids of at least one client"),
    ("selection", beyond, "returned a client that does not exist; there are 0 to 11"),
    ("selection", counts_down, r"changed view\.num_examples in place"),
    ("split", half, "did not divide the 1000 samples"),
    ("split", nobody_alone, "returned 2 parts for 1 clients"),
    ("split", sorting, "changed labels in place"),
    ("model", one_class, r"the logits must be a tensor \[2, 10\], not a tensor \[2, 1\]"),
    ("model", numpy_weights, r"used the global random generator of numpy\.random"),
    ("trigger", nothing_to_see, "covers no pixel"),
    ("stopping", perhaps, "the result must be Verdict, not bool"),
    ("stopping", forgets, "changed history in place"),
    ("lr-schedule", explodes, "gave the factor inf"),
    ("metric", bare, r"must return \{name: number\}, not float"),
    ("metric", words_only, "returned something that is not a number"),
    ("client-metric", bare, r"must return \{name: number\}, not float"),
    ("observer", no_seat, "has the seat 'window'; valid: server, aggregate, client, outsider"),
    ("objective", returns_the_gradient, "must change the tensor it is given in place and return nothing"),
    ("objective", adds_to_start, "changed start in place"),
    ("objective", adds_to_sent, "changed what the server sent"),
    (
        "objective",
        one_length_for_all,
        r"add: 3 clients at once, \[R, P\], do not get what each of them gets alone",
    ),
    ("objective", projects_for_all, "project: 3 clients at once"),
    ("objective", looks_at_one_place, "look must return new weights and change nothing"),
    (
        "objective",
        scales_only,
        r"the scales and offsets of the logits must be a tensor \[2, 3\], not a tensor \[3\]",
    ),
    ("objective", leaves_out, "the scales and offsets of the logits has entries that are not finite"),
    ("attack", one_row, r"what is crafted must be a tensor \[2, 24\], not a tensor \[24\]"),
    ("attack", drawn_in_the_attack, "used the global random generator of torch"),
    ("attack", peeks, "threat_model = 'everything'; valid: own-updates"),
    ("attack", without_target, "has a trigger without a target class"),
    ("attack", far_class, "names the class 10, which does not exist; there are 0 to 9"),
    ("attack", spoils_the_shard, r"changed shard\.labels in place"),
    ("attack", spoils_the_view, r"changed view\.others in place"),
    ("attack", reports_nothing, "reports num_examples that are not above 0"),
    ("attack", bad_objective, "project: 3 clients at once"),
]


@pytest.mark.parametrize(("kind", "component", "words"), OTHERS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_bad_component_of_any_kind_is_refused_in_one_sentence_that_names_it(
    kind: str, component: Any, words: str
) -> None:
    with pytest.raises((testing.ConformanceError, ConfigError), match=words) as caught:
        testing.check(kind, component)
    assert component.__name__ in str(caught.value)


def test_a_data_set_may_have_groups() -> None:
    testing.check("dataset", two_groups)


def test_a_callback_may_change_no_record() -> None:
    class Log:
        def __init__(self) -> None:
            self.seen = 0

        def on_round(self, record: Any) -> None:
            self.seen += 1

        def on_end(self, records: Any, reason: str) -> None:
            assert self.seen == len(records)

    class Rounding(Log):
        def on_round(self, record: Any) -> None:
            super().on_round(record)
            record.metrics["accuracy"] = 1.0

    testing.check_callback(lambda run: Log(), run=None)
    with pytest.raises(testing.ConformanceError, match=r"changed records\[0\]\.metrics\.accuracy in place"):
        testing.check_callback(lambda run: Rounding(), run=None)
