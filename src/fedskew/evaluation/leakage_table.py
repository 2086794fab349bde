"""The table of what privacy attacks find: the metrics of each attack, by the end of their names.

docs/metrics.md shows this table too; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from fedskew.evaluation.metric_row import Meaning, Unit
from fedskew.protocols import Aim

_SHARE: Unit = "percent"

LEAKED = "images of honest clients, trained on or held out, by a privacy attack"

LEAKAGE: dict[str, Meaning] = {
    "auc": Meaning(
        "membership AUC, matched",
        "number",
        "lower",
        "probability that a member has a higher score than a held-out image of its client and class; "
        "mean over clients",
        LEAKED,
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
    ),
    "auc_pooled": Meaning(
        "membership AUC, pooled",
        "number",
        "lower",
        "probability that a member has a higher score than a test image of any class: what an audit "
        "would say that ignores the skew; mean over clients",
        LEAKED,
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
    ),
    "auc_of_distribution": Meaning(
        "membership AUC due to the distribution",
        "number",
        "neither",
        "pooled AUC minus the AUC against all held-out images of the client: known from its classes, "
        "not remembered",
        LEAKED,
        chance=0.0,
        span=(-1.0, 1.0),
        digits=3,
    ),
    "tpr_at_1": Meaning(
        "membership true positive rate at 1 % false positives",
        _SHARE,
        "lower",
        "share of the members with a higher score than all but 1 % of the held-out images (if there are 200 of them); "
        "of equal scores a share",
        LEAKED,
        chance=0.01,
    ),
    "tpr_at_01": Meaning(
        "membership true positive rate at 0.1 % false positives",
        _SHARE,
        "lower",
        "share of the members with a higher score than all but 0.1 % of the held-out images (if there "
        "are 2,000 of them)",
        LEAKED,
        chance=0.001,
    ),
    "balanced_accuracy": Meaning(
        "membership balanced accuracy",
        _SHARE,
        "lower",
        "mean of the shares of members and of held-out images that the attack is right about; 50 % is chance",
        LEAKED,
        chance=0.5,
    ),
    "advantage": Meaning(
        "membership advantage",
        "number",
        "lower",
        "true minus false positive rate at the attack's threshold: twice the balanced accuracy, minus 1",
        LEAKED,
        chance=0.0,
        span=(-1.0, 1.0),
        digits=3,
    ),
    "source_accuracy": Meaning(
        "source inference accuracy",
        _SHARE,
        "lower",
        "share of the members whose client is guessed, among the honest clients asked about; one over "
        "these is chance",
        LEAKED,
    ),
    "source_accuracy_held_out": Meaning(
        "source inference accuracy, held out",
        _SHARE,
        "neither",
        "share of the held-out images whose client is guessed: what is known because clients have other "
        "classes",
        LEAKED,
    ),
    "source_advantage": Meaning(
        "source inference advantage",
        "number",
        "lower",
        "source inference accuracy minus that on held-out images, as shares: what is known because an "
        "image was trained on",
        LEAKED,
        chance=0.0,
        span=(-1.0, 1.0),
        digits=3,
    ),
    "label_error": Meaning(
        "label inference error",
        "number",
        "higher",
        "L1 distance of the guessed and the true shares of the classes, mean over clients, from 0 to 2: "
        "the larger, the less leaks",
        "what honest clients train on, by a privacy attack",
        chance_metric="label_error_global",
        span=(0.0, 2.0),
        digits=3,
    ),
    "label_error_global": Meaning(
        "label inference error of the mean mix",
        "number",
        "neither",
        "error of who guesses the mean mix of these clients for each of them, from 0 to 2",
        "what honest clients train on",
        span=(0.0, 2.0),
        digits=3,
    ),
    "label_error_uniform": Meaning(
        "label inference error of equal shares",
        "number",
        "neither",
        "error of who guesses equal shares of the classes, from 0 to 2",
        "what honest clients train on",
        span=(0.0, 2.0),
        digits=3,
    ),
    "property_auc": Meaning(
        "property inference AUC",
        "number",
        "lower",
        "probability that a client with the planted property has a higher score than one without; 0.5 "
        "is chance",
        "honest clients, by a privacy attack",
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
    ),
}
"""What a privacy attack's metric means, by the end of its name, after the attack's (``metric_name``)."""

LEADS: dict[Aim, str] = {
    "membership": "auc",
    "source": "source_advantage",
    "labels": "label_error",
    "property": "property_auc",
}
"""What a privacy attack guesses -> the row that stands for what it found."""


def metric_name(attack: str, metric: str) -> str:
    """The recorded name of a metric of ``LEAKAGE`` for an attack, for example ``delta_loss_auc``."""
    return re.sub(r"\W+", "_", f"{attack}_{metric}")


def leakage_names(attack: str) -> set[str]:
    """The names that the metrics of a privacy attack can have; which of them it has depends on its aim."""
    return {metric_name(attack, metric) for metric in LEAKAGE}


def leakage_row(name: str) -> str | None:
    """Which row of ``LEAKAGE`` a recorded metric has; None for one that is not of a privacy attack."""
    ends = (end for end in LEAKAGE if name.endswith(f"_{end}"))
    return max(ends, key=len, default=None)


def leading(names: Iterable[str]) -> list[str]:
    """Of recorded metrics those that stand for what a privacy attack found, one for each attack."""
    return [name for name in names if leakage_row(name) in LEADS.values()]


def leakage_meaning(name: str) -> Meaning | None:
    """The row of a recorded metric, labelled with its attack; None for one that is not of a privacy attack."""
    end = leakage_row(name)
    if end is None:
        return None
    row, attack = LEAKAGE[end], name.removesuffix(f"_{end}")
    words = attack.replace("_", " ")
    label = row.label if row.label.startswith(words) else f"{words}: {row.label}"
    return replace(row, label=label, chance_metric=row.chance_metric and f"{attack}_{row.chance_metric}")
