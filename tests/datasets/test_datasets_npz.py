"""A user's own arrays: what is accepted, how it is turned into uint8 [N, C, H, W], and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew import datasets
from fedskew.components.returned import checked_dataset
from fedskew.errors import ConfigError, DataError
from fedskew.protocols import Dataset

RNG = np.random.default_rng(0)


def arrays(shape: tuple[int, ...] = (5, 6), **changes: Any) -> dict[str, Any]:
    """Good arrays of 12 + 6 images in three classes, with some replaced (or left out: None)."""
    good: dict[str, Any] = {
        "x_train": RNG.integers(0, 256, (12, *shape)).astype(np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": RNG.integers(0, 256, (6, *shape)).astype(np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {name: array for name, array in (good | changes).items() if array is not None}


def load(tmp_path: Path, content: dict[str, Any], **options: Any) -> Dataset:
    np.savez_compressed(tmp_path / "own.npz", **content)
    return datasets.load("npz", tmp_path, path=str(tmp_path / "own.npz"), **options)


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((5, 6), {}, (1, 5, 6)),
        ((5, 6, 3), {}, (3, 5, 6)),
        ((4, 5, 6), {}, (4, 5, 6)),
        ((1, 5, 6), {}, (1, 5, 6)),
        ((3, 5, 3), {"layout": "NCHW"}, (3, 5, 3)),
        ((3, 5, 3), {"layout": "NHWC"}, (3, 3, 5)),
        ((5, 6, 7), {"layout": "NHWC"}, (7, 5, 6)),
    ],
)
def test_layouts(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, str], expected: tuple[int, ...]
) -> None:
    content = arrays(shape)
    data = load(tmp_path, content, **options)
    assert data.info.image_shape == expected
    assert data.x_train.shape == (12, *expected)
    assert data.x_train.dtype == torch.uint8
    assert data.x_train.is_contiguous()
    original = content["x_test"].reshape(6, 1, *shape) if len(shape) == 2 else content["x_test"]
    channels_last = len(shape) == 3 and expected != shape
    assert np.array_equal(data.x_test.numpy(), original.transpose(0, 3, 1, 2) if channels_last else original)
    assert data.y_test.tolist() == content["y_test"].tolist()
    assert data.info.class_names == ("0", "1", "2")
    assert len(data.info.mean) == len(data.info.std) == expected[0]


def test_floats_and_integers_become_uint8(tmp_path: Path) -> None:
    levels = RNG.integers(0, 256, (12, 5, 6))
    data = load(
        tmp_path, arrays(x_train=(levels / 255).astype(np.float32), x_test=np.full((6, 5, 6), 200, np.int64))
    )
    assert np.array_equal(data.x_train[:, 0].numpy(), levels)
    assert (data.x_test == 200).all()
    (line,) = data.info.provenance
    assert "x_train: float32 in [0, 1], rounded to 256 levels" in line


def test_class_names_and_fortran_order(tmp_path: Path) -> None:
    content = arrays(class_names=np.array(["cat", "dog", "été"]))
    content["x_train"] = np.asfortranarray(content["x_train"])
    data = load(tmp_path, content)
    assert data.info.class_names == ("cat", "dog", "été")
    assert np.array_equal(data.x_train[:, 0].numpy(), content["x_train"])


def test_groups(tmp_path: Path) -> None:
    without = load(tmp_path, arrays())
    assert (without.groups_train, without.groups_test, without.info.group_names) == (None, None, ())
    both: dict[str, Any] = {"groups_train": np.arange(12) % 2, "groups_test": np.full(6, 2, np.uint8)}
    data = load(tmp_path, arrays(**both, group_names=np.array(["old", "new", "été"])))
    assert data.groups_train is not None
    assert data.groups_test is not None
    assert data.groups_train.tolist() == both["groups_train"].tolist()
    assert data.groups_test.tolist() == [2] * 6
    assert data.groups_test.dtype == torch.int64
    assert data.info.group_names == ("old", "new", "été")
    only = load(tmp_path, arrays(groups_test=np.arange(6) % 2))
    assert (only.groups_train, only.info.group_names) == (None, ("0", "1"))
    checked_dataset("npz", only)


def test_groups_are_part_of_what_identifies_the_content(tmp_path: Path) -> None:
    content = arrays(groups_test=np.arange(6) % 2)
    (before,) = load(tmp_path, content).info.provenance
    (after,) = load(tmp_path, content | {"groups_test": 1 - content["groups_test"]}).info.provenance
    assert before != after


def test_features(tmp_path: Path) -> None:
    x = RNG.normal(50, 10, (12, 3))
    x[:, 2] = 7
    content = arrays(x_train=x, x_test=x[:6].astype(int), feature_names=np.array(["age", "bmi", "ward"]))
    data = load(tmp_path, content, values=None)
    assert (data.info.values, data.info.image_shape) == ("numbers", (3, 1, 1))
    assert data.info.feature_names == ("age", "bmi", "ward")
    assert data.x_train.dtype == torch.float32
    assert np.array_equal(data.x_train[:, :, 0, 0].numpy(), x.astype(np.float32))
    assert np.allclose(data.info.mean, x.mean(axis=0))
    assert np.allclose(data.info.std, [*x.std(axis=0)[:2], 1])


def test_tokens(tmp_path: Path) -> None:
    words = RNG.integers(0, 30_000, (12, 8))
    data = load(tmp_path, arrays(x_train=words, x_test=words[:6]), values="tokens")
    assert (data.info.values, data.info.image_shape, data.info.mean) == ("tokens", (8, 1, 1), ())
    assert data.x_train.dtype == torch.int64
    assert np.array_equal(data.x_train[:, :, 0, 0].numpy(), words)
    with pytest.raises(DataError, match="tokens are integers"):
        load(tmp_path, arrays(x_train=words / 2, x_test=words[:6]), values="tokens")
    with pytest.raises(ConfigError, match="x_train has the token -1; expected 0 or more"):
        load(tmp_path, arrays(x_train=words * 0 - 1, x_test=words[:6]), values="tokens")


def test_clients(tmp_path: Path) -> None:
    data = load(tmp_path, arrays(clients_train=np.arange(12) % 4, client_names=np.array(list("abcd"))))
    assert data.clients_train is not None
    assert data.clients_train.tolist() == [*range(4)] * 3
    assert (data.clients_test, data.info.client_names) == (None, ("a", "b", "c", "d"))


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, root = tmp_path / "here", tmp_path / "root"
    here.mkdir()
    root.mkdir()
    monkeypatch.chdir(here)
    np.savez(root / "own.npz", **arrays(x_train=np.zeros((12, 5, 6), np.uint8)))
    assert datasets.load("npz", root, path="own.npz").x_train.max() == 0
    np.savez(here / "own.npz", **arrays(x_train=np.full((12, 5, 6), 7, np.uint8)))
    assert datasets.load("npz", root, path="own.npz").x_train.max() == 7
    with pytest.raises(DataError, match=r"other\.npz: there is no such file"):
        datasets.load("npz", root, path="other.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "it has no array y_test"),
        ({"x_train": np.zeros((12, 5, 6, 7), np.uint8)}, r"x_test are \(5, 6\)"),
        (
            {"x_train": np.zeros((12, 5)), "x_test": np.full((6, 5), np.inf)},
            "x_test has the value inf in row 0",
        ),
        ({"feature_names": np.array(["a"])}, "it has feature_names, and no features but pixels"),
        ({"clients_train": np.arange(12) % 3 + 1}, "the highest client of clients_train is 3, but client 0"),
        ({"x_train": np.zeros((0, 5, 6)), "y_train": np.zeros(0, int)}, "x_train is empty"),
        ({"x_train": np.full((12, 5, 6), 1.5)}, r"floats from 1.5 to 1.5"),
        ({"x_train": np.full((12, 5, 6), np.nan)}, "floats from nan to nan"),
        ({"x_test": np.full((6, 5, 6), -1)}, "values from -1 to -1"),
        ({"x_test": np.full((6, 5, 6), 256)}, "values from 256 to 256"),
        ({"x_test": np.zeros((6, 5, 6), bool)}, "array of bool, which is not accepted"),
        ({"y_train": np.arange(11) % 3}, r"y_train has shape \(11,\), expected \(12,\)"),
        ({"y_train": np.zeros((12, 3), int)}, r"y_train has shape \(12, 3\)"),
        ({"y_train": np.arange(12) % 3 - 1}, "y_train has the label -1"),
        ({"y_train": np.arange(12) % 3 * 2}, "the highest class of y_train is 4, but class 1 has no sample"),
        ({"y_train": np.zeros(12, int)}, "there is one class only in y_train"),
        ({"y_train": np.zeros(12)}, "y_train is an array of float64"),
        ({"y_test": np.arange(6)}, "y_test has the label 5"),
        ({"class_names": np.array(["a", "b"])}, "class_names must be 3 different strings"),
        ({"class_names": np.array(["a", "b", "b"])}, "class_names must be 3 different strings"),
        ({"class_names": np.array(["a", "b", None])}, "class_names is an array of object"),
        ({"x_train": np.array([print] * 12)}, "x_train is an array of object"),
        (
            {"groups_test": np.arange(5) % 2},
            r"groups_test has shape \(5,\), expected \(6,\): one group per sample",
        ),
        ({"groups_train": np.arange(12) - 1}, "groups_train has the group -1; groups are numbered from 0"),
        ({"groups_train": np.zeros(12)}, "groups_train is an array of float64"),
        (
            {"groups_test": np.zeros(6, int)},
            "there is one group only in groups_test; at least two are needed",
        ),
        (
            {"groups_train": np.arange(12) % 2, "groups_test": np.full(6, 3)},
            "the highest group of groups_train and groups_test is 3, but group 2 has no sample",
        ),
        ({"group_names": np.array(["a", "b"])}, "group_names, and neither groups_train nor groups_test"),
        (
            {"groups_test": np.arange(6) % 2, "group_names": np.array(["a", "a"])},
            "group_names must be 2 different strings, one per group",
        ),
        (
            {"groups_test": np.arange(6) % 2, "group_names": np.array([1, 2])},
            "group_names is an array of int",
        ),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, arrays(**changes))


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 1, 1), (5, 6, 7)])
def test_ambiguous_layout_has_a_hint(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="which axis of x_train") as caught:
        load(tmp_path, arrays(shape))
    assert 'layout = "NCHW"' in str(caught.value.hint)


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs the option 'path'"):
        datasets.load("npz", tmp_path)
    with pytest.raises(DataError, match="unknown option of data set 'npz' 'layuot'") as caught:
        load(tmp_path, arrays(), layuot="NCHW")
    assert caught.value.hint == "did you mean 'layout'?"
    with pytest.raises(DataError, match="unknown layout 'HWC'"):
        load(tmp_path, arrays(), layout="HWC")


def npy(shape: str, held: int) -> bytes:
    """An .npy file of uint8 whose header announces ``shape`` over ``held`` bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(held)


