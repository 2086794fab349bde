"""Clients that are there already: in the data set, or in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedskew.errors import PartitionError
from fedskew.partition.file import from_file
from fedskew.partition.natural import natural
from fedskew.protocols import Division, SplitView, ViewedSplit
from helpers import toy_info

NAMES = ("Ann", "Bob", "Cleo")
INFO = replace(toy_info(classes=3), class_names=("cat", "dog", "owl"), client_names=NAMES)
VIEW = SplitView(
    labels=np.array([0, 0, 1, 1, 2, 2, 0, 1]),
    positions=np.arange(8),
    total=8,
    info=INFO,
    clients=np.array([2, 0, 2, 1, 0, 1, 0, 2]),
    num_test=4,
    test_clients=np.array([1, 2, 0, 2]),
)


def divided(split: ViewedSplit, clients: int = 3, view: SplitView = VIEW, seed: int = 0) -> Division:
    found = split.divide(view, clients, np.random.default_rng(seed))
    assert isinstance(found, Division)
    return found


def lists(parts: Any) -> list[list[int]]:
    return [part.tolist() for part in parts]


# --- natural ----------------------------------------------------------------------------------------


def test_each_client_has_its_images_and_its_test_images() -> None:
    found = divided(natural())
    assert lists(found.parts) == [[1, 4, 6], [3, 5], [0, 2, 7]]
    assert found.tests is not None
    assert lists(found.tests) == [[2], [0], [1, 3]]
    assert found.names == NAMES


def test_of_more_clients_than_take_part_some_are_drawn_and_keep_their_order() -> None:
    all_of_them = divided(natural())
    seen = set()
    for seed in range(20):
        found = divided(natural(), 2, seed=seed)
        numbers = [NAMES.index(name) for name in found.names]
        assert numbers == sorted(numbers)
        assert lists(found.parts) == [lists(all_of_them.parts)[k] for k in numbers]
        assert found.tests is not None
        assert all_of_them.tests is not None
        assert lists(found.tests) == [lists(all_of_them.tests)[k] for k in numbers]
        seen.add(found.names)
    assert len(seen) == 3, "every pair"


def test_without_test_clients_or_on_request_there_are_no_tests() -> None:
    assert divided(natural(test=False)).tests is None
    assert divided(natural(), view=replace(VIEW, test_clients=None)).tests is None


def test_a_view_of_some_images_has_the_clients_of_these() -> None:
    found = divided(natural(), view=VIEW.only(np.array([0, 3, 4, 7])))
    assert lists(found.parts) == [[2], [1], [0, 3]]


def test_natural_needs_clients_and_enough_of_them() -> None:
    with pytest.raises(PartitionError, match="data set 'toy' does not say from which client") as caught:
        divided(natural(), view=replace(VIEW, clients=None))
    assert "split.name = 'file'" in str(caught.value.hint)
    with pytest.raises(PartitionError, match="has 3 clients, and this split is over 5") as caught:
        divided(natural(), 5)
    assert caught.value.hint == "lower clients.count by 2"


# --- a file -----------------------------------------------------------------------------------------


def written(folder: Path, text: str, name: str = "clients.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_for_each_image(tmp_path: Path) -> None:
    path = written(tmp_path, "client\nB\nA\n\nB\n-1\nC\nA\nA\n\n\n")
    found = divided(from_file(path=path))
    assert found.names == ("A", "B", "C")
    assert lists(found.parts) == [[1, 6, 7], [0, 3], [5]], "images 2 and 4 are nobody's"
    assert found.tests is None


def test_numbers_too_long_for_python_are_names(tmp_path: Path) -> None:
    path = written(tmp_path, f"sample,client\n0,{'9' * 5000}\n1,10\n2,9\n")
    assert divided(from_file(path=path)).names == ("10", "9", "9" * 5000)


def test_images_by_their_positions_in_the_training_set(tmp_path: Path) -> None:
    path = written(tmp_path, "sample,client\n7,10\n0,9\n3,9\n5,-1\n2,10\n")
    assert divided(from_file(path=path), 2).names == ("9", "10"), "numbers in numeric order"
    # Of a training set whose image 0 is set aside, image 3 is the third.
    left = VIEW.only(np.arange(1, 8))
    assert lists(divided(from_file(path=path), 2, left).parts) == [[2], [1, 6]]


@pytest.mark.parametrize("name", ["clients.npy", "clients.npz"])
def test_an_array(tmp_path: Path, name: str) -> None:
    owners, path = np.array([4, 4, -1, 2, 2, 2, 7, 4]), tmp_path / name
    if name.endswith("npy"):
        np.save(path, owners)
    else:
        np.savez(path, clients_train=owners, clients_test=np.array([7, 7, 2, -1]))
    found = divided(from_file(path=path))
    assert found.names == ("2", "4", "7")
    assert lists(found.parts) == [[3, 4, 5], [0, 1, 7], [6]]
    assert (found.tests and lists(found.tests)) == (None if name.endswith("npy") else [[2], [], [0, 1]])
    assert divided(from_file(path=path, test=False)).tests is None


def test_a_second_file_for_test_images(tmp_path: Path) -> None:
    path = written(tmp_path, "client\n" + "x\ny\n" * 4)
    test = written(tmp_path, "sample,client\n3,x\n0,y\n1,y\n", "test.csv")
    found = divided(from_file(path=path, test=test), 2)
    assert found.tests is not None
    assert lists(found.tests) == [[3], [0, 1]]
    stranger = written(tmp_path, "client\nx\nz\nx\nx\n", "other.csv")
    with pytest.raises(PartitionError, match=r"other.csv: there is no client 'z' among those with training"):
        divided(from_file(path=path, test=stranger), 2)


def test_a_table_of_counts_is_drawn_from_the_images(tmp_path: Path) -> None:
    path = written(tmp_path, "site,cat,2,dog\nnorth,1,2,0\nsouth,2,,1\n")
    view = VIEW
    found = divided(from_file(path=path), 2)
    assert found.names == ("north", "south")
    counts = [np.bincount(view.labels[part], minlength=3).tolist() for part in found.parts]
    assert counts == [[1, 0, 2], [2, 1, 0]]
    assert len({*np.concatenate(found.parts).tolist()}) == 6
    others = {tuple(map(tuple, lists(divided(from_file(path=path), 2, seed=s).parts))) for s in range(9)}
    assert len(others) > 1, "which images these are is drawn"


def test_a_table_that_asks_for_too_many_is_refused_or_scaled(tmp_path: Path) -> None:
    path = written(tmp_path, "site,cat,dog\nnorth,4,2\nsouth,2,0\n")
    with pytest.raises(PartitionError, match=r"asks for 6 samples of class 'cat', and there are 3") as caught:
        divided(from_file(path=path), 2)
    assert caught.value.hint == "set split.scale = true, which keeps the proportions"
    # Half of it: 6 cats of 3, 2 dogs of 3.
    parts = divided(from_file(path=path, scale=True), 2).parts
    assert [np.bincount(VIEW.labels[part], minlength=3).tolist() for part in parts] == [[2, 1, 0], [1, 0, 0]]


def test_percent_are_scaled_up(tmp_path: Path) -> None:
    path = written(tmp_path, "site,cat,dog\nnorth,66.7,50\nsouth,33.3,50\n")
    with pytest.raises(PartitionError, match="numbers of samples that are not whole"):
        divided(from_file(path=path), 2)
    view = replace(VIEW, labels=np.repeat([0, 1], 1000), positions=np.arange(2000), total=2000)
    parts = divided(from_file(path=path, scale=True), 2, view).parts
    assert [np.bincount(view.labels[part]).tolist() for part in parts] == [[667, 500], [333, 500]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no header"),
        (
            "client\nA\nB\n",
            "it says to whom 2 samples belong; expected 8 training samples, one line for each",
        ),
        ("client\n" + "-1\n" * 8, "it gives no sample to any client"),
        ("sample,client\n8,A\n", r"line 2: sample '8' is not one of 0 to 7"),
        ("sample,client\n1,A\n1,B\n", r"line 3: sample '1' stands there twice"),
        (f"sample,client\n{'9' * 5000},A\n", r"is not one of 0 to 7"),
        (f"site,{'9' * 5000}\nA,1\n", r"line 1: there is no class"),
        ("sample,client\n1\n", r"line 2: it has 1 cell; expected 2"),
        ("site,cat,emu\nA,1,2\n", r"line 1: there is no class 'emu' in 'toy'"),
        ("site,cat,0\nA,1,2\n", r"line 1: expected a column of clients and then one column for each class"),
        ("site,cat\nA,1\nA,2\n", r"line 3: client 'A' stands there twice"),
        ("site,cat\nA,many\n", r"line 2: 'many' is no number of samples"),
        ("site,cat\nA,-3\n", r"line 2: '-3' is no number of samples"),
        ("site,cat\nA,nan\n", r"line 2: 'nan' is no number of samples"),
        ("site,cat\n", "it has no client"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PartitionError, match=message) as caught:
        divided(from_file(path=path), 1)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("between", [";", "\t", "|"])
@pytest.mark.parametrize("header", ["site,cat,dog", "sample,client"])
def test_a_file_with_another_delimiter_is_explained(tmp_path: Path, header: str, between: str) -> None:
    path = written(tmp_path, f"{header}\n0,1,2\n".replace(",", between))
    whole = written(tmp_path, "client\n" + "A\n" * 8, "all.csv")
    for split in (from_file(path=path), from_file(path=whole, test=path)):
        with pytest.raises(PartitionError, match="line 1: it has the one column") as caught:
            divided(split, 1)
        assert str(path) in caught.value.message
        assert str(caught.value.hint) == f"between its columns there seems to be {between!r}: put ',' there"


def test_an_array_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for number, array in enumerate([np.zeros(3, int), np.zeros(8), np.full(8, -2), np.zeros((8, 1), int)]):
        path = tmp_path / f"{number}.npy"
        np.save(path, array)
        with pytest.raises(PartitionError, match=r"\d.npy: it (holds|has the client)"):
            divided(from_file(path=path), 1)
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}] * 8), allow_pickle=True)
    with pytest.raises(PartitionError, match="not a readable array"):
        divided(from_file(path=path), 1)
    with pytest.raises(PartitionError, match="there is no such file"):
        divided(from_file(path=tmp_path / "nowhere.csv"), 1)
    np.savez(tmp_path / "other.npz", x=np.arange(8))
    with pytest.raises(PartitionError, match="it has no array clients_train"):
        divided(from_file(path=tmp_path / "other.npz"), 1)


# A table of 12 rows, of which 4 became the test part, so that ``VIEW`` has the other 8.
TABLE = replace(
    VIEW, rows=np.array([0, 1, 3, 4, 6, 7, 9, 10]), test_rows=np.array([2, 5, 8, 11]), test_clients=None
)
SITES = ["A", "B", "C", "A", "A", "B", "C", "A", "C", "B", "", "A"]


def rows_file(folder: Path, form: str) -> Path:
    """The sites of the twelve rows, 10 of which is nobody's, in one of the forms of a file."""
    if form == "client":
        return written(folder, "client\n" + "".join(f"{site}\n" for site in SITES))
    if form == "row,client":
        return written(folder, "row,client\n" + "".join(f"{i},{s}\n" for i, s in enumerate(SITES) if s))
    owners = np.array(["ABC".find(site) if site else -1 for site in SITES])
    path = folder / f"clients.{form}"
    np.save(path, owners) if form == "npy" else np.savez(path, clients_train=owners)
    return path


