"""Where clients' optimiser state is kept: in memory and in files it is the same state, whatever is killed when."""

from __future__ import annotations

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fedskew.config import SGD, Adam, Execution, Experiment
from fedskew.errors import RunError
from fedskew.federation import client_state
from fedskew.federation.client_state import FolderStates, MemoryStates, open_states, state_bytes
from fedskew.federation.state import RunState, empty_states, initial_state
from fedskew.federation.world import World
from fedskew.protocols import Attack, LocalObjective, State
from fedskew.runs.checkpoint import load_checkpoint, save_checkpoint
from fedskew.runs.folder import RunFolder
from fedskew.simulation import rounds, simulate
from fedskew.training.plan import plan
from helpers import PROPERTY, build_world, execute

CLIENTS = 6


def moments(value: float) -> State:
    return {"step": torch.tensor(int(value)), "exp_avg": torch.full((5,), value), "exp_avg_sq": torch.rand(5)}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[n], other[n]) and one[n].dtype == other[n].dtype for n in one
    )


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_file_per_client_of_the_cohort_and_the_old_one_stays_until_it_is_no_longer_needed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "clients"
    states = FolderStates(folder, CLIENTS)
    assert files(folder) == set()
    states.keep(1, {0: moments(1), 4: moments(2)})
    assert files(folder) == {"0-1.safetensors", "4-1.safetensors"}
    states.settle()
    untouched = (folder / "0-1.safetensors").stat()
    states.keep(2, {4: moments(3)})
    assert files(folder) == {"0-1.safetensors", "4-1.safetensors", "4-2.safetensors"}
    states.keep(3, {4: moments(3)})  # no checkpoint has named the one of round 2
    assert files(folder) == {"0-1.safetensors", "4-1.safetensors", "4-3.safetensors"}
    states.settle()
    assert files(folder) == {"0-1.safetensors", "4-3.safetensors"}
    assert (folder / "0-1.safetensors").stat() == untouched
    assert sorted(states) == [0, 4]
    assert float(states[4]["exp_avg"][0]) == 3


def test_what_is_kept_is_what_comes_back_to_the_bit(tmp_path: Path) -> None:
    state = {
        "step": torch.tensor(7),
        "vector": torch.tensor([1e-45, -0.0, float("inf"), 3e38]),
        "view": torch.arange(12.0).view(3, 4).T,
    }
    state["twice"] = state["vector"]
    states = FolderStates(tmp_path, CLIENTS)
    states.keep(1, {3: state})
    assert same(states[3], state)
    assert str(states[3]["vector"][1]) == str(torch.tensor(-0.0))
    states[3]["vector"].zero_()  # what comes back is nobody else's
    assert same(states[3], state)


@pytest.mark.parametrize(
    "make", [lambda folder: MemoryStates(), lambda folder: FolderStates(folder, CLIENTS)]
)
def test_a_client_without_state_starts_fresh(tmp_path: Path, make: Any) -> None:
    states = make(tmp_path)
    states.keep(1, {1: moments(1), 2: moments(2), 3: {}})
    states.keep(2, {1: moments(3)}, dropped=[2, 5])
    states.settle()
    assert float(states[1]["exp_avg"][0]) == 3
    assert [states.get(client, {}) for client in (0, 2, 3, 5)] == [{}] * 4
    with pytest.raises(KeyError):
        states[2]


def test_states_are_read_from_several_threads(tmp_path: Path) -> None:
    states = FolderStates(tmp_path, 50)
    states.keep(1, {client: moments(client) for client in range(50)})
    with ThreadPoolExecutor(8) as pool:
        assert [float(s["exp_avg"][0]) for s in pool.map(states.__getitem__, range(50))] == list(range(50))


def test_a_client_outside_the_population_has_no_state(tmp_path: Path) -> None:
    states = FolderStates(tmp_path, CLIENTS)
    states.keep(1, {CLIENTS - 1: moments(1)})
    assert states.get(-1) is None
    assert states.get(CLIENTS) is None


