"""Trackers: what they write is read back with their own tools, and nothing that they do changes a run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import my_tracker
from fedskew.cli import app
from fedskew.components import permission
from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import ConfigError
from fedskew.files import read_lines
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder
from fedskew.trackers.tracking import _NEEDS, TrackedRun, check_trackers, hyperparameters, numbers, tracking
from helpers import execute, near
from tolerance import gamma

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs the extra tensorboard"
)
needs_mlflow = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="needs the extra mlflow",
)
needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs the extra wandb")
# mlflow's own tables use what sqlalchemy 2.1 has deprecated.
fenced = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

EXPERIMENT = Experiment.model_validate(
    {
        "rounds": 5,
        "model": {"name": "mlp", "hidden": [8]},
        "clients": {"count": 4},
        "split": {"name": "dirichlet", "alpha": 0.5},
        "training": {"epochs": 1, "batch_size": 64},
        "stopping": {"name": "plateau", "monitor": "train_loss", "patience": 4},
    }
)
TORCH = Execution(engine="torch")


@pytest.fixture(autouse=True)
def _permission(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trackers of the module beside this one may be imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with permission.allowing(["my_tracker"]):
        yield


def tracked(root: Path, study: str = "mine", **cell: Any) -> TrackedRun:
    return TrackedRun(
        study, root, completed(EXPERIMENT), cell or {"alpha": 0.5, "setting": "a/b + RLR", "seed": 0}
    )


class Stop:
    """An observer whose reader leaves after some rounds: the run is interrupted, as by Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_round(self, record: RoundRecord) -> None:
        if record.round == self.after:
            raise BrokenPipeError

    def on_end(self, records: Sequence[RoundRecord], reason: str) -> None: ...


def run(
    folder: Path, *specs: str, of: TrackedRun | None = None, stop: int | None = None, last: bool = False
) -> None:
    """Does a run, or the rounds of it up to ``stop``, which its trackers see only if the observer comes last."""
    with tracking(specs, of or tracked(folder.parent)) as trackers:
        if stop is None:
            execute(folder, EXPERIMENT, TORCH, trackers)
            return
        with pytest.raises(BrokenPipeError):
            execute(folder, EXPERIMENT, TORCH, [*trackers, Stop(stop)] if last else [Stop(stop), *trackers])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody has watched."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    execute(folder, EXPERIMENT, TORCH)
    return folder


def same_run(one: Path, two: Path) -> bool:
    names = ("rounds.jsonl", "result.json", "weights.safetensors", "checkpoint.safetensors", "config.toml")
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


# --- what trackers are told -------------------------------------------------------------------------


def test_names_and_numbers() -> None:
    of = tracked(Path("x"))
    assert of.name == f"alpha=0.5-setting=a_b_+_RLR-seed=0-{of.identity}"
    assert re.fullmatch(r"[0-9a-f]{12}", of.identity)
    assert TrackedRun("mine", Path("x"), completed(EXPERIMENT)).name == f"mine-{of.identity}"
    assert TrackedRun("mine", Path("x"), completed(EXPERIMENT), {"long": "../" * 100}).name.count("/") == 0
    record = RoundRecord(
        3, {"accuracy": 0.5, "bias": math.nan}, [0.25, math.inf], [0, 1], [1], [], {"flipped": 7.0},
        per_group_accuracy={"a/b": 0.75, "none": math.nan},
    )  # fmt: skip
    assert numbers(record) == {
        "accuracy": 0.5,
        "class_accuracy/0": 0.25,
        "group_accuracy/0": 0.75,
        "clients/rejected": 1.0,
        "trace/flipped": 7.0,
    }
    found = hyperparameters(of)
    assert (found["split.alpha"], found["rounds"], found["model.hidden"]) == (0.5, 5, "[8]")
    assert all(isinstance(value, bool | int | float | str) for value in found.values())


# --- one's own, and ones that go wrong --------------------------------------------------------------


