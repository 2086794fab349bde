"""The one table of metrics: what each recorded number means, in which unit, and which direction is better.

Code that shows a number calls ``meaning``. docs/metrics.md shows this table; a test compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Unit = Literal["percent", "number"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Meaning:
    """What one recorded number means.

    Attributes:
        label: its name in words.
        unit: "percent" of a share, which records hold as a fraction from 0 to 1; else "number", shown as it is.
        better: which direction is better for the model's owner.
        formula: what it is, in one line.
        measured: on or of what; ``TRACE`` where it is an entry of a record's trace and not of its metrics.
        with_few: the metric that it is the same as by definition where there are few clients or classes; "" for none.
        chance: what somebody who knows nothing reaches, as recorded; None where there is no such number.
        chance_metric: where that depends on the data: the metric that says it; "" for none.
        span: the lowest and the highest value of a number without a unit.
        digits: decimals in tables.
        leads: of a privacy attack's metrics, whether it stands for what the attack found.
    """

    label: str
    unit: Unit = "number"
    better: Better = "neither"
    formula: str = ""
    measured: str = ""
    with_few: str = ""
    chance: float | None = None
    chance_metric: str = ""
    span: tuple[float, float] = (-math.inf, math.inf)
    digits: int = 2
    leads: bool = False

    @property
    def is_share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == "percent"

    @property
    def scale(self) -> float:
        """From the recorded number to the one that is shown."""
        return 100.0 if self.is_share else 1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that it can have, as it is shown."""
        return (0.0, self.scale) if self.is_share else self.span

    @property
    def suffix(self) -> str:
        """What follows a value: `` %``, or nothing."""
        return " %" if self.is_share else ""

    @property
    def heading(self) -> str:
        """The label with its unit, for an axis or a title."""
        return f"{self.label} [%]" if self.is_share else self.label

    @property
    def of_a_difference(self) -> str:
        """The unit of a difference of two values, in words; "" for a number without one."""
        return "percentage points" if self.is_share else ""

    def text(self, value: float, percent: str = ".2f", number: str = ".4f") -> str:
        """A recorded value as it is shown, without its unit, in one of two formats."""
        return f"{self.scale * value:{percent if self.is_share else number}}"


TEST, TRIGGERED = "test images", "test images with the trigger"
GROUPS = "test images of data that has groups"
CLIENTS = "honest clients, on the test images"
HELD_OUT = "honest clients, on their own held-out data"
PERSONAL = "personal models of honest clients, on their own held-out data"
COHORT = "the cohort, while it trains"
VALIDATION = "images held out by `data.validation`"
UPDATES = "the round's updates, before any defence"
AGGREGATE = "the aggregate, where the rule gives each client's weight"
TRACE = "the defence; in `trace`, not in `metrics`"

_SHARE: Unit = "percent"

