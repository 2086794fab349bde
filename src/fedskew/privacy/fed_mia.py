"""FedMIA: the other clients' updates say what a client's update looks like that was made without a record."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedskew.privacy.scores import added, means
from fedskew.protocols import ClientUpdates, Guess, Observation, PrivacyAttack, PrivacyView, State

FEWEST = 3
"""Clients of a round: one, and two others to have a mean and a deviation."""

MOST = 100
"""Clients of a round that are measured, unless the attack is asked about more of them."""

FLOOR = 1e-8
"""Added to variances, as in the authors' code: others that agree but for rounding leave something to divide by."""


def fed_mia(*, measure: Literal["cosine", "loss"] = "cosine") -> PrivacyAttack:
    """The server's attack on each client: records on which its update stands out from the others' were trained on.

    Formula: M_k = cos(delta_k, -grad l(x; w_t)) or -l(x; w_t + delta_k);
    U_k = the other clients j with M_j <= mean + 3 standard deviations of all others;
    score_k(x) = mean over rounds t of Phi((M_k - mean of U_k) / standard deviation of U_k)

    Whatever makes a record easy for everybody is in the others' measurements too. Under skew a client that has most
    images of a class still stands out on all images of that class. That others above three deviations are left out, as
    they may hold the record, takes effect from 12 clients in a round on: no value of ten or fewer is so far away.

    Of a round's clients at most 100 are measured: those that it is asked about, then others, drawn by chance.
    A client says nothing in a round with fewer than three updates that can be measured; a client without any other
    round gets NaN.

    Args:
        measure: ``"cosine"`` (FedMIA-II) or ``"loss"`` (FedMIA-I), the loss of the local model.

    Reference: Zhu et al., "FedMIA: An Effective Membership Inference Attack Exploiting 'All for One' Principle in
    Federated Learning", CVPR 2025, section 3.3, equations 7 to 12.
    """

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None or len(updates.deltas) < FEWEST:
            return state
        weights, records, labels = observation.weights, view.records, view.labels
        if not torch.isin(updates.client_ids, view.asked).any():
            return state
        deltas, ids = compared(updates, view)
        if measure == "cosine":
            measured = view.cosines(weights, deltas, records, labels)
        else:
            measured = -torch.stack([view.losses(weights + delta, records, labels) for delta in deltas])
        known = measured.isfinite().all(
            dim=1
        )  # an update of NaN says nothing, and must not silence the others
        if int(known.sum()) < FEWEST:
            return state
        asked = torch.isin(ids[known], view.asked)
        rows = torch.searchsorted(view.asked, ids[known][asked])
        return added(state, rows, one_tailed(measured[known].double())[asked], len(view.asked))

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(means(state, len(view.asked), len(view.records)))

    return PrivacyAttack("server", "membership", guess, observe)


def compared(updates: ClientUpdates, view: PrivacyView) -> tuple[Tensor, Tensor]:
    """([n, P], int64 [n]): the updates of a round that are measured, and whose they are: those that the attack is asked
    about, and others drawn by its rng until there are ``MOST``, in the order in which they arrived."""
    ids, deltas = updates.client_ids, updates.deltas
    asked = torch.isin(ids, view.asked)
    room = max(0, MOST - int(asked.sum()))
    if len(ids) - int(asked.sum()) <= room:
        return deltas, ids
    others = (~asked).nonzero()[:, 0]
    drawn = others[torch.from_numpy(view.rng.permutation(len(others))[:room])]
    chosen = torch.cat([asked.nonzero()[:, 0], drawn]).sort().values
    return deltas[chosen.to(deltas.device)], ids[chosen]


def one_tailed(measured: Tensor) -> Tensor:
    """float64 [S, N]: how probable a lower value than each row's is under the normal distribution of the other rows.

    Deviations are those of a population, divided by the number of values.

    >>> one_tailed(torch.tensor([[0.0], [2.0], [1.0]]).double()).T.round(decimals=3)
    tensor([[0.0010, 0.9990, 0.5000]], dtype=torch.float64)

    Args:
        measured: float64 [S, N], S >= 3; higher where a record was rather trained on.
    """
    found = torch.empty_like(measured)
    for row in range(len(measured)):
        others = torch.cat([measured[:row], measured[row + 1 :]])
        spread, mean = torch.var_mean(others, dim=0, correction=0)
        kept = torch.where(others <= mean + 3 * (spread + FLOOR).sqrt(), others, torch.nan)
        mean = kept.nanmean(dim=0)
        variance = (kept - mean).square().nanmean(dim=0)
        found[row] = torch.special.ndtr((measured[row] - mean) / (variance + FLOOR).sqrt())
    return found