def test_a_state_that_cannot_be_written_is_an_error_and_not_lost_silently(tmp_path: Path) -> None:
    (tmp_path / "0-1.safetensors").mkdir()
    with pytest.raises(RunError, match=r"0-1\.safetensors is a folder; expected a file"):
        FolderStates(tmp_path, CLIENTS).keep(1, {0: moments(1)})


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    states = FolderStates(tmp_path, CLIENTS)
    states.keep(1, {0: moments(1)})
    (tmp_path / "0-1.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"0-1\.safetensors is missing or damaged"):
        states[0]


def test_a_missing_file_is_noticed_when_the_run_is_resumed_and_not_rounds_later(tmp_path: Path) -> None:
    states = FolderStates(tmp_path, CLIENTS)
    states.keep(1, {0: moments(1), 1: moments(1), 2: moments(1)})
    (tmp_path / "1-1.safetensors").unlink()
    (tmp_path / "2-1.safetensors").unlink()
    with pytest.raises(RunError, match=r"1-1\.safetensors is missing, with 1 other files"):
        FolderStates(tmp_path, CLIENTS).adopt(states.named()["files"])


def test_a_table_of_another_population_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the checkpoint has 7 clients, expected 6"):
        FolderStates(tmp_path, CLIENTS).adopt(torch.zeros(7, dtype=torch.int32))


# --- which of the two -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "vectors"),
    [
        (Adam(state="persist"), 2),
        (Adam(amsgrad=True, state="persist"), 3),
        (Adam(), 0),
        (Adam(state="fresh"), 0),
        (SGD(momentum=0.9, state="persist"), 1),
        (SGD(state="persist"), 0),
        (SGD(momentum=0.9, state="fresh"), 0),
    ],
)
def test_the_estimate_is_what_the_optimiser_keeps(
    optimizer: Adam | SGD, vectors: int, tmp_path: Path
) -> None:
    assert state_bytes(optimizer, 1000) == vectors * 4000
    one = experiment(training={"batch_size": 64, "optimizer": optimizer})
    world = build_world(one, Execution())
    state = initial_state(world)
    next(iter(rounds(world, state, [])))
    kept = sum(t.numel() * 4 for s in state.clients.values() for t in s.values() if t.ndim)
    assert kept == len(state.clients) * state_bytes(optimizer, world.layout.total)
    assert bool(state.clients) == (optimizer.state == "persist")


