"""Fetching from a real HTTP server that breaks off, forgets, lies and ignores; and what is left on disk."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from datasets_helpers import Server, listing, serve, sha256, tar_gz, tiny_cifar, tiny_mnist, write_files
from fedskew import datasets
from fedskew.datasets import download as download_module
from fedskew.datasets.published import PUBLISHED
from fedskew.errors import DataError

FIRST = "train-images-idx3-ubyte.gz"
ALL = sorted(
    f"mnist/{name}-ubyte.gz"
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with a tiny MNIST and CIFAR-10, now the only source of both."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    mnist, idx_files = tiny_mnist()
    cifar, batches = tiny_cifar()
    with serve() as state:
        for name, data in idx_files.items():
            state.files[f"/mnist/{name}.gz"] = gzip.compress(data, mtime=0)
        state.files["/cifar-10-binary.tar.gz"] = tar_gz(
            {f"cifar-10-batches-bin/{name}": data for name, data in batches.items()}
        )
        monkeypatch.setitem(PUBLISHED, "mnist", replace(mnist, mirrors=(f"{state.url}/mnist/",)))
        monkeypatch.setitem(PUBLISHED, "cifar-10", replace(cifar, mirrors=(f"{state.url}/",)))
        yield state


def test_load_fetches_what_is_missing(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "not" / "there" / "yet"
    data = datasets.load("mnist", root)
    assert len(data.x_train) == 30
    assert listing(root) == ALL
    assert len(server.requests) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert FIRST in err  # the progress bar
    datasets.load("mnist", root)
    assert len(server.requests) == 4


def test_fetch_leaves_alone_what_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    mine = tmp_path / "mnist" / "train-labels-idx1-ubyte"
    mine.write_bytes(b"my own")
    report = datasets.fetch("mnist", tmp_path, progress=False)
    assert [path for path, _ in server.requests if "train-labels" in path] == []
    assert mine.read_bytes() == b"my own"
    assert [file.status.split(":")[0] for file in report.files] == [
        "downloaded",
        "present",
        "downloaded",
        "downloaded",
    ]
    assert not datasets.verify("mnist", tmp_path).files[1].ok


def test_cifar_archive_is_fetched_and_loads(server: Server, tmp_path: Path) -> None:
    data = datasets.load("cifar-10", tmp_path)
    assert len(data.x_train) == 25
    assert listing(tmp_path) == ["cifar-10-binary.tar.gz"]


def test_other_mirrors_can_be_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(PUBLISHED["mnist"], mirrors=("http://127.0.0.1:9/",))
    monkeypatch.setitem(PUBLISHED, "mnist", entry)
    report = datasets.fetch("mnist", tmp_path, mirrors=[f"{server.url}/mnist"], progress=False)
    assert report.available


def test_a_broken_connection_is_resumed_at_once(server: Server, tmp_path: Path) -> None:
    server.cuts = [100, 50]
    report = datasets.fetch("mnist", tmp_path, progress=False)
    assert [header for path, header in server.requests if FIRST in path] == [None, "bytes=100-", "bytes=150-"]
    assert listing(tmp_path) == ALL
    assert len(report.files[0].notes) == 2
    assert report.files[1].notes == ()
    assert datasets.verify("mnist", tmp_path).available


def test_an_interrupted_fetch_is_resumed_by_the_next(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts = [100]
    monkeypatch.setattr(download_module, "TRIES", 1)
    with pytest.raises(DataError, match=f"{FIRST} could not be downloaded"):
        datasets.fetch("mnist", tmp_path, progress=False)
    assert listing(tmp_path) == [f"mnist/{FIRST}.part"]
    assert (tmp_path / "mnist" / f"{FIRST}.part").stat().st_size == 100
    assert not datasets.where("mnist", tmp_path).files[0].present
    datasets.fetch("mnist", tmp_path, progress=False)
    assert server.requests[1] == (f"/mnist/{FIRST}", "bytes=100-")
    assert listing(tmp_path) == ALL
    assert (tmp_path / "mnist" / FIRST).read_bytes() == server.files[f"/mnist/{FIRST}"]


def test_ctrl_c_leaves_a_part_that_the_next_fetch_continues(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(self: object) -> Iterator[bytes]:
        yield server.files[f"/mnist/{FIRST}"][:123]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("httpx.Response.iter_raw", press)
        with pytest.raises(KeyboardInterrupt):
            datasets.fetch("mnist", tmp_path, progress=False)
    datasets.fetch("mnist", tmp_path, progress=False)
    assert server.requests[1] == (f"/mnist/{FIRST}", "bytes=123-")
    assert listing(tmp_path) == ALL


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100]
    datasets.fetch("mnist", tmp_path, progress=False)
    assert server.requests[1][1] == "bytes=100-"
    assert (tmp_path / "mnist" / FIRST).read_bytes() == server.files[f"/mnist/{FIRST}"]


@pytest.mark.parametrize("part", [b"x" * 100, b"x" * 100_000])
def test_a_resumed_download_that_is_corrupt_is_deleted_and_begun_anew(
    server: Server, tmp_path: Path, part: bytes
) -> None:
    """The part of another file, shorter (206) or longer (416) than the right one."""
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{FIRST}.part").write_bytes(part)
    report = datasets.fetch("mnist", tmp_path, progress=False)
    (note,) = report.files[0].notes
    assert "the resumed download was not the right file and was deleted" in note
    assert [header for path, header in server.requests if FIRST in path] == [f"bytes={len(part)}-", None]
    assert datasets.verify("mnist", tmp_path).available


def test_a_complete_part_is_only_put_in_place(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{FIRST}.part").write_bytes(server.files[f"/mnist/{FIRST}"])
    assert datasets.fetch("mnist", tmp_path, progress=False).files[0].notes == ()
    assert listing(tmp_path) == ALL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"another file", mtime=0), "SHA-256 .* expected"),
        (b"<html>log in to the hotel's network</html>", "SHA-256 .* expected"),
        (gzip.compress(bytes(100_000), mtime=0), "longer than the 496 bytes it should hold"),
        (bytes(1 << 20), "longer than the 66,032 bytes it may have"),
        (gzip.compress(b"x" * 496, mtime=0)[:-4], "truncated"),
        (b"", "SHA-256 .* expected"),
        (None, "HTTP 404"),
    ],
)
def test_wrong_content_leaves_nothing(
    server: Server, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is None:
        del server.files[f"/mnist/{FIRST}"]
    else:
        server.files[f"/mnist/{FIRST}"] = content
    with pytest.raises(DataError, match=message) as caught:
        datasets.load("mnist", tmp_path)
    assert f"put {server.url}/mnist/{FIRST} at {tmp_path / 'mnist' / FIRST}" in str(caught.value.hint)
    assert listing(tmp_path) == []


def test_corrupt_archive_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/cifar-10-binary.tar.gz"] += b"\0"
    with pytest.raises(DataError, match="was not the right file and was deleted"):
        datasets.fetch("cifar-10", tmp_path, progress=False)
    assert listing(tmp_path) == []


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files[f"/bad/{FIRST}"] = b"bad"
    mirrors = [f"{server.url}/none", f"{server.url}/bad/", "http://127.0.0.1:9", f"{server.url}/mnist"]
    report = datasets.fetch("mnist", tmp_path, mirrors=mirrors, progress=False)
    assert [note.split(": ")[0] for note in report.files[0].notes] == [
        f"{m.rstrip('/')}/{FIRST}" for m in mirrors[:3]
    ]
    assert listing(tmp_path) == ALL


def test_offline(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not be downloaded: .*refused") as caught:
        datasets.fetch("mnist", tmp_path, mirrors=["http://127.0.0.1:9"], progress=False)
    assert str(tmp_path / "mnist" / FIRST) in str(caught.value.hint)
    with pytest.raises(DataError, match="is missing"):
        datasets.load("mnist", tmp_path, download=False)
    assert listing(tmp_path) == []
    assert server.requests == []


def test_a_root_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        datasets.fetch("mnist", tmp_path / "file" / "below", progress=False)
    assert "--data-dir" in str(caught.value.hint)


def test_two_processes_fetch_one_after_the_other(server: Server, tmp_path: Path) -> None:
    """Whoever comes second waits, then finds the files there: every file is asked for once."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: datasets.fetch("mnist", tmp_path, progress=False), range(4)))
    assert all(report.available for report in reports)
    assert len(server.requests) == 4
    assert listing(tmp_path) == ALL


