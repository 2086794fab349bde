"""CIFAR-100 in its official binary layout: ``train.bin`` and ``test.bin``, or the archive they come in.

A record is 3,074 bytes: the coarse label (0 .. 19), the fine label (0 .. 99), and an image as in CIFAR-10. No checksum
of this layout is known here, so the content is described as unknown.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fedskew.datasets.cifar import collected, from_archive, from_files, record_size
from fedskew.datasets.content import sha256_of
from fedskew.datasets.locate import files_of
from fedskew.datasets.published import CIFAR_100
from fedskew.datasets.statistics import channel_statistics
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo

_COARSE = """aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1
vehicles_2"""


def cifar100(root: Path, *, labels: Literal["fine", "coarse"] = "fine", verify: bool = True) -> Dataset:
    """CIFAR-100: 50,000 and 10,000 images uint8 [3, 32, 32], 100 classes or 20 groups of them.

    Reads ``root/cifar-100-binary/train.bin`` and ``test.bin``, else ``root/cifar-100-binary.tar.gz``.

    Args:
        labels: ``"fine"`` for the 100 classes, ``"coarse"`` for the 20.
        verify: there is no checksum to compare with; the SHA-256 goes into the provenance.

    Raises:
        DataError: a file is missing, of the wrong size, corrupt, or holds a label out of range.

    Reference: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, 2009.
    """
    if labels not in ("fine", "coarse"):
        raise DataError(f"cifar-100: unknown labels {labels!r}; valid: 'fine', 'coarse'")
    entry = CIFAR_100 if labels == "fine" else replace(CIFAR_100, class_names=tuple(_COARSE.split()))
    files, provenance = files_of(entry, root), list[str]()
    if len(files) == len(entry.contents):
        batches = from_files(entry, root, provenance)
    elif files:
        (archive,) = files
        provenance.append(f"{archive.name}: unknown content (SHA-256 {sha256_of(archive, limit=None)})")
        batches = from_archive(entry, archive)
    else:
        raise DataError(
            f"cifar-100 is not complete: there is neither {root / entry.folder / 'train.bin'} and test.bin nor "
            f"{root / 'cifar-100-binary.tar.gz'}",
            f"put {entry.mirrors[0]}cifar-100-binary.tar.gz there",
        )
    images, numbers = collected(entry, batches, 1 if labels == "fine" else 0)
    split = entry.contents[0].size // record_size(entry)
    mean, std = channel_statistics(images[:split])
    info = DatasetInfo(entry.name, entry.class_names, entry.image_shape, mean, std, tuple(provenance))
    x, y = torch.from_numpy(images), torch.from_numpy(numbers)
    return Dataset(info, x[:split], y[:split], x[split:], y[split:])
