"""An audited defence minus each other one, at each spread of the data, each under the attack that is worst for it in
each seed."""

from __future__ import annotations

import pandas as pd

from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.differences import Difference
from fedskew.analysis.effects import tested
from fedskew.analysis.estimates import in_table_units
from fedskew.analysis.scorecard import UNDER, defences, spread_axis, spreads
from fedskew.analysis.significance import holm
from fedskew.analysis.worst import Worst
from fedskew.evaluation.metric_table import meaning
from fedskew.study.grid import Study


def compared(study: Study, results: pd.DataFrame) -> list[Difference]:
    """The differences that some seed has the runs for, spread by spread, paired by seed; the p-values corrected for all
    of them. Nothing for a study that audits no single defence."""
    audit = study.audit
    if audit is None or not audit.defence or results.empty:
        return []
    axis, found = spread_axis(study, audit), []
    for spread in spreads(study, audit):
        where = {axis: spread} if axis else {}
        for other in defences(study, audit)[1:]:
            for metric in UNDER:
                values, highest = in_table_units(results, metric), meaning(metric).better == "lower"
                pair, worst = (
                    (audit.defences, other, audit.defence),
                    Worst(audit.attacks, highest, audit.no_attack),
                )
                numbers = per_seed(results, study, values, Contrast(pair, where=where, worst=worst))
                if numbers is not None:
                    found.append(
                        Difference(
                            metric,
                            *pair,
                            where,
                            **tested(numbers.values, 0.0, numbers.runs),
                            left_out=numbers.left_out,
                            cells_left_out=numbers.cells_left_out,
                            unit=meaning(metric).of_a_difference,
                        )
                    )
    return holm(found)
