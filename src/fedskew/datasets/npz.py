"""``npz``: a user's own data set, as NumPy arrays in one ``.npz`` file: images, features or tokens.

====================  ===================================================================================
``x_train, x_test``   images, [N, H, W], [N, H, W, C] or [N, C, H, W]; uint8, or any integers in 0 .. 255, or
                      floats in [0, 1], which are rounded to the nearest of 256 levels; or features, [N, F], any
                      integers or floats; or, with the option ``values = "tokens"``, integers from 0, [N, L]
``y_train, y_test``   labels, integers [N]; the classes are 0 .. C-1 and each must occur in ``y_train``
``class_names``       optional: one string per class, else the classes are "0", "1", ...
``groups_train``,     optional, one of them or both: the group that each image belongs to, integers [N]; the groups
``groups_test``       are 0 .. G-1, at least two, and each must occur in one of the two arrays
``group_names``       optional: one string per group, else the groups are "0", "1", ...
``clients_train``,    optional, likewise: the client that each image is from, integers [N]; the clients are 0 .. M-1
``clients_test``
``client_names``      optional: one string per client, else the clients are "0", "1", ...
``feature_names``     optional, for features: one string each
====================  ===================================================================================

**Which axis is the channels?** The one of length 1, 3 or 4 among the second and the last. If both are (or
neither is), the file is refused until the option ``layout = "NCHW"`` or ``"NHWC"`` says it; with the option
any number of channels is accepted. Nothing is guessed from the values.

Nothing in the file can run code (pickled arrays are refused), and sizes are bounded (``npz_file``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch

from fedskew.datasets.locate import located
from fedskew.datasets.npz_file import read_arrays
from fedskew.datasets.own import class_names, feature_statistics, member_names, numbers_of
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo, Values

Layout: TypeAlias = Literal["NCHW", "NHWC"]

CHANNEL_COUNTS = (1, 3, 4)

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = (
    "class_names",
    "groups_train",
    "groups_test",
    "group_names",
    "clients_train",
    "clients_test",
    "client_names",
    "feature_names",
)


def npz(
    root: Path, *, path: str, layout: Layout | None = None, values: Values | None = None, verify: bool = True
) -> Dataset:
    """The user's own arrays: images as uint8 [N, C, H, W], features as float32 and tokens as int64 [N, F, 1, 1], and
    int64 [N]; mean and std are those of the training part.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the ``.npz`` file.
        layout: which axis of images with four axes holds the channels; None: by the rule in the module's
            docstring.
        values: what the samples are made of; unless given, arrays [N, F] are numbers and others are pixels.
        verify: there is no official content to compare with; the file's SHA-256 goes into the provenance.

    Raises:
        DataError: the file or an array is missing, corrupt, of another type or shape, or out of range.
    """
    if layout not in (None, "NCHW", "NHWC"):
        raise DataError(f"npz: unknown layout {layout!r}; valid: 'NCHW', 'NHWC'")
    if values not in (None, *get_args(Values)):
        raise DataError(f"npz: unknown values {values!r}; valid: {', '.join(map(repr, get_args(Values)))}")
    file = located(root, path)
    arrays, sha256 = read_arrays(file, _REQUIRED, _OPTIONAL)
    before = arrays["x_train"].shape[1:]
    what = "images" if len(before) > 1 else "rows"
    if arrays["x_test"].shape[1:] != before:
        raise DataError(
            f"{file}: the {what} of x_test are {arrays['x_test'].shape[1:]}, those of x_train {before}"
        )
    kind: Values = values or ("numbers" if len(before) == 1 else "pixels")
    notes: list[str] = []
    x_train: npt.NDArray[Any]
    x_test: npt.NDArray[Any]
    if kind == "pixels":
        order = _channel_order(file, arrays["x_train"].shape, layout)
        x_train = _images(file, "x_train", arrays.pop("x_train"), order, notes)
        x_test = _images(file, "x_test", arrays.pop("x_test"), order, notes)
        mean, std = channel_statistics(x_train)
    else:
        if layout is not None:
            raise DataError(f"{file}: layout = {layout!r} is for images, and this file has {kind}")
        x_train, x_test = (_flat(file, x, arrays.pop(x), kind) for x in ("x_train", "x_test"))
        mean, std = feature_statistics(x_train[:, :, 0, 0]) if kind == "numbers" else ((), ())
    sizes = {"train": len(x_train), "test": len(x_test)}
    labels = {
        part: numbers_of(file, f"y_{part}", arrays[f"y_{part}"], size, "label")
        for part, size in sizes.items()
    }
    belongs = {
        what: {
            part: numbers_of(file, f"{what}s_{part}", arrays[f"{what}s_{part}"], size, what)
            for part, size in sizes.items()
            if f"{what}s_{part}" in arrays
        }
        for what in ("group", "client")
    }
    info = DatasetInfo(
        name="npz",
        class_names=class_names(file, arrays.get("class_names"), labels["train"], labels["test"]),
        image_shape=x_train.shape[1:],
        mean=mean,
        std=std,
        provenance=("; ".join([f"{path}: the user's own content (SHA-256 {sha256})", *notes]),),
        group_names=member_names(file, "group", arrays.get("group_names"), belongs["group"], 2),
        client_names=member_names(file, "client", arrays.get("client_names"), belongs["client"], 1),
        values=kind,
        feature_names=_feature_names(file, arrays.get("feature_names"), kind, x_train.shape[1]),
    )
    found = {"x_train": x_train, "x_test": x_test, **{f"y_{part}": y for part, y in labels.items()}}
    for what, parts in belongs.items():
        found |= {f"{what}s_{part}": array for part, array in parts.items()}
    return Dataset(info, **{name: torch.from_numpy(array) for name, array in found.items()})


def _flat(file: Path, name: str, array: npt.NDArray[Any], kind: Values) -> npt.NDArray[Any]:
    """Features float32, or tokens int64, [N, F, 1, 1]."""
    if array.ndim != 2:
        raise DataError(f"{file}: {name} has {array.ndim} axes; {kind} have 2, [N, how many a sample has]")
    if array.size == 0:
        raise DataError(f"{file}: {name} is empty: its shape is {array.shape}")
    if kind == "tokens" and array.dtype.kind == "f":
        raise DataError(f"{file}: {name} is an array of {array.dtype}; tokens are integers")
    with np.errstate(over="ignore"):  # what is not finite in float32 is refused below
        flat = np.ascontiguousarray(array, dtype=np.int64 if kind == "tokens" else np.float32)
    if kind == "numbers" and not np.isfinite(flat).all():
        row, feature = (int(at) for at in np.argwhere(~np.isfinite(flat))[0])
        raise DataError(
            f"{file}: {name} has the value {array[row, feature]} in row {row}, feature {feature}; expected "
            "finite numbers"
        )
    return flat[:, :, None, None]


def _feature_names(
    file: Path, array: npt.NDArray[Any] | None, kind: Values, features: int
) -> tuple[str, ...]:
    if array is None:
        return ()
    if kind != "numbers":
        raise DataError(f"{file}: it has feature_names, and no features but {kind}")
    names = tuple(map(str, array.ravel()))
    if len(set(names)) != features or len(names) != features:
        raise DataError(
            f"{file}: feature_names must be {features} different strings, one per feature; found {len(names)}"
        )
    return names


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
