"""The same bytes on every processor: a process that is made to take another one for its own writes the same files.

The libraries choose code by what a processor can do: PyTorch (``ATEN_CPU_CAPABILITY``), NumPy
(``NPY_DISABLE_CPU_FEATURES``) and the library of PyTorch's matrix products (``MKL_CBWR``); the native kernels are built
for it (``FEDSKEW_NATIVE_TARGET``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew.components.binding import components_of, resolve
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Execution, Experiment
from fedskew.models.build import fresh
from fedskew.training.arithmetic import flatten
from fedskew.training.native import compiler
from helpers import execute, toy_info

MANY = {"count": 10, "held_out": 0.2}
BACKDOOR = {"name": "backdoor", "target": 7, "projection": 0.5, "report": 1.5}
DBA = {"name": "dba", "target": 7, "parts": 2, "trigger": {"name": "blended", "alpha": 0.3}}
CONSTRAINED = {"name": "constrain-and-scale", "alpha": 0.7, "factor": 1.5, "of": DBA}
WITHIN = {
    "name": "pgd",
    "threat_model": "knows-the-defence",
    "of": {"name": "neurotoxin", "share": 0.1, "of": CONSTRAINED},
}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "fedavg, Adam, IID": {"data": {"name": "digits", "validation": 0.1}},
    "RLR, AMSGrad, Dirichlet, backdoor in a ball": {
        "split": {"name": "dirichlet", "alpha": 0.5},
        "attack": BACKDOOR,
        "defence": {"learning_rate": {"name": "rlr", "theta": 6}},
        "training": {
            "optimizer": {"name": "adam", "amsgrad": True, "weight_decay": 0.01, "state": "persist"}
        },
        "evaluation": {"observers": ["update-norms"]},
    },
    "Krum": {"defence": {"aggregator": {"name": "krum", "f": 2}}},
    "mean, AdamW, FedProx, shards, free-riders": {
        "split": {"name": "shards", "classes_per_client": 3},
        "attack": {"name": "free-rider", "noise": 1.0},
        "defence": {"aggregator": "mean"},
        "training": {
            "optimizer": {"name": "adam", "decoupled_weight_decay": True, "weight_decay": 0.1},
            "objective": {"name": "fedprox", "mu": 0.1},
        },
    },
    "median, momentum, clip, noise, sizes, sign flip, stale": {
        "split": {"name": "quantity", "alpha": 1.0, "min_size": 8},
        "attack": {"name": "sign-flip", "scale": 2.0},
        "defence": {
            "transforms": [{"name": "clip", "norm": 0.3}, {"name": "noise", "std": 1e-3}],
            "aggregator": "median",
        },
        "clients": {**MANY, "start": {"name": "stale", "delay": 1}},
        "server": {"step": {"name": "momentum", "beta": 0.9}},
        "training": {
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
        },
    },
    "Multi-Krum, FedAdam, Opt-IPM, power of choice": {
        "attack": {"name": "opt-ipm", "evaluations": 4},
        "clients": {"count": 16, "fraction": 0.5, "selection": {"name": "power-of-choice", "candidates": 12}},
        "defence": {"aggregator": {"name": "multi-krum", "f": 2, "m": 4}},
        "server": {"step": "adam"},
        "training": {
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.5, "dampening": 0.5, "state": "persist"}
        },
    },
    "FLTrust, FedYogi, small CNN, exponential rate": {
        "model": "small-cnn",
        "attack": {"name": "sign-flip"},
        "defence": {"aggregator": "fltrust"},
        "server": {"step": "yogi"},
        "training": {"lr_schedule": {"name": "exponential", "gamma": 0.9}},
    },
    "buckets, DnC, SGD, rate by plateau": {
        "attack": {**BACKDOOR, "trigger": "square"},
        "data": {"name": "digits", "validation": 0.1},
        "defence": {"transforms": ["bucketing"], "aggregator": {"name": "dnc", "f": 1}},
        "stopping": "plateau",
        "training": {"optimizer": {"name": "sgd", "lr": 0.1}, "lr_schedule": "plateau"},
    },
    "FedSAM": {"training": {"objective": "fedsam"}, "split": {"name": "dirichlet", "alpha": 0.3}},
    "FedLC": {"training": {"objective": "fedlc"}, "split": {"name": "dirichlet", "alpha": 0.1}},
    "FedRS": {"training": {"objective": "fedrs"}, "split": {"name": "dirichlet", "alpha": 0.1}},
    "logit adjustment": {
        "model": "small-cnn",
        "training": {"objective": "logit-adjustment", "optimizer": {"name": "sgd", "lr": 0.1}},
        "split": {"name": "shards", "classes_per_client": 3},
    },
    "SCAFFOLD, scaled uploads": {
        "attack": {"name": "upload-scaling", "of": BACKDOOR | {"projection": None}, "factor": -2.0},
        "clients": {"count": 10, "fraction": 0.5},
        "training": {"objective": "scaffold", "optimizer": {"name": "sgd", "lr": 0.1}},
    },
    "FedDyn": {
        "clients": {"count": 10, "fraction": 0.5},
        "defence": {"aggregator": "mean"},
        "server": {"step": "feddyn"},
        "training": {"objective": {"name": "feddyn", "alpha": 0.1}},
    },
    "FedCurv": {
        "clients": {"count": 10, "fraction": 0.7},
        "training": {"objective": {"name": "fedcurv", "strength": 0.01}, "batch_size": 16},
    },
    "FoolsGold": {"attack": BACKDOOR, "defence": {"aggregator": "foolsgold"}},
    "FLAME": {"attack": BACKDOOR, "defence": {"aggregator": "flame"}},
    "Ditto": {"attack": BACKDOOR, "clients": {**MANY, "personal": {"name": "ditto", "strength": 0.5}}},
    "fine-tuning": {"attack": BACKDOOR, "clients": {**MANY, "personal": "fine-tuning"}},
    "AlignIns": {"attack": BACKDOOR, "defence": {"aggregator": "align-ins"}},
    "multi-metrics": {"attack": BACKDOOR, "defence": {"aggregator": "multi-metrics"}},
    "data sharing": {
        "split": {"name": "data-sharing", "of": {"name": "dirichlet", "alpha": 0.3}},
        "attack": {"name": "sign-flip"},
    },
    "DP-FedAvg": {
        "clients": {"count": 10, "fraction": 0.5},
        "defence": {"aggregator": {"name": "dp-fedavg", "clip": 0.5, "noise_multiplier": 0.1}},
    },
}
ATTACKS: tuple[dict[str, Any], ...] = (
    {"name": "label-flip", "map": "random"},
    {"name": "gradient-ascent"},
    {"name": "gaussian"},
    {"name": "ipm", "eps": 0.5},
    {"name": "alie"},
    {"name": "opt-alie", "evaluations": 4},
    {"name": "min-max"},
    {"name": "min-sum", "direction": "std"},
    {"name": "fang-trim"},
    {"name": "mimic", "warmup": 2},
)
EXPERIMENTS |= {
    f"median, {attack['name']}": {
        "attack": attack,
        "adversaries": {"count": 3},
        "defence": {"aggregator": "median"},
        "training": {"epochs": 1},
    }
    for attack in ATTACKS
}
CHAINS: tuple[tuple[dict[str, Any], list[dict[str, Any]]], ...] = (
    ({"name": "trimmed-mean", "b": 2}, []),
    ({"name": "meamed", "f": 2}, [{"name": "nnm", "f": 2}]),
    ({"name": "geometric-median", "weighted": True}, []),
    ({"name": "multi-krum", "f": 2, "m": 5}, [{"name": "arc", "f": 2}]),
    ({"name": "bulyan", "f": 1}, []),
    ({"name": "mda", "f": 2}, []),
    ({"name": "centered-clipping", "iterations": 2}, []),
    ({"name": "sign-majority", "step": 1e-3}, []),
    ({"name": "sparse-fed", "share": 0.1}, [{"name": "clip", "norm": "median"}]),
)
EXPERIMENTS |= {
    " after ".join([aggregator["name"], *[step["name"] for step in transforms]]): {
        "split": {"name": "dirichlet", "alpha": 0.5},
        "attack": {"name": "sign-flip", "scale": 3.0},
        "defence": {"aggregator": aggregator, "transforms": transforms},
    }
    for aggregator, transforms in CHAINS
}
EXPERIMENTS |= {
    f"{aggregator['name']}, unequal steps, extrapolated": {
        "split": {"name": "quantity", "alpha": 1.0},
        "attack": BACKDOOR,
        "defence": {
            "transforms": [{"name": "fednova", "momentum": 0.7}],
            "aggregator": aggregator,
            "learning_rate": "fedexp",
        },
        "server": {"step": {"name": "adagrad", "beta1": 0.5}, "learning_rate": 0.03},
        "training": {"batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.7}},
    }
    for aggregator in (
        {"name": "q-fedavg", "q": 0.7, "lipschitz": 1.0},
        {"name": "afl", "gamma": 0.2},
        {"name": "term", "t": 1.5},
        {"name": "fedmgda", "epsilon": 0.1},
    )
}
EXPERIMENTS |= {
    "a blended DBA, constrained, masked, in the clip's ball, replacing": {
        "attack": {"name": "model-replacement", "of": WITHIN, "threat_model": "knows-the-defence"},
        "defence": {"transforms": [{"name": "clip", "norm": 0.3}], "aggregator": "mean"},
    },
    "edge cases at the median norm, inflated": {
        "attack": {
            "name": "train-and-scale",
            "norm": "median",
            "threat_model": "all-updates",
            "of": {
                "name": "n-k-inflation",
                "factor": 3,
                "of": {"name": "edge-case", "source": 3, "target": 8},
            },
        },
    },
    "unfairness": {"attack": {"name": "unfairness", "lr": 0.01}},
}
SPLITS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"name": "linear"}, {"name": "rotation", "degrees": 45}),
    ({"name": "square"}, {"name": "contrast", "strength": 0.5}),
    ({"name": "exponential"}, {"name": "noise", "std": 0.2}),
    ({"name": "log-normal", "sigma": 1.0}, {"name": "label-noise", "rate": 0.5}),
    ({"name": "pathological", "classes_per_client": 3}, {"name": "none"}),
    ({"name": "extended-dirichlet", "classes_per_client": 4, "alpha": 1.0}, {"name": "none"}),
    ({"name": "inner-dirichlet", "alpha": 0.3}, {"name": "none"}),
    ({"name": "similarity", "gamma": 0.3}, {"name": "none"}),
    ({"name": "shuffled", "of": {"name": "shards", "classes_per_client": 2}}, {"name": "none"}),
)
EXPERIMENTS |= {
    f"{split['name']}, {shift['name']}": {"split": split, "clients": {**MANY, "shift": shift}}
    for split, shift in SPLITS
}
ALIKE: dict[str, Any] = {"rounds": 3, "clients": MANY, "adversaries": {"count": 2}}
ELSEWHERE = {"dataset", "trigger", "callback", "model", "privacy-attack"}
"""Kinds of which nothing is rounded in a round; of models their initial weights are compared. Privacy attacks change no
round, and what they find may differ in the last digits (docs/privacy-attacks.md)."""


NOT_NATIVE = {("personal", "fedbn")}
"""Components that need layers which the native kernels do not have."""
AS_GIVEN = {("split", "natural"), ("split", "file")}
"""Splits that are there already, in the data set or in a file."""


def write_all(folder: Path) -> None:
    """Does every experiment in this process and prints the digests of the files that it leaves, by name."""
    digests = {name: _digest(numbers.tobytes()) for name, numbers in _controls().items()}
    for number, name in enumerate(EXPERIMENTS):
        digests |= _written(folder / str(number), name)
    for model in BUILT_IN["model"]:
        module = fresh(resolve("model", Component(name=model)), toy_info((3, 32, 32)), 1)
        weights = flatten(list(module.parameters())).numpy()
        digests[f"initial weights: {model}"] = _digest(weights.tobytes())
    print(json.dumps(digests))


def _written(where: Path, name: str) -> dict[str, str]:
    """Does one experiment in an empty folder: the digests of the files that it leaves there."""
    experiment = Experiment.model_validate({**ALIKE, "data": "digits", **EXPERIMENTS[name]})
    result = execute(where, experiment, Execution())
    assert result.engine.startswith("native"), result.engine
    files = [*sorted(where.glob("*.safetensors")), where / "rounds.jsonl", where / "result.json"]
    return {f"{name}: {file.name}": _digest(file.read_bytes()) for file in files}


def _controls() -> dict[str, np.ndarray]:
    """What does depend on the processor: shows that a process takes its own for another one."""
    numbers = np.random.default_rng(0).random((10, 5_000))
    return {
        "NumPy's logarithm": np.log(numbers),
        "a matrix product": (torch.from_numpy(numbers) @ torch.from_numpy(numbers).T).numpy(),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _wide() -> str:
    """Instruction sets beyond AVX2 for which this NumPy has code that this processor can run."""
    config: Any = np.show_config(mode="dicts")
    extensions: dict[str, list[str]] = config["SIMD Extensions"]
    return " ".join(n for n in extensions.get("found", []) if n.startswith(("AVX512", "X86_V4")))


PROCESSORS = {
    "AVX2 and no more": (
        {
            compiler.TARGET_VARIABLE: "x86-64-v3",
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "NPY_DISABLE_CPU_FEATURES": _wide(),
        },
        "NumPy's logarithm",
    ),
    "another maker's": ({"MKL_CBWR": "COMPATIBLE"}, "a matrix product"),
}
"""What a process is told of its processor, and what changes by it. MKL has other code for its maker's processors."""


