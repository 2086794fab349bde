"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Before anything imports PyTorch: the tests' own loops are small, and threads that spin for each other beside the test
# workers on the other cores make them ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session", autouse=True)
def unpacked_archives_are_removed() -> Iterator[None]:
    """Test workers end without what a process does at its end, which else removes them."""
    yield
    from fedskew.study.archive import _unpacked

    for folder in _unpacked.values():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The root of the real data sets; a test that needs them is skipped where they are absent."""
    root = os.environ.get("FEDSKEW_DATA")
    if not root or not (Path(root) / "fashion-mnist").is_dir():
        pytest.skip("no real data: $FEDSKEW_DATA does not hold fashion-mnist")
    return Path(root)
