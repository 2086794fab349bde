"""Reasons to distrust: each with a study made to have it, and beside it one that is made not to."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedskew
from fedskew.analysis import Claim, Reason, judge, reasons_to_distrust, results_table
from fedskew.analysis.distrust.incomplete import _by_chance
from fedskew.config import Execution, to_plain
from fedskew.config.toml_io import write_toml
from fedskew.errors import RunError
from fedskew.study.grid import PlannedRun, Study, planned_runs
from fedskew.study.stated import note_claims
from helpers import execute, put_records

SEEDS = [0, 1, 2, 3, 4, 5]
BACKDOOR = {"name": "backdoor", "target": 7}
CLEAN, RLR = {"adversaries.count": 0}, {"defence.learning_rate": {"name": "rlr", "theta": 4}}
ATTACK: dict[str, Any] = {}
HERE = {
    "commit": "abc",
    "engine": "native",
    "device": "cpu",
    "processor": "P",
    "fedskew": "0.1.0",
    "torch": "2.1",
    "data": ["digits bundled with scikit-learn: official content (SHA-256 1)"],
}


def study(settings: dict[str, Any] | None = None, seeds: list[int] | None = None, **base: Any) -> Study:
    variants = {"no attack": CLEAN, "backdoor": ATTACK, "RLR": RLR} if settings is None else settings
    return Study.model_validate(
        {
            "name": "s",
            "seeds": seeds or SEEDS,
            "base": {"adversaries": {"count": 1}, "attack": BACKDOOR, "stopping": "rounds", "rounds": 2}
            | base,
            "axes": {"setting": {"variants": variants}},
        }
    )


def write(
    folder: Path,
    plan: PlannedRun,
    *,
    stopped: str = "the round limit",
    trace: Iterable[dict[str, float]] | None = None,
    rejected: list[int] | None = None,
    sessions: list[dict[str, Any]] | None = None,
    **metrics: float,
) -> None:
    """A complete run of two rounds, as ``runs.execute`` leaves it; healthy where nothing else is said."""
    attacked = plan.experiment.adversaries.count > 0
    defended = plan.experiment.defence.learning_rate.label == "rlr"
    usual = {"accuracy": 0.9, "target_share": 0.01, "attack_success_rate": 0.8 if attacked else 0.02}
    usual |= {} if attacked else {"clean_trigger_rate": 0.02}
    usual |= {"attack_success_rate": 0.1, "accuracy": 0.85} if defended else {}
    traces = list(trace or [{"negative_rate_share": 0.4}] * 2 if defended or trace else [{}, {}])
    path = folder / "runs" / plan.identity
    path.mkdir(parents=True)
    records = [
        {
            "round": number,
            "metrics": usual | metrics,
            "per_class_accuracy": [0.9],
            "cohort": [0, 1, 2, 3],
            "rejected": (rejected or []) if number == 1 else [],
            "empty": [3],
            "trace": traces[number - 1],
        }
        for number in (1, 2)
    ]
    (path / "config.toml").write_text(write_toml(to_plain(plan.experiment)), encoding="utf-8")
    (path / "result.json").write_text(json.dumps({"stopped": stopped, "skew": {}}))
    put_records(path, records)
    (path / "environment.json").write_text(json.dumps({"sittings": [HERE] if sessions is None else sessions}))


def reasons(record: Study, folder: Path) -> list[Reason]:
    planned = planned_runs(record)
    return reasons_to_distrust(record, planned, folder, results_table(planned, folder))


def only(found: list[Reason], code: str) -> Reason:
    """The one reason that there is."""
    assert [reason.code for reason in found] == [code], found
    return found[0]


def write_all(record: Study, folder: Path, **special: dict[str, Any]) -> list[PlannedRun]:
    """All runs; ``special`` says what is different in a setting (its name with _ for a space)."""
    planned = planned_runs(record)
    for plan in planned:
        write(folder, plan, **special.get(plan.cell["setting"].replace(" ", "_"), {}))
    return planned


def test_a_healthy_study_gives_no_reason(tmp_path: Path) -> None:
    write_all(study(), tmp_path)
    assert reasons(study(), tmp_path) == []


def swing(folder: Path, plan: PlannedRun, metric: str, values: list[float]) -> None:
    """Gives a run so many rounds with these values of a metric."""
    path = folder / "runs" / plan.identity
    line = json.loads((path / "rounds.jsonl").read_text().splitlines()[0])
    records = [
        line | {"round": number, "metrics": line["metrics"] | {metric: value}}
        for number, value in enumerate(values, start=1)
    ]
    put_records(path, records)


def test_metrics_that_swing_in_step_in_the_last_rounds(tmp_path: Path) -> None:
    """0.9 and 0.1 by turns: eight second differences of 1.6 make a noise of 1.6 / sqrt(6)."""
    for plan in write_all(study(), tmp_path):
        if plan.cell["setting"] == "backdoor":
            swing(tmp_path, plan, "bias", [0.9, 0.1] * 6)
    found = only(reasons(study(), tmp_path), "unsteady-end")
    assert found.severity == "serious"
    assert found.text.endswith(
        "setting backdoor: bias, 65.3 points between rounds, standard error over seeds 0.0"
    )
    assert len(found.runs) == len(SEEDS)


def test_a_swing_of_one_seed_alone_and_of_seeds_with_gaps(tmp_path: Path) -> None:
    """Of one seed nothing is said about others; a seed that was not measured in a round hides no other."""
    record = study(seeds=[0])
    for plan in write_all(record, tmp_path / "one"):
        swing(tmp_path / "one", plan, "bias", [0.9, 0.1] * 3)
    texts = {reason.code: reason.text for reason in reasons(record, tmp_path / "one")}
    assert "setting no attack: bias, 65.3 points between rounds, one seed" in texts["unsteady-end"]
    for plan in write_all(study(), tmp_path / "gap"):
        swing(tmp_path / "gap", plan, "bias", [0.9, 0.1] * 5 + [math.nan if plan.seed == 2 else 0.9])
    assert only(reasons(study(), tmp_path / "gap"), "unsteady-end")


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.6, 0.75],  # three rounds, in which it learns
        [0.3, 0.5, 0.65, 0.75, 0.82, 0.85],  # six of the same kind
        [0.03 * number for number in range(30)],  # a steady rise
        [0.9, 0.1] * 5 + [0.1] * 10,  # it has calmed down
        [0.5, 0.56] * 6,  # 4.9 points
    ],
)
def test_metrics_that_do_not_swing_at_the_end(tmp_path: Path, values: list[float]) -> None:
    for plan in write_all(study(), tmp_path):
        swing(tmp_path, plan, "accuracy", values)
    assert reasons(study(), tmp_path) == []


@pytest.mark.parametrize("seeds", [3, 6, 10])
def test_seeds_that_swing_each_for_itself_are_in_the_interval(tmp_path: Path, seeds: int) -> None:
    """Noise of 20 points, independent over rounds and seeds: the interval of the last round is as honest as any."""
    record, rng = study(seeds=list(range(seeds))), np.random.default_rng(seeds)
    for plan in write_all(record, tmp_path):
        swing(tmp_path, plan, "bias", list(rng.uniform(0.1, 0.8, 12)))
    assert "unsteady-end" not in {reason.code for reason in reasons(record, tmp_path)}


def test_an_attack_without_a_trigger_needs_runs_without_it(tmp_path: Path) -> None:
    nothing = {"attack_success_rate": math.nan, "clean_trigger_rate": math.nan}
    attacks = {"no attack": CLEAN, "mine": {"attack": {"name": "my_module:mine"}}}
    write_all(study(attacks), tmp_path / "both", mine=nothing)
    assert reasons(study(attacks), tmp_path / "both") == []
    alone = study({"mine": attacks["mine"]})
    write_all(alone, tmp_path / "alone", mine=nothing)
    found = only(reasons(alone, tmp_path / "alone"), "attack-without-yardstick")
    assert found.severity == "caution"
    assert found.text.startswith("my_module:mine has no trigger")
    assert len(found.runs) == len(SEEDS)


def test_seeds_that_share_one_split(tmp_path: Path) -> None:
    record = study(split_seed=7)
    write_all(record, tmp_path)
    found = only(reasons(record, tmp_path), "one-split")
    assert found.severity == "serious"
    assert "18 runs share one split" in found.text
    assert len(found.runs) == 18


# --- the attack -------------------------------------------------------------------------------------


def test_an_attack_that_fails_without_a_defence(tmp_path: Path) -> None:
    planned = write_all(study(), tmp_path, backdoor={"attack_success_rate": 0.11})
    found = only(reasons(study(), tmp_path), "attack-fails")
    assert found.severity == "serious"
    assert "setting backdoor: 11.0 %, without the attack 2.0 %" in found.text
    assert found.runs == tuple(plan.identity for plan in planned if plan.cell["setting"] == "backdoor")


def test_an_attack_just_clearly_above_what_the_trigger_does_anyway(tmp_path: Path) -> None:
    write_all(study(), tmp_path, backdoor={"attack_success_rate": 0.13})
    assert reasons(study(), tmp_path) == []


def test_without_clean_runs_an_attack_is_held_against_the_clean_images(tmp_path: Path) -> None:
    record = study({"backdoor": ATTACK})
    write_all(record, tmp_path, backdoor={"attack_success_rate": 0.5, "target_share": 0.45})
    found = only(reasons(record, tmp_path), "attack-fails")
    assert "50.0 %, without the attack 45.0 %" in found.text


def test_a_defended_attack_may_fail(tmp_path: Path) -> None:
    write_all(study(), tmp_path, RLR={"attack_success_rate": 0.0})
    assert reasons(study(), tmp_path) == []


def test_an_attack_that_was_never_run_without_a_defence(tmp_path: Path) -> None:
    record = study({"no attack": CLEAN, "RLR": RLR})
    write_all(record, tmp_path)
    assert only(reasons(record, tmp_path), "attack-unchecked").severity == "caution"


def test_a_trigger_that_works_on_a_clean_model(tmp_path: Path) -> None:
    special = {"clean_trigger_rate": 0.3, "attack_success_rate": 0.3}
    write_all(study(), tmp_path, no_attack=special)
    found = only(reasons(study(), tmp_path), "trigger-works-on-clean-model")
    assert "setting no attack: 30.0 %, without the trigger 1.0 %" in found.text
    assert len(found.runs) == len(SEEDS)


def test_a_model_that_calls_everything_the_target_is_no_working_trigger(tmp_path: Path) -> None:
    write_all(study(), tmp_path, no_attack={"clean_trigger_rate": 0.3, "target_share": 0.28})
    assert reasons(study(), tmp_path) == []


# --- defences ---------------------------------------------------------------------------------------


def test_rlr_that_makes_no_rate_negative(tmp_path: Path) -> None:
    write_all(study(), tmp_path, RLR={"trace": [{"negative_rate_share": 0.0}] * 2})
    found = only(reasons(study(), tmp_path), "defence-never-acted")
    assert found.severity == "serious"
    assert "in 6 runs: setting RLR: rlr made no learning rate negative in any round" in found.text


def test_rlr_that_acted_in_one_round_acted(tmp_path: Path) -> None:
    write_all(study(), tmp_path, RLR={"trace": [{"negative_rate_share": 0.0}, {"negative_rate_share": 0.1}]})
    assert reasons(study(), tmp_path) == []


def test_a_defence_that_records_only_zeros(tmp_path: Path) -> None:
    record = study({"backdoor": ATTACK, "mine": {"defence.aggregator": "mine:mine"}})
    write_all(record, tmp_path, mine={"trace": [{"dropped": 0.0}] * 2, "accuracy": 0.7})
    found = only(reasons(record, tmp_path), "defence-never-acted")
    assert "what mine:mine recorded is 0 in every round" in found.text


def test_a_defence_that_nothing_can_be_said_of(tmp_path: Path) -> None:
    """Clipping keeps no record, and there is no run without it that is otherwise the same."""
    clip = {"defence.transforms": [{"name": "clip", "norm": 1.0}]}
    record = study({"open": {"training.epochs": 1}, "clip": clip})
    write_all(record, tmp_path)
    found = only(reasons(record, tmp_path), "defence-not-observed")
    assert found.severity == "caution"
    assert "whether clip ever acted in 6 runs" in found.text
    record = study({"open": {"training.epochs": 1}, "median": {"defence.aggregator": "median"}})
    write_all(record, tmp_path / "median")
    assert reasons(record, tmp_path / "median") == [], "a median is never a mean"


def test_what_clients_do_before_they_send_is_left_out_with_the_defence(tmp_path: Path) -> None:
    local = {
        "defence.transforms": [{"name": "clip", "norm": 1.0}, {"name": "noise", "std": 0.01}],
        "defence.local_transforms": 2,
        "defence.aggregator": "mean",
    }
    record = study({"open": {"defence.aggregator": "mean"}, "local noise": local})
    write_all(record, tmp_path)
    found = only(reasons(record, tmp_path), "defence-never-acted")
    assert "in 6 runs: setting local noise: the same numbers in every round as without it" in found.text


def test_runs_with_another_property_planted_are_other_runs(tmp_path: Path) -> None:
    clip = {"defence.transforms": [{"name": "clip", "norm": 1e6}]}
    planted = {
        name: {
            "privacy.attacks": ["property-inference"],
            "privacy.property": {"name": name, "share": 0.1, "clients": 0.5},
        }
        for name in ("rotated", "inverted")
    }
    settings = planted | {f"{name} clip": {**of, **clip} for name, of in planted.items()}
    record = study(settings, adversaries={"count": 0}, clients={"held_out": 0.2})
    write_all(record, tmp_path)
    found = next(one for one in reasons(record, tmp_path) if one.code == "defence-never-acted")
    assert "in 12 runs: " in found.text


def test_an_optimiser_on_the_server_is_no_defence_and_a_rule_may_say_that_it_is_none(tmp_path: Path) -> None:
    record = study(
        {"no attack": CLEAN, "backdoor": ATTACK}, server={"step": {"name": "momentum", "beta": 0.9}}
    )
    write_all(record, tmp_path / "step")
    assert reasons(record, tmp_path / "step") == []
    setting = {"backdoor": ATTACK, "mine": {"defence.aggregator": f"{__name__}:weighted"}}
    write_all(study(setting), tmp_path / "mine")
    assert reasons(study(setting), tmp_path / "mine") == []


@fedskew.facts(defends=False)
def weighted(updates: Any, view: Any) -> Any:
    """A mean of one's own."""


