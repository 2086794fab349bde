"""Every registered component against the checks that third parties run on theirs."""

from __future__ import annotations

import doctest
import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedskew import datasets, testing
from fedskew.components.binding import bare
from fedskew.components.catalogue import entry
from fedskew.components.rules import build_rule
from fedskew.components.table import BUILT_IN
from fedskew.config import Component
from fedskew.errors import DataError
from fedskew.testing.examples import INFO, matrix, server_view, updates
from helpers import toy_info

ANY_ORDER = {"promises": ("permutation", "unanimity")}
COLOUR = toy_info((3, 32, 32))
TABLE = replace(INFO, image_shape=(3, 1, 1), mean=(0.0, 5.0, -2.0), std=(1.0, 2.0, 0.1), values="numbers")

BACKDOOR = {"name": "backdoor", "target": 7}
SEES = {"threat_model": "all-updates"}
KNOWS = {"threat_model": "knows-the-defence"}

OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("split", "dirichlet"): {"alpha": 0.5},
    ("split", "shards"): {"classes_per_client": 2},
    ("split", "quantity"): {"alpha": 1.0},
    ("split", "data-sharing"): {"of": {"name": "dirichlet", "alpha": 0.5}},
    ("split", "shuffled"): {"of": {"name": "dirichlet", "alpha": 0.5}},
    ("split", "log-normal"): {"sigma": 1.0},
    ("split", "pathological"): {"classes_per_client": 2},
    ("split", "extended-dirichlet"): {"classes_per_client": 4, "alpha": 1.0},
    ("split", "inner-dirichlet"): {"alpha": 0.5},
    ("split", "similarity"): {"gamma": 0.3},
    ("shift", "rotation"): {"degrees": 45.0},
    ("shift", "contrast"): {"strength": 0.5},
    ("shift", "noise"): {"std": 0.2},
    ("shift", "label-noise"): {"rate": 0.5},
    ("model", "cnn6"): {"info": COLOUR},
    ("attack", "backdoor"): {"target": 7, "projection": 0.1, "report": 2.5, "epochs": 3},
    ("attack", "free-rider"): {"noise": 0.5},
    ("attack", "ipm"): {"eps": 2.0},
    ("trigger", "blended"): {"pattern": {"name": "square", "value": 200}},
    ("trigger", "feature"): {"info": TABLE, "feature": [0, 2]},
    ("attack", "dba"): {"target": 7, "parts": 2},
    ("attack", "edge-case"): {"source": 3, "target": 7, "count": 2},
    ("attack", "unfairness"): {"victim": 2, "lr": 0.2},
    ("attack", "pgd"): {"of": {"name": "neurotoxin", "of": BACKDOOR, "share": 0.3}, "radius": 0.1},
    ("attack", "neurotoxin"): {"of": {**BACKDOOR, "projection": 0.1}, "share": 0.3},
    ("attack", "constrain-and-scale"): {"of": BACKDOOR, "alpha": 0.7, "factor": 2.0},
    ("attack", "model-replacement"): {"of": {**BACKDOOR, "report": 2.0}, **KNOWS},
    ("attack", "train-and-scale"): {"of": {"name": "free-rider", "noise": 0.5}, "norm": "median", **SEES},
    ("attack", "n-k-inflation"): {"of": BACKDOOR, "factor": 10.0},
    ("attack", "upload-scaling"): {"of": {"name": "sign-flip"}, "factor": -2.0},
    ("selection", "power-of-choice"): {"candidates": 6},
    ("start", "stale"): {"delay": 2},
    ("personal", "ditto"): {"strength": 0.5},
    ("personal", "fine-tuning"): {"epochs": 2},
    ("objective", "fedprox"): {"mu": 0.1, "decoupled": True},
    ("objective", "feddyn"): {"alpha": 0.1},
    ("objective", "fedcurv"): {"strength": 0.1},
    ("transform", "clip"): {"norm": 0.5},
    ("transform", "noise"): {"std": 0.1},
    ("transform", "nnm"): {"f": 2},
    ("transform", "arc"): {"f": 2},
    ("transform", "fednova"): {"momentum": 0.5},
    ("aggregator", "fedavg"): ANY_ORDER,
    ("aggregator", "mean"): ANY_ORDER,
    ("aggregator", "median"): ANY_ORDER,
    ("aggregator", "krum"): {"f": 2, **ANY_ORDER},
    ("aggregator", "dnc"): {"f": 2, "dimensions": 10, **ANY_ORDER},
    ("aggregator", "fltrust"): {"promises": ("permutation",)},
    ("aggregator", "trimmed-mean"): {"b": 2, **ANY_ORDER},
    ("aggregator", "meamed"): {"f": 2, **ANY_ORDER},
    ("aggregator", "geometric-median"): {"weighted": True, **ANY_ORDER},
    ("aggregator", "multi-krum"): {"f": 2, "m": 3, **ANY_ORDER},
    ("aggregator", "bulyan"): {"f": 2, "promises": ("unanimity",)},
    ("aggregator", "mda"): {"f": 2, **ANY_ORDER},
    ("aggregator", "centered-clipping"): {"iterations": 2, **ANY_ORDER},
    ("aggregator", "sign-majority"): {"step": 0.01, "promises": ("permutation",)},
    ("aggregator", "sparse-fed"): {"share": 0.3, "promises": ("permutation",)},
    ("aggregator", "foolsgold"): {"promises": ("permutation",)},
    ("aggregator", "flame"): {"noise": 0.0, **ANY_ORDER},
    ("aggregator", "align-ins"): ANY_ORDER,
    ("aggregator", "multi-metrics"): ANY_ORDER,
    ("aggregator", "dp-fedavg"): {"clip": 0.5, "noise_multiplier": 0.1, "promises": ("permutation",)},
    ("aggregator", "q-fedavg"): {"q": 0.5, "lipschitz": 2.0, "promises": ("permutation",)},
    ("aggregator", "afl"): {"gamma": 0.1, **ANY_ORDER},
    ("aggregator", "term"): {"t": 2.0, **ANY_ORDER},
    ("aggregator", "fedmgda"): {"epsilon": 0.3, **ANY_ORDER},
    ("learning-rate", "rlr"): {"theta": 4},
    ("server-step", "momentum"): {"beta": 0.9},
    ("lr-schedule", "exponential"): {"gamma": 0.9},
}
"""What a check needs beside the name: options without a default, those that switch something on, and promises."""


