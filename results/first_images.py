"""The first 10,000 training images of Fashion-MNIST and its 10,000 test images, as an npz file.

    python results/first_images.py first-10000.npz

The data of the study ``precision-fashion-mnist``, whose model is the 6-layer CNN: with all 60,000 images each of its
runs would take six times as long.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fedskew.datasets import load

COUNT = 10_000


def main() -> None:
    """Writes the file that the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    data = load("fashion-mnist")
    np.savez(
        Path(sys.argv[1]),
        x_train=data.x_train[:COUNT].numpy(),
        y_train=data.y_train[:COUNT].numpy(),
        x_test=data.x_test.numpy(),
        y_test=data.y_test.numpy(),
        class_names=np.array(data.info.class_names),
    )


if __name__ == "__main__":
    main()
