"""The readers: what they give for good files, and the one clear error for each way to be bad."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_helpers import (
    TEST,
    TRAIN,
    encode_idx,
    listing,
    sha256,
    tar_gz,
    tiny_cifar,
    tiny_mnist,
    write_files,
)
from fedskew import datasets
from fedskew.datasets import cifar, idx
from fedskew.datasets.published import PUBLISHED, Entry
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A tiny complete MNIST below ``tmp_path``; gives the content of its files."""
    entry, files = tiny_mnist()
    monkeypatch.setitem(PUBLISHED, "mnist", entry)
    write_files(tmp_path / "mnist", files)
    return files


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> tuple[Entry, dict[str, bytes]]:
    """A tiny CIFAR-10 among the published data sets; no file is written."""
    entry, files = tiny_cifar()
    monkeypatch.setitem(PUBLISHED, "cifar-10", entry)
    return entry, files


def load(name: str, root: Path, **options: object) -> object:
    return datasets.load(name, root, download=False, **options)  # type: ignore[arg-type]


# --- IDX --------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    shape=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    compress=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_idx_round_trip(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], compress: bool, seed: int
) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    data = encode_idx(array)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(data, mtime=0) if compress else data)
    read, digest = idx.read_idx(path, len(shape))
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)
    assert digest == sha256(data)


@pytest.mark.parametrize("compress", [False, True])
def test_mnist_is_read_plain_and_compressed(mnist: dict[str, bytes], tmp_path: Path, compress: bool) -> None:
    root = tmp_path / "other"
    write_files(root / "mnist", mnist, compress=compress)
    data = datasets.load("mnist", root, download=False)
    assert data.x_train.shape == (TRAIN, 1, 4, 4)
    assert data.x_test.shape == (TEST, 1, 4, 4)
    assert (data.x_train.dtype, data.y_train.dtype) == (torch.uint8, torch.int64)
    assert data.x_train.numpy().tobytes() == mnist["train-images-idx3-ubyte"][16:]
    assert data.y_test.tolist() == list(mnist["t10k-labels-idx1-ubyte"][8:])
    assert data.info.num_classes == 10
    assert len(data.info.provenance) == 4
    assert all("official content (SHA-256" in line for line in data.info.provenance)
    assert str(tmp_path) not in "".join(data.info.provenance)  # a run folder must survive being copied


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
FOUR = np.zeros((TRAIN, 4, 4))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (IMAGES, encode_idx(FOUR, magic=b"\0\0\x0d\x03"), "wrong magic number 0x00000d03"),
        (IMAGES, encode_idx(np.zeros(480)), "wrong magic number 0x00000801"),
        (IMAGES, encode_idx(FOUR)[:-1], "truncated"),
        (IMAGES, encode_idx(FOUR)[:7], "truncated: the IDX header"),
        (IMAGES, b"", "truncated: the IDX header"),
        (IMAGES, encode_idx(FOUR) + b"\0", "longer than the 496 bytes"),
        (IMAGES, encode_idx(np.zeros((TRAIN, 5, 4))), "its images are 5 x 4 pixels, mnist has 4 x 4"),
        (IMAGES, encode_idx(np.zeros((TRAIN - 1, 4, 4))), "30 labels for the 29 images"),
        (IMAGES, b"\0\0\x08\x03" + b"\xff" * 12, "it should hold no more than"),
        (IMAGES, b"\0\0\x08\x03" + b"\0\0\x10\0" * 2 + b"\0\0\0\1", "which a file of its size cannot hold"),
        (LABELS, encode_idx(np.full(TRAIN, 10)), "label 10 of image 0 is out of range"),
        (LABELS, encode_idx(np.zeros(TRAIN + 1)), "31 labels for the 30 images"),
    ],
)
def test_bad_idx_structure(
    mnist: dict[str, bytes], tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / "mnist" / name).write_bytes(data)
    before = listing(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load("mnist", tmp_path, verify=False)
    assert name in caught.value.message
    assert listing(tmp_path) == before


def test_other_content_is_refused_unless_verification_is_off(mnist: dict[str, bytes], tmp_path: Path) -> None:
    other = bytearray(mnist[IMAGES])
    other[-1] ^= 1
    (tmp_path / "mnist" / IMAGES).write_bytes(other)
    with pytest.raises(DataError, match="corrupt, or other content") as caught:
        load("mnist", tmp_path)
    assert sha256(mnist[IMAGES]) in caught.value.message
    assert sha256(other) in caught.value.message
    assert "data.verify = false" in str(caught.value.hint)
    data = datasets.load("mnist", tmp_path, verify=False)
    assert data.info.provenance[0] == f"mnist/{IMAGES}: unknown content (SHA-256 {sha256(other)})"


def test_without_verification_any_number_of_images_is_taken(mnist: dict[str, bytes], tmp_path: Path) -> None:
    write_files(
        tmp_path / "mnist", {IMAGES: encode_idx(np.ones((99, 4, 4))), LABELS: encode_idx(np.ones(99))}
    )
    assert len(datasets.load("mnist", tmp_path, verify=False).x_train) == 99


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "truncated: the gzip stream ends too early"),
        (lambda data: data[:-6] + bytes(6), "corrupt gzip"),
        (lambda data: data[:12] + b"\xff" * 20 + data[32:], "corrupt gzip"),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_damaged_gzip(
    mnist: dict[str, bytes], tmp_path: Path, damage: object, message: str, verify: bool
) -> None:
    path = tmp_path / "mnist" / IMAGES
    path.write_bytes(damage(gzip.compress(mnist[IMAGES], mtime=0)))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load("mnist", tmp_path, verify=verify)


