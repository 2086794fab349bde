"""From what local training gave to what the server sees: the adversaries' rows, no row that is not finite."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fedskew.aggregation.matrix import drop_rows, finite_rows
from fedskew.evaluation.updates import update_metrics
from fedskew.federation.adversaries import craft
from fedskew.federation.defence import defend
from fedskew.federation.local import Trained, stacked_uploads
from fedskew.federation.state import RunState
from fedskew.federation.world import World
from fedskew.portable import total, weighted_sum
from fedskew.protocols import ClientUpdates


def collect(
    world: World, state: RunState, trained: Trained, acting: frozenset[int]
) -> tuple[list[ClientUpdates], list[int], dict[str, float]]:
    """Lets the adversaries craft, rejects what is not finite, averages buffers; all in the matrix of the training.

    Returns:
        What the server sees (in a list, which ``defend`` empties; ``trained`` releases it), the rejected clients,
        metrics of the training and the updates.
    """
    local = trained.local
    fine = finite_rows(local.deltas) & finite_rows(local.buffers)
    rejected = [job.client for job, ok in zip(trained.work, fine.tolist(), strict=True) if not ok]
    # What honest training broke goes before the adversaries look at it, what they broke after.
    updates, sizes = _updates(trained, drop_rows(local.deltas, fine), fine)

    def try_defence(rows: Tensor, reported: Tensor) -> Tensor:
        trial = replace(updates, deltas=rows, num_examples=reported)
        number, root = state.round + 1, trained.root_update
        return defend(world, state.rules, [trial], state.weights, number, root, "simulate-").change

    reported = craft(world, state, updates, acting, try_defence)
    sent = finite_rows(updates.deltas)
    for upload in updates.uploads.values():
        sent &= finite_rows(upload.reshape(len(sent), -1))
    if updates.start_losses is not None:
        sent &= updates.start_losses.isfinite()
    rejected = sorted([*rejected, *updates.client_ids[~sent].tolist()])
    updates = _kept(replace(updates, num_examples=reported), sent)
    ids, sizes = updates.client_ids, sizes[sent]
    fine[fine.clone()] = sent
    metrics = update_metrics(updates, acting)
    if len(ids):
        arrived = local.buffers[fine.to(local.buffers.device)]
        state.buffers = averaged(arrived, updates.num_examples, state.buffers)
        reports = [report for report, ok in zip(local.reports, fine.tolist(), strict=True) if ok]
        for name in ("loss", "accuracy"):
            values = torch.tensor([getattr(report, name) for report in reports], dtype=torch.float64)
            metrics[f"train_{name}"] = float(total(sizes * values) / sizes.sum())
    trained.local = replace(local, deltas=local.deltas.new_empty(0, local.deltas.shape[1]))
    return [updates], rejected, metrics


def averaged(buffers: Tensor, sizes: Tensor, before: Tensor) -> Tensor:
    """The mean [B] by n_k of the clients' buffers [S, B]. What none of them changed stays as it was: the mean
    is rounded, and a table of constants could move a little in every round."""
    mean = (weighted_sum(sizes, buffers) / sizes.sum()).to(buffers.dtype)
    return torch.where((buffers == before).all(dim=0), before, mean)


def _updates(trained: Trained, deltas: Tensor, fine: Tensor) -> tuple[ClientUpdates, Tensor]:
    """The updates of the clients for which ``fine`` is true, and their true n_k, int64 [S], on the CPU.

    Args:
        deltas: float32 [S, P], of these clients.
        fine: bool, one per job.
    """
    rows = fine.nonzero().flatten().tolist()
    jobs, reports = [trained.work[row] for row in rows], [trained.local.reports[row] for row in rows]
    sizes = torch.tensor([job.num_examples for job in jobs], dtype=torch.int64)
    return (
        ClientUpdates(
            deltas,
            sizes.to(deltas.device),
            torch.tensor([job.client for job in jobs], dtype=torch.int64),
            steps=torch.tensor([report.steps for report in reports], dtype=torch.int64),
            losses=torch.tensor([report.loss for report in reports], dtype=torch.float64),
            uploads=stacked_uploads(trained, rows),
            start_losses=None if trained.start_losses is None else trained.start_losses[rows],
        ),
        sizes,
    )


def _kept(updates: ClientUpdates, kept: Tensor) -> ClientUpdates:
    """The rows for which ``kept``, bool [S], is true; the matrix stays where it is."""
    if kept.all():
        return updates

    def part(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[kept.to(tensor.device)]

    return ClientUpdates(
        drop_rows(updates.deltas, kept),
        updates.num_examples[kept.to(updates.num_examples.device)],
        updates.client_ids[kept],
        part(updates.steps),
        part(updates.losses),
        {name: tensor[kept.to(tensor.device)] for name, tensor in updates.uploads.items()},
        part(updates.start_losses),
    )
