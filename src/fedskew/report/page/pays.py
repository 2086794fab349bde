"""The section "Who pays" of the page: its charts, tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Chart
from fedskew.report.figures.pays import pays_charts
from fedskew.report.pays import WhoPays, cost_notes, pays_notes, pays_sentences, told
from fedskew.report.tables.pays import bins_sheet, costs_sheet, slopes_sheet
from fedskew.report.tables.sheet import Sheet


@dataclass(frozen=True)
class Pays:
    """What the section shows; there is none where all of it is empty.

    Attributes:
        charts: how often honest clients are down-weighted, by how unusual they are; of all parts.
        legend: the series in them.
        treatment, costs: the tables of either half.
        standing: what a reader can quote, in sentences.
        treatment_notes, cost_notes: what is left out, in sentences.
    """

    charts: list[Chart]
    legend: list[tuple[str, Markup]]
    treatment: list[Sheet]
    costs: list[Sheet]
    standing: list[str]
    treatment_notes: list[str]
    cost_notes: list[str]

    @property
    def sheets(self) -> list[Sheet]:
        """Its tables."""
        return [*self.treatment, *self.costs]


def pays_section(
    evidence: Evidence, parts: Sequence[Evidence], who: WhoPays, legend: Sequence[tuple[str, Markup]]
) -> Pays:
    """The section.

    Args:
        parts: the evidence, cut.
        legend: (name, swatch) of the series of each part.
    """
    rows = told(evidence, who)
    treatment = (slopes_sheet(evidence, rows), bins_sheet(evidence, rows))
    return Pays(
        charts=[chart for part in parts for chart in pays_charts(part, who)],
        legend=[one for one in legend if any(who.of(part, one[0], None) for part in parts)],
        treatment=[sheet for sheet in treatment if sheet.rows],
        costs=[sheet for sheet in (costs_sheet(evidence, who),) if sheet.rows],
        standing=pays_sentences(evidence, rows),
        treatment_notes=pays_notes(who),
        cost_notes=cost_notes(who),
    )