def test_a_rule_that_says_nothing_of_itself_may_be_a_defence(tmp_path: Path) -> None:
    for name, rule in {"a": {"server.step": "mine:step"}, "b": {"defence.aggregator": "mine:rule"}}.items():
        record = study({"open": {"training.epochs": 1}, "mine": rule})
        write_all(record, tmp_path / name)
        found = only(reasons(record, tmp_path / name), "defence-not-observed")
        assert "whether mine:" in found.text
        record = study({"backdoor": ATTACK, "mine": rule})
        write_all(record, tmp_path / f"same {name}")
        found = only(reasons(record, tmp_path / f"same {name}"), "defence-never-acted")
        assert "the same numbers in every round as without it" in found.text
        # A number that only one of them has, the rule's own or one that records of an earlier version lack, is no sign.
        write_all(record, tmp_path / f"own {name}", mine={"detection_false_positive_rate": 0.0})
        found = only(reasons(record, tmp_path / f"own {name}"), "defence-never-acted")
        assert "the same numbers in every round as without it" in found.text


def test_the_run_without_a_defence_may_be_an_unweighted_mean(tmp_path: Path) -> None:
    """As in the paper's presets: what does not defend stays in the run that a defence is compared with."""
    settings = {
        "backdoor": ATTACK,
        "clip": {"defence.transforms": [{"name": "clip", "norm": 1.0}]},
        "mine": {"defence.aggregator": "mine:rule"},
    }
    record = study(settings, defence={"aggregator": "mean"})
    write_all(record, tmp_path)
    found = only(reasons(record, tmp_path), "defence-never-acted")
    for name in ("clip", "mine"):
        assert f"setting {name}: the same numbers in every round as without it" in found.text


