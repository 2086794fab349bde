"""The guard around components that are not built in: their errors, and the global random generators that they use."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fedskew.components import binding
from fedskew.components.outside import guarded, guarded_parts, repeatable, told
from fedskew.components.randomness import global_states, used
from fedskew.components.seams import SEAMS
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.protocols import AdversaryView, Aggregator, Attack, LocalObjective, keep_updates
from fedskew.protocols.data import no_state

DRAWS: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.randperm(3),
    "numpy.random": lambda: np.random.rand(),  # noqa: NPY002
    "random": random.random,
}


def boom(*_: Any) -> Any:
    raise ZeroDivisionError("no luck\nand more of it")


# --- global random states ---------------------------------------------------------------------------


@pytest.mark.parametrize("library", DRAWS)
def test_one_draw_from_a_global_generator_is_seen(library: str) -> None:
    before = global_states()
    assert used(before) == []
    DRAWS[library]()
    assert used(before) == [library]
    assert used(before, {library}) == []


def test_the_second_of_a_pair_of_normal_numbers_is_seen_although_the_generator_stays_as_it_was() -> None:
    while not np.random.get_state(legacy=False)["has_gauss"]:  # noqa: NPY002
        np.random.randn()  # noqa: NPY002
    before = global_states()
    np.random.randn()  # noqa: NPY002
    assert used(before) == ["numpy.random"]


def test_own_generators_and_restored_states_are_not_seen() -> None:
    before = global_states()
    np.random.default_rng(0).random()
    np.random.default_rng().random()  # different each time, and seen by the checks of fedskew.testing alone
    torch.rand(2, generator=torch.Generator().manual_seed(1))
    random.Random(0).random()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.rand(1)
    assert used(before) == []


def test_another_generator_in_the_place_of_numpys_is_watched_as_well() -> None:
    legacy = np.random.get_bit_generator()  # type: ignore[attr-defined]
    np.random.set_bit_generator(np.random.PCG64(1))  # type: ignore[attr-defined]
    try:
        before = global_states()
        assert used(before) == []
        np.random.rand()  # noqa: NPY002
        assert used(before) == ["numpy.random"]
    finally:
        np.random.set_bit_generator(legacy)  # type: ignore[attr-defined]


# --- the guard --------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", DRAWS)
def test_what_draws_globally_is_named_with_what_to_draw_from(library: str) -> None:
    def rule(updates: Any, view: Any) -> Any:
        return DRAWS[library]()

    with pytest.raises(ConfigError) as caught:
        guarded("aggregator", "mine", rule, "defence.aggregator")(None, None)
    assert caught.value.message == (
        f"aggregator 'mine' used the global random generator of {library}, so that no run with it can be repeated"
    )
    assert caught.value.hint == (
        "draw from `view.rng`, a NumPy generator, for example `torch.from_numpy(view.rng.random(n))`"
    )
    assert caught.value.field == "defence.aggregator"


def test_a_model_may_use_the_generator_that_is_seeded_for_it_and_no_other() -> None:
    assert guarded("model", "mine", lambda info: torch.rand(1))(None).shape == (1,)
    with pytest.raises(ConfigError, match=r"generator of numpy\.random, so") as caught:
        guarded("model", "mine", lambda info: DRAWS["numpy.random"]())(None)
    assert "PyTorch's global generator" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kind", "given"), [("aggregator", "view.rng"), ("transform", "rng"), ("attack", "rng"), ("start", "rng")]
)
def test_what_a_hint_says_to_draw_works(kind: str, given: str) -> None:
    example = SEAMS[kind].rng.split("for example `")[1].removesuffix("`")
    rng = np.random.default_rng(0)
    names = {"torch": torch, "view": SimpleNamespace(rng=rng), "rng": rng, "n": 3}
    assert f"{given}.random" in example
    assert eval(example, names).shape == (3,)


def test_an_error_inside_is_one_sentence_with_its_place_and_its_cause() -> None:
    with pytest.raises(ConfigError) as caught:
        guarded("split", "mine", boom, "split")(1, 2, 3)
    assert caught.value.message.startswith("split 'mine' failed with ZeroDivisionError: no luck (")
    assert "test_outside.py, line " in caught.value.message
    assert "\n" not in caught.value.message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_call_that_never_gets_inside_names_no_place_in_fedskew() -> None:
    with pytest.raises(ConfigError) as caught:
        guarded("metric", "mine", lambda: None)("evaluation")
    assert caught.value.message.endswith("takes 0 positional arguments but 1 was given")
    with (
        pytest.raises(ConfigError, match=r"^metric 'mine' failed with AssertionError \("),
        told("metric 'mine'"),
    ):
        raise AssertionError


@pytest.mark.parametrize("error", [ConfigError("says it itself"), MemoryError(), torch.OutOfMemoryError()])
def test_what_a_component_says_itself_and_a_lack_of_memory_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, repeatable("x", "y"):
        raise error
    assert caught.value is error


def test_the_functions_of_a_record_are_guarded_and_defaults_are_not() -> None:
    rule = guarded_parts("aggregator", "mine", Aggregator(boom))
    assert rule.init is no_state
    with pytest.raises(ConfigError, match=r"^aggregator 'mine' failed with ZeroDivisionError"):
        rule.apply(None, None, {})  # type: ignore[arg-type]

    def craft(deltas: Any, view: AdversaryView, rng: Any) -> Any:
        return torch.rand(1)

    attack = guarded_parts(
        "attack", "mine", Attack(craft=craft, objective=LocalObjective(add=boom)), "attack"
    )
    assert attack.poison is Attack.poison
    assert not attack.objective.keeps  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"^attack 'mine': craft used the global random generator of torch"):
        attack.craft(None, None, None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^attack 'mine': add failed with ZeroDivisionError") as caught:
        attack.objective.add(None, None)  # type: ignore[union-attr, arg-type, misc]
    assert caught.value.field == "attack"
    plain = Attack(craft=keep_updates)
    assert guarded_parts("attack", "mine", plain) is plain
    assert guarded_parts("attack", "mine", None) is None


def test_built_in_components_are_called_as_they_are_and_others_behind_the_guard() -> None:
    with pytest.raises(TypeError, match="missing"):
        binding.resolve("stopping", Component(name="rounds"))()
    with pytest.raises(ConfigError, match="failed with TypeError"):
        binding.resolve("stopping", Component(name=lambda history: None))()
    with pytest.raises(ZeroDivisionError):
        binding.bare("stopping", Component(name=lambda history: boom()))(())


def factory() -> Aggregator:
    torch.rand(1)
    return Aggregator(lambda updates, view, state: (None, None, None))  # type: ignore[arg-type, return-value]


def test_the_making_of_a_record_is_guarded_too() -> None:
    with pytest.raises(ConfigError, match=r"factory' used the global random generator of torch"):
        binding.built("aggregator", Component(name=factory))
