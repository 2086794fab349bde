"""A study in one file: packed, read where a folder is, and what is refused of one from outside."""

from __future__ import annotations

import io
import lzma
import random
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from fedskew.components.identity import VERSION
from fedskew.errors import ConfigError, RunError
from fedskew.report.write import write_report
from fedskew.runs.folder import RunFolder
from fedskew.study import archive
from fedskew.study.folder import StudyFolder
from fedskew.study.reuse import is_whole
from fedskew.study.source import find_config
from report_helpers import complete, make_study


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = make_study(tmp_path / "mine", seeds=[0, 1])
    complete(folder, identity_version=VERSION)
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


@pytest.mark.slow
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
    size = len(lzma.decompress(file.read_bytes()))
    for most in (100, 1100, size - 1):  # in the first header, in the second file, at the end
        monkeypatch.setattr(archive, "MAX_BYTES", most)
        with pytest.raises(RunError, match="it holds more than"):
            archive.unpacked(file)
    monkeypatch.setattr(archive, "MAX_BYTES", size)
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


REFUSED = "not a readable archive of a study: "


def refusal(file: Path, content: bytes) -> str:
    """Why a file with this content is refused; the message is one sentence, and nothing else is raised."""
    file.write_bytes(content)
    with pytest.raises(RunError) as caught:
        archive.unpacked(file)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{file}: ").removeprefix(REFUSED)


def test_what_is_cut_short_is_refused(study: StudyFolder, tmp_path: Path) -> None:
    """Wherever the file is cut, and wherever the tar file in it is: in headers, files and the mark of the end."""
    whole, cut = tmp_path / "whole.tar.xz", tmp_path / "cut.tar.xz"
    archive.pack(study.path, [plan.identity for plan in study.planned], whole)
    data = whole.read_bytes()
    points = {*range(0, len(data), 199), *range(30), *range(len(data) - 40, len(data))}
    assert {refusal(cut, data[:point]) for point in points} == {"it is cut short"}

    content = lzma.decompress(data)
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512
    assert content[end : end + 1024] == bytes(1024)
    points = {
        *random.Random(0).sample(range(end), 40),
        *range(0, 2048, 256),
        *range(end - 512, end + 1024, 128),
    }
    points |= {end + 512, end + 1023}
    assert {refusal(cut, lzma.compress(content[:point], preset=0)) for point in points} == {"it is cut short"}
    cut.write_bytes(lzma.compress(content[: end + 1024]))  # only the padding is missing
    assert archive.unpacked(cut).is_dir()


