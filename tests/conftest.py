"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports PyTorch: the tests' own loops are small, and threads that spin for each other beside the test
# workers on the other cores make them ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The root of the real data sets; a test that needs them is skipped where they are absent."""
    root = os.environ.get("FEDSKEW_DATA")
    if not root or not (Path(root) / "fashion-mnist").is_dir():
        pytest.skip("no real data: $FEDSKEW_DATA does not hold fashion-mnist")
    return Path(root)
