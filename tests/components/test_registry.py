"""Names, callables and plug-ins to components; what is refused, and what is never imported unasked."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import Field

import fedskew
from fedskew.cli import app
from fedskew.components import binding as components
from fedskew.components import permission, registry, rules
from fedskew.components.facts import states_factory
from fedskew.components.row import REQUIRED
from fedskew.components.seams import SEAMS
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import (
    AggregationTrace,
    Aggregator,
    ClientUpdates,
    LocalObjective,
    ParameterLayout,
    ServerStep,
    ServerView,
    StartView,
    StartWeights,
    UpdateTransform,
)
from fedskew.study.folder import StudyFolder
from fedskew.study.missing import run_missing
from fedskew.study.source import as_study, find_config
from fedskew.study.tasks import WorkerSetup

if TYPE_CHECKING:
    from fedskew.protocols import RoundRecord as OnlyForTypeCheckers

UPDATES = ClientUpdates(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([1, 3]), torch.tensor([0, 1]))
VIEW = ServerView(1, torch.zeros(2), ParameterLayout(("w",), ((2,),)))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers or allows is gone after it."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    with permission.allowing(()):
        yield


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("split", "dirichelt", "dirichlet"),
        ("dataset", "fashion_mnist", "fashion-mnist"),
        ("model", "lennet", "lenet"),
        ("trigger", "squre", "square"),
        ("attack", "backdor", "backdoor"),
        ("transform", "clipp", "clip"),
        ("aggregator", "medain", "median"),
        ("learning-rate", "rrl", "rlr"),
        ("lr-schedule", "exponentail", "exponential"),
        ("stopping", "platau", "plateau"),
    ],
)
def test_an_unknown_name_lists_and_suggests(kind: str, name: str, near: str) -> None:
    for use in (registry.lookup, lambda kind, name: components.complete(kind, Component(name=name))):
        with pytest.raises(ConfigError, match=f"unknown {kind} '{name}'; valid: ") as caught:
            use(kind, name)
        assert caught.value.hint == f"did you mean {near!r}?"
        assert near in caught.value.message


def test_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="unknown kind of component 'splits'") as caught:
        registry.names("splits")
    assert caught.value.hint == "did you mean 'split'?"


def test_the_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^defence\.transforms\[1\]: unknown transform 'clp'"):
        components.complete_experiment(
            Experiment(defence={"transforms": [{"name": "clip", "norm": 1.0}, "clp"]})
        )
    with pytest.raises(ConfigError, match=r"^attack\.trigger: unknown trigger 'pluss'"):
        components.complete_experiment(
            Experiment(attack={"name": "backdoor", "target": 1, "trigger": "pluss"})
        )


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in BUILT_IN.items() for name in names]
)
def test_the_table_says_what_the_code_says(kind: str, name: str) -> None:
    row = BUILT_IN[kind][name]
    function = registry.lookup(kind, name)
    registry.check_signature(kind, name, function)
    assert row.summary
    assert row.facts.factory == states_factory(kind, function)
    seam = SEAMS[kind].arguments
    found = {
        n: REQUIRED if p.default is p.empty else p.default
        for n, p in inspect.signature(function).parameters.items()
        if n not in seam and not (kind == "dataset" and n == "verify")  # a field of Data
    }
    for option, default in found.items():
        if isinstance(default, Component):
            found[option] = {"name": default.name, **default.options}
    assert {n: list(d) if isinstance(d, tuple) else d for n, d in found.items()} == row.options
    assert {*row.facts.components, *row.facts.idle} <= {*row.options}
    assert function.__doc__


# --- options ----------------------------------------------------------------------------------------


@dataclass
class Unhashable:
    """A rule as an object: with ``__eq__`` and without a hash."""

    power: int = 1

    def __call__(self, updates: ClientUpdates, view: ServerView, *, factor: float = 1.0) -> torch.Tensor:
        return updates.deltas.mean(0) * factor**self.power


def test_options_of_an_object_that_cannot_be_a_key() -> None:
    rule = Unhashable(2)
    for factor in (2.0, 3.0):
        bound = components.resolve("aggregator", Component(name=rule, factor=factor))
        found = bound(ClientUpdates(torch.ones(2, 3), torch.ones(2), torch.arange(2)), None)
        assert found.tolist() == [factor**2] * 3
    with pytest.raises(ConfigError, match="factor = 'x': must be a number"):
        components.resolve("aggregator", Component(name=rule, factor="x"))


def test_options_are_checked_by_name() -> None:
    with pytest.raises(
        ConfigError, match=r"split 'dirichlet' has no option 'alhpa'; valid: alpha, remainder"
    ) as caught:
        components.complete("split", Component(name="dirichlet", alhpa=1))
    assert caught.value.hint == "did you mean 'alpha'?"
    with pytest.raises(ConfigError, match="split 'dirichlet' needs alpha"):
        components.complete("split", Component(name="dirichlet"))


def test_what_is_no_factory_is_told_that_it_should_be_one() -> None:
    def direct(model: Any, loss: Any) -> Any:
        return loss

    with pytest.raises(ConfigError, match="needs model") as caught:
        rules.build_rule("objective", Component(name=direct))
    assert caught.value.hint is not None
    assert "a record, LocalObjective" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "component", "words"),
    [
        ("split", Component(name="dirichlet", alpha=0), r"here\.alpha = 0: input should be greater than 0"),
        (
            "split",
            Component(name="dirichlet", alpha="x"),
            r"here\.alpha = 'x': must be a number, not text",
        ),
        (
            "split",
            Component(name="dirichlet", alpha=1, remainder="last"),
            r"here\.remainder = 'last': .*unbiased",
        ),
        ("split", Component(name="shards", classes_per_client=1.5), r"here\.classes_per_client = 1\.5"),
        ("stopping", Component(name="plateau", patience=0), r"here\.patience = 0"),
        ("stopping", Component(name="plateau", monitor="loss"), r"here\.monitor = 'loss': .*test_loss"),
        ("model", Component(name="mlp", hidden=64), r"here\.hidden = 64"),
        (
            "attack",
            Component(name="backdoor", target=7, projection="0.1"),
            r"here\.projection = '0\.1': must be a number, not text",
        ),
        ("attack", Component(name="backdoor", target=[7]), r"here\.target = \[7\]: input"),
        (
            "attack",
            Component(name="backdoor", target=7, source_classes=[1, [2]]),
            r"here\.source_classes\.1 = \[2\]: input",
        ),
        ("transform", Component(name="clip", norm="1"), r"here\.norm = '1': must be a number or 'median'"),
        ("transform", Component(name="clip", norm=-1), r"here\.norm = -1: input should be greater than 0"),
    ],
)
def test_options_are_checked_by_type_and_range(kind: str, component: Component, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        components.resolve(kind, component, "here")


def test_nan_is_no_number_for_an_option() -> None:
    with pytest.raises(ConfigError, match="alpha"):
        components.resolve("split", Component(name="dirichlet", alpha=float("nan")), "split")


def test_a_wrong_value_of_a_built_in_option_is_found_before_anything_runs(tmp_path: Path) -> None:
    """Not 45 times, in the workers: importing a built-in component is no code from outside."""
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\n[base]\nsplit = { name = "dirichlet", alpha = -1 }\n')
    source = find_config(str(path))
    folder = StudyFolder.open(tmp_path / "out", as_study(source), source)
    with pytest.raises(ConfigError, match=r"split\.alpha = -1"):
        run_missing(folder, folder.planned, 1, WorkerSetup(Execution()))


# --- signatures -------------------------------------------------------------------------------------


def stop_never(history: Any, *, after: Annotated[int, Field(ge=1)] = 3) -> Any:
    """Says what it was given."""
    return len(history), after


def test_a_callable_is_a_component() -> None:
    rule = components.resolve("stopping", Component(name=stop_never, after=5))
    assert rule([1, 2]) == (2, 5)
    with pytest.raises(ConfigError, match=r"stopping: .*stop_never' has no option 'befor'; valid: after"):
        components.resolve("stopping", Component(name=stop_never, befor=5))
    with pytest.raises(ConfigError, match=r"stopping\.after = 0"):
        components.resolve("stopping", Component(name=stop_never, after=0))


def test_a_registered_name() -> None:
    registry.register("stopping", "never")(stop_never)
    assert registry.names("stopping")["never"] == "Says what it was given."
    assert components.resolve("stopping", Component(name="never"))([1]) == (1, 3)
    with pytest.raises(ConfigError, match="there is already a stopping called 'never'"):
        registry.register("stopping", "never")(stop_never)
    with pytest.raises(ConfigError, match="there is already a stopping called 'rounds'"):
        registry.register("stopping", "rounds")(stop_never)


@pytest.mark.parametrize(
    ("kind", "function", "words"),
    [
        ("stopping", lambda records: None, "argument 1 must be 'history', found 'records'"),
        ("stopping", lambda: None, "argument 1 must be 'history', which is missing"),
        ("stopping", lambda *, history: None, "argument 1 must be 'history', which is missing"),
        ("split", lambda labels, clients, rng: None, "argument 2 must be 'num_clients', found 'clients'"),
        ("split", lambda labels, num_clients: None, "argument 3 must be 'rng', which is missing"),
        ("learning-rate", lambda lr, updates: None, "argument 1 must be 'updates', found 'lr'"),
        ("aggregator", lambda updates: None, "argument 2 must be 'view', which is missing"),
        ("aggregator", lambda view, updates: None, "argument 1 must be 'updates', found 'view'"),
        ("transform", lambda updates, rng, view: None, "argument 2 must be 'view', found 'rng'"),
        ("metric", lambda predictions: None, "argument 1 must be 'evaluation', found 'predictions'"),
    ],
)
def test_a_wrong_signature_is_refused_at_registration(
    kind: str, function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=f"{kind} 'mine': {words}"):
        registry.register(kind, "mine")(function)
    assert "mine" not in registry.names(kind)


def test_what_is_not_callable_is_refused() -> None:
    with pytest.raises(ConfigError, match="stopping 'mine' is not callable but int"):
        registry.register("stopping", "mine")(3)  # type: ignore[type-var]


def test_a_built_in_function_without_a_signature_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="stopping"):
        registry.register("stopping", "mine")(dict.fromkeys)


def for_type_checkers(history: list[OnlyForTypeCheckers], *, n: int = 1) -> int:
    return n


def test_annotations_that_only_type_checkers_can_read() -> None:
    """Plug-ins import the types of their arguments under TYPE_CHECKING; only options need their hints."""
    assert components.resolve("stopping", Component(name=for_type_checkers, n=2))([]) == 2


def test_a_partial_is_a_component() -> None:
    rule = Component(name=functools.partial(stop_never, after=7))
    assert components.resolve("stopping", rule)([]) == (0, 7)


# --- stateful rules ---------------------------------------------------------------------------------


def momentum(beta: float = 0.5) -> Aggregator:
    """A rule that keeps state."""

    def apply(updates: ClientUpdates, view: ServerView, state: Any) -> Any:
        kept = beta * state["v"] + updates.deltas.mean(dim=0)
        return kept, AggregationTrace({"norm": float(kept.norm())}), {"v": kept}

    return Aggregator(apply, lambda: {"v": torch.zeros(2)})


def test_a_factory_of_a_stateful_record() -> None:
    registry.register("aggregator", "momentum")(momentum)
    rule = rules.build_rule("aggregator", Component(name="momentum", beta=1.0))
    first, _, state = rule.apply(UPDATES, VIEW, rule.init())
    second, trace, _ = rule.apply(UPDATES, VIEW, state)
    assert first.tolist() == [2.0, 4.0]
    assert second.tolist() == [4.0, 8.0]
    assert trace.values["norm"] == pytest.approx(80**0.5)
    with pytest.raises(ConfigError, match=r"defence\.aggregator\.beta = 'x'"):
        rules.build_rule("aggregator", Component(name="momentum", beta="x"), "defence.aggregator")


def broken(beta: int = 1) -> Aggregator:
    return beta  # type: ignore[return-value]


def test_a_factory_must_return_its_record() -> None:
    registry.register("aggregator", "broken")(broken)
    with pytest.raises(
        ConfigError, match="aggregator 'broken' is a factory and must return an Aggregator, not int"
    ):
        rules.build_rule("aggregator", Component(name="broken"))


def test_what_neither_fits_its_seam_nor_says_that_it_is_a_factory_is_told_how_to() -> None:
    for function in (lambda beta=1: momentum(beta), lambda: momentum()):
        with pytest.raises(ConfigError, match="aggregator 'mine': argument 1 must be 'updates'") as caught:
            registry.register("aggregator", "mine")(function)
        assert caught.value.hint == (
            "if it is a factory of its options, say so: annotate it with -> Aggregator, "
            "or decorate it with @fedskew.facts(factory=True)"
        )
    registry.register("aggregator", "mine")(fedskew.facts(factory=True)(lambda beta=1.0: momentum(beta)))
    rule = rules.build_rule("aggregator", Component(name="mine", beta=0.25))
    assert rule.apply(UPDATES, VIEW, rule.init())[0].tolist() == [2.0, 4.0]


def test_a_plain_function_becomes_a_rule() -> None:
    rule = rules.build_rule("aggregator", Component(name=lambda updates, view: updates.deltas[0]))
    delta, trace, state = rule.apply(UPDATES, VIEW, rule.init())
    assert (delta.tolist(), dict(trace.values), state) == ([1.0, 2.0], {}, {})

    def double(updates: Any, view: Any, rng: Any, *, by: float) -> Any:
        return updates.with_deltas(by * updates.deltas)

    transform = rules.build_rule("transform", Component(name=double, by=2.0))
    assert isinstance(transform, UpdateTransform)
    changed, _ = transform.apply(UPDATES, VIEW, {}, np.random.default_rng(0))
    assert changed.deltas.tolist() == [[2.0, 4.0], [6.0, 12.0]]


def test_plain_functions_and_factories_of_server_steps_and_start_weights() -> None:
    delta, rng = torch.tensor([1.0, 2.0]), np.random.default_rng(0)
    step = rules.build_rule("server-step", Component(name=lambda delta, *, by: by * delta, by=2.0))
    assert isinstance(step, ServerStep)
    assert step.apply(delta, step.init())[0].tolist() == [2.0, 4.0]
    for component in (Component(name="global"), Component(name="stale", delay=0)):
        start = rules.build_rule("start", component)
        assert isinstance(start, StartWeights)
        assert start.apply(StartView(1, delta, (0,)), start.init(), rng) == (None, {})
    assert isinstance(rules.build_rule("objective", Component(name="none")), LocalObjective)


# --- code from outside ------------------------------------------------------------------------------

PLUGIN = """\
import pathlib
pathlib.Path({marker!r}).write_text("imported")

