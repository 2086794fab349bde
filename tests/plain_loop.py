"""Local training as a reader of the paper would write it, in float64: what every engine is compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedskew.protocols import DatasetInfo
from fedskew.training.arithmetic import step_seed
from fedskew.training.engine import CohortResult
from fedskew.training.plan import ClientWork
from fedskew.training.resident.dropout import KeyedDropout, dropout_keys, keyed
from tolerance import EXACT, Rounding

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


def plain_loop(
    module: nn.Module,
    info: DatasetInfo,
    images: Tensor,
    labels: Tensor,
    rounds: Sequence[Sequence[ClientWork]],
    make: MakeOptimizer,
    rounding: Rounding = EXACT,
    fresh_optimizers: bool = False,
) -> list[Tensor]:
    """One optimiser per client, one module per client, plain loops; every round starts from the initial weights.

    Dropout layers use the masks that are a function of the client's seed.

    Returns:
        Blocks, in the order of ``in_blocks``: round by round and client by client the change of each parameter,
        the buffers, loss and accuracy.
    """
    exact, _ = keyed(copy.deepcopy(module).double())
    clients = [copy.deepcopy(exact) for _ in rounds[0]]
    optimizers = [make(client.parameters()) for client in clients]
    found = []
    for jobs in rounds:
        if fresh_optimizers:
            optimizers = [make(client.parameters()) for client in clients]
        for job, client, optimizer in zip(jobs, clients, optimizers, strict=True):
            client.load_state_dict(exact.state_dict())
            masked = [layer for layer in client.modules() if isinstance(layer, KeyedDropout)]
            total, right, seen = torch.zeros((), dtype=torch.float64), 0, 0
            for number, batch in enumerate(job.batches):
                seed = torch.tensor(step_seed(job.seed, number))
                for layer in masked:
                    layer.keys = dropout_keys(seed, len(masked), len(batch))
                x = rounding.summed(normalised(images[batch], info))
                stored = [p.detach().clone() for p in client.parameters()]
                with torch.no_grad():
                    for parameter in client.parameters():
                        parameter.copy_(rounding.multiplied(parameter))
                optimizer.zero_grad()
                logits = client(x)
                losses = rounding.cross_entropy(logits, labels[batch])
                losses.mean().backward()  # type: ignore[no-untyped-call]
                with torch.no_grad():
                    for parameter, kept in zip(client.parameters(), stored, strict=True):
                        parameter.copy_(rounding.stored(kept))
                        if parameter.grad is not None:
                            parameter.grad.copy_(rounding.summed(parameter.grad))
                optimizer.step()
                total += losses.detach().sum()
                right += int((logits.argmax(1) == labels[batch]).sum())
                seen += len(batch)
            found += [
                (after - before).detach()
                for after, before in zip(client.parameters(), exact.parameters(), strict=True)
            ]
            found.append(torch.cat([torch.zeros(0), *(b.flatten() for b in client.buffers())]).double())
            found.append(rounding.stored(total / seen))
            found.append(torch.tensor(right / seen, dtype=torch.float64))
    return found


def plain_losses(
    module: nn.Module, info: DatasetInfo, images: Tensor, labels: Tensor, rounding: Rounding = EXACT
) -> Tensor:
    """The loss of each image in evaluation mode, float64 [n]."""
    exact = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(rounding.multiplied(parameter))
        logits = exact(rounding.summed(normalised(images, info)))
        return rounding.cross_entropy(logits, labels)


def normalised(images: Tensor, info: DatasetInfo) -> Tensor:
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (info.mean, info.std))
    return (images.double() / (255 if info.values == "pixels" else 1) - mean) / std


def in_blocks(module: nn.Module, results: Iterable[CohortResult]) -> list[Tensor]:
    """What an engine found, in the blocks of ``plain_loop``."""
    found: list[Tensor] = []
    for result in results:
        for delta, buffers, report in zip(result.deltas, result.buffers, result.reports, strict=True):
            parts = torch.split(delta, [p.numel() for p in module.parameters()])
            found += [part.view(p.shape) for part, p in zip(parts, module.parameters(), strict=True)]
            found += [
                buffers,
                torch.tensor(report.loss, dtype=torch.float64),
                torch.tensor(report.accuracy, dtype=torch.float64),
            ]
    return found
