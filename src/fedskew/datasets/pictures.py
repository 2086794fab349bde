"""Image files, decoded with Pillow, as uint8 arrays."""

from __future__ import annotations

import warnings
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fedskew.datasets.folders import SUFFIXES
from fedskew.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

_GREY = ("1", "L", "I", "I;16", "F", "LA")


def opened(source: Path | IO[bytes], named: str) -> Image:
    """An image that is decoded. One with more pixels than Pillow's bound is refused.

    Raises:
        DataError: it is not readable.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an image that is suspiciously large
            with Image.open(source, formats=sorted(set(SUFFIXES.values()))) as image:
                image.load()
                return image
    except (UnidentifiedImageError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{named}: not a readable image: {error}") from error
    except (OSError, ValueError, SyntaxError, Warning) as error:
        raise DataError(f"{named}: not a readable image: {error}") from error


def pixels(image: Image, size: tuple[int, int] | None, channels: int) -> npt.NDArray[np.uint8]:
    """uint8 [channels, height, width].

    Args:
        size: (height, width) to which it is brought, by bilinear interpolation; None for as it is.
        channels: 1 for grey, 3 for colour.
    """
    from PIL import Image as Pillow

    if image.mode in ("I", "F") or image.mode.startswith("I;"):  # which Pillow would cut off at 255
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > 0xFFFF:
            name = getattr(image, "filename", "") or "an image"
            raise DataError(
                f"{name}: values from {values.min():g} to {values.max():g}; expected whole numbers of 8 or 16 bits"
            )
        image = Pillow.fromarray((values >> 8).astype(np.uint8))
    shown = image.convert("L" if channels == 1 else "RGB")
    if size is not None and shown.size != (size[1], size[0]):
        shown = shown.resize((size[1], size[0]), Pillow.Resampling.BILINEAR)
    found = np.asarray(shown, dtype=np.uint8)
    return found[None] if channels == 1 else found.transpose(2, 0, 1)


def is_grey(image: Image) -> bool:
    """Whether an image has no colours by its format."""
    return image.mode in _GREY
