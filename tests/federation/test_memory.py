"""What a round holds of the updates: the matrix [S, P] of a cohort, and never more than one more of its size.

Everything is measured in one fresh process, as the high-water mark of its resident memory over what was resident
before, in units of the matrix: 81 MB here, and 2 GB (1,000 clients x 500,000 parameters) where slow tests are run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SHAPES = [(200, 101_260), pytest.param((1000, 499_960), marks=pytest.mark.slow)]
"""Clients and parameters; P - 10 is a multiple of 75, for the model that the whole rounds are of."""

SLACK = 0.12
"""Of the matrix: rows in float64, chunks, and what the allocator keeps."""

SCRIPT = r"""
import dataclasses, json, sys
from pathlib import Path
import numpy as np, torch
from fedskew.aggregation.learning_rate import rlr
from fedskew.aggregation.mean import fedavg, mean
from fedskew.aggregation.median import median
from fedskew.aggregation.matrix import finite_rows, row_norms
from fedskew.aggregation.transforms import clip, noise
from fedskew.config import Experiment
from fedskew.evaluation.updates import update_metrics
from fedskew.config import Execution
from fedskew.protocols import Attack, ClientUpdates
from fedskew.simulation import rounds
from fedskew.training.engine import CohortResult, LocalReport
from fedskew.federation.state import initial_state
from fedskew.federation.world import build_world
from fedskew.components.completed import completed

S, P = map(int, sys.argv[1:])
torch.set_num_threads(1)


def resident(mark):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(mark)).split()[1])


def peak(work):
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark becomes what is resident now
    before = resident("VmRSS")
    work()
    return (resident("VmHWM") - before) / (4 * S * P)


def matrix():
    return torch.randn(S, P, generator=torch.Generator().manual_seed(0)).mul_(1e-3)


def rng():
    return np.random.default_rng(0)


found = {"control": peak(lambda: matrix().mul_(1.0) + matrix())}  # three matrices, of which two or three at a time
updates = ClientUpdates(matrix(), torch.arange(1, S + 1), torch.arange(S))
rules = {
    "fedavg": lambda: fedavg(updates, None),
    "mean": lambda: mean(updates, None),
    "median": lambda: median(updates, None),
    "rlr": lambda: rlr(updates, 1.0, theta=S / 4),
    "clip": lambda: clip(updates, None, rng(), norm=0.1),
    "noise": lambda: noise(updates, None, rng(), std=0.1),
    "finite_rows": lambda: finite_rows(updates.deltas),
    "row_norms": lambda: row_norms(updates.deltas),
    "update_metrics": lambda: update_metrics(updates, range(0, S, 10)),
}
for rule in rules.values():  # once, so that what is allocated at first use is not counted
    rule()
found |= {name: peak(rule) for name, rule in rules.items()}
del updates


def broken(info):
    # One adversary in ten; in every round two of them send what is not finite.
    def craft(deltas, view, rng):
        deltas[:2, -1] = float("nan")
        return deltas
    return Attack(craft=craft)


def omniscient(info):
    def craft(deltas, view, rng):
        return deltas.copy_(view.others[: len(deltas)])
    return Attack(craft=craft, threat_model="all-updates")


class Engine:
    # Made-up updates instead of local training; predictions are those of the real engine.
    def __init__(self, engine):
        self.predict, self.name, self.workers = engine.predict, engine.name, 1

    def train(self, weights, buffers, work, states):
        reports = [LocalReport(1.0, 0.5, {}, {}, 1) for _ in work]
        return CohortResult(matrix()[: len(work)], buffers.new_empty(len(work), len(buffers)), reports)


def whole_round(**changes):
    plain = {
        "rounds": 2,
        "data": {"name": "digits"},
        "clients": {"count": S},
        "model": {"name": "mlp", "hidden": [(P - 10) // 75]},
        "stopping": "rounds",
    }
    world = build_world(completed(Experiment.model_validate(plain | changes)), Execution(engine="torch"))
    assert world.layout.total == P
    world = dataclasses.replace(world, engine=Engine(world.engine))
    loop = rounds(world, initial_state(world), [])
    next(loop)
    return peak(lambda: next(loop)) - 1  # the matrix itself is made within


adversaries = {"count": S // 10}
found["round: fedavg"] = whole_round()
found["round: clip, noise, clip, median, rlr"] = whole_round(
    defence={
        "transforms": [{"name": "clip", "norm": 1.0}, {"name": "noise", "std": 1e-3}, {"name": "clip", "norm": 1.0}],
        "aggregator": "median",
        "learning_rate": {"name": "rlr", "theta": 5},
    }
)
found["round: rejected clients"] = whole_round(adversaries=adversaries, attack={"name": broken})
found["round: an attack that sees all"] = whole_round(adversaries=adversaries, attack={"name": omniscient})
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def peaks(request: pytest.FixtureRequest) -> dict[str, float]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no resettable high-water mark on this system")
    clients, parameters = request.param
    available = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    if available and 4 * (4 * clients * parameters) > 1024 * int(available[1]):
        pytest.skip("not enough memory for the three copies that the control makes")
    command = [sys.executable, "-c", SCRIPT, str(clients), str(parameters)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    print(found)
    return found


def test_the_measurement_sees_copies(peaks: dict[str, float]) -> None:
    assert peaks["control"] >= 2


@pytest.mark.parametrize(
    "rule", ["fedavg", "mean", "median", "rlr", "finite_rows", "row_norms", "update_metrics"]
)
def test_rules_and_metrics_work_on_the_matrix_without_a_copy(peaks: dict[str, float], rule: str) -> None:
    assert peaks[rule] < SLACK


@pytest.mark.parametrize("transform", ["clip", "noise"])
def test_a_transform_makes_its_result_and_no_more(peaks: dict[str, float], transform: str) -> None:
    assert 0.9 < peaks[transform] < 1 + SLACK


@pytest.mark.parametrize(
    ("what", "copies"),
    [
        ("fedavg", 0),
        ("rejected clients", 0.1),  # the adversaries' own rows, which craft() gets
        ("clip, noise, clip, median, rlr", 1),
        ("an attack that sees all", 1),
    ],
)
def test_a_whole_round_holds_at_most_one_more_matrix(
    peaks: dict[str, float], what: str, copies: float
) -> None:
    assert peaks[f"round: {what}"] < copies + SLACK
