"""Files and folders of data as inputs of a run: what counts, where it is found, what follows from a change."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_helpers import encode_idx, write_files
from fedskew.components.completed import completed
from fedskew.components.table import BUILT_IN
from fedskew.config import Execution, Experiment
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.datasets.folders import leaf_files, pictures, saved_files
from fedskew.datasets.image_folder import image_folder
from fedskew.errors import DataError
from fedskew.runs import inputs
from fedskew.runs.execute import execute
from fedskew.runs.folder import RunFolder
from fedskew.runs.inputs import changed_inputs, each_read_once, input_checksums
from fedskew.runs.status import status_of
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.study.missing import missing_runs
from fedskew.study.reuse import reuse
from fedskew.study.source import Source

RNG = np.random.default_rng(0)


def experiment(**data: Any) -> Experiment:
    return build(
        Experiment,
        {"rounds": 1, "clients": {"count": 2}, "split": "iid", "model": {"name": "mlp"}, "data": data},
    )


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (8, 8)).astype(np.uint8)).save(file)


def image_data(folder: Path) -> Path:
    """A picture of the training part."""
    for number in range(16):
        picture(folder / "train" / "ab"[number % 2] / f"{number:02}.png")
        picture(folder / "test" / "ab"[number % 2] / f"{number:02}.png")
    return folder / "train" / "a" / "00.png"


def table(file: Path, add: int = 0) -> Path:
    lines = [f"{i + add},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(24)]
    file.write_text("\n".join(["x,z,label", *lines]) + "\n", encoding="utf-8")
    return file


def checksums(data_dir: Path | None = None, **data: Any) -> dict[str, str]:
    return input_checksums(completed(experiment(**data)), data_dir)


def checked(here: Path, one: Experiment, change: Any, data_dir: Path | None = None) -> None:
    """A run, and a study that has it, take it as not done any more after the change; another study does not copy it."""
    run, execution = completed(one), Execution(engine="torch", data_dir=data_dir)
    base = one.model_dump(mode="json", exclude_unset=True)
    record = build(Study, {"name": "s", "seeds": [0], "base": base})
    studies = [
        StudyFolder.open(here / name, record, Source(base, Origin(), name))
        for name in ("old", "new", "third")
    ]
    old, new, third = studies
    (plan,) = old.planned
    folder = old.run_folder(plan)
    execute(folder, run, execution)
    assert status_of(folder, run, data_dir)[0] == "done"
    assert missing_runs(old, old.planned, data_dir) == []
    assert reuse(new, new.planned, [old.path], data_dir) == {old.path: 1}

    change()
    status, why = status_of(folder, run, data_dir)
    assert status == "to do again"
    assert "changed since the last session" in why
    assert missing_runs(old, old.planned, data_dir) == [plan]
    assert reuse(third, third.planned, [old.path], data_dir) == {old.path: 0}
    execute(folder, run, execution)
    assert status_of(folder, run, data_dir)[0] == "done"
    assert folder.path.with_name(f"{folder.name}~1").is_dir(), "what it gave before is kept"


def test_a_changed_picture(tmp_path: Path) -> None:
    one = image_data(tmp_path / "imgs")
    checked(tmp_path, experiment(name="image-folder", path=str(tmp_path / "imgs")), lambda: picture(one))


def test_a_changed_test_table(tmp_path: Path) -> None:
    path, test = table(tmp_path / "train.csv"), table(tmp_path / "test.csv", 3)
    one = experiment(name="csv", path=str(path), test=str(test))
    assert {*input_checksums(completed(one))} == {str(path), str(test)}
    checked(tmp_path, one, lambda: table(test, 4))


def test_a_changed_table_of_images(tmp_path: Path) -> None:
    image_data(tmp_path / "imgs")
    names = [one.relative_to(tmp_path / "imgs").as_posix() for one in (tmp_path / "imgs").rglob("*.png")]
    sites = tmp_path / "sites.csv"

    def write(number: int) -> None:
        lines = [f"{name},{'ab'[(i + number) % 2]}" for i, name in enumerate(names)]
        sites.write_text("\n".join(["file,site", *lines]))

    write(0)
    given = {"path": str(tmp_path / "imgs"), "table": str(sites), "clients": "site"}
    checked(tmp_path, experiment(name="image-folder", **given), lambda: write(1))


def test_a_file_of_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    table(root / "mine.csv")
    checked(tmp_path, experiment(name="csv", path="mine.csv"), lambda: table(root / "mine.csv", 1), root)


def emnist(root: Path, split: str, compress: bool = False) -> None:
    arrays = {"images-idx3": RNG.integers(0, 256, (20, 28, 28)), "labels-idx1": np.arange(20) % 10}
    files = {
        f"emnist-{split}-{part}-{name}-ubyte": encode_idx(array)
        for part in ("train", "test")
        for name, array in arrays.items()
    }
    write_files(root / "emnist", files, compress=compress)


def test_a_changed_file_of_emnist(tmp_path: Path) -> None:
    root = tmp_path / "root"
    emnist(root, "digits")
    checked(tmp_path, experiment(name="emnist", split="digits"), lambda: emnist(root, "digits"), root)


def test_the_files_of_emnist_and_cifar_100_that_are_read_are_inputs(tmp_path: Path) -> None:
    assert checksums(tmp_path, name="emnist", split="mnist") == checksums(tmp_path, name="cifar-100") == {}
    emnist(tmp_path, "digits")
    emnist(tmp_path, "mnist", compress=True)
    names = {
        f"emnist/emnist-mnist-{part}-{array}-ubyte.gz"
        for part in ("train", "test")
        for array in ("images-idx3", "labels-idx1")
    }
    assert {*checksums(tmp_path, name="emnist", split="mnist")} == names
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"archive")
    assert checksums(tmp_path, name="cifar-100") == {
        "cifar-100-binary.tar.gz": hashlib.sha256(b"archive").hexdigest()
    }
    write_files(tmp_path / "cifar-100-binary", {"train.bin": b"train", "test.bin": b"test"})
    assert checksums(tmp_path, name="cifar-100") == {
        f"cifar-100-binary/{part}.bin": hashlib.sha256(part.encode()).hexdigest()
        for part in ("train", "test")
    }


def test_where_a_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the loader does: from the current folder first, else from the folder given, else from ``$FEDSKEW_DATA``."""
    for number, name in enumerate(("here", "given", "environment")):
        (tmp_path / name).mkdir()
        table(tmp_path / name / "mine.csv", number)
    sums = {
        name: checksums(name="csv", path=str(tmp_path / name / "mine.csv")).popitem()[1]
        for name in ("here", "given", "environment")
    }
    assert len({*sums.values()}) == 3
    monkeypatch.setenv("FEDSKEW_DATA", str(tmp_path / "environment"))
    monkeypatch.chdir(tmp_path / "here")
    assert checksums(tmp_path / "given", name="csv", path="mine.csv") == {"mine.csv": sums["here"]}
    monkeypatch.chdir(tmp_path)
    assert checksums(tmp_path / "given", name="csv", path="mine.csv") == {"mine.csv": sums["given"]}
    assert checksums(name="csv", path="mine.csv") == {"mine.csv": sums["environment"]}


