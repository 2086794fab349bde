"""Secure aggregation: what is refused, and that every rule that states it can be computed from sums alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import fedskew
from fedskew.components.binding import check_experiment, complete_experiment, resolve
from fedskew.components.identity import identity
from fedskew.components.known import works_on_sums
from fedskew.components.permission import allowing
from fedskew.components.row import ON_CLIENTS
from fedskew.components.rules import build_rule
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import ClientUpdates, Observer
from fedskew.seeding import stream
from fedskew.testing.examples import matrix, server_view
from fedskew.testing.examples import updates as example_updates

DOCS = Path(__file__).parents[2] / "docs"
OPTIONS: dict[str, dict[str, Any]] = {
    "clip": {"norm": 0.5},
    "noise": {"std": 0.1},
    "sign-majority": {"step": 0.1},
    "sparse-fed": {"share": 0.3},
    "dp-fedavg": {"clip": 0.5, "noise_multiplier": 0.0},
    "q-fedavg": {"q": 2.0, "lipschitz": 3.0},
    "term": {"t": -0.7},
    "rlr": {"theta": 3},
    "fedcurv": {"strength": 0.1},
}


def secure(**content: Any) -> Experiment:
    server = {"secure_aggregation": True, **content.pop("server", {})}
    return Experiment.model_validate({**content, "server": server})


def refused(**content: Any) -> ConfigError:
    experiment = secure(**content)
    complete_experiment(experiment.model_copy(update={"server": {}}))  # only for this reason
    with pytest.raises(ConfigError) as caught:
        complete_experiment(experiment)
    assert "\n" not in caught.value.message
    return caught.value


# --- what is refused --------------------------------------------------------------------------------


def test_it_is_off_and_then_nothing_has_another_name() -> None:
    plain = Experiment()
    assert plain.server.secure_aggregation is False
    assert identity(plain) == identity(Experiment.model_validate({"server": {"secure_aggregation": False}}))
    assert identity(plain) != identity(secure())


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"defence": {"aggregator": "median"}}, "defence.aggregator"),
        ({"defence": {"aggregator": {"name": "krum", "f": 1}}}, "defence.aggregator"),
        ({"defence": {"aggregator": {"name": "trimmed-mean", "b": 1}}}, "defence.aggregator"),
        ({"defence": {"aggregator": {"name": "afl", "gamma": 0.1}}}, "defence.aggregator"),
        ({"defence": {"transforms": [{"name": "clip", "norm": "median"}]}}, "defence.transforms[0]"),
        (
            {"defence": {"transforms": [{"name": "clip", "norm": 1.0}, "bucketing"]}},
            "defence.transforms[1]",
        ),
        ({"clients": {"selection": {"name": "power-of-choice", "candidates": 10}}}, "clients.selection"),
    ],
)
def test_what_needs_single_clients_is_refused(content: dict[str, Any], field: str) -> None:
    error = refused(**content)
    assert error.field == field
    assert error.message.startswith(f"{field}: ")
    assert error.message.endswith(
        "needs what single clients send, and with server.secure_aggregation = true the server learns only sums over "
        "them"
    )
    assert error.hint == "docs/privacy-attacks.md lists what works on sums"


def test_the_option_that_decides_is_named() -> None:
    error = refused(defence={"transforms": [{"name": "clip", "norm": "median"}]})
    assert "'clip' with norm = median needs" in error.message
    complete_experiment(secure(defence={"transforms": [{"name": "clip", "norm": 1.0}]}))


def test_a_round_of_one_client_hides_nothing() -> None:
    error = refused(clients={"count": 10, "fraction": 0.1})
    assert error.message == (
        "server.secure_aggregation = true hides an update among those of other clients, and there is 1 client in a "
        "round"
    )


def test_a_plug_in_must_state_that_it_works_on_sums() -> None:
    def mine(updates: Any, view: Any) -> Any:
        return updates.deltas.sum(dim=0)

    error = refused(defence={"aggregator": {"name": mine}})
    assert error.hint == "one that works on sums states it with @fedskew.facts(sums=lambda options: True)"
    stating = fedskew.facts(sums=lambda options: True)(mine)
    complete_experiment(secure(defence={"aggregator": {"name": stating}}))
    blind = fedskew.facts(blind=True)(lambda updates, lr: lr)
    complete_experiment(secure(defence={"learning_rate": {"name": blind}}))


def test_a_plug_in_that_is_not_imported_yet_is_asked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not_yet.py").write_text("def rule(updates, view):\n    return updates.deltas[0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    experiment = secure(defence={"aggregator": "not_yet:rule"})
    complete_experiment(experiment)
    with (
        allowing(["not_yet"]),
        pytest.raises(ConfigError, match="'not_yet:rule' needs what single clients send"),
    ):
        check_experiment(experiment)


@pytest.mark.parametrize(
    ("content", "field", "who"),
    [
        (
            {"privacy": {"attacks": ["loss-threshold", "delta-loss"]}},
            "privacy.attacks[1]",
            "privacy-attack 'delta-loss'",
        ),
        (
            {"evaluation": {"observers": ["update-norms"]}},
            "evaluation.observers[0]",
            "observer 'update-norms'",
        ),
    ],
)
def test_a_seat_that_sees_updates_is_refused_when_a_config_is_checked(
    content: dict[str, Any], field: str, who: str
) -> None:
    held_out = {"clients": {"held_out": 0.2}}
    check_experiment(Experiment.model_validate(content | held_out))
    with pytest.raises(ConfigError) as caught:
        check_experiment(secure(**content, **held_out))
    assert caught.value.message == (
        f'{field}: {who} has the seat "server", and with server.secure_aggregation = true the server sees only the '
        "aggregate"
    )
    assert caught.value.hint == 'take one with the seat "aggregate", "client" or "outsider"'
    assert caught.value.field == field


def test_the_other_seats_are_there() -> None:
    def watching(seat: Any) -> Callable[[], Observer]:
        return lambda: Observer(seat, lambda seen: None)

    seats = [{"name": watching(seat)} for seat in ("aggregate", "client", "outsider")]
    attacks = ["aggregate-loss", "loss-threshold"]
    check_experiment(
        secure(evaluation={"observers": seats}, privacy={"attacks": attacks}, clients={"held_out": 0.2})
    )


# --- what is stated can be computed -----------------------------------------------------------------


def stating(kind: str) -> set[str]:
    """The components of a kind that make use of what clients send, and of which this needs sums only."""
    return {
        name
        for name, row in BUILT_IN[kind].items()
        if not row.facts.blind and works_on_sums(kind, Component(name=name, **OPTIONS.get(name, {})))
    }


def given(seed: int = 0) -> ClientUpdates:
    return example_updates(matrix(6, seed), start_losses=True)


def norms(deltas: Tensor) -> Tensor:
    lengths: Tensor = deltas.norm(dim=1, keepdim=True)
    return lengths


def tilted(updates: ClientUpdates) -> Tensor:
    assert updates.start_losses is not None
    weights: Tensor = (OPTIONS["term"]["t"] * updates.start_losses).exp()[:, None]
    return weights


def powers(updates: ClientUpdates) -> tuple[Tensor, Tensor]:
    """F^q and the factor of the second sum of q-FedAvg."""
    assert updates.start_losses is not None
    q, lipschitz = OPTIONS["q-fedavg"]["q"], OPTIONS["q-fedavg"]["lipschitz"]
    losses = updates.start_losses[:, None]
    weights = losses**q
    return weights, weights * (1 + q * lipschitz * norms(updates.deltas.double()) ** 2 / losses)


def largest(mean: Tensor) -> Tensor:
    kept = mean.abs().argsort(descending=True)[: int(OPTIONS["sparse-fed"]["share"] * len(mean))]
    return torch.zeros_like(mean).index_put((kept,), mean[kept])


TERMS: dict[str, tuple[Callable[[ClientUpdates], Tensor], Callable[[Tensor, int], Tensor]]] = {
    # name: what each client sends [S, ...], and what the server makes of its sum over the clients.
    "fedavg": (
        lambda u: torch.cat([u.num_examples[:, None] * u.deltas, u.num_examples[:, None].float()], dim=1),
        lambda total, count: total[:-1] / total[-1],
    ),
    "mean": (lambda u: u.deltas, lambda total, count: total / count),
    "sign-majority": (
        lambda u: u.deltas.sign(),
        lambda total, count: OPTIONS["sign-majority"]["step"] * total.sign(),
    ),
    "sparse-fed": (lambda u: u.deltas, lambda total, count: largest(total / count)),
    "dp-fedavg": (
        lambda u: u.deltas * (OPTIONS["dp-fedavg"]["clip"] / norms(u.deltas)).clamp(max=1),
        lambda total, count: total / count,
    ),
    "q-fedavg": (
        lambda u: torch.cat([powers(u)[0] * u.deltas, powers(u)[1]], dim=1),
        lambda total, count: total[:-1] / total[-1],
    ),
    "term": (
        lambda u: torch.cat([tilted(u) * u.deltas, tilted(u)], dim=1),
        lambda total, count: total[:-1] / total[-1],
    ),
    "rlr": (
        lambda u: u.deltas.sign(),
        lambda total, count: torch.where(total.abs() >= OPTIONS["rlr"]["theta"], 1.0, -1.0),
    ),
    "fedexp": (
        lambda u: torch.cat([u.deltas, norms(u.deltas) ** 2], dim=1),
        lambda total, count: (
            (total[-1] / count) / (2 * ((total[:-1] / count).square().sum() + 1e-3 * total[-1] / count))
        ),
    ),
}


def test_every_rule_that_states_it_is_tried() -> None:
    assert {name for kind in ("aggregator", "learning-rate") for name in stating(kind)} == {*TERMS}
    assert stating("transform") == {"clip", "noise", "fednova"}
    assert stating("objective") == {"scaffold", "fedcurv"}
    assert stating("selection") == set()


@pytest.mark.parametrize("name", TERMS)
def test_a_rule_that_states_it_is_a_function_of_a_sum(name: str) -> None:
    updates = given()
    send, combine = TERMS[name]
    expected = combine(send(updates).double().sum(dim=0), len(updates.deltas))
    component = Component(name=name, **OPTIONS.get(name, {}))
    if name in BUILT_IN["aggregator"]:
        rule = build_rule("aggregator", component)
        found = rule.apply(updates, server_view(0), rule.init())[0]
    else:
        found = resolve("learning-rate", component)(updates, 1.0)
        expected = expected.clamp(min=1) if name == "fedexp" else expected
    torch.testing.assert_close(torch.as_tensor(found).double(), expected.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["clip", "noise"])
def test_what_such_a_transform_makes_of_an_update_depends_on_no_other(name: str) -> None:
    updates, rule = given(), build_rule("transform", Component(name=name, **OPTIONS[name]))

    def applied(deltas: Tensor) -> Tensor:
        rng = stream(0, "transform")
        found: Tensor = rule.apply(updates.with_deltas(deltas), server_view(0), rule.init(), rng)[0].deltas
        return found

    first = applied(updates.deltas)
    for other in range(1, len(first)):
        changed = updates.deltas.clone()
        changed[other] *= -7
        assert torch.equal(applied(changed)[0], first[0])
        assert not torch.equal(applied(changed)[other], first[other])


def test_fednova_needs_one_sum_before_the_updates() -> None:
    updates, rule = given(), build_rule("transform", Component(name="fednova"))
    assert updates.steps is not None
    moved = rule.apply(updates, server_view(0), rule.init(), stream(0, "x"))[0].deltas
    sizes, steps = updates.num_examples.double(), updates.steps.double()
    together = (sizes * steps).sum() / sizes.sum()  # both sums are known before the training
    torch.testing.assert_close(
        moved.double(), updates.deltas * (together / steps)[:, None], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["scaffold", "fedcurv"])
def test_what_such_an_objective_collects_is_a_sum(name: str) -> None:
    objective = build_rule("objective", Component(name=name, **OPTIONS.get(name, {})))
    names = {"scaffold": ("control",), "fedcurv": ("fisher", "anchored")}[name]
    uploads = {upload: matrix(6, seed) for seed, upload in enumerate(names)}
    alone = objective.collect({}, uploads, 9)
    summed = objective.collect({}, {upload: rows.sum(dim=0)[None] for upload, rows in uploads.items()}, 9)
    for part in alone:
        torch.testing.assert_close(alone[part], summed[part], rtol=1e-5, atol=1e-6)


def test_the_table_of_the_docs_is_what_is_stated() -> None:
    page = (DOCS / "privacy-attacks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|(.*)\|(.*)\|$", page.partition("| works on sums |")[2], re.MULTILINE)
    fields = {
        "defence.transforms": "transform",
        "defence.aggregator": "aggregator",
        "defence.learning_rate": "learning-rate",
        "clients.selection": "selection",
        "training.objective": "objective",
    }
    assert {field for field, _, _ in rows} == {*fields}
    assert {*fields.values()} == {*ON_CLIENTS}
    for field, works, needs in rows:
        kind = fields[field]
        possible = {n for n, row in BUILT_IN[kind].items() if row.facts.blind} | stating(kind)
        assert {*re.findall(r"`([\w-]+)`", works)} == possible
        listed = {*re.findall(r"`([\w-]+)`", needs)}
        assert listed - ({"clip"} if kind == "transform" else set()) == {*BUILT_IN[kind]} - possible