def test_defences_that_really_ran(tmp_path: Path) -> None:
    """A clip that is too long for any update, one that is not, and RLR that asks for no agreement."""
    record = study(
        {
            "bare": {},
            "loose": {"defence.transforms": [{"name": "clip", "norm": 1e6}]},
            "tight": {"defence.transforms": [{"name": "clip", "norm": 0.1}]},
            "theta 0": {"defence.learning_rate": {"name": "rlr", "theta": 0}},
            "theta 2": {"defence.learning_rate": {"name": "rlr", "theta": 2}},
        },
        seeds=[0],
        clients={"count": 4},
        training={"epochs": 1, "batch_size": 64},
    )
    planned = planned_runs(record)
    for plan in planned:
        execute(tmp_path / "runs" / plan.identity, plan.experiment, Execution())
    (found,) = [r for r in reasons(record, tmp_path) if r.code.startswith("defence")]
    assert found.runs == (planned[1].identity, planned[3].identity)
    assert "setting loose: the same numbers in every round as without it" in found.text
    assert "setting theta 0: rlr made no learning rate negative" in found.text


# --- seeds, stops, missing runs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "severity", "words"),
    [
        (1, "serious", "1 seed in every cell: fewer than 3 decide nothing"),
        (2, "serious", "2 seeds in every cell"),
        (3, "caution", "3 seeds in every cell: a sign-flip test cannot give less than p = 0.25,"),
        (5, "caution", "cannot give less than p = 0.0625,"),
    ],
)
def test_few_seeds(tmp_path: Path, count: int, severity: str, words: str) -> None:
    record = study(seeds=SEEDS[:count])
    write_all(record, tmp_path)
    found = only(reasons(record, tmp_path), "few-seeds")
    assert found.severity == severity
    assert words in found.text


