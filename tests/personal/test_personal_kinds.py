"""The kinds of personal models by themselves: worked cases, limits, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fedskew
from fedskew import testing
from fedskew.components.binding import complete_experiment
from fedskew.components.identity import identity
from fedskew.components.returned import checked_personal
from fedskew.config import Experiment
from fedskew.errors import ConfigError
from fedskew.personal.ditto import ditto
from fedskew.personal.fine_tuning import fine_tuning
from fedskew.personal.none import none
from fedskew.protocols import LocalObjective, LocalView, PersonalModel


def descended(strength: float, centre: torch.Tensor, pull: torch.Tensor, curvature: float) -> torch.Tensor:
    """Where gradient descent on curvature/2 ||v - centre||^2 ends with Ditto's objective."""
    objective = ditto(strength=strength).objective
    weights = torch.zeros_like(centre)
    for _ in range(400):
        gradient = curvature * (weights - centre)
        if objective.add is not None:
            objective.add(gradient, LocalView(weights, torch.zeros_like(weights), {"global": pull}, {}, 0.1))
        weights = weights - 0.1 * gradient
    return weights


@pytest.mark.parametrize("strength", [0.0, 0.5, 8.0])
def test_ditto_ends_between_the_clients_optimum_and_the_global_weights(strength: float) -> None:
    """The optimum of a/2 ||v - c||^2 + lambda/2 ||v - w||^2 is (a c + lambda w) / (a + lambda)."""
    centre, pull = torch.tensor([1.0, -2.0, 4.0]), torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 4.0]])
    expected = (2.0 * centre + strength * pull) / (2.0 + strength)
    for row in range(2):
        assert torch.allclose(descended(strength, centre, pull[row], 2.0), expected[row], atol=1e-5)


def test_the_limits() -> None:
    assert ditto(strength=0, epochs=3) == PersonalModel(3, lasting=True)
    assert fine_tuning() == PersonalModel()
    assert none() == PersonalModel(epochs=0)
    assert (
        checked_personal("x", PersonalModel(0, LocalObjective(add=lambda *_: None), lasting=True)) == none()
    )


def experiment(**clients: Any) -> Experiment:
    return Experiment.model_validate({"clients": clients})


def test_a_run_without_personal_models_keeps_its_name() -> None:
    assert identity(experiment(personal="none")) == identity(Experiment())
    assert identity(experiment(held_out=0.2, personal="fine-tuning")) != identity(experiment(held_out=0.2))


def refused(**clients: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        complete_experiment(experiment(**clients))
    return error.value


def test_personal_models_need_data_to_be_measured_on() -> None:
    error = refused(personal={"name": "ditto", "strength": 1.0})
    assert error.field == "clients.personal"
    assert error.message == (
        "clients.personal = 'ditto': personal models are measured on the clients' held-out data, and clients.held_out "
        "= 0"
    )
    assert "clients.held_out = 0.2" in str(error.hint)
    assert "needs strength" in refused(personal="ditto", held_out=0.2).message
    complete_experiment(experiment(personal="none"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: PersonalModel(epochs=-1), r"epochs is -1; expected a whole number, at least 0, or None"),
        (lambda: PersonalModel(epochs=1.5), r"epochs is 1\.5; expected a whole number"),  # type: ignore[arg-type]
        (lambda: PersonalModel(epochs=True), r"epochs is True; expected a whole number"),
        (lambda: PersonalModel(objective=None), r"objective is None; expected a LocalObjective"),  # type: ignore[arg-type]
        (
            lambda: PersonalModel(objective=LocalObjective(add=3)),  # type: ignore[arg-type]
            r"add of its LocalObjective is 3; expected a function",
        ),
        (
            lambda: PersonalModel(objective=LocalObjective(send=lambda state: state)),
            r"its objective has a part on the server, send, which is never called: nothing of a personal model is sent",
        ),
        (lambda: LocalObjective(), r"must return a PersonalModel, not LocalObjective"),
    ],
)
def test_a_kind_that_cannot_be_is_refused_by_a_run_and_by_its_check(made: Any, words: str) -> None:
    one = Experiment.model_validate({"rounds": 1, "clients": {"held_out": 0.2, "personal": made}})
    with pytest.raises(ConfigError, match=rf"personal '.*lambda.*'.*{words}"):
        next(fedskew.simulate(one))
    with pytest.raises((ConfigError, testing.ConformanceError), match=words):
        testing.check_personal(made)


def pulled_in_place() -> PersonalModel:
    def add(gradient: torch.Tensor, view: LocalView) -> None:
        view.sent["global"].mul_(0.5)

    return PersonalModel(objective=LocalObjective(add=add))


def test_the_global_weights_are_not_the_objectives_to_change() -> None:
    one = Experiment.model_validate({"rounds": 1, "clients": {"held_out": 0.2, "personal": pulled_in_place}})
    with pytest.raises(ConfigError, match=r"objective '.*pulled_in_place' changed in place"):
        next(fedskew.simulate(one))
    with pytest.raises(testing.ConformanceError, match="changed what the server sent"):
        testing.check_personal(pulled_in_place)


def drawing() -> PersonalModel:
    def add(gradient: torch.Tensor, view: LocalView) -> None:
        gradient += torch.randn(gradient.shape)

    return PersonalModel(objective=LocalObjective(add=add), lasting=True)


def test_one_that_draws_from_a_global_generator_is_refused() -> None:
    one = Experiment.model_validate({"rounds": 1, "clients": {"held_out": 0.2, "personal": drawing}})
    with pytest.raises(ConfigError, match=r"personal '.*drawing'.*used the global random generator of torch"):
        next(fedskew.simulate(one))
