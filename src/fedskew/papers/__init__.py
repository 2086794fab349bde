"""The papers that fedskew reproduces, a folder each; other packages use only this module.

A new paper is a new folder with a ``PAPER`` (``paper.Paper``) and a place in ``PAPERS``; the analysis and the report
know no paper by name.
"""

from __future__ import annotations

import pandas as pd

from fedskew.analysis.tables import summary_table
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, unknown
from fedskew.papers.ozdayi_kantarcioglu import PAPER as OZDAYI_KANTARCIOGLU
from fedskew.papers.paper import Paper, Published
from fedskew.study.claim import Claim
from fedskew.study.grid import Study

__all__ = ["PAPERS", "Paper", "Published", "check_reference", "claims_of", "published_beside"]

PAPERS: tuple[Paper, ...] = (OZDAYI_KANTARCIOGLU,)


def claims_of(study: Study) -> list[Claim]:
    """The claims that are judged together: the study's own, then those of each paper whose settings the study has."""
    return [*study.claims, *(claim for paper in PAPERS for claim in paper.claims(study))]


def published_beside(study: Study, results: pd.DataFrame) -> Published | None:
    """The published numbers of the study's reference beside its own.

    None unless the study has a reference and exactly the axes of that paper's tables.

    Args:
        results: as ``analysis.results_table`` makes them.
    """
    paper = next((one for one in PAPERS if study.reference in one.references), None)
    if paper is None or study.reference is None or set(study.axes) != set(paper.axes):
        return None
    summary = summary_table(results, study, paper.metrics)
    return Published(paper, paper.beside(summary, study.reference))


def check_reference(study: Study, origin: Origin) -> None:
    """Check that a study's ``reference`` names published numbers that exist.

    Args:
        origin: where the study comes from.

    Raises:
        ConfigError: it does not; names the line, what there is and the nearest.
    """
    known = [reference for paper in PAPERS for reference in paper.references]
    if study.reference is not None and study.reference not in known:
        message, hint = unknown("reference", study.reference, known)
        raise ConfigError(f"{origin.at(('reference',))}: reference: {message}", hint, "reference")
