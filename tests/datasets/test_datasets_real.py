"""The published data sets as they are on this machine; skipped where $FEDSKEW_DATA does not have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedskew import datasets
from fedskew.datasets.locate import data_root
from fedskew.datasets.statistics import channel_statistics
from fedskew.protocols import Dataset

pytestmark = pytest.mark.real_data


@pytest.fixture
def root() -> Path:
    if not os.environ.get("FEDSKEW_DATA"):
        pytest.skip("$FEDSKEW_DATA is not set")
    return data_root()


def load(name: str, root: Path) -> Dataset:
    if not datasets.where(name, root).available:
        pytest.skip(f"{root} does not have {name}")
    return datasets.load(name, root, download=False)


def test_fashion_mnist(root: Path) -> None:
    data = load("fashion-mnist", root)
    assert data.x_train.shape == (60_000, 1, 28, 28)
    assert data.x_test.shape == (10_000, 1, 28, 28)
    assert data.y_train.bincount().tolist() == [6000] * 10
    assert data.y_test.bincount().tolist() == [1000] * 10
    assert data.y_train[:8].tolist() == [9, 0, 0, 3, 0, 2, 7, 2]
    assert data.y_test[:8].tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    assert data.info.class_names[data.y_train[0]] == "Ankle boot"
    assert data.x_train[0, 0, 3, 12:18].tolist() == [1, 0, 0, 13, 73, 0]
    assert all("official content" in line for line in data.info.provenance)
    mean, std = channel_statistics(data.x_train.numpy())
    assert data.info.mean == pytest.approx(mean, abs=1e-4)
    assert data.info.std == pytest.approx(std, abs=1e-4)


def test_mnist(root: Path) -> None:
    data = load("mnist", root)
    assert data.x_train.shape == (60_000, 1, 28, 28)
    assert data.y_train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert all("official content" in line for line in data.info.provenance)


def test_cifar10(root: Path) -> None:
    data = load("cifar-10", root)
    assert data.x_train.shape == (50_000, 3, 32, 32)
    assert data.x_test.shape == (10_000, 3, 32, 32)
    assert data.y_train.bincount().tolist() == [5000] * 10
    assert data.y_test.bincount().tolist() == [1000] * 10
    assert data.y_train[:5].tolist() == [6, 9, 9, 4, 1]
    assert data.info.class_names[data.y_train[0]] == "frog"
    assert data.x_train[0, :, 0, 0].tolist() == [59, 62, 63]
    assert all("unknown" not in line for line in data.info.provenance)
    mean, _ = channel_statistics(data.x_train.numpy())
    assert data.info.mean == pytest.approx(mean, abs=2e-4)
