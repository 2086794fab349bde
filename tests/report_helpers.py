"""Studies whose runs were never trained: folders with made-up records, for tests of what is read from them."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.files import replace_file, to_json
from fedskew.report.evidence import gather
from fedskew.report.page.content import build_content
from fedskew.report.page.render import render_page
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import PlannedRun, Study, planned_runs

CLASSES = ("cat", "dog", "<b>owl</b>")
SETTINGS: dict[str, Any] = {
    "no attack": {"adversaries.count": 0},
    "backdoor": {},
    "backdoor + RLR": {"defence.learning_rate": {"name": "rlr", "theta": 4}},
}
PAPER_AXES: dict[str, Any] = {
    "alpha": {"field": "split.alpha", "values": [1.0, 0.5, 0.25]},
    "setting": {"variants": SETTINGS},
}
BASE: dict[str, Any] = {
    "rounds": 9,
    "split": {"name": "dirichlet", "alpha": 1.0},
    "adversaries": {"count": 1},
    "attack": {"name": "backdoor", "target": 2},
    "stopping": "rounds",
}


def make_study(path: Path, **changes: Any) -> StudyFolder:
    """A study in a folder, nothing run yet; the paper's axes and two seeds unless given."""
    content: dict[str, Any] = {"name": "made-up", "seeds": [0, 1], "base": BASE, "axes": PAPER_AXES}
    study = Study.model_validate(content | changes)
    path.mkdir(parents=True)
    replace_file(path / "study.toml", write_toml(study.model_dump(mode="json", exclude_none=True)))
    return StudyFolder(path, study, planned_runs(study))


def complete(
    folder: StudyFolder,
    wanted: Callable[[PlannedRun], bool] = lambda plan: True,
    rounds: Callable[[PlannedRun], int] = lambda plan: 7 + plan.seed,
    classes: Sequence[str] = CLASSES,
    clients: int = 10,
    **changes: Any,
) -> None:
    """Writes the records of the wanted runs, as if they had been done.

    Args:
        classes: their names.
        changes: entries of ``environment.json`` to put instead of the usual.
    """
    for plan in folder.planned:
        if wanted(plan):
            write_run(folder, plan, rounds(plan), classes=classes, clients=clients, **changes)


def write_run(
    folder: StudyFolder,
    plan: PlannedRun,
    rounds: int,
    done: bool = True,
    classes: Sequence[str] = CLASSES,
    clients: int = 10,
    **changes: Any,
) -> None:
    """The folder of one run."""
    path = folder.run_folder(plan).path
    path.mkdir(parents=True, exist_ok=True)
    records = [record(plan, number, len(classes)) for number in range(1, rounds + 1)]
    replace_file(path / "config.toml", write_toml(to_plain(plan.experiment)))
    replace_file(path / "rounds.jsonl", "".join(to_json(one) + "\n" for one in records))
    times = [{"round": one["round"], "training": 0.5, "total": 0.75} for one in records]
    replace_file(path / "timings.jsonl", "".join(to_json(one) + "\n" for one in times))
    session = {
        "started": "2026-01-02T03:04:05+00:00",
        "fedskew": "0.1.0",
        "commit": "0123456789ab",
        "python": "3.11.7",
        "torch": "2.13.0",
        "numpy": "2.4.6",
        "platform": "Linux",
        "processor": "a processor",
        "cores": 2,
        "engine": "native",
        "engine_reason": "because",
        "device": "cpu",
        "workers": 1,
        "from_round": 0,
        "data": ["cats: official content (SHA-256 00)"],
        "inputs": {},
    }
    replace_file(path / "environment.json", to_json({"sittings": [session | changes]}))
    counts = np.random.default_rng(plan.seed).integers(0, 60, (clients, len(classes)))
    malicious = [3] if plan.experiment.adversaries.count else []
    summary = {
        "class_names": list(classes),
        "clients": clients,
        "malicious": malicious,
        "held_out": 0,
        "label_counts": counts.tolist(),
    }
    replace_file(path / "clients.json", to_json(summary))
    if done:
        result = {
            "rounds": rounds,
            "stopped": "all rounds are done",
            "engine": "native (because)",
            "skew": {
                "total_variation": 0.3 / math.sqrt(_alpha(plan)) + 0.01 * plan.seed,
                "jensen_shannon": 0.3,
                "effective_classes": 2.0,
                "size_gini": 0.1,
                "smallest": 5,
                "largest": 50,
                "empty": 0,
            },
            "last": records[-1],
        }
        replace_file(path / "result.json", to_json(result))


