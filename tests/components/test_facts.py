"""Facts: what is stated on rows and by plug-ins, and what is known of a component with its options."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import fedskew
from fedskew import protocols
from fedskew.components import known, registry
from fedskew.components.binding import components_of
from fedskew.components.facts import stated, states_factory
from fedskew.components.identity import rounds_identity
from fedskew.components.row import REQUIRED, Facts, Row
from fedskew.components.seams import SEAMS
from fedskew.components.table import BUILT_IN, PACKAGES
from fedskew.config import Component, Defence, Experiment
from fedskew.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", {})


# --- rows -------------------------------------------------------------------------------------------


def test_every_package_keeps_its_own_rows() -> None:
    homes = {row.target.split(".")[1] for rows in BUILT_IN.values() for row in rows.values()}
    assert homes == {*PACKAGES}
    assert list(BUILT_IN) == list(SEAMS)


def test_rows_are_read_without_pytorch() -> None:
    code = "import sys, fedskew.components.table; print({'torch', 'numpy', 'pydantic'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def names_where(kind: str, fact: Callable[[Facts], bool]) -> set[str]:
    return {name for name, row in BUILT_IN[kind].items() if fact(row.facts)}


def test_what_is_stated_of_the_built_in_components() -> None:
    remedies = {"q-fedavg", "afl"}
    assert names_where("aggregator", lambda facts: not facts.defends) == {
        "fedavg",
        "mean",
        "fedmgda",
        *remedies,
    }
    assert names_where("learning-rate", lambda facts: not facts.defends) == {"constant", "fedexp"}
    assert names_where("transform", lambda facts: not facts.defends) == {"fednova"}
    assert names_where("transform", lambda facts: facts.merges is not None) == {"nnm", "bucketing"}
    assert names_where("transform", lambda facts: bool(facts.each_client)) == {"fednova"}
    assert names_where("aggregator", lambda facts: bool(facts.each_client)) == {*remedies, "term"}
    assert names_where("server-step", lambda facts: facts.defends) == set()
    assert {"median", "krum"} <= names_where("aggregator", lambda facts: facts.always_acts)
    assert names_where("stopping", lambda facts: facts.never_stops) == {"rounds"}
    assert names_where("attack", lambda facts: facts.harmless) == {"none"}
    assert names_where("attack", lambda facts: facts.relabels) == {
        "backdoor",
        "dba",
        "edge-case",
        "label-flip",
        "unfairness",
    }
    wrappers = names_where("attack", lambda facts: facts.wraps == "of")
    assert {"pgd", "neurotoxin", "n-k-inflation"} <= wrappers
    assert names_where("attack", lambda facts: facts.components == {"of": "attack"}) == wrappers
    assert names_where("attack", lambda facts: bool(facts.components)) == {"backdoor", "dba", *wrappers}
    assert names_where("transform", lambda facts: facts.norm_bound == "norm") == {"clip"}
    assert names_where("aggregator", lambda facts: facts.norm_bound == "clip") == {"dp-fedavg"}
    assert names_where("transform", lambda facts: facts.sums is not None) == {"clip", "noise", "fednova"}


def test_an_option_that_is_idle_can_be_left_out() -> None:
    for rows in BUILT_IN.values():
        for row in rows.values():
            assert not [name for name in row.facts.idle if row.options[name] is REQUIRED]


@pytest.mark.parametrize("kind", [kind for kind, seam in SEAMS.items() if seam.factory])
def test_the_factories_of_a_kind_return_a_record_of_the_protocols(kind: str) -> None:
    assert hasattr(protocols, SEAMS[kind].factory or "")


# --- what a plug-in states --------------------------------------------------------------------------


@fedskew.facts(always_acts=True, clients=lambda options: options["f"] + 1, clients_why="f are left out")
def trimmed(updates: Any, view: Any, *, f: int = 2) -> Any:
    return updates.deltas[f]


def test_a_fact_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="unknown fact of a component 'always_act'") as caught:
        fedskew.facts(always_act=True)
    assert caught.value.hint == "did you mean 'always_acts'?"


def test_stated_facts_are_found_through_partials() -> None:
    assert stated(trimmed) is stated(functools.partial(functools.partial(trimmed, f=3)))
    assert stated(functools.partial(len)) is None


def test_facts_of_a_function_a_registered_name_and_an_imported_module() -> None:
    registry.register("aggregator", "trimmed")(trimmed)
    for name in (trimmed, functools.partial(trimmed), "trimmed", f"{__name__}:trimmed"):
        component = Component(name=name)
        assert known.facts_of("aggregator", component).always_acts
        assert known.fewest_updates("aggregator", component) == 3
        assert known.fewest_updates("aggregator", Component(name=name, f=7)) == 8
    for name in ("nowhere.at.all:f", f"{__name__}:nothing", "nobody"):
        assert known.facts_of("aggregator", Component(name=name)) == Facts()
    assert "nowhere" not in sys.modules


def test_a_factory_says_so_by_its_annotation() -> None:
    def text() -> "protocols.Aggregator": ...  # type: ignore[empty-body]  # noqa: UP037
    def plain() -> protocols.Aggregator: ...  # type: ignore[empty-body]
    def other() -> protocols.UpdateTransform: ...  # type: ignore[empty-body]

    plain.__annotations__["return"] = protocols.Aggregator
    for function in (text, plain, functools.partial(plain), fedskew.facts(factory=True)(lambda x: x)):
        assert states_factory("aggregator", function)
        assert not states_factory("stopping", function)
    for component in (other, lambda updates, view: None, trimmed):
        assert not states_factory("aggregator", component)
    assert states_factory("objective", lambda mu: None)  # there is nothing else that it could be


# --- what is known ----------------------------------------------------------------------------------


def early(history: Any, *, monitor: str = "test_loss") -> Any:
    return None


def test_what_a_component_looks_at() -> None:
    def seen(kind: str, **component: Any) -> dict[str, str]:
        return known.looks_at(kind, Component(**component))

    assert seen("stopping", name="plateau") == {"train_loss": "monitor"}
    assert seen("stopping", name="plateau", monitor="test_loss") == {"test_loss": "monitor"}
    assert seen("lr-schedule", name="plateau") == {"validation_loss": "monitor"}
    assert seen("stopping", name="rounds") == {}
    assert seen("stopping", name=early) == {"test_loss": "monitor"}
    assert seen("stopping", name="mine:early", monitor="validation_loss") == {"validation_loss": "monitor"}
    peeking = fedskew.facts(looks_at=("test_loss",))(lambda history: None)
    assert seen("stopping", name=peeking) == {"test_loss": ""}


def test_how_many_updates_a_rule_needs_and_a_transform_leaves() -> None:
    assert known.fewest_updates("aggregator", Component(name="krum", f=2)) == 7
    assert known.fewest_updates("aggregator", Component(name="multi-krum", f=1, m=9)) == 10
    assert known.fewest_updates("aggregator", Component(name="krum", f="x")) == 1
    assert known.fewest_updates("learning-rate", Component(name="rlr", theta=4.5)) == 4.5
    assert known.fewest_updates("aggregator", Component(name="median")) == 1
    assert known.most_updates("aggregator", Component(name="mda", f=2)) == 632
    assert known.most_updates("aggregator", Component(name="mda", f=0)) == math.inf
    assert known.most_updates("aggregator", Component(name="mda", f=[2])) == math.inf
    assert known.most_updates("aggregator", Component(name="krum", f=2)) == math.inf
    assert known.updates_left(Component(name="bucketing"), 7) == 4
    assert known.updates_left(Component(name="bucketing", size=3), 7) == 3
    assert known.updates_left(Component(name="bucketing", size=0), 7) == 7
    assert known.updates_left(Component(name="clip", norm=1), 7) == 7


def test_components_that_options_hold() -> None:
    attack: dict[str, Any] = {"name": "backdoor", "target": 1, "trigger": {"name": "mask", "path": "x.npy"}}
    found = {path: (kind, c.label) for path, kind, c in components_of(Experiment(attack=attack))}
    assert found["attack"] == ("attack", "backdoor")
    assert found["attack.trigger"] == ("trigger", "mask")
    assert known.is_built_in("attack", Component(**attack))
    assert not known.is_built_in("attack", Component(name="backdoor", target=1, trigger="mine:dot"))
    assert not known.is_built_in("attack", Component(name="mine:attack"))
    # Another's option of this name may mean anything.
    mine = Experiment(attack={"name": "mine:attack", "trigger": "at dawn"})
    assert "attack.trigger" not in [path for path, _, _ in components_of(mine)]


def test_options_that_are_idle_without_adversaries_do_not_tell_rounds_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rounds_of(count: int, **options: Any) -> str:
        attack = {"name": "idler", **options}
        return rounds_identity(Experiment(attack=attack, adversaries={"count": count}))

    row = Row("x:y", "", {"share": 1.0, "start": None, "target": REQUIRED}, Facts(idle=("share", "start")))
    monkeypatch.setitem(BUILT_IN["attack"], "idler", row)
    assert rounds_of(0, target=1, share=0.5, start=3) == rounds_of(0, target=1)
    assert rounds_of(1, target=1, share=0.5) != rounds_of(1, target=1)
    assert rounds_of(0, target=2) != rounds_of(0, target=1)


def wrapped(inner: Any, **options: Any) -> dict[str, Any]:
    return {"name": "n-k-inflation", "factor": 3, **options, "of": inner}


def test_a_wrapper_has_from_the_attack_inside_it_what_it_does_not_change() -> None:
    def facts(attack: dict[str, Any]) -> Facts:
        return known.facts_of("attack", Component.model_validate(attack))

    backdoor = {"name": "backdoor", "target": 7}
    for inner, relabels in ((backdoor, True), ("sign-flip", False)):
        assert facts(wrapped(inner)).relabels == facts(wrapped(wrapped(inner))).relabels == relabels
    # It lies about n_k even if the attack inside does nothing.
    assert known.is_attacked(Experiment(attack=wrapped("none"), adversaries={"count": 1}))


def test_without_adversaries_nothing_is_wrapped_around_an_attack() -> None:
    def rounds_of(count: int, attack: Any) -> str:
        return rounds_identity(Experiment(attack=attack, adversaries={"count": count}))

    backdoor = {"name": "backdoor", "target": 7, "epochs": 3}
    both = wrapped({"name": "pgd", "radius": 1, "of": backdoor}, factor=5)
    assert rounds_of(0, both) == rounds_of(0, wrapped(backdoor)) == rounds_of(0, backdoor)
    assert rounds_of(0, both) != rounds_of(0, wrapped({**backdoor, "target": 8}))
    assert len({rounds_of(1, attack) for attack in (both, wrapped(backdoor), backdoor)}) == 3
    assert rounds_of(0, wrapped("sign-flip")) == rounds_of(0, "sign-flip")


def test_the_smallest_norm_to_which_a_defence_clips() -> None:
    def bound(*transforms: Any, aggregator: Any = "fedavg") -> float | None:
        return known.norm_bound(Defence(transforms=transforms, aggregator=aggregator))

    clips = [{"name": "clip", "norm": norm} for norm in (2.0, 0.5, 1.0)]
    assert bound(*clips, {"name": "noise", "std": 1}) == 0.5
    assert bound({"name": "noise", "std": 1}) is None
    assert bound({"name": "clip", "norm": "much"}) is None  # the check of the options says so
    assert bound({"name": "clip", "norm": "median"}) is None
    private = {"name": "dp-fedavg", "clip": 1.5, "noise_multiplier": 1}
    assert bound(aggregator=private) == 1.5
    assert bound(clips[2], aggregator=private) == 1.0
    assert bound(clips[0], aggregator=private) == 1.5
    assert bound(aggregator="flame") is None
    assert bound() is None


def test_a_plug_in_may_state_that_it_bounds_norms_wraps_or_lacks_something() -> None:
    @fedskew.register("transform", "shorten")
    @fedskew.facts(norm_bound="to")
    def shorten(updates: Any, view: Any, rng: Any, *, to: float = 4.0) -> Any:
        return updates

    @fedskew.register("attack", "around")
    @fedskew.facts(
        wraps="inside",
        components={"inside": "attack"},
        lacking=lambda options, clients, adversaries, everybody: (
            f"needs {clients} of {everybody}" if adversaries < clients else ""
        ),
    )
    def around(info: Any, *, inside: Component) -> Any:
        raise AssertionError

    assert known.norm_bound(Defence(transforms=(Component(name="shorten"),))) == 4.0
    mine = Component.model_validate({"name": "around", "inside": {"name": "backdoor", "target": 7}})
    assert known.facts_of("attack", mine).relabels
    found = [where for where, _, _ in known.with_inner("attack", "attack", mine)]
    assert found == ["attack", "attack.inside"]
    assert known.lacking("attack", mine, 5, 2, 9) == "needs 5 of 9"
    assert known.lacking("attack", mine, 2, 2, 9) == ""
    # The name of a run must not depend on whether a plug-in has been imported.
    assert known.innermost("attack", mine) is mine
