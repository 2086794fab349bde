"""Attacks around attacks: what each changes, by hand and in small runs, and that a null setting changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedskew
from fedskew.attacks.constrain_and_scale import constraint
from fedskew.attacks.neurotoxin import most_moved, sparing
from fedskew.attacks.train_and_scale import with_norm
from fedskew.components.attacking import attack_in
from fedskew.components.identity import identity
from fedskew.config import EngineName, Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.federation.local import keep_client_states, train_cohort
from fedskew.federation.poisoning import only_poisons
from fedskew.federation.state import RunState, initial_state
from fedskew.federation.world import World
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, LocalResult, LocalView
from fedskew.simulation import rounds, simulate
from helpers import build_world, toy_info

INFO = toy_info()
BACKDOOR: dict[str, Any] = {"name": "backdoor", "target": 7}
KNOWS: dict[str, Any] = {"threat_model": "knows-the-defence"}


def experiment(attack: dict[str, Any], **fields: Any) -> Experiment:
    plain = {
        "rounds": 3,
        "data": "digits",
        "clients": {"count": 5},
        "adversaries": {"count": 2},
        "model": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": 1, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.5}},
    }
    return Experiment.model_validate({**plain, "attack": attack, **fields})


def metrics(attack: dict[str, Any], **fields: Any) -> list[dict[str, float]]:
    return [record.metrics for record in simulate(experiment(attack, **fields))]


def built(attack: dict[str, Any], transforms: list[Any] | None = None) -> Attack:
    """The attack, told of a defence with these transforms unless they are None."""
    adversaries = {"count": 0 if transforms is None else 2}
    return attack_in(
        experiment(attack, adversaries=adversaries, defence={"transforms": transforms or []}), INFO
    )


def around(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "of": BACKDOOR, **options}


# --- null settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack",
    [
        around("pgd", radius=1e30),
        around("neurotoxin", share=0),
        around("neurotoxin", share=1e-6),  # of 658 weights none
        around("constrain-and-scale", alpha=1),
        around("model-replacement", factor=1),
        around("n-k-inflation", factor=1),
        {"name": "pgd", "radius": 1e30, "of": around("neurotoxin", share=0)},
    ],
    ids=lambda attack: f"{attack['name']}",
)
def test_a_null_setting_is_the_plain_backdoor_bit_for_bit(attack: dict[str, Any]) -> None:
    assert metrics(attack) == metrics(BACKDOOR)


def test_the_backdoors_own_options_do_what_the_wrappers_do() -> None:
    plain = {**BACKDOOR, "projection": 0.1, "report": 4.0}
    wrapped = {"name": "n-k-inflation", "factor": 4.0, "of": around("pgd", radius=0.1)}
    assert metrics(plain) == metrics(wrapped)
    assert metrics(plain) != metrics(BACKDOOR)


# --- PGD --------------------------------------------------------------------------------------------


def test_the_updates_of_pgd_stay_within_the_ball() -> None:
    free = [found["update_norm_malicious"] for found in metrics(BACKDOOR)]
    bound = [found["update_norm_malicious"] for found in metrics(around("pgd", radius=0.2))]
    assert min(free) > 0.3
    assert max(bound) <= 0.2 * (1 + 1e-6)
    assert min(bound) == pytest.approx(0.2, rel=1e-3)  # all of them are on the sphere


def test_without_a_radius_pgd_takes_the_defences_norm() -> None:
    clipped = {"defence": {"transforms": [{"name": "clip", "norm": 0.2}]}}
    assert metrics(around("pgd", **KNOWS), **clipped) == metrics(around("pgd", radius=0.2), **clipped)


def test_of_several_norms_it_takes_the_smallest() -> None:
    clips = [{"name": "clip", "norm": norm} for norm in (3.0, 0.5, 2.0)]
    objective = built(around("pgd", **KNOWS), clips).objective
    assert objective is not None
    assert objective.project is not None
    weights = torch.tensor([3.0, 4.0])
    objective.project(weights, LocalView(weights, torch.zeros(2), {}, {}, 0.1))
    assert weights.tolist() == pytest.approx([0.3, 0.4])


def test_the_norm_of_a_private_aggregator_counts() -> None:
    private = {"defence": {"aggregator": {"name": "dp-fedavg", "clip": 0.2, "noise_multiplier": 0.1}}}
    assert metrics(around("pgd", **KNOWS), **private) == metrics(around("pgd", radius=0.2), **private)


@pytest.mark.parametrize(
    "defence",
    [
        {},
        {"transforms": [{"name": "clip", "norm": "median"}]},
        {"transforms": [{"name": "noise", "std": 0.1}]},
    ],
)
def test_against_a_defence_without_a_norm_pgd_projects_nothing(defence: dict[str, Any]) -> None:
    assert metrics(around("pgd", **KNOWS), defence=defence) == metrics(BACKDOOR, defence=defence)


def test_what_is_inside_a_wrapper_is_told_of_the_defence_too() -> None:
    attack = {"name": "n-k-inflation", "factor": 2, "of": around("pgd", **KNOWS)}
    told = built(attack, [{"name": "clip", "norm": 0.2}])
    assert told.objective is not None
    assert told.threat.knows_defence
    assert built(attack).objective is None  # of no defence: without adversaries there is nobody to know it
    assert metrics(attack, adversaries={"count": 0})[0]["clean_trigger_rate"] >= 0


# --- Neurotoxin -------------------------------------------------------------------------------------


def test_the_largest_changes_are_held_and_ties_with_them() -> None:
    change = torch.tensor([[1.0, -3.0, 2.0, 0.0], [2.0, -2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert most_moved(change, 1).int().tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert not most_moved(change, 0).any()
    assert most_moved(change, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def trained(world: World, state: RunState) -> tuple[Tensor, Tensor]:
    """The updates of a round's clients, [S, P], and which of them are adversaries; they keep what they keep."""
    malicious = world.population.spread.malicious
    found = train_cohort(world, state, range(5), world.population.shards, frozenset(malicious), [])
    keep_client_states(world, state, found, [])
    return found.local.deltas, torch.tensor([job.client in malicious for job in found.work])