TABLE: dict[str, Meaning] = {
    "accuracy": Meaning("accuracy", _SHARE, "higher", "share of the images classified correctly", TEST),
    "bias": Meaning(
        "bias", _SHARE, "lower", "best minus worst class accuracy (the paper's, section III-A)", TEST
    ),
    "worst_class_accuracy": Meaning("worst class accuracy", _SHARE, "higher", "lowest class accuracy", TEST),
    "class_accuracy_std": Meaning(
        "class accuracy std", _SHARE, "lower", "population standard deviation of the class accuracies", TEST
    ),
    "class_accuracy_worst_tenth": Meaning(
        "class accuracy worst tenth",
        _SHARE,
        "higher",
        "mean of the lowest tenth of the class accuracies (at least one)",
        TEST,
        with_few="worst_class_accuracy",
    ),
    "class_accuracy_jain": Meaning(
        "class accuracy, Jain's index", _SHARE, "higher", "Jain's index of the class accuracies", TEST
    ),
    "worst_group_accuracy": Meaning(
        "worst group accuracy", _SHARE, "higher", "lowest group accuracy", GROUPS
    ),
    "group_accuracy_gap": Meaning(
        "group accuracy gap", _SHARE, "lower", "best minus worst group accuracy", GROUPS
    ),
    "demographic_parity_difference": Meaning(
        "demographic parity difference",
        _SHARE,
        "lower",
        "largest difference between two groups in the share of images taken for a class, over all classes",
        GROUPS,
    ),
    "equalized_odds_difference": Meaning(
        "equalized odds difference",
        _SHARE,
        "lower",
        "the same among the images of that class, or among the images of all other classes; the largest",
        GROUPS,
    ),
    "client_accuracy_mean": Meaning(
        "client accuracy mean",
        _SHARE,
        "higher",
        "class accuracies weighted by the client's own label mix, mean over clients",
        CLIENTS,
    ),
    "client_accuracy_std": Meaning(
        "client accuracy std",
        _SHARE,
        "lower",
        "class accuracies weighted by the client's own label mix, population standard deviation",
        CLIENTS,
    ),
    "client_accuracy_worst": Meaning(
        "client accuracy worst",
        _SHARE,
        "higher",
        "class accuracies weighted by the client's own label mix, lowest client",
        CLIENTS,
    ),
    "client_accuracy_worst_tenth": Meaning(
        "client accuracy worst tenth",
        _SHARE,
        "higher",
        "class accuracies weighted by the client's own label mix, mean of the lowest tenth of clients (at least one)",
        CLIENTS,
        with_few="client_accuracy_worst",
    ),
    "client_accuracy_jain": Meaning(
        "client accuracy, Jain's index",
        _SHARE,
        "higher",
        "class accuracies weighted by the client's own label mix, Jain's index over clients",
        CLIENTS,
    ),
    "held_out_accuracy_mean": Meaning(
        "held-out accuracy mean",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, mean over clients",
        HELD_OUT,
    ),
    "held_out_accuracy_std": Meaning(
        "held-out accuracy std",
        _SHARE,
        "lower",
        "share of the client's images classified correctly, population standard deviation",
        HELD_OUT,
    ),
    "held_out_accuracy_worst": Meaning(
        "held-out accuracy worst",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, lowest client",
        HELD_OUT,
    ),
    "held_out_accuracy_worst_tenth": Meaning(
        "held-out accuracy worst tenth",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, mean of the lowest tenth of clients (at least one)",
        HELD_OUT,
        with_few="held_out_accuracy_worst",
    ),
    "held_out_accuracy_jain": Meaning(
        "held-out accuracy, Jain's index",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, Jain's index over clients",
        HELD_OUT,
    ),
    "personal_accuracy_mean": Meaning(
        "personal accuracy mean",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, mean over clients",
        PERSONAL,
    ),
    "personal_accuracy_std": Meaning(
        "personal accuracy std",
        _SHARE,
        "lower",
        "share of the client's images classified correctly, population standard deviation",
        PERSONAL,
    ),
    "personal_accuracy_worst": Meaning(
        "personal accuracy worst",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, lowest client",
        PERSONAL,
    ),
    "personal_accuracy_worst_tenth": Meaning(
        "personal accuracy worst tenth",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, mean of the lowest tenth of clients (at least one)",
        PERSONAL,
        with_few="personal_accuracy_worst",
    ),
    "personal_accuracy_jain": Meaning(
        "personal accuracy, Jain's index",
        _SHARE,
        "higher",
        "share of the client's images classified correctly, Jain's index over clients",
        PERSONAL,
    ),
    "personal_share": Meaning(
        "clients with a personal model",
        _SHARE,
        "neither",
        "share of these clients that have a personal model; the others are measured with the global one",
        PERSONAL,
    ),
    "personal_attack_success_rate": Meaning(
        "personal attack success rate",
        _SHARE,
        "lower",
        "attack success rate, mean over the clients that have images of the source classes",
        "personal models of honest clients, on their own held-out data with the trigger",
    ),
    "test_loss": Meaning("test loss", "number", "lower", "mean cross-entropy, natural logarithm", TEST),
    "backdoor_accuracy": Meaning(
        "backdoor accuracy",
        _SHARE,
        "lower",
        "share of **all** images taken for the target class, images of that class included (the paper's)",
        TRIGGERED,
    ),
    "attack_success_rate": Meaning(
        "attack success rate",
        _SHARE,
        "lower",
        "share of the images of the source classes, without the target class, taken for the target class",
        TRIGGERED,
    ),
    "clean_trigger_rate": Meaning(
        "clean trigger rate",
        _SHARE,
        "neither",
        "attack success rate in a run without adversaries: what the trigger does by itself",
        TRIGGERED,
    ),
    "lifespan": Meaning(
        "lifespan",
        "number",
        "lower",
        "rounds after `adversaries.stop` before the first whose attack success rate is below 50 %, or to the end",
        TRIGGERED,
    ),
    "target_share": Meaning(
        "target share",
        _SHARE,
        "lower",
        "share of the images of other classes taken for the target class",
        TEST,
    ),
    "train_loss": Meaning(
        "train loss", "number", "lower", "mean cross-entropy, clients weighted by n_k", COHORT
    ),
    "train_accuracy": Meaning(
        "train accuracy",
        _SHARE,
        "higher",
        "share of the images classified correctly, clients weighted by n_k",
        COHORT,
    ),
    "validation_loss": Meaning("validation loss", "number", "lower", "mean cross-entropy", VALIDATION),
    "validation_accuracy": Meaning(
        "validation accuracy", _SHARE, "higher", "share of the images classified correctly", VALIDATION
    ),
    "validation_attack_success_rate": Meaning(
        "validation attack success rate",
        _SHARE,
        "lower",
        "attack success rate, of attacks with a trigger",
        "images held out by `data.validation`, with the trigger",
    ),
    "update_norm_honest": Meaning(
        "update norm, honest clients", "number", "neither", "mean L2 norm, honest clients", UPDATES
    ),
    "update_norm_malicious": Meaning(
        "update norm, adversaries", "number", "neither", "mean L2 norm, adversaries", UPDATES
    ),
    "cosine_honest_honest": Meaning(
        "cosine similarity among honest clients",
        "number",
        "neither",
        "mean cosine similarity, pairs of honest clients",
        UPDATES,
    ),
    "cosine_honest_malicious": Meaning(
        "cosine similarity of honest clients and adversaries",
        "number",
        "neither",
        "mean cosine similarity, pairs of an honest client and an adversary",
        UPDATES,
    ),
    "detection_true_positive_rate": Meaning(
        "detection true positive rate",
        _SHARE,
        "higher",
        "share of the round's adversaries whose weight is 0",
        AGGREGATE,
    ),
    "detection_false_positive_rate": Meaning(
        "detection false positive rate",
        _SHARE,
        "lower",
        "share of the round's honest clients whose weight is 0",
        AGGREGATE,
    ),
    "weight_malicious": Meaning(
        "weight of adversaries", _SHARE, "lower", "share of the weight that adversaries have", AGGREGATE
    ),
    "down_weighted_malicious": Meaning(
        "adversaries down-weighted",
        _SHARE,
        "higher",
        "share of the round's adversaries with less than half of an equal weight 1/S, weight 0 included",
        AGGREGATE,
    ),
    "down_weighted_honest": Meaning(
        "honest clients down-weighted",
        _SHARE,
        "lower",
        "share of the round's honest clients with less than half of an equal weight 1/S, weight 0 included",
        AGGREGATE,
    ),
    "equal_weight_honest": Meaning(
        "equal weight of honest clients",
        _SHARE,
        "higher",
        "how much of an equal weight 1/S an honest client has, at most all of it; mean over the round's honest clients",
        AGGREGATE,
    ),
    "negative_rate_share": Meaning(
        "negative rate share",
        _SHARE,
        "neither",
        "share of the parameters whose learning rate a rule such as RLR made negative",
        TRACE,
    ),
    "epsilon": Meaning(
        "epsilon",
        "number",
        "lower",
        "differential privacy of a client over the rounds so far; above 10 it promises next to nothing",
        TRACE,
    ),
    "signal_to_noise": Meaning(
        "signal to noise",
        "number",
        "higher",
        "norm of the mean of the clipped updates over the norm of the noise; below 1 most of a step is noise",
        TRACE,
    ),
}
"""Name in the records -> what it means, in the order of docs/metrics.md."""