def test_missing_and_failed_runs(tmp_path: Path) -> None:
    planned = planned_runs(study())
    gone, failed, *rest = planned
    for plan in rest:
        write(tmp_path, plan)
    folder = tmp_path / "runs" / failed.identity
    folder.mkdir()
    (folder / "failure.json").write_text(json.dumps({"reason": "the global model is not finite\nhint: x"}))
    one, two, three = reasons(study(), tmp_path)
    assert (one.code, one.severity, one.runs) == ("failed-runs", "serious", (failed.identity,))
    assert "1 of 18 runs failed" in one.text
    assert "went well: 1 of 6 at setting backdoor. The first is" in one.text
    assert one.text.endswith("The first is setting backdoor, seed 0 (the global model is not finite)")
    assert (two.code, two.severity, two.runs) == ("missing-runs", "caution", (gone.identity,))
    assert "1 of 18 runs are not complete: setting no attack, seed 0" in two.text
    assert three.code == "few-seeds"
    assert "5 seeds in setting no attack; setting backdoor" in three.text


def test_failures_are_counted_by_cell_and_by_the_axis_that_they_depend_on(tmp_path: Path) -> None:
    """Two axes, of which one decides: of four cells, two lose all but one seed, and the other axis is even."""
    record = Study.model_validate(
        {
            "name": "s",
            "seeds": [0, 1, 2, 3],
            "base": {"stopping": "rounds", "rounds": 2},
            "axes": {
                "alpha": {
                    "field": "split",
                    "values": [{"name": "dirichlet", "alpha": a} for a in (10.0, 0.1)],
                },
                "setting": {"variants": {"mean": {"defence.aggregator": "mean"}, "FedAvg": {}}},
            },
        }
    )
    planned = planned_runs(record)
    for plan in planned:
        if "10.0" in str(plan.cell["alpha"]) or plan.seed == 0:
            write(tmp_path, plan)
        else:
            path = tmp_path / "runs" / plan.identity
            path.mkdir(parents=True)
            (path / "failure.json").write_text(json.dumps({"reason": "a batch of one image"}))
    (found,) = (reason for reason in reasons(record, tmp_path) if reason.code == "failed-runs")
    low = "dirichlet(alpha=0.1)"
    assert found.severity == "serious"
    assert found.text == (
        "6 of 16 runs failed and are missing from every mean, which leaves those that went well: "
        f"3 of 4 at alpha {low}, setting mean; 3 of 4 at alpha {low}, setting FedAvg. "
        f"Failures by alpha: 6 of 8 at {low}. "
        f"The first is alpha {low}, setting mean, seed 1 (a batch of one image)"
    )
    assert len(found.runs) == 6