@pytest.mark.parametrize(
    "optimizer", [{"name": "sgd", "momentum": 0.9, "weight_decay": 0.1}, {"name": "adam"}]
)
@pytest.mark.parametrize("engine", ["native", "torch", "stacked"])
def test_neurotoxin_leaves_the_masked_weights_at_exactly_0(
    optimizer: dict[str, Any], engine: EngineName
) -> None:
    training = {"epochs": 2, "batch_size": 64, "optimizer": {**optimizer, "state": "persist"}}
    attack = {"name": "pgd", "radius": 5.0, "of": around("neurotoxin", share=0.1)}
    world = build_world(experiment(attack, training=training), Execution(engine=engine))
    state = initial_state(world)
    first, bad = trained(world, state)
    assert (first[bad] != 0).double().mean() > 0.5  # no mask yet
    change = torch.from_numpy(np.random.default_rng(0).standard_normal(len(state.weights))).float()
    state.round, state.weights = 1, state.weights + 0.1 * change
    second, bad = trained(world, state)
    held = most_moved(0.1 * change, len(change) // 10)
    assert held.sum() == len(change) // 10
    assert (second[bad][:, held] == 0).all()
    assert (second[bad][:, ~held] != 0).double().mean() > 0.5
    assert (second[~bad][:, held] != 0).double().mean() > 0.5


def score_after_the_attack(share: float) -> float:
    """u + v, which is what the adversary raises to 4 with its loss (u + v - 4)^2 / 2, long after its last round.

    Honest clients move only u, to 0 in one round and to 2 in the next (cohorts differ), so that u changes the most.
    """
    objective = sparing(share)
    kept, weights = objective.init(2), torch.zeros(2)
    for number in range(30):
        start, local = weights.clone(), weights.clone()
        honest = start + torch.tensor([0.5, 0.0]) * (2.0 * (number % 2) - start[0])
        if number < 6:
            for _ in range(20):
                local -= 0.2 * (local.sum() - 4)  # the gradient is the same for both
                if share:
                    assert objective.project is not None
                    objective.project(local, LocalView(local, start, {}, kept, 0.2))
            kept, _ = objective.finish(LocalResult(local - start, 20, 0.2, {}, kept, start, 20))
            weights = start + 0.1 * (local - start) + 0.9 * (honest - start)
        else:
            weights = honest
    return float(weights.sum())


def test_neurotoxin_lasts_where_honest_training_moves_other_weights_than_the_task_needs() -> None:
    # Free, the adversary spends half of its update on u, where honest training undoes it; masked, all of it on v.
    assert score_after_the_attack(0.5) > score_after_the_attack(0.0) + 0.2


# --- constrain-and-scale ----------------------------------------------------------------------------


def test_the_constraint_is_the_gradient_of_the_distance() -> None:
    add = constraint(0.25).add
    assert add is not None
    start, weights = torch.tensor([1.0, 1.0]), torch.tensor([[4.0, 5.0], [1.0, 1.0]])
    gradient = torch.tensor([[8.0, 0.0], [8.0, 4.0]])
    add(gradient, LocalView(weights, start, {}, {}, 0.1))
    # (3, 4) / 5 times 0.75, and 0 at the start.
    assert gradient.tolist() == [pytest.approx([2 + 0.45, 0.6]), [2.0, 1.0]]


def test_it_agrees_with_differentiation() -> None:
    drawn = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 50))).float()
    start, weights = drawn[0], drawn[1].requires_grad_()
    (0.3 * (weights - start).norm()).backward()
    gradient = torch.zeros(50)
    constraint(0.7).add(gradient, LocalView(weights.detach(), start, {}, {}, 0.1))  # type: ignore[misc]
    assert weights.grad is not None
    assert torch.allclose(gradient, weights.grad, rtol=1e-5)


