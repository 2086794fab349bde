"""Runs with clients that are there already: in the data set or in a file, with test images of their own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedskew
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError, PartitionError
from fedskew.federation.spread import spread
from fedskew.federation.world import World, load_data
from fedskew.protocols import Dataset, Division, Rng, SplitView, ViewedSplit
from fedskew.runs.folder import RunFolder
from fedskew.simulation import simulate
from helpers import build_world, execute, status_of

SHORT: dict[str, Any] = {"data": "digits", "rounds": 2, "model": {"name": "mlp", "hidden": [8]}}
SITES = 7


def experiment(split: Any, number: int = SITES, **changes: Any) -> Experiment:
    clients = {"count": number, **changes.pop("clients", {})}
    return Experiment.model_validate({**SHORT, "split": split, "clients": clients, **changes})


def data() -> Dataset:
    """Digits of seven sites."""
    plain = load_data(experiment("iid"), Execution())
    names = tuple(f"site {number}" for number in range(SITES))
    return replace(
        plain,
        info=replace(plain.info, client_names=names),
        clients_train=torch.arange(len(plain.y_train)) % SITES,
        clients_test=torch.arange(len(plain.y_test)) % SITES,
    )


def world(split: Any, **changes: Any) -> World:
    return build_world(experiment(split, **changes), Execution(), data())


# --- natural ----------------------------------------------------------------------------------------


def test_clients_are_measured_on_their_own_test_images() -> None:
    found = world("natural")
    for client in range(SITES):
        assert found.population.shards[client].tolist() == [*range(client, 1437, SITES)]
        assert found.held_out.of(client).tolist() == [*range(client, 360, SITES)]
    assert found.held_out.images is found.dataset.x_test
    records = [*simulate(experiment("natural"), dataset=data())]
    assert 0 < records[-1].metrics["held_out_accuracy_mean"] < 1
    # Sites are of nearly equal size, so that the mean over them is near the accuracy on all test images.
    assert records[-1].metrics["held_out_accuracy_mean"] == pytest.approx(
        records[-1].metrics["accuracy"], abs=0.01
    )


def test_a_share_is_held_out_where_the_own_test_images_are_left_out() -> None:
    found = world({"name": "natural", "test": False}, clients={"held_out": 0.2})
    assert found.held_out.images is found.dataset.x_train
    assert [len(part) for part in found.held_out.places] == [
        len(range(k, 1437, SITES)) // 5 for k in range(SITES)
    ]


def test_what_is_measured_on_clients_needs_something_to_measure_on() -> None:
    personal: dict[str, Any] = {"clients": {"personal": {"name": "ditto", "strength": 0.1}}}
    assert world("natural", **personal).held_out.places
    with pytest.raises(ConfigError, match=r"personal models are measured on .* clients.held_out = 0"):
        build_world(experiment("natural", **personal), Execution(), replace(data(), clients_test=None))
    with pytest.raises(ConfigError, match=r"clients.held_out = 0.2, and split 'natural' gives clients test"):
        world("natural", clients={"held_out": 0.2})
    with pytest.raises(ConfigError, match=r"privacy.attacks compare the clients' samples with test samples"):
        world("natural", privacy={"attacks": ["loss-threshold"]})


@pytest.mark.parametrize("over", ["honest", "all"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_with_sampled_adversaries_a_validation_split_and_sampled_cohorts(over: str, exclusive: bool) -> None:
    adversaries = {"count": 2, "data": "sample", "size": 50, "exclusive": exclusive, "split_over": over}
    config = experiment(
        "natural",
        6,
        data={"name": "digits", "validation": 0.1},
        adversaries=adversaries,
        attack={"name": "backdoor", "target": 7},
        clients={"fraction": 0.5},
    )
    found = data()
    where = spread(SplitView.of(found), config)
    assert found.clients_train is not None
    owners = found.clients_train.numpy()
    set_aside = {*where.validation.tolist()}
    taken = {*np.concatenate([where.shards[k] for k in where.malicious]).tolist()}
    for client in where.honest:
        (site,) = {*owners[where.shards[client]].tolist()}
        assert where.names[client] == f"site {site}"
        theirs = {*np.flatnonzero(owners == site).tolist()} - set_aside
        assert {*where.shards[client].tolist()} == (theirs - taken if exclusive else theirs)
        assert where.tests[client].tolist() == [*range(site, 360, SITES)]
    if over == "honest":
        assert [where.names[k] for k in where.malicious] == ["adversary", "adversary"]
    assert len([*simulate(config, dataset=found)]) == 2


def test_images_of_clients_who_take_no_part_are_used_by_nobody() -> None:
    where = world("natural", clients={"count": 5}).population.spread
    assert where.unused(1437) == 1437 - sum(map(len, where.shards)) > 0


# --- a file, in a study ------------------------------------------------------------------------------


def sites_file(folder: Path) -> Path:
    """Two sites with all classes, one with the digits 0 to 4, and nobody's images."""
    path, labels = folder / "sites.csv", load_data(experiment("iid"), Execution()).y_train.tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "client"])
        for sample, label in enumerate(labels):
            if sample % 3 == 2 and label >= 5:
                continue
            writer.writerow([sample, ("north", "south", "west")[sample % 3]])
    return path