METRICS = frozenset(name for name, row in TABLE.items() if row.measured != TRACE)
"""The names of the standard metrics; an axis of a study may not have one of them."""

MAIN_METRICS = ("accuracy", "bias", "backdoor_accuracy")
"""The metrics that are shown first."""

DEFAULT_METRICS = (*MAIN_METRICS, "attack_success_rate")
"""What a table shows and settings are compared by, as far as it was measured; with ``leading`` of privacy attacks."""

LEAKED = "images of honest clients, trained on or held out, by a privacy attack"

LEAKAGE: dict[str, Meaning] = {
    "auc": Meaning(
        "membership AUC, matched",
        "number",
        "lower",
        "probability that a member has a higher score than a held-out image of its client and class; mean over clients",
        LEAKED,
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
        leads=True,
    ),
    "auc_pooled": Meaning(
        "membership AUC, pooled",
        "number",
        "lower",
        "the same against test images of any class: what an audit would say that ignores the skew; mean over clients",
        LEAKED,
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
    ),
    "auc_of_distribution": Meaning(
        "membership AUC due to the distribution",
        "number",
        "neither",
        "pooled minus matched: what is known because a client's classes are, not because the model remembers",
        LEAKED,
        chance=0.0,
        span=(-1.0, 1.0),
        digits=3,
    ),
    "tpr_at_1": Meaning(
        "membership true positive rate at 1 % false positives",
        _SHARE,
        "lower",
        "share of the members with a higher score than all but 1 % of the held-out images (if there are 200 of them)",
        LEAKED,
        chance=0.01,
    ),
    "tpr_at_01": Meaning(
        "membership true positive rate at 0.1 % false positives",
        _SHARE,
        "lower",
        "the same with 0.1 % (if there are 2,000 held-out images)",
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
        "share of the members whose client is guessed, among the honest clients asked about; one over these is chance",
        LEAKED,
    ),
    "source_accuracy_held_out": Meaning(
        "source inference accuracy, held out",
        _SHARE,
        "neither",
        "the same for held-out images: what is known because clients have other classes",
        LEAKED,
    ),
    "source_advantage": Meaning(
        "source inference advantage",
        "number",
        "lower",
        "the first minus the second, as shares",
        LEAKED,
        chance=0.0,
        span=(-1.0, 1.0),
        digits=3,
        leads=True,
    ),
    "label_error": Meaning(
        "label inference error",
        "number",
        "higher",
        "L1 distance of the guessed and the true shares of the classes, mean over clients, from 0 to 2",
        "what honest clients train on, by a privacy attack",
        chance_metric="label_error_global",
        span=(0.0, 2.0),
        digits=3,
        leads=True,
    ),
    "label_error_global": Meaning(
        "label inference error of the mean mix",
        "number",
        "neither",
        "the same for who guesses the mean mix of these clients for each of them",
        "what honest clients train on",
        span=(0.0, 2.0),
        digits=3,
    ),
    "label_error_uniform": Meaning(
        "label inference error of equal shares",
        "number",
        "neither",
        "the same for who guesses equal shares",
        "what honest clients train on",
        span=(0.0, 2.0),
        digits=3,
    ),
    "property_auc": Meaning(
        "property inference AUC",
        "number",
        "lower",
        "probability that a client with the planted property has a higher score than one without; 0.5 is chance",
        "honest clients, by a privacy attack",
        chance=0.5,
        span=(0.0, 1.0),
        digits=3,
        leads=True,
    ),
}
"""What a privacy attack's metric means, by the end of its name, after the attack's (``metric_name``)."""


