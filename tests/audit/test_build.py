"""The study of an audit."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from fedskew.audit.build import NO_ATTACK, UNDEFENDED, Wish, prepare
from fedskew.audit.levels import EXTENTS, LEVELS
from fedskew.audit.suite import SUITE
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError
from fedskew.study.grid import PlannedRun, Study, planned_runs


def planned(wish: Wish) -> tuple[Study, list[PlannedRun]]:
    study = Study.model_validate(prepare(wish).content())
    return study, planned_runs(study)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_a_study_whose_every_cell_can_run(level: Any) -> None:
    study, runs = planned(Wish("krum", level))
    extent = EXTENTS[level]
    attacks = [label for label, _ in study.axes["attack"].points()]
    at_level = [label for label, entry in SUITE.items() if LEVELS.index(entry.level) <= LEVELS.index(level)]
    assert attacks == [NO_ATTACK, *at_level]
    defences = [label for label, _ in study.axes["defence"].points()]
    assert defences[:2] == [UNDEFENDED, "krum(f=2)"]
    assert len(defences) == 2 + len(extent.against)
    assert len(runs) == extent.seeds * len(extent.alphas) * len(attacks) * len(defences)


def test_levels_grow() -> None:
    sizes = [len(planned(Wish("median", level))[1]) for level in LEVELS]
    assert sizes == sorted(sizes)
    assert sizes[0] * 3 < sizes[1]


def test_every_defence_meets_the_same_attacks_on_the_same_data() -> None:
    _, runs = planned(Wish("median", seeds=1, attacks=("backdoor",)))
    seen: dict[Any, set[str]] = {}
    for run in runs:
        e = run.experiment
        seen.setdefault((run.cell["alpha"], run.cell["attack"]), set()).add(
            repr((e.split, e.attack, e.adversaries, e.clients, e.training, e.rounds, e.seed))
        )
    assert {len(same) for same in seen.values()} == {1}


def test_what_is_asked_for_is_what_is_built() -> None:
    wish = Wish(
        "clip",
        data="fashion-mnist",
        alphas=(5.0, 0.2),
        attacks=("sign-flip(scale=3.0)", "backdoor"),
        against=("median",),
        seeds=2,
        clients=20,
        adversaries=3,
        overrides=("norm=1.5", "rounds=7", "training.epochs=1"),
    )
    study, runs = planned(wish)
    assert study.seeds == (0, 1)
    assert [label for label, _ in study.axes["alpha"].points()] == [5.0, 0.2]
    assert [label for label, _ in study.axes["attack"].points()] == [
        NO_ATTACK,
        "sign-flip(scale=3.0)",
        "backdoor",
    ]
    assert [label for label, _ in study.axes["defence"].points()] == [UNDEFENDED, "clip(norm=1.5)", "median"]
    first = runs[0].experiment
    assert (first.rounds, first.training.epochs, first.clients.count) == (7, 1, 20)
    assert first.data.name == "fashion-mnist"
    assert {run.experiment.adversaries.count for run in runs} == {0, 3}
    assert study.audit is not None
    assert study.audit.defence == "clip(norm=1.5)"


def test_an_npz_file_is_a_data_set() -> None:
    content = prepare(Wish("median", data="mine.npz", seeds=1)).content()
    assert content["base"]["data"] == {"name": "npz", "path": "mine.npz"}


def test_the_same_defence_is_not_compared_with_itself() -> None:
    study, _ = planned(Wish("median", against=("median", "rlr")))
    assert [label for label, _ in study.axes["defence"].points()] == [UNDEFENDED, "median", "rlr(theta=4)"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("krum", clients=4, adversaries=4), "needs adversaries and honest clients"),
        (Wish("krum", clients=6), "needs 7 or more updates in a round"),
        (Wish("median", attacks=("no-such",)), "unknown attack 'no-such'"),
        (Wish("median", attacks=("backdoor + alie",)), "an attack is one component"),
        (Wish("median", overrides=("nothing.here=1",)), "'nothing' is no field of an experiment"),
        (Wish("median", overrides=("f=1",)), "median has no option 'f'"),
        (Wish("median", overrides=("training.epoch=1",)), "epoch"),
    ],
)
def test_what_cannot_be_done_is_refused(wish: Wish, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(wish)
    assert words in refused.value.message


def test_the_file_is_a_study_file() -> None:
    content = prepare(Wish("krum")).content()
    assert Study.model_validate(tomllib.loads(write_toml(content))) == Study.model_validate(content)