def _alpha(plan: PlannedRun) -> float:
    return float(plan.experiment.split.options.get("alpha", 1.0))


def record(plan: PlannedRun, number: int, many: int = 3) -> dict[str, Any]:
    """A round's record: accuracy rises with the rounds and with alpha; the attack works without a defence."""
    attacked = plan.experiment.adversaries.count > 0
    defended = plan.experiment.defence.learning_rate.name == "rlr"
    noise = float(np.random.default_rng([plan.seed, number, len(plan.title)]).normal(0, 0.004))
    accuracy = 0.9 - 0.4 / number + 0.05 * math.log2(_alpha(plan)) + noise
    classes = [accuracy + 0.05, accuracy, accuracy - 0.05 - (0.1 if defended else 0)]
    if many > 3:
        spread = np.random.default_rng(7).permutation(many) / many
        classes = [min(1.0, max(0.0, accuracy + 0.5 * (one - 0.7))) for one in spread.tolist()]
    trojan = 0.7 + noise if attacked and not defended else 0.05 + noise / 2
    metrics = {
        "accuracy": accuracy,
        "bias": max(classes) - min(classes),
        "backdoor_accuracy": trojan,
        "attack_success_rate": max(trojan - 0.05, 0.0),
        "target_share": 0.01,
        "test_loss": 1 / number,
        "train_loss": 1.1 / number,
        "update_norm_honest": 2 / number,
        "cosine_honest_honest": 0.5 / number,
    }
    if attacked:
        metrics |= {"update_norm_malicious": 3 / number, "cosine_honest_malicious": 0.1}
    else:
        metrics["clean_trigger_rate"] = metrics["attack_success_rate"]
    return {
        "round": number,
        "metrics": metrics,
        "per_class_accuracy": classes,
        "cohort": list(range(10)),
        "rejected": [],
        "empty": [],
        "trace": {"negative_rate_share": 0.2 / number} if defended else {},
    }


EVIL = '<script>alert("x")</script>'
"""What a label must not be able to do."""


def _paper(path: Path) -> StudyFolder:
    """The paper's study, 45 runs, complete; one alpha stops later than the others."""
    folder = make_study(path, reference="fashion-mnist", seeds=[0, 1, 2, 3, 4])
    complete(folder, rounds=lambda plan: 90 if plan.cell["alpha"] == 0.5 else 60 + plan.seed)
    return folder


def _any_axes(path: Path) -> StudyFolder:
    """Three axes, none of them alpha; names, labels and records that try to be markup or mathematics."""
    axes = {
        "clients": {"field": "clients.count", "values": [5, 10]},
        EVIL: {"variants": {EVIL: {}, "b & $x_1$ \\ 50 %": {"adversaries.count": 0}}},
        "epochs": {"field": "training.epochs", "values": [1, 2]},
    }
    folder = make_study(path, axes=axes, description=EVIL)
    complete(folder, engine_reason=EVIL, data=[EVIL])
    return folder


FACTORIAL: dict[str, Any] = {
    "alpha": {"field": "split.alpha", "values": [1.0, 0.25]},
    "setting": {"variants": SETTINGS},
    "epochs": {"field": "training.epochs", "values": [1, 2, 3, 4]},
}


def _factorial(path: Path) -> StudyFolder:
    """Three axes with 11 series, too many for one picture; one of the first setting is left out."""
    folder = make_study(path, axes=FACTORIAL, seeds=[0], exclude=[{"setting": "no attack", "epochs": 2}])
    complete(folder)
    return folder


