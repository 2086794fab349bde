"""The documentation against the code: links, config blocks, fields, and the example plug-ins."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

import fedskew
from fedskew import testing
from fedskew.aggregation.privacy import epsilon
from fedskew.audit.build import Wish, prepare
from fedskew.audit.levels import LEVELS
from fedskew.audit.suite import SUITE
from fedskew.components.binding import complete_experiment, components_of
from fedskew.components.seams import SEAMS
from fedskew.components.table import BUILT_IN
from fedskew.config import SGD, Component, Experiment
from fedskew.config.build import build
from fedskew.study.claim import Claim
from fedskew.study.grid import Study, planned_runs
from fedskew.study.source import as_experiment, as_study, find_config
from helpers import load_module

ROOT = Path(__file__).parent.parent
CONFIG = (ROOT / "docs/config.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
PLUGINS = (
    "sleeper",
    "anchored",
    "leashed",
    "round_robin",
    "averaged",
    "even_odd",
    "norm_cnn",
    "share_of_zero",
)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks whose info string is exactly this."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    targets = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert not missing


# --- docs/config.md ---------------------------------------------------------------------------------


def experiments() -> list[str]:
    return blocks(CONFIG, "toml experiment") + blocks(CONFIG, "toml experiment sgd")


@pytest.mark.parametrize("text", experiments(), ids=lambda text: text.split("#")[0].strip())
def test_every_experiment_block_is_valid(text: str) -> None:
    complete_experiment(build(Experiment, tomllib.loads(text)))


def test_experiment_blocks_show_the_defaults() -> None:
    shown: dict[str, Any] = {}
    for text in blocks(CONFIG, "toml experiment"):
        for name, value in tomllib.loads(text).items():
            if isinstance(value, dict) or name not in shown:
                shown[name] = value
    assert build(Experiment, shown) == Experiment()
    without_default = {name for name, field in Experiment.model_fields.items() if field.default is None}
    assert set(shown) == set(Experiment.model_fields) - without_default
    assert all(f"\n# {name} = " in CONFIG for name in without_default)
    (sgd,) = blocks(CONFIG, "toml experiment sgd")
    assert build(Experiment, tomllib.loads(sgd)).training.optimizer == SGD()


def records(record: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A record and those inside it; what a component's options are is not a record's business."""
    yield record
    for field in record.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not Component:
                yield from records(inner)


def test_every_field_is_set_or_named_in_a_comment() -> None:
    toml = "\n".join([*experiments(), *blocks(CONFIG, "toml study"), *blocks(CONFIG, "toml claims")])
    described: list[type[BaseModel]] = [*records(Experiment), Study, Claim]
    for record in described:
        for name in record.model_fields:
            assert re.search(rf"^(# |\[\[?(\w+\.)?)?{name}\b", toml, re.MULTILINE), (
                f"{record.__name__}.{name}"
            )


def test_every_built_in_component_and_option_is_named() -> None:
    table = CONFIG.partition("## The built-in components")[2].partition("\n## ")[0]
    for kind, entries in BUILT_IN.items():
        for name, entry in entries.items():
            for word in (name, *entry.options):
                assert f"`{word}`" in table, f"{kind} {name}: {word}"


def test_the_page_on_own_data_names_every_option() -> None:
    sections = (ROOT / "docs/data.md").read_text(encoding="utf-8").split("\n## ")
    own = {name: row for name, row in BUILT_IN["dataset"].items() if row.options}
    for name, row in own.items():
        (section,) = [one for one in sections if f"`{name}`" in one.partition("\n")[0]]
        assert [o for o in row.options if f"`{o}`" not in section] == []


def test_the_attack_around_another_one_is_an_experiment() -> None:
    (text,) = [block for block in blocks(CONFIG, "toml") if block.startswith("attack = ")]
    experiment = complete_experiment(build(Experiment, tomllib.loads(text)))
    assert [path for path, kind, _ in components_of(experiment) if kind == "attack"] == [
        "attack",
        "attack.of",
        "attack.of.of",
    ]


def test_study_block_is_a_study() -> None:
    (text,) = blocks(CONFIG, "toml study")
    assert len(planned_runs(build(Study, tomllib.loads(text)))) == 2 * 2 * 3
    (claims,) = blocks(CONFIG, "toml claims")
    whole = build(Study, tomllib.loads(text + claims))
    assert len(planned_runs(whole)) == 2 * 2 * 3
    assert len(whole.claims) == 3


