"""What was done, in five lines, for a reader who knows nothing of the study: from its plan and its records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fedskew.components.known import facts_of, is_attacked, with_inner
from fedskew.config import Component, Defence, Experiment, Server, Training
from fedskew.evaluation.metric_table import meaning
from fedskew.report.described import about, component_words
from fedskew.report.evidence import Evidence
from fedskew.report.told import told
from fedskew.report.watched import watched_by
from fedskew.study.across import changes_the_split
from fedskew.wording import count

MOST = 6
"""Things that one line lists."""
PLAIN = str.maketrans("", "", "*`")
"""Takes Markdown's marks out of what the table of metrics says."""


def overview(evidence: Evidence) -> list[tuple[str, str]]:
    """(heading, sentences): data and clients, the axis from left to right, attack, defences, seeds and rounds."""
    experiments = list({plan.identity: plan.experiment for plan in evidence.planned}.values())
    return [
        (
            "Data and clients",
            f"{_data(evidence, experiments)}{_splits(evidence, experiments)} {_clients(experiments)}",
        ),
        *([(evidence.across.replace("_", " "), _axis(evidence, experiments))] if evidence.across else []),
        ("Attack", _attack(evidence)),
        ("Defences" if evidence.across else "Defence", _defences(evidence)),
        *watched_by(evidence),
        ("Seeds and rounds", _runs(evidence, experiments)),
    ]


def definitions(metrics: Sequence[str]) -> list[tuple[str, str]]:
    """(label, what it is and which direction is better) of metrics; of a plug-in's own only the label."""
    found = []
    for name in metrics:
        metric = meaning(name)
        words = (metric.formula + (f", on {metric.measured}" if metric.measured else "")).translate(PLAIN)
        better = "" if metric.better == "neither" else f"; {metric.better} is better for the model's owner"
        found.append((metric.label, (words + better if words else "a metric of this study's own") + "."))
    return found


def _data(evidence: Evidence, experiments: list[Experiment]) -> str:
    names, known = _distinct(experiments, lambda e: e.data.label), _images(evidence)
    models = _distinct(experiments, lambda e: component_words("model", e.model, evidence.own_words))
    return f"{_and(names)}{known}; model {_and(models)}.{_groups(evidence)}"


def _groups(evidence: Evidence) -> str:
    """The groups of images that the records name, as far as all of them do."""
    found = {tuple(records[-1].per_group_accuracy) for records in evidence.records.values() if records}
    names = found.pop() if len(found) == 1 else ()
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f" Groups of images: {', '.join(names[:MOST])}{more}." if names else ""


def _images(evidence: Evidence) -> str:
    """How many classes and training images, where all runs' folders agree on it."""
    classes, images = evidence.size
    if classes is None:
        return ""
    return f" ({count(classes, 'class', 'classes')}" + (f", {images:,} training images)" if images else ")")


def _clients(experiments: list[Experiment]) -> str:
    cohorts = _distinct(experiments, _cohort)
    recipes = _distinct(experiments, _recipe)
    kinds = _distinct(experiments, lambda e: component_words("personal", e.clients.personal))
    some = any(not facts_of("personal", e.clients.personal).harmless for e in experiments)
    personal = f" Personal models: {_and(kinds)}." if some else ""
    return f"{_and(cohorts)}. In a round each trains {_and(recipes)}.{personal}"


def _cohort(experiment: Experiment) -> str:
    clients = experiment.clients
    if clients.per_round == clients.count:
        return f"{count(clients.count, 'client')}, all in every round"
    chosen = component_words("selection", clients.selection)
    return f"{clients.count} clients, {clients.per_round} of them in a round ({chosen})"


def _recipe(experiment: Experiment) -> str:
    training = experiment.training
    optimizer = training.optimizer
    name = "Adam" if optimizer.name == "adam" else "SGD"
    kept = ", moments kept from round to round" if optimizer.state == "persist" and name == "Adam" else ""
    usual = training.objective.label == Training().objective.label
    objective = "" if usual else f", {component_words('objective', training.objective)}"
    return (
        f"{count(training.epochs, 'epoch')} in batches of {training.batch_size} with {name} "
        f"(learning rate {optimizer.lr:g}{kept}){objective}"
    )


def _axis(evidence: Evidence, experiments: list[Experiment]) -> str:
    """What the axis from left to right means, its points, and what was measured along it."""
    axis = evidence.study.axes[evidence.across or ""]
    points = ", ".join(map(str, evidence.columns[:MOST])) + (
        f" and {len(evidence.columns) - MOST} more" if len(evidence.columns) > MOST else ""
    )
    words = f"{points}" + (f" ({axis.field})." if axis.field and axis.field != evidence.across else ".")
    if not changes_the_split(axis):
        return words
    splits = {experiment.split.label: experiment.split for experiment in experiments}
    words += "".join(
        f" Split {part.label}: {_about_split(evidence, part)}."
        for split in splits.values()
        for part in _parts(split)
    )
    if evidence.is_concentration:
        words += f" The smaller {evidence.across} is, the more unevenly the classes are spread."
    runs_at: dict[Any, set[str]] = {label: set() for label in evidence.columns}
    for plan in evidence.planned:
        runs_at[plan.cell[evidence.across or ""]].add(plan.identity)
    return words + _measured_skew(evidence, list(runs_at.values()))


