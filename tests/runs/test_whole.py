"""A run's folder that is not what was written: it is named and refused, and what only lost its end is healed."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fedskew.analysis.tables import results_table
from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.errors import RunError
from fedskew.federation.sealed import CHECKSUM, check_seal, seal
from fedskew.frames.model import read_weights
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.runs.own import read_own_records
from fedskew.runs.session import ROUNDING, Session, resumed_in
from fedskew.study.grid import PlannedRun
from helpers import execute, status_of

EXPERIMENT = Experiment.model_validate(
    {
        "rounds": 6,
        "data": "digits",
        "model": "mlp",
        "clients": {"count": 4},
        "attack": {"name": "backdoor", "target": 7},
        "adversaries": {"count": 1},
        "training": {"epochs": 1, "optimizer": {"name": "adam", "state": "persist"}},
    }
)
OTHER = EXPERIMENT.model_copy(update={"seed": 1})
ON_DISK = Execution(client_state="disk", checkpoint_every=0)
FILES = ("rounds.jsonl", "result.json", "weights.safetensors", "checkpoint.safetensors", "clients.json")


class StoppedError(Exception):
    """Stops a run."""


class After:
    """Stops a run after a round, whose checkpoint is there."""

    def __init__(self, last: int) -> None:
        self.last = last

    def on_round(self, record: RoundRecord) -> None:
        if record.round == self.last:
            raise StoppedError

    def on_end(self, records: Any, reason: str) -> None:
        raise AssertionError


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, and beside it ``other``, of another seed."""
    folder = tmp_path_factory.mktemp("runs") / completed(EXPERIMENT).identity
    execute(folder, EXPERIMENT, ON_DISK)
    execute(folder.with_name("other"), OTHER, ON_DISK)
    return folder


@pytest.fixture(scope="module")
def begun(done: Path) -> Path:
    """The same run, of which four rounds are done."""
    folder = done.with_name("begun")
    with pytest.raises(StoppedError):
        execute(folder, EXPERIMENT, ON_DISK, [After(4)])
    return folder


def copied(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, copy := tmp_path / "runs" / completed(EXPERIMENT).identity)
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


