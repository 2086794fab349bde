"""Every shipped preset: it is complete, its first line is a command that works, and its fields are the paper's."""

from __future__ import annotations

import shlex
from collections import Counter

import pytest
import typer.main

from fedskew.attacks.backdoor import class_id
from fedskew.cli import app
from fedskew.config import Adam, Experiment
from fedskew.datasets.published import PUBLISHED
from fedskew.papers.ozdayi_kantarcioglu import paper_numbers
from fedskew.presets import preset_names, preset_path
from fedskew.protocols import DatasetInfo
from fedskew.study.grid import PlannedRun, planned_runs
from fedskew.study.source import Source, as_experiment, as_study, find_config

PAPER = ["paper-fashion-mnist", "paper-cifar-10", "paper-text-fashion-mnist"]


def planned(name: str) -> list[PlannedRun]:
    source = find_config(name)
    return planned_runs(as_study(source), source.origin)


def text_of(name: str) -> str:
    path = preset_path(name)
    assert path is not None
    return path.read_text(encoding="utf-8")


def test_the_presets_that_are_promised_are_there() -> None:
    assert {"quickstart", "centralised-fashion-mnist", *PAPER} <= set(preset_names())
    assert preset_path("nothing") is None
    assert preset_path("../presets/quickstart") is None


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_complete_and_valid(name: str) -> None:
    source: Source = find_config(name)
    runs = planned(name)
    assert runs
    if source.is_study:
        assert as_study(source).name == name
        assert as_study(source).description
        # A split seed that is the run's seed changes nothing: that run is the one without it.
        twins = sum(run.experiment.split_seed == run.seed for run in runs)
        assert len({run.identity for run in runs}) == len(runs) - twins
    else:
        assert as_experiment(source)
    assert all(
        isinstance(run.experiment.name if hasattr(run.experiment, "name") else "", str) for run in runs
    )


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_opens_with_its_command(name: str) -> None:
    program, subcommand, *arguments = shlex.split(text_of(name).splitlines()[0].removeprefix("# "))
    assert program == "fedskew"
    assert subcommand == ("study" if find_config(name).is_study else "run")
    commands = typer.main.get_group(app).commands
    context = commands[subcommand].make_context(subcommand, list(arguments))
    assert context.params["config"] == name
    assert find_config(name, context.params["overrides"])


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_attacks_a_class_that_there_is(name: str) -> None:
    for run in planned(name):
        experiment = run.experiment
        data = str(experiment.data.name)
        names = PUBLISHED[data].class_names if data in PUBLISHED else tuple("0123456789")
        info = DatasetInfo(data, names, (1, 8, 8), (0.0,), (1.0,))
        if "target" in experiment.attack.options:
            assert class_id(info, experiment.attack.options["target"]) == 7  # sneaker, horse, and the digit


def test_quickstart() -> None:
    runs = planned("quickstart")
    assert len(runs) == 2 * 3 * 10
    assert {run.seed for run in runs} == set(range(10))
    assert len({run.cell["alpha"] for run in runs}) == 2
    assert {run.cell["setting"] for run in runs} == {"no attack", "backdoor", "backdoor + RLR"}
    assert {run.experiment.data.name for run in runs} == {"digits"}
    for run in runs:
        attacked = run.cell["setting"] != "no attack"
        assert run.experiment.adversaries.count == int(attacked)
        assert (run.experiment.defence.learning_rate.name == "rlr") == (
            run.cell["setting"] == "backdoor + RLR"
        )


