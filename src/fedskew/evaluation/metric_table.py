"""The one table of metrics: what each recorded number means, in which unit, and which direction is better.

Code that shows a number calls ``meaning``. docs/metrics.md shows this table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from fedskew.evaluation.leakage_table import leading, leakage_meaning
from fedskew.evaluation.metric_row import Meaning, Unit

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


def usual_metrics(names: Iterable[str]) -> list[str]:
    """Of recorded metrics what a table shows and settings are compared by."""
    there = list(names)
    return [name for name in DEFAULT_METRICS if name in there] + leading(there)


def meaning(name: str) -> Meaning:
    """The row of a metric; of one that is not in the table, a plug-in's say, its name in words and no unit."""
    return TABLE.get(name) or leakage_meaning(name) or Meaning(name.replace("_", " "))
