"""Mimic: whom it repeats, against the authors' loop; what it keeps from round to round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import fedskew
from attack_helpers import crafted, view
from fedskew.attacks.mimic import mimic
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import RoundRecord, State
from helpers import PROPERTY, build_world, delta_matrices, execute, toy_info

INFO = toy_info()


def acted(
    rounds: list[Tensor], warmup: int, ids: list[list[int]] | None = None, seed: int = 0
) -> tuple[list[Tensor], State]:
    """What two adversaries send in rounds with these honest updates, and the last state."""
    attack, sent = mimic(INFO, warmup=warmup), list[Tensor]()
    state: State = {}
    for number, honest in enumerate(rounds):
        names = torch.tensor(ids[number] if ids else list(range(len(honest))), dtype=torch.int64)
        seen = view(torch.zeros(honest.shape[1]), 2, others=honest, other_ids=names, state=state)
        found = crafted(attack, torch.full((2, honest.shape[1]), 99.0), seen, seed)
        assert torch.equal(found.deltas[0], found.deltas[1])
        sent.append(found.deltas[0])
        state = found.state if found.state is not None else state
    return sent, state


def authors(rounds: list[np.ndarray], warmup: int, seed: int) -> list[int]:
    """Whom the authors' code repeats in each round; the first z as this attack draws it."""
    z = np.random.default_rng(seed).standard_normal(rounds[0].shape[1])
    mu, chosen = np.zeros_like(z), []
    for t, rows in enumerate(rounds):
        if t < warmup:
            mu = t / (1 + t) * mu + rows.mean(0) / (1 + t)
            cumulated = sum(((row - mu) @ z) * (row - mu) for row in rows)
            z = t / (1 + t) * z + cumulated / np.linalg.norm(cumulated) / (1 + t)
            z /= np.linalg.norm(z)
            target = int(np.argmax(rows @ z))
        chosen.append(target)
    return chosen


@PROPERTY
@given(st.integers(0, 1000), st.integers(1, 4))
def test_it_repeats_whom_the_authors_code_repeats(seed: int, warmup: int) -> None:
    generator = np.random.default_rng(seed + 1)
    lean = generator.standard_normal((6, 5))
    rounds = [(lean + generator.standard_normal((6, 5))).astype(np.float32) for _ in range(5)]
    sent, _ = acted([torch.from_numpy(rows) for rows in rounds], warmup, seed=seed)
    for row, rows, target in zip(
        sent, rounds, authors([r.astype(float) for r in rounds], warmup, seed), strict=True
    ):
        assert torch.equal(row, torch.from_numpy(rows[target]))


@PROPERTY
@given(delta_matrices(), st.integers(0, 100))
def test_a_row_is_bit_for_bit_one_of_the_honest(deltas: np.ndarray, seed: int) -> None:
    honest = torch.from_numpy(deltas)
    (row,), state = acted([honest], 1, seed=seed)
    bits = honest.view(torch.int32).tolist()
    assert row.view(torch.int32).tolist() in bits
    assert float(state["direction"].norm()) == pytest.approx(1)


def test_the_main_direction_is_found_in_the_warm_up() -> None:
    generator = torch.Generator().manual_seed(4)
    rounds = []
    for _ in range(30):
        honest = torch.randn(8, 20, generator=generator)
        honest[:, 7] += torch.linspace(-9, 9, 8)  # in which the clients differ most
        rounds.append(honest)
    sent, state = acted(rounds, 30)
    assert abs(float(state["direction"][7])) > 0.9
    assert int(state["rounds"]) == 30
    outer = 7 if state["direction"][7] > 0 else 0
    assert int(state["target"]) == outer
    assert torch.equal(sent[-1], rounds[-1][outer])


