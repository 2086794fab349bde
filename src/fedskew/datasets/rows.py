"""The built-in data sets."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Row

ROWS = {
    "dataset": {
        "digits": Row("fedskew.datasets.digits:digits", "scikit-learn's 8x8 digits; embedded, no download"),
        "fashion-mnist": Row("fedskew.datasets.idx:fashion_mnist", "Fashion-MNIST, 28x28 grey, 10 classes"),
        "mnist": Row("fedskew.datasets.idx:mnist", "MNIST, 28x28 grey, 10 classes"),
        "cifar-10": Row("fedskew.datasets.cifar:cifar10", "CIFAR-10, 32x32 colour, 10 classes"),
        "npz": Row(
            "fedskew.datasets.npz:npz",
            "your own arrays in one .npz file: x_train, y_train, x_test, y_test; groups_test for metrics of groups",
            {"path": REQUIRED, "layout": None},
        ),
    }
}