def test_constrained_updates_are_shorter_and_the_factor_scales_them() -> None:
    free = metrics(BACKDOOR)[0]["update_norm_malicious"]
    tied = metrics(around("constrain-and-scale", alpha=0.5))[0]["update_norm_malicious"]
    scaled = metrics(around("constrain-and-scale", alpha=0.5, factor=3))[0]["update_norm_malicious"]
    assert tied < 0.8 * free
    assert scaled == pytest.approx(3 * tied, rel=1e-6)


# --- model replacement ------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "eta"), [("mean", 1.0), ("fedavg", 0.5)])
@pytest.mark.parametrize("adversaries", [1, 2])
def test_the_global_model_becomes_the_adversaries_own(rule: str, eta: float, adversaries: int) -> None:
    attack = {"name": "model-replacement", "of": {**BACKDOOR, "lr": 0.1}, **KNOWS}
    still = experiment(
        attack,
        adversaries={"count": adversaries},
        split={"name": "quantity", "alpha": 2.0, "min_size": 30},
        training={"epochs": 1, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 1e-30}},
        defence={"aggregator": rule},
        server={"learning_rate": eta},
    )
    world = build_world(still, Execution())
    state = initial_state(world)
    deltas, bad = trained(world, initial_state(world))
    assert (deltas[~bad] == 0).all()
    sizes = torch.tensor([len(world.population.shards[k]) for k in range(5)]).double()[bad]
    weights = sizes if rule == "fedavg" else torch.ones_like(sizes)
    wanted = world.initial_weights + (weights[:, None] * deltas[bad].double()).sum(0) / weights.sum()
    next(rounds(world, state, []))
    assert torch.allclose(state.weights.double(), wanted, rtol=0, atol=1e-6)
    assert (state.weights - world.initial_weights).norm() > 0.1


@pytest.mark.parametrize("rule", ["mean", "fedavg"])
def test_the_measured_factor_is_that_of_the_formula_whatever_honest_clients_send(rule: str) -> None:
    own = [[1.0, 2.0], [3.0, -1.0]]
    sent = fedskew.craft(
        "model-replacement",
        [[1.0, 1.0], [0.5, 0.0], [0.0, 2.0]],
        own=own,
        aggregator=rule,
        of="none",
        **KNOWS,
    )
    assert torch.allclose(sent, 5 / 2 * torch.tensor(own), rtol=1e-5)


