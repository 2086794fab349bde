"""``hf``: a data set of Hugging Face ``datasets`` that ``save_to_disk`` has written (``pip install 'fedskew[hf]'``).

Only its Arrow files and their JSON are read: no code of a hub, no download.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedskew.datasets.csv_file import Fraction
from fedskew.datasets.extra import needed
from fedskew.datasets.image_folder import Size
from fedskew.datasets.locate import located
from fedskew.datasets.npz_file import MAX_BYTES
from fedskew.datasets.own import (
    IntArray,
    described,
    divided,
    feature_statistics,
    held_for_test,
    missing_file,
)
from fedskew.datasets.pictures import is_grey, opened, pixels
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError, unknown
from fedskew.protocols import Dataset, DatasetInfo


def hf(
    root: Path,
    *,
    path: str,
    labels: str = "label",
    image: str | None = None,
    features: Sequence[str] = (),
    train: str = "train",
    test: str = "test",
    test_fraction: Fraction = 0.2,
    groups: str | None = None,
    clients: str | None = None,
    size: Size | None = None,
    channels: Literal[1, 3] | None = None,
    verify: bool = True,
) -> Dataset:
    """A data set that Hugging Face ``datasets`` has saved to disk: a column of images, or columns of numbers.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the folder that ``save_to_disk`` wrote, of one part or of several.
        labels: the column with the class of each sample.
        image: the column of images; unless given and without ``features``, ``"image"``.
        features: instead, columns of numbers or of lists of numbers, which become features.
        train, test: the names of the two parts.
        test_fraction: where there is no test part, the share of each class that is it, always the same samples.
        groups, clients: columns that say to which group, and to which client, each sample belongs.
        size: [height, width] to which images are brought; unless given, all must have one size.
        channels: 1 for grey, 3 for colour; unless given, grey if all images are.
        verify: there is no official content to compare with; one SHA-256 over all files goes into the provenance.

    Raises:
        DataError: ``datasets`` is not installed, a part or a column is missing, or a column is of another type.
    """
    folder = located(root, path)
    if not folder.is_dir():
        raise missing_file(folder, "folder")
    if image is not None and features:
        raise DataError("hf: image and features are given; expected one of them")
    column = None if features else image or "image"
    parts = _parts(folder, train, test)
    used = [name for name in (labels, column, *features, groups, clients) if name is not None]
    for part in parts:
        for name in used:
            if name not in part.column_names:
                message, hint = unknown("column", name, part.column_names)
                raise DataError(f"{folder}: {message}", hint)
    names, y = _categories(folder, parts, labels)
    sizes = [len(part) for part in parts]
    drawn = len(parts) == 1
    is_test = held_for_test(folder, y, test_fraction) if drawn else np.repeat([False, True], sizes)
    if len(set(y[~is_test].tolist())) < len(names):
        raise DataError(f"{folder}: some class of column {labels!r} is in no training sample")
    if column is not None:
        x: npt.NDArray[Any] = _images(folder, parts, column, size, channels)
        mean, std = channel_statistics(x[~is_test])
        feature_names: tuple[str, ...] = ()
    else:
        flat, feature_names = _features(folder, parts, features)
        (mean, std), x = feature_statistics(flat[~is_test]), flat[:, :, None, None]
    belongs = {
        what: _categories(folder, parts, name)
        for what, name in (("groups", groups), ("clients", clients))
        if name is not None
    }
    info = DatasetInfo(
        name="hf",
        class_names=names,
        image_shape=x.shape[1:],
        mean=mean,
        std=std,
        provenance=(described(path, sorted(f for f in folder.rglob("*.arrow") if f.is_file()), folder),),
        group_names=belongs["groups"][0] if "groups" in belongs else (),
        client_names=belongs["clients"][0] if "clients" in belongs else (),
        values="numbers" if column is None else "pixels",
        feature_names=feature_names,
    )
    codes = {what: codes for what, (_, codes) in belongs.items()}
    return divided(info, is_test, drawn=drawn, x=x, y=y, **codes)


def _parts(folder: Path, train: str, test: str) -> list[Any]:
    """The training part, and the test part if there is one."""
    library = needed("datasets", "hf")
    try:
        found = library.load_from_disk(str(folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}: not a data set that `save_to_disk` wrote: {error}") from error
    parts = {train: found} if not isinstance(found, dict) else found
    if train not in parts:
        raise DataError(f"{folder}: {unknown('part', train, parts)[0]}", "name it with the option `train`")
    for name in (train, test):
        if name in parts and not len(parts[name]):
            raise DataError(f"{folder}: part {name!r} has no rows")
    return [parts[name] for name in (train, test) if name in parts]


def _categories(folder: Path, parts: Sequence[Any], name: str) -> tuple[tuple[str, ...], IntArray]:
    """The values of a column as names, and the place of each sample's in these."""
    kinds = [part.features[name] for part in parts]
    if hasattr(kinds[0], "names"):  # a ClassLabel
        if any(tuple(getattr(kind, "names", ())) != tuple(kinds[0].names) for kind in kinds):
            raise DataError(
                f"{folder}: column {name!r} numbers its values in another order in the test part; expected "
                f"{', '.join(map(repr, kinds[0].names))} in both",
                "cast it with `cast_column` and the same `ClassLabel` before `save_to_disk`",
            )
        numbered = [cell for part in parts for cell in part[name][:]]
        if any(cell is None or not 0 <= cell < len(kinds[0].names) for cell in numbered):
            raise DataError(f"{folder}: column {name!r} must hold one of its named values in every row")
        return tuple(kinds[0].names), np.array(numbered, dtype=np.int64)
    cells = [cell for part in parts for cell in part[name][:]]
    if any(cell is None or isinstance(cell, list | dict | float) for cell in cells):
        raise DataError(f"{folder}: column {name!r} must hold whole numbers or text, without gaps")
    values, codes = np.unique(np.array(cells), return_inverse=True)
    return tuple(map(str, values.tolist())), codes.astype(np.int64)


