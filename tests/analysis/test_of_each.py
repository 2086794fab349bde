"""Reasons that the records of one run give by itself: attacks that cannot have acted, rules that do one extreme thing,
training that diverged. Each on a real run, with one beside it that is healthy."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fedskew
from fedskew.analysis import Reason, reasons_of_each, reasons_of_run, reasons_to_distrust, results_table
from fedskew.attacks.triggers import plus
from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError, RunError
from fedskew.protocols import Attack, ClientUpdates, DatasetInfo, Rng, RoundRecord, ServerView, Shard
from fedskew.runs.diverged import diverged
from fedskew.runs.folder import RunFolder
from fedskew.study.grid import Study, planned_runs
from helpers import as_without_checksums, execute

BASE: dict[str, Any] = {
    "rounds": 2,
    "stopping": "rounds",
    "model": {"name": "mlp", "hidden": [4]},
    "clients": {"count": 5},
    "training": {"epochs": 1, "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.05}},
}
BACKDOOR = {"name": "backdoor", "target": 7}


def attacked(attack: Any = BACKDOOR, count: int = 2, **adversaries: Any) -> dict[str, Any]:
    return {"adversaries": {"count": count, **adversaries}, "attack": attack}


def reasons(folder: Path, **changes: Any) -> list[Reason]:
    experiment = Experiment.model_validate({**BASE, **changes})
    execute(folder, experiment, Execution())
    return reasons_of_run(completed(experiment), RunFolder(folder))


def only(found: list[Reason]) -> Reason:
    """The only reason beside those about the split, which has clients without data where a test needs some."""
    (reason,) = (one for one in found if one.code not in ("empty-clients", "one-client-holds-most"))
    return reason


def test_healthy_runs_give_no_reason(tmp_path: Path) -> None:
    for number, attack in enumerate((BACKDOOR, "sign-flip", "none")):
        assert reasons(tmp_path / str(number), **attacked(attack)) == []
    krum = {"aggregator": {"name": "krum", "f": 1}, "learning_rate": {"name": "rlr", "theta": 3}}
    assert reasons(tmp_path / "defended", **attacked(), defence=krum) == []


# --- attacks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [BACKDOOR, "sign-flip"])
def test_adversaries_that_were_in_no_cohort_and_some_that_were(tmp_path: Path, attack: Any) -> None:
    few = {"clients": {"count": 40, "fraction": 0.05}, **attacked(attack, count=1)}
    found = only(reasons(tmp_path / "a", **few))
    assert (found.code, found.severity) == ("attack-never-ran", "serious")
    assert found.text == (
        "the attack never ran in 1 run, so it has neither failed nor been stopped there: no adversary (1 of 40 "
        "clients) was in a cohort in the 2 rounds in which they were to act"
    )
    assert found.runs == (completed(Experiment.model_validate({**BASE, **few})).identity,)
    assert reasons(tmp_path / "b", **{**few, "clients": {"count": 40, "fraction": 1.0}}) == []


def test_adversaries_whose_rounds_never_came(tmp_path: Path) -> None:
    found = only(reasons(tmp_path / "a", **attacked(start=3)))
    assert found.code == "attack-never-ran"
    assert found.text.endswith("the adversaries were not to act in any of the 2 rounds that were run")
    assert reasons(tmp_path / "b", **attacked(start=2)) == []
    assert reasons(tmp_path / "c", **attacked("none", start=3)) == [], (
        "an attack that does nothing has no rounds"
    )


def only_honest(labels: Any, num_clients: int, rng: Any, *, empty: list[int]) -> list[Any]:
    """Equal parts for everyone but these clients, who get nothing."""
    import numpy as np

    full = [k for k in range(num_clients) if k not in empty]
    parts = dict(zip(full, np.array_split(np.arange(len(labels)), len(full)), strict=True))
    return [parts.get(k, np.empty(0, dtype=np.int64)) for k in range(num_clients)]


@pytest.mark.parametrize("attack", [BACKDOOR, "sign-flip"])
def test_adversaries_without_data_all_of_them_or_one(tmp_path: Path, attack: Any) -> None:
    """Of five clients, seed 0 makes 1 and 2 malicious, whichever attack it is."""
    config = attacked(attack)
    execute(tmp_path / "who", Experiment.model_validate({**BASE, **config}), Execution())
    held = RunFolder(tmp_path / "who").read_clients()
    assert held is not None
    first, second = held.malicious

    def holding_nothing(*clients: int) -> list[Reason]:
        split = {"name": only_honest, "empty": list(clients)}
        return reasons(tmp_path / str(clients), **config, split=split)

    found = only(holding_nothing(first, second))
    assert (found.code, found.severity) == ("adversaries-without-data", "serious")
    assert found.text.endswith("and has not failed: no adversary that was in a cohort held an image")
    found = only(holding_nothing(first))
    assert (found.code, found.severity) == ("adversaries-without-data", "caution")
    assert found.text.endswith("so that there were fewer than the config says: 1 of 2")


def by_class(labels: Any, num_clients: int, rng: Any) -> list[Any]:
    """Client k holds the classes k, k + K, ... alone."""
    import numpy as np

    return [np.flatnonzero(labels % num_clients == k) for k in range(num_clients)]


def test_a_poisoned_share_of_less_than_one_image(tmp_path: Path) -> None:
    found = only(reasons(tmp_path / "a", **attacked(BACKDOOR | {"poison_fraction": 0.001}, count=1)))
    assert (found.code, found.severity) == ("attack-poisons-nothing", "serious")
    assert found.text == (
        "the attack poisoned nothing that a model could learn from in 1 run, so it has not failed there: none of the "
        "288 samples that the adversary held was poisoned (a share of less than one sample is none)"
    )
    assert reasons(tmp_path / "b", **attacked(BACKDOOR | {"poison_fraction": 0.004}, count=1)) == []


@pytest.mark.parametrize("more", [{"lr": 0.5}, {"report": 2.0}])
def test_an_attack_that_does_more_than_to_poison_may_have_acted(
    tmp_path: Path, more: dict[str, float]
) -> None:
    config = attacked(BACKDOOR | {"poison_fraction": 0.001} | more, count=1)
    found = only(reasons(tmp_path, **config))
    assert (found.code, found.severity) == ("attack-poisons-nothing", "caution")
    assert found.text == (
        "some adversaries poisoned nothing that a model could learn from in 1 run: 1 of 1, by an attack that does not "
        "poison alone"
    )


def test_no_image_of_the_source_classes_and_only_images_of_the_target(tmp_path: Path) -> None:
    one = {"clients": {"count": 10}, "split": {"name": by_class}}
    execute(tmp_path / "who", Experiment.model_validate({**BASE, **one, **attacked(count=1)}), Execution())
    held = RunFolder(tmp_path / "who").read_clients()
    assert held is not None
    (theirs,) = held.malicious  # which is also the only class of this client

    def said(name: str, **options: Any) -> list[Reason]:
        return reasons(tmp_path / name, **one, **attacked(BACKDOOR | options, count=1))

    found = only(said("source", target=(theirs + 1) % 10, source_classes=[(theirs + 2) % 10]))
    assert found.code == "attack-poisons-nothing"
    assert found.text.endswith("samples that the adversary held was of the attack's source classes")
    found = only(said("target", target=theirs))
    assert found.code == "attack-poisons-nothing"
    assert found.text.endswith("samples that the adversary held had the target's label anyway")
    assert said("fine", target=(theirs + 1) % 10, source_classes=[theirs]) == []


def test_one_adversary_of_several_that_poisons_nothing(tmp_path: Path) -> None:
    attack = BACKDOOR | {"target": 1, "source_classes": [0]}
    config = {"clients": {"count": 5}, "split": {"name": by_class}}
    found = [
        reason
        for seed in range(4)
        for reason in reasons(tmp_path / str(seed), **config, seed=seed, **attacked(attack, count=4))
    ]
    assert {(reason.code, reason.severity) for reason in found} == {("attack-poisons-nothing", "caution")}
    assert {reason.text.rpartition(": ")[2] for reason in found} == {"3 of 4"}


def stamping(info: DatasetInfo, *, target: int = 7) -> Attack:
    """A clean-label attack: it stamps images of the target class and gives no image another label."""
    trigger = plus(info)

    def poison(shard: Shard, rng: Rng) -> Shard:
        theirs = shard.labels == target
        images = torch.where(theirs[:, None, None, None], trigger.apply(shard.images), shard.images)
        return dataclasses.replace(shard, images=images)

    return Attack(poison=poison, trigger=trigger, target=target)


def test_an_attack_that_gives_no_other_label_is_not_accused(tmp_path: Path) -> None:
    """Only the built-in backdoor says that it acts by labels."""
    assert reasons(tmp_path, **attacked({"name": stamping})) == []
    held = RunFolder(tmp_path).read_clients()
    assert held is not None
    assert held.poisoning is not None
    assert all(one.poisoned and not one.relabelled for one in held.poisoning)


def test_records_that_do_not_say_it_are_not_judged(tmp_path: Path) -> None:
    """Folders of earlier versions lack what was poisoned, or the whole file: nothing is claimed."""
    config = attacked(BACKDOOR | {"poison_fraction": 0.001}, count=1)
    assert [reason.code for reason in reasons(tmp_path, **config)] == ["attack-poisons-nothing"]
    run, folder = completed(Experiment.model_validate({**BASE, **config})), RunFolder(tmp_path)
    content = json.loads(folder.clients.read_text())
    assert content.pop("only_poisons") is True
    as_without_checksums(tmp_path)
    folder.clients.write_text(json.dumps(content))
    (said,) = reasons_of_run(run, folder)
    assert said.severity == "caution", "that it did nothing cannot be said, only what was poisoned"
    assert said.text.endswith(": 1 of 1")
    del content["poisoning"]
    folder.clients.write_text(json.dumps(content))
    assert reasons_of_run(run, folder) == []
    folder.clients.write_text("{")
    assert reasons_of_run(run, folder) == []
    folder.clients.unlink()
    assert reasons_of_run(run, folder) == []


def test_a_run_that_is_not_complete_has_no_reasons(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not complete"):
        reasons_of_run(completed(Experiment.model_validate(BASE)), RunFolder(tmp_path))


def test_an_attack_that_never_ran_is_not_one_that_fails(tmp_path: Path) -> None:
    """Both have no success; only of the one that ran it is said that it fails."""
    record = Study.model_validate(
        {
            "name": "s",
            "base": {**BASE, **attacked()},
            "axes": {
                "setting": {
                    "variants": {
                        "late": {"adversaries.start": 3},
                        "weak": {"attack.poison_fraction": 0.01, "adversaries.count": 1},
                    }
                }
            },
        }
    )
    planned = planned_runs(record)
    for plan in planned:
        execute(tmp_path / "runs" / plan.identity, plan.experiment, Execution())
    found = {
        reason.code: reason
        for reason in reasons_to_distrust(record, planned, tmp_path, results_table(planned, tmp_path))
    }
    assert found["attack-never-ran"].runs == (planned[0].identity,)
    assert found["attack-never-ran"].text.endswith(
        "setting late: " + "the adversaries were not to act in any of the 2 rounds that were run"
    )
    assert found["attack-fails"].runs == (planned[1].identity,)
    assert reasons_of_each(planned, tmp_path) == [found["attack-never-ran"]]


# --- rules of the server ----------------------------------------------------------------------------


def test_rlr_that_asks_nearly_all_clients_with_data_to_agree(tmp_path: Path) -> None:
    """28 of 60 clients have data; one more cannot be asked for, which is refused."""
    config = {"clients": {"count": 60}, "split": {"name": "dirichlet", "alpha": 0.01, "remainder": "first"}}
    rlr = {"name": "rlr", "theta": 28}
    found = only(reasons(tmp_path / "a", **config, defence={"learning_rate": rlr}))
    assert (found.code, found.severity) == ("degenerate-rule", "serious")
    assert found.text.endswith("rlr turned nearly all learning rates negative in 2 of 2 rounds")
    with pytest.raises(
        ConfigError, match="needs 29 or more updates in a round, and with seed 0 only 28 of 60 "
    ):
        reasons(tmp_path / "b", **config, defence={"learning_rate": rlr | {"theta": 29}})


def weigh(updates: ClientUpdates, view: ServerView, *, how: str) -> Any:
    """An aggregator that says its weights."""
    given = torch.zeros(len(updates.deltas))
    if how == "first" or (how == "late" and view.round > 1):
        given[0] = 1.0
    elif how == "by turns":
        given[view.round % 2] = 1.0
    return given @ updates.deltas, fedskew.AggregationTrace(client_weights=given)


@pytest.mark.parametrize(
    ("how", "severity", "words"),
    [
        (
            "nobody",
            "serious",
            "gave no client any weight in 6 of 6 rounds",
        ),
        ("late", "caution", "gave no client any weight in 1 of 6 rounds"),
        ("first", "caution", "took the update of client 0 alone in 6 of 6 rounds"),
        ("by turns", "", ""),
    ],
)
def test_an_aggregator_that_trusts_nobody_or_always_the_same_one(
    tmp_path: Path, how: str, severity: str, words: str
) -> None:
    found = reasons(tmp_path, rounds=6, defence={"aggregator": {"name": weigh, "how": how}})
    if not severity:
        assert found == []
        return
    assert (only(found).code, only(found).severity) == ("degenerate-rule", severity)
    assert only(found).text.endswith(words)
    assert only(found).text.startswith("a rule of the server went to an extreme in 1 run, which may")


@pytest.mark.parametrize("audited", ["median", "rlr"])
def test_a_reason_about_what_a_defence_is_compared_with_is_a_caution(tmp_path: Path, audited: str) -> None:
    rlr = {"defence.learning_rate": {"name": "rlr", "theta": 28}}
    split = {"name": "dirichlet", "alpha": 0.01, "remainder": "first"}
    record = Study.model_validate(
        {
            "name": "s",
            "base": {**BASE, "clients": {"count": 60}, "split": split},
            "audit": {"defence": audited},
            "axes": {
                "attack": {"variants": {"no attack": {}}},
                "defence": {
                    "variants": {
                        "no defence": {},
                        "median": {"defence.aggregator": "median"},
                        "rlr": rlr,
                    }
                },
            },
        }
    )
    planned = planned_runs(record)
    for plan in planned:
        execute(tmp_path / "runs" / plan.identity, plan.experiment, Execution())
    found = [
        reasons_of_each(planned, tmp_path, record.audit),
        reasons_to_distrust(record, planned, tmp_path, results_table(planned, tmp_path)),
    ]
    for some in found:
        (reason,) = [one for one in some if one.code == "degenerate-rule"]
        about = "about rlr, which the defence is compared with: a rule of the server went to"
        assert (reason.severity, reason.text.startswith(about)) == (
            ("caution", True) if audited == "median" else ("serious", False)
        )


@pytest.mark.parametrize(
    ("noise", "codes"),
    [(0.0, []), (0.05, ["weak-privacy"]), (1.0, ["weak-privacy", "mostly-noise"]), (8.0, ["mostly-noise"])],
)
def test_a_privacy_that_is_none_and_noise_that_is_more_than_the_updates(
    tmp_path: Path, noise: float, codes: list[str]
) -> None:
    aggregator = {"name": "dp-fedavg", "clip": 0.1, "noise_multiplier": noise}
    found = reasons(tmp_path, rounds=9, defence={"aggregator": aggregator})
    assert [reason.code for reason in found] == codes
    assert all(reason.severity == "caution" for reason in found)
    last = RunFolder(tmp_path).read_records()[-1]
    if "weak-privacy" in codes:
        stated = f"epsilon = {last.trace['epsilon']:.3g}"
        assert found[0].text == f"what 1 run promised clients is noise, not privacy: {stated}"
    if "mostly-noise" in codes:
        assert found[-1].text.endswith("times the noise in 9 rounds")
        assert "more than the updates in 1 run: at most 0." in found[-1].text


@pytest.mark.parametrize(("attack", "held"), [("min-max", False), ("sign-flip", True)])
def test_a_stated_privacy_that_adversaries_undo(tmp_path: Path, attack: str, held: bool) -> None:
    """Rows that answer to honest ones move with them."""
    found = reasons(
        tmp_path,
        rounds=2,
        clients={"count": 8},
        attack=attack,
        adversaries={"count": 2},
        defence={"aggregator": {"name": "dp-fedavg", "clip": 0.1, "noise_multiplier": 2.0}},
    )
    codes = [reason.code for reason in found]
    assert ("privacy-not-held" in codes) == (not held)


def test_rounds_in_which_a_drawn_cohort_has_too_few_clients_with_data(tmp_path: Path) -> None:
    """Ten of twenty clients hold data and ten are drawn: enough for Krum in some rounds, not in others. The rounds in
    between leave the model as it was, to the last bit."""
    config = {
        "rounds": 8,
        "clients": {"count": 20, "fraction": 0.5},
        "split": {"name": only_honest, "empty": list(range(10, 20))},
        "defence": {"aggregator": {"name": "krum", "f": 1}},
    }
    found = only(reasons(tmp_path, **config))
    records = RunFolder(tmp_path).read_records()
    short = [record for record in records if len(record.arrived) < 5]
    assert 0 < len(short) < len(records)
    assert found.code == "skipped-rounds"
    assert found.severity == ("serious" if len(short) >= len(records) / 2 else "caution")
    fewest = min(len(record.arrived) for record in short)
    assert found.text.endswith(f"as few as {fewest} updates in {len(short)} of 8 rounds")
    for before, after in itertools.pairwise(records):
        assert (before.metrics["test_loss"] == after.metrics["test_loss"]) == (after in short)
        assert bool(after.client_weights) == (after not in short)


# --- training ---------------------------------------------------------------------------------------


def with_lr(lr: float) -> dict[str, Any]:
    return {"training": {**BASE["training"], "optimizer": {"name": "sgd", "lr": lr}}}


def test_every_update_rejected_in_every_round(tmp_path: Path) -> None:
    found = {reason.code: reason for reason in reasons(tmp_path, **with_lr(1e30))}
    assert set(found) == {"diverged", "rejected-updates"}
    assert found["diverged"].severity == "serious"
    assert found["diverged"].text == (
        "1 run diverged, whose numbers are not those of a trained model: every update was rejected as not finite in 2 "
        "of 2 rounds, which left the model as it was"
    )


def test_a_model_that_is_finite_and_predicts_nothing(tmp_path: Path) -> None:
    found = only(reasons(tmp_path, **with_lr(1e4)))
    assert found.code == "diverged"
    assert "the loss on the test images is " in found.text
    assert found.text.endswith(", and that of a guess 2.30")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"rejected": [0]}, ""),
        ({"rejected": [0, 1]}, "all 2 updates were rejected as not finite"),
        ({"rejected": [], "empty": [0, 1, 2]}, ""),
        ({"metrics": {}}, ""),
        ({"metrics": {"test_loss": float("nan")}}, "the loss on the test images is not finite"),
        ({"metrics": {"test_loss": 69.3}}, ""),
        ({"metrics": {"test_loss": 69.4}}, "the loss on the test images is 69.4, and that of a guess 0.69"),
        ({"metrics": {"test_loss": 69.4}, "per_class_accuracy": [1.0]}, ""),
    ],
)
def test_what_one_record_says_of_it(changes: dict[str, Any], words: str) -> None:
    plain = RoundRecord(1, {"test_loss": 0.3}, [0.5, 0.5], [0, 1, 2], [], [2], {})
    assert diverged(dataclasses.replace(plain, **changes)) == words
