"""The round loop: the paper's algorithm (section II-A), a generator of round records.

w_{t+1} = w_t + lr(deltas) * g(transform(deltas)), elementwise; delta is local minus global weights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from fedskew.aggregation.matrix import drop_rows, finite_rows
from fedskew.components.completed import completed
from fedskew.components.returned import checked_verdict, same_shape
from fedskew.config import Execution, Experiment
from fedskew.errors import RunError
from fedskew.evaluation.updates import update_metrics
from fedskew.federation.clock import Clock
from fedskew.federation.evaluator import Evaluator
from fedskew.federation.population import cohort
from fedskew.federation.records import as_kept
from fedskew.federation.world import RunState, World, build_world, empty_states, initial_state
from fedskew.protocols import (
    AdversaryView,
    ClientUpdates,
    Dataset,
    RoundRecord,
    ServerView,
    StoppingRule,
    keep_updates,
)
from fedskew.seeding import stream
from fedskew.training.engine import CohortResult, one_thread
from fedskew.training.plan import ClientWork, plan


def simulate(
    experiment: Experiment, *, execution: Execution | None = None, dataset: Dataset | None = None
) -> Iterator[RoundRecord]:
    """Runs an experiment in this process and yields each round's record as soon as it is there.

    Args:
        execution: where data lies, the device, the engine, the number of threads.
        dataset: your own ``Dataset`` instead of the one the experiment names.

    Raises:
        FedskewError: the experiment cannot be done; one sentence says why.
    """
    execution = execution or Execution()
    world = build_world(completed(experiment), execution, dataset)
    with TemporaryDirectory(prefix="fedskew-") as folder:
        clients = empty_states(world, execution.client_state, Path(folder), durable=False)
        for record in rounds(world, initial_state(world, clients), []):
            clients.settle()
            yield record


def rounds(world: World, state: RunState, history: Sequence[RoundRecord]) -> Iterator[RoundRecord]:
    """Goes on from ``state`` until the stopping rule or the round limit says stop.

    Whoever iterates calls ``state.clients.settle()`` when a round's state is safe (``federation.client_state``).

    Args:
        state: brought up to date before each record is yielded; ``state.finished`` says why it stopped.
        history: the records of the rounds that ``state`` has behind it.
    """
    experiment = world.experiment
    records = [as_kept(record) for record in history]
    evaluate = Evaluator(world)
    malicious = frozenset(world.population.spread.malicious)
    while not (records and _finished(world.stopping, records, experiment, state)):
        clock = Clock()
        number = state.round + 1
        members = [int(k) for k in cohort(experiment, number)]
        shards = world.population.shards
        empty = [k for k in members if not len(shards[k])]
        with clock("training"):
            work = plan(
                experiment.seed,
                number,
                [k for k in members if len(shards[k])],
                shards,
                experiment.training,
            )
        rejected, metrics, trace = _step(world, state, work, world.schedule(records), malicious, clock)
        with clock("evaluation"), one_thread():
            measured, per_class = evaluate(state)
        state.round = number
        record = RoundRecord(
            round=number,
            metrics=measured | metrics,
            per_class_accuracy=per_class,
            cohort=members,
            rejected=rejected,
            empty=empty,
            trace=trace,
            seconds=clock.seconds(),
        )
        # The rules look at a copy as a resumed run would read it, whatever an observer does to the original.
        records.append(as_kept(record))
        _finished(world.stopping, records, experiment, state)
        yield record


def _finished(
    stopping: StoppingRule, records: Sequence[RoundRecord], experiment: Experiment, state: RunState
) -> bool:
    verdict = checked_verdict(experiment.stopping.label, stopping(records))
    if verdict.stop:
        state.finished = verdict.reason
    elif len(records) >= experiment.rounds:
        state.finished = "the round limit"
    return bool(state.finished)


def _step(
    world: World,
    state: RunState,
    work: Sequence[ClientWork],
    lr_scale: float,
    malicious: Collection[int],
    clock: Clock,
) -> tuple[list[int], dict[str, float], dict[str, float]]:
    """Local training, then w <- w + lr(deltas) * g(transform(deltas)), and the clients' states put away.

    Of the updates there are never more than two matrices [S, P] at a time, which is why names are bound anew here:
    a transform makes one out of the last, which nothing then refers to any more.

    Returns:
        Who was rejected, metrics of the training and the updates, what the rules want to have recorded.
    """
    number, trace = state.round + 1, {}
    with clock("training"):
        local = world.engine.train(state.weights, state.buffers, work, state.clients, lr_scale)
        reports = local.reports
    with clock("aggregation"), one_thread():
        updates, rejected, metrics = _collect(world, state, number, work, local, malicious)
        del local
        if len(updates.client_ids):
            view = ServerView(number, state.weights.clone(), world.layout)
            rate = world.learning_rate(updates, world.experiment.server.learning_rate)
            for i, transform in enumerate(world.transforms):
                rng = stream(world.experiment.seed, "transform", number, i)
                updates, state.transforms[i] = transform.apply(updates, view, state.transforms[i], rng)
            delta, kept, state.aggregator = world.aggregator.apply(updates, view, state.aggregator)
            trace = {**kept.values, **_server_step(world, state, rate, delta)}
    if world.experiment.training.optimizer.state == "persist":
        with clock("client state"):
            # A rejected client's moments are as broken as its update.
            states = {
                job.client: report.state
                for job, report in zip(work, reports, strict=True)
                if job.client not in set(rejected)
            }
            state.clients.keep(number, states, dropped=rejected)
    return rejected, metrics, trace


def _collect(
    world: World,
    state: RunState,
    number: int,
    work: Sequence[ClientWork],
    local: CohortResult,
    malicious: Collection[int],
) -> tuple[ClientUpdates, list[int], dict[str, float]]:
    """Lets the adversaries craft, rejects what is not finite, averages buffers; all in the matrix of the training."""
    experiment, attack = world.experiment, world.attack
    ids = torch.tensor([job.client for job in work], dtype=torch.int64)
    sizes = torch.tensor([job.num_examples for job in work], dtype=torch.int64)
    deltas = local.deltas
    bad = torch.tensor([job.client in malicious for job in work], dtype=torch.bool)
    if bad.any() and attack.craft is not keep_updates:
        own = deltas[bad]  # a copy, as ``others`` is: the server sees what the attack returns, nothing else
        view = AdversaryView(
            round=number,
            global_weights=state.weights.clone(),
            layout=world.layout,
            client_ids=ids[bad],
            num_examples=sizes[bad].to(deltas.device),
            others=deltas[~bad] if attack.threat_model == "all-updates" else None,
        )
        crafted = attack.craft(own, view, stream(experiment.seed, "craft", number))
        deltas[bad] = same_shape(f"attack {experiment.attack.label!r}: craft", crafted, own)
        del own, view, crafted
    fine = finite_rows(deltas) & finite_rows(local.buffers)
    rejected = ids[~fine].tolist()
    if rejected:
        deltas, ids, sizes = drop_rows(deltas, fine), ids[fine], sizes[fine]
    updates = ClientUpdates(deltas, sizes.to(deltas.device), ids)
    metrics = update_metrics(updates, [job.client for job in work if job.client in malicious])
    if len(ids):
        shares = (sizes / sizes.sum()).to(deltas.device)
        state.buffers = shares @ local.buffers[fine.to(local.buffers.device)]
        kept = [report for report, ok in zip(local.reports, fine.tolist(), strict=True) if ok]
        metrics["train_loss"] = _weighted(shares, [report.loss for report in kept])
        metrics["train_accuracy"] = _weighted(shares, [report.accuracy for report in kept])
    return updates, rejected, metrics


def _weighted(shares: Tensor, values: Sequence[float]) -> float:
    return float(shares.cpu().double() @ torch.tensor(values, dtype=torch.float64))


def _server_step(world: World, state: RunState, rate: Tensor | float, delta: Tensor) -> dict[str, float]:
    """w <- w + rate * delta, elementwise; returns what there is to record of it."""
    name = f"aggregator {world.experiment.defence.aggregator.label!r}"
    state.weights = state.weights + rate * same_shape(name, delta, state.weights)
    if not state.weights.isfinite().all():
        raise RunError(
            f"the global model is not finite after round {state.round + 1}, though every accepted update was",
            "look at the defence, or lower server.learning_rate",
        )
    if isinstance(rate, Tensor) and rate.ndim:
        return {"negative_rate_share": float((rate < 0).float().mean())}
    return {}
