"""The paper's statements as claims (Ozdayi & Kantarcioglu; section and table of each in ``source``).

The paper compares means over five runs by eye and gives no tests; what is tested here is what its sentences say.
Its fairness section (III-A, Table I) has runs without an attack, so that is where accuracy and bias are claimed
to follow alpha; the robustness section (III-B, Table II) has the undefended attack; what RLR does (III-C, III-D)
is a comparison under attack. Statements of the kind "and more so at low alpha" are separate claims, about the
trend of the paired difference.
"""

from __future__ import annotations

from typing import Literal

from fedskew.study.claim import Claim, Pace
from fedskew.study.grid import Study

CLEAN, ATTACK, RLR = "no attack", "backdoor", "backdoor + RLR"
"""The paper's settings, as its presets label them."""

_DEFENCE = {"setting": (ATTACK, RLR)}

PAPER = (
    Claim(
        text="accuracy falls as alpha falls",
        metric="accuracy",
        direction="falls",
        over="alpha",
        where={"setting": CLEAN},
        source="section III-A, Table I",
    ),
    Claim(
        text="bias rises as alpha falls",
        metric="bias",
        direction="rises",
        over="alpha",
        where={"setting": CLEAN},
        source="section III-A, Table I",
    ),
    Claim(
        text="bias changes faster than accuracy as alpha falls (relative change)",
        metric="bias",
        direction="rises",
        over="alpha",
        where={"setting": CLEAN},
        faster_than=Pace(metric="accuracy", direction="falls"),
        source="section III-A, Table I",
    ),
    Claim(
        text="backdoor accuracy rises as alpha falls",
        metric="backdoor_accuracy",
        direction="rises",
        over="alpha",
        where={"setting": ATTACK},
        source="section III-B, Table II",
    ),
    Claim(
        text="RLR lowers backdoor accuracy",
        metric="backdoor_accuracy",
        direction="falls",
        compare=_DEFENCE,
        source="section III-C, Tables II and III",
    ),
    Claim(
        text="RLR costs accuracy",
        metric="accuracy",
        direction="falls",
        compare=_DEFENCE,
        source="section III-D, Tables IV and V",
    ),
    Claim(
        text="RLR costs more accuracy at low alpha",
        metric="accuracy",
        direction="falls",
        compare=_DEFENCE,
        over="alpha",
        source="section III-C, Tables II and III",
    ),
    Claim(
        text="RLR raises the bias under attack",
        metric="bias",
        direction="rises",
        compare=_DEFENCE,
        source="section III-D, Tables IV and V",
    ),
    Claim(
        text="RLR raises the bias under attack more at low alpha",
        metric="bias",
        direction="rises",
        compare=_DEFENCE,
        over="alpha",
        source="section III-D, Tables IV and V",
    ),
)


_BOTH: tuple[tuple[str, Literal["rises", "falls"]], ...] = (("accuracy", "falls"), ("bias", "rises"))


def paper_claims(study: Study) -> tuple[Claim, ...]:
    """The paper's claims that a study has the settings for; none unless its axes are the paper's, alpha and
    setting: averaged over a further axis, which may have an attack that fails, they would no longer be its claims."""
    return tuple(claim for claim in PAPER if _needs(claim) <= _settings(study))


def attacked_claims(study: Study) -> tuple[Claim, ...]:
    """Accuracy falls and bias rises as alpha falls, in the attacked settings too.

    Tables II to V show it and the text does not say it, so these are not among ``paper_claims``; judge them, and
    correct for their number, separately.
    """
    where = {
        ATTACK: "section III-B and III-D, Tables II and IV",
        RLR: "section III-C and III-D, Tables III and V",
    }
    return tuple(
        Claim(
            text=f"{metric} {direction} as alpha falls ({setting})",
            metric=metric,
            direction=direction,
            over="alpha",
            where={"setting": setting},
            source=source,
        )
        for setting, source in where.items()
        if setting in _settings(study)
        for metric, direction in _BOTH
    )


def _needs(claim: Claim) -> set[str]:
    """The settings that a claim of the paper is about."""
    return set(claim.compare["setting"] if claim.compare else [claim.where["setting"]])


def _settings(study: Study) -> set[str]:
    """The labels of the axis "setting", if the study has it and "alpha" and no other axis of several points."""
    further = set(study.axes) - {"alpha", "setting"}
    if not {"alpha", "setting"} <= set(study.axes) or any(len(study.axes[a].points()) > 1 for a in further):
        return set()
    return {str(label) for label, _ in study.axes["setting"].points()}