def header(name: str, size: int | bytes = 0, kind: bytes = b"0", owner: bytes = b"") -> bytes:
    """A header with a valid checksum, some of its fields as given."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size
    block[156:157] = kind
    block[108 : 108 + len(owner)] = owner
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (header("study.toml") + END + b"more", "there is more after its end"),
        (header("study.toml") + bytes(512) + header("claims.jsonl") + END, "it has no end"),
        (header("study.toml", owner=b"nonsense") + END, "invalid header"),
        (header("././@PaxHeader", 512, kind=b"x") + END, "it has an extended header"),
        (header("././@PaxHeader", 512, kind=b"g") + END, "it has an extended header"),
        (header("././@PaxHeader", 512, kind=b"X") + END, "it has an extended header"),
        (header("././@LongLink", 512, kind=b"L") + END, "it has an extended header"),
        (header("././@LongLink", 512, kind=b"K") + END, "it has an extended header"),
        (header("study.toml", 512, kind=b"S") + END, "it has an extended header"),
        (b"\xff" * 512, "bad checksum"),
        (b"y" * 512, "invalid header"),
        (b"0" * 512, "bad checksum"),
        (header("study.toml", size=b"\xff" * 12) + END, "study.toml has a size below 0"),
        (header("study.toml", size=b"\x80" + b"\x7f" * 11) + END, "it holds more than 4 GiB"),
    ],
)
def test_an_odd_tar_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str
) -> None:
    """What it was unpacked into is removed at once."""
    (own := tmp_path / "own").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    assert refusal(tmp_path / "x.tar.xz", lzma.compress(content)).startswith(why)
    assert not any(own.iterdir())


def test_what_follows_the_compressed_stream_is_refused(study: StudyFolder, tmp_path: Path) -> None:
    file = tmp_path / "x.tar.xz"
    archive.pack(study.path, [], file)
    whole = file.read_bytes()
    for more in (b"x", bytes(4), whole):
        assert refusal(file, whole + more) == "there is more after its end"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is that of Linux")
@pytest.mark.parametrize("kind", [b"x", b"0"], ids=["an extended header", "a file"])
def test_little_memory_is_taken(tmp_path: Path, kind: bytes) -> None:
    """Of 64 MiB at once there would not be enough."""
    file = tmp_path / "x.tar.xz"
    with lzma.open(file, "wb", preset=0) as packed:
        packed.write(header("study.toml", 1 << 30, kind=kind))
        for _ in range(64):  # the rest is missing
            packed.write(bytes(1 << 20))
    script = (
        "import resource, sys; from pathlib import Path; from fedskew.study import archive\n"
        "now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + (40 << 20),) * 2)\n"
        "archive.unpacked(Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=False)
    why = "it is cut short" if kind == b"0" else "it has an extended header"
    assert f"RunError: {file}: {REFUSED}{why}" in ended.stderr


def test_a_dictionary_of_gigabytes_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096}]
    content = bytearray(lzma.compress(header("study.toml") + END, filters=filters))
    block = content[12 : 12 + (content[12] + 1) * 4]
    at = block.index(bytes([lzma.FILTER_LZMA2, 1])) + 2
    block[at] = 40  # the largest: 4 GiB - 1
    block[-4:] = zlib.crc32(block[:-4]).to_bytes(4, "little")
    content[12 : 12 + len(block)] = block
    assert refusal(tmp_path / "x.tar.xz", bytes(content)) == "Memory usage limit exceeded"


RESULTS = sorted((Path(__file__).parents[2] / "results").glob("*.tar.xz"))


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.name)
def test_published_archives_are_read(file: Path) -> None:
    folder = StudyFolder.read(file)
    done = sorted({plan.identity for plan in folder.planned if folder.status(plan)[0] == "done"})
    assert done == [run.name for run in RunFolder.all_below(folder.path)]
    plans = {plan.identity: plan for plan in folder.planned}
    assert all(is_whole(folder.run_folder(plans[name]), plans[name]) for name in done)


def test_an_archive_has_no_extended_headers(study: StudyFolder, tmp_path: Path) -> None:
    file = tmp_path / "x.tar.xz"
    archive.pack(study.path, [plan.identity for plan in study.planned], file)
    with tarfile.open(file) as packed:
        for entry in packed:
            assert entry.type == tarfile.REGTYPE
            assert entry.pax_headers == {}


@pytest.mark.parametrize("place", ["file/x.tar.xz", "folder.tar.xz", f"{'x' * 300}.tar.xz"])
def test_a_place_that_cannot_be_written_is_named(study: StudyFolder, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.tar.xz").mkdir()
    before = sorted(tmp_path.iterdir())
    ended = fedskew("pack", study.path, "-o", tmp_path / place)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {tmp_path / place} cannot be written: ")
    assert ended.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_record_that_cannot_be_read_is_named(study: StudyFolder, tmp_path: Path) -> None:
    run = study.run_folder(study.planned[0])
    run.timings.unlink()
    run.timings.mkdir()
    with pytest.raises(RunError) as caught:
        archive.pack(study.path, [run.name], tmp_path / "x.tar.xz")
    assert str(caught.value) == f"{run.timings} cannot be read: Is a directory"


def test_runs_with_damaged_records_are_left_out_and_named(study: StudyFolder, tmp_path: Path) -> None:
    broken, torn, missing, changed, ended, *whole = (study.run_folder(plan) for plan in study.planned)
    broken.rounds.write_text("no JSON\n" + broken.rounds.read_text())
    torn.rounds.write_bytes(torn.rounds.read_bytes()[:-5])
    missing.rounds.unlink()
    changed.config.write_bytes(whole[0].config.read_bytes())
    ended.result.write_text("{}")
    file = tmp_path / "x.tar.xz"
    packed = fedskew("pack", study.path, "-o", file)
    assert packed.returncode == 0, packed.stderr
    names = ", ".join(sorted(run.name for run in (broken, torn, missing, changed, ended)))
    assert packed.stderr == (
        f"note: left out: 5 runs with missing or damaged records, or changed inputs: {names}; "
        "remove the folder of a run to do it again\n"
    )
    assert packed.stdout.startswith(f"{file}: {len(whole)} complete runs of {len(study.planned)}, ")
    there = RunFolder.all_below(archive.unpacked(file))
    assert [run.name for run in there] == sorted(run.name for run in whole)