def test_a_folder_is_the_names_and_contents_of_what_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "imgs"
    one = image_data(folder)

    def now(at: Path = folder) -> str:
        return checksums(name="image-folder", path=str(at))[str(at)]

    before = now()
    shutil.copytree(folder, tmp_path / "copy")
    assert now(tmp_path / "copy") == before, "where it lies and when it was written does not count"
    (folder / "train" / "a" / "notes.txt").write_text("not read")
    (folder / ".DS_Store").write_text("not read")
    picture(folder / "train" / "deeper.png")
    assert now() == before
    hidden = folder / "train" / "a" / ".hidden.png"
    picture(hidden)
    assert len(image_folder(tmp_path, path=str(folder)).y_train) == 16, "it is not read"
    assert now() == before
    hidden.unlink()
    one.rename(one.with_name("99.png"))
    assert now() != before
    one.with_name("99.png").unlink()
    assert now() != before


def test_files_of_each_kind_of_folder(tmp_path: Path) -> None:
    for name in (
        "train/a.json",
        "test/b.json",
        "test/notes.txt",
        "all_data/huge.json",
        "dataset_dict.json",
        "train/data-00000-of-00001.arrow",
        "train/state.json",
        "train/cache-0123.arrow",
        "A/x.PNG",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")

    def names(files: list[Path]) -> set[str]:
        return {file.relative_to(tmp_path).as_posix() for file in files}

    assert names(leaf_files(tmp_path)) == {"train/a.json", "train/state.json", "test/b.json"}
    assert names(saved_files(tmp_path)) == {
        *("train/a.json", "test/b.json", "all_data/huge.json", "dataset_dict.json"),
        *("train/data-00000-of-00001.arrow", "train/state.json"),
    }
    assert names(pictures(tmp_path)) == set()
    shutil.rmtree(tmp_path / "train")
    assert names(pictures(tmp_path)) == {"A/x.PNG"}
    for data in ("hf", "leaf"):
        assert len(checksums(name=data, path=str(tmp_path))) == 1


def test_every_data_set_names_its_files() -> None:
    """An option of a data set whose value may be a path is among its files; ``test`` of ``hf`` is a part's name."""
    found = {
        name: {"path", "test"} & {*row.options} - {*row.facts.files}
        for name, row in BUILT_IN["dataset"].items()
    }
    assert {name: options for name, options in found.items() if options} == {"hf": {"test"}}


def test_runs_of_earlier_sessions_stay_done(tmp_path: Path) -> None:
    """Of an input that the last session does not have nothing is known."""
    image_data(tmp_path / "imgs")
    run = completed(experiment(name="image-folder", path=str(tmp_path / "imgs")))
    folder = RunFolder(tmp_path / "run")
    execute(folder, run, Execution(engine="torch"))
    sessions = json.loads(folder.environment.read_text(encoding="utf-8"))
    text = json.dumps(sessions).replace(str(tmp_path / "imgs"), "other")
    folder.environment.write_text(text, encoding="utf-8")
    assert changed_inputs(folder, run) == []


def test_data_without_files_has_no_inputs() -> None:
    assert checksums(name="digits") == {}
    assert completed(Experiment()).identity == completed(experiment_of_defaults()).identity


def experiment_of_defaults() -> Experiment:
    return build(Experiment, {"data": {"name": "digits"}})


def test_many_runs_read_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_data(tmp_path / "imgs")
    read: list[Path] = []
    digest = inputs._digest

    def seen(path: Path) -> bytes:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(inputs, "_digest", seen)
    with each_read_once():
        first = checksums(name="image-folder", path=str(tmp_path / "imgs"))
        assert first == checksums(name="image-folder", path=str(tmp_path / "imgs"))
    assert len(read) == 32
    assert first == checksums(name="image-folder", path=str(tmp_path / "imgs"))
    assert len(read) == 64


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = table(tmp_path / "mine.csv")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", denied)
    with pytest.raises(DataError, match=r"mine.csv: cannot be read: Permission denied"):
        checksums(name="csv", path=str(file))
