"""Local training in a run: two objectives side by side, what is sent and uploaded, the server's own training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.client_state import FolderStates
from fedskew.federation.state import RunState, initial_state
from fedskew.federation.world import World
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    Attack,
    ClientUpdates,
    LocalObjective,
    LocalResult,
    LocalView,
    ServerView,
    StartView,
    StartWeights,
    State,
)
from fedskew.simulation import rounds
from helpers import build_world

CLIENTS = 6
OPTIMIZERS = {state: {"name": "adam", "state": state} for state in ("fresh", "persist")}


def experiment(objective: Any = "none", optimizer: str = "fresh", **changes: Any) -> Experiment:
    training = {"epochs": 1, "batch_size": 64, "objective": objective, "optimizer": OPTIMIZERS[optimizer]}
    plain = {"rounds": 4, "stopping": "rounds", "clients": {"count": CLIENTS}, "training": training}
    return Experiment.model_validate({**plain, "defence": {"aggregator": "mean"}, **changes})


def finished(one: Experiment) -> tuple[World, RunState]:
    """The state after the last round."""
    world = build_world(one, Execution())
    state = initial_state(world)
    for _ in rounds(world, state, []):
        pass
    return world, state


def counting(name: str) -> LocalObjective:
    """Keeps the number of rounds in which a client followed it."""

    def finish(result: LocalResult) -> tuple[State, State]:
        return {name: result.kept[name] + 1}, {}

    return LocalObjective(init=lambda parameters: {name: torch.zeros(1)}, finish=finish)


# --- the honest objective and the attack's ------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["fresh", "persist"])
@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize(
    ("schedule", "acted"),
    [({}, 4), ({"start": 2}, 3), ({"stop": 1}, 1), ({"every": 2}, 2), ({"start": 2, "stop": 3}, 2)],
)
def test_an_adversary_takes_up_both_objectives_where_it_left_them(
    schedule: dict[str, int], acted: int, disk: bool, optimizer: str, tmp_path: Path
) -> None:
    one = experiment(
        lambda: counting("h"),
        optimizer,
        attack=lambda info: Attack(objective=counting("a")),
        adversaries={"count": 2, **schedule},
    )
    world = build_world(one, Execution())
    state = initial_state(world, FolderStates(tmp_path, CLIENTS, durable=False) if disk else None)
    for number, _ in enumerate(rounds(world, state, []), start=1):
        now = sum(one.adversaries.act_in(n) for n in range(1, number + 1))
        for client, kept in state.clients.items():
            times = now if client in world.population.spread.malicious else 0
            found = {name: int(kept[name]) for name in kept if "." in name}
            expected = {"objective.h": number - times, "attack.a": times}
            assert found == {name: count for name, count in expected.items() if count}
            assert (len(kept) > len(found)) == (optimizer == "persist")
    assert now == acted
    assert len(state.clients) == CLIENTS


@pytest.mark.parametrize("every", [1, 2])
def test_an_attacks_objective_keeps_its_state_where_the_honest_one_has_none(every: int) -> None:
    world, state = finished(
        experiment(
            attack=lambda info: Attack(objective=counting("a")), adversaries={"count": 2, "every": every}
        )
    )
    for client in world.population.spread.malicious:
        assert {name: int(t) for name, t in state.clients[client].items()} == {"attack.a": 4 // every}


# --- what is sent and uploaded ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "words"), [(None, "returned None as its state"), ({"c": 1.0}, "returned 1.0 as state 'c'")]
)
def test_what_is_sent_must_be_named_tensors(sent: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"objective '.*': send {words}"):
        finished(experiment(lambda: LocalObjective(send=lambda state: sent)))


def uploading(make: Callable[[int], State]) -> LocalObjective:
    """Uploads what ``make`` gives for the client's number, in order of their ends."""
    calls: list[int] = []

    def finish(result: LocalResult) -> tuple[State, State]:
        calls.append(1)
        return {}, make(len(calls))

    return LocalObjective(finish=finish)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda n: {"h": torch.zeros(2)} if n % 2 else {}, "tensors of the same names"),
        (lambda n: {f"h{n}": torch.zeros(2)}, "tensors of the same names"),
        (lambda n: {"h": torch.zeros(n)}, r"'h' as float32 .* one type and shape"),
        (
            lambda n: {"h": torch.zeros(2).to(torch.float64 if n == 1 else torch.float32)},
            "one type and shape",
        ),
    ],
    ids=["some", "names", "shapes", "types"],
)
def test_clients_of_one_objective_upload_alike(make: Callable[[int], State], words: str) -> None:
    with pytest.raises(ConfigError, match=f"objective '.*': finish uploaded .*{words}"):
        finished(experiment(lambda: uploading(make)))


