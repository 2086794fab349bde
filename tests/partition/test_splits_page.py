"""The table of docs/splits.md against the splits."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fedskew.config import Execution, Experiment
from fedskew.federation.spread import spread
from fedskew.federation.world import load_data
from fedskew.partition.heterogeneity import heterogeneity
from fedskew.protocols import SplitView

PAGE = (Path(__file__).parents[2] / "docs" / "splits.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)` \| (?:`(.*?)`)? ?\| (.*) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "options", "numbers"), ROWS, ids=[f"{n} {o}" for n, o, _ in ROWS])
def test_the_measures_are_those_of_the_split(name: str, options: str, numbers: str) -> None:
    split = tomllib.loads(f"split = {{ name = '{name}'{options and ', ' + options} }}")
    experiment = Experiment.model_validate(split)
    data = load_data(experiment, Execution())
    where = spread(SplitView.of(data), experiment)
    found = heterogeneity(where.counts(data.y_train.numpy(), data.info.num_classes))
    assert numbers.split(" | ") == [
        f"{found.total_variation:.2f}",
        f"{found.effective_classes:.1f}",
        f"{found.size_gini:.2f}",
        f"{found.smallest} to {found.largest}",
        str(where.unused(len(data.y_train))),
    ]


def test_the_page_has_rows() -> None:
    assert len(ROWS) == 15