def test_ones_own_tracker_sees_each_round_once_also_when_resumed(tmp_path: Path, plain: Path) -> None:
    my_tracker.closed.clear()
    folder, specs = tmp_path / "run", ("my_tracker:lines", "my_tracker:lines=other", "my_tracker:lines")
    run(folder, *specs, stop=3)
    assert my_tracker.closed == ["lines", "other"], "the third is the first again"
    run(folder, *specs)
    expected = [f"{r.round} {r.metrics['accuracy']}" for r in RunFolder(plain).read_records()] + [
        "5 the round limit"
    ]
    for name in ("lines", "other"):
        assert (tmp_path / f"{name}-{tracked(tmp_path).identity}.txt").read_text().splitlines() == expected
    assert same_run(folder, plain)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.txt")}
    run(folder, *specs)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a run that is done shows nothing"


def test_one_that_raises_is_named_and_left_out(
    tmp_path: Path, plain: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run(tmp_path / "run", "my_tracker:bad", "my_tracker:worse", "my_tracker:meddler", "my_tracker:lines")
    assert same_run(tmp_path / "run", plain)
    name = tracked(tmp_path).name
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}: --track my_tracker:worse failed (OSError: no room); the run continues without it",
        f"{name}: --track my_tracker:bad failed (BrokenPipeError: the server is gone); the run continues without it",
    ]
    (text,) = (path.read_text() for path in tmp_path.glob("lines-*.txt"))
    assert len(text.splitlines()) == 6, "the others go on"
    assert not (tmp_path / "run" / "failure.json").exists()


@pytest.mark.parametrize(
    ("spec", "words", "hint"),
    [
        (
            "tensorbord",
            "unknown callback 'tensorbord'; valid: mlflow, tensorboard, wandb",
            "did you mean 'tensorboard'?",
        ),
        (
            "other.module:f",
            "code from outside, which requires permission to be imported",
            "--allow-plugin other",
        ),
        ("my_tracker:no_tracker", "argument 1 must be 'run', found 'experiment'", ""),
        ("my_tracker:bad=x", "this tracker has no option 'where'", "`--track my_tracker:bad`"),
        ("my_tracker:lines=", "the value after `=` is empty", ""),
    ],
)
def test_a_wrong_tracker_is_found_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spec: str,
    words: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["study", "quickstart"], ["run", "centralised-fashion-mnist"]):
        with pytest.raises(SystemExit) as left:
            app([*command, "--track", spec])
        out, err = capsys.readouterr()
        assert left.value.code == 2
        assert words in err.splitlines()[0]
        assert hint in "".join(line for line in err.splitlines() if line.startswith("hint: "))
        assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("tensorboard", "pip install tensorboard"),
        ("mlflow=x", "pip install mlflow-skinny sqlalchemy alembic"),
        ("wandb=x", "pip install wandb"),
    ],
)
def test_a_missing_package_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    monkeypatch.setattr("fedskew.trackers.tracking.importlib.util.find_spec", lambda module: None)
    with pytest.raises(
        ConfigError, match=f"--track {name.partition('=')[0]} needs .*, not installed in this environment"
    ) as caught:
        check_trackers([name])
    assert caught.value.hint == f"`{command}`"


def test_the_documented_tracker_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "documented_tracker.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    permission.allow_plugin("documented_tracker")
    check_trackers(["documented_tracker:lines"])
    run(tmp_path / "run", "documented_tracker:lines")
    (path,) = tmp_path.glob("*.txt")
    assert [line.split()[0] for line in path.read_text().splitlines()] == ["1", "2", "3", "4", "5"]


# --- TensorBoard ------------------------------------------------------------------------------------


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads from a run's folder: tag -> (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in log.Tags()["scalars"]}


