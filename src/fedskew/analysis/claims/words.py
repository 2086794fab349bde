"""What a claim tests, in words made from its fields, because its own text can say anything."""

from __future__ import annotations

from fedskew.analysis.contrasts import scale_of
from fedskew.analysis.trends import per_step
from fedskew.evaluation.metric_table import meaning
from fedskew.study.claim import Claim
from fedskew.study.grid import Study


def what_is_tested(study: Study, claim: Claim) -> str:
    """A claim's fields in words: metric, direction, margin with its unit, what is compared, over what, and where."""
    scale = scale_of(study, claim.over) if claim.over else None
    metric = meaning(claim.metric).label
    unit = "percent" if claim.faster_than else meaning(claim.metric).of_a_difference
    unit = per_step(unit, scale.step) if scale else unit
    more = f" by more than {claim.margin:g} {unit}".rstrip() if claim.margin else ""
    axis, first, second = "", None, None
    if claim.compare is not None:
        ((axis, (first, second)),) = claim.compare.items()
    words = f"{metric} {claim.direction}"
    if claim.faster_than is not None:
        other = f"{meaning(claim.faster_than.metric).label} {claim.faster_than.direction}"
        words += f" relatively faster than {other}"
    if claim.compare is not None and claim.over is not None:
        words = f"the difference in {metric} between {axis} {second} and {axis} {first} {claim.direction}"
    elif claim.compare is not None:
        words += f" from {axis} {first} to {axis} {second}"
    if claim.over is not None and scale is not None:
        falls = scale.step.startswith("halving")
        words += f" as {claim.over.replace('_', ' ')} {'falls' if falls else 'grows'}"
    words += more
    if claim.where:
        words += ", where " + " and ".join(f"{name} is {label}" for name, label in claim.where.items())
    if claim.worst_of is not None:
        audit = study.audit
        but = f" but {audit.no_attack}" if audit is not None and claim.worst_of == audit.attacks else ""
        words += f", each seed's worst of all {claim.worst_of} labels{but}"
    rest = [name for name in study.axes if name not in (axis, claim.over, claim.worst_of, *claim.where)]
    return words + (f", averaged over {' and '.join(rest)}" if rest else "")
