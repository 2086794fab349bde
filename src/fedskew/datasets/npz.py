"""``npz``: a user's own data set, as NumPy arrays in one ``.npz`` file.

====================  ===================================================================================
``x_train, x_test``   images, [N, H, W], [N, H, W, C] or [N, C, H, W]; uint8, or any integers in 0 .. 255, or
                      floats in [0, 1], which are rounded to the nearest of 256 levels
``y_train, y_test``   labels, integers [N]; the classes are 0 .. C-1 and each must occur in ``y_train``
``class_names``       optional: one string per class, else the classes are "0", "1", ...
``groups_train``,     optional, one of them or both: the group that each image belongs to, integers [N]; the groups
``groups_test``       are 0 .. G-1, at least two, and each must occur in one of the two arrays
``group_names``       optional: one string per group, else the groups are "0", "1", ...
====================  ===================================================================================

**Which axis is the channels?** The one of length 1, 3 or 4 among the second and the last. If both are (or
neither is), the file is refused until the option ``layout = "NCHW"`` or ``"NHWC"`` says it; with the option
any number of channels is accepted. Nothing is guessed from the values.

Nothing in the file can run code (pickled arrays are refused), and sizes are bounded (``npz_file``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.npz_file import read_arrays
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

Layout: TypeAlias = Literal["NCHW", "NHWC"]

CHANNEL_COUNTS = (1, 3, 4)

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("class_names", "groups_train", "groups_test", "group_names")


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
    arrays, sha256 = read_arrays(file, _REQUIRED, _OPTIONAL)
    shape_before = arrays["x_train"].shape[1:]
    if arrays["x_test"].shape[1:] != shape_before:
        raise DataError(
            f"{file}: the images of x_test are {arrays['x_test'].shape[1:]}, those of x_train {shape_before}"
        )
    order = _channel_order(file, arrays["x_train"].shape, layout)
    notes: list[str] = []
    x_train = _images(file, "x_train", arrays.pop("x_train"), order, notes)
    x_test = _images(file, "x_test", arrays.pop("x_test"), order, notes)
    sizes = {"train": len(x_train), "test": len(x_test)}
    y_train, y_test = (
        _numbers(file, f"y_{part}", arrays[f"y_{part}"], size, "label") for part, size in sizes.items()
    )
    class_names = _class_names(file, arrays.get("class_names"), y_train, y_test)
    groups = {
        part: _numbers(file, f"groups_{part}", arrays[f"groups_{part}"], size, "group")
        for part, size in sizes.items()
        if f"groups_{part}" in arrays
    }
    mean, std = channel_statistics(x_train)
    info = DatasetInfo(
        name="npz",
        class_names=class_names,
        image_shape=x_train.shape[1:],
        mean=mean,
        std=std,
        provenance=("; ".join([f"{path}: the user's own content (SHA-256 {sha256})", *notes]),),
        group_names=_group_names(file, arrays.get("group_names"), groups),
    )
    tensors = (torch.from_numpy(array) for array in (x_train, y_train, x_test, y_test))
    belongs = {f"groups_{part}": torch.from_numpy(array) for part, array in groups.items()}
    return Dataset(info, *tensors, **belongs)


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


def _numbers(file: Path, name: str, array: npt.NDArray[Any], images: int, what: str) -> npt.NDArray[np.int64]:
    """Labels or groups as int64 [N], one per image, none negative."""
    if array.shape != (images,):
        raise DataError(f"{file}: {name} has shape {array.shape}, expected ({images},): one {what} per image")
    numbers = array.astype(np.int64)
    if (smallest := int(numbers.min())) < 0:
        raise DataError(f"{file}: {name} has the {what} {smallest}; {what}s are numbered from 0")
    return numbers


def _class_names(
    file: Path,
    array: npt.NDArray[Any] | None,
    y_train: npt.NDArray[np.int64],
    y_test: npt.NDArray[np.int64],
) -> tuple[str, ...]:
    """One name per class; checks that the classes are 0 .. C-1 without a gap."""
    count = _checked_count(file, "y_train", y_train, "class")
    if (largest := int(y_test.max())) >= count:
        raise DataError(f"{file}: y_test has the label {largest}, y_train has the classes 0 to {count - 1}")
    return _names(file, "class", array, count)


def _group_names(
    file: Path, array: npt.NDArray[Any] | None, groups: dict[str, npt.NDArray[np.int64]]
) -> tuple[str, ...]:
    """One name per group, none without groups; checks that the groups are 0 .. G-1 without a gap."""
    if not groups:
        if array is not None:
            raise DataError(
                f"{file}: it has group_names, and neither groups_train nor groups_test",
                "add the group of each image, or leave out the names",
            )
        return ()
    where = " and ".join(f"groups_{part}" for part in groups)
    count = _checked_count(file, where, np.concatenate([*groups.values()]), "group")
    return _names(file, "group", array, count)


def _checked_count(file: Path, where: str, numbers: npt.NDArray[np.int64], what: str) -> int:
    """How many classes or groups there are; checks that they are 0, 1, ... without a gap, and at least two."""
    found = np.unique(numbers)
    count = len(found)
    if int(found[-1]) != count - 1:
        gap = int(np.flatnonzero(found != np.arange(count))[0])
        raise DataError(
            f"{file}: the highest {what} of {where} is {int(found[-1])}, but {what} {gap} has no image",
            "number them 0, 1, ... without a gap, e.g. with numpy.unique(numbers, return_inverse=True)",
        )
    if count < 2:
        raise DataError(f"{file}: there is one {what} only in {where}; at least two are needed")
    return count


def _names(file: Path, what: str, array: npt.NDArray[Any] | None, count: int) -> tuple[str, ...]:
    """The given names of the classes or groups, which must fit, or their numbers."""
    if array is None:
        return tuple(map(str, range(count)))
    names = tuple(map(str, array.ravel()))
    if array.ndim != 1 or len(names) != count or len(set(names)) != count:
        raise DataError(
            f"{file}: {what}_names must be {count} different strings, one per {what}; found {len(names)}"
        )
    return names
