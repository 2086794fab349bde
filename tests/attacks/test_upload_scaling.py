"""What adversaries upload for the objective: what they see of it, what they may send, and scaling it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedskew.components.binding import complete_experiment
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.state import RunState, initial_state
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo
from fedskew.simulation import rounds, simulate
from helpers import build_world, skewed

BACKDOOR: dict[str, Any] = {"name": "backdoor", "target": 7}


def scaling(factor: float, of: Any = "none") -> dict[str, Any]:
    return {"name": "upload-scaling", "of": of, "factor": factor}


def experiment(attack: Any, objective: Any = "scaffold", **fields: Any) -> Experiment:
    return skewed(objective, epochs=1, attack=attack, **{"adversaries": {"count": 2}, **fields})


def metrics(attack: Any, **fields: Any) -> list[dict[str, float]]:
    return [record.metrics for record in simulate(experiment(attack, **fields))]


def after_one_round(attack: Any, **fields: Any) -> tuple[RunState, list[int]]:
    """The state after one round, and who is malicious."""
    world = build_world(experiment(attack, rounds=1, **fields), Execution())
    state = initial_state(world)
    assert len(list(rounds(world, state, []))) == 1
    return state, list(world.population.spread.malicious)


def control(attack: Any, **fields: Any) -> Tensor:
    return after_one_round(attack, **fields)[0].rules["objective/0"]["control"]


# --- the wrapper ------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [BACKDOOR, {"name": "sign-flip"}, {"name": "ipm", "eps": 1.0}])
@pytest.mark.parametrize("objective", ["scaffold", {"name": "fedcurv", "strength": 0.05}])
def test_a_factor_of_1_is_the_attack_inside_bit_for_bit(of: dict[str, Any], objective: Any) -> None:
    fields = {"training": {"epochs": 1, "batch_size": 32, "objective": objective}}
    assert metrics(scaling(1, of), **fields) == metrics(of, **fields)


def test_it_uses_the_uploads_alone() -> None:
    """In the first round nothing has arrived yet; the deltas are honest ones."""
    benign, found = metrics("none"), metrics(scaling(-3))
    assert found[0]["accuracy"] == benign[0]["accuracy"]
    assert found[0]["update_norm_malicious"] == benign[0]["update_norm_malicious"]
    assert found[1]["update_norm_honest"] != benign[1]["update_norm_honest"]


@pytest.mark.parametrize("factor", [-3.0, 0.0, 0.5, 4.0])
def test_the_server_gets_so_many_times_the_adversaries_change(factor: float) -> None:
    state, malicious = after_one_round("none")
    own = torch.stack([state.clients[k]["objective.control"] for k in range(5)])  # all were 0 before
    share = torch.ones(5, dtype=torch.float64)
    share[malicious] = factor
    assert torch.equal(control("none"), (own.double().sum(dim=0) / 5).float())
    changed, _ = after_one_round(scaling(factor))
    expected = (share @ own.double()) / 5
    # The product with the factor is rounded to float32, and so is the mean.
    assert (changed.rules["objective/0"]["control"] - expected).abs().max() < 5 * own.abs().max() * 2**-23
    for k in range(5):  # what clients keep is what their training gave
        assert torch.equal(changed.clients[k]["objective.control"], own[k])


def test_factors_multiply_and_other_wrappers_let_uploads_through() -> None:
    plain = control(scaling(6))
    assert torch.equal(control(scaling(2, scaling(3))), plain)
    for around in (
        {"name": "n-k-inflation", "factor": 4.0},
        {"name": "model-replacement", "factor": 2.0},
        {"name": "train-and-scale", "norm": 0.1},
    ):
        assert torch.equal(control({**around, "of": scaling(6)}), plain)
        assert torch.equal(control(scaling(6, {**around, "of": "none"})), plain)


def test_it_does_harm_and_only_while_it_acts() -> None:
    schedule = {"rounds": 6, "adversaries": {"count": 2, "start": 4}}
    benign, found = metrics("none", **schedule), metrics(scaling(-20), **schedule)
    assert [m["accuracy"] for m in found[:4]] == [m["accuracy"] for m in benign[:4]]
    assert found[-1]["accuracy"] < benign[-1]["accuracy"] - 0.1


# --- refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective", ["none", {"name": "fedprox", "mu": 0.1}, {"name": "feddyn", "alpha": 0.1}]
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_objective_that_uploads_nothing_is_refused(objective: Any, inside: bool) -> None:
    attack = {"name": "n-k-inflation", "factor": 2.0, "of": scaling(2)} if inside else scaling(2)
    name = objective if isinstance(objective, str) else objective["name"]
    server = {"step": "feddyn"} if name == "feddyn" else {}
    where = "attack.of" if inside else "attack"
    with pytest.raises(ConfigError) as caught:
        complete_experiment(experiment(attack, objective, server=server))
    assert caught.value.message == (
        f"{where}: 'upload-scaling' changes what adversaries upload for the objective, and with "
        f"training.objective = '{name}' clients upload nothing"
    )
    assert caught.value.field == where
    complete_experiment(experiment(attack, objective, server=server, adversaries={"count": 0}))
    complete_experiment(experiment(attack, "mine:objective"))


def test_an_objective_whose_options_leave_nothing_to_upload_is_refused() -> None:
    nothing = {"name": "fedcurv", "strength": 0}
    with pytest.raises(ConfigError) as caught:
        build_world(experiment(scaling(-20), nothing), Execution())
    assert caught.value.message == (
        "attack: 'upload-scaling' changes what adversaries upload for the objective, and as training.objective = "
        "'fedcurv' is set clients upload nothing"
    )
    build_world(experiment(scaling(-20), nothing, adversaries={"count": 0}), Execution())


@pytest.mark.parametrize("name", ["pgd", "neurotoxin"])
def test_adversaries_with_an_objective_of_their_own_have_nothing_to_scale(name: str) -> None:
    options = {"radius": 0.5} if name == "pgd" else {"share": 0.1}
    for attack, where in (
        (scaling(2, {"name": name, **options, "of": BACKDOOR}), "attack"),
        ({"name": name, **options, "of": scaling(2, BACKDOOR)}, "attack.of"),
    ):
        with pytest.raises(ConfigError) as caught:
            metrics(attack)
        assert caught.value.message == (
            f"{where}: 'upload-scaling' changes what adversaries upload for training.objective, and with this attack "
            "they follow an objective of their own instead"
        )
        assert caught.value.field == where
        assert metrics(attack, rounds=1, adversaries={"count": 0})


# --- what an attack sees and may send ---------------------------------------------------------------


def crafting(uploads: Any, seen: list[dict[str, Tensor]] | None = None) -> Any:
    def attack(info: DatasetInfo) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: np.random.Generator) -> Crafted:
            if seen is not None:
                seen.append({name: tensor.clone() for name, tensor in view.uploads.items()})
            return Crafted(deltas, uploads=uploads(view))

        return Attack(craft=craft)

    return attack


def test_an_attack_sees_its_own_uploads_alone() -> None:
    seen: list[dict[str, Tensor]] = []
    state, malicious = after_one_round(crafting(lambda view: None, seen))
    (uploads,) = seen
    assert list(uploads) == ["control"]
    assert torch.equal(
        uploads["control"], torch.stack([state.clients[k]["objective.control"] for k in malicious])
    )
    seen.clear()
    after_one_round(crafting(lambda view: None, seen), training={"epochs": 1, "batch_size": 64})
    assert seen == [{}]


def test_what_an_attack_does_to_its_view_is_not_sent() -> None:
    def spoil(view: AdversaryView) -> None:
        view.uploads["control"].fill_(9)
        view.uploads["more"] = torch.zeros(1)

    assert torch.equal(control(crafting(spoil)), control("none"))


def test_uploads_of_other_names_or_shapes_are_refused() -> None:
    for wrong, words in (
        ({"mine": torch.zeros(2, 3)}, r"uploads = \['mine'\]; expected tensors named \['control'\]"),
        (
            {"control": torch.zeros(2, 3)},
            r"the upload 'control' = float32 \[2, 3\]; expected float32 \[2, 610\]",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            control(crafting(lambda view, wrong=wrong: wrong))


def test_uploads_that_are_not_finite_are_rejected_with_the_update() -> None:
    found = list(
        simulate(experiment(crafting(lambda view: {"control": view.uploads["control"] / 0}), rounds=1))
    )
    assert len(found[0].rejected) == 2
