"""Free-riders: clients that train nothing and send what looks like an update."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedskew.portable import mean, root
from fedskew.protocols import AdversaryView, Attack, Crafted, DatasetInfo, Rng


def free_rider(info: DatasetInfo, *, noise: Annotated[float, Field(ge=0)] = 0.0) -> Attack:
    """Each adversary sends the last change of the global model, plus noise.

    Formula: delta <- w_t - w_s + noise * RMS(w_t - w_s) * z, with s the last round in which they acted;
    z ~ N(0, 1) in every entry

    w_s are the global weights of the last round in which adversaries acted: w_{t-1} where they act in every round
    ("delta weights"). In the first such round they send 0. z is drawn for each
    adversary, so that with noise their rows differ. Of what a local objective uploads they send zeros. They report the
    number of steps and the losses of an honest client.

    Args:
        noise: its standard deviation, in units of the root mean square of w_t - w_s; 0 for none.

    Reference: Lin, Du & Liu, "Free-riders in Federated Learning: Attacks and Defenses", 2019 (arXiv 1911.12560),
    section 3; Fraboni, Vidal & Lorenzi, "Free-rider Attacks on Model Aggregation in Federated Learning", AISTATS 2021.

    >>> from fedskew import craft
    >>> craft("free-rider", [[1.0, 2.0]])
    tensor([[0., 0.]])
    """

    def ride(deltas: Tensor, view: AdversaryView, rng: Rng) -> Crafted:
        now = view.global_weights
        before = (view.state or {}).get("weights", now)
        change = now - before.to(now.device)
        rows = change.expand_as(deltas).clone()
        if noise:
            drawn = torch.from_numpy(rng.standard_normal(tuple(deltas.shape), dtype="float32"))
            deviation = noise * root(mean(change.double().square())).to(now.dtype)
            rows += deviation * drawn.to(now.device)
        nothing = {name: torch.zeros_like(tensor) for name, tensor in view.uploads.items()}
        return Crafted(rows, {"weights": now.clone()}, uploads=nothing)

    return Attack(craft=ride)
