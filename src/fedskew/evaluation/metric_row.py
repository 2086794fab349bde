"""What is known of a metric: its row in a table of metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Unit = Literal["percent", "number"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Meaning:
    """What one recorded number means.

    Attributes:
        label: its name in words.
        unit: "percent" of a share, which records hold as a fraction from 0 to 1; else "number", shown as it is.
        better: which direction is better for the model's owner.
        formula: what it is, in one line.
        measured: on or of what; ``TRACE`` where it is an entry of a record's trace and not of its metrics.
        with_few: the metric that it is the same as by definition where there are few clients or classes; "" for none.
        chance: what somebody who knows nothing reaches, as recorded; None where there is no such number.
        chance_metric: where that depends on the data: the metric that says it; "" for none.
        span: the lowest and the highest value of a number without a unit.
        digits: decimals in tables.
    """

    label: str
    unit: Unit = "number"
    better: Better = "neither"
    formula: str = ""
    measured: str = ""
    with_few: str = ""
    chance: float | None = None
    chance_metric: str = ""
    span: tuple[float, float] = (-math.inf, math.inf)
    digits: int = 2

    @property
    def is_share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == "percent"

    @property
    def from_test_images(self) -> bool:
        """Whether the test images decide it; of a metric that is not in the table it is taken to be so."""
        return not self.measured or "test images" in self.measured

    @property
    def scale(self) -> float:
        """From the recorded number to the one that is shown."""
        return 100.0 if self.is_share else 1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that it can have, as it is shown."""
        return (0.0, self.scale) if self.is_share else self.span

    @property
    def suffix(self) -> str:
        """What follows a value: `` %``, or nothing."""
        return " %" if self.is_share else ""

    @property
    def heading(self) -> str:
        """The label with its unit, for an axis or a title."""
        return f"{self.label} [%]" if self.is_share else self.label

    @property
    def of_a_difference(self) -> str:
        """The unit of a difference of two values, in words; "" for a number without one."""
        return "percentage points" if self.is_share else ""

    def text(self, value: float, percent: str = ".2f", number: str = ".4f") -> str:
        """A recorded value as it is shown, without its unit, in one of two formats."""
        return f"{self.scale * value:{percent if self.is_share else number}}"
