"""Tables of one's own: which columns become which features, what a column can be for, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew import datasets
from fedskew.datasets import table
from fedskew.errors import ConfigError, DataError
from fedskew.protocols import Dataset

HEADER = "age,ward,grade,code,sex,site,label"
ROWS = [
    f"{20 + i},{'AB'[i % 2]},{('low', 'mid', 'high')[i % 3]},{i % 2 + 7},{'fm'[i % 2]},{'xyz'[i % 3]},"
    f"{['no', 'yes'][i // 10]}"
    for i in range(20)
]
ROLES: dict[str, Any] = {"groups": "sex", "clients": "site"}


def text(*rows: str, header: str = HEADER) -> str:
    return "\n".join((header, *rows)) + "\n"


def load(tmp_path: Path, content: str | bytes, name: str = "own.csv", **options: Any) -> Dataset:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    return datasets.load("csv", tmp_path, path=str(tmp_path / name), **options)


def rows_of(data: Dataset) -> list[list[float]]:
    return torch.cat([data.x_train, data.x_test])[:, :, 0, 0].tolist()


def test_numbers_are_features_and_everything_else_one_feature_per_value(tmp_path: Path) -> None:
    data = load(tmp_path, text(*ROWS), **ROLES)
    info = data.info
    names = ("age", "ward=A", "ward=B", "grade=high", "grade=low", "grade=mid", "code")
    assert (info.values, info.feature_names, info.image_shape) == ("numbers", names, (7, 1, 1))
    assert info.class_names == ("no", "yes")
    assert (info.group_names, info.client_names) == (("f", "m"), ("x", "y", "z"))
    for part, many in (("train", 16), ("test", 4)):
        x, y = getattr(data, f"x_{part}")[:, :, 0, 0], getattr(data, f"y_{part}")
        i = (x[:, 0] - 20).long()
        assert len(x) == many
        assert y.tolist() == (i // 10).tolist()
        assert x[:, 2].tolist() == (i % 2).tolist()
        assert x[:, 6].tolist() == (i % 2 + 7).tolist()
        assert x[:, 3:6].tolist() == [[float(k == j) for j in (2, 0, 1)] for k in (i % 3).tolist()]
        assert getattr(data, f"groups_{part}").tolist() == (i % 2).tolist()
        assert getattr(data, f"clients_{part}").tolist() == (i % 3).tolist()
    assert np.allclose(info.mean[0], data.x_train[:, 0].mean())
    assert np.allclose(info.std[0], data.x_train[:, 0].std(correction=0))
    assert info.provenance[0].endswith(")")


def test_options_say_what_a_column_is(tmp_path: Path) -> None:
    options: dict[str, Any] = {"categorical": ["code"], "ordinal": ["grade"], "ignore": ["age", "ward"]}
    data = load(tmp_path, text(*ROWS), **ROLES, **options)
    assert data.info.feature_names == ("grade", "code=7", "code=8")
    assert sorted({row[0] for row in rows_of(data)}) == [0, 1, 2]  # of high, low, mid
    chosen = load(tmp_path, text(*ROWS), features=["sex", "age"], groups="sex")
    assert chosen.info.feature_names == ("age", "sex=f", "sex=m")
    other = load(tmp_path, text(*ROWS).replace(",", ";"), labels="ward", delimiter=";", features=["age"])
    assert other.info.class_names == ("A", "B")


def test_labels_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    content = text(*(f"{i},{i % 3 * 5}" for i in range(30)), header="x,label")
    assert load(tmp_path, content).info.class_names == ("0", "5", "10")


def test_clients_that_are_the_same_number_are_two_by_their_names(tmp_path: Path) -> None:
    content = text(*(f"{i},{('1', '01')[i % 2]},{i // 10}" for i in range(20)), header="x,site,label")
    assert load(tmp_path, content, clients="site").info.client_names == ("1", "01")


def test_the_test_part_is_of_each_class_and_always_the_same(tmp_path: Path) -> None:
    first, again = (load(tmp_path, text(*ROWS), test_fraction=0.35) for _ in range(2))
    assert first.x_test.equal(again.x_test)
    assert first.y_test.bincount().tolist() == [3, 3]
    assert sorted(row[0] for row in rows_of(first)) == [*range(20, 40)]
    assert (first.x_train[:, 0, 0, 0].diff() > 0).all()  # in the order of the file


def test_the_rows_of_a_table_whose_test_part_was_drawn_are_known(tmp_path: Path) -> None:
    data = load(tmp_path, text(*ROWS))
    for part in ("train", "test"):
        rows, ages = getattr(data, f"rows_{part}"), getattr(data, f"x_{part}")[:, 0, 0, 0]
        assert (rows + 20).tolist() == ages.tolist()


def test_a_test_file(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("label,age,ward\nyes,1,C\nno,2,A\n")
    data = load(tmp_path, text(*ROWS), test=str(tmp_path / "test.csv"), features=["age", "ward"])
    assert data.info.feature_names == ("age", "ward=A", "ward=B", "ward=C")
    assert data.x_test[:, :, 0, 0].tolist() == [[1, 0, 0, 1], [2, 1, 0, 0]]
    assert data.y_test.tolist() == [1, 0]
    assert len(data.info.provenance) == 2
    assert (data.rows_train, data.rows_test) == (None, None), "each part has a file of its own"


def test_quotes_a_mark_of_utf_8_and_empty_lines(tmp_path: Path) -> None:
    body = '\n"a, b",1,yes\n\n"c\nd",2,no\n"a, b",3,yes\n"é",4,no\n'
    data = load(tmp_path, b"\xef\xbb\xbf" + ("word, x ,label" + body).encode(), test_fraction=0.5)
    assert data.info.feature_names == ("word=a, b", "word=c\nd", "word=é", "x")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (text(*ROWS[:3], "50,,low,7,f,x,no"), {}, "line 5: column 'ward' has no value"),
        (text(*ROWS[:3], "NaN,A,low,7,f,x,no"), {}, "line 5: column 'age' has no value"),
        (text(*ROWS, "50,A,low,7,f,x,"), {}, "line 22: column 'label' has no value"),
        (text(*ROWS, "50,A,low"), {}, "line 22: 3 cells; the first line has 7 columns"),
        (
            text(*ROWS),
            {"labels": "lable"},
            "own.csv: there is no column 'lable' for the option `labels`; valid: age, ward",
        ),
        (
            text(*ROWS),
            {"groups": "gender"},
            "own.csv: there is no column 'gender' for the option `groups`; valid: age, ward",
        ),
        (
            text(*ROWS),
            {"ignore": ["agee"]},
            "own.csv: there is no column 'agee' for the option `ignore`; valid: age, ward",
        ),
        (
            text(*ROWS),
            {"features": ["label"]},
            "column 'label' is named by the options `labels` and `features`; expected one of them",
        ),
        (text(*ROWS), {"ignore": ["age"], "features": ["age", "ward"]}, "options `ignore` and `features`"),
        (text(*ROWS), {"ignore": ["label"]}, "options `ignore` and `labels`"),
        (text(*ROWS), {"ignore": ["site"], "clients": "site"}, "options `ignore` and `clients`"),
        (text(*ROWS), {"ignore": ["code"], "categorical": ["code"]}, "options `ignore` and `categorical`"),
        (text(*ROWS), {"categorical": ["ward"], "ordinal": ["ward"]}, "options `categorical` and `ordinal`"),
        (
            text("1,0", "2,1", "3,1.0", "4,unknown", header="x,label"),
            {},
            "column 'label' has the labels '1' and '1.0', which are the same number",
        ),
        (text(*ROWS[:10]), {}, "column 'label' has one class only, 'no'"),
        (text(*ROWS, header=HEADER.replace("ward", "age")), {}, "the column name 'age' is there twice"),
        (text(*ROWS, header=HEADER.replace("ward", "")), {}, "the column name '' is empty"),
        (text(), {}, "it has no rows below its first line"),
        ("", {}, "line 1: the column name '' is empty"),
        (
            text("1e39,yes", "2,no", "-3,no", header="x,label"),
            {"test_fraction": 0.5},
            "csv: column 'x' has the value '1e39'",
        ),
        (text(*ROWS, "-4e38,A,low,7,f,x,no"), {}, "'-4e38'; expected numbers from -3.4e+38 to 3.4e+38"),
        (
            text("1,yes", "2,no", header="x,label"),
            {},
            "own.csv: test_fraction = 0.2 leaves the test part without a sample",
        ),
        (text("yes", "no", header="label"), {"test_fraction": 0.9}, "leaves the test part without"),
        ('label,x\nyes,"1\n', {}, "not a readable table"),
        (b"label,x\nyes,\xff\n", {}, "it is not text in UTF-8"),
        (text(*ROWS), {"delimiter": ", "}, "delimiter = ', '; expected one character"),
        (
            text(*(f"n{i},{i % 2}" for i in range(200)), header="name,label"),
            {},
            "'name' has 200 different values",
        ),
        (
            text(*(f"{i},{i % 2}" for i in range(200)), "1_0,1", "inf,1", header="x,label"),
            {},
            "column 'x' has numbers; expected one in every row, not '1_0' (row 201), 'inf' (row 202)",
        ),
        (
            text(*ROWS, "3;0,A,low,7,f,x,no"),
            {},
            f"column 'age' has numbers; expected one in every row, not '3;0' (row {len(ROWS) + 1})",
        ),
        (text(*ROWS[:3], "-,A,low,7,f,x,no"), {}, "line 5: column 'age' has no value"),
        (text(*ROWS[:3], "None,A,low,7,f,x,no"), {}, "line 5: column 'age' has no value"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, **options)
    assert message in caught.value.message


def test_decimal_commas_are_recognised_and_the_row_of_a_test_part_is_named(tmp_path: Path) -> None:
    rows = [f"{i}.5;{i % 2}" for i in range(20)]
    with pytest.raises(DataError) as caught:
        load(tmp_path, text(*rows, "7,25;1", header="x;label"), delimiter=";")
    assert "'7,25' (row 21)" in caught.value.message
    assert "write decimals with a point" in str(caught.value.hint)
    (tmp_path / "test.csv").write_text(text("1.5;0", "2.5;0", "many;1", header="x;label"))
    with pytest.raises(DataError, match=r"'many' \(test\.csv, row 3\)") as caught:
        load(tmp_path, text(*rows, header="x;label"), delimiter=";", test=str(tmp_path / "test.csv"))
    assert "mend these cells" in str(caught.value.hint)


COMMAS = {
    "decimal": [f"{36 + i // 10},{i % 10}" for i in range(40)],
    "more than a hundred": [f"-{i},5" for i in range(150)],
    "thousands": [f"{i},000" for i in range(1, 41)],
    "both": [f"1.{i}.000,5" for i in range(100, 140)],
    "some with a point": [f"{i}{',.'[i % 2]}5" for i in range(40)],
    "beside a word": ["high", *(f"{i},5e3" for i in range(40))],
}


@pytest.mark.parametrize("written", COMMAS)
def test_numbers_with_commas_are_no_categories_unless_that_is_said(tmp_path: Path, written: str) -> None:
    values = COMMAS[written]
    content = text(*(f"{value};{i % 2}" for i, value in enumerate(values)), header="temp;label")
    with pytest.raises(DataError, match="column 'temp' has numbers; expected one in every row") as caught:
        load(tmp_path, content, delimiter=";")
    mend = "mend these cells" if written == "beside a word" else "write decimals with a point"
    assert str(caught.value.hint).startswith(mend)
    assert load(tmp_path, content, delimiter=";", ordinal=["temp"]).info.feature_names == ("temp",)
    if len(values) <= table.MAX_VALUES:
        names = load(tmp_path, content, delimiter=";", categorical=["temp"]).info.feature_names
        assert names == tuple(f"temp={value}" for value in sorted(values))


def test_words_with_commas_are_categories(tmp_path: Path) -> None:
    rows = [f"{('a,1', 'b,2', '3,c', '1,2,3')[i % 4]};{i % 2}" for i in range(40)]
    names = load(tmp_path, text(*rows, header="x;label"), delimiter=";").info.feature_names
    assert names == ("x=1,2,3", "x=3,c", "x=a,1", "x=b,2")


def test_a_column_called_like_the_feature_of_another_is_refused(tmp_path: Path) -> None:
    rows = [f"{'1x'[i % 2]},{i},{i % 2}" for i in range(20)]
    with pytest.raises(ConfigError, match="feature_names has 'a=1' twice"):
        load(tmp_path, text(*rows, header="a,a=1,label"))


def test_one_group_is_refused_in_the_words_of_any_data_set(tmp_path: Path) -> None:
    rows = [f"{i},f,{i % 2}" for i in range(20)]
    with pytest.raises(ConfigError, match="expected one for each group, and at least 2 groups") as caught:
        load(tmp_path, text(*rows, header="x,sex,label"), groups="sex")
    hint = "if the data has no groups, leave out what says to which group each sample belongs"
    assert caught.value.hint == hint, "a table has no array groups_train"


def test_numbers_beside_words_are_categories_where_that_is_said(tmp_path: Path) -> None:
    rows = [f"{i % 5},{i % 2}" for i in range(20)] + ["high,1"]
    with pytest.raises(DataError) as caught:
        load(tmp_path, text(*rows, header="x,label"))
    assert "take every value as a category with categorical = ['x']" in str(caught.value.hint)
    data = load(tmp_path, text(*rows, header="x,label"), categorical=["x"])
    assert data.info.feature_names == ("x=0", "x=1", "x=2", "x=3", "x=4", "x=high")


@pytest.mark.parametrize("between", [";", "\t", "|"])
def test_a_table_with_another_delimiter_is_explained(tmp_path: Path, between: str) -> None:
    content = text(*ROWS).replace(",", between)
    with pytest.raises(DataError, match=r"own\.csv, line 1: it has the one column 'age") as caught:
        load(tmp_path, content)
    option = {"\t": "\\t"}.get(between, between)
    assert str(caught.value.hint).endswith(f'delimiter = "{option}"')
    assert load(tmp_path, content, delimiter=between).info.class_names == ("no", "yes")
    with pytest.raises(DataError) as caught:
        load(tmp_path, text(*ROWS), delimiter=";")
    assert str(caught.value.hint).endswith('delimiter = ","')


def test_the_largest_feature_is_read(tmp_path: Path) -> None:
    content = text(*(f"{'-' * (i % 2)}3.4e38,{i % 2}" for i in range(20)), header="x,label")
    data = load(tmp_path, content)
    assert data.x_train.isfinite().all()
    assert np.isfinite(data.info.std[0])


def test_the_row_numbers_of_pandas_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text("0,1,yes", "1,2,no", header=",x,label"))
    assert "index=False" in str(caught.value.hint)


def test_a_class_without_a_training_row_and_a_file_without_a_column(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("label,age\nmaybe,1\n")
    options: dict[str, Any] = {"test": str(tmp_path / "test.csv"), "features": ["age"]}
    with pytest.raises(DataError, match="the class 'maybe' of column 'label' is in no training row"):
        load(tmp_path, text(*ROWS), **options)
    (tmp_path / "test.csv").write_text("label,years\nyes,1\n")
    with pytest.raises(DataError, match=r"test\.csv: there is no column 'age' for the option `features`"):
        load(tmp_path, text(*ROWS), **options)
    with pytest.raises(DataError, match="there is no such file"):
        datasets.load("csv", tmp_path, path="nowhere.csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("bound", "most", "what"),
    [
        ("MAX_CELLS", 20 * 7, "cells"),
        ("MAX_DISTINCT", 20 + 2 + 3 + 2 + 2 + 3 + 2, "different values in its columns"),
        ("MAX_BYTES", 4 * 20 * 12, "bytes of features"),
    ],
)
def test_what_is_in_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, bound: str, most: int, what: str
) -> None:
    (tmp_path / "own.csv").write_text(text(*ROWS))
    if kind == "parquet":
        tables = pytest.importorskip("pyarrow.csv", reason="needs the extra parquet")
        pytest.importorskip("pyarrow.parquet").write_table(
            tables.read_csv(tmp_path / "own.csv"), tmp_path / "own.parquet"
        )
    assert getattr(table, bound) > 10**7
    monkeypatch.setattr(table, bound, most)
    assert len(datasets.load(kind, tmp_path, path=f"own.{kind}").info.feature_names) == 12
    monkeypatch.setattr(table, bound, most - 1)
    with pytest.raises(DataError, match=rf"own\.{kind}: it has more than {most - 1:,} {what}"):
        datasets.load(kind, tmp_path, path=f"own.{kind}")


def test_one_long_text_does_not_take_its_length_for_every_value() -> None:
    values = [f"{i:05}" for i in range(10_000)] + ["x" * 10_000]
    tracemalloc.start()
    try:
        found = table.column_of("x", values[::-1], np.arange(10_001))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert found.values == tuple(values)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = HEADER.split(",")
    cells = [row.split(",") for row in ROWS]
    columns: dict[str, list[Any]] = {n: [row[j] for row in cells] for j, n in enumerate(names)}
    columns["age"] = [float(x) for x in columns["age"]]
    columns["code"] = [int(x) for x in columns["code"]]
    parquet.write_table(arrow.table(columns), tmp_path / "own.parquet")
    expected = load(tmp_path, text(*ROWS), **ROLES)
    found = datasets.load("parquet", tmp_path, path="own.parquet", **ROLES)
    for name in ("x_train", "y_train", "x_test", "y_test", "groups_train", "clients_test"):
        assert getattr(found, name).equal(getattr(expected, name)), name
    assert found.info.feature_names == expected.info.feature_names
    assert (found.info.mean, found.info.class_names) == (expected.info.mean, expected.info.class_names)
    columns["age"][4] = None
    parquet.write_table(arrow.table(columns), tmp_path / "own.parquet")
    with pytest.raises(DataError, match="row 5: column 'age' has no value"):
        datasets.load("parquet", tmp_path, path="own.parquet")
    parquet.write_table(arrow.table(columns | {"age": [[1]] * 20}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match="column 'age' is of type list"):
        datasets.load("parquet", tmp_path, path="own.parquet")
    (tmp_path / "own.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        datasets.load("parquet", tmp_path, path="own.parquet")


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="needs pyarrow, which is not installed here") as caught:
        datasets.load("parquet", tmp_path, path="own.parquet")
    assert caught.value.hint == "pip install 'fedskew[parquet]'"
