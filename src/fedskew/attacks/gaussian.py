"""Gaussian noise instead of an update, in the scale of the updates."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.attacks.reference import Seen, reference
from fedskew.portable import norm, root, total
from fedskew.protocols import AdversaryView, Attack, DatasetInfo, Rng


def gaussian(
    info: DatasetInfo,
    *,
    scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0,
    threat_model: Seen = "own-updates",
) -> Attack:
    """Each adversary sends noise instead of an update, drawn for each of them.

    Formula: delta ~ N(0, (scale * RMS)^2) in every entry

    RMS is the root mean square of all entries of the updates that they go by: those of their own training, or the
    honest ones. A row of theirs is then about scale times as long as such an update. Blanchard et al. have an absolute
    deviation, which for updates of FedAvg, with norms around 1, is so large that any rule that looks at norms sees it.

    Args:
        scale: in units of RMS; 0 sends 0.
        threat_model: "own-updates", or "all-updates" for the honest clients' RMS.

    Reference: Blanchard, El Mhamdi, Guerraoui & Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent", NeurIPS 2017 (with an absolute deviation).

    The root mean square of (3, 3, 3, 3) is 3.

    >>> from fedskew import craft
    >>> one, two = (craft("gaussian", [[3.0, 3.0, 3.0, 3.0]], scale=scale) for scale in (1.0, 2.0))
    >>> bool((two == 2 * one).all())
    True
    """

    def draw(deltas: Tensor, view: AdversaryView, rng: Rng) -> Tensor:
        rows = reference(deltas, view)
        lengths = torch.stack([norm(row.double()) for row in rows])
        rms = root(total(lengths.square()) / max(1, rows.numel()))
        noise = torch.from_numpy(rng.standard_normal(tuple(deltas.shape), dtype="float32"))
        return noise.to(deltas.device).mul_((scale * rms).to(deltas.dtype))

    return Attack(craft=draw, threat_model=threat_model)
