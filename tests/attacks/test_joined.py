"""Two local objectives of an adversary as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedskew.attacks.joined import joined
from fedskew.attacks.projection import ball
from fedskew.errors import ConfigError
from fedskew.protocols import LocalObjective, LocalResult, LocalView, State
from fedskew.testing import check_objective


def counting(step: float) -> LocalObjective:
    """Adds ``step`` times the count of its calls, which it keeps in place; uploads it under a name of its own."""

    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["calls"] += 1
        gradient += step * view.kept["calls"]

    def finish(result: LocalResult) -> tuple[State, State]:
        return result.kept, {f"calls-{step:g}": result.kept["calls"].clone()}

    return LocalObjective(add=add, init=lambda parameters: {"calls": torch.zeros(1)}, finish=finish)


def doubling() -> LocalObjective:
    """Doubles the gradient, and puts a new tensor where it keeps the sum of what it has seen."""

    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["sum"] = view.kept["sum"] + gradient.sum(-1, keepdim=True)
        gradient *= 2

    return LocalObjective(add=add, init=lambda parameters: {"sum": torch.zeros(1)})


def shifting(by: float) -> LocalObjective:
    def project(weights: Tensor, view: LocalView) -> None:
        weights += by

    return LocalObjective(project=project)


def view(kept: State) -> LocalView:
    return LocalView(torch.zeros(2), torch.zeros(2), {}, kept, 0.1)


def test_nothing_before_is_the_second_itself() -> None:
    only = counting(1)
    assert joined(None, only) is only


def test_the_second_gets_what_the_first_has_made_and_each_keeps_its_own() -> None:
    both = joined(counting(1), doubling())
    assert both.keeps
    kept, gradient = both.init(2), torch.tensor([1.0, 2.0])
    assert both.add is not None
    both.add(gradient, view(kept))  # (1, 2) + 1 = (2, 3), doubled
    assert gradient.tolist() == [4, 6]
    both.add(gradient, view(kept))  # (4, 6) + 2 = (6, 8)
    assert gradient.tolist() == [12, 16]
    assert {name: tensor.tolist() for name, tensor in kept.items()} == {
        "first.calls": [2],
        "second.sum": [19],
    }
    after, uploads = both.finish(LocalResult(torch.zeros(2), 2, 0.1, {}, kept, torch.zeros(2), 2))
    assert after.keys() == kept.keys()
    assert {name: tensor.tolist() for name, tensor in uploads.items()} == {"calls-1": [2]}
    assert both.project is None


def test_of_three_each_keeps_its_own() -> None:
    three = joined(joined(counting(1), counting(10)), counting(100))
    kept, gradient = three.init(2), torch.zeros(2)
    assert three.add is not None
    three.add(gradient, view(kept))
    assert gradient.tolist() == [111, 111]
    assert sorted(kept) == ["first.first.calls", "first.second.calls", "second.calls"]
    _, uploads = three.finish(LocalResult(torch.zeros(2), 1, 0.1, {}, kept, torch.zeros(2), 1))
    assert sorted(uploads) == ["calls-1", "calls-10", "calls-100"]


def test_projections_follow_one_another_and_keep_nothing() -> None:
    both = joined(shifting(1), shifting(2))
    assert not both.keeps
    assert both.add is None
    assert both.finish is LocalObjective.finish
    weights = torch.zeros(2)
    assert both.project is not None
    both.project(weights, view({}))
    assert weights.tolist() == [3, 3]


def ahead() -> LocalObjective:
    """Looks a count of its own calls ahead, which it keeps."""

    def look(gradient: Tensor, view: LocalView) -> Tensor:
        view.kept["calls"] += 1
        return view.weights + view.kept["calls"] * gradient

    return LocalObjective(look=look, init=lambda parameters: {"calls": torch.zeros(1)})


def doubled(sizes: Tensor) -> Tensor:
    return torch.stack([torch.full((len(sizes),), 2.0), torch.zeros(len(sizes))])


@pytest.mark.parametrize("first", [True, False])
def test_the_logits_and_the_look_of_either_stay(first: bool) -> None:
    one, other = LocalObjective(logits=doubled), ball(1.0)
    assert joined(*((one, other) if first else (other, one))).logits is doubled
    both = joined(*((ahead(), counting(1)) if first else (counting(1), ahead())))
    kept, gradient = both.init(2), torch.tensor([1.0, 2.0])
    assert both.look is not None
    assert both.look(gradient, view(kept)).tolist() == [1, 2]
    assert both.look(gradient, view(kept)).tolist() == [2, 4]
    own, others = ("first", "second") if first else ("second", "first")
    assert (kept[f"{own}.calls"].item(), kept[f"{others}.calls"].item()) == (2, 0)


@pytest.mark.parametrize(("name", "one"), [("logits", LocalObjective(logits=doubled)), ("look", ahead())])
def test_of_logits_and_of_looks_there_is_one(name: str, one: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        joined(one, one)
    assert caught.value.message == (
        f"the objectives of an attack and of the one around it both have '{name}', and training takes only one"
    )
    assert caught.value.hint


def test_a_joined_objective_keeps_what_its_seam_promises() -> None:
    def both() -> LocalObjective:
        return joined(counting(1), joined(doubling(), shifting(2)))

    check_objective(both)
