"""Made-up data sets in the published formats, and a small HTTP server on loopback that can misbehave."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from fedskew.datasets.published import CIFAR_10, MNIST, Content, Entry

TRAIN, TEST, SIDE = 30, 10, 4


def sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def encode_idx(array: np.ndarray, magic: bytes | None = None) -> bytes:
    """The inverse of ``read_idx``."""
    start = magic or bytes((0, 0, 8, array.ndim))
    return start + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def tiny_mnist() -> tuple[Entry, dict[str, bytes]]:
    """A data set like MNIST's with 30 + 10 images of 4 x 4 pixels, and the content of its files."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (TRAIN, SIDE, SIDE)),
        np.arange(TRAIN) % 10,
        rng.integers(0, 256, (TEST, SIDE, SIDE)),
        np.arange(TEST) % 10,
    ]
    files = {old.name: encode_idx(array) for old, array in zip(MNIST.contents, arrays, strict=True)}
    contents = tuple(Content(name, len(data), sha256(data)) for name, data in files.items())
    return replace(MNIST, contents=contents, image_shape=(1, SIDE, SIDE)), files


def tiny_cifar() -> tuple[Entry, dict[str, bytes]]:
    """A data set like CIFAR-10's with six batches of 5 images of 3 x 2 x 2 pixels, and its files."""
    rng = np.random.default_rng(1)
    files = {}
    for old in CIFAR_10.contents:
        records = rng.integers(0, 256, (5, 13))
        records[:, 0] = rng.integers(0, 10, 5)
        files[old.name] = records.astype(np.uint8).tobytes()
    archive = tar_gz({f"cifar-10-batches-bin/{name}": data for name, data in files.items()})
    contents = tuple(Content(name, len(data), sha256(data)) for name, data in files.items())
    published = Content("cifar-10-binary.tar.gz", len(archive), sha256(archive))
    return replace(CIFAR_10, contents=contents, archive=published, image_shape=(3, 2, 2)), files


def tar_gz(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    """A compressed archive of regular files, after the ``extra`` members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in extra:
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def write_files(folder: Path, files: dict[str, bytes], *, compress: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / name).write_bytes(data)


def listing(root: Path) -> list[str]:
    """Every file below ``root`` but the lock, which says nothing about the data."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != ".fetch.lock")
    return sorted(path.relative_to(root).as_posix() for path in paths)


@dataclass
class Server:
    """What the server serves and how it behaves.

    Attributes:
        files: URL path -> content; any other path is 404.
        cuts: for the next requests, in turn: after how many bytes of the body the connection breaks.
        ranges: False ignores Range headers, as plain servers do.
        requests: (path, Range header or None) of every request so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve() -> Iterator[Server]:
    """Runs a server on 127.0.0.1 for the length of a ``with`` block."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            body = content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