def _features(
    folder: Path, parts: Sequence[Any], names: Sequence[str]
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    blocks, named = [], list[str]()
    for name in names:
        try:
            with np.errstate(over="ignore"):  # what is not finite in float32 is refused below
                block = np.array([cell for part in parts for cell in part[name][:]], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{folder}: column {name!r} must hold numbers, or lists of numbers of one length"
            ) from error
        if not np.isfinite(block).all():
            raise DataError(f"{folder}: column {name!r} has values that are missing, not finite or too large")
        block = block.reshape(len(block), -1)
        blocks.append(block)
        named += [name] if block.shape[1] == 1 else [f"{name}[{i}]" for i in range(block.shape[1])]
    return np.concatenate(blocks, axis=1), tuple(named)


def _images(
    folder: Path, parts: Sequence[Any], name: str, size: Size | None, channels: int | None
) -> npt.NDArray[np.uint8]:
    kind = parts[0].features[name]
    if type(kind).__name__ != "Image":
        raise DataError(
            f"{folder}: column {name!r} is no column of images",
            "columns of numbers are named with the option `features`",
        )
    library = needed("datasets", "hf")
    encoded = [part.cast_column(name, library.Image(decode=False)) for part in parts]
    found: npt.NDArray[np.uint8] | None = None
    many = sum(map(len, parts))
    colours = channels or (1 if all(is_grey(one) for one in _decoded(folder, encoded, name)) else 3)
    wanted = None if size is None else (size[0], size[1])
    for number, image in enumerate(_decoded(folder, encoded, name)):
        there = wanted or (image.height, image.width)
        if found is None:
            if many * colours * there[0] * there[1] > MAX_BYTES:
                raise DataError(f"{folder}: more than the {MAX_BYTES:,} bytes of pixels that are read")
            found = np.empty((many, colours, *there), dtype=np.uint8)
        if found.shape[2:] != there:
            raise DataError(
                f"{folder}: image {number} has {there[0]} x {there[1]} pixels, the first {found.shape[2]} x "
                f"{found.shape[3]}",
                "bring all to one size with the option size = [height, width]",
            )
        found[number] = pixels(image, wanted, colours)
    assert found is not None
    return found


def _decoded(folder: Path, parts: Sequence[Any], name: str) -> Any:
    """The images, decoded here from their bytes: a path in the data would lead out of its folder."""
    for part in parts:
        for number, row in enumerate(part[name][:]):
            if not row or row.get("bytes") is None:
                raise DataError(
                    f"{folder}: image {number} of column {name!r} is not in the data set but in a file elsewhere",
                    "save it with its images: datasets.Image(), and embed_external_files",
                )
            yield opened(BytesIO(row["bytes"]), f"{folder}: image {number}")
