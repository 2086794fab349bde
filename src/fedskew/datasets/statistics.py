"""Mean and standard deviation per channel, for data sets without published constants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_IMAGES_AT_A_TIME = 4096


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of pixel / 255, per channel.

    They come from the histogram of the 256 grey levels, whose counts are integers: the result is exact to the
    last rounding and depends neither on the order of the images nor on the machine.

    Args:
        images: uint8 [N, channels, height, width], N > 0.

    Returns:
        (mean, std), one number per channel each; the std of a constant channel is 1, so that it can be
        divided by.
    """
    channels = images.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    # In chunks, because bincount() widens its input eightfold.
    for start in range(0, len(images), _IMAGES_AT_A_TIME):
        for channel in range(channels):
            pixels = images[start : start + _IMAGES_AT_A_TIME, channel].ravel()
            counts[channel] += np.bincount(pixels, minlength=256)
    means, stds = [], []
    for histogram in counts.tolist():
        total = sum(histogram)
        first = sum(level * count for level, count in enumerate(histogram))
        second = sum(level * level * count for level, count in enumerate(histogram))
        spread = total * second - first * first  # total^2 times the variance, in Python's unbounded integers
        means.append(first / total / 255)
        stds.append(spread**0.5 / total / 255 if spread else 1.0)
    return tuple(means), tuple(stds)
