"""Files of arrays from others, damaged and crafted: each is an array or ends in one sentence that names the file."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedskew import datasets
from fedskew.arrays import MOST_HEADER, read_array, read_header
from fedskew.attacks.triggers import mask
from fedskew.errors import ConfigError, DataError, FedskewError, PartitionError
from fedskew.partition.file import from_file
from fedskew.protocols import SplitView
from helpers import toy_info

FEW = settings(max_examples=150, deadline=None, derandomize=True)
"""Some hundred files in all, the same ones each time."""


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def headed(header: bytes, held: int = 8, version: bytes = b"\x01\x00") -> bytes:
    length = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + length + header + bytes(held)


GOOD = npy(np.arange(8) % 2)
CRAFTED = [
    b"",
    b"hello",
    b"PK\x03\x04 no archive",
    b"\x93NUMPY\x01\x00",
    b"\x93NUMPY\x09\x00" + GOOD[8:],
    headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (8,"),  # TokenError
    headed(b"{'descr': '|u1' 'x"),  # SyntaxError
    headed(b"'''"),
    headed(b"\x00"),
    headed(b"\xff\xfe"),
    headed(b"   {"),  # IndentationError
    headed(b"(" * 5000),  # RecursionError or MemoryError
    headed(b"{}"),
    headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-8,), }"),
    headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (True, 8), }"),
    headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (10L,), }", version=b"\x02\x00"),
    headed(b"{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000,), }", 0),
    headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % 10**30),
    headed(b"{'descr': [('x', 4)], 'fortran_order': False, 'shape': (8,), }"),
    headed(b"{'descr': {'a': 1}, 'fortran_order': False, 'shape': (8,), }"),
    headed(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
    headed(b"{'descr': '\\d', 'fortran_order': False, 'shape': (1,), }"),
]


def read_as_clients(file: Path) -> None:
    view = SplitView(np.arange(8) % 2, np.arange(8), 8, toy_info(classes=2), num_test=4)
    from_file(path=file).divide(view, 2, np.random.default_rng(0))


def read_as_data(file: Path) -> None:
    datasets.load("npz", path=str(file))


def read_as_mask(file: Path) -> None:
    mask(toy_info((1, 4, 2)), path=file)


def packed(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "own.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def data_with(member: bytes) -> dict[str, bytes]:
    features = npy(np.ones((8, 2), dtype=np.float32))
    return {"x_train": features, "y_train": member, "x_test": features, "y_test": GOOD}


def refused(read: Callable[[], object], kind: type[Exception]) -> str:
    """The sentence in which something is refused; empty where it is read."""
    try:
        read()
    except kind as error:
        return error.message if isinstance(error, FedskewError) else str(error)
    return ""


def one_sentence(read: Callable[[Path], None], file: Path, kind: type[FedskewError]) -> None:
    """Checks that a file is read, or refused in one sentence that names it."""
    sentence = refused(lambda: read(file), kind)
    assert not sentence or str(file) in sentence
    assert "\n" not in sentence
    assert len(sentence) < len(str(file)) + 400


@pytest.mark.parametrize("content", CRAFTED, ids=range(len(CRAFTED)))
def test_a_crafted_file_is_refused_wherever_arrays_are_read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "own.npy"
    file.write_bytes(content)
    with pytest.raises(PartitionError, match=r"own\.npy: not a readable array: .+"):
        read_as_clients(file)
    with pytest.raises(ConfigError, match=r"cannot read .*own\.npy: .+"):
        read_as_mask(file)
    archive = packed(tmp_path, data_with(content))
    with pytest.raises(DataError, match=r"own\.npz: .+"):
        read_as_data(archive)
    archive = packed(tmp_path, {"clients_train": content})
    with pytest.raises(PartitionError, match=r"own\.npz: (not a readable array: |clients_train is longer)"):
        read_as_clients(archive)
    for read, path, kind in (
        (read_as_clients, file, PartitionError),
        (read_as_mask, file, ConfigError),
        (read_as_clients, archive, PartitionError),
    ):
        one_sentence(read, path, kind)


def test_good_files_are_read(tmp_path: Path) -> None:
    """Or the tests of damaged ones would say nothing."""
    (tmp_path / "own.npy").write_bytes(GOOD)
    read_as_clients(tmp_path / "own.npy")
    np.save(tmp_path / "mask.npy", np.ones((4, 2), dtype=np.uint8))
    read_as_mask(tmp_path / "mask.npy")
    read_as_data(packed(tmp_path, data_with(GOOD)))
    read_as_clients(packed(tmp_path, {"clients_train": GOOD}))
    fortran = npy(np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert read_array(io.BytesIO(fortran), len(fortran)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_archive_under_the_name_of_an_array_and_a_member_without_an_ending(tmp_path: Path) -> None:
    packed(tmp_path, {"clients_train": GOOD}).rename(tmp_path / "own.npy")
    with pytest.raises(PartitionError, match=r"own\.npy: not a readable array"):
        read_as_clients(tmp_path / "own.npy")
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("clients_train", GOOD)
    with pytest.raises(PartitionError, match=r"own\.npz: "):
        read_as_clients(tmp_path / "own.npz")


def test_a_header_that_says_it_is_long_is_not_read(tmp_path: Path) -> None:
    """1 GB of zeros takes 1 MB in an archive, and NumPy would read all of it before it looks."""

    class Endless(io.BytesIO):
        asked = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.asked += size or 0
            return super().read(size)

    stream = Endless(headed(b" " * 50_000, version=b"\x02\x00"))
    with pytest.raises(ValueError, match="EOF"):
        read_header(stream)
    assert stream.asked <= MOST_HEADER


CHANGES = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.sampled_from(b"(){}[]'\":,\\\n 09xL#OU<|-_\0\xff")),
    min_size=1,
    max_size=6,
)


def changed(content: bytes, changes: list[tuple[int, int]], most: int) -> bytes:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % most] = value
    return bytes(damaged)


@FEW
@given(changes=CHANGES, cut=st.integers(0, 200))
def test_a_damaged_header(tmp_path_factory: pytest.TempPathFactory, changes: Any, cut: int) -> None:
    content = changed(GOOD, changes, 128)[: len(GOOD) - max(0, cut - 150)]
    sentence = refused(lambda: read_array(io.BytesIO(content), len(content)), ValueError)
    assert "\n" not in sentence
    file = tmp_path_factory.getbasetemp() / "fuzz.npy"
    file.write_bytes(content)
    one_sentence(read_as_clients, file, PartitionError)
    one_sentence(read_as_mask, file, ConfigError)


@FEW
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_archive(tmp_path_factory: pytest.TempPathFactory, changes: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    for members, read, kind in (
        (data_with(GOOD), read_as_data, DataError),
        ({"clients_train": GOOD}, read_as_clients, PartitionError),
    ):
        file = packed(folder, members)
        content = file.read_bytes()
        file.write_bytes(changed(content, changes, len(content)))
        one_sentence(read, file, kind)


def test_what_is_announced_is_not_allocated() -> None:
    content = headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }")
    tracemalloc.start()
    with pytest.raises(ValueError, match="it announces 8,000,000,000 bytes and holds 8"):
        read_array(io.BytesIO(content), len(content))
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