def metric_name(attack: str, metric: str) -> str:
    """The recorded name of a metric of ``LEAKAGE`` for an attack, for example ``delta_loss_auc``."""
    return re.sub(r"\W+", "_", f"{attack}_{metric}")


def leakage_names(attack: str) -> set[str]:
    """The names that the metrics of a privacy attack can have; which of them it has depends on its aim."""
    return {metric_name(attack, metric) for metric in LEAKAGE}


def leakage_row(name: str) -> str | None:
    """Which row of ``LEAKAGE`` a recorded metric has; None for one that is not of a privacy attack."""
    ends = (end for end in LEAKAGE if name not in TABLE and name.endswith(f"_{end}"))
    return max(ends, key=len, default=None)


def leading(names: Iterable[str]) -> list[str]:
    """Of recorded metrics those that stand for what a privacy attack found, one for each attack."""
    return [name for name in names if meaning(name).leads]


def usual_metrics(names: Iterable[str]) -> list[str]:
    """Of recorded metrics what a table shows and settings are compared by."""
    there = list(names)
    return [name for name in DEFAULT_METRICS if name in there] + leading(there)


def meaning(name: str) -> Meaning:
    """The row of a metric; of one that is not in the table, a plug-in's say, its name in words and no unit."""
    if name in TABLE:
        return TABLE[name]
    end = leakage_row(name)
    if end is not None:
        row, attack = LEAKAGE[end], name.removesuffix(f"_{end}")
        words = attack.replace("_", " ")
        label = row.label if row.label.startswith(words) else f"{words}: {row.label}"
        return replace(row, label=label, chance_metric=row.chance_metric and f"{attack}_{row.chance_metric}")
    return Meaning(name.replace("_", " "))
