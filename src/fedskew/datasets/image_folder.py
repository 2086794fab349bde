"""``image-folder``: image files in one folder per class, ``train/CLASS/*.png`` and ``test/CLASS/*.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fedskew.datasets.csv_file import Fraction
from fedskew.datasets.folders import SUFFIXES, classes_in, images_in, parts_of, unread_part
from fedskew.datasets.image_table import FILE, members_in
from fedskew.datasets.locate import located
from fedskew.datasets.npz_file import MAX_BYTES
from fedskew.datasets.own import described, divided, held_for_test, missing_file
from fedskew.datasets.pictures import is_grey, opened, pixels
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

Size = Sequence[Annotated[int, Field(ge=1)]]


def image_folder(
    root: Path,
    *,
    path: str,
    size: Size | None = None,
    channels: Literal[1, 3] | None = None,
    test_fraction: Fraction = 0.2,
    table: str | None = None,
    groups: str | None = None,
    clients: str | None = None,
    verify: bool = True,
) -> Dataset:
    """Image files (PNG, JPEG, BMP, PGM, PPM, WebP) in one folder per class, whose names are the class names, sorted.

    Args:
        root: where ``path`` is looked for if it is relative and not found from the current folder.
        path: the folder that holds ``train`` and ``test``, with a folder per class in each; or the classes themselves.
        size: [height, width] to which images are brought; unless given, all must have one size.
        channels: 1 for grey, 3 for colour; unless given, grey if all files are.
        test_fraction: where there is no ``test``, the share of each class that is the test part, always the same files.
        table: a csv file with a line for each image, whose column ``file`` has its path below the folder
            (``train/cat/001.png``); looked for as ``path`` is.
        groups, clients: columns of the table that say to which group, and to which client, each image belongs.
        verify: there is no official content to compare with; one SHA-256 over all files goes into the provenance.

    Raises:
        DataError: a folder or a class is missing, a file is no image, images have several sizes, or the table lacks
            something.
    """
    if size is not None and len(size) != 2:
        raise DataError(f"image-folder: size = {list(size)}; expected [height, width]")
    columns = _columns(table, groups, clients)
    folder = located(root, path)
    if not folder.is_dir():
        raise missing_file(folder, "folder")
    if (unread := unread_part(folder)) is not None:
        raise DataError(
            f"{unread}: it would not be read; expected the folders train and test in {folder}",
            f"rename it to test; or move it away, for {folder / 'train'} to be divided (test_fraction)",
        )
    parts = parts_of(folder)
    base = parts[0]
    classes = _folders(base)
    if len(classes) < 2:
        raise DataError(
            f"{base}: {len(classes)} folders with images; expected one folder per class, at least two classes"
        )
    files = [(file, label) for label, name in enumerate(classes) for file in images_in(base / name)]
    trained = len(files)
    if len(parts) > 1:
        for name in _folders(folder / "test"):
            if name not in classes:
                raise DataError(f"{folder / 'test' / name}: there is no class {name!r} in {base}")
            files += [(file, classes.index(name)) for file in images_in(folder / "test" / name)]
    images = [file for file, _ in files]
    members = {} if table is None else members_in(located(root, table), folder, images, columns)
    x, y = _read(images, size, channels), np.array([label for _, label in files], dtype=np.int64)
    drawn = len(parts) == 1
    is_test = held_for_test(folder, y, test_fraction) if drawn else np.arange(len(y)) >= trained
    mean, std = channel_statistics(x[~is_test])
    names = {option: named for option, (named, _) in members.items()}
    provenance = [described(path, images, folder)]
    if table is not None:
        provenance.append(described(table, [located(root, table)]))
    info = DatasetInfo(
        name="image-folder",
        class_names=classes,
        image_shape=x.shape[1:],
        mean=mean,
        std=std,
        provenance=tuple(provenance),
        group_names=names.get("groups", ()),
        client_names=names.get("clients", ()),
    )
    belongs = {option: codes for option, (_, codes) in members.items()}
    return divided(info, is_test, drawn=drawn, x=x, y=y, **belongs)


def _columns(table: str | None, groups: str | None, clients: str | None) -> dict[str, str]:
    """Option -> the column of the table that it names."""
    given = {"groups": groups, "clients": clients}
    columns = {option: name for option, name in given.items() if name is not None}
    if table is None and columns:
        option, name = next(iter(columns.items()))
        raise DataError(
            f"image-folder: {option} = {name!r} is a column of a table, and the option `table` is not given",
            f'table = "FILE.csv", with the columns {FILE} (its path below the folder) and {name}',
        )
    if table is not None and not columns:
        raise DataError(
            f"image-folder: table = {table!r} is given, and neither clients nor groups",
            "name its column with the option `clients` or `groups`, or leave it out",
        )
    return columns


def _folders(base: Path) -> tuple[str, ...]:
    """The folders that are not hidden, in sorted order.

    Raises:
        DataError: one holds files, but no image.
    """
    found = classes_in(base)
    for one in found:
        others = sorted(
            {file.suffix for file in one.iterdir() if file.is_file() and not file.name.startswith(".")}
        )
        if others and not images_in(one):
            raise DataError(
                f"{one}: it has files ending in {', '.join(map(repr, others))}, and no image; expected "
                f"{', '.join(sorted(SUFFIXES))}",
                "convert them, or move the folder away if it is no class",
            )
    return tuple(one.name for one in found if images_in(one))


def _read(files: Sequence[Path], size: Size | None, channels: int | None) -> npt.NDArray[np.uint8]:
    """uint8 [N, channels, height, width]; each file is decoded once, and its size is checked before the next one."""
    wanted = None if size is None else (size[0], size[1])
    first: tuple[int, int] | None = None
    found: npt.NDArray[np.uint8] | None = None
    colours = channels or (1 if all(is_grey(opened(file, str(file))) for file in files) else 3)
    for number, file in enumerate(files):
        image = opened(file, str(file))
        there = wanted or (image.height, image.width)
        if first is not None and there != first:
            raise DataError(
                f"{file}: {image.height} x {image.width} pixels; {files[0]} has {first[0]} x {first[1]}",
                "bring all to one size with the option size = [height, width]",
            )
        if found is None:
            first = there
            if (needed := len(files) * colours * there[0] * there[1]) > MAX_BYTES:
                raise DataError(
                    f"{file.parent}: {needed:,} bytes of pixels, more than the {MAX_BYTES:,} that are read"
                )
            found = np.empty((len(files), colours, *there), dtype=np.uint8)
        found[number] = pixels(image, wanted, colours)
    assert found is not None
    return found