def test_gzip_bomb_is_not_unpacked(mnist: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "mnist" / IMAGES
    path.write_bytes(gzip.compress(mnist[IMAGES] + bytes(50 << 20)))
    with pytest.raises(DataError, match="longer than the 496 bytes"):
        load("mnist", tmp_path)
    report = datasets.verify("mnist", tmp_path)
    assert not report.available
    assert "longer than" in report.files[0].status


def test_missing_file_says_which_file_to_put_where(mnist: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "mnist" / LABELS).unlink()
    with pytest.raises(DataError, match=f"mnist/{LABELS} is missing") as caught:
        load("mnist", tmp_path)
    hint = str(caught.value.hint)
    assert f"https://ossci-datasets.s3.amazonaws.com/mnist/{LABELS}.gz" in hint
    assert str(tmp_path / "mnist" / f"{LABELS}.gz") in hint


def test_unreadable_file(mnist: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: it is a folder; expected a file"):
        idx.read_idx(tmp_path, 3)


# --- CIFAR-10 ---------------------------------------------------------------------------------------


def in_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"cifar-10-batches-bin/{name}": data for name, data in files.items()}


def put_archive(entry: Entry, root: Path, data: bytes) -> None:
    assert entry.archive is not None
    (root / entry.archive.name).write_bytes(data)


def test_cifar_from_folder_and_archive_are_the_same(
    cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path
) -> None:
    entry, files = cifar10
    write_files(tmp_path / "plain" / entry.folder, files)
    (tmp_path / "packed").mkdir()
    put_archive(entry, tmp_path / "packed", tar_gz(in_folder(files)))
    plain = datasets.load("cifar-10", tmp_path / "plain", download=False)
    packed = datasets.load("cifar-10", tmp_path / "packed", download=False)
    assert plain.x_train.shape == (25, 3, 2, 2)
    assert plain.x_test.shape == (5, 3, 2, 2)
    first = files["data_batch_1.bin"]
    assert plain.x_train[0].flatten().tolist() == list(first[1:13])
    assert plain.y_train[0] == first[0]
    assert plain.y_test[-1] == files["test_batch.bin"][-13]
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert torch.equal(getattr(plain, name), getattr(packed, name))
    assert len(plain.info.provenance) == 6
    assert len(packed.info.provenance) == 1
    assert "official content (SHA-256" in packed.info.provenance[0]
    assert listing(tmp_path / "packed") == ["cifar-10-binary.tar.gz"]


def test_cifar_archive_in_another_order_and_with_other_members(
    cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path
) -> None:
    entry, files = cifar10
    folder = tarfile.TarInfo("./cifar-10-batches-bin")
    folder.type = tarfile.DIRTYPE
    members = dict(reversed(in_folder(files).items()))
    write_files(tmp_path / entry.folder, {"data_batch_1.bin": b"not needed"})
    put_archive(
        entry, tmp_path, tar_gz({"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"} | members, folder)
    )
    with pytest.raises(DataError, match="corrupt, or another archive"):
        load("cifar-10", tmp_path)
    data = datasets.load("cifar-10", tmp_path, verify=False)
    assert data.x_train[0].flatten().tolist() == list(files["data_batch_1.bin"][1:13])
    assert "unknown content (SHA-256" in data.info.provenance[0]


def test_cifar_content_is_named_in_the_provenance(
    cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, files = cifar10
    other = bytes(65)
    changed = bytes(13) * 4 + bytes((1,)) * 13
    variant = replace(entry.contents[0], variants={sha256(other): "all black"})
    monkeypatch.setitem(PUBLISHED, "cifar-10", replace(entry, contents=(variant, *entry.contents[1:])))
    write_files(tmp_path / entry.folder, files | {"data_batch_1.bin": other, "data_batch_2.bin": changed})
    first, second, third, *_ = datasets.load("cifar-10", tmp_path).info.provenance
    assert first.endswith(f"known variant: all black (SHA-256 {sha256(other)})")
    assert second.endswith(f"unknown content (SHA-256 {sha256(changed)})")
    assert "official content" in third
    report = datasets.verify("cifar-10", tmp_path)
    assert report.available
    assert report.files[1].status.startswith("unknown content")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(64), "64 bytes, a batch has 65"),
        (bytes(66), "66 bytes, a batch has 65"),
        (bytes(13) + bytes((10,)) + bytes(51), "label 10 of record 1 is out of range"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_bad_cifar_batch(
    cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path, data: bytes, message: str, packed: bool
) -> None:
    entry, files = cifar10
    files = files | {"data_batch_3.bin": data}
    if packed:
        put_archive(entry, tmp_path, tar_gz(in_folder(files)))
    else:
        write_files(tmp_path / entry.folder, files)
    before = listing(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load("cifar-10", tmp_path, verify=False)
    assert "data_batch_3.bin" in caught.value.message
    assert listing(tmp_path) == before


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("members", "extra", "message"),
    [
        ({"../evil.bin": b"x"}, [], "leads out of the archive's folder"),
        ({"/etc/evil.bin": b"x"}, [], "leads out of the archive's folder"),
        ({"cifar-10-batches-bin/../../evil": b"x"}, [], "leads out of the archive's folder"),
        ({}, [link("cifar-10-batches-bin/data_batch_1.bin", "/etc/passwd")], "is a link or a device"),
        ({}, [link("cifar-10-batches-bin/x", "y", tarfile.LNKTYPE)], "is a link or a device"),
        ({}, [link("cifar-10-batches-bin/x", "", tarfile.FIFOTYPE)], "is a link or a device"),
        ({"./cifar-10-batches-bin/data_batch_1.bin": bytes(65)}, [], "it holds .*data_batch_1.bin twice"),
        ({"cifar-10-batches-bin/data_batch_1.bin": bytes(1 << 20)}, [], "1,048,576 bytes, a batch has 65"),
        ({"huge": bytes(40 << 20)}, [], "far more than the data set"),
    ],
)
def test_hostile_cifar_archive(
    cifar10: tuple[Entry, dict[str, bytes]],
    tmp_path: Path,
    members: dict[str, bytes],
    extra: list[tarfile.TarInfo],
    message: str,
) -> None:
    entry, files = cifar10
    root = tmp_path / "root"
    root.mkdir()
    put_archive(entry, root, tar_gz(in_folder(files) | members, *extra))
    with pytest.raises(DataError, match=message):
        load("cifar-10", root, verify=False)
    assert listing(tmp_path) == ["root/cifar-10-binary.tar.gz"]


def test_damaged_cifar_archive(cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path) -> None:
    entry, files = cifar10
    whole = tar_gz(in_folder(files))
    cases = {
        "truncated": whole[:-20],
        "not a readable tar": gzip.compress(b"x" * 600, mtime=0),
        "does not hold cifar-10-batches-bin/test_batch.bin": tar_gz(
            in_folder({k: v for k, v in files.items() if k != "test_batch.bin"})
        ),
        "truncated|not a readable tar": gzip.compress(gzip.decompress(whole)[:700]),
    }
    for message, data in cases.items():
        put_archive(entry, tmp_path, data)
        with pytest.raises(DataError, match=message):
            load("cifar-10", tmp_path, verify=False)


def test_announced_member_size_is_bounded(cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path) -> None:
    """A header that announces a terabyte costs nothing."""
    entry, _ = cifar10
    member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    member.size = 1 << 40
    put_archive(entry, tmp_path, gzip.compress(member.tobuf() + bytes(2048)))
    with pytest.raises(DataError, match="1,099,511,627,776 bytes, a batch has 65"):
        load("cifar-10", tmp_path, verify=False)


def test_incomplete_cifar(cifar10: tuple[Entry, dict[str, bytes]], tmp_path: Path) -> None:
    entry, files = cifar10
    write_files(tmp_path / entry.folder, files)
    (tmp_path / entry.folder / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_4\.bin is missing") as caught:
        load("cifar-10", tmp_path)
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in str(caught.value.hint)


def test_slack_holds_what_the_official_archive_holds_besides() -> None:
    assert cifar.ARCHIVE_SLACK > 1 << 20


# --- digits and statistics --------------------------------------------------------------------------


def test_digits() -> None:
    data = datasets.load("digits")
    assert data.x_train.shape == (1437, 1, 8, 8)
    assert data.x_test.shape == (360, 1, 8, 8)
    assert sorted(set(data.x_train.flatten().tolist())) == [round(level * 255 / 16) for level in range(17)]
    assert data.y_train.bincount().tolist() == [136, 154, 151, 135, 143, 143, 151, 153, 138, 133]
    assert data.y_test[:3].tolist() == [0, 5, 0]  # the bundled file goes 0, 1, 2, ... 9, 0, ...
    pixels = data.x_train.double() / 255
    assert data.info.mean == pytest.approx([pixels.mean().item()])
    assert data.info.std == pytest.approx([pixels.std(correction=0).item()])
    assert "official content" in data.info.provenance[0]


def test_digits_are_the_same_by_scikit_learns_own_function(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = datasets.load("digits")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    slow = datasets.load("digits")
    assert torch.equal(quick.x_train, slow.x_train)
    assert torch.equal(quick.y_test, slow.y_test)


def test_changed_digits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedskew.datasets import digits

    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(DataError, match="the digits of the installed scikit-learn"):
        datasets.load("digits")
    assert "unknown content" in datasets.load("digits", verify=False).info.provenance[0]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), channels=st.integers(1, 4), seed=st.integers(0, 1000))
def test_channel_statistics_are_numpys(n: int, channels: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, channels, 3, 2)).astype(np.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((images / 255).mean((0, 2, 3)))
    assert std == pytest.approx((images / 255).std((0, 2, 3)))


def test_constant_channel_has_std_one() -> None:
    mean, std = channel_statistics(np.full((2, 1, 3, 3), 51, np.uint8))
    assert mean == pytest.approx((0.2,))
    assert std == (1.0,)