@pytest.mark.parametrize(
    ("labels", "share"),
    [
        ([(0, 6), (4, 6)], 30 / 495),
        ([(0, 8), (6, 8)], 56 / 8008),
        ([(1, 50), (0, 50)], 1.0),
        ([(3, 10), (0, 10), (0, 10)], 3 * 120 / 4060),
        ([(10, 10)], 1.0),
        ([(10, 10), (10, 10)], 1.0),
    ],
)
def test_how_often_chance_spreads_failures_so_unevenly(labels: list[tuple[int, int]], share: float) -> None:
    """Held against the exact shares, counted by hand; the draws are the same each time."""
    found = _by_chance(labels)
    assert found == pytest.approx(share, abs=0.01)
    assert found == _by_chance(labels)


def test_a_study_that_has_not_begun(tmp_path: Path) -> None:
    found = only(reasons(study(), tmp_path), "missing-runs")
    assert found.severity == "serious"
    assert "18 of 18 runs are not complete" in found.text
    assert found.text.endswith("and 15 more")


PLATEAU = {"name": "plateau", "patience": 1}


def test_a_run_that_hit_its_limit(tmp_path: Path) -> None:
    record = study(stopping=PLATEAU)
    early = "train_loss has not improved for 1 rounds (best in round 1)"
    write_all(record, tmp_path, no_attack={"stopped": early}, RLR={"stopped": early})
    found = only(reasons(record, tmp_path), "round-limit")
    assert found.severity == "serious"
    assert "6 runs of 18 reached the limit of rounds" in found.text
    assert "setting backdoor, seed 0 (2)" in found.text
    assert len(found.runs) == 6


def test_a_fixed_number_of_rounds_is_no_reason(tmp_path: Path) -> None:
    write_all(study(stopping="rounds"), tmp_path)  # all stopped by the limit
    assert reasons(study(stopping="rounds"), tmp_path) == []


def test_test_set_stopping(tmp_path: Path) -> None:
    record = study(stopping=PLATEAU | {"monitor": "test_loss"})
    reason = "test_loss has not improved for 1 rounds (best in round 1); the test set chose when to stop"
    write_all(
        record, tmp_path, no_attack={"stopped": reason}, backdoor={"stopped": reason}, RLR={"stopped": reason}
    )
    found = only(reasons(record, tmp_path), "test-set-stopping")
    assert (found.severity, len(found.runs)) == ("caution", 18)


def test_rejected_updates(tmp_path: Path) -> None:
    planned = planned_runs(study())
    for number, plan in enumerate(planned):
        write(tmp_path, plan, rejected=[2] if number == 1 else None)
    found = only(reasons(study(), tmp_path), "rejected-updates")
    # Two rounds of three clients that have data; one of the six updates was rejected.
    assert found.text == (
        "1 of 6 updates in 1 run were not finite and left out, in 1 round: setting backdoor, seed 0"
    )
    assert (found.severity, found.runs) == ("serious", (planned[1].identity,))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (first, *_) = write_all(study(), tmp_path)
    table = results_table(planned_runs(study()), tmp_path)
    (tmp_path / "runs" / first.identity / "rounds.jsonl").write_text("{\n{}\n")
    with pytest.raises(RunError, match=r"rounds\.jsonl, line 1 is damaged"):
        reasons_to_distrust(study(), planned_runs(study()), tmp_path, table)
    with pytest.raises(RunError, match=r"rounds\.jsonl is not what the run wrote"):
        reasons(study(), tmp_path)