@cache
def digests(processor: str) -> dict[str, str]:
    """What ``write_all`` prints in a process that takes its processor for another one; "" for the real one."""
    told = {name for environment, _ in PROCESSORS.values() for name in environment}
    environment = {name: value for name, value in os.environ.items() if name not in told}
    if processor:
        environment |= PROCESSORS[processor][0]
    paths = [str(Path(__file__).parent), *sys.path]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    code = "import pathlib, sys, test_same_bits; test_same_bits.write_all(pathlib.Path(sys.argv[1]))"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_records_states_and_weights_have_the_same_bytes(processor: str) -> None:
    flags = set(compiler.cpu_identity().split())
    if not {"avx2", "fma"} <= flags:
        pytest.skip("this processor lacks AVX2 or FMA, from which on the bits are the same")
    if processor == "AVX2 and no more" and not _wide():
        pytest.skip("this processor lacks AVX-512, so there is nothing to leave unused")
    if processor == "another maker's" and not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("this PyTorch is built without MKL")
    here, there = digests(""), digests(processor)
    different = {name for name, digest in here.items() if there[name] != digest}
    assert different == {PROCESSORS[processor][1]}


ELSEWHERE_WRITTEN = Path(__file__).parent / "bytes_of_another_processor.json"
"""Digests of some experiments' files, with the processor and the libraries that wrote them; ``write_digests`` makes it.
It changes where results do, and then says what another processor must find again."""
SOME = (
    "fedavg, Adam, IID",
    "RLR, AMSGrad, Dirichlet, backdoor in a ball",
    "mean, AdamW, FedProx, shards, free-riders",
    "median, momentum, clip, noise, sizes, sign flip, stale",
    "Multi-Krum, FedAdam, Opt-IPM, power of choice",
)


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}