def stop(history, *, after: int = 1):
    return after

def wrong(records):
    return None

class Holder:
    @staticmethod
    def stop(history):
        return "held"
"""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plug-in ``skewplug.rules`` on the import path, which writes this file when it is imported."""
    package = tmp_path / "site" / "skewplug"
    package.mkdir(parents=True)
    path = tmp_path / "imported.txt"
    (package / "__init__.py").write_text("")
    (package / "rules.py").write_text(PLUGIN.format(marker=str(path)))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield path
    for name in [n for n in sys.modules if n.partition(".")[0] == "skewplug"]:
        del sys.modules[name]


def test_code_from_outside_is_imported_only_with_leave(marker: Path) -> None:
    component = Component(name="skewplug.rules:stop", after=4)
    with pytest.raises(
        ConfigError, match="is code from outside, which requires permission to be imported"
    ) as caught:
        components.resolve("stopping", component)
    assert caught.value.hint == "if you trust it, add --allow-plugin skewplug"
    for other in ("skewplu", "skewplug.rule", "skewplug.rules.deeper", "rules"):
        permission.allow_plugin(other)
    with pytest.raises(ConfigError, match="code from outside"):
        components.resolve("stopping", component)
    assert not marker.exists()

    permission.allow_plugin("skewplug")
    assert components.resolve("stopping", component)([]) == 4
    assert marker.read_text() == "imported"
    assert components.resolve("stopping", Component(name="skewplug.rules:Holder.stop"))([]) == "held"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("skewplug.rules:wrong", "argument 1 must be 'history', found 'records'"),
        ("skewplug.rules:missing", "cannot import 'skewplug.rules:missing'"),
        ("skewplug.nothing:stop", "cannot import 'skewplug.nothing:stop'"),
        ("skewplug.rules:", "cannot import"),
    ],
)
def test_what_a_plugin_can_get_wrong(marker: Path, name: str, words: str) -> None:
    permission.allow_plugin("skewplug")
    with pytest.raises(ConfigError, match=words):
        components.resolve("stopping", Component(name=name))