@pytest.mark.parametrize("form", ["client", "row,client", "npy", "npz"])
def test_a_client_for_each_row_of_a_table_whose_test_part_was_drawn(tmp_path: Path, form: str) -> None:
    path = rows_file(tmp_path, form)
    found = divided(from_file(path=path), view=TABLE)
    assert found.names == (("A", "B", "C") if "client" in form else ("0", "1", "2"))
    assert lists(found.parts) == [[0, 2, 3, 5], [1, 6], [4]]
    assert found.tests is not None
    assert lists(found.tests) == [[3], [1], [0, 2]]
    assert divided(from_file(path=path, test=False), view=TABLE).tests is None
    # Of the rows 1, 3, 6 and 9 alone: those of the others are set aside.
    some = TABLE.only(np.array([1, 2, 4, 6]))
    assert lists(divided(from_file(path=path), view=some).parts) == [[1], [0, 3], [2]]


def test_a_file_as_long_as_the_training_part_is_of_this_also_where_the_test_part_was_drawn(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "client\n" + "A\nB\n" * 4)
    found = divided(from_file(path=path), 2, view=TABLE)
    assert lists(found.parts) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert found.tests is None
    path = written(tmp_path, "sample,client\n7,A\n0,B\n")
    assert lists(divided(from_file(path=path), 2, view=TABLE).parts) == [[7], [0]]


