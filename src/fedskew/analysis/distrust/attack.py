"""Reasons to distrust what a study says of attacks: one that ran and fails, or of which nothing says what it does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fedskew.analysis.distrust.acted import idle
from fedskew.analysis.distrust.reasons import Finished, Reason, by_cell, listed, names
from fedskew.analysis.distrust.roles import defence_parts, unattacked
from fedskew.components.known import is_attacked
from fedskew.study.grid import PlannedRun
from fedskew.wording import count

CLEARLY = 0.10
"""By how much a rate must lie above what it is compared with: 10 percentage points of the test images."""


def attack_reasons(runs: Sequence[Finished], planned: Sequence[PlannedRun]) -> Iterator[Reason]:
    """An attack that fails without a defence, or was never run without one, or of which it is unknown whether it
    works; a trigger that needs no attack."""
    done = {run.unwatched: run for run in runs}
    open_runs = [run for run in runs if is_attacked(run.experiment) and not defence_parts(run.experiment)]
    failing, behind = [], []
    for cell, group in by_cell(open_runs).items():
        # One that cannot have acted has not failed: ``idle_reasons`` says so.
        ran = [run for run in group if not idle(run)]
        measured = [run for run in ran if not math.isnan(run.metric("attack_success_rate"))]
        if not measured:
            continue
        success = _mean([run.metric("attack_success_rate") for run in measured])
        without = _mean([_without_attack(run, done) for run in measured])
        if not success >= without + CLEARLY:
            failing.append(f"{cell}: {100 * success:.1f} %, without the attack {100 * without:.1f} %")
            behind += measured
    if failing:
        yield Reason(
            "attack-fails",
            "serious",
            "the attack fails even without a defence, so that there is nothing to defend against; share of "
            f"triggered images taken for its target: {listed(failing)}",
            names(behind),
        )
    defended = [run for run in runs if is_attacked(run.experiment) and defence_parts(run.experiment)]
    attacked = (plan.experiment for plan in planned if is_attacked(plan.experiment))
    if defended and all(defence_parts(experiment) for experiment in attacked):
        yield Reason(
            "attack-unchecked",
            "caution",
            "no run of this study has the attack without a defence, so it does not show that the attack works",
            names(defended),
        )
    yield from _without_yardstick(runs)
    yield from _knowing(runs)
    clean = by_cell(run for run in runs if not math.isnan(run.metric("clean_trigger_rate")))
    working, behind = [], []
    for cell, group in clean.items():
        rate = _mean([run.metric("clean_trigger_rate") for run in group])
        share = _mean([run.metric("target_share") for run in group])
        if rate >= (0.0 if math.isnan(share) else share) + CLEARLY:
            working.append(f"{cell}: {100 * rate:.1f} %, without the trigger {100 * share:.1f} %")
            behind += group
    if working:
        yield Reason(
            "trigger-works-on-clean-model",
            "serious",
            "the trigger by itself sends images to the target class on models that were not attacked, so that its "
            f"success says little of the attack: {listed(working)}",
            names(behind),
        )


def _knowing(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Adversaries that know more than their own updates: what they do is no measure of what weaker ones could."""
    by_model: dict[str, list[Finished]] = {}
    for run in runs:
        if known := run.row.get("threat_model"):
            by_model.setdefault(str(known), []).append(run)
    for known, group in by_model.items():
        yield Reason(
            "strong-adversary",
            "caution",
            f"in {count(len(names(group)), 'run')} the threat model is {known}: compare these numbers only with others "
            "under the same one",
            names(group),
        )


def _without_yardstick(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Attacks without a trigger, which only the same runs without adversaries could show to work."""
    clean = {unattacked(run.experiment) for run in runs if not is_attacked(run.experiment)}
    unknown = [
        run
        for run in runs
        if is_attacked(run.experiment)
        and not defence_parts(run.experiment)
        and math.isnan(run.metric("attack_success_rate"))
        and unattacked(run.experiment) not in clean
    ]
    if unknown:
        attacks = ", ".join(sorted({run.experiment.attack.label for run in unknown}))
        yield Reason(
            "attack-without-yardstick",
            "caution",
            f"{attacks} has no trigger, and no such run without adversaries is complete to compare with, so nothing "
            f"says what it does in {count(len(names(unknown)), 'run')}",
            names(unknown),
        )


def _without_attack(run: Finished, done: dict[str, Finished]) -> float:
    """What the trigger does in the same run without adversaries; where the study has none, the share of clean
    images that this model takes for the target class anyway."""
    clean = done.get(run.twin(adversaries=run.experiment.adversaries.model_copy(update={"count": 0})))
    rate = clean.metric("clean_trigger_rate") if clean else math.nan
    share = run.metric("target_share")
    return rate if not math.isnan(rate) else (0.0 if math.isnan(share) else share)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