def npz_file(folder: Path) -> dict[str, Any]:
    drawn = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"{name}_{part}": values
        for part, count in (("train", 40), ("test", 20))
        for name, values in (
            ("x", drawn.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)),
            ("y", np.arange(count) % 4),
            ("groups", np.arange(count) % 3),
        )
    }
    np.savez(folder / "own.npz", **arrays)
    return {"path": str(folder / "own.npz")}


def pattern_file(folder: Path) -> dict[str, Any]:
    np.save(folder / "pattern.npy", np.eye(28, dtype=np.uint8))
    return {"path": str(folder / "pattern.npy")}


def clients_file(folder: Path) -> dict[str, Any]:
    np.savez(folder / "own.npz", clients_train=np.arange(1200) % 9, clients_test=np.arange(200) % 9)
    return {"path": str(folder / "own.npz")}


def table_file(folder: Path) -> dict[str, Any]:
    rows = [f"{i},{'xy'[i % 2]},{i % 3}" for i in range(60)]
    (folder / "own.csv").write_text("\n".join(["a,b,label", *rows]))
    return {"path": str(folder / "own.csv")}


def parquet_file(folder: Path) -> dict[str, Any]:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    columns = {"a": [*range(60)], "label": [i % 3 for i in range(60)]}
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table(columns), folder / "own.parquet")
    return {"path": str(folder / "own.parquet")}


def image_files(folder: Path) -> dict[str, Any]:
    for i in range(20):
        (folder / f"class {i % 2}").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(folder / f"class {i % 2}" / f"{i}.png")
    return {"path": str(folder)}