def test_reported_examples_count_for_the_factor() -> None:
    # Each of two reports 10 for 1: of 3 + 20 the adversaries have 20.
    inner = {"name": "n-k-inflation", "factor": 10, "of": "none"}
    own = [[1.0, 2.0], [3.0, -1.0]]
    sent = fedskew.craft("model-replacement", [[0.0, 0.0]] * 3, own=own, of=inner, **KNOWS)
    assert torch.allclose(sent, 23 / 20 * torch.tensor(own), rtol=1e-5)


def test_where_the_defence_ignores_the_adversaries_they_send_what_they_have() -> None:
    # The median of three equal rows and one other is that of the three.
    sent = fedskew.craft(
        "model-replacement", [[1.0, 1.0]] * 3, own=[[5.0, 7.0]], aggregator="median", of="none", **KNOWS
    )
    assert sent.tolist() == [[5.0, 7.0]]
    nothing = fedskew.craft("model-replacement", [[1.0, 1.0]] * 3, own=[[0.0, 0.0]], of="none", **KNOWS)
    assert nothing.tolist() == [[0.0, 0.0]]


def test_a_given_factor_needs_to_know_nothing() -> None:
    assert built(around("model-replacement", factor=3)).threat_model == "own-updates"
    sent = fedskew.craft("model-replacement", [[1.0, 1.0]], own=[[2.0, -1.0]], of="sign-flip", factor=3)
    assert sent.tolist() == [[-6.0, 3.0]]


# --- train-and-scale --------------------------------------------------------------------------------


def test_rows_get_the_norm_and_those_of_0_stay() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]])
    expected = [pytest.approx([1.2, 1.6]), pytest.approx([1.2, -1.6]), [0.0, 0.0]]
    assert with_norm(rows, 2.0).tolist() == expected
    assert with_norm(rows, None) is rows


def test_every_adversary_sends_the_norm_in_a_run() -> None:
    found = metrics(around("train-and-scale", norm=1.5))
    assert [one["update_norm_malicious"] for one in found] == pytest.approx([1.5] * 3, rel=1e-5)


# --- n_k inflation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_rules_that_ignore_the_number_of_examples_are_not_moved(rule: str) -> None:
    inflated, defence = around("n-k-inflation", factor=10), {"defence": {"aggregator": rule}}
    assert metrics(inflated, **defence) == metrics(BACKDOOR, **defence)


def test_fedavg_is_moved() -> None:
    plain, inflated = metrics(BACKDOOR)[0], metrics(around("n-k-inflation", factor=10))[0]
    assert inflated["update_norm_malicious"] == plain["update_norm_malicious"]
    assert inflated["backdoor_accuracy"] != plain["backdoor_accuracy"]


def test_reports_multiply() -> None:
    twice = {"name": "n-k-inflation", "factor": 3, "of": {**BACKDOOR, "report": 2.0}}
    assert metrics(twice) == metrics(around("n-k-inflation", factor=6))


# --- what is known before a run ---------------------------------------------------------------------


def test_only_an_attack_that_nothing_is_wrapped_around_can_be_idle_by_its_poisoning() -> None:
    assert only_poisons(built(BACKDOOR))
    assert only_poisons(built(around("neurotoxin", share=0)))
    for attack in (
        around("neurotoxin"),
        around("n-k-inflation", factor=2),
        around("pgd", radius=1.0),
        around("pgd", **KNOWS),  # whose radius is not known yet
    ):
        assert not only_poisons(built(attack))


# --- threat models ----------------------------------------------------------------------------------


def test_a_wrapper_knows_what_it_wraps_and_what_it_says_itself() -> None:
    def known(attack: dict[str, Any]) -> Any:
        return built(attack).threat_model

    assert known(around("train-and-scale", norm=1.0)) == "own-updates"
    assert known(around("train-and-scale", norm="median", threat_model="all-updates")) == "all-updates"
    tailored = {"name": "train-and-scale", "norm": "median", "of": "opt-ipm", "threat_model": "all-updates"}
    assert known(tailored) == "knows-the-defence"  # never less than what is inside needs