@pytest.mark.parametrize("optimizer", [Adam(state="fresh"), SGD(momentum=0.9, state="persist")])
@pytest.mark.parametrize("adversaries", [0, 2])
def test_the_estimate_counts_what_objectives_keep(
    optimizer: Adam | SGD, adversaries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[P] of the honest objective and two bytes of the attack's, which adversaries that acted once keep both."""

    def attack(info: Any) -> Attack:
        return Attack(
            objective=LocalObjective(init=lambda parameters: {"a": torch.zeros(1, dtype=torch.int16)})
        )

    one = experiment(
        attack=attack,
        adversaries={"count": adversaries, "start": 2},
        training={
            "batch_size": 64,
            "optimizer": optimizer,
            "objective": lambda: LocalObjective(init=lambda parameters: {"h": torch.zeros(parameters)}),
        },
    )
    world = build_world(one, Execution())
    state = initial_state(world)
    stepped = rounds(world, state, [])
    next(stepped), next(stepped)
    largest = max(sum(t.numel() * t.element_size() for t in kept.values()) for kept in state.clients.values())
    parameters = world.layout.total
    assert largest == 4 * parameters * (1 + isinstance(optimizer, SGD)) + 2 * bool(adversaries)
    monkeypatch.setattr(client_state, "MEMORY_LIMIT", world.experiment.clients.count * largest)
    assert type(empty_states(world, "auto", tmp_path)) is MemoryStates
    monkeypatch.setattr(client_state, "MEMORY_LIMIT", world.experiment.clients.count * largest - 1)
    assert type(empty_states(world, "auto", tmp_path)) is FolderStates


def test_large_populations_are_kept_in_files_and_small_ones_in_memory(tmp_path: Path) -> None:
    # The CNN of the paper keeps 4.3 MB per client: 15 clients in 64 MiB.
    def chosen(clients: int, place: Any = "auto", state: Any = "persist", **optimizer: Any) -> type:
        return type(open_states(place, Adam(state=state, **optimizer), clients, 537_610, tmp_path))

    assert chosen(15) is MemoryStates
    assert chosen(16) is FolderStates
    assert chosen(10, amsgrad=True) is MemoryStates
    assert chosen(11, amsgrad=True) is FolderStates
    assert chosen(10**6, state="fresh") is MemoryStates
    assert chosen(10**6, "memory") is MemoryStates
    assert chosen(1, "disk") is FolderStates


# --- in a run ---------------------------------------------------------------------------------------


PERSISTENT = {"batch_size": 64, "optimizer": {"name": "adam", "state": "persist"}}


def experiment(**changes: Any) -> Experiment:
    plain = {
        "rounds": 4,
        "seed": 3,
        "data": {"name": "digits"},
        "clients": {"count": 12, "fraction": 0.5},
        "training": PERSISTENT,
        "stopping": "rounds",
    }
    return Experiment.model_validate(plain | changes)


@pytest.mark.parametrize("workers", [1, 3])
def test_where_states_are_kept_changes_no_result(tmp_path: Path, workers: int) -> None:
    found = []
    for place in ("memory", "disk"):
        execution = Execution(client_state=place, workers=workers)
        folder = tmp_path / f"{place}{workers}"
        execute(folder, experiment(), execution)
        records = list(simulate(experiment(), execution=execution))
        found.append(
            ((folder / "rounds.jsonl").read_bytes(), load_file(folder / "weights.safetensors"), records)
        )
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]
    fresh = experiment(training={"batch_size": 64, "optimizer": {"name": "adam", "state": "fresh"}})
    assert list(simulate(fresh)) != found[0][2], "the states must matter for this to be a test"


@pytest.mark.parametrize("every", [0.0, math.inf])
def test_the_threshold_is_what_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float) -> None:
    monkeypatch.setattr(client_state, "MEMORY_LIMIT", 0)
    seen: list[set[str]] = []

    class Spy:
        def on_round(self, record: Any) -> None:
            seen.append(files(tmp_path / "run" / "clients"))

        def on_end(self, records: Any, reason: str) -> None: ...

    done = execute(tmp_path / "run", experiment(), Execution(checkpoint_every=every), callbacks=[Spy()])
    assert [f"{k}-1.safetensors" for k in done_cohort(tmp_path, 0)] == sorted(seen[0], key=number)
    assert all(len(names) == len({number(name) for name in names}) for names in seen), "old files were left"
    assert not (tmp_path / "run" / "clients").exists(), "a complete run needs none"
    assert done.rounds == 4


def number(name: str) -> int:
    return int(name.split("-")[0])


def done_cohort(tmp_path: Path, index: int) -> list[int]:

    return RunFolder(tmp_path / "run").read_records()[index].cohort


def test_without_a_folder_of_its_own_a_run_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running: Any = simulate(experiment(), execution=Execution(client_state="disk"))
    cohort = next(running).cohort
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(cohort)
    running.close()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_state_that_starts_fresh_is_kept_nowhere(tmp_path: Path, place: Any) -> None:
    one = experiment(training={"batch_size": 64, "optimizer": {"name": "adam", "state": "fresh"}})
    world = build_world(one, Execution())
    state = initial_state(world, empty_states(world, place, tmp_path / "clients"))
    work = plan(0, 1, [0, 1], world.population.shards, one.training)
    trained = world.engine.train(state.weights, state.buffers, work, {})
    assert [report.state for report in trained.reports] == [{}, {}]
    for _ in rounds(world, state, []):
        assert len(state.clients) == 0
        save_checkpoint(tmp_path / "checkpoint.safetensors", state)
    assert not (tmp_path / "clients").exists()
    names = load_file(tmp_path / "checkpoint.safetensors")
    assert sum(t.numel() for n, t in names.items() if n.startswith("clients/")) <= 2 * one.clients.count