def test_a_changed_file_is_another_input(tmp_path: Path) -> None:
    path = sites_file(tmp_path)
    config = experiment({"name": "file", "path": str(path)}, 3)
    execute(tmp_path / "run", config, Execution())
    assert str(path) in RunFolder(tmp_path / "run").read_sessions()[-1].inputs
    summary = json.loads((tmp_path / "run" / "clients.json").read_text(encoding="utf-8"))
    assert summary["names"] == ["north", "south", "west"]
    assert sum(summary["label_counts"][2][5:]) == 0
    done = status_of(tmp_path / "run", config)
    path.write_text(path.read_text(encoding="utf-8").replace("south", "east"), encoding="utf-8")
    changed = status_of(tmp_path / "run", config)
    assert done[0] != changed[0]
    assert "sites.csv" in changed[1]


def test_a_second_file_is_an_input_too(tmp_path: Path) -> None:
    path, test = sites_file(tmp_path), tmp_path / "test.csv"
    test.write_text("client\n" + "north\nsouth\nwest\n" * 120, encoding="utf-8")
    config = experiment({"name": "file", "path": str(path), "test": str(test)}, 3)
    execute(tmp_path / "run", config, Execution())
    assert {str(path), str(test)} <= {*RunFolder(tmp_path / "run").read_sessions()[-1].inputs}


def hospital_table(folder: Path) -> tuple[Path, Path]:
    """A table with the site of each row, and a file that says the same of each row."""
    table, sites = folder / "patients.csv", folder / "sites.csv"
    rng = np.random.default_rng(0)
    rows = [(rng.normal(), rng.normal(), i % 2, f"site {rng.integers(4)}") for i in range(400)]
    table.write_text("x,z,label,site\n" + "".join(f"{x},{z},{y},{s}\n" for x, z, y, s in rows))
    sites.write_text("client\n" + "".join(f"{row[3]}\n" for row in rows))
    return table, sites


