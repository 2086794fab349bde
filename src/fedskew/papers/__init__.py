"""The papers that fedskew reproduces: what each claims and the numbers it published; a folder each."""

from __future__ import annotations

from fedskew.papers.ozdayi_kantarcioglu.claims import paper_claims
from fedskew.study.claim import Claim
from fedskew.study.grid import Study


def claims_of(study: Study) -> list[Claim]:
    """The claims that are judged together: the study's own, then those of a paper whose settings the study has."""
    return [*study.claims, *paper_claims(study)]
