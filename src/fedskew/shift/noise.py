"""Covariate shift: each client's images have noise of a strength of their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedskew.protocols import ClientShift, Rng, ShiftView
from fedskew.shift.pixels import pixels


def noise(view: ShiftView, rng: Rng, *, std: Annotated[float, Field(ge=0, le=10)]) -> ClientShift:
    """Gaussian noise in every pixel, the stronger the larger the client's number.

    Formula: s_k = std (k + 1) / K;
    x' = x + 255 s_k z, z ~ N(0, 1) for each pixel, cut to 0 .. 255

    The paper's text states the strength as a variance; here, as in its authors' code, it is a standard deviation.

    Args:
        std: the standard deviation of the noise of the last client, in units of the range of a pixel.

    Reference: Li, Diao, Chen & He, "Federated Learning on Non-IID Data Silos: An Experimental Study", 2021 (arXiv
    2102.02079; noise-based feature imbalance).
    """
    scale = std * (view.client + 1) / view.num_clients

    def noisy(images: Tensor, draws: Rng) -> Tensor:
        return pixels(images.numpy() + 255 * scale * draws.standard_normal(tuple(images.shape)))

    return ClientShift(images=noisy, values={"std": scale})
