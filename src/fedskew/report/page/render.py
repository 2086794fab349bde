"""The page: one self-contained HTML file.

Its style and script are part of it and are named by their hashes in the content security policy, which otherwise allows
only images that are part of the page. Names from the study go through jinja2's escaping.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.evaluation.metric_table import meaning
from fedskew.files import to_json
from fedskew.papers import PAPERS, claims_of
from fedskew.report import words
from fedskew.report.evidence import Evidence
from fedskew.report.figures.splits import split_caption
from fedskew.report.figures.trojan import ROWS, data_uri
from fedskew.report.numbers import MOST_RUNS, run_words
from fedskew.report.overview import definitions, overview
from fedskew.report.page.content import Content
from fedskew.report.tables.paper import tables_words
from fedskew.report.tables.sheet import MOST_ROWS, Sheet, for_page
from fedskew.wording import cell_in_words, count, file_words, visible

NUMBER = re.compile(r"^[-+\N{MINUS SIGN}<]? ?\d[\d.,]*( ± [\d.]+)?( (s|min|h|%))?$|^\[.*\d\]$|^[-–]$")
"""Cells that are aligned to the right, so that digits are below digits."""


MOST_OPEN = 60
"""Rows of the study's own table, which is folded away if it has more, so that the figures can be found."""


def render_page(content: Content) -> str:
    """The whole page."""
    evidence, study = content.evidence, content.evidence.study
    style, script = _part("style.css"), _part("script.js")
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_seen,
    )
    environment.filters |= {
        "count": count,
        "label": lambda metric: meaning(metric).label,
        "sentence": words.sentence,
    }
    environment.tests["number"] = lambda cell: NUMBER.match(cell) is not None
    lines, origin = words.data_words(evidence)
    return environment.from_string(_part("template.html.j2")).render(
        content=content,
        evidence=evidence,
        study=study,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_data(content)),
        version=version("fedskew"),
        overview=overview(evidence),
        defined=definitions(content.explained),
        further=definitions([metric for metric in content.curve_metrics if metric not in content.explained]),
        verdict_lines=words.verdict_lines(content.judgements, content.late),
        headline=words.headline(content.judgements, evidence),
        completeness=words.completeness(evidence),
        missing_cells=words.missing_cells(evidence) if evidence.done else [],
        tested=sum(not math.isnan(one.p_value) for one in content.differences),
        standing=words.difference_sentences(content.differences) if not content.judgements else [],
        effect=words.effect_words,
        places=words.place_words,
        runs_in=lambda some, others: not {*some}.isdisjoint(others),
        papers=[paper for paper in PAPERS if paper.claims(study)],
        symbols=words.SYMBOLS,
        environments=words.environments(evidence),
        provenance=lines,
        files=file_words(lines),
        official=origin == "official",
        own_data=origin == "own",
        study_toml=_study_file(evidence),
        failures=[note for note in evidence.notes if note.failed],
        split_caption=split_caption,
        picture_rows=ROWS,
        tables_words=tables_words,
        data_uri=data_uri,
        known_runs={note.plan.identity for note in evidence.notes[:MOST_ROWS]},
        run_column=len(study.axes) + 1,
        wide=_wide,
        for_page=for_page,
        pays=content.pays.sheets or content.pays.treatment_notes or content.pays.cost_notes,
        most_open=MOST_OPEN,
        most_runs=MOST_RUNS,
        run_words=run_words,
    )


def _seen(value: Any) -> Any:
    """What the template writes, before it is escaped; nothing of a table or list that a script reads is unseen."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    if isinstance(value, dict):
        return {key: _seen(inner) for key, inner in value.items()}
    return [_seen(inner) for inner in value] if isinstance(value, list | tuple) else value


def _study_file(evidence: Evidence) -> str:
    """The study as a file: its base with all defaults, its claims and those of papers that were judged with them."""
    study = evidence.study.model_copy(update={"claims": tuple(claims_of(evidence.study))})
    # A copy of it will be run with the present version, whichever the results have that are shown here.
    plain: dict[str, Any] = study.model_dump(mode="json", exclude={"results"}, exclude_none=True)
    first = evidence.planned[0]
    plain["base"] = {name: value for name, value in to_plain(first.experiment).items() if name != "seed"}
    cell = cell_in_words(first.cell)
    where = f"# base: with all defaults, as in the setting {cell}\n" if cell else ""
    return where + write_toml(plain)


def _part(name: str) -> str:
    return files("fedskew.report.page").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The content security policy: default-src 'none' forbids requests, even one by a name that was not escaped."""

    def sha256(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

    return (
        f"default-src 'none'; style-src '{sha256(style)}'; script-src '{sha256(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(content: Content) -> str:
    """What the script reads: the curves of the charts, and which metrics come first. Safe inside <script>."""
    rows = (*content.curves, *content.updates)
    curves = {chart.name: chart.curve for row in rows for chart in row if chart.curve is not None}
    plain = to_json(_seen({"main": content.main_metrics, "curves": curves}), compact=True)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _wide(sheet: Sheet) -> bool:
    """Whether a table is folded away at first: more than a reader takes in at a glance."""
    long = ("estimates", "class-accuracy", "group-accuracy", "who-pays-by-unusualness")
    return len(sheet.rows) > 24 or sheet.slug in long
