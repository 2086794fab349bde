"""The files of data sets and splits that fedskew reads."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from campaign_parts import mutations
from campaign_parts.damaged import Format
from fedskew.datasets.cifar import collected, from_archive, from_files
from fedskew.datasets.csv_file import csv
from fedskew.datasets.idx import read_idx
from fedskew.datasets.image_folder import image_folder
from fedskew.datasets.leaf import leaf
from fedskew.datasets.npz import npz
from fedskew.datasets.parquet_file import parquet
from fedskew.datasets.published import PUBLISHED, Content
from fedskew.partition.client_file import read_clients
from fedskew.protocols import DatasetInfo

CIFAR = replace(
    PUBLISHED["cifar-10"], contents=(Content("data_batch_1.bin", 3 * 3073, ""),), folder="batches"
)
INFO = DatasetInfo("toy", ("a", "b"), (1, 2, 2), (0.5,), (0.25,))


def data_formats() -> dict[str, Format]:
    """All of them by name."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 4, 4), dtype=np.uint8), np.arange(12) % 3
    pictures = {
        f"pictures/{name}/{number}.png": _picture(images[4 * place + number])
        for place, name in enumerate(("cat", "dog"))
        for number in range(4)
    }
    users = {name: {"x": [[0.5] * 4] * 3, "y": [0, 1, 1]} for name in ("ann", "bob")}
    text = {"users": list(users), "num_samples": [3, 3], "user_data": users}
    table = b"age,town,client,label\n" + b"".join(
        b"%d.5,t%d,c%d,%d\n" % (i, i % 3, i % 4, i % 2) for i in range(40)
    )
    idx = b"\0\0\x08\x03" + b"\0\0\0\x0c\0\0\0\x04\0\0\0\x04" + images.tobytes()
    batch = b"".join(bytes([label]) + rng.bytes(3072) for label in (0, 3, 9))
    found = {
        "npz": Format(
            "own.npz",
            [
                _npz(
                    x_train=images,
                    y_train=labels,
                    x_test=images[:6],
                    y_test=labels[:6],
                    class_names=list("abc"),
                ),
                _npz(
                    x_train=rng.normal(size=(12, 3)),
                    y_train=labels,
                    x_test=rng.normal(size=(6, 3)),
                    y_test=labels[:6],
                    clients_train=labels,
                    groups_train=labels,
                ),
            ],
            mutations.in_zip,
            lambda path: npz(path.parent, path=str(path)),
        ),
        "idx": Format("images", [idx], mutations.bytewise, lambda path: read_idx(path, 3)),
        "idx.gz": Format(
            "images.gz", [gzip.compress(idx)], mutations.in_gzip, lambda path: read_idx(path, 3)
        ),
        "cifar": Format(
            "batches/data_batch_1.bin",
            [batch],
            mutations.of_same_size,
            lambda path: collected(CIFAR, from_files(CIFAR, path.parents[1], [])),
        ),
        "cifar.tar.gz": Format(
            "cifar.tar.gz",
            [_tar_gz({"batches/data_batch_1.bin": batch, "batches/readme.html": b"hello"})],
            mutations.in_gzip,
            lambda path: collected(CIFAR, from_archive(CIFAR, path)),
        ),
        "csv": Format("own.csv", [table], mutations.bytewise, lambda path: csv(path.parent, path=str(path))),
        "image-folder": Format(
            "pictures/cat/0.png",
            [pictures["pictures/cat/0.png"], _picture(images[0], "JPEG"), _picture(images[0], "BMP")],
            mutations.bytewise,
            lambda path: image_folder(path.parents[2], path=str(path.parents[1]), test_fraction=0.5),
            pictures,
        ),
        "leaf": Format(
            "leaf/train/some.json",
            [json.dumps(text).encode()],
            mutations.of_json,
            lambda path: leaf(path.parents[2], path=str(path.parents[1]), values="numbers"),
            {"leaf/test/some.json": json.dumps(text).encode()},
        ),
        "clients.csv": Format(
            "clients.csv",
            [b"client\n" + b"a\nb\n" * 6, b"sample,client\n0,a\n7,b\n", b"client,a,b\nx,3,4\ny,0,2\n"],
            mutations.bytewise,
            lambda path: read_clients(path, 12, None, INFO),
        ),
        "clients.npy": Format(
            "clients.npy", [_npy(labels)], mutations.bytewise, lambda path: read_clients(path, 12, None, INFO)
        ),
    }
    if (whole := _parquet()) is not None:
        found["parquet"] = Format(
            "own.parquet", [whole], mutations.bytewise, lambda path: parquet(path.parent, path=str(path))
        )
    return found


def _npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _picture(image: Any, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind)
    return content.getvalue()


def _tar_gz(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def _parquet() -> bytes | None:
    """A table; None without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return None
    content = io.BytesIO()
    columns = {"age": [i + 0.5 for i in range(40)], "town": [f"t{i % 3}" for i in range(40)]}
    pyarrow.parquet.write_table(pyarrow.table({**columns, "label": [i % 2 for i in range(40)]}), content)
    return content.getvalue()
