"""The paper's statements as claims."""

from __future__ import annotations

from fedskew.claim import Claim
from fedskew.study import Study


def paper_claims(study: Study) -> tuple[Claim, ...]:
    """The paper's claims that a study has the axes and settings for."""
    raise NotImplementedError


def attacked_claims(study: Study) -> tuple[Claim, ...]:
    """The trends of accuracy and bias in the attacked settings, beside the paper's own claims."""
    raise NotImplementedError
