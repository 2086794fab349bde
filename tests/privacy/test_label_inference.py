"""The mix of classes of each client: recovered exactly where it can be, and better than knowing nothing elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.federation.asked import draw_records
from fedskew.federation.state import initial_state
from fedskew.federation.world import build_world
from fedskew.models.mlp import mlp
from fedskew.privacy import label_inference as module
from fedskew.privacy.label_inference import class_numbers, has_output_bias, label_inference, regressed, solved
from fedskew.privacy.virtual_clients import halved
from fedskew.protocols import (
    ClientUpdates,
    DatasetInfo,
    Guess,
    Observation,
    ParameterLayout,
    PrivacyAttack,
    PrivacyView,
    State,
)
from fedskew.seeding import stream
from fedskew.simulation import rounds, simulate
from fedskew.testing.examples import PARAMETERS, matrix
from fedskew.testing.privacy import example_view

ADAM = {"name": "adam", "lr": 0.01, "state": "persist"}
PLAIN = {"name": "sgd", "lr": 0.1}


def experiment(**changes: Any) -> Experiment:
    fields = {
        "data": "digits",
        "rounds": 1,
        "clients": {"count": 10, "held_out": 0.2},
        "split": {"name": "dirichlet", "alpha": 0.25},
        "training": {"epochs": 2, "batch_size": 32, "optimizer": PLAIN},
        "privacy": {"attacks": ["label-inference"], "every": 1},
    }
    return Experiment.model_validate(fields | changes)


def asked(**options: Any) -> dict[str, Any]:
    return {"attacks": [{"name": "label-inference", **options}], "every": 1}


def found(config: Experiment) -> dict[str, float]:
    metrics = list(simulate(config))[-1].metrics
    return {name: value for name, value in metrics.items() if name.startswith("label_inference")}


def guessed(config: Experiment, **options: Any) -> Tensor:
    """What the attack says of each client, float64 [K, C]."""
    attack, said = label_inference(**options), list[Tensor]()

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        said.append(attack.guess(final, view, state).scores)
        return Guess(said[-1])

    def listening() -> PrivacyAttack:
        return replace(attack, guess=guess)

    privacy = config.privacy.model_copy(update={"attacks": asked_of(listening)})
    list(simulate(config.model_copy(update={"privacy": privacy})))
    return said[-1]


def asked_of(attack: Any) -> Any:
    return experiment(privacy={"attacks": [attack]}).privacy.attacks


def zero_head(info: DatasetInfo) -> nn.Module:
    """A model that says the same of every image: P is known exactly."""
    model = mlp(info, hidden=[16])
    assert isinstance(model, nn.Sequential)
    last = model[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, 0.0)
    with torch.no_grad():
        last.bias[3] = 0.7
    return model


def without_bias(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))


ONE_STEP = {"epochs": 1, "batch_size": 2000, "optimizer": PLAIN}


def test_one_step_of_plain_sgd_gives_the_mix_away_exactly() -> None:
    config = experiment(model={"name": zero_head}, training=ONE_STEP, privacy=asked(method="analytic"))
    metrics = found(config)
    assert metrics["label_inference_label_error"] < 1e-4
    assert metrics["label_inference_label_error_global"] > 0.8


def test_a_model_without_an_output_bias_is_not_analysed_but_simulated() -> None:
    config = experiment(model={"name": without_bias})
    assert (
        found(config.model_copy(update={"privacy": experiment(privacy=asked(method="analytic")).privacy}))
        == {}
    )
    assert found(config)["label_inference_label_error"] < 0.6


def test_which_layouts_end_with_an_output_bias() -> None:
    assert has_output_bias(ParameterLayout(("w", "b"), ((3, 5), (3,))), 3)
    assert not has_output_bias(ParameterLayout(("w", "b"), ((5, 5), (5,))), 3)
    assert not has_output_bias(ParameterLayout(("scale", "offset"), ((3,), (3,))), 3)
    assert not has_output_bias(ParameterLayout(("b",), ((3,),)), 3)


@pytest.mark.parametrize("optimizer", [ADAM, PLAIN], ids=["adam", "sgd"])
@pytest.mark.parametrize("alpha", [1.0, 0.1])
@pytest.mark.parametrize("every", [1, 4])
def test_better_than_both_base_rates_on_uneven_data(
    optimizer: dict[str, Any], alpha: float, every: int
) -> None:
    """Less than three quarters of their error, also when the first round that it sees is the fourth."""
    metrics = found(
        experiment(
            rounds=4,
            split={"name": "dirichlet", "alpha": alpha},
            training={"epochs": 2, "batch_size": 32, "optimizer": optimizer},
            privacy={"attacks": ["label-inference"], "every": every},
        )
    )
    error = metrics.pop("label_inference_label_error")
    assert error < 0.75 * min(metrics.values())


@pytest.mark.parametrize("optimizer", [ADAM, PLAIN], ids=["adam", "sgd"])
def test_clients_with_one_class_are_found(optimizer: dict[str, Any]) -> None:
    config = experiment(
        split={"name": "shards", "classes_per_client": 1},
        training={"epochs": 2, "batch_size": 32, "optimizer": optimizer},
    )
    truth = draw_records(build_world(completed(config), Execution())).truth.mixes
    shares = guessed(config)
    assert (truth.max(axis=1) == 1).all()
    assert (shares.argmax(dim=1).numpy() == truth.argmax(axis=1)).all()
    assert (shares.max(dim=1).values > 0.6).all()


def test_even_data_is_not_taken_for_uneven() -> None:
    """The base rates are then all but right and it cannot beat them; what holds: no class is said to be missing, none
    to be more than a quarter, and the mean of all clients is near the truth."""
    shares = guessed(experiment(split="iid"))
    assert shares.min() > 0.01
    assert shares.max() < 0.25
    assert (shares.mean(dim=0) - 0.1).abs().sum() < 0.1


def test_a_run_that_goes_on_finds_what_one_that_never_stopped_finds_and_is_not_changed() -> None:
    """Three of six clients in each round: whom the attack has guessed already is a part of its state."""
    changes: dict[str, Any] = {"rounds": 5, "clients": {"count": 6, "fraction": 0.5, "held_out": 0.2}}
    config = experiment(**changes, privacy={"attacks": ["label-inference"], "every": 2})
    whole, without = list(simulate(config)), list(simulate(experiment(**changes, privacy={})))
    ours = {name: value for name, value in whole[-1].metrics.items() if "label_inference" in name}
    assert len(ours) == 3
    assert {**without[-1].metrics, **ours} == whole[-1].metrics
    short = build_world(completed(config.model_copy(update={"rounds": 3})), Execution())
    state = initial_state(short)
    list(rounds(short, state, []))
    state.finished = ""
    rest = list(rounds(build_world(completed(config), Execution()), state, whole[:3]))
    assert rest[-1].metrics == whole[-1].metrics


# --- on a linear model ------------------------------------------------------------------------------


def observation(rows: Tensor, ids: Tensor, number: int = 1, sizes: Tensor | None = None) -> Observation:
    updates = ClientUpdates(rows, torch.full((len(rows),), 12) if sizes is None else sizes, ids)
    return Observation(number, torch.zeros(PARAMETERS), updates)


def shares_of(
    rows: Tensor,
    ids: Tensor,
    view: PrivacyView | None = None,
    state: State | None = None,
    sizes: Tensor | None = None,
    **options: Any,
) -> Tensor:
    attack = label_inference(**options)
    after = attack.observe(observation(rows, ids, sizes=sizes), view or example_view(0), state or {})
    return attack.guess(torch.zeros(PARAMETERS), view or example_view(0), after).scores


def updates_of(mixes: Tensor) -> Tensor:
    """One step of SGD from zero weights on images whose labels have these shares: on zero weights it is exact."""
    view = example_view(0)
    rows = []
    for mix in mixes:
        labels = torch.arange(len(mix)).repeat_interleave((mix * 12).round().long())
        rows.append(view.train(torch.zeros(PARAMETERS), view.public[:12], labels, 0))
    return torch.stack(rows)


MIXES = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]])
IDS = torch.tensor([4, 0, 9])


def test_by_hand_the_change_of_the_bias_is_the_share_minus_a_quarter() -> None:
    """From zero weights a step of 0.5 changes the bias by 0.5 (share - 1/4): half of that of client 4, say."""
    rows = updates_of(MIXES)
    assert torch.allclose(rows[:, -4:], 0.5 * (MIXES - 0.25), atol=1e-6)
    shares = shares_of(rows, IDS, method="analytic")
    assert torch.allclose(shares[IDS], MIXES.double(), atol=1e-5)
    assert shares[[k for k in range(20) if k not in IDS]].isnan().all()


@pytest.mark.parametrize("method", ["simulated", "analytic"])
def test_the_order_of_the_clients_changes_nothing(method: str) -> None:
    rows, order = matrix(3, 0), torch.tensor([2, 0, 1])
    first = shares_of(rows, IDS, example_view(0), sizes=IDS + 5, method=method)
    second = shares_of(rows[order], IDS[order], example_view(0), sizes=IDS[order] + 5, method=method)
    assert torch.equal(first.nan_to_num(-1), second.nan_to_num(-1))
    assert torch.allclose(first[IDS].sum(dim=1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("method", ["simulated", "analytic"])
def test_virtual_clients_have_as_many_images_as_clients_report_whatever_that_is(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client 9, an adversary perhaps, reports more than fits into a memory."""
    monkeypatch.setattr(module, "LARGEST", 100)
    view, sizes = example_view(0), list[int]()

    def train(weights: Tensor, images: Tensor, labels: Tensor, draw: int) -> Tensor:
        sizes.append(len(images))
        return view.train(weights, images, labels, draw)

    shares_of(
        matrix(3, 0), IDS, replace(view, train=train), sizes=torch.tensor([7, 11, 10**12]), method=method
    )
    assert {*sizes} == {7, 11, 100}


