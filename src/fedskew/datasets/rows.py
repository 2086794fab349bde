"""The built-in data sets."""

from __future__ import annotations

from typing import Any

from fedskew.components.row import REQUIRED, Facts, Row
from fedskew.datasets.folders import emnist_files, leaf_files, pictures, saved_files
from fedskew.datasets.locate import files_of
from fedskew.datasets.published import CIFAR_100

_PIXELS, _TABLES = Facts(values=("pixels",)), Facts(values=("numbers",), files=("path", "test"))
_TABLE: dict[str, Any] = {
    "path": REQUIRED,
    "labels": "label",
    "test": None,
    "test_fraction": 0.2,
    "groups": None,
    "clients": None,
    "features": [],
    "ignore": [],
    "categorical": [],
    "ordinal": [],
}

ROWS = {
    "dataset": {
        "digits": Row(
            "fedskew.datasets.digits:digits",
            "scikit-learn's 8x8 digits; embedded, no download",
            facts=_PIXELS,
        ),
        "fashion-mnist": Row(
            "fedskew.datasets.idx:fashion_mnist", "Fashion-MNIST, 28x28 grey, 10 classes", facts=_PIXELS
        ),
        "mnist": Row("fedskew.datasets.idx:mnist", "MNIST, 28x28 grey, 10 classes", facts=_PIXELS),
        "cifar-10": Row(
            "fedskew.datasets.cifar:cifar10", "CIFAR-10, 32x32 colour, 10 classes", facts=_PIXELS
        ),
        "npz": Row(
            "fedskew.datasets.npz:npz",
            "your own images, features or tokens, as arrays in one .npz file: x_train, y_train, x_test, y_test",
            {"path": REQUIRED, "layout": None, "values": None},
        ),
        "csv": Row(
            "fedskew.datasets.csv_file:csv",
            "your own table in a text file, one sample per row",
            {**_TABLE, "delimiter": ","},
            _TABLES,
        ),
        "parquet": Row(
            "fedskew.datasets.parquet_file:parquet", "your own table in a Parquet file", _TABLE, _TABLES
        ),
        "image-folder": Row(
            "fedskew.datasets.image_folder:image_folder",
            "your own image files, in one folder per class",
            {
                "path": REQUIRED,
                "size": None,
                "channels": None,
                "test_fraction": 0.2,
                "table": None,
                "groups": None,
                "clients": None,
            },
            Facts(values=("pixels",), files=("path", "table"), reads=pictures),
        ),
        "hf": Row(
            "fedskew.datasets.hugging_face:hf",
            "a data set that Hugging Face `datasets` has saved to disk",
            {
                "path": REQUIRED,
                "labels": "label",
                "image": None,
                "features": [],
                "train": "train",
                "test": "test",
                "test_fraction": 0.2,
                "groups": None,
                "clients": None,
                "size": None,
                "channels": None,
            },
            Facts(values=("pixels", "numbers"), reads=saved_files),  # its `test` is the name of a part
        ),
        "leaf": Row(
            "fedskew.datasets.leaf:leaf",
            "a data set in LEAF's JSON, such as FEMNIST, with its users as clients",
            {"path": REQUIRED, "values": "pixels", "size": [28, 28]},
            Facts(values=("pixels", "numbers"), reads=leaf_files),
        ),
        "emnist": Row(
            "fedskew.datasets.emnist:emnist",
            "EMNIST, 28x28 grey, letters and digits in 10 to 62 classes",
            {"split": REQUIRED},
            Facts(values=("pixels",), at_root=lambda root, options: emnist_files(root, options["split"])),
        ),
        "cifar-100": Row(
            "fedskew.datasets.cifar100:cifar100",
            "CIFAR-100, 32x32 colour, 100 classes, or 20 groups of them",
            {"labels": "fine"},
            Facts(values=("pixels",), at_root=lambda root, options: files_of(CIFAR_100, root)),
        ),
    }
}
