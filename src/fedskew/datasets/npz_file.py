"""The arrays of an ``.npz`` file from outside.

No code in it is run, and what an array announces is compared with the size of its member and with :data:`MAX_BYTES`
before anything is allocated.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fedskew.arrays import plain_errors, read_array, read_header
from fedskew.datasets.content import MAX_EXPANSION
from fedskew.errors import DataError
from fedskew.reading import open_file

MAX_BYTES = 8 << 30
"""The most bytes that one array may take: 8 GiB."""


def read_arrays(
    file: Path, required: Sequence[str], optional: Sequence[str]
) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """The arrays of these names, as far as there are optional ones, and the file's SHA-256.

    What a name starts or ends with says what its array may hold: ``x_...`` images, ``..._names`` strings, others
    whole numbers.

    Raises:
        DataError: the file or a required array is missing, or something is corrupt, too large or of another type.
    """
    try:
        with open_file(file) as stream, plain_errors():
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            with zipfile.ZipFile(stream) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                if absent := [name for name in required if name not in members]:
                    raise DataError(
                        f"{file}: it has no array {', '.join(absent)}",
                        f"it holds {', '.join(sorted(members)) or 'nothing'}; "
                        "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)",
                    )
                wanted = [name for name in (*required, *optional) if name in members]
                return {name: _read_member(file, archive, name, members[name]) for name in wanted}, sha256
    except FileNotFoundError as error:
        raise DataError(
            f"{file}: there is no such file",
            "the option `path` names the .npz file, from here or from the data root",
        ) from error
    except ValueError as error:
        raise DataError(f"{file}: not a readable .npz file: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _read_member(file: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array, read only after its announced size has been checked."""
    allowed = "iuf" if name.startswith("x_") else "U" if name.endswith("_names") else "iu"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{file}: {name} is compressed in a way that NumPy does not write")
    with archive.open(info) as stream:
        header = read_header(stream)
    size, held = header.size, info.file_size - header.start
    if header.dtype.kind not in allowed:
        raise DataError(
            f"{file}: {name} is an array of {header.dtype}, which is not accepted", _TYPE_HINTS[allowed]
        )
    if size != held:
        raise DataError(f"{file}: {name} announces {size:,} bytes and holds {held:,}")
    if size > min(MAX_BYTES, file.stat().st_size * MAX_EXPANSION):
        raise DataError(
            f"{file}: {name} announces {size:,} bytes, more than is allowed or than a file of its size can hold"
        )
    with archive.open(info) as stream:
        return read_array(stream, info.file_size)


_TYPE_HINTS = {
    "iuf": "images are uint8, other integers in 0 .. 255, or floats in [0, 1]; features are integers or floats",
    "iu": "labels, groups and clients are integers",
    "U": "names are an array of strings (not of objects: use numpy.array([...], dtype=str))",
}
