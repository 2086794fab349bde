"""What the runs of a study show: tables, intervals, paired differences, trends, claims, reasons to distrust.

The unit of replication is the seed. docs/statistics.md says what is computed and what a few seeds cannot show.
"""

from fedskew.analysis.claims.judge import judge
from fedskew.analysis.claims.judgement import Judgement
from fedskew.analysis.differences import Difference, paired_differences, pooled_difference, study_differences
from fedskew.analysis.distrust.find import Reason, reasons_of_each, reasons_of_run, reasons_to_distrust
from fedskew.analysis.distrust.training import DIVERGED
from fedskew.analysis.estimates import Estimate, cells, estimate, estimates
from fedskew.analysis.significance import holm
from fedskew.analysis.tables import measured_columns, metric_columns, results_table, summary_table
from fedskew.analysis.trends import Trend, trend
from fedskew.study.claim import Claim

__all__ = [
    "DIVERGED",
    "Claim",
    "Difference",
    "Estimate",
    "Judgement",
    "Reason",
    "Trend",
    "cells",
    "estimate",
    "estimates",
    "holm",
    "judge",
    "measured_columns",
    "metric_columns",
    "paired_differences",
    "pooled_difference",
    "reasons_of_each",
    "reasons_of_run",
    "reasons_to_distrust",
    "results_table",
    "study_differences",
    "summary_table",
    "trend",
]
