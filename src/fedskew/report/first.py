"""The metrics that a report shows first: accuracy, bias, the backdoor, and what privacy attacks find."""

from __future__ import annotations

from collections.abc import Sequence

from fedskew.analysis import metric_columns
from fedskew.errors import ConfigError, unknown
from fedskew.evaluation.leakage_table import LEAKAGE, leading, leakage_row
from fedskew.papers import claims_of
from fedskew.report.evidence import Evidence

PAPERS, SUCCESS = "backdoor_accuracy", "attack_success_rate"


def main_metrics(evidence: Evidence, wanted: Sequence[str] = ()) -> list[str]:
    """The wanted metrics, else the usual, as far as they were measured.

    Raises:
        ConfigError: one that no run has.
    """
    valid = metric_columns(evidence.results, evidence.study)
    for metric in wanted:
        if evidence.done and metric not in valid:
            raise ConfigError(*unknown("metric", metric, valid))
    return evidence.measured(wanted or ("accuracy", "bias", backdoor(evidence), *leaks(evidence)))


def backdoor(evidence: Evidence) -> str:
    """The metric that stands for a backdoor: the paper's where a claim is about it, else the one that leaves out images
    of the target class, which skew makes easier or harder to recognise without any trigger."""
    claimed = any(claim.metric == PAPERS for claim in claims_of(evidence.study))
    return PAPERS if claimed or not evidence.measured([SUCCESS]) else SUCCESS


def leaks(evidence: Evidence) -> list[str]:
    """The metrics that stand for privacy: for each thing that privacy attacks look for, that of the attack that finds
    most on average over all runs."""
    there = leading(evidence.measured(metric_columns(evidence.results, evidence.study)))
    found = []
    for kind, row in LEAKAGE.items():
        same = [name for name in there if leakage_row(name) == kind]
        if same:
            means = evidence.results[same].mean()
            found.append(str(means.idxmax() if row.better == "lower" else means.idxmin()))
    return found