@pytest.mark.parametrize("method", ["simulated", "analytic"])
def test_a_client_is_guessed_once_and_rounds_without_a_new_one_cost_nothing(method: str) -> None:
    attack, calls = label_inference(method=method, virtual=8), list[int]()  # type: ignore[arg-type]

    def counted(number: int) -> PrivacyView:
        view = example_view(number)

        def train(weights: Tensor, images: Tensor, labels: Tensor, draw: int) -> Tensor:
            calls.append(draw)
            return view.train(weights, images, labels, draw)

        return replace(view, train=train)

    state = attack.observe(observation(matrix(3, 0), IDS), counted(0), {})
    spent = len(calls)
    assert spent == (8 if method == "simulated" else 3)
    assert attack.observe(observation(matrix(3, 1), IDS, 2), counted(1), state) is state
    assert len(calls) == spent
    more = attack.observe(observation(matrix(3, 2), IDS + 1, 3), counted(2), state)
    assert len(calls) == 2 * spent
    assert torch.equal(more["shares"][IDS], state["shares"][IDS])


@pytest.mark.parametrize("method", ["simulated", "analytic"])
def test_an_update_that_is_not_finite_leaves_the_others_as_they_are(method: str) -> None:
    rows = updates_of(MIXES)
    rows[1, 0] = torch.nan
    shares = shares_of(rows, IDS, method=method)
    assert shares[IDS[1]].isnan().all()
    assert shares[IDS[[0, 2]]].isfinite().all()
    rows[1] = 1e38  # finite, but what it does to the losses is not
    assert shares_of(rows, IDS, method=method)[IDS[[0, 2]]].isfinite().all()