# --- checkpoints ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(experiment(clients={"count": CLIENTS}), Execution())


def fresh(world: World, place: Any, folder: Path) -> RunState:
    return initial_state(world, empty_states(world, place, folder / "clients"))


def save_as_in_0_1(path: Path, state: RunState) -> None:
    """A checkpoint as version 0.1 wrote it, when client states had no other place."""
    tensors = {"weights": state.weights, "buffers": state.buffers}
    for client, inner in state.clients.items():
        tensors |= {f"clients/{client}/{name}": tensor.clone() for name, tensor in inner.items()}
    save_file(tensors, path, metadata={"round": str(state.round)})


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_checkpoint_of_the_first_version_is_read_by_either(
    world: World, tmp_path: Path, place: Any
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    old = fresh(world, "memory", tmp_path)
    old.clients.keep(5, {0: moments(1), 3: moments(2)})
    old.round = 5
    save_as_in_0_1(path, old)
    as_then = path.read_bytes()
    state = load_checkpoint(path, fresh(world, place, tmp_path))
    assert state.round == 5
    assert torch.equal(state.weights, old.weights)
    assert sorted(state.clients) == [0, 3]
    assert all(same(state.clients[k], old.clients[k]) for k in (0, 3))
    assert path.read_bytes() == as_then, "it is still the checkpoint if this session is killed now"
    save_checkpoint(path, state)
    for then in ("memory", "disk"):
        again = load_checkpoint(path, fresh(world, then, tmp_path))
        assert all(same(again.clients[k], old.clients[k]) for k in (0, 3))


def test_from_files_back_into_memory_and_the_files_go_when_they_are_no_longer_needed(
    world: World, tmp_path: Path
) -> None:
    path, folder = tmp_path / "checkpoint.safetensors", tmp_path / "clients"
    state = fresh(world, "disk", tmp_path)
    state.clients.keep(1, {2: moments(2)})
    state.round = 1
    save_checkpoint(path, state)
    back = load_checkpoint(path, fresh(world, "memory", tmp_path))
    assert files(folder) == {"2-1.safetensors"}, "the checkpoint in place still names it"
    assert same(back.clients[2], state.clients[2])
    save_checkpoint(path, back)
    assert not folder.exists()


COHORTS = st.lists(
    st.tuples(st.sets(st.integers(0, CLIENTS - 1)), st.sets(st.integers(0, CLIENTS - 1)), st.booleans()),
    max_size=8,
)


@PROPERTY
@given(COHORTS, st.integers(0, 2))
def test_whatever_happens_after_a_checkpoint_it_finds_the_states_of_its_round(
    world: World, history: list[tuple[set[int], set[int], bool]], lost: int
) -> None:
    """A model of a run: per round a cohort, some of it rejected, and whether the process dies: before the clean-up, or
    rounds after it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "checkpoint.safetensors"
        state, expected = fresh(world, "disk", folder), dict[int, State]()
        for number, (cohort, rejected, killed) in enumerate(history, start=1):
            kept = {client: moments(number) for client in cohort - rejected}
            state.clients.keep(number, kept, rejected)
            expected = {k: s for k, s in (expected | kept).items() if k not in rejected}
            state.round = number
            with pytest.MonkeyPatch.context() as patch:
                if killed and not lost:
                    patch.setattr(FolderStates, "settle", lambda self: None)
                save_checkpoint(path, state)
            if killed:
                # Rounds that the checkpoint knows nothing of, and then the process is gone.
                for beyond in range(lost):
                    doomed = {client: moments(-1) for client in range(beyond, CLIENTS, 2)}
                    state.clients.keep(number + 1 + beyond, doomed, dropped=[1])
                state = load_checkpoint(path, fresh(world, "disk", folder))
            assert sorted(state.clients) == sorted(expected)
            assert all(same(state.clients[client], expected[client]) for client in expected)
            assert len(files(folder / "clients")) == len(expected), "no more files than clients with state"