def test_every_reason_to_distrust_is_listed() -> None:
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    sources = sorted((ROOT / "src/fedskew/analysis").glob("distrust/*.py"))
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    codes = re.findall(r'Reason\(\s*"([a-z-]+)"|^    \("(mixed-[a-z]+)"', text, re.MULTILINE)
    assert len(codes) > 12
    for code in (one or two for one, two in codes):
        assert f"`{code}`" in page or f"`-{code.partition('-')[2]}`" in page, code


def test_the_page_on_audits_lists_the_attacks_and_runs_of_each_level() -> None:
    page = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    rows = {
        row.split("|")[1].strip(): row.split("|")[2:5] for row in page.splitlines() if row.startswith("| ")
    }
    attacks, runs = rows["attacks"], rows["runs, of a defence that is not among those"]
    tuning = rows["more runs with `--tune` and three values"]
    many = 0
    for level, listed, whole, tuned in zip(LEVELS, attacks, runs, tuning, strict=True):
        own = [label for label, entry in SUITE.items() if entry.level == level]
        many += len(own)
        assert listed.strip() == f"{many}: {'also ' if many > len(own) else ''}{', '.join(own)}"
        found = prepare(Wish("krum", level=level, tune=("f=1,2,3",)))
        for content, said in ((found.content(), whole), (found.tuning(), tuned)):
            assert f"{len(planned_runs(Study.model_validate(content))):,}" == said.strip()


# --- docs/catalogue.md ------------------------------------------------------------------------------


def test_the_catalogue_is_what_its_script_writes() -> None:
    script = load_module(ROOT / "docs/make_catalogue.py")
    assert script.page().encode() == (ROOT / "docs/catalogue.md").read_bytes(), (
        "python docs/make_catalogue.py"
    )


def test_the_catalogue_has_all_kinds_in_sections_that_its_contents_lead_to() -> None:
    script, page = (
        load_module(ROOT / "docs/make_catalogue.py"),
        (ROOT / "docs/catalogue.md").read_text("utf-8"),
    )
    assert set(script.KINDS) == set(BUILT_IN)
    titles = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = [
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles
    ]  # as GitHub makes them
    assert re.findall(r"\]\(#([^)]+)\)", page) == anchors
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [name for kind in script.KINDS for name in BUILT_IN[kind]]
    assert not [name for name, cell in rows if re.search(r"(?<!\\)\|", cell)], "a cell would end there"


def test_the_picture_of_shifts_has_all_of_them(tmp_path: Path) -> None:
    script = load_module(ROOT / "docs/make_shifts.py")
    assert {*script.SHIFTS} == {*BUILT_IN["shift"]}
    script.figure(tmp_path / "shifts.svg")
    assert (tmp_path / "shifts.svg").stat().st_size > 10_000


# --- examples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_example_configs_are_valid(path: Path) -> None:
    source = find_config(str(path))
    if source.is_study:
        assert planned_runs(as_study(source), source.origin)
    else:
        as_experiment(source)
    verb = "study" if source.is_study else "run"
    assert re.match(rf"# fedskew ({verb}|inspect) {path.name}\b", path.read_text(encoding="utf-8"))