@pytest.mark.parametrize("over", [None, "honest", "all"])
@pytest.mark.parametrize("test", [True, False])
def test_a_file_with_a_line_for_each_row_of_a_table_is_as_good_as_a_column(
    tmp_path: Path, over: str | None, test: bool
) -> None:
    """Also with a validation split, clients who take no part, and adversaries with samples of their own."""
    table, sites = hospital_table(tmp_path)
    data: dict[str, Any] = {"name": "csv", "path": str(table), "validation": 0.1}
    changes: dict[str, Any] = {"model": {"name": "mlp", "hidden": [4]}}
    if over is not None:
        sampled = {"count": 1, "data": "sample", "size": 20, "split_over": over}
        changes |= {"adversaries": sampled, "attack": "sign-flip"}
    column = experiment({"name": "natural", "test": test}, 3, data=data | {"clients": "site"}, **changes)
    lines = experiment(
        {"name": "file", "path": str(sites), "test": test}, 3, data=data | {"ignore": ["site"]}, **changes
    )
    expected, found = (
        spread(SplitView.of(load_data(config, Execution())), config) for config in (column, lines)
    )
    assert expected.names == found.names
    assert expected.malicious == found.malicious
    for part in ("shards", "tests"):
        there, here = getattr(expected, part), getattr(found, part)
        assert [one.tolist() for one in there] == [one.tolist() for one in here], part
    assert bool(found.tests) == test
    first, second = ([record.metrics for record in simulate(config)] for config in (column, lines))
    assert first == second


def inspected(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = folder / "mine.toml"
    config.write_text(
        'data = "digits"\nsplit = { name = "file", path = "table.csv" }\nclients = { count = 3 }\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "fedskew", "inspect", str(config), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_inspect_shows_who_would_have_what(tmp_path: Path) -> None:
    table = "site,0,1,2\nNorth General,40,10,0\nSouth Clinic,0,20,5\nWest,1,2,3\n"
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    done = inspected(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 North General" in done.stdout
    assert "1356 samples that nobody uses" in done.stdout
    plain = json.loads(inspected(tmp_path, "--json").stdout)["splits"][0]
    assert [row[:3] for row in plain["counts"]] == [[40, 10, 0], [0, 20, 5], [1, 2, 3]]
    assert plain["names"] == ["North General", "South Clinic", "West"]
    assert plain["unused"] == 1437 - 81


def test_inspect_says_in_one_sentence_that_a_table_asks_for_too_many(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("site,3\na,100\nb,100\nc,100\n", encoding="utf-8")
    done = inspected(tmp_path)
    assert done.returncode == 2
    assert "asks for 300 samples of class '3', and there are 1" in done.stderr
    assert "split.scale = true" in done.stderr
    assert "Traceback" not in done.stderr
    assert inspected(tmp_path, "--set", "split.scale=true").returncode == 0


# --- your own ---------------------------------------------------------------------------------------


@fedskew.facts(leaves_out=True)
def by_group(*, keep: float = 1.0) -> ViewedSplit:
    """Clients of images that are near in the training set."""

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        kept = np.flatnonzero(view.positions < keep * view.total)
        return Division(np.array_split(kept, num_clients), names=tuple(map(str, range(num_clients))))

    return ViewedSplit(divide)


def overlapping(*, tests: bool = True) -> ViewedSplit:
    """A split that gives a test image to everybody."""

    def divide(view: SplitView, num_clients: int, rng: Rng) -> Division:
        return Division(
            np.array_split(np.arange(len(view.labels)), num_clients), [np.arange(3)] * num_clients
        )

    return ViewedSplit(divide)


def test_your_own_split_sees_positions() -> None:
    fedskew.testing.check("split", by_group, keep=0.5)
    config = experiment({"name": by_group, "keep": 0.5}, 4, data={"name": "digits", "validation": 100})
    where = spread(SplitView.of(data()), config)
    assert max(part.max() for part in where.shards) < 1437 / 2
    assert not {*where.validation.tolist()} & {*np.concatenate(where.shards).tolist()}
    assert where.names == ("0", "1", "2", "3")


def test_a_test_image_belongs_to_one_client_at_most() -> None:
    with pytest.raises(
        ConfigError, match="did not divide the 360 test samples: every position must be given to at"
    ):
        world({"name": overlapping}, clients={"count": 3})


def test_natural_without_clients_says_what_is_missing() -> None:
    with pytest.raises(PartitionError, match="data set 'digits' does not say from which client"):
        build_world(experiment("natural"), Execution())
