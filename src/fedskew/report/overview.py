"""What was done, in five lines, for a reader who knows nothing of the study: from its plan and its records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fedskew.components.known import facts_of, with_inner
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Defence, Experiment, Server, Training
from fedskew.errors import RunError
from fedskew.evaluation.metric_table import meaning
from fedskew.report.described import about, component_words
from fedskew.report.evidence import Evidence
from fedskew.study.across import changes_the_split
from fedskew.wording import count

MOST = 6
"""Things that one line lists."""
PLAIN = str.maketrans("", "", "*`")
"""Takes Markdown's marks out of what the table of metrics says."""
TOLD = ("attack", "transform", "aggregator", "learning-rate", "server-step")
"""Kinds of components of which the lines say what they do."""


def overview(evidence: Evidence) -> list[tuple[str, str]]:
    """(heading, sentences): data and clients, the axis from left to right, attack, defences, seeds and rounds."""
    experiments = list({plan.identity: plan.experiment for plan in evidence.planned}.values())
    return [
        ("Data and clients", f"{_data(evidence, experiments)} {_clients(experiments)}"),
        *([(evidence.across.replace("_", " "), _axis(evidence, experiments))] if evidence.across else []),
        ("Attack", _attack(evidence)),
        ("Defences" if evidence.across else "Defence", _defences(evidence)),
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
    models = _distinct(experiments, lambda e: component_words("model", e.model))
    return f"{_and(names)}{known}; model {_and(models)}.{_groups(evidence)}"


def _groups(evidence: Evidence) -> str:
    """The groups of images that the records name, as far as all of them do."""
    found = {tuple(records[-1].per_group_accuracy) for records in evidence.records.values() if records}
    names = found.pop() if len(found) == 1 else ()
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f" Groups of images: {', '.join(names[:MOST])}{more}." if names else ""


def _images(evidence: Evidence) -> str:
    """How many classes and training images, where all runs' folders agree on it."""
    found = set()
    for note in evidence.notes:
        try:
            clients = note.folder.read_clients()
        except RunError:
            continue
        if clients is not None:
            images = (
                None
                if clients.label_counts is None or clients.shared
                else sum(map(sum, clients.label_counts)) + clients.held_out
            )
            found.add((len(clients.class_names), images))
    classes = {many for many, _ in found}
    if len(classes) != 1:
        return ""
    images = max((many for _, many in found if many is not None), default=None)
    return f" ({count(classes.pop(), 'class', 'classes')}" + (
        f", {images:,} training images)" if images else ")"
    )


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
    words += " " + " ".join(_split(split) for split in splits.values())
    if evidence.is_concentration:
        words += f" The smaller {evidence.across} is, the more unevenly the classes are spread."
    if "skew_total_variation" in evidence.results and len(evidence.columns) <= MOST:
        groups = [evidence.results[evidence.results[evidence.across] == label] for label in evidence.columns]
        means = [float(group["skew_total_variation"].mean()) if len(group) else math.nan for group in groups]
        if not np.isnan(means).all():
            measured = ", ".join("–" if math.isnan(mean) else f"{mean:.2f}" for mean in means)
            words += f" Measured label skew (total variation from 0, all alike, to 1): {measured}."
    return words


def _split(split: Component) -> str:
    """What a split does, and those that its options hold."""
    parts = [part for _, _, part in with_inner("split", "split", split)]
    rows = [BUILT_IN["split"].get(part.label) for part in parts]
    told = [row.summary if row else "a split of the study's own" for row in rows]
    return " ".join(f"Split {part.label}: {words}." for part, words in zip(parts, told, strict=True))


def _attack(evidence: Evidence) -> str:
    by_words = _by_words(evidence, _attack_words)
    if not any(by_words):
        return "None: all clients are honest."
    return _told(evidence, {words or "no attack": series for words, series in by_words.items()})


def _attack_words(experiment: Experiment) -> str:
    adversaries, attack = experiment.adversaries, experiment.attack
    if not adversaries.count or facts_of("attack", attack).harmless:
        return ""
    data = "their own share of the data"
    if adversaries.data == "sample":
        size = (
            f"{adversaries.size:,} images" if adversaries.size else f"{100 * (adversaries.fraction or 0):g} %"
        )
        data = f"a random sample of {size} of the training data"
    who = f"{adversaries.count} of {experiment.clients.count} clients with {data}"
    return f"{component_words('attack', attack, every=True)}{about('attack', attack)}, by {who}"


def _defences(evidence: Evidence) -> str:
    return _told(evidence, _by_words(evidence, _defence_words))


def _told(evidence: Evidence, by_words: dict[str, list[str]]) -> str:
    """What is said of which series; what a component does is said where it is first named."""
    parts = []
    for words, series in list(by_words.items())[:MOST]:
        of = _labels(evidence, series) if len(by_words) > 1 and len(evidence.series) > 1 else ""
        parts.append(f"{of}: {words}" if of and of != words else words)
    text = ". ".join(parts) + (f". {len(by_words) - MOST} more" if len(by_words) > MOST else "") + "."
    summaries = {f", {row.summary}" for kind in TOLD for row in BUILT_IN[kind].values()}
    for told in sorted(summaries, key=len, reverse=True):
        first, found, rest = text.partition(told)
        text = first + found + rest.replace(told, "")
    return text


def _defence_words(experiment: Experiment) -> str:
    defence, server = experiment.defence, experiment.server
    parts = [
        *(("transform", transform) for transform in defence.transforms),
        ("aggregator", defence.aggregator),
        ("learning-rate", defence.learning_rate),
        ("server-step", server.step),
    ]
    usual = {("learning-rate", Defence().learning_rate.label), ("server-step", Server().step.label)}
    words = "; ".join(
        component_words(kind, part) + about(kind, part)
        for kind, part in parts
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


def _by_words(evidence: Evidence, words_of: Callable[[Experiment], str]) -> dict[str, list[str]]:
    """What is said of the runs -> the series of which it is said, in the order of the study."""
    found: dict[str, dict[str, None]] = {}
    names = {tuple(labels.items()): name for name, labels in evidence.series.items()}
    for plan in evidence.planned:
        labels = tuple((axis, label) for axis, label in plan.cell.items() if axis != evidence.across)
        found.setdefault(words_of(plan.experiment), {})[names.get(labels, "")] = None
    return {words: list(series) for words, series in found.items()}


def _labels(evidence: Evidence, series: list[str]) -> str:
    """The labels, of one axis if that tells these series from all others, that name them."""
    for axis in (name for name in evidence.study.axes if name != evidence.across):
        labels = [evidence.series[name][axis] for name in series if name in evidence.series]
        others = {labels[axis] for name, labels in evidence.series.items() if name not in series}
        if not others & {*labels}:
            return ", ".join(map(str, list(dict.fromkeys(labels))[:MOST]))
    return "; ".join(series[:3]) + (f" and {len(series) - 3} more" if len(series) > 3 else "")


def _distinct(experiments: Iterable[Experiment], words_of: Callable[[Experiment], str]) -> list[str]:
    return list(dict.fromkeys(map(words_of, experiments)))


def _and(words: Sequence[str]) -> str:
    """Alternatives in one phrase; of many the first few."""
    shown = list(words[:MOST]) + ([f"{len(words) - MOST} more"] if len(words) > MOST else [])
    return " / ".join(shown)