# --- where it was done, and from what ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"engine": "eager"}, "mixed-engines", "native (12 runs); eager (6 runs)"),
        ({"device": "cuda (X)"}, "mixed-devices", "cpu (12 runs); cuda (X) (6 runs)"),
        ({"processor": "Q"}, "mixed-processors", "P (12 runs); Q (6 runs)"),
        ({"commit": "def"}, "mixed-commits", "abc (12 runs); def (6 runs)"),
        ({"torch": "2.2"}, "mixed-versions", "fedskew 0.1.0, torch 2.2 (6 runs)"),
        ({"data": ["digits: official content (SHA-256 2)"]}, "mixed-data", "(SHA-256 2) (6 runs)"),
    ],
)
def test_runs_done_in_different_ways(tmp_path: Path, changes: dict[str, Any], code: str, words: str) -> None:
    planned = write_all(study(), tmp_path, RLR={"sessions": [HERE | changes]})
    found = only(reasons(study(), tmp_path), code)
    assert words in found.text
    assert found.runs == tuple(plan.identity for plan in planned if plan.cell["setting"] == "RLR")
    assert found.severity == ("serious" if code == "mixed-data" else "caution")


def test_a_run_done_in_two_sessions_counts_in_both(tmp_path: Path) -> None:
    write_all(study(), tmp_path, RLR={"sessions": [HERE, HERE | {"commit": "def"}]})
    assert (
        "abc (18 runs); def (6 runs) (6 runs in several of them)"
        in only(reasons(study(), tmp_path), "mixed-commits").text
    )


def test_models_and_data_sets_may_have_engines_and_files_of_their_own(tmp_path: Path) -> None:
    record = study({"a": {}, "b": {"model": "small-cnn"}, "c": {"data": "mnist", "model": "lenet"}})
    other = {"sessions": [HERE | {"engine": "eager"}]}
    data = {"sessions": [HERE | {"data": ["mnist/x: official content (SHA-256 9)"]}]}
    write_all(record, tmp_path, b=other, c=data)
    assert reasons(record, tmp_path) == []


def test_a_source_tree_that_was_edited(tmp_path: Path) -> None:
    edited = {"sessions": [HERE | {"commit": "abc+changes"}]}
    write_all(study(), tmp_path, no_attack=edited, backdoor=edited, RLR=edited)
    assert only(reasons(study(), tmp_path), "uncommitted-source").severity == "caution"


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("known variant: 59,799 of 60,000 images bit-identical (SHA-256 1)", "caution"),
        ("unknown content (SHA-256 1)", "serious"),
    ],
)
def test_data_that_is_not_what_its_name_says(tmp_path: Path, status: str, severity: str) -> None:
    here = {"sessions": [HERE | {"data": [f"folder/a.bin: {status}", f"folder/b.bin: {status}"]}]}
    write_all(study(), tmp_path, no_attack=here, backdoor=here, RLR=here)
    found = only(reasons(study(), tmp_path), "unofficial-data")
    assert (found.severity, len(found.runs)) == (severity, 18)
    assert found.text.endswith(f": folder/a.bin and 1 more: {status.removesuffix(' (SHA-256 1)')}")


def test_ones_own_data_and_unknown_origins_are_no_reason(tmp_path: Path) -> None:
    """A record without a place to look at is not held against a run."""
    own = {"sessions": [HERE | {"data": ["mine.npz: the user's own content (SHA-256 1)"]}]}
    planned = write_all(study(), tmp_path, no_attack=own, backdoor=own, RLR=own)
    assert reasons(study(), tmp_path) == []
    for plan, content in zip(planned, ("", "{", '{"sittings": 3}'), strict=False):
        (tmp_path / "runs" / plan.identity / "environment.json").write_text(content)
    assert reasons(study(), tmp_path) == []


def test_seeds_in_two_groups(tmp_path: Path) -> None:
    """A defence that fails in two of eight seeds, and one that is as good in all of them."""
    record = study(seeds=list(range(8)))
    rates = {0: 0.975, 1: 0.972, 2: 0.053, 3: 0.047, 4: 0.067, 5: 0.056, 6: 0.055, 7: 0.058}
    for plan in planned_runs(record):
        defended = plan.cell["setting"] == "RLR"
        write(tmp_path, plan, backdoor_accuracy=rates[plan.seed] if defended else 0.8 + 0.005 * plan.seed)
    found = only(reasons(record, tmp_path), "two-groups")
    assert found.severity == "serious"
    assert "setting RLR: backdoor accuracy 97.35 % in 2 seeds (0, 1), 5.60 % in the other 6" in found.text
    assert set(found.runs) == {p.identity for p in planned_runs(record) if p.cell["setting"] == "RLR"}


COSTS = {"metric": "accuracy", "direction": "falls", "compare": {"setting": ["backdoor", "RLR"]}}


def test_single_seeds_against_a_verdict(tmp_path: Path) -> None:
    """RLR lowers the accuracy in seven seeds of eight, so that the claim holds."""
    asked = COSTS | {"text": "RLR costs"}
    record = study(seeds=list(range(8))).model_copy(update={"claims": (Claim.model_validate(asked),)})
    for plan in planned_runs(record):
        cost = (
            (-0.004 if plan.seed == 3 else 0.01 + 0.001 * plan.seed) if plan.cell["setting"] == "RLR" else 0
        )
        write(tmp_path, plan, accuracy=0.9 - cost)
    planned = planned_runs(record)
    results = results_table(planned, tmp_path)
    (judgement,) = judge(record, results)
    assert (judgement.verdict, judgement.opposed) == ("holds", (1, 8))
    found = reasons_to_distrust(record, planned, tmp_path, results, [judgement])
    assert (
        only(found, "opposite-pairs").text
        == "single seeds speak against 1 verdict: RLR costs (1 of 8 comparisons)"
    )