def test_the_example_of_groups_runs(tmp_path: Path) -> None:
    for name in ("groups.py", "groups.toml"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    fast = ["--set", "rounds=1", "--set", "seeds=[0]", "--only", "alpha=10.0", "--jobs", "1"]
    for command in (["groups.py"], ["-m", "fedskew", "study", "groups.toml", *fast]):
        subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    for run in (tmp_path / "studies/groups/runs").iterdir():
        (line,) = (run / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["per_group_accuracy"].keys() == {"upright", "turned"}


def test_what_the_spread_over_sites_costs_is_asked_as_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "splits.md").read_text(encoding="utf-8")
    (table,) = [text for text in blocks(page, "") if text.startswith("site,")]
    (tmp_path / "sites.csv").write_text(table, encoding="utf-8")
    (config,) = blocks(page, "toml study")
    (tmp_path / "spread.toml").write_text(config, encoding="utf-8")
    fast = ["--set", "rounds=1", "--set", "seeds=[0]", "--jobs", "1"]
    command = [sys.executable, "-m", "fedskew", "study", "spread.toml", *fast]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    runs = (tmp_path / "studies" / "spread").glob("runs/*/clients.json")
    counts = [np.array(json.loads(path.read_text(encoding="utf-8"))["label_counts"]) for path in runs]
    one, other = counts
    np.testing.assert_array_equal(one.sum(1), other.sum(1))
    np.testing.assert_array_equal(one.sum(0), other.sum(0))
    assert (one != other).any()


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_start(path: Path) -> None:
    subprocess.run([sys.executable, path, "--help"], check=True, capture_output=True)


def test_example_plugins_run_together() -> None:
    plugins = load_module(ROOT / "examples" / "plugins.py")
    experiment = Experiment(
        rounds=3,
        clients={
            "count": 4,
            "fraction": 0.5,
            "held_out": 0.2,
            "selection": plugins.round_robin,
            "personal": {"name": plugins.leashed, "radius": 0.5},
        },
        adversaries={"count": 3},
        attack={"name": plugins.sleeper, "factor": 2.0, "rounds": 2},
        server={"step": plugins.averaged},
        split=plugins.even_odd,
        model={"name": plugins.norm_cnn, "width": 2},
        training={
            "epochs": 1,
            "batch_size": 64,
            "objective": {"name": plugins.anchored, "strength": 0.01},
        },
        evaluation={"metrics": [plugins.share_of_zero]},
    )
    found = list(fedskew.simulate(experiment))
    assert [record.cohort for record in found] == [[0, 1], [2, 3], [0, 1]]
    assert all(0 <= record.metrics["share_of_zero"] <= 1 for record in found)
    assert found[-1].metrics["personal_accuracy_mean"] > found[-1].metrics["held_out_accuracy_mean"]


def test_the_example_sleeper_wakes() -> None:
    plugins = load_module(ROOT / "examples" / "plugins.py")
    attack = {"name": plugins.sleeper, "rounds": 1}
    experiment = Experiment(rounds=2, clients={"count": 4}, adversaries={"count": 1}, attack=attack)
    asleep, awake = (record.metrics["cosine_honest_malicious"] for record in fedskew.simulate(experiment))
    assert awake < 0 < asleep


def test_plugins_page_names_the_examples_as_a_config_does() -> None:
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    (config,) = [text for text in blocks(page, "toml") if "plugins:" in text]
    complete_experiment(build(Experiment, tomllib.loads(config)))
    assert all(f"plugins:{name}" in config for name in PLUGINS)


def functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def test_plugins_page_shows_the_examples_code() -> None:
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    source = (ROOT / "examples/plugins.py").read_text(encoding="utf-8")
    shown = "\n\n\n".join(block.strip() for block in blocks(page, "python"))
    assert shown == source.partition("\n\n")[2].strip()
    assert tuple(functions(source)) == PLUGINS
    for name, node in functions(source).items():
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno < 12, name


def test_plugins_page_shows_a_rule_that_weights_by_loss() -> None:
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    (block,) = [text for text in blocks(page, "py") if "start_losses=True" in text]
    shown: dict[str, Any] = {}
    exec(block, shown)
    testing.check_aggregator(shown["by_loss"], promises=("permutation", "unanimity"))
    found = fedskew.aggregate(shown["by_loss"], [[4.0, 0.0], [0.0, 4.0]], start_losses=[3.0, 1.0])
    assert found.tolist() == [3, 1]


def test_plugins_page_says_how_to_try_a_rule_by_itself() -> None:
    page = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    (block,) = [text for text in blocks(page, "py") if "fedskew.aggregate(" in text]
    for line in block.splitlines()[2:]:
        shape = eval(line.partition("#")[0], {"fedskew": fedskew}).shape
        assert shape == ((2,) if "aggregate" in line else (1, 2))
    table = page.partition("| kind |")[2].partition("\n\n")[0]
    assert all(f"| `{kind}` |" in table for kind in SEAMS if kind != "callback")


def test_the_study_of_the_privacy_page_is_valid_and_its_epsilons_are_right() -> None:
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    (text,) = blocks(page, "toml")
    study = build(Study, tomllib.loads(text))
    assert len(planned_runs(study)) == 24
    (code,) = blocks(page, "python")
    assert "fedskew.aggregation.privacy import epsilon" in code
    table = page.partition("## With ten clients it does not work")[2]
    for noise, stated in re.findall(r"^\| ([\d.]+) \| ([\d.]+) \|", table, re.MULTILINE):
        assert f"{epsilon(float(noise), study.base['rounds']):.3g}" == stated


def test_readme_shows_the_example_defence() -> None:
    def code(source: str) -> str:
        node = functions(source)["trimmed_mean"]
        if ast.get_docstring(node) is not None:
            del node.body[0]
        return ast.dump(node)

    (shown,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    assert code(shown) == code((ROOT / "examples/trimmed_mean.py").read_text(encoding="utf-8"))
