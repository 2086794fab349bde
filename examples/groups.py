"""Writes digits-groups.npz: the digits with a minority, for examples/groups.toml.

    python groups.py && fedskew study groups.toml          (in this folder)

Every sixth image is turned by a quarter and is of the group "turned", the others are "upright". A model sees five times
as many upright images and is better at them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedskew.datasets import load


def main(path: Path) -> None:
    """Write the file."""
    digits, arrays = load("digits"), {}
    for part in ("train", "test"):
        images = getattr(digits, f"x_{part}").numpy()  # uint8 [N, 1, 8, 8]
        group = (np.arange(len(images)) % 6 == 0).astype(np.int64)
        turned = np.rot90(images, axes=(2, 3))
        arrays[f"x_{part}"] = np.where(group[:, None, None, None] == 1, turned, images)
        arrays[f"y_{part}"] = getattr(digits, f"y_{part}").numpy()
        arrays[f"groups_{part}"] = group
    np.savez_compressed(path, **arrays, group_names=np.array(["upright", "turned"]))


if __name__ == "__main__":
    main(Path("digits-groups.npz"))