def _processor() -> str:
    words = compiler.cpu_identity()
    model = next(line.split(":")[1].strip() for line in words.splitlines() if line.startswith("model name"))
    return f"{model}, {'with' if 'avx512f' in words.split() else 'without'} AVX-512"


def write_digests() -> None:
    """Records what this processor writes, for others to compare with (call it from a shell, in tests/)."""
    with tempfile.TemporaryDirectory() as folder:
        digests = {key: d for n in SOME for key, d in _written(Path(folder) / n, n).items()}
    record = {"processor": _processor(), "libraries": _versions(), "digests": digests}
    ELSEWHERE_WRITTEN.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_bytes_are_those_that_another_processor_wrote(tmp_path: Path) -> None:
    record = json.loads(ELSEWHERE_WRITTEN.read_text(encoding="utf-8"))
    if record["libraries"] != _versions():
        pytest.skip(f"written with {record['libraries']}, other versions may round otherwise")
    found = {key: digest for n in SOME for key, digest in _written(tmp_path / n, n).items()}
    assert found == record["digests"], f"written on {record['processor']}"


def test_every_component_that_a_round_calls_is_in_an_experiment() -> None:
    used = {
        (kind, component.label)
        for changes in EXPERIMENTS.values()
        for _, kind, component in components_of(
            Experiment.model_validate({**ALIKE, "data": "digits", **changes})
        )
    }
    expected = {(kind, name) for kind, rows in BUILT_IN.items() if kind not in ELSEWHERE for name in rows}
    assert expected - NOT_NATIVE - AS_GIVEN <= used