def test_after_the_warm_up_the_client_is_fixed_whatever_row_it_is_in() -> None:
    first = torch.tensor([[0.0, 0.0], [5.0, 0.0], [-4.0, 0.0]])
    _, state = acted([first], 1, [[3, 8, 11]])
    target = int(state["target"])
    assert target in (8, 11)
    for place in range(3):
        others = [1, 2]
        ids = [[3, 8, 11], [*others[:place], target, *others[place:]]]
        second = torch.tensor([[1.0, 9.0], [2.0, 9.0], [3.0, 9.0]])
        sent, later = acted([first, second], 1, ids)
        assert sent[1].tolist() == second[place].tolist()
        assert torch.equal(later["direction"], state["direction"])
        assert int(later["rounds"]) == 1


def test_where_the_client_is_missing_they_repeat_the_furthest_of_those_who_are_there() -> None:
    first, ids = torch.tensor([[0.0, 0.0], [5.0, 0.0], [-4.0, 0.0]]), [3, 8, 11]
    target = int(acted([first], 1, [ids])[1]["target"])
    second = torch.tensor([[-7.0, 1.0], [6.0, 1.0], [1.0, 1.0]])
    sent, state = acted([first, second, second], 1, [ids, [1, 2, 4], [target, 2, 4]])
    along = second.double() @ state["direction"]
    assert torch.equal(sent[1], second[int(along.argmax())])
    assert torch.equal(sent[2], second[0])  # the client is back


def test_a_round_without_honest_clients_does_not_count() -> None:
    seen = view(torch.zeros(2), 2, others=torch.zeros(0, 2), other_ids=torch.zeros(0, dtype=torch.int64))
    own = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = crafted(mimic(INFO), own, seen)
    assert torch.equal(found.deltas, own)
    assert found.state is None


def test_it_says_what_it_must_know() -> None:
    assert mimic(INFO).threat_model == "all-updates"
    with pytest.raises(ConfigError, match="'mimic' needs the honest updates and whose they are"):
        crafted(mimic(INFO), torch.ones(1, 2), view(torch.zeros(2)))


def test_in_a_run_all_adversaries_repeat_one_client_of_the_cohort() -> None:
    seen: list[Any] = []

    def spy(updates: Any, view: Any) -> Tensor:
        seen.append((updates.deltas.clone(), updates.client_ids.tolist()))
        mean: Tensor = updates.deltas.mean(dim=0)
        return mean

    experiment = Experiment(
        rounds=4,
        clients={"count": 8, "fraction": 0.75},
        adversaries={"count": 3},
        attack={"name": "mimic", "warmup": 2},
        defence={"aggregator": spy},
        split={"name": "dirichlet", "alpha": 0.5},
    )
    malicious = set(build_world(experiment, Execution()).population.spread.malicious)
    records = list(fedskew.simulate(experiment))
    repeated = []
    for deltas, ids in seen:
        bad = [row for row, client in enumerate(ids) if client in malicious]
        good = [row for row, client in enumerate(ids) if client not in malicious]
        equal = [ids[row] for row in good if all(torch.equal(deltas[row], deltas[b]) for b in bad)]
        assert len(equal) == 1
        repeated.append(equal[0])
    target = repeated[1]
    assert all(
        found == target or target not in record.cohort
        for found, record in zip(repeated[1:], records[1:], strict=True)
    )


def test_a_run_that_is_broken_off_in_the_warm_up_and_resumed_has_the_same_bytes(tmp_path: Path) -> None:
    experiment = Experiment(
        rounds=5, clients={"count": 6}, adversaries={"count": 2}, attack={"name": "mimic", "warmup": 3}
    )

    class Break:
        def on_round(self, record: RoundRecord) -> None:
            if record.round == 2:
                raise BrokenPipeError

        def on_end(self, records: Sequence[RoundRecord], reason: str) -> None:
            return None

    assert execute(tmp_path / "whole", experiment, Execution()).threat_model == "all-updates"
    with pytest.raises(BrokenPipeError):
        execute(tmp_path / "broken", experiment, Execution(), [Break()])
    execute(tmp_path / "broken", experiment, Execution())
    for name in ("rounds.jsonl", "weights.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name