def test_claims_that_were_made_when_results_were_there(tmp_path: Path) -> None:
    record = study()
    planned = write_all(record, tmp_path)
    first, more = (
        Claim.model_validate(COSTS | {"text": text, "metric": metric})
        for text, metric in (("a", "accuracy"), ("b", "bias"))
    )
    (tmp_path / "claims.jsonl").write_text("")  # noted from the beginning, when nothing was claimed
    note_claims(tmp_path, [first])
    late = record.model_copy(update={"claims": (first, more)})
    found = only(reasons(late, tmp_path), "late-claims")
    assert found.severity == "caution"
    many = len({plan.identity for plan in planned})
    assert f"with {many} runs of the study complete" in found.text
    assert found.text.startswith("2 claims may have been made to fit the results: a (added on ")
    gone = only(reasons(record, tmp_path), "withdrawn-claims")
    assert gone.text == "the study no longer states 1 claim that it stated before: a"


def test_serious_reasons_come_first(tmp_path: Path) -> None:
    record = study(seeds=[0, 1, 2])
    write_all(
        record, tmp_path, backdoor={"attack_success_rate": 0.0}, RLR={"sessions": [HERE | {"commit": "d"}]}
    )
    assert [r.severity for r in reasons(record, tmp_path)] == ["serious", "caution", "caution"]


# --- audits -----------------------------------------------------------------------------------------

AUDIT_AXES: dict[str, Any] = {
    "attack": {
        "variants": {
            "no attack": CLEAN,
            "sign-flip": {"attack": {"name": "sign-flip"}},
            "opt-ipm": {"attack": {"name": "opt-ipm"}},
        }
    },
    "defence": {
        "variants": {
            "no defence": {},
            "krum(f=1)": {"defence.aggregator": {"name": "krum", "f": 1}},
            "median": {"defence.aggregator": "median"},
        }
    },
}


def audited(
    folder: Path, defence: str, harm: float, knows: bool, tuned: str = "", knowing: Any = "opt-ipm"
) -> dict[str, Reason]:
    """The reasons of an audit in which attacks without a defence lower the accuracy by so much.

    Args:
        knowing: the attack that knows the defence.
    """
    axes = copy.deepcopy(AUDIT_AXES)
    axes["attack"]["variants"]["opt-ipm"] = {"attack": knowing}
    content = {
        "name": "a",
        "seeds": SEEDS,
        "base": {"adversaries": {"count": 1}, "stopping": "rounds", "rounds": 2},
        "axes": axes,
        "audit": {"defence": defence, "tuned": tuned},
    }
    made = Study.model_validate(content)
    for plan in planned_runs(made):
        hit = plan.cell["attack"] != "no attack" and plan.cell["defence"] == "no defence"
        if knows or plan.cell["attack"] != "opt-ipm":
            write(folder, plan, accuracy=0.9 - (harm if hit else 0.0), attack_success_rate=math.nan)
    planned = planned_runs(made)
    for plan in planned:
        file = folder / "runs" / plan.identity / "result.json"
        if file.exists() and plan.cell["attack"] == "opt-ipm":
            file.write_text(json.dumps(json.loads(file.read_text()) | {"threat_model": "knows-the-defence"}))
    found = reasons_to_distrust(made, planned, folder, results_table(planned, folder))
    return {reason.code: reason for reason in found}


def test_an_audit_whose_attacks_do_no_harm_says_so(tmp_path: Path) -> None:
    found = audited(tmp_path / "a", "median", 0.01, True)
    assert found["audit-without-teeth"].severity == "serious"
    assert "1.0 points of accuracy" in found["audit-without-teeth"].text
    assert "audit-without-teeth" not in audited(tmp_path / "b", "median", 0.3, True)


def test_an_audit_without_an_attack_that_knows_the_defence_says_so(tmp_path: Path) -> None:
    assert "no-adaptive-attack" in audited(tmp_path / "a", "median", 0.3, False)
    assert "no-adaptive-attack" not in audited(tmp_path / "b", "median", 0.3, True)


def test_an_attack_that_can_make_no_use_of_what_it_knows_is_not_adaptive(tmp_path: Path) -> None:
    ball = {"name": "pgd", "of": "sign-flip", "threat_model": "knows-the-defence"}
    found = audited(tmp_path / "a", "median", 0.3, True, knowing=ball)  # the median clips to no norm
    assert found["no-adaptive-attack"].text == (
        "no attack of this audit adapts to median: one that is made for it may do more harm"
    )