@pytest.mark.parametrize("method", ["simulated", "analytic"])
def test_a_class_without_public_images_counts_as_absent_and_no_public_images_tell_nothing(
    method: str,
) -> None:
    view = example_view(0)
    others = view.public_labels != 2
    some = replace(view, public=view.public[others], public_labels=view.public_labels[others])
    shares = shares_of(updates_of(MIXES), IDS, some, method=method)[IDS]
    assert (shares[:, 2] == 0).all()
    assert torch.allclose(shares.sum(dim=1), torch.ones(3, dtype=torch.float64))
    none = replace(view, public=view.public[:0], public_labels=view.public_labels[:0])
    assert shares_of(updates_of(MIXES), IDS, none, method=method).isnan().all()


# --- the arithmetic ---------------------------------------------------------------------------------


def test_least_squares_keep_shares_above_zero_and_add_up_to_one() -> None:
    step = torch.eye(3, dtype=torch.float64) - 1 / 3
    assert solved(step, torch.tensor([2.0, -1.0, -1.0]).double()).tolist() == pytest.approx([1, 0, 0])
    exact = solved(step, torch.tensor([0.2, 0.1, -0.3]).double() / 1)
    assert exact.tolist() == pytest.approx([1 / 3 + 0.2, 1 / 3 + 0.1, 1 / 3 - 0.3])


def test_the_regression_recovers_roots_that_are_linear_in_the_numbers() -> None:
    """With another mean and another size of each number in each class, which standardising takes away."""
    rng = stream(0, "test label inference")
    mixes = torch.from_numpy(rng.dirichlet(np.ones(4), 24))
    roots = mixes.sqrt()
    standard = (roots - roots[:20].mean(dim=0)) / roots[:20].std(dim=0)
    numbers = torch.stack([standard * torch.arange(1, 5) - 3, -0.1 * standard + torch.arange(4)], dim=2)
    slope = (standard[:20] * (roots[:20] - roots[:20].mean(dim=0))).sum() / (standard[:20] ** 2).sum()
    expected = (roots[:20].mean(dim=0) + slope * standard[20:]).clamp(min=1e-6) ** 2
    expected /= expected.sum(dim=1, keepdim=True)
    assert torch.allclose(regressed(numbers[:20], mixes[:20], numbers[20:]), expected)


def test_numbers_that_say_nothing_give_the_mean_of_the_roots() -> None:
    mixes = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    same, other = torch.ones(2, 2, 3, dtype=torch.float64), torch.full((1, 2, 3), 5.0, dtype=torch.float64)
    assert regressed(same, mixes, other).tolist() == [[0.5, 0.5]]


def test_an_update_says_three_numbers_of_each_class() -> None:
    """From zero weights, where the loss is log 4: the change of the bias and the sum of that of the weights."""
    view, weights = example_view(0), torch.zeros(PARAMETERS)
    public = halved(view)
    still = class_numbers(weights, weights, public, view)
    assert torch.allclose(still, torch.tensor([np.log(np.log(4)), 0.0, 0.0]).double().expand(4, 3))
    delta = torch.arange(PARAMETERS) / 1000
    numbers = class_numbers(weights, delta, public, view)
    assert numbers[:, 1].tolist() == pytest.approx([0.020, 0.021, 0.022, 0.023])
    assert numbers[:, 2].tolist() == pytest.approx([0.010, 0.035, 0.060, 0.085])
    flat = replace(view, layout=ParameterLayout(("w",), ((PARAMETERS,),)))
    assert torch.equal(class_numbers(weights, delta, public, flat), numbers[:, :1])