Change = Callable[[Path], None]


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Changes the lines of the records."""

    def changed(folder: Path) -> None:
        path = folder / "rounds.jsonl"
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return changed


def other_value(line: bytes) -> bytes:
    record = json.loads(line)
    record["metrics"]["accuracy"] /= 2
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Changes the value in a JSON file."""

    def changed(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return changed


def from_other(*names: str) -> Change:
    """Puts files of another run there."""

    def changed(folder: Path) -> None:
        other = folder.parents[1] / "other"
        for name in names or [path.name for path in other.iterdir() if path.is_file()]:
            shutil.copyfile(other / name, folder / name)

    return changed


ALTERED: dict[str, Change] = {
    "a value of a round": lines(lambda was: [*was[:1], other_value(was[1]), *was[2:]]),
    "a round twice": lines(lambda was: [*was[:2], was[1], *was[2:]]),
    "two rounds swapped": lines(lambda was: [was[1], was[0], *was[2:]]),
    "a round left out": lines(lambda was: [*was[:1], *was[2:]]),
    "no records": lambda folder: (folder / "rounds.jsonl").unlink(),
    "the records of another run": from_other("rounds.jsonl"),
}
DONE: dict[str, tuple[Change, str]] = {
    **{name: (change, "rounds.jsonl is not what the run wrote") for name, change in ALTERED.items()},
    "a better result": (
        edited("result.json", lambda result: result["last"]["metrics"].update(accuracy=1.0)),
        "result.json is damaged: it is not what the run wrote",
    ),
    "a better result without a checksum": (
        edited(
            "result.json",
            lambda result: (result.pop("sha256"), result["last"]["metrics"].update(accuracy=1.0)),
        ),
        "rounds.jsonl is not what the run wrote: its last record is not the one in result.json",
    ),
    "less skew": (
        edited("result.json", lambda result: result["skew"].update(total_variation=0.0)),
        "result.json is damaged: it is not what the run wrote",
    ),
    "a longer run": (
        edited("result.json", lambda result: (result.pop("sha256"), result.update(rounds=7))),
        "result.json says 7",
    ),
    "a last record that is none": (
        lines(lambda was: [*was[:-1], was[-1].replace(b'"accuracy": ', b'"accuracy": "abc", "x": ')]),
        "rounds.jsonl is not what the run wrote: its last record",
    ),
    "all but the config of another run": (
        from_other("result.json", "rounds.jsonl", "clients.json", "trigger.json", "weights.safetensors"),
        "result.json is not what the run wrote: it is the result of another run",
    ),
    "the result of another run": (from_other("result.json"), "is not what the run wrote"),
    "other adversaries": (
        edited("clients.json", lambda clients: clients.update(malicious=[3])),
        "clients.json is not what the run wrote",
    ),
    "another trigger": (
        edited("trigger.json", lambda trigger: trigger.update(target=2)),
        "trigger.json is not",
    ),
    "no config": (lambda folder: (folder / "config.toml").unlink(), "config.toml is not what the run wrote"),
    "another config": (from_other("config.toml"), "holds a run of another config"),
    "a copy of another run": (from_other(), "holds a run of another config"),
}


@pytest.mark.parametrize("name", DONE)
def test_a_complete_run_is_not_believed_when_its_folder_was_changed(
    name: str, done: Path, tmp_path: Path
) -> None:
    change, why = DONE[name]
    folder = copied(done, tmp_path)
    shutil.copytree(done.with_name("other"), tmp_path / "other")
    assert status_of(folder, EXPERIMENT)[0] == "done"
    change(folder)
    before = contents(folder) if name != "no records" else {}
    status, reason = status_of(folder, EXPERIMENT)
    assert status == "to do again"
    assert why in reason
    plan = PlannedRun({}, 0, completed(EXPERIMENT))
    for show in (
        lambda: execute(folder, EXPERIMENT, Execution()),
        lambda: results_table([plan], tmp_path),
    ):
        with pytest.raises(RunError) as caught:
            show()
        assert why in caught.value.message
        assert caught.value.hint
    assert before == (contents(folder) if before else {}), "nothing was written"


def test_other_weights_than_a_run_wrote_are_not_loaded(done: Path, tmp_path: Path) -> None:
    folder = copied(done, tmp_path)
    assert read_weights(RunFolder(folder), completed(EXPERIMENT))
    shutil.copyfile(done.with_name("other") / "weights.safetensors", folder / "weights.safetensors")
    with pytest.raises(RunError, match=r"weights\.safetensors is not what the run wrote"):
        read_weights(RunFolder(folder), completed(EXPERIMENT))


def test_a_copy_of_another_run_is_not_loaded(done: Path, tmp_path: Path) -> None:
    """Nor are its records, where it is not complete."""
    folder = copied(done.with_name("other"), tmp_path)
    with pytest.raises(RunError, match="holds a run of another config"):
        read_weights(RunFolder(folder), completed(EXPERIMENT))
    (folder / "result.json").unlink()
    with pytest.raises(RunError, match="holds a run of another config"):
        read_own_records(RunFolder(folder), completed(EXPERIMENT))


def test_results_of_earlier_versions_have_no_checksums(done: Path, tmp_path: Path) -> None:
    folder = copied(done, tmp_path)
    edited("result.json", lambda result: result.pop("sha256"))(folder)
    assert status_of(folder, EXPERIMENT)[0] == "done"
    assert read_weights(RunFolder(folder), completed(EXPERIMENT))
    ALTERED["a round left out"](folder)
    assert "it has 5 rounds, and result.json says 6" in status_of(folder, EXPERIMENT)[1]


# --- resumed ------------------------------------------------------------------------------------------


def rewritten(change: Callable[[dict[str, torch.Tensor], dict[str, str]], object]) -> Change:
    """Changes the tensors and metadata of the checkpoint."""

    def changed(folder: Path) -> None:
        path = folder / "checkpoint.safetensors"
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata())
        change(tensors, metadata)
        save_file(tensors, path, metadata)

    return changed


def a_clients_file(change: Callable[[bytes], bytes]) -> Change:
    def changed(folder: Path) -> None:
        path = sorted((folder / "clients").iterdir())[0]
        path.write_bytes(change(path.read_bytes()))

    return changed


BEGUN: dict[str, tuple[Change, str]] = {
    "records and checkpoint of another run": (
        from_other("rounds.jsonl", "checkpoint.safetensors"),
        "checkpoint.safetensors is not what the run wrote: it is the checkpoint of another run",
    ),
    "a value of a round": (ALTERED["a value of a round"], "the checksum of its rounds is not the one"),
    "a round twice": (ALTERED["a round twice"], "line 3 is of round 2; expected round 3"),
    "two rounds swapped": (ALTERED["two rounds swapped"], "line 1 is of round 2; expected round 1"),
    "a round left out": (ALTERED["a round left out"], "it has 3 rounds, and the checkpoint is of round 4"),
    "no records": (ALTERED["no records"], "it has 0 rounds"),
    "the records of another run": (from_other("rounds.jsonl"), "the checksum of its rounds is not the one"),
    "a line that is none": (lines(lambda was: [was[0], b"{\n", *was[2:]]), "line 2 is damaged: not JSON"),
    "weights that are not finite": (
        rewritten(lambda tensors, _: tensors["weights"].fill_(math.nan)),
        "checkpoint.safetensors is damaged: it is not what was written",
    ),
    "files of clients without checksums": (
        rewritten(lambda tensors, _: tensors["clients/checksums"].zero_()),
        "checkpoint.safetensors is damaged: it is not what was written",
    ),
    "weights of zero": (
        rewritten(lambda tensors, _: tensors["weights"].zero_()),
        "checkpoint.safetensors is damaged: it is not what was written",
    ),
    "another round": (
        rewritten(lambda _, metadata: metadata.update(round="3")),
        "checkpoint.safetensors is damaged: it is not what was written",
    ),
    "the checkpoint of another run": (
        from_other("checkpoint.safetensors"),
        "it is the checkpoint of another run",
    ),
    "a client's file": (
        a_clients_file(lambda content: content[:-4] + bytes(4)),
        "is missing or damaged: it is not what was written",
    ),
    "no config": (lambda folder: (folder / "config.toml").unlink(), "config.toml is not what the run wrote"),
    "another config": (from_other("config.toml"), "holds a run of another config"),
}


