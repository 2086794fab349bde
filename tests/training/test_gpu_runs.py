"""Whole runs on a GPU beside the same on the CPU: every component that a round calls. Skipped without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fedskew.config import Execution, Experiment
from fedskew.runs.folder import RunFolder
from helpers import execute
from test_same_bits import ALIKE, EXPERIMENTS

SPLITS_HAIRS = 0.03
"""Shares of test images by which accuracies may differ: sums run in another order, and after two rounds a few images
lie on the other side of a boundary."""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_on_a_gpu_measures_what_the_cpu_measures(name: str, tmp_path: Path) -> None:
    experiment = Experiment.model_validate({**ALIKE, "rounds": 2, "data": "digits", **EXPERIMENTS[name]})
    found = []
    for place, device in (("cpu", "cpu"), ("gpu", "cuda"), ("again", "cuda")):
        execute(tmp_path / place, experiment, Execution(device=device))
        found.append(
            [json.loads(line) for line in RunFolder(tmp_path / place).rounds.read_text().splitlines()]
        )
    cpu, gpu, again = found
    assert gpu == again
    for mine, theirs in zip(gpu, cpu, strict=True):
        assert mine["cohort"] == theirs["cohort"]
        assert mine["metrics"].keys() == theirs["metrics"].keys()
        for metric in ("accuracy", "backdoor_accuracy", "attack_success_rate"):
            measured, expected = mine["metrics"].get(metric), theirs["metrics"].get(metric)
            assert measured == pytest.approx(expected, abs=SPLITS_HAIRS), metric