def pack(tmp_path: Path, x_train: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    np.savez(tmp_path / "own.npz", **arrays(x_train=None))
    with zipfile.ZipFile(tmp_path / "own.npz", "a") as archive:
        archive.writestr("x_train.npy", x_train, compression)
    return tmp_path / "own.npz"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("(1000000000000, 5, 6)", 360), "announces 30,000,000,000,000 bytes and holds 360"),
        (npy("(12, 5, 6)", 359), "announces 360 bytes and holds 359"),
        (npy("(12, 5, 6)", 361), "announces 360 bytes and holds 361"),
        (npy("__import__('os')", 1), "not a readable .npz file"),
        (b"nonsense", "not a readable .npz file"),
    ],
)
def test_lying_headers(tmp_path: Path, member: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        datasets.load("npz", path=str(pack(tmp_path, member)))


def test_zip_that_announces_more_than_it_can_hold(tmp_path: Path) -> None:
    """The directory and the header agree on 4 GB, which the few bytes of the file cannot unfold to."""
    good = npy("(4000000000, 1, 1)", 0)
    path = pack(tmp_path, good, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (4_000_000_000 + len(good)).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"announces 4,000,000,000 bytes, more than is allowed"):
        datasets.load("npz", path=str(path))


def test_damaged_zip(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, **arrays())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    for data in (b"", b"no zip", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"not a readable \.npz file"):
            datasets.load("npz", path=str(path))


def test_unusual_compression_is_refused(tmp_path: Path) -> None:
    member = io.BytesIO()
    np.save(member, np.zeros((12, 5, 6), np.uint8))
    path = pack(tmp_path, member.getvalue(), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="compressed in a way that NumPy does not write"):
        datasets.load("npz", path=str(path))