@pytest.mark.parametrize("name", BEGUN)
def test_a_run_is_not_continued_from_what_it_did_not_write(
    name: str, done: Path, begun: Path, tmp_path: Path
) -> None:
    change, why = BEGUN[name]
    folder = copied(begun, tmp_path)
    shutil.copytree(done.with_name("other"), tmp_path / "other")
    change(folder)
    with pytest.raises(RunError) as caught:
        execute(folder, EXPERIMENT, ON_DISK)
    assert why in caught.value.message
    assert caught.value.hint
    assert not (folder / "result.json").exists()


HEALED: dict[str, Change] = {
    "nothing": lambda folder: None,
    "half a line at the end": lines(lambda was: [*was, was[-1][:50]]),
    "rounds after the checkpoint that are none": lines(
        lambda was: [*was, b"\0" * 512 + b"\n", was[0], b"{]\n"]
    ),
    "times": lambda folder: (folder / "timings.jsonl").unlink(),
    "who holds what": edited("clients.json", lambda clients: clients.update(malicious=[3])),
    "a checkpoint of an earlier version": rewritten(
        lambda _, metadata: [metadata.pop(name) for name in (CHECKSUM, "run", "records")]
    ),
}


@pytest.mark.parametrize("name", HEALED)
def test_what_only_lost_its_end_is_healed(name: str, done: Path, begun: Path, tmp_path: Path) -> None:
    folder = copied(begun, tmp_path)
    HEALED[name](folder)
    execute(folder, EXPERIMENT, ON_DISK)
    assert contents(folder) == contents(done)


def test_an_older_checkpoint_of_the_same_run_serves(done: Path, begun: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        execute(folder, EXPERIMENT, Execution(checkpoint_every=0), [After(2)])
    older = (folder / "checkpoint.safetensors").read_bytes()
    with pytest.raises(StoppedError):
        execute(folder, EXPERIMENT, Execution(checkpoint_every=0), [After(5)])
    (folder / "checkpoint.safetensors").write_bytes(older)
    execute(folder, EXPERIMENT, Execution(checkpoint_every=0))
    assert {**contents(folder), FILES[3]: b""} == {**contents(done), FILES[3]: b""}


def test_a_sealed_file_is_a_safetensors_file_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2, dtype=torch.bfloat16), "none": torch.zeros(0)}
    path = tmp_path / "file"
    content = seal(tensors, {"z": "1", "y": "2", "x": "3"})
    assert all(seal(tensors, {"z": "1", "y": "2", "x": "3"}) == content for _ in range(20))
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118
            name: tensor.tolist() for name, tensor in tensors.items()
        }
    with path.open("rb") as opened:
        assert check_seal(opened) == {"z": "1", "y": "2", "x": "3"}
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with path.open("rb") as opened, pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            check_seal(opened)


@pytest.mark.parametrize("key", ROUNDING)
def test_a_resume_says_what_may_round_differently(key: str, caplog: pytest.LogCaptureFixture) -> None:
    before = Session(torch="2.12", numpy="2.0", processor="A", compiled="cc 12: -O3")
    changed: dict[str, Any] = {key: "new"}
    unknown: dict[str, Any] = {key: None}
    with caplog.at_level(logging.WARNING):
        resumed_in([before], before, Path("runs/x"))
        resumed_in([replace(before, **unknown)], before, Path("runs/x"))
        assert not caplog.messages
        resumed_in([before], replace(before, **changed), Path("runs/x"))
    assert caplog.messages == [
        f"runs/x was started with {key} {getattr(before, key)} and is resumed with {key} new: from here its "
        "numbers may differ in the last digits"
    ]


def test_compiler_and_flags_are_recorded(done: Path) -> None:
    session = RunFolder(done).read_sessions()[0]
    assert session.engine is not None
    assert (session.compiled != "") == session.engine.startswith("native")
    if session.compiled:
        assert "-ffp-contract=off" in session.compiled
