"""Data sets, splits and models: what clients learn from and what they learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a command that reads records needs no torch
    import torch
    from torch import Tensor, nn

IndexArray: TypeAlias = npt.NDArray[np.int64]
LabelArray: TypeAlias = npt.NDArray[np.int64]
Rng: TypeAlias = np.random.Generator
State: TypeAlias = dict[str, "Tensor"]
"""What a stateful component keeps from round to round: named tensors, so that it can be checkpointed. A component
returns a new one and leaves the one that it is given unchanged."""


Values: TypeAlias = Literal["pixels", "numbers", "tokens"]
"""What a data set's samples are made of; see ``DatasetInfo.values``."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a model and a report need to know of a data set without its images.

    Attributes:
        name: as in the config, e.g. ``"fashion-mnist"``.
        class_names: one per class, in label order.
        image_shape: (channels, height, width). F numbers or L tokens are channels of one pixel: (F, 1, 1), (L, 1, 1).
        mean, std: per channel, of pixel/255; the model sees ``(pixel / 255 - mean) / std``. Of numbers, per feature;
            the model sees ``(x - mean) / std``. Tokens have none.
        provenance: one line per file or archive: what it is and how it was checked; kept in the run's record.
        group_names: one per group of images, in the order of their numbers, of a data set that has groups; else none.
        client_names: one per natural client (a writer, a hospital), in the order of their numbers, of a data set that
            says from whom each image is; else none.
        values: ``"pixels"``: images, uint8. ``"numbers"``: features without image shape, as in a table, float32.
            ``"tokens"``: whole numbers such as those of words, int64, which the model sees as they are; for models of
            your own that begin with an embedding.
        feature_names: one per feature of numbers, in their order; () where they have no names.

    >>> info = DatasetInfo("mine", ("cat", "dog"), image_shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    >>> info.num_classes
    2
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    provenance: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    client_names: tuple[str, ...] = ()
    values: Values = "pixels"
    feature_names: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return len(self.class_names)

    @property
    def unit(self) -> int:
        """What a value is divided by before ``mean`` and ``std`` apply: 255 for pixels, 1 for numbers."""
        return 255 if self.values == "pixels" else 1

    @property
    def dtype(self) -> torch.dtype:
        """The type in which samples are kept."""
        import torch

        return {"pixels": torch.uint8, "numbers": torch.float32, "tokens": torch.int64}[self.values]

    def inputs(self, samples: int, value: int = 0) -> Tensor:
        """Samples [samples, *image_shape] as a model sees them, with one value everywhere; for trying a model."""
        import torch

        kind = torch.int64 if self.values == "tokens" else torch.float32
        return torch.full((samples, *self.image_shape), value, dtype=kind)


@dataclass(frozen=True)
class Dataset:
    """A classification data set, resident in memory.

    Attributes:
        x_train, x_test: [N, channels, height, width]; uint8, or float32 for numbers and int64 for tokens.
        y_train, y_test: int64 [N], in 0 .. C-1.
        groups_train, groups_test: int64 [N], in 0 .. G-1 for the G ``info.group_names``: which group each image belongs
            to, for example of people or devices. None where that is not known. No client, adversary or server sees
            them; only what is measured does.
        clients_train, clients_test: int64 [N], in 0 .. M-1 for the M ``info.client_names``: from whom each image is.
            None where that is not known.
        rows_train, rows_test: int64 [N], where both parts were drawn from one source, such as a table: the row of each
            sample there, from 0; together every row once. None where each part has a source of its own.

    >>> import torch
    >>> info = DatasetInfo("mine", ("cat", "dog"), image_shape=(1, 8, 8), mean=(0.5,), std=(0.25,))
    >>> images, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    >>> Dataset(info, images, labels, images[:2], labels[:2]).y_test
    tensor([0, 1])
    """

    info: DatasetInfo
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    groups_train: Tensor | None = None
    groups_test: Tensor | None = None
    clients_train: Tensor | None = None
    clients_test: Tensor | None = None
    rows_train: Tensor | None = None
    rows_test: Tensor | None = None


class DatasetLoader(Protocol):
    """Reads a data set from files below ``root``; it does not fetch what is missing."""

    def __call__(self, root: Path, /, **options: Any) -> Dataset: ...


class ModelFactory(Protocol):
    """Builds a fresh module that maps float [batch, channels, height, width], or int64 tokens [batch, L, 1, 1], to
    logits [batch, C]."""

    def __call__(self, info: DatasetInfo, /, **options: Any) -> nn.Module: ...


@dataclass(frozen=True)
class ParameterLayout:
    """Where each named parameter lies in the flat weight vector [P].

    Attributes:
        names: in the order of ``module.named_parameters()``.
        shapes: one per name.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each parameter."""
        return tuple(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)

    @property
    def total(self) -> int:
        """P, the number of parameters."""
        return sum(self.sizes)

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat vector [P], by name."""
        import torch

        parts = torch.split(flat, list(self.sizes))
        return {
            name: part.view(shape) for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }


def no_state() -> State:
    """The state of a component that keeps none."""
    return {}
