"""Runs on tables and tokens: the same arithmetic as a plain loop, a backdoor in a feature, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedskew
from fedskew import datasets
from fedskew.attacks.feature import feature
from fedskew.components.returned import checked_dataset, checked_trigger
from fedskew.config import SGD, Execution, Training
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError
from fedskew.models.build import fresh
from fedskew.models.mlp import mlp
from fedskew.privacy.gradient_inversion import invert
from fedskew.protocols import Dataset, DatasetInfo, Trigger
from fedskew.runs.trigger import TriggerExamples
from fedskew.study.grid import planned_runs
from fedskew.study.impossible import prepare_data
from fedskew.study.source import Source, as_study
from fedskew.training.arithmetic import flatten
from fedskew.training.choose import choose
from fedskew.training.inputs import Normalise
from fedskew.training.plan import plan
from fedskew.training.recipe import Recipe
from helpers import build_world
from plain_loop import in_blocks, plain_loop
from tolerance import Rounding, expect, longest_sum

CPU = torch.device("cpu")
FEATURES = 6
BASE: dict[str, Any] = {
    "model": {"name": "mlp", "hidden": [16]},
    "clients": {"count": 4},
    "split": "iid",
    "training": {"epochs": 2, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.02}},
    "stopping": "rounds",
    "rounds": 6,
}


def table(rows: int = 900) -> Dataset:
    """Two classes that the sum of two features in very different units tells apart."""
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    scale = np.array([1e3, 1e-2, 1, 1, 1, 50], dtype=np.float32)
    x = torch.from_numpy(unit * scale + np.float32(3) * scale)[:, :, None, None]
    y = torch.from_numpy((unit[:, 0] + unit[:, 1] > 0).astype(np.int64))
    split = rows * 2 // 3
    train = x[:split, :, 0, 0].double()
    info = DatasetInfo(
        "table",
        ("low", "high"),
        (FEATURES, 1, 1),
        tuple(train.mean(dim=0).tolist()),
        tuple(train.std(dim=0, correction=0).tolist()),
        values="numbers",
        feature_names=tuple("abcdef"),
    )
    return checked_dataset("table", Dataset(info, x[:split], y[:split], x[split:], y[split:]))


def experiment(**changes: Any) -> fedskew.Experiment:
    return fedskew.Experiment.model_validate(BASE | changes)


def final(dataset: Dataset, execution: Execution | None = None, **changes: Any) -> dict[str, float]:
    *_, last = fedskew.simulate(experiment(**changes), execution=execution or Execution(), dataset=dataset)
    return dict(last.metrics)


@pytest.mark.parametrize("engine", ["auto", "stacked", "graph"])
def test_every_engine_learns_a_table(engine: Any) -> None:
    data = table()
    before = data.x_test.clone(), data.x_train.clone()
    assert final(data, Execution(engine=engine))["accuracy"] > 0.95
    assert data.x_test.equal(before[0])  # normalised in a copy
    assert data.x_train.equal(before[1])


SIZES = (37, 5, 64)


@pytest.mark.numerical
@pytest.mark.parametrize("engine", ["torch", "stacked", "graph"])
def test_clients_train_as_a_plain_loop_does(engine: Any) -> None:
    """Their updates are those of ``torch.optim.SGD`` in float64 over the same batches."""
    data = table()
    info, images, labels = data.info, data.x_train[:106], data.y_train[:106]
    module = fresh(lambda info: mlp(info, hidden=[16]), info, 3)
    settings = SGD(lr=0.02, momentum=0.9)
    shards = np.split(np.arange(106), np.cumsum(SIZES)[:-1])
    works = plan(3, 1, range(3), shards, Training(epochs=1, batch_size=16), Recipe(settings, 1.0))
    runner = choose(module, info, images, labels, CPU, engine, Training(batch_size=16)).build(1)
    found = runner.train(flatten(list(module.parameters())), torch.zeros(0), works, {})

    def plain(rounding: Rounding) -> list[Tensor]:
        make = partial(torch.optim.SGD, lr=0.02, momentum=0.9)
        return plain_loop(module, info, images, labels, [works], make, rounding)

    expected = expect(plain, longest_sum(module, info.image_shape, 16), at_most=0.01)
    assert expected.excess(in_blocks(module, [found])) < 1


def test_pixels_are_normalised_with_the_same_bits_as_ever() -> None:
    info = DatasetInfo("i", ("a", "b"), (3, 16, 16), (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    images = torch.arange(2 * 3 * 256).view(2, 3, 16, 16).byte()
    std = torch.tensor(info.std)
    scale, shift = (1 / (255 * std)).view(1, -1, 1, 1), (-torch.tensor(info.mean) / std).view(1, -1, 1, 1)
    assert Normalise(info, CPU)(images).equal(images.float().mul_(scale).add_(shift))


def test_native_kernels_say_why_they_do_not_serve() -> None:
    data = table()
    module = mlp(data.info)
    choice = choose(module, data.info, data.x_train, data.y_train, CPU)
    assert choice.reason == "native kernels cannot serve this model: features are not pixels"
    with pytest.raises(ConfigError, match="engine 'native' cannot serve this model: features are not pixels"):
        choose(module, data.info, data.x_train, data.y_train, CPU, "native")


BACKDOOR = {"name": "backdoor", "target": "high", "trigger": {"name": "feature", "feature": "f"}}


@pytest.mark.parametrize(
    "attack",
    [
        BACKDOOR,
        {
            "name": "dba",
            "target": 1,
            "parts": 2,
            "trigger": {"name": "feature", "feature": [3, 4], "value": 7.0},
        },
    ],
)
def test_a_backdoor_in_features(attack: dict[str, Any]) -> None:
    adversaries = {"count": 2, "data": "sample", "fraction": 0.25}
    clean = final(table(), attack=attack, rounds=12)
    attacked = final(table(), attack=attack, adversaries=adversaries, rounds=12)
    assert attacked["attack_success_rate"] > clean["attack_success_rate"] + 0.2
    assert attacked["accuracy"] > 0.9


@pytest.mark.parametrize(
    "attack",
    [{"name": "label-flip"}, {"name": "unfairness", "victim": 0}, {"name": "alie", "z": 1.5}, "sign-flip"],
)
def test_attacks_without_a_trigger_work_as_they_are(attack: Any) -> None:
    assert 0 <= final(table(), attack=attack, adversaries={"count": 1}, rounds=1)["accuracy"] <= 1


def test_the_trigger_sets_features_by_name_and_number() -> None:
    info = table().info
    x = table().x_test[:3]
    stamped = feature(info, feature=["a", 5]).apply(x)
    assert stamped[:, 1:5].equal(x[:, 1:5])
    assert stamped[:, 0].flatten().tolist() == pytest.approx([info.mean[0] + 3 * info.std[0]] * 3)
    assert feature(info, feature="b", value=7.5).apply(x)[:, 1].flatten().tolist() == [7.5] * 3
    for wrong, words in (
        ("age", "unknown feature of table 'age'"),
        (6, "feature 6 does not exist"),
        ([], "no feature"),
    ):
        with pytest.raises(ConfigError, match=words):
            feature(info, feature=wrong)
    blend = replace(feature(info, feature=0, value=1.0), weight=0.5)
    assert blend.apply(x)[:, 0].allclose((x[:, 0] + 1) / 2)
    infinite = Trigger(torch.ones(1, 1, dtype=torch.bool), torch.full(info.image_shape, torch.inf))
    with pytest.raises(ConfigError, match="value is not finite"):
        checked_trigger("mine", infinite, info)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "lenet"}, "model: 'lenet' works with pixels, and the data set 'table' has numbers"),
        ({"attack": {"name": "backdoor", "target": 1}}, "attack.trigger: 'plus' works with pixels"),
        (
            {"attack": {"name": "edge-case", "source": 0, "target": 1}},
            "attack: 'edge-case' works with pixels",
        ),
        (
            {"attack": {**BACKDOOR, "trigger": {"name": "blended"}}},
            "attack.trigger: 'blended' works with pixels",
        ),
        ({"privacy": {"property": "inverted"}}, "privacy.property: a property is planted in pixels"),
    ],
)
def test_what_needs_pixels_refuses_a_table(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        final(table(), **changes)
    assert words in caught.value.message


def test_a_hint_names_what_works_instead() -> None:
    with pytest.raises(ConfigError) as caught:
        final(table(), model="lenet")
    assert (caught.value.hint, caught.value.field) == ("take another model: mlp", "model")
    with pytest.raises(
        ConfigError, match="'feature' works with numbers, and the data set 'digits' has pixels"
    ):
        final(datasets.load("digits"), attack={**BACKDOOR, "target": 1})


def test_a_study_refuses_it_before_its_first_run(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("x,label\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    for data in ({"name": "csv", "path": str(tmp_path / "own.csv")}, "digits"):
        numbers = data != "digits"
        attack = {"name": "backdoor", "target": 1, "trigger": {"name": "plus" if numbers else "feature"}}
        plans = planned_runs(
            as_study(Source({**BASE, "data": data, "attack": attack}, Origin("x.toml"), "x"))
        )
        with pytest.raises(ConfigError, match=r"attack\.trigger: '(plus|feature)' works with"):
            prepare_data(plans, Execution(data_dir=tmp_path))


def test_there_is_no_picture_of_a_trigger_in_a_table_and_no_inversion() -> None:
    data = table()
    world = build_world(experiment(attack=BACKDOOR), Execution(), data)
    assert world.triggered_images is not None
    assert TriggerExamples.of(world) is None
    with pytest.raises(
        ConfigError, match="gradient inversion looks for images, and the data set 'table' has numbers"
    ):
        invert(world.module, data.info, world.initial_weights)


class Words(nn.Module):
    """The mean of the words' vectors, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(50, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.out(self.embedding(x[:, :, 0, 0]).mean(dim=1))
        return found


def words(info: DatasetInfo) -> nn.Module:
    return Words(info.num_classes)


def text() -> Dataset:
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(rng.integers(0, 50, (600, 12)))
    labels = (tokens < 10).sum(dim=1).gt(2).long()
    info = DatasetInfo("text", ("no", "yes"), (12, 1, 1), (), (), values="tokens")
    x = tokens[:, :, None, None]
    return checked_dataset("text", Dataset(info, x[:400], labels[:400], x[400:], labels[400:]))


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_a_model_of_ones_own_gets_tokens_as_they_are(engine: Any) -> None:
    assert final(text(), Execution(engine=engine), model=words, rounds=15)["accuracy"] > 0.8


def test_built_in_models_refuse_tokens() -> None:
    with pytest.raises(ConfigError) as caught:
        final(text())
    assert caught.value.message == (
        "model: 'mlp' works with pixels and numbers, and the data set 'text' has tokens"
    )
    assert caught.value.hint == "take a model of your own"