def test_objectives_that_upload_different_names_get_zeros_and_different_shapes_are_refused() -> None:
    seen: list[ClientUpdates] = []

    def aggregator(updates: ClientUpdates, view: ServerView) -> Tensor:
        seen.append(updates)
        return updates.deltas.mean(dim=0)

    def one(theirs: State) -> Experiment:
        return experiment(
            lambda: uploading(lambda n: {"h": torch.ones(2)}),
            attack=lambda info: Attack(objective=uploading(lambda n: theirs)),
            adversaries={"count": 1},
            defence={"aggregator": aggregator},
            rounds=1,
        )

    world, _ = finished(one({"a": torch.ones(3)}))
    bad = [int(k) in world.population.spread.malicious for k in seen[0].client_ids]
    assert seen[0].uploads["a"].tolist() == [[float(b)] * 3 for b in bad]
    assert seen[0].uploads["h"].tolist() == [[float(not b)] * 2 for b in bad]
    with pytest.raises(ConfigError, match=r"uploaded 'h' as float32 \[.\] at client"):
        finished(one({"h": torch.ones(3)}))


# --- the server's own training ------------------------------------------------------------------------


def test_the_server_trains_on_its_own_data_with_the_clients_objective() -> None:
    """An objective that stops all training stops the server's; what it keeps there starts anew each round."""
    roots: list[Tensor] = []
    begun: list[float] = []

    def aggregator() -> Aggregator:
        def apply(
            updates: ClientUpdates, view: ServerView, state: State
        ) -> tuple[Tensor, AggregationTrace, State]:
            assert view.root_update is not None
            roots.append(view.root_update)
            return updates.deltas.mean(dim=0), AggregationTrace(), state

        return Aggregator(apply, server_data=100)

    def pinned() -> LocalObjective:
        def project(weights: Tensor, view: LocalView) -> None:
            weights.copy_(view.start + view.sent["by"] * (1 + view.kept["rounds"]))

        def finish(result: LocalResult) -> tuple[State, State]:
            begun.append(float(result.kept["rounds"]))
            return {"rounds": result.kept["rounds"] + 1}, {"one": torch.ones(1)}

        return LocalObjective(
            project=project,
            init=lambda parameters: {"rounds": torch.zeros(1)},
            finish=finish,
            server_init=lambda: {"by": torch.tensor(0.5)},
            send=dict,
        )

    _, state = finished(experiment(pinned, defence={"aggregator": aggregator}, rounds=2))
    for root in roots:
        assert torch.allclose(root, torch.full_like(root, 0.5))
    assert sorted(begun) == [0.0] * (CLIENTS + 2) + [1.0] * CLIENTS
    assert sorted(state.clients) == list(range(CLIENTS))


# --- the number of threads ----------------------------------------------------------------------------


def test_schedule_start_and_what_is_sent_are_computed_by_one_thread() -> None:
    """Sums over several threads would depend on their number."""
    seen: dict[str, int] = {}

    def note(name: str, value: Any) -> Any:
        seen[name] = torch.get_num_threads()
        return value

    def start() -> StartWeights:
        def apply(view: StartView, state: State, rng: Any) -> tuple[Tensor | None, State]:
            return note("start", None), state

        return StartWeights(apply)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        training = {
            "objective": lambda: LocalObjective(send=lambda state: note("send", {})),
            "lr_schedule": lambda history: note("schedule", 1.0),
        }
        finished(experiment(rounds=1, clients={"count": CLIENTS, "start": start}, training=training))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {"start": 1, "send": 1, "schedule": 1}
