"""``npz``: a user's own data set, as NumPy arrays in one ``.npz`` file.

====================  ===================================================================================
``x_train, x_test``   images, [N, H, W], [N, H, W, C] or [N, C, H, W]; uint8, or any integers in 0 .. 255, or
                      floats in [0, 1], which are rounded to the nearest of 256 levels
``y_train, y_test``   labels, integers [N]; the classes are 0 .. C-1 and each must occur in ``y_train``
``class_names``       optional: one string per class, else the classes are "0", "1", ...
====================  ===================================================================================

**Which axis is the channels?** The one of length 1, 3 or 4 among the second and the last. If both are (or
neither is), the file is refused until the option ``layout = "NCHW"`` or ``"NHWC"`` says it; with the option
any number of channels is accepted. Nothing is guessed from the values.

Nothing in the file can run code (pickled arrays are refused), and what a member announces is compared with
the size of the member and with :data:`MAX_BYTES` before anything is allocated.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.content import MAX_EXPANSION
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

Layout: TypeAlias = Literal["NCHW", "NHWC"]

MAX_BYTES = 8 << 30
"""The most bytes that one array may take: 8 GiB."""

CHANNEL_COUNTS = (1, 3, 4)

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")


def npz(root: Path, *, path: str, layout: Layout | None = None, verify: bool = True) -> Dataset:
    """The user's own arrays, as uint8 [N, C, H, W] and int64 [N]; mean and std are those of the training
    images.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the ``.npz`` file.
        layout: which axis of images with four axes holds the channels; None: by the rule in the module's
            docstring.
        verify: there is no official content to compare with; the file's SHA-256 goes into the provenance.

    Raises:
        DataError: the file or an array is missing, corrupt, of another type or shape, or out of range.
    """
    if layout not in (None, "NCHW", "NHWC"):
        raise DataError(f"npz: unknown layout {layout!r}; valid: 'NCHW', 'NHWC'")
    file = Path(path).expanduser()
    if not file.is_absolute() and not file.is_file() and (root / file).is_file():
        file = root / file
    arrays, sha256 = _read_arrays(file)
    shape_before = arrays["x_train"].shape[1:]
    if arrays["x_test"].shape[1:] != shape_before:
        raise DataError(
            f"{file}: the images of x_test are {arrays['x_test'].shape[1:]}, those of x_train {shape_before}"
        )
    order = _channel_order(file, arrays["x_train"].shape, layout)
    notes: list[str] = []
    x_train = _images(file, "x_train", arrays.pop("x_train"), order, notes)
    x_test = _images(file, "x_test", arrays.pop("x_test"), order, notes)
    y_train = _labels(file, "y_train", arrays["y_train"], len(x_train))
    y_test = _labels(file, "y_test", arrays["y_test"], len(x_test))
    class_names = _class_names(file, arrays.get("class_names"), y_train, y_test)
    mean, std = channel_statistics(x_train)
    info = DatasetInfo(
        name="npz",
        class_names=class_names,
        image_shape=x_train.shape[1:],
        mean=mean,
        std=std,
        provenance=("; ".join([f"{path}: the user's own content (SHA-256 {sha256})", *notes]),),
    )
    tensors = (torch.from_numpy(array) for array in (x_train, y_train, x_test, y_test))
    return Dataset(info, *tensors)


def _read_arrays(file: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """The known members of the file, and the file's SHA-256."""
    try:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            with zipfile.ZipFile(stream) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                if absent := [name for name in _REQUIRED if name not in members]:
                    raise DataError(
                        f"{file}: it has no array {', '.join(absent)}",
                        f"it holds {', '.join(sorted(members)) or 'nothing'}; "
                        "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...)",
                    )
                wanted = [name for name in (*_REQUIRED, "class_names") if name in members]
                return {name: _read_member(file, archive, name, members[name]) for name in wanted}, sha256
    except FileNotFoundError as error:
        raise DataError(
            f"{file}: there is no such file",
            "the option `path` names the .npz file, from here or from the data root",
        ) from error
    # zipfile raises many kinds of errors; RuntimeError is an encrypted member.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise DataError(f"{file}: not a readable .npz file: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _read_member(file: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array, read only after its announced size has been checked."""
    allowed = "iuf" if name.startswith("x_") else "U" if name == "class_names" else "iu"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{file}: {name} is compressed in a way that NumPy does not write")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        size = math.prod(shape) * dtype.itemsize
        held = info.file_size - stream.tell()
    if dtype.kind not in allowed:
        raise DataError(f"{file}: {name} is an array of {dtype}, which is not accepted", _TYPE_HINTS[allowed])
    if size != held:
        raise DataError(f"{file}: {name} announces {size:,} bytes and holds {held:,}")
    if size > min(MAX_BYTES, file.stat().st_size * MAX_EXPANSION):
        raise DataError(
            f"{file}: {name} announces {size:,} bytes, more than is allowed or than a file of its size can hold"
        )
    with archive.open(info) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        return array