def _unfinished(path: Path) -> StudyFolder:
    """One seed of two alphas; a run that is under way and one that failed."""
    folder = make_study(path)
    complete(folder, lambda plan: plan.seed == 0 and plan.cell["alpha"] != 0.25)
    write_run(folder, folder.planned[-1], 3, done=False)
    write_run(folder, folder.planned[-2], 2, done=False)
    reason = to_json({"reason": "it <b>broke</b>"})
    replace_file(folder.run_folder(folder.planned[-2]).path / "failure.json", reason)
    return folder


def _no_axes(path: Path) -> StudyFolder:
    folder = make_study(path, axes={})
    complete(folder)
    return folder


def _nothing(path: Path) -> StudyFolder:
    return make_study(path, axes={"setting": {"variants": SETTINGS}})


KRUM: dict[str, Any] = {"defence.aggregator": {"name": "krum", "f": 1}}
PAYING: dict[str, Any] = {
    "no attack": {"adversaries.count": 0},
    "no attack, Krum": {"adversaries.count": 0} | KRUM,
    "backdoor": {},
    "backdoor, Krum": KRUM,
    "backdoor, median": {"defence.aggregator": "median"},
}
HELD = [[20, 20, 20]] * 4 + [[60, 0, 0], [0, 60, 0], [0, 0, 60]] + [[40, 10, 10], [10, 40, 10], [10, 10, 40]]
"""Four clients like all others, three of one class (total variation 2/3), three between them (1/3)."""


def rejected_by_krum(client: int, number: int, seed: int) -> bool:
    """Of eight rounds: nobody like all others, half of those between; of one class all, but one with even seeds."""
    if client < 4:
        return False
    return number % 2 == 0 if client >= 7 else number > 1 or seed % 2 == 1


def paying(path: Path, **changes: Any) -> StudyFolder:
    """A rule that gives weights, one that gives none and none at all; made so that its numbers can be worked out."""
    axes = {"alpha": {"field": "split.alpha", "values": [1.0, 0.25]}, "setting": {"variants": PAYING}}
    folder = make_study(path, **{"axes": axes, "seeds": [0, 1, 2, 3]} | changes)
    for plan in folder.planned:
        write_run(folder, plan, 8)
        run = folder.run_folder(plan).path
        krum = plan.experiment.defence.aggregator.name == "krum"
        malicious = [3] if plan.experiment.adversaries.count else []
        records = [record(plan, number) for number in range(1, 9)]
        for one in records:
            cost = (0.1 + 0.001 * plan.seed) * krum
            one["metrics"] |= {"accuracy": 0.9 - cost, "worst_class_accuracy": 0.8 - 3 * cost}
            one["metrics"] |= {
                "client_accuracy_worst": 0.7 - 2 * cost,
                "client_accuracy_worst_tenth": 0.7 - 2 * cost,
            }
            if krum:
                out = {k for k in range(10) if k in malicious or rejected_by_krum(k, one["round"], plan.seed)}
                one["client_weights"] = {str(k): 0.0 if k in out else 1 / (10 - len(out)) for k in range(10)}
        replace_file(run / "rounds.jsonl", "".join(to_json(one) + "\n" for one in records))
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        replace_file(run / "result.json", to_json(result | {"last": records[-1]}))
        summary = json.loads((run / "clients.json").read_text(encoding="utf-8"))
        replace_file(run / "clients.json", to_json(summary | {"label_counts": HELD, "malicious": malicious}))
    return folder


STUDIES = {
    "paper": _paper,
    "any-axes": _any_axes,
    "factorial": _factorial,
    "unfinished": _unfinished,
    "no-axes": _no_axes,
    "nothing": _nothing,
    "paying": paying,
}


def page_of(name: str, root: Path) -> Path:
    """The page of one of these studies, made once for all test processes that share ``root``."""
    page = root / name / "report" / "index.html"
    with FileLock(root / f"{name}.lock"):
        if not page.exists():
            shutil.rmtree(root / name, ignore_errors=True)
            content = build_content(gather(STUDIES[name](root / name)))
            page.parent.mkdir()
            replace_file(page, render_page(content))
    return page


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of a test run (docs of pytest-xdist)."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reports"
    folder.mkdir(exist_ok=True)
    return folder
