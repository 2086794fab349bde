"""Objectives, start weights and recipes on every engine, against one plain loop of torch.optim in float64.

The model is softmax regression: its loss is convex and smooth, so rounding errors of a step do not grow in later ones
(for the learning rates here), and the derived tolerance is a small share of what is compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from rehearsal import Rehearsed, rehearse
from torch import Tensor, nn

from fedskew.attacks.gradient_ascent import ascend
from fedskew.components.outside import guarded_parts
from fedskew.config import SGD, Adam, EngineName, Training
from fedskew.errors import ConfigError
from fedskew.objectives.fedcurv import fedcurv
from fedskew.objectives.feddyn import feddyn
from fedskew.objectives.fedlc import fedlc
from fedskew.objectives.fedprox import fedprox
from fedskew.objectives.fedrs import fedrs
from fedskew.objectives.fedsam import fedsam
from fedskew.objectives.logit_adjustment import logit_adjustment
from fedskew.objectives.none import none
from fedskew.objectives.scaffold import scaffold
from fedskew.protocols import DatasetInfo, LocalObjective, LocalResult, LocalView, State
from fedskew.training.arithmetic import flatten
from fedskew.training.choose import choose
from fedskew.training.engine import CohortResult, Engine
from fedskew.training.plan import ClientWork, plan
from fedskew.training.recipe import ATTACK_KEPT, KEPT, Recipe
from tolerance import EXACT, Expected, Rounding, expect

ENGINES: tuple[EngineName, ...] = ("torch", "native", "stacked", "graph")
INFO = DatasetInfo("toy", tuple("abc"), (1, 12, 12), (0.4,), (0.3,))
SIZES = (37, 5, 64, 20)
SHARDS = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
_generator = torch.Generator().manual_seed(5)
IMAGES = torch.randint(0, 256, (sum(SIZES), *INFO.image_shape), dtype=torch.uint8, generator=_generator)
LABELS = torch.randint(0, INFO.num_classes, (sum(SIZES),), generator=_generator)
LABELS[39] = 2  # client 1 has no image of class 1
WEIGHTS = 0.05 * torch.randn(3 * 144 + 3, generator=_generator)
OTHERS = WEIGHTS + 0.05 * torch.randn(len(SIZES), len(WEIGHTS), generator=_generator)

SETTINGS: dict[str, Adam | SGD] = {
    "sgd": SGD(lr=0.01, state="persist"),
    "momentum": SGD(lr=0.005, momentum=0.5, weight_decay=0.01, state="persist"),
    "adam": Adam(lr=0.01, eps=0.1, state="persist"),
    "fresh adam": Adam(lr=0.01, eps=0.1, state="fresh"),
}


def engine_of(name: EngineName, workers: int = 1) -> Engine:
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    training = Training(batch_size=16)
    return choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), name, training).build(workers)


def work_of(
    recipe: Recipe,
    clients: Sequence[int] = range(len(SIZES)),
    round_number: int = 1,
    epochs: int = 2,
    batch_size: int = 16,
    starts: dict[int, Tensor] | None = None,
) -> list[ClientWork]:
    training = Training(epochs=epochs, batch_size=batch_size)
    return plan(3, round_number, clients, SHARDS, training, recipe, starts)


def run(engine: Engine, work: Sequence[ClientWork], states: dict[int, State] | None = None) -> CohortResult:
    return engine.train(WEIGHTS, torch.zeros(0), work, states or {})


class Plain:
    """One client as a reader of the papers would write it, in float64; its optimiser and what it keeps live on."""

    def __init__(self, settings: Adam | SGD, objective: LocalObjective, rounding: Rounding = EXACT) -> None:
        self.settings, self.objective, self.rounding = settings, objective, rounding
        self.weights = torch.zeros(len(WEIGHTS), dtype=torch.float64, requires_grad=True)
        self.kept = {name: tensor.double() for name, tensor in objective.init(len(WEIGHTS)).items()}
        self.restart()

    def restart(self) -> None:
        if isinstance(self.settings, SGD):
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(
                [self.weights],
                momentum=self.settings.momentum,
                weight_decay=self.settings.weight_decay,
            )
        else:
            self.optimizer = torch.optim.Adam([self.weights], eps=self.settings.eps)

    def losses(self, batch: Tensor, logit_map: Tensor | None = None) -> Tensor:
        x = self.rounding.summed((IMAGES[batch].double().flatten(1) / 255 - INFO.mean[0]) / INFO.std[0])
        matrix, bias = self.weights[:432].view(3, 144), self.weights[432:]
        logits = x @ self.rounding.multiplied(matrix).T + self.rounding.multiplied(bias)
        if logit_map is not None:
            logits = self.rounding.stored(logits * logit_map[0].double() + logit_map[1].double())
        return self.rounding.cross_entropy(logits, LABELS[batch])

    def train(self, work: ClientWork, mu: float = 0.0) -> tuple[Tensor, State]:
        """Delta and uploads; with ``mu`` the proximal term as part of the loss, differentiated by autograd."""
        if self.settings.state == "fresh":
            self.restart()
        start = (WEIGHTS if work.start is None else work.start).cpu().double()
        self.weights.data.copy_(start)
        lr = self.settings.lr * work.recipe.lr_scale
        self.optimizer.param_groups[0]["lr"] = lr
        sent = {name: tensor.cpu().double() for name, tensor in work.recipe.sent.items()}
        view = LocalView(self.weights.data, start, sent, self.kept, lr)
        for batch in work.batches:
            self.optimizer.zero_grad()
            losses = self.losses(batch, work.logit_map)
            (losses.mean() + mu / 2 * (self.weights - start).square().sum()).backward()  # type: ignore[no-untyped-call]
            assert self.weights.grad is not None
            if self.objective.look is not None:
                here = self.weights.data.clone()
                there = self.objective.look(self.rounding.summed(self.weights.grad), view)
                self.weights.data.copy_(self.rounding.stored(there))
                self.optimizer.zero_grad()
                self.losses(batch, work.logit_map).mean().backward()  # type: ignore[no-untyped-call]
                self.weights.data.copy_(here)
            self.weights.grad.copy_(self.rounding.summed(self.weights.grad))
            if self.objective.add is not None:
                self.objective.add(self.weights.grad, view)
                self.weights.grad.copy_(self.rounding.stored(self.weights.grad))
            self.optimizer.step()
            self.weights.data.copy_(self.rounding.stored(self.weights.data))
            if self.objective.project is not None:
                self.objective.project(self.weights.data, view)
                self.weights.data.copy_(self.rounding.stored(self.weights.data))
        delta = self.weights.detach() - start
        visits = sum(len(batch) for batch in work.batches)
        result = LocalResult(delta, len(work.batches), lr, sent, self.kept, start, visits)
        self.kept, uploads = self.objective.finish(result)
        return delta, uploads


_expected: dict[Hashable, Expected] = {}


def expected(*rounds: Sequence[ClientWork], mu: float = 0.0) -> Expected:
    """Of rounds of clients, in the blocks of ``found``; with ``mu`` the proximal term instead of their objectives.

    The plain loop is slow and the same for every engine: it is not done again for the same work.
    """
    key = identity((tuple(map(tuple, rounds)), mu))
    if key not in _expected:
        _expected[key] = plainly(rounds, mu)
    return _expected[key]


def identity(value: Any) -> Hashable:
    """Of what is trained; an objective is the same where it is the same object."""
    if isinstance(value, Tensor):
        return value.shape, value.cpu().numpy().tobytes()
    if isinstance(value, ClientWork | Recipe):
        return tuple(identity(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return tuple((name, identity(each)) for name, each in sorted(value.items()))
    if isinstance(value, tuple):
        return tuple(map(identity, value))
    return repr(value) if isinstance(value, SGD | Adam) else value


def plainly(rounds: Sequence[Sequence[ClientWork]], mu: float) -> Expected:
    """The plain loop, and what rounding may do to it."""

    def train(rounding: Rounding) -> list[Tensor]:
        clients: dict[int, Plain] = {}
        blocks: list[Tensor] = []
        for job in (job for work in rounds for job in work):
            if job.client not in clients:
                objective = none() if mu else job.recipe.objective
                clients[job.client] = Plain(job.recipe.optimizer, objective, rounding)
            delta, uploads = clients[job.client].train(job, mu)
            blocks += [delta.clone(), *in_order(uploads), *in_order(clients[job.client].kept)]
        return blocks

    largest_batch = max(len(batch) for work in rounds for job in work for batch in job.batches)
    return expect(train, largest_batch, at_most=0.01, replicas=16)


def found(*results: CohortResult) -> list[Tensor]:
    """Client by client the delta, what it uploads and what it keeps for its objective, in order of their names."""
    blocks: list[Tensor] = []
    for result in results:
        for delta, report in zip(result.deltas, result.reports, strict=True):
            kept = {name: tensor for name, tensor in report.state.items() if name.startswith(KEPT)}
            blocks += [delta, *in_order(report.uploads), *in_order(kept)]
    return blocks


def in_order(state: State) -> list[Tensor]:
    return [state[name].clone() for name in sorted(state)]


def tally() -> LocalObjective:
    """In the manner of SCAFFOLD: adds up raw gradients in place, corrects by what is kept and sent, uploads."""

    def init(parameters: int) -> State:
        return {"sum": torch.zeros(parameters), "own": torch.zeros(parameters), "steps": torch.tensor(0.0)}

    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["sum"].add_(gradient)
        view.kept["steps"] += 1
        gradient.add_(view.sent["all"] - view.kept["own"])

    def finish(result: LocalResult) -> tuple[State, State]:
        own = result.kept["sum"] / result.steps
        kept = {"sum": torch.zeros_like(own), "own": own, "steps": result.kept["steps"]}
        return kept, {"change": own - result.kept["own"], "pace": result.delta / (result.steps * result.lr)}

    return LocalObjective(add=add, init=init, finish=finish)


def ball(radius: float) -> LocalObjective:
    """Projects onto the ball of that radius around the start weights."""

    def project(weights: Tensor, view: LocalView) -> None:
        away = weights - view.start
        length = torch.linalg.vector_norm(away, dim=-1, keepdim=True)
        weights.copy_(view.start + away * (radius / length).clamp(max=1))

    return LocalObjective(project=project)


def direction() -> Tensor:
    return 0.1 * torch.randn(len(WEIGHTS), generator=torch.Generator().manual_seed(7))


def mapped(work: Sequence[ClientWork]) -> list[ClientWork]:
    """With the logits that their objectives ask for."""

    def counts(job: ClientWork) -> Tensor:
        return torch.bincount(LABELS[torch.from_numpy(SHARDS[job.client])], minlength=INFO.num_classes)

    objectives = [job.recipe.objective.logits for job in work]
    return [
        job if logits is None else replace(job, logit_map=logits(counts(job)))
        for job, logits in zip(work, objectives, strict=True)
    ]


TALLY, PROXIMAL = tally(), fedprox(mu=3.0)
STATEFUL = {
    "scaffold": scaffold(),
    "feddyn": feddyn(alpha=2.0),
    "fedcurv": fedcurv(strength=0.1),
    "decoupled fedprox": fedprox(mu=3.0, decoupled=True),
}


def sent_to_all(name: str, number: int) -> State:
    """What the server sends in a round, where the objective has a part on it."""
    if number == 1 or name not in ("scaffold", "fedcurv"):
        return {}
    if name == "scaffold":
        return {"control": direction()}
    # Where the number of the round before is not the server's, clients leave nothing of their own out.
    before = torch.tensor([float(number - 1 if number == 2 else 0)])
    return {"fisher": direction().abs(), "anchored": direction().abs() * OTHERS[0], "round": before}


def rounds_of(
    engine: Engine, name: str, settings: Adam | SGD, epochs: int = 2
) -> tuple[list[list[ClientWork]], list[CohortResult]]:
    """Three rounds with an objective that keeps something."""
    states: dict[int, State] = {}
    rounds, results = [], []
    for number in (1, 2, 3):
        recipe = Recipe(settings, objective=STATEFUL[name], sent=sent_to_all(name, number))
        rounds.append(work_of(recipe, round_number=number, epochs=epochs, starts={2: OTHERS[number]}))
        results.append(run(engine, rounds[-1], states))
        ends = zip(rounds[-1], results[-1].reports, strict=True)
        states = {job.client: report.state for job, report in ends}
    return rounds, results


def same(one: CohortResult, other: CohortResult, rows: slice = slice(None)) -> None:
    assert torch.equal(one.deltas[rows], other.deltas)
    for mine, yours in zip(one.reports[rows], other.reports, strict=True):
        assert (mine.loss, mine.accuracy, mine.steps) == (yours.loss, yours.accuracy, yours.steps)
        for ours, theirs in ((mine.state, yours.state), (mine.uploads, yours.uploads)):
            assert set(ours) == set(theirs)
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SETTINGS)
def test_fedprox_is_the_proximal_term_in_the_loss(name: str, engine: EngineName) -> None:
    settings, runner = SETTINGS[name], engine_of(engine)
    rounds = [work_of(Recipe(settings, objective=PROXIMAL), round_number=n) for n in (1, 2)]
    states: dict[int, State] = {}
    results = []
    for work in rounds:
        results.append(run(runner, work, states))
        states = {job.client: report.state for job, report in zip(work, results[-1].reports, strict=True)}
    want = expected(*rounds, mu=3.0)
    assert want.excess(found(*results)) < 1
    bare = run(runner, work_of(Recipe(settings)))
    for delta, without, allowed in zip(results[0].deltas, bare.deltas, want.allowed, strict=False):
        assert (delta - without).norm() > 50 * allowed, "the test could not tell"


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_client_keeps_is_its_own_lives_on_and_is_uploaded(name: str, engine: EngineName) -> None:
    settings, runner, objective = SETTINGS[name], engine_of(engine, workers=2), TALLY
    recipe = Recipe(settings, objective=objective, sent={"all": direction()})
    rounds = [work_of(recipe, round_number=number) for number in (1, 2, 3)]
    states: dict[int, State] = {}
    results = []
    for number, work in enumerate(rounds, start=1):
        before = {k: {n: t.clone() for n, t in state.items()} for k, state in states.items()}
        result = run(runner, work, states)
        for k, state in before.items():
            assert all(torch.equal(states[k][n], t) for n, t in state.items()), "the caller's state changed"
        states = {job.client: report.state for job, report in zip(work, result.reports, strict=True)}
        results.append(result)
        for job, report in zip(work, result.reports, strict=True):
            assert report.steps == len(job.batches)
            assert set(report.uploads) == {"change", "pace"}
            assert all(value.dtype == torch.float32 for value in report.uploads.values())
            kept = {n for n in report.state if n.startswith(KEPT)}
            assert kept == {KEPT + "sum", KEPT + "own", KEPT + "steps"}
            assert int(report.state[KEPT + "steps"]) == number * len(job.batches)
            assert (len(report.state) > len(kept)) == (name in ("momentum", "adam"))
    assert expected(*rounds).excess(found(*results)) < 1
    assert torch.equal(recipe.sent["all"], direction())


LOOKING = {
    "fedsam": fedsam(rho=0.2),
    "fedlc": fedlc(tau=3.0),
    "fedrs": fedrs(alpha=0.3),
    "logit adjustment": logit_adjustment(tau=2.0),
    "a map and a look": replace(fedsam(rho=0.2), logits=fedlc(tau=3.0).logits),
}


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["momentum", "fresh adam"])
@pytest.mark.parametrize("objective", LOOKING.values(), ids=LOOKING)
def test_mapped_logits_and_gradients_taken_elsewhere(
    objective: LocalObjective, name: str, engine: EngineName
) -> None:
    """Client 1 has 5 images, and none of class 1."""
    settings, runner = SETTINGS[name], engine_of(engine, workers=2)
    work = mapped(work_of(Recipe(settings, objective=objective), starts={1: OTHERS[1]}))
    result = run(runner, work)
    want = expected(work)
    assert want.excess(found(result)) < 1
    bare = run(runner, work_of(Recipe(settings), starts={1: OTHERS[1]}))
    differ = [
        bool((delta - without).norm() > 50 * allowed)
        for delta, without, allowed in zip(result.deltas, bare.deltas, want.allowed, strict=True)
    ]
    assert all(differ) or (objective is LOOKING["fedrs"] and differ[1]), "the test could not tell"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_map_that_changes_nothing_and_no_map_are_the_same_bits(engine: EngineName) -> None:
    recipe = Recipe(SETTINGS["adam"])
    plain = work_of(recipe)
    identity = torch.stack([torch.ones(3), torch.zeros(3)])
    same(
        run(engine_of(engine), [replace(job, logit_map=identity) for job in plain]),
        run(engine_of(engine), plain),
    )


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
def test_a_class_left_out_of_the_softmax_gets_no_gradient(engine: EngineName) -> None:
    work = mapped(work_of(Recipe(SETTINGS["sgd"], objective=fedlc(tau=1.0))))
    delta = run(engine_of(engine), work).deltas[1]
    assert not delta[144:288].any()
    assert not delta[433]
    assert delta[:144].any()


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", ["momentum", "fresh adam"])
@pytest.mark.parametrize("name", STATEFUL)
def test_objectives_with_a_state_are_the_plain_loops(name: str, settings: str, engine: EngineName) -> None:
    rounds, results = rounds_of(engine_of(engine, workers=2), name, SETTINGS[settings])
    assert expected(*rounds).excess(found(*results)) < 1
    bare = run(engine_of(engine), work_of(Recipe(SETTINGS[settings]), round_number=3, starts={2: OTHERS[3]}))
    assert (results[-1].deltas - bare.deltas).abs().max() > 1e-4, "the test could not tell"


@pytest.mark.parametrize("engine", ["stacked", "graph"])
@pytest.mark.parametrize("name", STATEFUL)
def test_objectives_with_a_state_can_be_captured(
    name: str, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = rounds_of(engine_of(engine), name, SETTINGS["adam"], epochs=6)
    made = rehearse(monkeypatch)
    _, captured = rounds_of(engine_of(engine), name, SETTINGS["adam"], epochs=6)
    for one, other in zip(plain, captured, strict=True):
        same(one, other)
    assert sum(graphs.replays for graphs in made) > 20


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_projection_keeps_clients_in_a_ball(name: str, engine: EngineName) -> None:
    settings, radius = SETTINGS[name], 0.02
    work = work_of(Recipe(settings, objective=ball(radius)), starts={1: OTHERS[1]})
    bare = run(engine_of(engine), work_of(Recipe(settings), starts={1: OTHERS[1]}))
    result = run(engine_of(engine), work)
    assert expected(work).excess(found(result)) < 1
    for delta, without in zip(result.deltas, bare.deltas, strict=True):
        assert without.norm() > 1.5 * radius
        # Weights of about 0.1 are known to 2^-27.
        assert delta.norm() == pytest.approx(radius, abs=2**-27 * len(delta) ** 0.5 + 1e-6 * radius)


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_ascent_goes_up_with_any_optimiser(name: str, engine: EngineName) -> None:
    work = work_of(Recipe(SETTINGS[name], objective=LocalObjective(add=ascend)))
    result = run(engine_of(engine), work)
    assert expected(work).excess(found(result)) < 1
    down = run(engine_of(engine), work_of(Recipe(SETTINGS[name])))
    for delta, honest in zip(result.deltas, down.deltas, strict=True):
        assert delta @ honest < -0.5 * delta.norm() * honest.norm()


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("objective", [none(), PROXIMAL], ids=["none", "fedprox"])
@pytest.mark.parametrize("some", [(0, 2), (0, 1, 2, 3)])
def test_each_client_starts_from_weights_of_its_own(
    some: tuple[int, ...], objective: LocalObjective, engine: EngineName
) -> None:
    """Those without start from the global ones, and a delta is the distance from where the client started."""
    settings, mu = SETTINGS["sgd"], 3.0 if objective.add else 0.0
    work = work_of(Recipe(settings, objective=objective), starts={k: OTHERS[k] for k in some})
    result = run(engine_of(engine), work)
    assert expected(work, mu=mu).excess(found(result)) < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_one_start_for_all_is_as_if_it_were_the_global_weights(engine: EngineName) -> None:
    recipe, other = Recipe(SETTINGS["adam"], objective=PROXIMAL), OTHERS[0]
    given = run(engine_of(engine), work_of(recipe, starts=dict.fromkeys(range(len(SIZES)), other)))
    same(given, engine_of(engine).train(other, torch.zeros(0), work_of(recipe), {}))


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
def test_recipes_of_one_call_do_not_touch_each_other(engine: EngineName) -> None:
    """Honest clients beside adversaries with their own objective, optimiser, schedule, epochs and batch size."""
    honest = Recipe(SETTINGS["adam"])
    adverse = Recipe(SETTINGS["momentum"], lr_scale=0.5, objective=TALLY, sent={"all": direction()})
    first = work_of(honest, (0, 2))
    second = work_of(adverse, (1, 3), epochs=5, batch_size=24, starts={3: OTHERS[3]})
    mixed = [first[0], second[0], first[1], second[1]]
    result = run(engine_of(engine), mixed)
    assert expected(mixed).excess(found(result)) < 1
    same(result, run(engine_of(engine), first), slice(0, None, 2))
    same(result, run(engine_of(engine), second), slice(1, None, 2))
    assert [report.steps for report in result.reports] == [len(job.batches) for job in mixed]
    assert [bool(report.uploads) for report in result.reports] == [False, True, False, True]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "objective", [none(), fedprox(mu=0), fedsam(rho=0)], ids=["none", "mu = 0", "rho = 0"]
)
def test_an_objective_that_is_none_changes_no_bit(objective: LocalObjective, engine: EngineName) -> None:
    settings = SETTINGS["adam"]
    bare = run(engine_of(engine), plan(3, 1, range(len(SIZES)), SHARDS, Training(optimizer=settings)))
    same(run(engine_of(engine), work_of(Recipe(settings, objective=objective), batch_size=256)), bare)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_objective_cannot_change_what_others_see(engine: EngineName) -> None:
    """What was sent may be replaced in a step's own view, and the update is not ``finish``'s to change."""

    def add(gradient: Tensor, view: LocalView) -> None:
        assert torch.equal(view.sent["all"], direction())
        view.sent["all"] = torch.full_like(gradient, 7)

    def finish(result: LocalResult) -> tuple[State, State]:
        result.delta.zero_()
        result.sent["all"].fill_(9)
        return {}, {}

    sent, before = {"all": direction()}, WEIGHTS.clone()
    objective = LocalObjective(add=add, project=add, finish=finish)
    result = run(engine_of(engine), work_of(Recipe(SETTINGS["sgd"], objective=objective, sent=sent)))
    same(result, run(engine_of(engine), work_of(Recipe(SETTINGS["sgd"]))))
    assert torch.equal(sent["all"], direction())
    assert torch.equal(before, WEIGHTS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("apart", [False, True], ids=["one start", "starts of their own"])
@pytest.mark.parametrize("part", ["add", "project"])
@pytest.mark.parametrize("what", ["start", "sent"])
def test_an_objective_that_changes_start_or_sent_is_refused(
    what: str, part: str, apart: bool, engine: EngineName
) -> None:
    """The update is measured from the start weights, which clients may share, as they share what was sent."""

    def spoil(target: Tensor, view: LocalView) -> None:
        (view.start if what == "start" else view.sent["all"]).add_(0.01)

    sent, before, others = {"all": direction()}, WEIGHTS.clone(), OTHERS.clone()
    recipe = Recipe(SETTINGS["sgd"], objective=LocalObjective(**{part: spoil}), sent=sent, name="mine")  # type: ignore[arg-type]
    work = work_of(recipe, starts=dict(enumerate(OTHERS)) if apart else None)
    with pytest.raises(ConfigError, match="objective 'mine' changed in place what it was given"):
        run(engine_of(engine), work)
    assert torch.equal(sent["all"], direction())
    assert torch.equal(before, WEIGHTS)
    assert torch.equal(others, OTHERS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("apart", [False, True], ids=["one start", "starts of their own"])
def test_behind_pytorchs_back_an_objective_changes_copies_or_is_refused(
    apart: bool, engine: EngineName
) -> None:
    def spoil(gradient: Tensor, view: LocalView) -> None:
        view.start.numpy().fill(7)
        view.sent["all"].data.fill_(7)

    sent, starts = {"all": direction()}, dict(enumerate(OTHERS)) if apart else None
    recipe = Recipe(SETTINGS["sgd"], objective=LocalObjective(add=spoil), sent=sent, name="mine")
    work = work_of(recipe, starts=starts)
    if engine in ("stacked", "graph"):  # many clients at once
        with pytest.raises(ConfigError, match="objective 'mine' changed in place what it was given"):
            run(engine_of(engine), work)
    else:
        same(
            run(engine_of(engine), work),
            run(engine_of(engine), work_of(Recipe(SETTINGS["sgd"]), starts=starts)),
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_an_objective_that_changes_the_weights_when_asked_for_the_gradient_is_refused(
    engine: EngineName,
) -> None:
    def spoil(gradient: Tensor, view: LocalView) -> None:
        view.weights.sub_(view.start)

    recipe = Recipe(SETTINGS["sgd"], objective=LocalObjective(add=spoil), name="mine")
    with pytest.raises(ConfigError, match="objective 'mine' changed in place what it was given"):
        run(engine_of(engine), work_of(recipe))


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ENGINES)
def test_kept_tensors_may_be_replaced_instead_of_changed_in_place(engine: EngineName) -> None:
    def add(gradient: Tensor, view: LocalView) -> None:
        view.kept["sum"] = view.kept["sum"] + gradient

    objective = LocalObjective(add=add, init=lambda parameters: {"sum": torch.zeros(parameters)})
    work = work_of(Recipe(SETTINGS["sgd"], objective=objective))
    assert expected(work).excess(found(run(engine_of(engine), work))) < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_finish_must_keep_what_init_began(engine: EngineName) -> None:
    objective = LocalObjective(
        init=lambda parameters: {"sum": torch.zeros(parameters)},
        finish=lambda result: ({"total": result.kept["sum"]}, {}),
    )
    with pytest.raises(
        ConfigError, match=r"finish returned \{'total': \[435\]\}.*init returned \{'sum': \[435\]\}"
    ):
        run(engine_of(engine), work_of(Recipe(SETTINGS["sgd"], objective=objective)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, r"must return \(kept, uploads\), not None"),
        (({}, None), "returned None as its state"),
        (({}, {"norm": 1.5}), "returned 1.5 as state 'norm'; expected a tensor"),
        (({"sum": 0.0}, {}), "returned 0.0 as state 'sum'; expected a tensor"),
    ],
)
def test_finish_must_return_named_tensors(returned: Any, words: str, engine: EngineName) -> None:
    recipe = Recipe(SETTINGS["sgd"], objective=LocalObjective(finish=lambda result: returned), name="mine")
    with pytest.raises(ConfigError, match=f"objective 'mine': finish {words}"):
        run(engine_of(engine), work_of(recipe))


@pytest.mark.parametrize("engine", ENGINES)
def test_init_must_return_named_tensors(engine: EngineName) -> None:
    objective = LocalObjective(init=lambda parameters: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="objective 'mine': init returned None as its state"):
        run(engine_of(engine), work_of(Recipe(SETTINGS["sgd"], objective=objective, name="mine")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["fresh adam", "adam"])
def test_two_objectives_keep_under_prefixes_of_their_own(name: str, engine: EngineName) -> None:
    """Neither an objective nor an optimiser takes up what the other objective kept."""
    adverse = LocalObjective(init=lambda parameters: {"tally": torch.zeros(2)})
    honest = Recipe(SETTINGS[name], objective=TALLY, sent={"all": direction()})
    own = Recipe(SETTINGS[name], objective=adverse, prefix=ATTACK_KEPT)
    first = run(engine_of(engine), work_of(honest, (0,))).reports[0].state
    both = first | {ATTACK_KEPT + "tally": torch.ones(2)}
    second = run(engine_of(engine), work_of(own, (0,)), {0: both}).reports[0].state
    assert {n for n in second if n.startswith((KEPT, ATTACK_KEPT))} == {ATTACK_KEPT + "tally"}
    assert second[ATTACK_KEPT + "tally"].tolist() == [1, 1]
    for recipe, foreign in ((honest, ATTACK_KEPT), (own, KEPT)):
        without = {n: t for n, t in both.items() if not n.startswith(foreign)}
        one, other = (run(engine_of(engine), work_of(recipe, (0,)), {0: state}) for state in (both, without))
        same(one, other)


@pytest.mark.parametrize("engine", ["torch", "graph"])
def test_frozen_weights_stay_whatever_an_objective_does(engine: EngineName) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    module[1].bias.requires_grad_(False)

    def push(target: Tensor, view: LocalView) -> None:
        target.add_(0.01)

    objective = LocalObjective(add=push, project=push)
    chosen = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), engine)
    work = work_of(Recipe(SETTINGS["momentum"], objective=objective), starts={2: OTHERS[2]})
    deltas = run(chosen.build(1), work).deltas
    assert not deltas[:, 432:].any()
    assert deltas[:, :432].all()


def test_frozen_weights_have_no_part_in_where_a_gradient_is_taken() -> None:
    """An engine that has a gradient for them all the same must not show it to an objective."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3))
    module[1].requires_grad_(False)
    weights = 0.3 * torch.randn(144 * 8 + 8 + 27, generator=torch.Generator().manual_seed(3))
    work = work_of(Recipe(SETTINGS["sgd"], objective=fedsam(rho=0.5)))

    def deltas(engine: EngineName) -> Tensor:
        chosen = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), engine)
        return chosen.build(1).train(weights, torch.zeros(0), work, {}).deltas

    one, other = deltas("torch"), deltas("graph")
    assert (one - other).norm() < 1e-4 * one.norm()


