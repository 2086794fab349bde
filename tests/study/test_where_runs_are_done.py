"""What ``--on`` means, and what does not fit it."""

from __future__ import annotations

import importlib.util

import pytest

from fedskew.errors import ConfigError
from fedskew.study.places import GPU_SHARE, find_place
from fedskew.study.pool import run_all
from fedskew.study.ray_cluster import RayCluster


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def test_without_it_runs_are_done_here() -> None:
    assert find_place(None) is run_all
    assert find_place(None, "cuda:1") is run_all


@pytest.mark.usefixtures("with_ray")
def test_a_cluster() -> None:
    assert find_place("ray") == RayCluster(None, 0.0)
    assert find_place("ray=10.0.0.5:6379", "cuda") == RayCluster("10.0.0.5:6379", GPU_SHARE)
    assert find_place("ray", "cuda", 0.5) == RayCluster(None, 0.5)


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize(
    ("on", "device", "share", "words"),
    [
        ("slurm", "cpu", None, "--on slurm: unknown place 'slurm'; valid: ray"),
        ("ray=", "cpu", None, "the value after `=` is empty"),
        ("ray=far", "cpu", None, "HOST:PORT"),
        ("ray=ray://far:10001", "cpu", None, "HOST:PORT"),
        ("ray", "cuda:1", None, "the cluster chooses the GPU"),
        ("ray", "cpu", 0.5, "--gpu-share is for runs on the GPUs of a cluster"),
        (None, "cuda", 0.5, "--gpu-share is for runs on the GPUs of a cluster"),
    ],
)
def test_what_does_not_fit(on: str | None, device: str, share: float | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_place(on, device, share)


def test_where_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="--on ray needs ray, not installed") as caught:
        find_place("ray")
    assert caught.value.hint == '`pip install "ray>=2.10"`'