def expected_scalars(records: Sequence[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        for name, value in numbers(record).items():
            found.setdefault(name, []).append((record.round, near(value, rel=gamma(1))))
    return found


@needs_tensorboard
@pytest.mark.parametrize("interruptions", [[], [(2, True)], [(1, False), (4, True)]])
def test_tensorboard_reads_back_what_was_recorded(
    tmp_path: Path, plain: Path, interruptions: list[tuple[int, bool]]
) -> None:
    for stop, last in interruptions:
        run(tmp_path / "run", "tensorboard", stop=stop, last=last)
    run(tmp_path / "run", "tensorboard")
    folder = tmp_path / "tensorboard" / tracked(tmp_path).name
    records = RunFolder(plain).read_records()
    found = scalars(folder)
    final = {name: values for name, values in found.items() if name.startswith("final/")}
    assert {name: values for name, values in found.items() if name not in final} == expected_scalars(records)
    assert final["final/accuracy"] == [(5, near(records[-1].metrics["accuracy"], rel=gamma(1)))]
    assert same_run(tmp_path / "run", plain)


@needs_tensorboard
def test_tensorboard_has_the_config_and_the_hyper_parameters(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run(tmp_path / "run", f"tensorboard={tmp_path / 'elsewhere'}")
    log = EventAccumulator(str(tmp_path / "elsewhere" / tracked(tmp_path).name)).Reload()
    (text,) = log.Tensors("config/text_summary")
    assert b"alpha = 0.5" in text.tensor_proto.string_val[0]
    (stopped,) = log.Tensors("stopped/text_summary")
    assert stopped.tensor_proto.string_val[0] == b"the round limit"
    plugin = log.SummaryMetadata("_hparams_/session_start_info").plugin_data
    fields = HParamsPluginData.FromString(plugin.content).session_start_info.hparams
    assert fields["split.alpha"].number_value == 0.5
    assert fields["stopping.name"].string_value == "plateau"
    assert fields["setting"].string_value == "a/b + RLR"
    assert not (tmp_path / "tensorboard").exists()


# --- MLflow -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tracking URI of a store with its tables made, which takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def mlflow_runs(uri: str, study: str) -> list[tuple[Any, dict[str, list[tuple[int, float]]]]]:
    """What MLflow reads back: of each run its data, and metric -> (step, value)."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = []
    for one in client.search_runs([client.get_experiment_by_name(study).experiment_id]):
        history = {
            name: sorted((m.step, m.value) for m in client.get_metric_history(one.info.run_id, name))
            for name in one.data.metrics
        }
        found.append((one, history))
    return found


def expected_metrics(records: Sequence[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    return {**expected_scalars(records), "round": [(r.round, float(r.round)) for r in records]}


@needs_mlflow
@fenced
@pytest.mark.parametrize("interruptions", [[], [(2, True)], [(1, False), (4, True)]])
def test_mlflow_reads_back_what_was_recorded(
    tmp_path: Path, plain: Path, store: str, interruptions: list[tuple[int, bool]]
) -> None:
    of = tracked(tmp_path, study=f"study {len(interruptions)}")
    for stop, last in interruptions:
        run(tmp_path / "run", f"mlflow={store}", of=of, stop=stop, last=last)
        if last:
            ((one, history),) = mlflow_runs(store, of.study)
            assert one.info.status == "KILLED"
            assert history["round"] == [(number, number) for number in range(1, stop + 1)]
    run(tmp_path / "run", f"mlflow={store}", of=of)
    ((one, history),) = mlflow_runs(store, of.study)
    assert history == expected_metrics(RunFolder(plain).read_records())
    assert (one.info.status, one.info.run_name) == ("FINISHED", of.name)
    assert one.data.params["split.alpha"] == "0.5"
    assert one.data.params["training.batch_size"] == "64"
    assert one.data.tags["setting"] == "a/b + RLR"
    assert one.data.tags["fedskew.run"] == of.identity
    assert one.data.tags["fedskew.stopped"] == "the round limit"
    assert same_run(tmp_path / "run", plain)


@needs_mlflow
@fenced
def test_mlflow_takes_other_records_for_another_run(tmp_path: Path, store: str) -> None:
    """A run that was put aside, because its data has changed, is not mixed with what it gives now."""
    of = tracked(tmp_path, study="again")
    for accuracy in (0.5, 0.75, 0.5):
        with tracking([f"mlflow={store}"], of) as (tracker,):
            tracker.on_round(RoundRecord(1, {"accuracy": accuracy}, [], [], [], [], {}))
    found = sorted(history["accuracy"] for _, history in mlflow_runs(store, "again"))
    assert found == [[(1, 0.5)], [(1, 0.75)]]


@needs_mlflow
@fenced
def test_the_default_place_of_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with tracking(["mlflow"], tracked(tmp_path, study="by environment")) as (tracker,):
        tracker.on_round(RoundRecord(1, {"accuracy": 0.5}, [], [], [], [], {}))
    assert len(mlflow_runs(store, "by environment")) == 1
    assert list(tmp_path.iterdir()) == []
    with tracking(["mlflow=nonsense://x"], tracked(tmp_path)) as (tracker,), caplog.at_level(logging.WARNING):
        tracker.on_round(RoundRecord(1, {"accuracy": 0.5}, [], [], [], [], {}))
    assert "--track mlflow=nonsense://x failed (" in caplog.text


# --- Weights & Biases -------------------------------------------------------------------------------


def wandb_records(folder: Path) -> list[Any]:
    """What the file of an offline run holds in the end: W&B's own process may still be writing when a run is closed."""
    deadline = time.monotonic() + 60
    while not (found := records_so_far(folder)) or not found[-1].HasField("exit"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def records_so_far(folder: Path) -> list[Any]:
    """Records of W&B's protocol, in blocks of 32 KiB as LevelDB's logs have them."""
    protocol: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")  # made when it is imported
    (path,) = folder.glob("run-*.wandb")
    data, place, part, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(protocol.Record.FromString(part))
            part = b""
    return found


def wandb_history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What W&B would upload of a run: metric -> (step, value)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in wandb_records(folder):
        row = {
            ".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
        }
        step: Any = row.get("_step")
        for name, value in row.items():
            if not name.startswith("_"):
                found.setdefault(name, []).append((step, value))
    return found


def recorded_numbers(records: Sequence[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        for name, value in numbers(record).items():
            found.setdefault(name, []).append((record.round, value))
    return found


@needs_wandb
@pytest.mark.parametrize("interruptions", [[], [(1, False), (4, True)]])
def test_wandb_reads_back_what_was_recorded(
    tmp_path: Path, plain: Path, interruptions: list[tuple[int, bool]]
) -> None:
    for stop, last in interruptions:
        run(tmp_path / "run", "wandb", stop=stop, last=last)
    run(tmp_path / "run", "wandb")
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    assert wandb_history(folder) == recorded_numbers(RunFolder(plain).read_records())
    (about,) = (one.run for one in wandb_records(folder) if one.HasField("run"))
    assert (about.project, about.display_name) == ("mine", tracked(tmp_path).name)
    config = {entry.key: json.loads(entry.value_json) for entry in about.config.update}
    assert config["split"]["alpha"] == 0.5
    assert config["cell"] == {"alpha": 0.5, "setting": "a/b + RLR", "seed": 0}
    summary = {u.key: u.value_json for one in wandb_records(folder) for u in one.summary.update}
    assert json.loads(summary["stopped"]) == "the round limit"
    assert same_run(tmp_path / "run", plain)


@needs_wandb
def test_the_project_of_wandb_and_other_records(tmp_path: Path) -> None:
    for accuracy in (0.5, 0.75, 0.5):
        with tracking(["wandb=my/project"], tracked(tmp_path)) as (tracker,):
            tracker.on_round(RoundRecord(1, {"accuracy": accuracy}, [], [], [], [], {}))
    folders = sorted(tmp_path.glob("wandb/offline-run-*"))
    assert sorted(wandb_history(folder)["accuracy"] for folder in folders) == [[(1, 0.5)], [(1, 0.75)]]
    projects = {one.run.project for f in folders for one in wandb_records(f) if one.HasField("run")}
    assert projects == {"my_project"}


def test_a_folder_of_a_tracker_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's files lie in ``wandb/``, which Python takes for a package without content."""
    (tmp_path / "some_tracker_files").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("some_tracker_files") is not None
    monkeypatch.setitem(_NEEDS, "wandb", (("some_tracker_files",), "pip install wandb"))
    with pytest.raises(ConfigError, match="--track wandb needs some_tracker_files, not installed"):
        check_trackers(["wandb"])


# --- a study, its workers, a kill -------------------------------------------------------------------

STUDY = """\
name = "mine"
[base]
rounds = 12
model = { name = "mlp", hidden = [32] }
clients = { count = 4 }
split = { name = "dirichlet", alpha = 0.5 }
training = { epochs = 1, batch_size = 32 }
stopping = "rounds"
[axes.setting.variants."no attack"]
[axes.setting.variants.backdoor]
attack = { name = "backdoor", target = 7 }
adversaries = { count = 1 }
"""


def command(folder: Path, *trackers: str) -> subprocess.Popen[bytes]:
    arguments = ["study", "mine.toml", "--jobs", "2", "--engine", "torch", "--allow-plugin", "my_tracker"]
    for tracker in trackers:
        arguments += ["--track", tracker]
    shutil.copy(Path(__file__).parents[1] / "my_tracker.py", folder)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fedskew", *arguments], cwd=folder, stdout=log, stderr=log
        )


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, list[str]]:
    """A study with trackers that was killed in the middle and taken up again."""
    (tmp_path / "mine.toml").write_text(STUDY)
    trackers = ["my_tracker:lines", "my_tracker:bad"]
    trackers += ["tensorboard"] * (importlib.util.find_spec("tensorboard") is not None)
    trackers += ["mlflow"] * (importlib.util.find_spec("mlflow") is not None)
    trackers += ["wandb"] * (importlib.util.find_spec("wandb") is not None)
    process = command(tmp_path, *trackers)
    try:
        deadline = time.monotonic() + 120
        while sum(len(read_lines(path)) for path in tmp_path.glob("studies/mine/runs/*/rounds.jsonl")) < 6:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = command(tmp_path, *trackers)
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    return tmp_path, trackers


@fenced
def test_a_killed_study_and_its_copy(killed: tuple[Path, list[str]]) -> None:
    """Every tracker, in two workers, has every round once; and the study's folder may be copied."""
    folder, trackers = killed
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "--track my_tracker:bad failed (BrokenPipeError: the server is gone)" in log
    assert "INFO" not in log, "mlflow is silent about its tables"
    assert re.search(r"failed \((?!BrokenPipeError: the server)", log) is None

    study = StudyFolder.read(Path(shutil.copytree(folder / "studies" / "mine", folder / "copy")))
    shutil.rmtree(folder / "studies")
    assert [study.status(plan)[0] for plan in study.planned] == ["done", "done"]
    for plan in study.planned:
        records = study.run_folder(plan).read_records()
        own = (study.path / f"lines-{plan.identity}.txt").read_text().splitlines()
        assert [line.split()[0] for line in own] == [str(n) for n in range(1, 13)] + ["12"]
        if "wandb" in trackers:
            (of_wandb,) = study.path.glob(f"wandb/offline-run-*-{plan.identity}-*")
            assert wandb_history(of_wandb) == recorded_numbers(records)
        if "tensorboard" in trackers:
            (log_folder,) = study.path.glob(f"tensorboard/*-{plan.identity}")
            assert log_folder.name.startswith(f"setting={plan.cell['setting'].replace(' ', '_')}-seed=0-")
            found = scalars(log_folder)
            assert {n: v for n, v in found.items() if not n.startswith("final/")} == expected_scalars(records)
    if "mlflow" in trackers:
        runs = mlflow_runs(f"sqlite:///{study.path / 'mlflow.db'}", "mine")
        by_identity = {one.data.tags["fedskew.run"]: history for one, history in runs}
        assert len(runs) == 2
        for plan in study.planned:
            assert by_identity[plan.identity] == expected_metrics(study.run_folder(plan).read_records())


def test_a_single_run_is_tracked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(
        'rounds = 2\nmodel = "mlp"\nclients = { count = 4 }\nstopping = "rounds"\n'
    )
    with pytest.raises(SystemExit) as left:
        app(["run", "one.toml", "--engine", "torch", "--json", "--quiet", "--track", "my_tracker:lines"])
    assert left.value.code == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    (path,) = folder.glob("lines-*.txt")
    assert len(path.read_text().splitlines()) == 3
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]
