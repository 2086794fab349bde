"""Which files of a folder its loader reads: for the loaders, and for the checksums of a run's inputs.

Nothing of it needs NumPy, so that a run's status can be told without importing a loader.
"""

from __future__ import annotations

from pathlib import Path

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".pgm": "PPM",
    ".ppm": "PPM",
    ".webp": "WEBP",
}
"""Of the names of image files -> Pillow's name of the format; no other decoder is tried."""


def images_in(folder: Path) -> list[Path]:
    """The image files of a class of ``image-folder`` that are not hidden, in sorted order."""
    return sorted(
        file
        for file in folder.iterdir()
        if _shown(file) and file.suffix.lower() in SUFFIXES and file.is_file()
    )


def classes_in(part: Path) -> list[Path]:
    """The folders of a part that are not hidden, in sorted order."""
    return sorted(one for one in part.iterdir() if _shown(one) and one.is_dir())


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")


def parts_of(folder: Path) -> list[Path]:
    """The folders of ``image-folder`` that hold classes: the training part, and the test part if there is one."""
    train, test = folder / "train", folder / "test"
    if not train.is_dir():
        return [folder]
    return [train, test] if test.is_dir() else [train]


def unread_part(folder: Path) -> Path | None:
    """A validation part beside ``train`` where there is no ``test``, which nothing would read."""
    train, test = folder / "train", folder / "test"
    if not train.is_dir() or test.is_dir():
        return None
    return next((part for name in ("val", "valid", "validation") if (part := folder / name).is_dir()), None)


def pictures(folder: Path) -> list[Path]:
    """All files of ``image-folder``."""
    return [file for part in parts_of(folder) for one in classes_in(part) for file in images_in(one)]


def users(part: Path) -> list[Path]:
    """The files of one part of ``leaf``, in sorted order."""
    return sorted(file for file in part.iterdir() if file.suffix == ".json")


def leaf_files(folder: Path) -> list[Path]:
    """All files of ``leaf``; what LEAF leaves beside the two parts is not read."""
    return [file for part in (folder / "train", folder / "test") if part.is_dir() for file in users(part)]


def saved_files(folder: Path) -> list[Path]:
    """All files of ``hf``, of one part or of several, without what ``datasets`` itself caches there."""
    places = [folder, *(one for one in folder.iterdir() if one.is_dir())]
    return [
        file
        for place in places
        for file in place.iterdir()
        if file.suffix in (".arrow", ".json") and not file.match("cache-*.arrow") and file.is_file()
    ]


def emnist_files(root: Path, split: str) -> list[Path]:
    """The four files of an arrangement of ``emnist`` in the data root, the training part first and images before
    labels: each with ``.gz`` if it is there so and not plain."""
    plain = [
        root / "emnist" / f"emnist-{split}-{part}-{array}-ubyte"
        for part in ("train", "test")
        for array in ("images-idx3", "labels-idx1")
    ]
    packed = [file.with_name(f"{file.name}.gz") for file in plain]
    return [p if p.is_file() and not file.is_file() else file for file, p in zip(plain, packed, strict=True)]