def test_a_plugin_that_breaks_while_it_is_imported(marker: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "skewplug" / "broken.py").write_text("1 / 0\n")
    permission.allow_plugin("skewplug")
    with pytest.raises(ConfigError, match="skewplug"):
        registry.lookup("stopping", "skewplug.broken:stop")


def entry_point(site: Path, line: str) -> None:
    folder = site / "skewplug-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: skewplug\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[fedskew.stopping]\n{line}\n")


def test_an_installed_entry_point_needs_no_leave(marker: Path, tmp_path: Path) -> None:
    entry_point(tmp_path / "site", "plugged = skewplug.rules:stop")
    assert registry.names("stopping")["plugged"] == "from skewplug (skewplug.rules:stop)"
    assert components.complete("stopping", Component(name="plugged", after=2)).options == {"after": 2}
    with pytest.raises(ConfigError, match="unknown stopping 'pluged'") as caught:
        registry.lookup("stopping", "pluged")
    assert caught.value.hint == "did you mean 'plugged'?"
    assert not marker.exists()
    assert components.resolve("stopping", Component(name="plugged", after=2))([]) == 2


def test_an_entry_point_with_a_wrong_signature_names_itself_and_the_argument(
    marker: Path, tmp_path: Path
) -> None:
    entry_point(tmp_path / "site", "plugged = skewplug.rules:wrong")
    with pytest.raises(ConfigError, match=r"plugged \(skewplug\.rules:wrong\).*'history', found 'records'"):
        components.resolve("stopping", Component(name="plugged"))


def test_list_plan_and_report_import_no_plugin(
    marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry_point(tmp_path / "site", "plugged = skewplug.rules:stop")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nseeds = [0, 1]\n[base]\nstopping = "skewplug.rules:stop"\n'
        '[axes.stop]\nfield = "stopping"\nvalues = ["plugged", "skewplug.rules:stop"]\n'
    )
    source = find_config(str(path))
    StudyFolder.open(Path("studies") / "mine", as_study(source), source)
    for arguments in (
        ["list"],
        ["list", "stopping", "--json"],
        ["plan", str(path)],
        ["plan", "studies/mine", "--json"],
        ["report", "mine"],
        ["report", "mine", "--format", "json"],
    ):
        assert app(arguments, standalone_mode=False) in (None, 0), capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "plugged" in shown
    assert "skewplug.rules:stop" in shown
    assert not marker.exists()
    assert "skewplug" not in sys.modules
