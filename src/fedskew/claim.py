"""A claim: what a study's author says its numbers will show. Checked against the data in ``analysis.claims``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedskew.config import Record


class Pace(Record):
    """Another metric and the direction in which it is said to change, to be faster than."""

    metric: str
    direction: Literal["rises", "falls"]


class Claim(Record):
    """One statement about a metric: it rises or falls from one point of an axis to another, or over an axis.

    The effect is a difference (``compare``), a slope (``over``), or the slope of a difference (both), which is
    what "and more so at low alpha" means.

    Attributes:
        text: the claim in words.
        metric: what it is about, a name of docs/metrics.md or ``"rounds"``.
        direction: of the effect. Over alpha it is what happens as alpha *falls*; over another axis, or a
            measured skew, as it grows.
        compare: {axis: [first, second]}; the effect is second minus first, of the same seed.
        over: a numeric axis, or a measured skew such as ``"skew_total_variation"``.
        where: {axis: label}: the cells it is about; the axes that are not named are averaged over.
        margin: in the units of the tables (percentage points for shares). ``"rises"`` by more than it; or
            ``"does not fall"`` by more than it (non-inferiority).
        faster_than: makes the claim one about relative change (of the logarithm): it is larger than this one's.
        source: where it is stated, e.g. a section of a paper.
    """

    text: str = Field(min_length=1)
    metric: str
    direction: Literal["rises", "falls", "does not rise", "does not fall"]
    compare: dict[str, tuple[Any, Any]] | None = None
    over: str | None = None
    where: dict[str, Any] = Field(default_factory=dict)
    margin: Annotated[float, Field(ge=0)] = 0.0
    faster_than: Pace | None = None
    source: str = ""

    @model_validator(mode="after")
    def _about_something(self) -> Claim:
        if self.compare is None and self.over is None:
            raise ValueError("a claim needs compare = { AXIS = [FIRST, SECOND] }, or over = AXIS, or both")
        if self.compare is not None and len(self.compare) != 1:
            raise ValueError("compare takes exactly one axis: { AXIS = [FIRST, SECOND] }")
        if self.direction.startswith("does not") and not self.margin:
            raise ValueError(
                f"direction = {self.direction!r} needs a margin > 0: no number of seeds shows that nothing changes"
            )
        return self

    @property
    def side(self) -> int:
        """1 where the effect is claimed to lie above ``threshold``, -1 where below."""
        return 1 if self.direction in ("rises", "does not fall") else -1

    @property
    def threshold(self) -> float:
        """What the effect is claimed to lie above or below."""
        return self.margin if self.direction in ("rises", "does not rise") else -self.margin