# --- reports ----------------------------------------------------------------------------------------


def test_where(server: Server, tmp_path: Path) -> None:
    report = datasets.where("mnist", tmp_path)
    assert not report.available
    assert report.files[0].path == str(tmp_path / "mnist" / FIRST)
    assert {file.status for file in report.files} == {"missing"}
    entry, files = tiny_mnist()
    write_files(tmp_path / "mnist", files)
    report = datasets.where("mnist", tmp_path)
    assert report.available
    assert report.files[0].path == str(tmp_path / "mnist" / "train-images-idx3-ubyte")
    assert report.files[0].size == entry.contents[0].size
    assert server.requests == []


def test_verify(server: Server, tmp_path: Path) -> None:
    _, files = tiny_mnist()
    write_files(tmp_path / "mnist", files, compress=True)
    report = datasets.verify("mnist", tmp_path)
    assert report.available
    assert report.files[0].sha256 == sha256(files["train-images-idx3-ubyte"])
    assert report.files[0].status == f"official content (SHA-256 {report.files[0].sha256})"
    (tmp_path / "mnist" / FIRST).write_bytes(b"something else")
    report = datasets.verify("mnist", tmp_path)
    assert not report.available
    assert report.files[0].status.startswith("unknown content (SHA-256")
    json.dumps(asdict(report))


def test_reports_on_data_sets_without_files(tmp_path: Path) -> None:
    for name in ("digits", "npz"):
        for function in (datasets.where, datasets.verify, datasets.fetch):
            report = function(name, tmp_path)
            assert report.available
            assert "nothing to fetch" in report.note
    assert listing(tmp_path) == []


def test_unknown_name() -> None:
    for function in (datasets.load, datasets.where, datasets.verify, datasets.fetch):
        with pytest.raises(DataError, match="unknown data set 'fasion-mnist'") as caught:
            function("fasion-mnist")
        assert caught.value.hint == "did you mean 'fashion-mnist'?"


def test_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEDSKEW_DATA", str(tmp_path))
    assert datasets.data_root(Path("here")) == Path("here")
    assert datasets.data_root(Path("~/x")) == Path.home() / "x"
    assert datasets.data_root() == tmp_path
    monkeypatch.setenv("FEDSKEW_DATA", "")
    assert datasets.data_root().parts[-2:] == ("fedskew", "data")


def test_looking_is_cheap(tmp_path: Path) -> None:
    """No heavy package is imported until something is loaded or fetched."""
    code = (
        "import sys; from fedskew import datasets; "
        "[datasets.where(n) for n in datasets.names()]; datasets.verify('mnist'); "
        "print([m for m in ('torch', 'numpy', 'sklearn', 'httpx', 'rich') if m in sys.modules])"
    )
    environment = os.environ | {"FEDSKEW_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"
