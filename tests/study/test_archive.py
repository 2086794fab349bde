"""A study in one file: packed, read where a folder is, and what is refused of one from outside."""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fedskew.errors import ConfigError, RunError
from fedskew.report.write import write_report
from fedskew.runs.folder import RunFolder
from fedskew.study import archive
from fedskew.study.folder import StudyFolder
from fedskew.study.source import find_config
from report_helpers import complete, make_study


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = make_study(tmp_path / "mine", seeds=[0, 1])
    complete(folder)
    return folder


def fedskew(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedskew", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def forged(path: Path, *entries: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as written:
        for entry, content in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            written.addfile(info, io.BytesIO(content))
    return path


def test_only_complete_runs_and_no_weights_are_packed(tmp_path: Path) -> None:
    kept = [getattr(RunFolder(Path()), file).name for file in archive.KEPT]
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.toml").write_text('name = "s"\nseeds = [0, 1]\n')
    folder = StudyFolder.read(tmp_path / "s")
    done, half = (folder.run_folder(plan).path for plan in folder.planned)
    everything = [*kept, "weights.safetensors", "checkpoint.safetensors"]
    for run, names in ((done, everything), (half, kept[:-1]), (done.with_name("a-stranger"), everything)):
        run.mkdir(parents=True)
        for name in names:
            (run / name).write_text(f"{run} {name}")
    archive.pack(folder.path, [done.name], tmp_path / "s.tar.xz")
    there = archive.unpacked(tmp_path / "s.tar.xz")
    found = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert found == {"study.toml", *(f"runs/{done.name}/{name}" for name in kept)}
    for name in found:
        assert (there / name).read_bytes() == (folder.path / name).read_bytes()


def test_a_report_from_an_archive_is_that_of_its_folder(study: StudyFolder, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "mine.tar.xz"
    packed = fedskew("pack", study.path, "--out", file)
    assert packed.returncode == 0, packed.stderr
    runs = len(study.planned)
    assert packed.stdout.startswith(f"{file}: {runs} complete runs of {runs}, ")
    bytes_before = file.read_bytes()
    assert fedskew("pack", study.path, "--out", file).returncode == 0
    assert file.read_bytes() == bytes_before, "the same records give the same bytes"

    write_report(study)
    write_report(StudyFolder.find(str(file)))
    here, there = study.path / "report", tmp_path / "elsewhere" / "mine-report"
    files = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert Path("index.html") in files
    assert files == sorted(path.relative_to(there) for path in there.rglob("*") if path.is_file())
    for name in files:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_an_archive_is_unpacked_once_and_again_when_it_has_changed(
    study: StudyFolder, tmp_path: Path
) -> None:
    runs = [plan.identity for plan in study.planned]
    file = tmp_path / "mine.tar.xz"
    archive.pack(study.path, runs, file)
    first = archive.unpacked(file)
    assert archive.unpacked(tmp_path / "." / "mine.tar.xz") == first
    archive.pack(study.path, runs[:1], file)
    second = archive.unpacked(file)
    assert second != first
    assert len(RunFolder.all_below(second)) == 1
    assert StudyFolder.find(str(file)).archive == file


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        "../study.toml",
        "/etc/passwd",
        "runs/0123456789ab/../../../evil",
        "runs/0123456789ab/weights.safetensors",
        "runs/0123456789ab/rounds.jsonl/x",
        "run.py",
        link("study.toml", "/etc/passwd"),
        link("runs/0123456789ab/rounds.jsonl", "../../study.toml"),
    ],
    ids=lambda entry: entry if isinstance(entry, str) else f"link {entry.name}",
)
def test_what_is_no_record_of_a_study_is_refused(tmp_path: Path, entry: str | tarfile.TarInfo) -> None:
    name = entry if isinstance(entry, str) else entry.name
    file = forged(tmp_path / "x.tar.xz", (entry, b""), ("study.toml", b'name = "x"\n'))
    with pytest.raises(RunError) as caught:
        StudyFolder.read(file)
    assert str(caught.value).endswith(f"x.tar.xz: it holds {name!r}, which is no record of a study")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.xz"]


def test_what_holds_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = forged(tmp_path / "x.tar.xz", ("study.toml", b"x" * 50), ("claims.jsonl", b"x" * 51))
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    with pytest.raises(RunError, match="it holds more than"):
        archive.unpacked(file)
    monkeypatch.setattr(archive, "MAX_BYTES", 101)
    assert archive.unpacked(file).is_dir()


def test_a_file_twice_and_a_damaged_archive_are_refused(study: StudyFolder, tmp_path: Path) -> None:
    twice = forged(tmp_path / "twice.tar.xz", ("study.toml", b""), ("study.toml", b""))
    with pytest.raises(RunError, match=r"holds 'study\.toml' twice"):
        archive.unpacked(twice)
    whole = tmp_path / "whole.tar.xz"
    archive.pack(study.path, [plan.identity for plan in study.planned], whole)
    data = whole.read_bytes()
    for number, content in enumerate(
        (b"", b"no archive", data[: len(data) // 2], lzma.compress(b"no tar" * 200))
    ):
        file = tmp_path / f"{number}.tar.xz"
        file.write_bytes(content)
        with pytest.raises(RunError, match="not a readable archive of a study"):
            archive.unpacked(file)


def test_an_archive_is_not_added_to(study: StudyFolder, tmp_path: Path) -> None:
    file = tmp_path / "mine.tar.xz"
    archive.pack(study.path, [], file)
    with pytest.raises(ConfigError) as caught:
        find_config(str(file))
    assert "is an archive of records, which is not added to" in str(caught.value)
    shutil.unpack_archive(file, tmp_path / "again")
    assert StudyFolder.read(tmp_path / "again").study == study.study