def informed(info: DatasetInfo, *, shape: int = 3, threat_model: str = "own-updates") -> Attack:
    """A plug-in that scales by the norm it is told of, and returns rows of another shape if told so."""

    def crafting(factor: float) -> Attack:
        return Attack(
            craft=lambda deltas, view, rng: factor * deltas[:, :shape],
            threat_model=threat_model,
            knowing=lambda defence: crafting(defence.norm_bound or 0.0),
        )

    return crafting(1.0)


def crafted(attack: dict[str, Any], clip: float) -> Tensor:
    transforms = [{"name": "clip", "norm": clip}]
    return fedskew.craft(attack, torch.zeros(3, 3), own=[[1.0, 2.0, 3.0]], transforms=transforms)


def test_a_plug_in_inside_is_told_of_the_defence_where_its_own_threat_model_says_so() -> None:
    def doubled(inside: dict[str, Any], **known: Any) -> Any:
        return crafted({"name": "model-replacement", "factor": 2, "of": inside, **known}, 5.0).tolist()

    untold, told = {"name": informed}, {"name": informed, "threat_model": "knows-the-defence"}
    assert doubled(told) == doubled(told, **KNOWS) == [[10.0, 20.0, 30.0]]
    assert doubled(untold) == doubled(untold, **KNOWS) == [[2.0, 4.0, 6.0]]


@pytest.mark.parametrize("of", ["alie", "min-max", "min-sum", "fang-trim", "gaussian"])
@pytest.mark.parametrize("known", ["all-updates", "knows-the-defence"])
def test_what_a_wrapper_knows_is_not_for_the_attack_inside(of: str, known: str) -> None:
    options: dict[str, Any] = {"z": 1.5} if of == "alie" else {}
    inside = {"name": of, "threat_model": "own-updates", **options}
    honest, own = [[0.0, 0.0], [1.0, 0.5]], [[99.0, 100.0], [101.0, 100.0], [100.0, 103.0]]
    alone = fedskew.craft(inside, honest, own=own)
    wrapped = {"name": "model-replacement", "factor": 1, "threat_model": known, "of": inside}
    assert torch.equal(fedskew.craft(wrapped, honest, own=own), alone)


def test_an_attack_inside_sees_what_its_own_threat_model_says() -> None:
    seen: list[tuple[bool, bool, bool]] = []

    def looking(info: DatasetInfo, *, threat_model: str) -> Attack:
        def craft(deltas: Tensor, view: AdversaryView, rng: Any) -> Tensor:
            seen.append((view.others is not None, view.other_ids is not None, view.simulate is not None))
            return deltas

        return Attack(craft=craft, threat_model=threat_model)

    for threat_model in ("own-updates", "all-updates", "knows-the-defence"):
        inside = {"name": "pgd", "radius": 1, "of": {"name": looking, "threat_model": threat_model}}
        fedskew.craft({"name": "train-and-scale", "norm": "median", "of": inside, **KNOWS}, [[1.0, 2.0]])
    assert seen == [(False, False, False), (True, True, False), (True, True, True)]


def test_what_a_plug_in_inside_returns_is_checked_before_the_wrapper_gets_it() -> None:
    attack = {"name": "train-and-scale", "norm": 1, "of": {"name": informed, "shape": 2}}
    with pytest.raises(ConfigError, match="informed': craft returned") as caught:
        crafted(attack, 5.0)
    assert "2" in caught.value.message


def test_other_words_for_the_same_inner_attack_do_not_rename_a_run() -> None:
    def named(of: Any) -> str:
        return identity(experiment({"name": "pgd", "radius": 1, "of": of}))

    assert named("sign-flip") == named({"name": "sign-flip", "scale": 1.0})
    assert named("sign-flip") != named({"name": "sign-flip", "scale": 2.0})


def test_wrappers_keep_what_evaluation_looks_for() -> None:
    inner = {**BACKDOOR, "source_classes": [1, 2]}
    attack = built({"name": "neurotoxin", "of": {"name": "n-k-inflation", "factor": 2, "of": inner}})
    assert attack.target == 7
    assert attack.source_classes == (1, 2)
    assert attack.trigger is not None
