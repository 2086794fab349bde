"""The mix of classes of each client, guessed from its update."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import nnls
from torch import Tensor

from fedskew.privacy.scores import of_asked
from fedskew.privacy.virtual_clients import Public, halved, virtual_clients
from fedskew.protocols import Guess, Observation, ParameterLayout, PrivacyAttack, PrivacyView, State

LARGEST = 100_000
"""Images of a virtual client, at most: an adversary may report any number of examples."""

SUM_WEIGHT = 1e3
"""Of the equation that shares add up to 1 among the equations of the least squares, whose coefficients are below 1."""


def label_inference(
    *,
    method: Literal["simulated", "analytic"] = "simulated",
    virtual: Annotated[int, Field(ge=2)] = 30,
) -> PrivacyAttack:
    """The server's guess of the shares of the classes in each client's data, from the first update of it that it sees.

    Formula: simulated: sqrt(s_kc) ~ a_c + b . z_kc, with a and b from virtual clients;
    analytic: delta_b = scale (s - P^T s), s >= 0, sum(s) = 1

    Simulated: z_kc are three numbers of client k and class c: the logarithm of the mean loss of its local model on
    public images of the class, which falls with the share of the class, and the changes of the class's bias and of the
    sum of its weights in the output layer, which rise. Virtual clients of public images, with mixes between one class
    and all alike and with as many images as the clients report, train from w_t. Over these, each number is standardised
    class by class, and least squares give the mean root a_c of each class and the slopes b, the same for all classes.

    Analytic: the gradient of the output layer's bias is the mean of softmax minus one-hot label. P[j, c] is the mean
    softmax of class c over public images of class j, so that the client's mean softmax is about P^T s. Exact after one
    step of plain SGD if the model gives all images of a class the same softmax. After more steps the softmax is no
    longer that of w_t, and Adam divides each entry by a size of its own: of the numbers little more than their order is
    left. The server learns the scale (the learning rate, after one step) from one virtual client for each client.

    Where a model's last parameters are not the weight and the bias of a layer with one output for each class, the
    analytic method gives NaN, and the simulated one has the losses only.

    What it finds is the skew itself. Later rounds tend to give less away. Virtual clients start with fresh moments, so
    that an Adam that keeps its state between rounds is simulated less well after the first. A class with fewer than two
    public images counts as absent.

    Args:
        virtual: how many virtual clients the simulated method trains, in each audited round in which there are clients
            that it has not seen before.

    Reference: analytic: Chen & Vikalo, "Recovering Labels from Local Updates in Federated Learning", ICML 2024
    (least squares with the mean softmax on auxiliary data; without its simulation of several epochs). Simulated: after
    the idea of Ma, Gao, Huang & Wang, "Whispers of Data: Unveiling Label Distributions in Federated Learning Through
    Virtual Client Simulation", 2025 (arXiv 2504.21436); the features and the regression are fedskew's own.
    """
    infer = _analytic if method == "analytic" else partial(_simulated, virtual=virtual)

    def observe(observation: Observation, view: PrivacyView, state: State) -> State:
        updates = observation.updates
        if updates is None:
            return state
        shares = state.get("shares", _unknown(len(view.asked), view))
        deltas, rows = of_asked(updates, view)
        reported = updates.num_examples.cpu()[torch.isin(updates.client_ids, view.asked)]
        order = rows.argsort()  # so that draws do not depend on the order of arrival
        rows, deltas, sizes = rows[order], deltas[order.to(deltas.device)], reported[order].clamp(max=LARGEST)
        new = shares[rows].isnan().any(dim=1) & deltas.isfinite().all(dim=1).cpu()
        if not new.any():
            return state
        found = infer(observation.weights, deltas[new.to(deltas.device)], sizes[new], view)
        return {"shares": shares.index_copy(0, rows[new], found)}

    def guess(final: Tensor, view: PrivacyView, state: State) -> Guess:
        return Guess(state.get("shares", _unknown(len(view.asked), view)))

    return PrivacyAttack("server", "labels", guess, observe)


def _unknown(clients: int, view: PrivacyView) -> Tensor:
    return torch.full((clients, view.num_classes), torch.nan, dtype=torch.float64)


def _simulated(weights: Tensor, deltas: Tensor, sizes: Tensor, view: PrivacyView, virtual: int) -> Tensor:
    """float64 [n, C], the shares guessed of clients with these updates [n, P] and numbers of images [n]."""
    public = halved(view)
    shares = _unknown(len(deltas), view)
    if not len(public.classes):
        return shares
    drawn = view.rng.choice(sizes.sort().values.numpy(), virtual).tolist()
    known = [
        (mix, class_numbers(weights, delta, public, view))
        for mix, delta in virtual_clients(weights, drawn, public, view)
    ]
    mixes, numbers = (torch.stack(column) for column in zip(*known, strict=True))
    own = torch.stack([class_numbers(weights, delta, public, view) for delta in deltas])
    usable, told = (part.flatten(1).isfinite().all(dim=1) for part in (numbers, own))
    if usable.sum() > 1:
        shares[told] = 0.0
        shares[told.nonzero(), public.classes] = regressed(numbers[usable], mixes[usable], own[told])
    return shares


def class_numbers(weights: Tensor, delta: Tensor, public: Public, view: PrivacyView) -> Tensor:
    """float64 [J, 3], or [J, 1] without an output bias: what an update says of each class."""
    images, labels = view.public[public.measured], view.public_labels[public.measured]
    losses = public.class_means(view.losses(weights + delta, images, labels))
    numbers = [losses.clamp(min=torch.finfo(torch.float32).eps).log()]  # below it nothing is told apart
    if has_output_bias(view.layout, view.num_classes):
        *_, rows, bias = view.layout.unflatten(delta.double().cpu()).values()
        numbers += [bias[public.classes], rows.flatten(1).sum(dim=1)[public.classes]]
    return torch.stack(numbers, dim=1)


def regressed(numbers: Tensor, mixes: Tensor, own: Tensor) -> Tensor:
    """float64 [n, J], the shares that least squares give; each row is at least 0 and adds up to 1.

    The roots of the shares are regressed: small shares differ more in them.

    Args:
        numbers, mixes: float64 [V, J, F] and [V, J], of virtual clients, whose shares are known.
        own: float64 [n, J, F], of those whose shares are asked.
    """
    mean, deviation = numbers.mean(dim=0), numbers.std(dim=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    known, asked = (numbers - mean) / deviation, (own - mean) / deviation
    roots = mixes.sqrt()
    centre = roots.mean(dim=0)
    slopes, *_ = np.linalg.lstsq(known.flatten(0, 1).numpy(), (roots - centre).flatten().numpy(), rcond=None)
    found = (centre + asked @ torch.from_numpy(slopes)).clamp(min=1e-6) ** 2  # not all of them 0
    return found / found.sum(dim=1, keepdim=True)


def _analytic(weights: Tensor, deltas: Tensor, sizes: Tensor, view: PrivacyView) -> Tensor:
    """As ``_simulated``, by least squares."""
    public = halved(view)
    shares = _unknown(len(deltas), view)
    if not (len(public.classes) and has_output_bias(view.layout, view.num_classes)):
        return shares
    images = view.public[public.measured]
    softmax = []
    for label in range(view.num_classes):
        losses = view.losses(weights, images, torch.full((len(images),), label))
        softmax.append(public.class_means((-losses.double()).exp()))
    one_hot = torch.eye(view.num_classes, dtype=torch.float64)[public.classes]
    step = (one_hot - torch.stack(softmax, dim=1)).T  # [C, J], minus the gradient for each class by itself
    changes = deltas[:, -view.num_classes :].double().cpu()
    for place, (mix, delta) in enumerate(virtual_clients(weights, sizes.tolist(), public, view)):
        expected, change = step @ mix, delta[-view.num_classes :].double().cpu()
        scale = expected @ change / (expected @ expected)
        if scale > 0:
            shares[place] = 0.0
            shares[place, public.classes] = solved(step, changes[place] / scale)
    return shares


def solved(step: Tensor, change: Tensor) -> Tensor:
    """The s >= 0 with sum 1 that minimises the norm of step s - change.

    Args:
        step: float64 [C, J].
        change: float64 [C].

    >>> even = torch.full((2, 2), 0.5, dtype=torch.float64)  # what a model says that knows nothing
    >>> step = torch.eye(2, dtype=torch.float64) - even
    >>> [round(float(share), 6) for share in solved(step, torch.tensor([0.25, -0.25], dtype=torch.float64))]
    [0.75, 0.25]
    """
    ones = torch.full((1, step.shape[1]), SUM_WEIGHT, dtype=torch.float64)
    right = torch.cat([change, torch.tensor([SUM_WEIGHT], dtype=torch.float64)])
    found = torch.from_numpy(nnls(torch.cat([step, ones]).numpy(), right.numpy())[0])
    return found / found.sum()


def has_output_bias(layout: ParameterLayout, classes: int) -> bool:
    """Whether the last parameters are the weight and the bias of a layer with one output for each class."""
    if len(layout.shapes) < 2:
        return False
    weight, bias = layout.shapes[-2:]
    return bias == (classes,) and len(weight) > 1 and weight[0] == classes
