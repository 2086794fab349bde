"""The report's modules import in one direction: evidence, numbers and words; tables; figures; the page; the folder."""

from __future__ import annotations

import re
from pathlib import Path

REPORT = Path(__file__).parents[2] / "src" / "fedskew" / "report"
ORDER = [
    *(
        "evidence",
        "first",
        "chosen",
        "parts",
        "numbers",
        "words",
        "answers",
        "described",
        "told",
        "watched",
        "overview",
        "rounds",
        "over",
        "splits",
        "pays",
    ),
    *(
        f"tables.{name}"
        for name in (
            "sheet",
            "classes",
            "runs",
            "split",
            "features",
            "paper",
            "statistics",
            "best",
            "rounds",
            "study",
            "pays",
            "compared",
            "leaks",
            "scorecard",
        )
    ),
    *(
        f"figures.{name}"
        for name in (
            "style",
            "scene",
            "ticks",
            "panel",
            "svg",
            "files",
            "charts",
            "heterogeneity",
            "curves",
        )
    ),
    *(
        "figures.heatmap",
        "figures.audit",
        "figures.pays",
        "figures.splits",
        "figures.trojan",
        "figures.plates",
        "figures.metrics_picture",
        "page.accuracies",
        "page.pays",
        "page.lead",
        "page.content",
        "page.render",
        "write",
    ),
]
"""As docs/report.md has it."""


def test_modules_import_in_the_order_of_the_page_on_the_report() -> None:
    files = {path for path in REPORT.rglob("*.py") if path.name != "__init__.py"}
    assert files == {REPORT / f"{name.replace('.', '/')}.py" for name in ORDER}
    for path in files:
        own = ".".join(path.relative_to(REPORT).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        used = re.findall(r"from fedskew\.report\.([\w.]+) import", text)
        used += [f"tables.{name}" for name in re.findall(r"from fedskew\.report\.tables import (\w+)", text)]
        for module in used:
            if module in ORDER:
                assert ORDER.index(module) < ORDER.index(own), f"{own} imports {module}"