def _parts(split: Component) -> list[Component]:
    """A split, and those that its options hold."""
    return [part for _, _, part in with_inner("split", "split", split)]


def _splits(evidence: Evidence, experiments: list[Experiment]) -> str:
    """How the data is split, with what was measured of it; "" where the axis from left to right says it."""
    if evidence.across and changes_the_split(evidence.study.axes[evidence.across]):
        return ""
    runs_of: dict[str, set[str]] = {}
    for plan in evidence.planned:
        split = component_words("split", plan.experiment.split, evidence.own_words)
        runs_of.setdefault(split, set()).add(plan.identity)
    about_each = dict.fromkeys(
        _about_split(evidence, part) for experiment in experiments for part in _parts(experiment.split)
    )
    return f" Split {_and(list(runs_of))}: {_and(list(about_each))}." + _measured_skew(
        evidence, list(runs_of.values())
    )


def _about_split(evidence: Evidence, split: Component) -> str:
    return about("split", split, evidence.own_words).removeprefix(", ") or "a split of the study's own"


def _measured_skew(evidence: Evidence, groups: Sequence[set[str]]) -> str:
    """The mean label skew of groups of runs; "" where nothing was measured, or the groups are many."""
    results = evidence.results
    if "skew_total_variation" not in results or len(groups) > MOST:
        return ""
    found = [results[results["run"].isin(runs)]["skew_total_variation"] for runs in groups]
    means = [float(group.mean()) if len(group) else math.nan for group in found]
    if np.isnan(means).all():
        return ""
    measured = ", ".join("–" if math.isnan(mean) else f"{mean:.2f}" for mean in means)
    return f" Measured label skew (total variation from 0, all alike, to 1): {measured}."


def _attack(evidence: Evidence) -> str:
    attacked = [plan.experiment for plan in evidence.planned if is_attacked(plan.experiment)]
    if not attacked:
        return "None: all clients are honest."
    attacks = _distinct(attacked, lambda experiment: _attack_words(evidence, experiment))
    who = _distinct(attacked, _adversaries)
    apart = len(attacks) > 1 and len(who) == 1  # said once, and not of each attack

    def words(experiment: Experiment) -> str:
        if not is_attacked(experiment):
            return "none"
        return _attack_words(evidence, experiment) + ("" if apart else f", by {_adversaries(experiment)}")

    return told(evidence, words) + (f" Adversaries: {who[0]}." if apart else "")


def _attack_words(evidence: Evidence, experiment: Experiment) -> str:
    attack, own = experiment.attack, evidence.own_words
    return component_words("attack", attack, own, every=True) + about("attack", attack, own)


def _adversaries(experiment: Experiment) -> str:
    adversaries = experiment.adversaries
    data = "their own share of the data"
    if adversaries.data == "sample":
        size = (
            f"{adversaries.size:,} images" if adversaries.size else f"{100 * (adversaries.fraction or 0):g} %"
        )
        data = f"a random sample of {size} of the training data"
    return f"{adversaries.count} of {experiment.clients.count} clients with {data}"


def _defences(evidence: Evidence) -> str:
    return told(evidence, lambda experiment: _defence_words(evidence, experiment))


def _defence_words(evidence: Evidence, experiment: Experiment) -> str:
    defence, server = experiment.defence, experiment.server
    parts = [
        *(("transform", transform) for transform in defence.transforms),
        ("aggregator", defence.aggregator),
        ("learning-rate", defence.learning_rate),
        ("server-step", server.step),
    ]
    usual = {("learning-rate", Defence().learning_rate.label), ("server-step", Server().step.label)}
    words = "; ".join(
        component_words(kind, part, evidence.own_words)
        + about(kind, part, evidence.own_words)
        + (", by the clients" if number < defence.local_transforms else "")
        for number, (kind, part) in enumerate(parts)
        if (kind, part.label) not in usual
    )
    return words if any(facts_of(kind, part).defends for kind, part in parts) else f"no defence ({words})"


def _runs(evidence: Evidence, experiments: list[Experiment]) -> str:
    seeds, total, cells = (
        len(evidence.study.seeds),
        len(experiments),
        len({str(p.cell) for p in evidence.planned}),
    )
    done = sum(note.status == "done" for note in evidence.notes)
    how = _distinct(experiments, _length)
    state = "all complete" if done == total else f"{done} complete"
    return (
        f"{count(seeds, 'seed')} of {count(cells, 'setting')}: {count(total, 'run')}, {state}; {_and(how)}."
    )


def _length(experiment: Experiment) -> str:
    if facts_of("stopping", experiment.stopping).never_stops:
        return count(experiment.rounds, "round")
    return f"up to {count(experiment.rounds, 'round')}, stopped by {component_words('stopping', experiment.stopping)}"


def _distinct(experiments: Iterable[Experiment], words_of: Callable[[Experiment], str]) -> list[str]:
    return list(dict.fromkeys(map(words_of, experiments)))


def _and(words: Sequence[str]) -> str:
    """Alternatives in one phrase; of many the first few."""
    shown = list(words[:MOST]) + ([f"{len(words) - MOST} more"] if len(words) > MOST else [])
    return " / ".join(shown)
