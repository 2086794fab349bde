"""Shifted clients in a run: whose images and labels change, what is recorded, and what is not there together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedskew
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.protocols import ClientShift, Rng, ShiftView
from fedskew.runs.clients import ClientsSummary
from fedskew.shift.rotation import rotated
from fedskew.simulation import simulate
from helpers import build_world, execute

CLIENTS = {"count": 6, "held_out": 0.2}
SHORT: dict[str, Any] = {
    "data": "digits",
    "rounds": 2,
    "model": {"name": "mlp", "hidden": [8]},
    "split": {"name": "dirichlet", "alpha": 1.0},
    "adversaries": {"count": 1},
    "attack": {"name": "backdoor", "target": 7},
}


def experiment(shift: Any = "none", **changes: Any) -> Experiment:
    fields = {**SHORT, **changes}
    clients = {**CLIENTS, **fields.pop("clients", {}), "shift": shift}
    return Experiment.model_validate({**fields, "clients": clients})


def world(shift: Any, **changes: Any) -> Any:
    return build_world(experiment(shift, **changes), Execution())


STRENGTHS = [("rotation", "degrees"), ("contrast", "strength"), ("noise", "std"), ("label-noise", "rate")]


@pytest.mark.parametrize(("name", "option"), STRENGTHS)
def test_without_strength_it_is_the_run_without_a_shift_bit_for_bit(name: str, option: str) -> None:
    plain = [record.metrics for record in simulate(experiment())]
    assert [record.metrics for record in simulate(experiment({"name": name, option: 0.0}))] == plain
    strong = {"name": name, option: 0.5 if name != "rotation" else 90.0}
    assert [record.metrics for record in simulate(experiment(strong))] != plain


def test_honest_clients_images_are_altered_where_they_train_and_where_they_are_measured() -> None:
    plain, found = world("none"), world({"name": "rotation", "degrees": 60})
    where, data = found.population.spread, found.dataset
    assert [shard.tolist() for shard in where.shards] == [
        shard.tolist() for shard in plain.population.spread.shards
    ]
    for client in where.honest:
        angle = found.population.shifted[client].values["degrees"]
        own = torch.from_numpy(where.shards[client])
        at = torch.from_numpy(found.population.shards[client])
        assert torch.equal(found.population.images[at], rotated(data.x_train[own], angle))
        assert torch.equal(found.population.labels[at], data.y_train[own])
        held = found.held_out.of(client)
        before = torch.from_numpy(where.held_out[client])
        assert torch.equal(found.held_out.images[held], rotated(data.x_train[before], angle))
        assert torch.equal(found.held_out.labels[held], data.y_train[before])
    (bad,) = where.malicious
    ours, theirs = found.population, plain.population
    for shards in ("shards", "unpoisoned"):
        mine, other = (torch.from_numpy(getattr(p, shards)[bad]) for p in (ours, theirs))
        assert torch.equal(ours.images[mine], theirs.images[other]), "the adversary's are as they were"
        assert torch.equal(ours.labels[mine], theirs.labels[other])


def test_label_noise_changes_the_labels_that_are_trained_on_alone() -> None:
    found = world({"name": "label-noise", "rate": 0.8})
    where, data = found.population.spread, found.dataset
    for client in where.honest:
        own, at = (torch.from_numpy(part[client]) for part in (where.shards, found.population.shards))
        assert torch.equal(found.population.images[at], data.x_train[own])
        wrong = int((found.population.labels[at] != data.y_train[own]).sum())
        share = found.population.shifted[client].values["rate"]
        assert wrong == found.population.shifted[client].relabelled == int(share * len(own) + 1e-9)
        held = found.held_out.of(client)
        assert torch.equal(
            found.held_out.labels[held], data.y_train[torch.from_numpy(where.held_out[client])]
        )


def test_shared_images_stay_as_the_server_sent_them() -> None:
    split = {"name": "data-sharing", "of": "iid", "fraction": 0.2, "share": 1.0}
    found = world({"name": "noise", "std": 0.5}, split=split)
    where, data = found.population.spread, found.dataset
    assert len(where.shared)
    for client in where.honest:
        shared = np.isin(where.shards[client], where.shared)
        at = torch.from_numpy(found.population.shards[client])
        same = found.population.images[at] == data.x_train[torch.from_numpy(where.shards[client])]
        assert same.flatten(1).all(dim=1)[torch.from_numpy(shared)].all()
        assert not same.flatten(1).all(dim=1)[torch.from_numpy(~shared)].any()


def test_a_client_is_shifted_alike_whoever_else_is_there() -> None:
    many, few = (world({"name": "rotation", "degrees": 60}, clients={"count": k}) for k in (8, 6))
    for client in set(many.population.shifted) & set(few.population.shifted):
        assert many.population.shifted[client].values == few.population.shifted[client].values


def test_what_was_drawn_is_recorded(tmp_path: Path) -> None:
    config = experiment({"name": "contrast", "strength": 0.5})
    execute(tmp_path / "run", config, Execution())
    text = (tmp_path / "run" / "clients.json").read_text(encoding="utf-8")
    import json

    found = ClientsSummary.from_json(json.loads(text))
    assert found == ClientsSummary.of(build_world(config, Execution()))
    assert len(found.shift) == 5
    assert {*found.shift[0]} == {"client", "altered", "relabelled", "factor"}
    assert all(one["altered"] > 0 and one["relabelled"] == 0 for one in found.shift)
    execute(tmp_path / "plain", experiment(), Execution())
    assert "shift" not in json.loads((tmp_path / "plain" / "clients.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("privacy", "field"),
    [({"attacks": ["loss-threshold"]}, "attacks"), ({"property": "inverted"}, "property")],
)
def test_what_is_about_unaltered_images_is_refused(privacy: Any, field: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"clients.shift = 'noise' alters .* privacy.{field} is about them as"
    ) as caught:
        world({"name": "noise", "std": 0.1}, privacy=privacy)
    assert caught.value.field == "clients.shift"


def darker(view: ShiftView, rng: Rng, *, by: int = 2) -> ClientShift:
    """Odd clients' images are darker."""
    return ClientShift(images=(lambda images, draws: images // by) if view.client % 2 else None)


def too_short(view: ShiftView, rng: Rng) -> ClientShift:
    return ClientShift(images=lambda images, draws: images[1:])


def no_class(view: ShiftView, rng: Rng) -> ClientShift:
    return ClientShift(labels=lambda labels, draws: labels + 10)


def nothing(view: ShiftView, rng: Rng) -> ClientShift:
    return None  # type: ignore[return-value]


def random(view: ShiftView, rng: Rng) -> ClientShift:
    return ClientShift(labels=lambda labels, draws: labels[torch.randperm(len(labels))])


def test_your_own_shift() -> None:
    fedskew.testing.check("shift", darker, by=3)
    found = world({"name": darker})
    for client in found.population.spread.honest:
        assert (found.population.shifted[client].altered > 0) == (client % 2 == 1)
        held = found.held_out.images[found.held_out.of(client)]
        assert (int(held.max()) < 128) == (client % 2 == 1)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (too_short, r"returned .* for images; expected uint8 \[\d+, 1, 8, 8\]"),
        (no_class, r"returned .* for labels; expected int64 \[\d+\], each of 0 to 9"),
        (nothing, "must return a ClientShift, not NoneType"),
        (random, "used the global random generator of torch"),
    ],
)
def test_what_a_shift_may_not_return(shift: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        world({"name": shift})