@pytest.mark.parametrize("engine", ["torch", "stacked", "graph"])
def test_coarse_products_are_the_models_alone(engine: EngineName) -> None:
    seen: set[torch.dtype] = set()

    def add(gradient: Tensor, view: LocalView) -> None:
        seen.add((view.weights[..., None, :] @ view.weights[..., :, None]).dtype)

    training = Training(batch_size=16, precision="bfloat16")
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    runner = choose(module, INFO, IMAGES, LABELS, torch.device("cpu"), engine, training).build(1)
    run(runner, work_of(Recipe(SETTINGS["sgd"], objective=LocalObjective(add=add))))
    assert seen == {torch.float32}


@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_captured_steps_with_objectives_are_the_same_bits(
    engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over rounds, in which tensors are sent and kept anew, recipes and starts come and go, and cohorts grow."""
    objectives = (TALLY, ball(0.02), replace(fedsam(rho=0.1), logits=fedlc(tau=2.0).logits))

    def rounds() -> list[CohortResult]:
        runner, results = engine_of(engine), []
        states: dict[int, State] = {}
        for number, clients in enumerate(((0, 1), (0, 2), (0, 1, 2), (0, 1, 2)), start=1):
            sent = {"all": number * direction()}
            honest = Recipe(SETTINGS["adam"], 1 / number, objectives[0], sent)
            adverse = Recipe(SETTINGS["sgd"], 1.0, objectives[number % 3], sent)
            starts = {2: OTHERS[number - 1]} if number != 3 else None
            work = work_of(honest, clients, number, 4, 8, starts)
            work += work_of(adverse, (3,), number, 5, 5)
            results.append(run(runner, mapped(work), states))
            ends = zip(work, results[-1].reports, strict=True)
            states |= {job.client: report.state for job, report in ends if job.client != 3}
        return results

    plain = rounds()
    made = rehearse(monkeypatch)
    for one, other in zip(plain, rounds(), strict=True):
        same(one, other)
    assert sum(graphs.replays for graphs in made) > 20
    assert len(made) > 4


def test_an_objective_of_a_plug_in_that_uses_the_host_is_called_step_by_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The guard around it turns PyTorch's refusal to capture into its own error, which must not end the run."""
    capturing = [False]

    def add(gradient: Tensor, view: LocalView) -> None:
        if capturing[0]:
            raise RuntimeError("called a synchronizing CUDA operation")
        gradient.mul_(2)

    def capture(self: Any, step: Any) -> Any:
        capturing[0] = True
        try:
            return step()
        finally:
            capturing[0] = False

    objective = guarded_parts("objective", "mine", LocalObjective(add=add))
    plain = run(engine_of("stacked"), work_of(Recipe(SETTINGS["sgd"], objective=objective), epochs=6))
    rehearse(monkeypatch)
    monkeypatch.setattr(Rehearsed, "_capture", capture)
    same(plain, run(engine_of("stacked"), work_of(Recipe(SETTINGS["sgd"], objective=objective), epochs=6)))
    assert "cannot be captured" in caplog.text
    assert "objective 'mine': add failed with RuntimeError: called a synchronizing" in caplog.text


def test_tensors_and_graphs_of_few_kinds_of_groups_are_kept() -> None:
    runner: Any = engine_of("stacked")
    objectives = [fedprox(mu=float(mu)) for mu in range(1, 8)]
    first = [run(runner, work_of(Recipe(SETTINGS["sgd"], objective=each))) for each in objectives]
    assert len(runner._rooms) == 4
    again = [run(runner, work_of(Recipe(SETTINGS["sgd"], objective=each))) for each in objectives]
    for one, other in zip(first, again, strict=True):
        same(one, other)


def test_larger_batches_make_smaller_groups() -> None:
    """Memory bounds a step, also of adversaries whose batches are larger than the configured ones."""
    runner: Any = engine_of("stacked")
    rows = runner.arithmetic.rows
    assert rows(1) == rows(16)
    assert rows(160) == pytest.approx(rows(16) / 10, rel=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("engine", ["stacked", "graph"])
def test_steps_with_objectives_are_captured_on_a_gpu(
    engine: EngineName, caplog: pytest.LogCaptureFixture
) -> None:
    device = torch.device("cuda")
    module, training = nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), Training(batch_size=16)
    runner: Any = choose(module, INFO, IMAGES, LABELS, device, engine, training).build(1)
    for objective in (TALLY, ball(0.02), PROXIMAL):
        recipe = Recipe(SETTINGS["adam"], objective=objective, sent={"all": direction().to(device)})
        work = work_of(recipe, epochs=6, starts={1: OTHERS[1].to(device)})
        result = runner.train(WEIGHTS.to(device), torch.zeros(0, device=device), work, {})
        assert expected(work).excess(found(result)) < 1
    assert runner.captured > 0
    assert "captured" not in caplog.text


def test_a_state_of_flat_weights_is_the_modules() -> None:
    """The reference reads weights and bias off one vector, in the order of ``module.parameters()``."""
    assert len(flatten(list(nn.Linear(144, 3).parameters()))) == len(WEIGHTS)