_TYPE_HINTS = {
    "iuf": "images are uint8, other integers in 0 .. 255, or floats in [0, 1]",
    "iu": "labels are integers",
    "U": "class names are an array of strings (not of objects: use numpy.array([...], dtype=str))",
}


def _channel_order(file: Path, shape: tuple[int, ...], layout: Layout | None) -> tuple[int, ...] | None:
    """The transposition to [N, C, H, W]; None for images without an axis of channels."""
    if len(shape) == 3:
        return None
    if len(shape) != 4:
        raise DataError(
            f"{file}: x_train has {len(shape)} axes, images have [N, H, W] or one more for the channels"
        )
    first, last = shape[1] in CHANNEL_COUNTS, shape[3] in CHANNEL_COUNTS
    if layout is None and first == last:
        why = "both the second and the last axis" if first else "neither the second nor the last axis"
        raise DataError(
            f"{file}: which axis of x_train {shape} holds the channels? {why} could be 1, 3 or 4 of them",
            'say it with the option layout = "NCHW" or "NHWC"',
        )
    return (0, 1, 2, 3) if layout == "NCHW" or (layout is None and first) else (0, 3, 1, 2)


def _images(
    file: Path, name: str, array: npt.NDArray[Any], order: tuple[int, ...] | None, notes: list[str]
) -> npt.NDArray[np.uint8]:
    """Images as uint8 [N, C, H, W], checked; says in ``notes`` what was done to the values."""
    if array.size == 0:
        raise DataError(f"{file}: {name} is empty: its shape is {array.shape}")
    low, high = array.min(), array.max()  # NaN, if there is one, so that the comparisons below are false
    if array.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"{file}: {name} has floats from {low:g} to {high:g}; floats must be in [0, 1]",
                "save it as uint8, or scale it; normalisation is done here, from the training images",
            )
        notes.append(f"{name}: {array.dtype} in [0, 1], rounded to 256 levels")
        array = np.rint(array * 255)
    elif not (low >= 0 and high <= 255):
        raise DataError(f"{file}: {name} has values from {low} to {high}; pixels must be in 0 .. 255")
    array = array[:, None] if order is None else array.transpose(order)
    return np.ascontiguousarray(array, dtype=np.uint8)


def _labels(file: Path, name: str, array: npt.NDArray[Any], images: int) -> npt.NDArray[np.int64]:
    """Labels as int64 [N], one per image, none negative."""
    if array.shape != (images,):
        raise DataError(f"{file}: {name} has shape {array.shape}, expected ({images},): one label per image")
    labels = array.astype(np.int64)
    if (smallest := int(labels.min())) < 0:
        raise DataError(f"{file}: {name} has the label {smallest}; labels are 0 .. C-1")
    return labels


def _class_names(
    file: Path,
    array: npt.NDArray[Any] | None,
    y_train: npt.NDArray[np.int64],
    y_test: npt.NDArray[np.int64],
) -> tuple[str, ...]:
    """One name per class; checks that the classes are 0 .. C-1 without a gap."""
    classes = np.unique(y_train)
    count = len(classes)
    if int(classes[-1]) != count - 1:
        gap = int(np.flatnonzero(classes != np.arange(count))[0])
        raise DataError(
            f"{file}: y_train goes up to {int(classes[-1])}, but class {gap} has no image",
            "number the classes 0 .. C-1 without a gap, e.g. with numpy.unique(labels, return_inverse=True)",
        )
    if count < 2:
        raise DataError(f"{file}: y_train has one class only; at least two are needed")
    if (largest := int(y_test.max())) >= count:
        raise DataError(f"{file}: y_test has the label {largest}, y_train has the classes 0 to {count - 1}")
    if array is None:
        return tuple(map(str, range(count)))
    names = tuple(map(str, array.ravel()))
    if array.ndim != 1 or len(names) != count or len(set(names)) != count:
        raise DataError(
            f"{file}: class_names must be {count} different strings, one per class; found {len(names)}"
        )
    return names