def test_a_test_file_counts_more_than_the_rows_that_became_the_test_part(tmp_path: Path) -> None:
    path = rows_file(tmp_path, "client")
    test = written(tmp_path, "client\nA\nA\nB\nC\n", "test.csv")
    found = divided(from_file(path=path, test=test), view=TABLE)
    assert found.tests is not None
    assert lists(found.tests) == [[0, 1], [2], [3]]
    test.write_text("row,client\n0,A\n", encoding="utf-8")
    with pytest.raises(
        PartitionError, match=r"test.csv, line 1: the header is row,client; expected client, or"
    ):
        divided(from_file(path=path, test=test), view=TABLE)


def test_test_rows_of_nobody_are_no_tests(tmp_path: Path) -> None:
    path = written(tmp_path, "row,client\n0,A\n1,B\n")
    assert divided(from_file(path=path), 2, view=TABLE).tests is None


def test_rows_are_training_samples_where_the_test_part_is_a_file_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "row,client\n7,A\n0,B\n")
    found = divided(from_file(path=path), 2)
    assert lists(found.parts) == [[7], [0]]
    assert found.tests is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Eight lines and four empty ones: of the training part, or of all rows with four that are nobody's?
        ("client\n" + "A\n" * 8 + "\n" * 4, "its 12 lines may be 8 training samples or 12 rows, with those"),
        ("client\n" + "A\n" * 9, "to whom 9 samples belong; expected 8 training samples or 12 rows, with"),
        ("row,client\n12,A\n", "line 2: row '12' is not one of 0 to 11"),
        ("sample,client\n8,A\n", "line 2: sample '8' is not one of 0 to 7"),
    ],
)
def test_what_is_of_neither_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PartitionError, match=message):
        divided(from_file(path=written(tmp_path, text)), 1, view=TABLE)


def test_empty_lines_at_the_end_may_be_no_rows(tmp_path: Path) -> None:
    for many, tests in ((8, None), (12, [[0, 1, 2, 3]])):
        path = written(tmp_path, "client\n" + "A\n" * many + "\n\n")
        found = divided(from_file(path=path), 1, view=TABLE)
        assert lists(found.parts) == [[*range(8)]]
        assert (found.tests and lists(found.tests)) == tests
    path = written(tmp_path, "client\n" + "A\n" * 8 + "-1\n" * 4)
    found = divided(from_file(path=path), 1, view=TABLE)
    assert lists(found.parts) == [[*range(6)]], "-1 is a row of nobody"
    assert (found.tests and lists(found.tests)) == [[0, 1]]


def test_scale_is_for_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, "client\n" + "A\n" * 8)
    with pytest.raises(PartitionError, match="scale is for a table of counts"):
        divided(from_file(path=path, scale=True), 1)
