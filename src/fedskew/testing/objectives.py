"""Checks of local objectives: the map of the gradient, for one client and for many at once; what is kept and sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fedskew.protocols import LocalObjective, LocalResult, LocalView, State
from fedskew.testing.examples import PARAMETERS, each, matrix, row
from fedskew.testing.exercise import Rule, exercise
from fedskew.testing.leaves import fingerprint
from fedskew.testing.subject import Named, Subject, subject

COHORT, STEPS, LR, VISITS = 3, 2, 0.1, 7

InPlace = Callable[[Tensor, LocalView], None]


def check_objective(objective: Named, **options: Any) -> None:
    """What every local objective must do.

    Besides what all checks test: that only the gradient is changed, in place, that R clients at once get what each gets
    alone, and that the logits are mapped by finite numbers for each class.

    Raises:
        ConformanceError, ConfigError: one sentence that names the objective.
    """
    exercise_objective(subject("objective", objective, options))


def exercise_objective(checked: Subject) -> None:
    """``check_objective`` of what ``checked.build`` gives."""
    checked.instance(checked.build(), LocalObjective, "the result")
    exercise(checked, _rounds(checked), each(3, _given))
    for name in ("look", "add", "project"):
        for start in (row(40), matrix(COHORT, 40)):
            _check_batch(checked, name, start)
    _check_logits(checked)


def _given(number: int) -> dict[str, Any]:
    return {
        "weights": matrix(COHORT * STEPS, 10 + number),
        "start": row(20 + number),
        "gradients": matrix(COHORT * STEPS, 30 + number),
    }


def _rounds(checked: Subject) -> Callable[[LocalObjective], Rule]:
    """Whole rounds of some clients as one rule, whose state is the server's and the clients' together."""

    def wrap(objective: LocalObjective) -> Rule:
        def init() -> State:
            clients = [_named(checked, objective.init(PARAMETERS), "init") for _ in range(COHORT)]
            server = _named(checked, objective.server_init(), "server_init")
            return _joined(server, clients)

        def apply(weights: Tensor, start: Tensor, gradients: Tensor, state: State) -> tuple[Any, State]:
            server, clients = _parted(state)
            clients = [
                {name: tensor.clone() for name, tensor in own.items()} for own in clients
            ]  # may be changed
            sent = _named(checked, objective.send(server), "send")
            outcome, kept, uploads = [], [], []
            for k, own in enumerate(clients):
                for step in range(STEPS):
                    at = k * STEPS + step
                    view = LocalView(weights[at], start, sent, own, LR)
                    outcome.append(_looked(checked, objective.look, gradients[at], view))
                    outcome.append(_changed(checked, objective.add, gradients[at], view))
                    outcome.append(_changed(checked, objective.project, weights[at], view))
                result = LocalResult(weights[at] - start, STEPS, LR, sent, own, start, VISITS)
                keeps, uploaded = checked.parts(objective.finish(result), "kept", "uploads")
                kept.append(_named(checked, keeps, "finish"))
                uploads.append(_named(checked, uploaded, "finish"))
            stacked = {name: torch.stack([up[name] for up in uploads]) for name in uploads[0]}
            server = _named(checked, objective.collect(server, stacked, COHORT), "collect")
            return (outcome, stacked), _joined(server, kept)

        return Rule(apply, init)

    return wrap


def _changed(checked: Subject, function: InPlace | None, tensor: Tensor, view: LocalView) -> Tensor:
    """A copy of the gradient or the weights after they have been changed in place."""
    found = tensor.clone()
    if function is not None:
        sent = fingerprint(view.sent)
        if function(found, view) is not None:
            checked.fail("must change the tensor it is given in place and return nothing")
        if fingerprint(view.sent) != sent:
            checked.fail("changed what the server sent, which is the same for all clients")
        checked.tensor(found, "the gradient or the weights after the call", tuple(tensor.shape))
    return found


def _looked(
    checked: Subject, look: Callable[[Tensor, LocalView], Tensor] | None, gradient: Tensor, view: LocalView
) -> Tensor:
    """Where the gradient is to be taken."""
    if look is None:
        return gradient
    given = fingerprint((gradient, view.weights, view.start, view.sent))
    found = look(gradient, view)
    if fingerprint((gradient, view.weights, view.start, view.sent)) != given:
        checked.fail("look must return new weights and change nothing that it was given")
    checked.tensor(found, "what look returns", tuple(gradient.shape))
    return found


def _check_logits(checked: Subject) -> None:
    objective: LocalObjective = checked.build()
    if objective.logits is None:
        return
    for counts in ([3, 0, 40], [1, 1, 1]):
        found = objective.logits(torch.tensor(counts))
        checked.tensor(found, "the scales and offsets of the logits", (2, len(counts)))


def _check_batch(checked: Subject, name: str, start: Tensor) -> None:
    objective: LocalObjective = checked.build()
    function = getattr(objective, name)
    call: Callable[..., Tensor] = _looked if name == "look" else _changed
    sent = objective.send(objective.server_init())
    weights, tensor = matrix(COHORT, 50), matrix(COHORT, 60)
    kept = [objective.init(PARAMETERS) for _ in range(COHORT)]
    together = {key: torch.stack([own[key] for own in kept]) for key in kept[0]}
    batch = call(checked, function, tensor, LocalView(weights, start, sent, together, LR))
    rows = [
        call(
            checked, function, tensor[k], LocalView(weights[k], start.expand_as(tensor)[k], sent, kept[k], LR)
        )
        for k in range(COHORT)
    ]
    one_by_one = torch.stack(rows)
    # A sum over P entries is exact to P units in the last place.
    bound = PARAMETERS * torch.finfo(torch.float32).eps * (1 + float(one_by_one.abs().max()))
    if not (batch - one_by_one).abs().max() <= bound:
        checked.fail(
            f"{name}: {COHORT} clients at once, [R, P], do not get what each of them gets alone, [P]"
        )


def _named(checked: Subject, state: object, where: str) -> State:
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        checked.fail(f"{where} must return tensors by name: {{name: tensor}}")
    for key, value in state.items():
        if not value.isfinite().all():
            checked.fail(f"{where} returned {key!r} with entries that are not finite")
    return state


def _joined(server: State, clients: list[State]) -> State:
    found = {f"server/{key}": value for key, value in server.items()}
    for k, own in enumerate(clients):
        found |= {f"{k}/{key}": value for key, value in own.items()}
    return found


def _parted(state: State) -> tuple[State, list[State]]:
    def part(prefix: str) -> State:
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    return part("server/"), [part(f"{k}/") for k in range(COHORT)]