def hf_folder(folder: Path) -> dict[str, Any]:
    pytest.importorskip(
        "datasets.features", reason="needs the extra hf"
    )  # tests/datasets is a `datasets`, too
    library = importlib.import_module("datasets")
    made = library.Dataset.from_dict({"x": [[i, i] for i in range(20)], "label": [i % 2 for i in range(20)]})
    made.save_to_disk(folder / "own")
    return {"path": str(folder / "own"), "features": ["x"]}


def leaf_folder(folder: Path) -> dict[str, Any]:
    for part in ("train", "test"):
        (folder / part).mkdir()
        data = {"x": [[0.5] * 784] * 2, "y": [3, 4]}
        (folder / part / "a.json").write_text(json.dumps({"users": ["u"], "user_data": {"u": data}}))
    return {"path": str(folder)}


FILES: dict[tuple[str, str], Callable[[Path], dict[str, Any]]] = {
    ("dataset", "npz"): npz_file,
    ("dataset", "csv"): table_file,
    ("dataset", "parquet"): parquet_file,
    ("dataset", "image-folder"): image_files,
    ("dataset", "hf"): hf_folder,
    ("dataset", "leaf"): leaf_folder,
    ("dataset", "emnist"): lambda folder: {"split": "digits"},
    ("trigger", "mask"): pattern_file,
    ("split", "file"): clients_file,
}
"""Those that need a file."""

COMPONENTS = [(kind, name) for kind, names in BUILT_IN.items() for name in names if kind != "callback"]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=[f"{kind}/{name}" for kind, name in COMPONENTS])
def test_every_built_in_component_keeps_what_its_seam_promises(kind: str, name: str, tmp_path: Path) -> None:
    options = {**OPTIONS.get((kind, name), {})}
    if (kind, name) in FILES:
        options |= FILES[kind, name](tmp_path)
    if kind == "dataset":
        options["root"] = datasets.data_root(None)
    try:
        testing.check(kind, name, **options)
    except DataError as error:
        pytest.skip(f"not on this machine: {error.message}")


def test_every_kind_has_a_check() -> None:
    assert set(testing.CHECKS) == set(BUILT_IN)
    assert {*OPTIONS, *FILES} <= set(COMPONENTS)


def component(kind: str, name: str) -> Component:
    given = {k: v for k, v in OPTIONS.get((kind, name), {}).items() if k not in ("promises", "info")}
    return Component.model_validate({"name": name, **given})


@pytest.mark.parametrize("name", BUILT_IN["attack"])
def test_attacks_have_the_threat_model_of_their_row(name: str) -> None:
    """Or that of the attack they are around, where nothing more is asked for."""
    row = BUILT_IN["attack"][name]
    options = {k: v for k, v in component("attack", name).options.items() if k != "threat_model"}
    expected = row.options.get("threat_model", row.facts.threat_model)
    if row.facts.wraps:
        inside = {row.facts.wraps: {"name": "ipm", "eps": 2.0}, "factor": 2.0, "norm": 1.0}
        options |= {option: value for option, value in inside.items() if option in row.options}
        expected = "all-updates"
    attack = bare("attack", Component.model_validate({"name": name, **options}))(INFO)
    assert attack.threat.name == expected


@pytest.mark.parametrize("name", BUILT_IN["aggregator"])
def test_aggregators_report_weights_and_ask_for_data_as_they_say(name: str) -> None:
    rule = build_rule("aggregator", component("aggregator", name))
    given = updates(matrix(11, 0), start_losses=rule.start_losses)
    _, trace, _ = rule.apply(given, server_view(0, root_update=True), rule.init())
    assert (trace.client_weights is not None) == bool(entry("aggregator", name).weights), (
        f"aggregator {name}: the docstring has a paragraph `Weights: ...` if and only if the trace has them"
    )
    row = BUILT_IN["aggregator"][name]
    option = row.facts.server_data
    assert rule.server_data == (row.options[option] if option else 0)


@pytest.mark.parametrize(
    "module", sorted({BUILT_IN[kind][name].target.partition(":")[0] for kind, name in COMPONENTS})
)
def test_the_examples_in_the_docstrings_are_right(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert not found.failed