def test_an_audit_whose_options_nobody_tuned_says_so(tmp_path: Path) -> None:
    assert "options-not-tuned" in audited(tmp_path / "a", "krum(f=1)", 0.3, True)
    assert "options-not-tuned" not in audited(tmp_path / "b", "krum(f=1)", 0.3, True, "by a rule")
    assert "options-not-tuned" not in audited(tmp_path / "c", "median", 0.3, True), "it has none"


def test_a_run_that_only_the_attack_breaks_is_what_the_attack_did(tmp_path: Path) -> None:
    made = study({"no attack": CLEAN, "sign-flip": {"attack": {"name": "sign-flip", "scale": 9.0}}})
    planned = planned_runs(made)
    for plan in planned:
        broken = plan.cell["setting"] == "sign-flip"
        losses: dict[str, Any] = {"accuracy": 0.1, "test_loss": math.inf}
        write(tmp_path / "a", plan, **(losses if broken else {"test_loss": 0.5}))
        write(tmp_path / "b", plan, **losses)
    for folder, severities in (("a", ["caution"]), ("b", ["serious"])):
        found = reasons_to_distrust(
            made, planned, tmp_path / folder, results_table(planned, tmp_path / folder)
        )
        assert [reason.severity for reason in found if reason.code == "diverged"] == severities


# --- privacy attacks --------------------------------------------------------------------------------


WATCHED = {"clients": {"count": 4, "held_out": 0.2}, "privacy": {"attacks": ["delta-loss"]}}


def watched(folder: Path, aucs: list[float], defended: float = 0.5, **more: float) -> list[Reason]:
    """A study whose runs without a defence have these AUCs, one per seed."""
    record = study({"no attack": CLEAN, "RLR": {**CLEAN, **RLR}}, list(range(len(aucs))), **WATCHED)
    for plan in planned_runs(record):
        bare = plan.cell["setting"] == "no attack"
        auc = aucs[plan.seed] if bare else defended
        found: dict[str, Any] = {"delta_loss_auc": auc, "delta_loss_tpr_at_1": 0.02, **more}
        write(folder, plan, **{name: value for name, value in found.items() if not math.isnan(value)})
    return [one for one in reasons(record, folder) if "privacy" in one.code]


def test_privacy_attacks_that_find_nothing(tmp_path: Path) -> None:
    """By hand: mean 0.51, deviation 0.01, so 0.51 -+ 4.303 * 0.01 / sqrt 3 = [0.485, 0.535]."""
    reason = only(watched(tmp_path / "nothing", [0.50, 0.51, 0.52]), "privacy-attacks-find-nothing")
    assert reason.severity == "caution"
    assert reason.text.endswith("private: delta loss: membership AUC, matched 0.510 [0.485, 0.535]")
    assert len(reason.runs) == 3, "those without a defence"
    assert watched(tmp_path / "something", [0.60, 0.61, 0.62], defended=0.5) == []
    assert watched(tmp_path / "one-seed", [0.5]) == [], "one seed says nothing"
    assert watched(tmp_path / "other", [0.50, 0.51, 0.52], source_inference_source_advantage=0.2) == []
    known = {"label_inference_label_error_global": 1.3}
    aucs = [0.50, 0.51, 0.52]
    assert watched(tmp_path / "mixes", aucs, label_inference_label_error=0.2, **known) == [], (
        "far below chance"
    )
    reason = only(
        watched(tmp_path / "no-mixes", aucs, label_inference_label_error=1.4, **known),
        "privacy-attacks-find-nothing",
    )
    assert "label inference error 1.400" in reason.text


def test_privacy_attacks_that_were_asked_about_few_images(tmp_path: Path) -> None:
    found = watched(tmp_path, [0.60, 0.61, 0.62], delta_loss_tpr_at_1=math.nan)
    reason = only(found, "few-privacy-records")
    assert reason.severity == "caution"
    assert reason.text.startswith("the privacy attacks on 6 runs were asked about too few")


def test_who_watches_a_run_does_not_make_it_another_one_to_compare_with(tmp_path: Path) -> None:
    """Privacy attacks in the clean runs alone: these still say what the trigger does by itself, and what the attack
    without a trigger did."""
    base: dict[str, Any] = {"clients": {"count": 4, "held_out": 0.2}}
    clean = {**CLEAN, "privacy.attacks": ["delta-loss"]}
    record = study({"no attack": clean, "backdoor": ATTACK}, **base)
    write_all(
        record,
        tmp_path / "trigger",
        no_attack={"clean_trigger_rate": 0.75, "target_share": 0.7},
        backdoor={"target_share": 0.1},
    )
    assert [one.code for one in reasons(record, tmp_path / "trigger")] == ["attack-fails"]
    flip = study({"no attack": clean, "flip": {"attack": "sign-flip"}}, **base)
    write_all(flip, tmp_path / "flip", flip={"attack_success_rate": math.nan})
    assert reasons(flip, tmp_path / "flip") == []
