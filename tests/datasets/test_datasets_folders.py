"""Image folders, Hugging Face data sets on disk, LEAF's JSON, EMNIST and CIFAR-100, from files in their formats."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_helpers import encode_idx, tar_gz, write_files
from fedskew import datasets
from fedskew.datasets import cifar100, leaf
from fedskew.datasets.pictures import opened, pixels
from fedskew.datasets.published import CIFAR_100, Content
from fedskew.errors import DataError

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def image_files(folder: Path, images: np.ndarray, classes: Sequence[str] = "ab") -> None:
    for i, image in enumerate(images):
        (folder / classes[i % len(classes)]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / classes[i % len(classes)] / f"{i:03}.png")


def test_image_folder(tmp_path: Path) -> None:
    train, test = drawn(6, 4, 5, 3), drawn(4, 4, 5, 3)
    image_files(tmp_path / "own" / "train", train)
    image_files(tmp_path / "own" / "test", test)
    (tmp_path / "own" / "train" / "a" / "notes.txt").write_text("not an image")
    data = datasets.load("image-folder", tmp_path, path="own")
    assert (data.info.class_names, data.info.image_shape) == (("a", "b"), (3, 4, 5))
    order = [0, 2, 4, 1, 3, 5]
    assert np.array_equal(data.x_train.numpy(), train[order].transpose(0, 3, 1, 2))
    assert np.array_equal(data.x_test.numpy(), test[[0, 2, 1, 3]].transpose(0, 3, 1, 2))
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert (data.rows_train, data.rows_test) == (None, None)
    grey = datasets.load("image-folder", tmp_path, path="own", channels=1, size=[2, 2])
    assert grey.info.image_shape == (1, 2, 2)


def test_a_validation_part_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    image_files(tmp_path / "own" / "train", drawn(20, 3, 3))
    image_files(tmp_path / "own" / "val", drawn(20, 3, 3))
    with pytest.raises(DataError, match=r"own/val: it would not be read") as caught:
        datasets.load("image-folder", tmp_path, path="own")
    assert "rename it to test" in str(caught.value.hint)
    image_files(tmp_path / "own" / "test", drawn(10, 3, 3))
    assert len(datasets.load("image-folder", tmp_path, path="own").x_test) == 10


def test_an_image_folder_without_a_test_part_and_grey(tmp_path: Path) -> None:
    image_files(tmp_path / "own", drawn(20, 3, 3))
    data = datasets.load("image-folder", tmp_path, path="own")
    assert (data.info.image_shape, len(data.x_train), len(data.x_test)) == ((1, 3, 3), 16, 4)
    assert data.y_test.bincount().tolist() == [2, 2]
    assert data.rows_train is not None
    assert data.rows_test is not None
    assert sorted([*data.rows_train.tolist(), *data.rows_test.tolist()]) == [*range(20)]
    assert (data.rows_test // 10).tolist() == data.y_test.tolist(), "the files of class a come first"


SITES = ["north", "south", "10"]


def site_table(folder: Path, *more: str, header: str = "sex,file,site") -> None:
    """The site of each image of a folder, with lines in another order than the files."""
    files = sorted((one.relative_to(folder).as_posix() for one in folder.rglob("*.png")), reverse=True)
    lines = [f"{'fm'[i % 2]},{file},{SITES[i % 3]}" for i, file in enumerate(files)]
    (folder / "sites.csv").write_text("\n".join([header, *lines, *more]) + "\n")


@pytest.mark.parametrize("parts", [["train", "test"], [""]])
def test_a_table_says_from_whom_the_images_of_a_folder_are(tmp_path: Path, parts: list[str]) -> None:
    own = tmp_path / "own"
    for part in parts:
        image_files(own / part, drawn(12, 3, 3))
    site_table(own, "f,train/moved.png,nowhere")
    options: dict[str, Any] = {"path": "own", "table": "own/sites.csv"}
    data = datasets.load("image-folder", tmp_path, **options, clients="site", groups="sex")
    assert (data.info.client_names, data.info.group_names) == (("10", "north", "south"), ("f", "m"))
    files = sorted(one.relative_to(own).as_posix() for one in own.rglob("*.png"))
    found = {}
    for part in ("train", "test"):
        clients, groups = (getattr(data, f"{what}_{part}").tolist() for what in ("clients", "groups"))
        rows = getattr(data, f"rows_{part}")
        mine = [f for f in files if f.startswith(part)] if rows is None else [files[i] for i in rows]
        for file, client, group in zip(mine, clients, groups, strict=True):
            found[file] = (data.info.group_names[group], data.info.client_names[client])
    assert found == {f: ("fm"[i % 2], SITES[i % 3]) for i, f in enumerate(reversed(files))}
    assert [line.partition(":")[0] for line in data.info.provenance] == ["own", "own/sites.csv"]
    only = datasets.load("image-folder", tmp_path, **options, groups="sex")
    assert (only.clients_train, only.info.client_names) == (None, ())
    assert only.x_train.equal(data.x_train)


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        (
            {"clients": "site", "table": None},
            "",
            "clients = 'site' is a column of a table, and the option `table`",
        ),
        ({}, "", "table = 'own/sites.csv' is given, and neither clients nor groups"),
        (
            {"clients": "hospital"},
            "",
            r"sites\.csv: there is no column 'hospital' for the option `clients`",
        ),
        ({"clients": "site"}, "f,a/000.png,south", r"sites\.csv: the file 'a/000\.png' is there twice"),
        ({"clients": "site"}, "f,x.png,", r"sites\.csv, line 22: column 'site' has no value"),
        ({"clients": "site", "table": "no.csv"}, "", r"no\.csv: there is no such file"),
    ],
)
def test_what_a_table_of_images_must_say(
    tmp_path: Path, options: dict[str, Any], more: str, message: str
) -> None:
    image_files(tmp_path / "own", drawn(20, 3, 3))
    site_table(tmp_path / "own", *filter(None, [more]))
    with pytest.raises(DataError, match=message):
        datasets.load("image-folder", tmp_path, **({"path": "own", "table": "own/sites.csv"} | options))


def test_every_image_has_a_line_in_the_table(tmp_path: Path) -> None:
    image_files(tmp_path / "own", drawn(20, 3, 3))
    options: dict[str, Any] = {"path": "own", "table": "own/sites.csv", "clients": "site"}
    site_table(tmp_path / "own", header="sex,name,site")
    with pytest.raises(DataError, match=r"sites\.csv: there is no column 'file' for the option `table`"):
        datasets.load("image-folder", tmp_path, **options)
    site_table(tmp_path / "own")
    Image.fromarray(drawn(3, 3)).save(tmp_path / "own" / "b" / "new.png")
    with pytest.raises(
        DataError, match=r"sites\.csv: it has no line for the image 'b/new\.png' of"
    ) as caught:
        datasets.load("image-folder", tmp_path, **options)
    assert "such as a/000.png" in str(caught.value.hint)


def test_what_an_image_folder_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    with pytest.raises(DataError, match="there is no such folder"):
        datasets.load("image-folder", tmp_path, path="own")
    image_files(own, drawn(4, 3, 3), "a")
    with pytest.raises(DataError, match="1 folders with images"):
        datasets.load("image-folder", tmp_path, path="own")
    (own / "b").mkdir()
    Image.fromarray(drawn(5, 5)).save(own / "b" / "big.png")
    with pytest.raises(DataError, match=r"big\.png: 5 x 5 pixels; .* has 3 x 3"):
        datasets.load("image-folder", tmp_path, path="own")
    assert datasets.load(
        "image-folder", tmp_path, path="own", size=[4, 4], test_fraction=0.5
    ).info.image_shape == (1, 4, 4)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(DataError, match="not a readable image"):
            datasets.load("image-folder", tmp_path, path="own", size=[4, 4], test_fraction=0.5)
    (own / "b" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png: not a readable image"):
        datasets.load("image-folder", tmp_path, path="own", size=[4, 4], test_fraction=0.5)
    (own / "b" / "broken.png").unlink()
    image_files(own / "train", drawn(4, 3, 3))
    image_files(own / "test", drawn(4, 3, 3), "ac")
    with pytest.raises(DataError, match="there is no class 'c'"):
        datasets.load("image-folder", tmp_path, path="own")


def test_folders_that_are_no_class(tmp_path: Path) -> None:
    """Hidden ones are left out; one without an image is a slip, not a class that nobody has."""
    own = tmp_path / "own"
    image_files(own, drawn(20, 3, 3))
    image_files(own, drawn(1, 3, 3), classes=[".hidden"])
    (own / "a" / ".thumb.png").write_bytes(b"no image")
    (own / "empty").mkdir()
    assert datasets.load("image-folder", tmp_path, path="own").info.class_names == ("a", "b")
    Image.fromarray(drawn(3, 3)).save(own / "empty" / "0.gif")
    with pytest.raises(DataError, match=r"empty: it has files ending in '\.gif', and no image"):
        datasets.load("image-folder", tmp_path, path="own")


@pytest.mark.parametrize("name", ["deep.png", "deep.pgm"])
def test_images_of_16_bits_keep_their_upper_eight(tmp_path: Path, name: str) -> None:
    values = RNG.integers(0, 1 << 16, (3, 3)).astype(np.uint16)
    image_files(tmp_path / "own", drawn(20, 3, 3))
    if name.endswith("pgm"):
        (tmp_path / "own" / "a" / name).write_bytes(b"P5 3 3 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / "own" / "a" / name)
    read = pixels(opened(tmp_path / "own" / "a" / name, name), None, 1)
    assert np.array_equal(read[0], values >> 8)


def test_images_of_fractions_are_refused() -> None:
    with pytest.raises(DataError, match="expected whole numbers of 8 or 16 bits"):
        pixels(Image.fromarray(RNG.random((3, 3)).astype(np.float32)), None, 1)


def leaf_file(path: Path, users: dict[str, tuple[Any, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "users": [*users],
        "num_samples": [len(y) for _, y in users.values()],
        "user_data": {user: {"x": x, "y": y} for user, (x, y) in users.items()},
    }
    path.write_text(json.dumps(content))


def levels(*shape: int) -> list[Any]:
    return list((RNG.integers(0, 256, shape) / 255).tolist())


def test_leaf_writers_become_clients(tmp_path: Path) -> None:
    first, second, test = levels(3, 784), levels(2, 784), levels(2, 784)
    leaf_file(tmp_path / "femnist" / "train" / "all_data_0.json", {"f01": (first, [0, 61, 10])})
    leaf_file(tmp_path / "femnist" / "train" / "all_data_1.json", {"f02": (second, [5, 5]), "f03": ([], [])})
    leaf_file(tmp_path / "femnist" / "test" / "all_data_0.json", {"f02": (test, [3, 36])})
    data = datasets.load("leaf", tmp_path, path="femnist")
    assert data.info.image_shape == (1, 28, 28)
    assert np.array_equal(data.x_train.numpy().reshape(5, 784), np.rint(np.array(first + second) * 255))
    assert data.y_train.tolist() == [0, 61, 10, 5, 5]
    assert (data.info.class_names[61], data.info.class_names[10], len(data.info.class_names)) == (
        "z",
        "A",
        62,
    )
    assert data.info.client_names == ("f01", "f02")
    assert data.clients_train is not None
    assert data.clients_test is not None
    assert (data.clients_train.tolist(), data.clients_test.tolist()) == ([0, 0, 0, 1, 1], [1, 1])


def test_leaf_features(tmp_path: Path) -> None:
    for part in ("train", "test"):
        leaf_file(tmp_path / part / "d.json", {"u": ([[-1.5, 2], [3, 4]], [0, 1])})
    data = datasets.load("leaf", tmp_path, path=str(tmp_path), values="numbers")
    assert (data.info.values, data.info.class_names, data.info.image_shape) == (
        "numbers",
        ("0", "1"),
        (2, 1, 1),
    )
    assert data.x_train[:, :, 0, 0].tolist() == [[-1.5, 2], [3, 4]]


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ({"u": (["some words"], [0])}, "x of user 'u' is text"),
        ({"u": ([[0.5] * 783], [0])}, "783 values; an image of 28 x 28 has 784"),
        ({"u": ([[1.5] * 784], [0])}, "goes from 1.5 to 1.5"),
        ({"u": ([[0.5] * 784], [0, 1])}, "has 1 x and 2 y"),
        ({"u": ([[0.5] * 784], [0.5])}, "y of user 'u' must be whole numbers"),
        ({"u": ([], [])}, "it has no sample"),
        ({"u": ([[0.5] * 784], [10**11])}, "y of user 'u' has the label 100000000000; expected one below"),
        ({"u": ([[1e39] * 784], [0])}, "must be lists of finite numbers"),
        (
            {"u": ([[10**400] * 784], [0])},
            "not in LEAF's format: ValueError: a whole number of more than 300 digits",
        ),
    ],
)
def test_what_leaf_refuses(tmp_path: Path, users: dict[str, Any], message: str) -> None:
    leaf_file(tmp_path / "train" / "d.json", users)
    leaf_file(tmp_path / "test" / "d.json", users)
    with pytest.raises(DataError) as caught:
        datasets.load("leaf", tmp_path, path=str(tmp_path))
    assert message in caught.value.message


def test_leaf_files_that_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"u": (levels(1, 784), [0])}
    for part in ("train", "test"):
        leaf_file(tmp_path / part / "a.json", good)
    leaf_file(tmp_path / "train" / "b.json", good)
    with pytest.raises(DataError, match="the user 'u' is in two files"):
        datasets.load("leaf", tmp_path, path=str(tmp_path))
    (tmp_path / "train" / "b.json").write_text('{"users": ["v"]')
    with pytest.raises(DataError, match="not in LEAF's format"):
        datasets.load("leaf", tmp_path, path=str(tmp_path))
    (tmp_path / "train" / "b.json").write_text('{"users": ["v"], "user_data": {}}')
    with pytest.raises(DataError, match="not in LEAF's format: KeyError: 'v'"):
        datasets.load("leaf", tmp_path, path=str(tmp_path))
    monkeypatch.setattr(leaf, "MAX_FILE", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        datasets.load("leaf", tmp_path, path=str(tmp_path))


def emnist_files(split: str, labels: range, **changes: bytes) -> tuple[np.ndarray, dict[str, bytes]]:
    numbers = np.array(labels)
    images = drawn(len(numbers), 28, 28)
    files = {
        f"emnist-{split}-{part}-{name}-ubyte": encode_idx(array)
        for part in ("train", "test")
        for name, array in (("images-idx3", images), ("labels-idx1", numbers))
    }
    return images, files | changes


@pytest.mark.parametrize(
    ("split", "first", "names"),
    [
        ("letters", 1, [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]),
        ("digits", 0, [*"0123456789"]),
        ("balanced", 0, [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"]),
        ("byclass", 0, [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]),
    ],
)
def test_emnist_images_are_turned_upright(tmp_path: Path, split: str, first: int, names: list[str]) -> None:
    images, files = emnist_files(split, range(first, first + len(names)))
    write_files(tmp_path / "emnist", files, compress=split == "letters")
    data = datasets.load("emnist", tmp_path, split=split)
    assert np.array_equal(data.x_train[:, 0].numpy(), images.transpose(0, 2, 1))
    assert data.y_test.tolist() == [*range(len(names))]
    assert [*data.info.class_names] == names
    assert all("unknown content (SHA-256" in line for line in data.info.provenance)


def test_a_folder_that_is_called_datasets_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))
    with pytest.raises(DataError, match="needs datasets, which is not installed here"):
        datasets.load("hf", tmp_path, path=str(tmp_path))


def test_what_emnist_refuses(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="emnist is not complete"):
        datasets.load("emnist", tmp_path, split="digits")
    write_files(tmp_path / "emnist", emnist_files("digits", range(11))[1])
    with pytest.raises(DataError, match="labels from 0 to 10; emnist digits has labels 0 to 9"):
        datasets.load("emnist", tmp_path, split="digits")
    with pytest.raises(DataError, match="unknown split 'digit'"):
        datasets.load("emnist", tmp_path, split="digit")
    there, absent = datasets.where("emnist", tmp_path), datasets.where("cifar-100", tmp_path)
    assert (there.available, absent.available) == (True, False)
    assert "put it there yourself" in absent.note


def tiny_cifar100(monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, dict[str, bytes]]:
    records = RNG.integers(0, 256, (7, 14)).astype(np.uint8)
    records[:, 0], records[:, 1] = RNG.integers(0, 20, 7), RNG.integers(0, 100, 7)
    files = {"train.bin": records[:4].tobytes(), "test.bin": records[4:].tobytes()}
    contents = tuple(Content(name, len(data), "") for name, data in files.items())
    monkeypatch.setattr(cifar100, "CIFAR_100", replace(CIFAR_100, contents=contents, image_shape=(3, 2, 2)))
    return records, files


@pytest.mark.parametrize("archive", [False, True])
def test_cifar_100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bool) -> None:
    records, files = tiny_cifar100(monkeypatch)
    if archive:
        packed = tar_gz({f"cifar-100-binary/{name}": data for name, data in files.items()})
        (tmp_path / "cifar-100-binary.tar.gz").write_bytes(packed)
    else:
        write_files(tmp_path / "cifar-100-binary", files)
    for labels, column, many in (("fine", 1, 100), ("coarse", 0, 20)):
        data = datasets.load("cifar-100", tmp_path, labels=labels)
        assert np.array_equal(data.x_test.numpy(), records[4:, 2:].reshape(3, 3, 2, 2))
        assert data.y_train.tolist() == records[:4, column].tolist()
        assert len(set(data.info.class_names)) == many
        assert all("unknown content (SHA-256" in line for line in data.info.provenance)


def test_what_cifar_100_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cifar-100 is not complete"):
        datasets.load("cifar-100", tmp_path)
    _, files = tiny_cifar100(monkeypatch)
    write_files(tmp_path / "cifar-100-binary", files | {"test.bin": b"\x14" + files["test.bin"][1:]})
    with pytest.raises(DataError, match="label 20 of record 0 is out of range; cifar-100 has labels 0 to 19"):
        datasets.load("cifar-100", tmp_path, labels="coarse")
    write_files(tmp_path / "cifar-100-binary", {"test.bin": files["test.bin"] + b"\0"})
    with pytest.raises(DataError, match="43 bytes, a batch has 42"):
        datasets.load("cifar-100", tmp_path)


def saved(tmp_path: Path, **columns: Any) -> Any:
    pytest.importorskip(
        "datasets.features", reason="needs the extra hf"
    )  # tests/datasets is a `datasets`, too
    library = importlib.import_module("datasets")
    kinds = library.Features(
        {
            "image": library.Image(),
            "label": library.ClassLabel(names=["cat", "dog"]),
            "bmi": library.Value("float32"),
            "vector": library.Sequence(library.Value("float32"), length=2),
            "site": library.Value("string"),
        }
    )
    made = library.Dataset.from_dict(columns, features=kinds)
    library.DatasetDict({"train": made, "test": made.select(range(4))}).save_to_disk(tmp_path / "both")
    made.save_to_disk(tmp_path / "one")
    return made


def test_hugging_face_data_sets_on_disk(tmp_path: Path) -> None:
    images = drawn(10, 4, 5)
    saved(
        tmp_path,
        image=[Image.fromarray(image) for image in images],
        label=[i % 2 for i in range(10)],
        bmi=[20.0 + i for i in range(10)],
        vector=[[i, -i] for i in range(10)],
        site=["north" if i < 5 else "south" for i in range(10)],
    )
    data = datasets.load("hf", tmp_path, path="both", clients="site", groups="site")
    assert np.array_equal(data.x_train[:, 0].numpy(), images)
    assert (data.info.class_names, data.info.image_shape) == (("cat", "dog"), (1, 4, 5))
    assert (data.info.client_names, len(data.x_test)) == (("north", "south"), 4)
    assert data.clients_train is not None
    assert data.clients_train.tolist() == [0] * 5 + [1] * 5
    numbers = datasets.load("hf", tmp_path, path="both", features=["bmi", "vector"])
    assert numbers.info.feature_names == ("bmi", "vector[0]", "vector[1]")
    assert numbers.x_train[3, :, 0, 0].tolist() == [23, 3, -3]
    alone = datasets.load("hf", tmp_path, path="one", features=["bmi"])
    assert alone.y_test.bincount().tolist() == [1, 1]
    assert alone.rows_test is not None
    assert (alone.rows_test + 20).tolist() == alone.x_test[:, 0, 0, 0].tolist()
    assert numbers.rows_train is None
    for options, message in (
        ({"labels": "lable"}, "unknown column 'lable'"),
        ({"image": "bmi"}, "column 'bmi' is no column of images"),
        ({"features": ["site"]}, "column 'site' must hold numbers"),
        ({"train": "trian"}, "unknown part 'trian'"),
        ({"labels": "bmi"}, "column 'bmi' must hold whole numbers or text"),
    ):
        with pytest.raises(DataError, match=message):
            datasets.load("hf", tmp_path, path="both", **options)
    with pytest.raises(DataError, match="not a data set that `save_to_disk` wrote"):
        datasets.load("hf", tmp_path, path=str(tmp_path))


def test_hugging_face_labels_that_are_numbered_otherwise_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets.features", reason="needs the extra hf")
    library = importlib.import_module("datasets")

    def part(names: list[str], rows: int, gap: bool = False) -> Any:
        kinds = library.Features({"x": library.Value("float32"), "label": library.ClassLabel(names=names)})
        labels = [None if gap and i == 0 else i % 2 for i in range(rows)]
        return library.Dataset.from_dict(
            {"x": [float(i) for i in range(rows)], "label": labels}, features=kinds
        )

    for test, message in (
        (part(["dog", "cat"], 4), "numbers its values in another order in the test part"),
        (part(["cat", "dog"], 4, gap=True), "must hold one of its named values in every row"),
        (part(["cat", "dog"], 0), "not a data set that"),  # the library cannot read it either
    ):
        folder = tmp_path / message[:9]
        library.DatasetDict({"train": part(["cat", "dog"], 6), "test": test}).save_to_disk(str(folder))
        with pytest.raises(DataError, match=message):
            datasets.load("hf", tmp_path, path=str(folder), features=["x"])
