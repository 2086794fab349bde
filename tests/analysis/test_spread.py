"""Reasons to distrust how data is spread: splits that are made to have them, and beside them some that have not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedskew.analysis import Reason, reasons_to_distrust, results_table
from fedskew.analysis.distrust.spread import Spread, planned_spreads, spread_reasons
from fedskew.config import Execution
from fedskew.study.grid import Study, planned_runs
from fedskew.study.splits import distinct_splits
from helpers import as_without_checksums, execute

ALPHAS = [10.0, 1.0, 0.1]


def study(values: list[Any], field: str = "split.alpha", **axes: Any) -> Study:
    name = "alpha" if field.endswith("alpha") else "x"
    return Study.model_validate({"name": "s", "axes": {name: {"field": field, "values": values}} | axes})


def spread(cell: dict[str, Any], sizes: list[int], variation: float = 0.5, gini: float = 0.1) -> Spread:
    measures = {"total_variation": variation, "size_gini": gini}
    return Spread(cell, dict(enumerate(sizes)), measures, (str(cell),))


def found(record: Study, *spreads: Spread) -> dict[str, Reason]:
    return {reason.code: reason for reason in spread_reasons(record, spreads)}


def along(record: Study, variations: list[float], ginis: list[float] | None = None) -> dict[str, Reason]:
    ((axis, points),) = record.axes.items()
    labels = [label for label, _ in points.points()]
    ginis = ginis or [0.1] * len(labels)
    cells = zip(labels, variations, ginis, strict=True)
    return found(record, *(spread({axis: label}, [5, 5, 5, 5], v, g) for label, v, g in cells))


@pytest.mark.parametrize(
    ("sizes", "severity"),
    [
        ([60, 20, 10, 10], "serious"),
        ([50, 25, 15, 10], "serious"),
        ([49, 31, 10, 10], None),
        ([70, 20, 10], None),
        ([12, *[1] * 199], "caution"),
        ([10, *[1] * 199], None),
    ],
)
def test_one_client_far_above_its_share(sizes: list[int], severity: str | None) -> None:
    """Half of everything (of four clients or more), or ten times an equal share: with 200 clients 12 of 211 images are
    11.4 times that, 10 of 209 are 9.6 times."""
    reason = found(study([1.0]), spread({"alpha": 1.0}, sizes)).get("one-client-holds-most")
    assert (reason and reason.severity) == severity


def test_what_is_said_of_it() -> None:
    one = found(study([1.0]), spread({"alpha": 1.0}, [0, 60, 20, 10, 10]))
    assert one["one-client-holds-most"].text == (
        "one client holds far more than its share: alpha 1.0: client 1 has 60 of 100 images (60 %), "
        "3 times an equal share"
    )
    assert one["empty-clients"].text == "many honest clients have no data and send nothing: alpha 1.0: 1 of 5"
    assert one["empty-clients"].severity == "caution"
    assert one["empty-clients"].runs == ("{'alpha': 1.0}",)


@pytest.mark.parametrize(
    ("empty", "severity"), [(0, None), (1, None), (2, "caution"), (9, "caution"), (10, "serious")]
)
def test_clients_without_data(empty: int, severity: str | None) -> None:
    sizes = [0] * empty + [5] * (20 - empty)
    reason = found(study([1.0]), spread({"alpha": 1.0}, sizes)).get("empty-clients")
    assert (reason and reason.severity) == severity


@pytest.mark.parametrize(
    ("variations", "ginis", "follows"),
    [
        ([0.2, 0.5, 0.8], None, True),
        ([0.2, 0.5, 0.49], None, True),  # as good as level
        ([0.83, 0.73, 0.81], [0.9, 0.7, 0.6], False),  # 200 clients, the remainder to the first
        ([0.8, 0.5, 0.2], None, False),  # the wrong way round
        ([0.1, 0.1, 0.1], [0.1, 0.3, 0.6], True),  # sizes, not labels
        ([0.1, 0.1, 0.1], None, False),
        ([float("nan")] * 3, None, True),  # an old record that does not say
    ],
)
def test_measured_skew_along_alpha(variations: list[float], ginis: list[float] | None, follows: bool) -> None:
    reasons = along(study(ALPHAS), variations, ginis)
    assert ("skew-not-along-axis" not in reasons) == follows
    if not follows:
        assert reasons["skew-not-along-axis"].severity == "serious"
        assert "does not grow as alpha falls" in reasons["skew-not-along-axis"].text


def test_an_axis_of_another_kind_may_go_either_way() -> None:
    classes = study([1, 2, 5], "split.classes_per_client")
    assert along(classes, [0.9, 0.8, 0.5]) == {}
    assert along(classes, [0.5, 0.8, 0.9]) == {}
    assert "does not follow x" in along(classes, [0.5, 0.9, 0.5])["skew-not-along-axis"].text
    assert along(study([1, 2, 5], "rounds"), [0.5, 0.5, 0.5]) == {}, "not an axis of the split"


def test_another_axis_of_the_split_is_judged_for_itself() -> None:
    """With one rule for the remainder skew follows alpha, with the other it does not; averaged it would seem to."""
    record = study(ALPHAS, rule={"variants": {"a": {"split.remainder": "first"}, "b": {}}})
    rows = [
        spread({"alpha": alpha, "rule": rule}, [5] * 4, variation)
        for rule, variations in {"a": [0.8, 0.7, 0.8], "b": [0.2, 0.5, 0.8]}.items()
        for alpha, variation in zip(ALPHAS, variations, strict=True)
    ]
    text = found(record, *rows)["skew-not-along-axis"].text
    assert "rule a: label skew (total variation) 0.80, 0.70, 0.80 at alpha 10.0, 1.0, 0.1" in text
    assert "rule b" not in text


MANY = {
    "name": "s",
    "base": {
        "rounds": 1,
        "clients": {"count": 200, "fraction": 0.05},
        "split": {"name": "dirichlet", "alpha": 1.0},
    },
    "axes": {"alpha": {"field": "split.alpha", "values": ALPHAS}},
}


def test_two_hundred_clients_before_training() -> None:
    """The remainder to the first client: it gets nearly everything at alpha 10. Drawn without bias: nothing to say."""
    by_rule = {}
    for rule in ("first", "unbiased"):
        base = MANY["base"] | {"split": {"name": "dirichlet", "alpha": 1.0, "remainder": rule}}  # type: ignore[operator]
        record = Study.model_validate(MANY | {"base": base})
        splits = distinct_splits(planned_runs(record), Execution(download=False))
        by_rule[rule] = found(record, *planned_spreads(splits))
    assert set(by_rule["first"]) == {"one-client-holds-most", "empty-clients", "skew-not-along-axis"}
    assert (
        "client 0 has 1,203 of 1,437 images (84 %), 167 times"
        in by_rule["first"]["one-client-holds-most"].text
    )
    assert by_rule["unbiased"] == {}


def test_the_records_of_a_study_say_the_same(tmp_path: Path) -> None:
    base = MANY["base"] | {"split": {"name": "dirichlet", "alpha": 10.0, "remainder": "first"}}  # type: ignore[operator]
    record = Study.model_validate({"name": "s", "base": base})
    planned = planned_runs(record)
    execute(tmp_path / "runs" / planned[0].identity, planned[0].experiment, Execution(download=False))
    reasons = reasons_to_distrust(record, planned, tmp_path, results_table(planned, tmp_path))
    (one,) = (reason for reason in reasons if reason.code == "one-client-holds-most")
    assert "client 0 has 1,203 of 1,437 images" in one.text
    clients = tmp_path / "runs" / planned[0].identity / "clients.json"
    clients.write_text(json.dumps({"damaged": True}))
    as_without_checksums(clients.parent)
    again = reasons_to_distrust(record, planned, tmp_path, results_table(planned, tmp_path))
    assert not {"one-client-holds-most", "empty-clients"} & {reason.code for reason in again}