@pytest.mark.parametrize("name", PAPER)
def test_the_protocol_that_all_paper_presets_share(name: str) -> None:
    """docs/protocol.md: what text and code agree on, or where the text is silent."""
    runs = planned(name)
    assert len(runs) == 45
    assert Counter(run.cell["alpha"] for run in runs) == {1.0: 15, 0.5: 15, 0.25: 15}
    assert Counter(run.cell["setting"] for run in runs) == {
        "no attack": 15,
        "backdoor": 15,
        "backdoor + RLR": 15,
    }
    assert Counter(run.seed for run in runs) == dict.fromkeys(range(5), 9)
    for run in runs:
        e: Experiment = run.experiment
        assert (e.clients.count, e.clients.fraction) == (10, 1.0)
        assert (e.training.epochs, e.training.batch_size) == (2, 256)
        # PyTorch's own defaults, and moments that persist over rounds.
        assert e.training.optimizer == Adam(
            lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, state="persist"
        )
        assert e.training.lr_schedule.name == "constant"
        assert e.server.learning_rate == 1.0
        assert e.defence.transforms == ()
        assert e.rounds == 1000
        assert e.data.validation == 0
        assert e.split.name == "dirichlet"
        assert e.split.options | {"max_draws": 0} == {
            "alpha": run.cell["alpha"],
            "remainder": "first",
            "min_size": 0,
            "max_draws": 0,
        }
        attacked, defended = run.cell["setting"] != "no attack", run.cell["setting"] == "backdoor + RLR"
        assert e.adversaries.count == int(attacked)
        assert e.attack.name == "backdoor"
        assert e.attack.options["trigger"]["name"] == "plus"
        assert e.attack.options["source_classes"] is None if "source_classes" in e.attack.options else True
        assert (e.defence.learning_rate.name, e.defence.learning_rate.options) == (
            ("rlr", {"theta": 4}) if defended else ("constant", {})
        )


@pytest.mark.parametrize(
    ("name", "data", "model"),
    [("paper-fashion-mnist", "fashion-mnist", "lenet"), ("paper-cifar-10", "cifar-10", "cnn6")],
)
def test_the_authors_code(name: str, data: str, model: str) -> None:
    assert as_study(find_config(name)).reference == data
    for run in planned(name):
        e = run.experiment
        assert (e.data.name, e.model.name) == (data, model)
        assert model == "lenet" or e.model.options == {"dropout": 0.5, "norm": "none", "groups": 2}
        assert (e.adversaries.data, e.adversaries.fraction, e.adversaries.exclusive) == ("sample", 0.1, True)
        assert (e.adversaries.size, e.adversaries.split_over) == (None, "honest")
        assert e.attack.options["poison_fraction"] == 0.5
        assert e.defence.aggregator.name == "mean"  # in effect: all its weights are equal
        assert e.stopping.name == "plateau"
        assert e.stopping.options == {"monitor": "test_loss", "patience": 10, "min_delta": 0.0}


def test_the_papers_text() -> None:
    name = "paper-text-fashion-mnist"
    assert as_study(find_config(name)).reference == "fashion-mnist"
    for run in planned(name):
        e = run.experiment
        assert (e.data.name, e.model.name) == ("fashion-mnist", "lenet")
        assert (e.adversaries.data, e.adversaries.size, e.adversaries.fraction) == ("sample", 1000, None)
        assert e.attack.options["poison_fraction"] == 1.0
        assert e.defence.aggregator.name == "fedavg"  # weighted by n_k
        assert e.stopping.options["monitor"] == "train_loss"


def test_the_centralised_baseline() -> None:
    e = as_experiment(find_config("centralised-fashion-mnist")).experiment
    assert (e.clients.count, e.adversaries.count, e.training.epochs) == (1, 0, 1)
    assert e.data.validation == 5000
    assert e.stopping.options["monitor"] == "validation_loss"
    assert e.training.lr_schedule.options == {"monitor": "validation_loss", "factor": 0.5, "patience": 5}


@pytest.mark.parametrize("name", PAPER)
def test_every_cell_of_the_papers_tables_is_in_the_preset(name: str) -> None:
    reference = as_study(find_config(name)).reference  # noqa: F841 (in the query)
    cells = {(run.cell["alpha"], run.cell["setting"]) for run in planned(name)}
    entries = paper_numbers().query("dataset == @reference")
    assert len(entries) == 36
    assert set(zip(entries["alpha"], entries["setting"], strict=True)) == cells
