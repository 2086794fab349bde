"""What differs between clients besides who holds what: features and labels that are altered client by client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fedskew.protocols.data import DatasetInfo, Rng

if TYPE_CHECKING:  # a command that reads records needs no torch
    from torch import Tensor


@dataclass(frozen=True)
class ShiftView:
    """Whose data is to be altered.

    Attributes:
        info: of the data set.
        client: 0 .. K-1.
        num_clients: K.
    """

    info: DatasetInfo
    client: int
    num_clients: int


@dataclass(frozen=True)
class ClientShift:
    """How the data of one client differs from what the data set has.

    Attributes:
        images: (uint8 [n, channels, height, width], rng) -> what they look like at this client, of the same shape; of
            its training images and of those that it is measured on. None: as they are.
        labels: (int64 [n], rng) -> the labels that this client gives its training images. None: as they are.
        values: what was drawn for this client, by name, for the record.
    """

    images: Callable[[Tensor, Rng], Tensor] | None = None
    labels: Callable[[Tensor, Rng], Tensor] | None = None
    values: Mapping[str, float] = field(default_factory=dict)


class Shift(Protocol):
    """(view, rng) -> how the data of a client is altered. It is asked once for each honest client, with a generator of
    the client's own."""

    def __call__(self, view: ShiftView, rng: Rng, /, **options: Any) -> ClientShift: ...
