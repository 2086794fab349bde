"""Reasons to distrust what a study says of attacks and defences: an attack that fails, a defence that never acts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from fedskew.analysis.distrust.reasons import Finished, Reason, by_cell, listed, names
from fedskew.components.identity import identity
from fedskew.components.known import facts_of
from fedskew.config import Component, Defence, Experiment, Server
from fedskew.study.grid import PlannedRun
from fedskew.wording import count

CLEARLY = 0.10
"""By how much a rate must lie above what it is compared with: 10 percentage points of the test images."""


def attack_reasons(runs: Sequence[Finished], planned: Sequence[PlannedRun]) -> Iterator[Reason]:
    """An attack that fails without a defence, or was never run without one, or of which it is unknown whether it
    works; a trigger that needs no attack."""
    done = {run.name: run for run in runs}
    open_runs = [run for run in runs if _is_attacked(run.experiment) and not defence_parts(run.experiment)]
    failing, behind = [], []
    for cell, group in by_cell(open_runs).items():
        measured = [run for run in group if not math.isnan(run.metric("attack_success_rate"))]
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
    defended = [run for run in runs if _is_attacked(run.experiment) and defence_parts(run.experiment)]
    attacked = (plan.experiment for plan in planned if _is_attacked(plan.experiment))
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
    clean = {_unattacked(run.experiment) for run in runs if not _is_attacked(run.experiment)}
    unknown = [
        run
        for run in runs
        if _is_attacked(run.experiment)
        and not defence_parts(run.experiment)
        and math.isnan(run.metric("attack_success_rate"))
        and _unattacked(run.experiment) not in clean
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


def _unattacked(experiment: Experiment) -> str:
    """What an experiment and the same one without adversaries have in common: all that is not about them."""
    fields = Experiment.model_fields
    return identity(
        experiment.model_copy(update={name: fields[name].default for name in ("adversaries", "attack")})
    )


def _is_attacked(experiment: Experiment) -> bool:
    return experiment.adversaries.count > 0 and not facts_of("attack", experiment.attack).harmless


def _without_attack(run: Finished, done: dict[str, Finished]) -> float:
    """What the trigger does in the same run without adversaries; where the study has none, the share of clean
    images that this model takes for the target class anyway."""
    clean = done.get(run.twin(adversaries=run.experiment.adversaries.model_copy(update={"count": 0})))
    rate = clean.metric("clean_trigger_rate") if clean else math.nan
    share = run.metric("target_share")
    return rate if not math.isnan(rate) else (0.0 if math.isnan(share) else share)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def defence_parts(experiment: Experiment) -> list[Component]:
    """The parts of what the server does that are there against adversaries."""
    return [part for _, part in _defending(experiment)]


def _defending(experiment: Experiment) -> list[tuple[str, Component]]:
    """(kind, component) of each."""
    defence = experiment.defence
    parts = [
        *(("transform", transform) for transform in defence.transforms),
        ("aggregator", defence.aggregator),
        ("learning-rate", defence.learning_rate),
        ("server-step", experiment.server.step),
    ]
    return [(kind, part) for kind, part in parts if facts_of(kind, part).defends]


def _undefended(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """The fields that make it the same experiment without a defence; what does not defend stays as it is.

    In the place of an aggregator that defends, any average without one is such an experiment.
    """
    defence, server = experiment.defence, experiment.server
    averages = [Component(name=name) for name in ("fedavg", "mean")]
    if facts_of("server-step", server.step).defends:
        server = server.model_copy(update={"step": Server().step})
    kept: dict[str, Any] = {
        "transforms": tuple(t for t in defence.transforms if not facts_of("transform", t).defends)
    }
    if facts_of("learning-rate", defence.learning_rate).defends:
        kept["learning_rate"] = Defence().learning_rate
    defends = facts_of("aggregator", defence.aggregator).defends
    for aggregator in averages if defends else [defence.aggregator]:
        bare = defence.model_copy(update={**kept, "aggregator": aggregator})
        yield {"defence": bare, "server": server}


def _all_act(experiment: Experiment) -> bool:
    return all(facts_of(kind, part).always_acts for kind, part in _defending(experiment))


def defence_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Defences that never acted, and those of which nothing says whether they did.

    A defence never acted if the run has, round by round and to the last bit, the metrics of the same run without
    it; or if everything that it had recorded is 0 in every round. A learning-rate rule never acted if it made no
    rate negative (``negative_rate_share``).
    """
    done = {run.name: run for run in runs}
    idle, unknown = [], []
    for run in done.values():
        if not defence_parts(run.experiment):
            continue
        twins = (done.get(run.twin(**changes)) for changes in _undefended(run.experiment))
        bare = next(filter(None, twins), None)
        verdict = _acted(run, bare)
        if verdict is None:
            unknown.append(run)
        elif verdict:
            idle.append((run, verdict))
    if idle:
        words = dict.fromkeys(f"{run.cell}: {why}" for run, why in idle)
        yield Reason(
            "defence-never-acted",
            "serious",
            f"a defence did nothing in {count(len(idle), 'run')}: {listed(list(words))}",
            names(run for run, _ in idle),
        )
    if unknown:
        parts = {
            part.label
            for run in unknown
            for kind, part in _defending(run.experiment)
            if not facts_of(kind, part).always_acts
        }
        yield Reason(
            "defence-not-observed",
            "caution",
            f"nothing recorded says whether {', '.join(sorted(parts))} ever acted in "
            f"{count(len(unknown), 'run')}, and the study has no such run without it to compare with",
            names(unknown),
        )


def _acted(run: Finished, bare: Finished | None) -> str | None:
    """Why it is known that a part of the defence did nothing; empty if it acted; None if that is unknown."""
    parts = defence_parts(run.experiment)
    traces = [record.trace for record in run.records]
    rate = run.experiment.defence.learning_rate
    shares = [trace["negative_rate_share"] for trace in traces if "negative_rate_share" in trace]
    if rate in parts and shares and len(shares) == len(traces) and not any(shares):
        return f"{rate.label} made no learning rate negative in any round"
    recorded = [value for trace in traces for value in trace.values()]
    if recorded and not any(recorded):
        return f"what {' and '.join(part.label for part in parts)} recorded is 0 in every round"
    if bare is not None:
        same = [record.metrics for record in run.records] == [record.metrics for record in bare.records]
        return "the same numbers in every round as without it" if same and run.records else ""
    if recorded or _all_act(run.experiment):
        return ""
    return None
