"""Transforms that clients do before they send: the same model, and other updates for who watches the server."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedskew.components.completed import completed
from fedskew.components.identity import identity
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import initial_state
from fedskew.federation.world import build_world
from fedskew.protocols import Guess, Observation, PrivacyAttack, PrivacyView, State
from fedskew.simulation import rounds

CLIP, NOISE = {"name": "clip", "norm": 0.2}, {"name": "noise", "std": 0.01}


def experiment(*transforms: Any, local: int = 0, attacks: tuple[Any, ...] = (), **defence: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "data": "digits",
            "rounds": 2,
            "clients": {"count": 4, "held_out": 0.4},
            "training": {"epochs": 1, "batch_size": 32},
            "defence": {"transforms": list(transforms), "local_transforms": local, **defence},
            "privacy": {"attacks": list(attacks), "every": 1},
        }
    )


def run(*transforms: Any, local: int, **defence: Any) -> tuple[Tensor, list[Tensor]]:
    """The final weights, and the updates of each round that the seat ``server`` saw."""
    seen: list[Tensor] = []

    def watching() -> PrivacyAttack:
        def observe(observation: Observation, view: PrivacyView, state: State) -> State:
            assert observation.updates is not None
            seen.append(observation.updates.deltas)
            return state

        def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
            return Guess(torch.zeros(len(view.records)))

        return PrivacyAttack("server", "membership", guess, observe)

    config = experiment(*transforms, local=local, attacks=(watching,), **defence)
    world = build_world(completed(config), Execution())
    state = initial_state(world)
    list(rounds(world, state, []))
    return state.weights, seen


def test_the_model_is_the_same_and_the_server_sees_what_is_sent() -> None:
    (plain, raw), (half, clipped), (local, sent) = (run(CLIP, NOISE, local=n) for n in range(3))
    assert torch.equal(plain, half)
    assert torch.equal(plain, local)
    for number in range(2):
        lengths = raw[number].norm(dim=1)
        shortened = raw[number] * (0.2 / lengths).clamp(max=1)[:, None]
        assert lengths.min() > 0.2
        assert torch.allclose(clipped[number], shortened, atol=1e-6)
        noise = sent[number] - clipped[number]
        assert float(noise.std()) == pytest.approx(0.01, rel=0.02)
        rows = noise.double()
        assert torch.corrcoef(rows).fill_diagonal_(0).abs().max() < 0.1, "each client's own"


def test_a_learning_rate_rule_sees_what_is_sent() -> None:
    """Noise that is far larger than the updates turns signs, which the robust learning rate counts."""
    loud, rlr = {"name": "noise", "std": 1.0}, {"name": "rlr", "theta": 3}
    (plain, _), (local, _) = (run(loud, local=n, learning_rate=rlr) for n in range(2))
    assert not torch.equal(plain, local)


def test_none_is_the_default_and_not_in_a_runs_name() -> None:
    assert identity(experiment(NOISE)) == identity(experiment(NOISE, local=0))
    assert identity(experiment(NOISE)) != identity(experiment(NOISE, local=1))


@pytest.mark.parametrize(
    ("transforms", "local", "words"),
    [
        ([], 1, r"defence.local_transforms = 1: defence.transforms has 0 transforms"),
        ([NOISE], 2, r"defence.local_transforms = 2: defence.transforms has 1 transform\n"),
        (
            [{"name": "clip", "norm": "median"}],
            1,
            "transform 'clip' with norm = median needs the updates of other",
        ),
        (
            [NOISE, {"name": "nnm", "f": 1}],
            2,
            "transform 'nnm' with f = 1 needs the updates of other clients",
        ),
        (["fednova"], 1, "transform 'fednova' with .* needs the updates of other clients"),
    ],
)
def test_what_clients_cannot_do_is_refused(transforms: list[Any], local: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        completed(experiment(*transforms, local=local))
    assert caught.value.field == "defence.local_transforms"


def test_what_the_server_does_may_need_other_clients() -> None:
    completed(experiment(NOISE, {"name": "clip", "norm": "median"}, local=1))
