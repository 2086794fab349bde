"""What is known before training to go wrong, for each split of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedskew.components.permission import allowing
from fedskew.config import Execution
from fedskew.errors import ConfigError
from fedskew.study.foreseen import foreseen
from fedskew.study.grid import Study, planned_runs
from fedskew.study.impossible import prepare_data

BASE: dict[str, Any] = {
    "clients": {"count": 20},
    "split": {"name": "dirichlet", "alpha": 0.05, "remainder": "first"},
}
BACKDOOR = {"name": "backdoor", "target": 7}


def cautions(seed: int = 0, axes: dict[str, Any] | None = None, **base: Any) -> list[list[str]]:
    record = Study.model_validate(
        {"name": "s", "seeds": [seed], "base": {**BASE, **base}, "axes": axes or {}}
    )
    return foreseen(planned_runs(record), Execution())


def test_nothing_is_said_of_what_can_work() -> None:
    assert cautions(adversaries={"count": 1}, attack=BACKDOOR) == [[]]
    assert cautions(attack=BACKDOOR | {"poison_fraction": 0.0}) == [[]], "there is nobody to poison"
    assert cautions(adversaries={"count": 1}, attack="none") == [[]]


def test_adversaries_without_images() -> None:
    """With seed 3 one of the two adversaries holds none, whatever they do."""
    for attack in (BACKDOOR, "sign-flip"):
        assert cautions(3, adversaries={"count": 2}, attack=attack) == [
            ["adversaries that hold no samples, so that they cannot act: 1 of 2"]
        ]


def test_adversaries_that_never_act() -> None:
    assert cautions(adversaries={"count": 1, "start": 11}, attack=BACKDOOR, rounds=10) == [
        ["the adversaries never act: their first round is 11, of 10 rounds"]
    ]
    assert cautions(adversaries={"count": 1, "start": 10}, attack=BACKDOOR, rounds=10) == [[]]


def test_cells_that_share_a_split_are_named_with_what_concerns_them() -> None:
    shares = {"field": "attack.poison_fraction", "values": [1.0, 0.0001, 0.0]}
    ((line,),) = cautions(adversaries={"count": 1}, attack=BACKDOOR, axes={"share": shares})
    assert line.startswith("share 0.0001; share 0.0: the attack does nothing: none of the ")


@pytest.mark.parametrize("more", [{"lr": 0.5}, {"report": 2.0}])
def test_an_attack_that_does_more_than_to_poison_is_not_said_to_do_nothing(more: dict[str, float]) -> None:
    few = BACKDOOR | {"poison_fraction": 0.0001}
    ((line,),) = cautions(adversaries={"count": 1}, attack=few)
    assert line.startswith("the attack does nothing: none of the ")
    ((line,),) = cautions(adversaries={"count": 1}, attack=few | more)
    assert line.startswith("the poisoning, which is not all of the attack, does nothing: none of the ")


def test_what_will_be_refused() -> None:
    ((line,),) = cautions(defence={"aggregator": {"name": "krum", "f": 8}})
    assert line.startswith("this will be refused: defence.aggregator: 'krum' with f = 8 needs 19 or more")


def test_an_attack_that_does_not_fit_the_data_says_so() -> None:
    with pytest.raises(ConfigError, match="class 17 does not exist"):
        cautions(adversaries={"count": 1}, attack=BACKDOOR | {"target": 17})


def idle(info: Any) -> Any:
    """An attack that poisons nothing."""
    from fedskew.protocols import Attack

    return Attack(poison=lambda shard, rng: shard)


def test_a_plugins_attack_is_looked_at_if_it_may_be_imported() -> None:
    plugin = f"{__name__}:idle"
    assert cautions(adversaries={"count": 1}, attack=plugin) == [[]]
    with allowing([__name__]):
        ((line,),) = cautions(adversaries={"count": 1}, attack=plugin)
    assert line.startswith("the attack does nothing: none of the ")


@pytest.mark.parametrize("around", [None, "shuffled"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        ("site,0,1\na,9,9\nb,9,9\n", "has 2 clients, and this split is over 20"),
        ("site,0,x\na,9,9\n", "line 1: there is no class 'x'"),
    ],
)
def test_clients_that_a_file_does_not_have_are_refused_before_any_run(
    tmp_path: Path, content: str | None, words: str, around: str | None
) -> None:
    file = tmp_path / "sites.csv"
    if content is not None:
        file.write_text(content)
    split: dict[str, Any] = {"name": "file", "path": str(file)}
    base = {**BASE, "split": {"name": around, "of": split} if around else split}
    record = Study.model_validate({"name": "s", "seeds": [0, 1], "base": base})
    with pytest.raises(ConfigError, match=words) as caught:
        prepare_data(planned_runs(record), Execution())
    assert caught.value.field == "split"
    assert str(file) in caught.value.message


def test_a_random_split_that_cannot_be_made_is_a_matter_of_its_run() -> None:
    split = {"name": "dirichlet", "alpha": 0.05, "min_size": 80}
    record = Study.model_validate({"name": "s", "seeds": [0], "base": {**BASE, "split": split}})
    prepare_data(planned_runs(record), Execution())
