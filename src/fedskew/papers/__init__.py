"""The papers that fedskew reproduces: what each claims and the numbers it published; a folder each."""

from __future__ import annotations

from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, unknown
from fedskew.papers.ozdayi_kantarcioglu.claims import paper_claims
from fedskew.papers.ozdayi_kantarcioglu.tables import REFERENCES
from fedskew.study.claim import Claim
from fedskew.study.grid import Study


def claims_of(study: Study) -> list[Claim]:
    """The claims that are judged together: the study's own, then those of a paper whose settings the study has."""
    return [*study.claims, *paper_claims(study)]


def check_reference(study: Study, origin: Origin) -> None:
    """Check that a study's ``reference`` names published numbers that there are.

    Args:
        origin: where the study stands.

    Raises:
        ConfigError: it does not; names the line, what there is and the nearest.
    """
    if study.reference is not None and study.reference not in REFERENCES:
        message, hint = unknown("reference", study.reference, REFERENCES)
        raise ConfigError(f"{origin.at(('reference',))}: reference: {message}", hint, "reference")
