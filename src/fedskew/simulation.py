"""The round loop: the paper's algorithm (section II-A), a generator of round records.

w_{t+1} = w_t + lr(deltas) * step(g(transform(deltas))), elementwise; delta is local minus start weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from fedskew.aggregation.matrix import drop_rows, finite_rows
from fedskew.components.completed import completed
from fedskew.components.returned import checked_verdict
from fedskew.config import Execution, Experiment
from fedskew.errors import RunError
from fedskew.evaluation.detection import detection_metrics
from fedskew.evaluation.updates import update_metrics
from fedskew.federation.adversaries import craft
from fedskew.federation.clock import Clock
from fedskew.federation.cohort import choose_cohort
from fedskew.federation.defence import Defended, defend
from fedskew.federation.evaluator import Evaluator
from fedskew.federation.local import Trained, keep_client_states, stacked_uploads, train_cohort
from fedskew.federation.observation import Watch
from fedskew.federation.records import as_kept
from fedskew.federation.world import RunState, World, build_world, empty_states, initial_state
from fedskew.protocols import ClientUpdates, Dataset, RoundRecord
from fedskew.training.engine import one_thread


def simulate(
    experiment: Experiment, *, execution: Execution | None = None, dataset: Dataset | None = None
) -> Iterator[RoundRecord]:
    """Runs an experiment in this process and yields each round's record as soon as it exists.

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
    """Continues from ``state`` until the stopping rule or the round limit says stop.

    The caller calls ``state.clients.settle()`` when a round's state is on disk (``federation.client_state``).

    Args:
        state: brought up to date before each record is yielded; ``state.finished`` says why it stopped.
        history: the records of the rounds before ``state``.
    """
    records = [as_kept(record) for record in history]
    evaluate = Evaluator(world)
    while not (records and _finished(world, records, state)):
        clock, watch = Clock(), Watch(world)
        record = _round(world, state, records, evaluate, clock, watch)
        # The rules get a copy as a resumed run would read it: an observer may change the original.
        last = _finished(world, [*records, as_kept(record)], state)
        with clock("evaluation"), one_thread():
            more = watch.numbers(state, last=last, taken=record.metrics)
            if last or state.round % world.experiment.evaluation.every == 0:
                more |= evaluate.of_clients(state, record.metrics | more)
        record = replace(record, metrics=record.metrics | more, seconds=clock.seconds())
        records.append(as_kept(record))
        yield record


def _finished(world: World, records: Sequence[RoundRecord], state: RunState) -> bool:
    verdict = checked_verdict(world.experiment.stopping.label, world.stopping(records))
    if verdict.stop:
        state.finished = verdict.reason
    elif len(records) >= world.experiment.rounds:
        state.finished = "the round limit"
    return bool(state.finished)


def _round(
    world: World,
    state: RunState,
    history: Sequence[RoundRecord],
    evaluate: Evaluator,
    clock: Clock,
    watch: Watch,
) -> RoundRecord:
    """One round: cohort, local training, adversaries, defence, evaluation. Brings ``state`` up to date."""
    number, population = state.round + 1, world.population
    act = world.experiment.adversaries.act_in(number)
    acting = frozenset(population.spread.malicious) if act else frozenset()
    shards = population.shards if act else population.spread.shards
    members = choose_cohort(world, state, shards)
    with clock("training"):
        trained = train_cohort(world, state, members, shards, acting, history)
    with clock("aggregation"), one_thread():
        sent, rejected, metrics = _collect(world, state, trained, acting)
        done = _server(world, state, trained, sent, watch)
        metrics |= detection_metrics(done.client_weights, acting) if done else {}
    with clock("client state"):
        keep_client_states(world, state, trained, rejected)
    with clock("evaluation"), one_thread():
        measured, per_class = evaluate(state)
    state.round = number
    return RoundRecord(
        round=number,
        metrics=measured | metrics,
        per_class_accuracy=per_class,
        cohort=members,
        rejected=rejected,
        empty=[k for k in members if not len(shards[k])],
        trace=done.trace if done else {},
        client_weights=done.client_weights if done else {},
    )


def _collect(
    world: World, state: RunState, trained: Trained, acting: frozenset[int]
) -> tuple[list[ClientUpdates], list[int], dict[str, float]]:
    """Lets the adversaries craft, rejects what is not finite, averages buffers; all in the matrix of the training.

    Returns:
        What the server sees (in a list, which ``defend`` empties; ``trained`` releases it), the rejected clients,
        metrics of the training and the updates.
    """
    work, local = trained.work, trained.local
    deltas, number = local.deltas, state.round + 1
    ids = torch.tensor([job.client for job in work], dtype=torch.int64)
    sizes = torch.tensor([job.num_examples for job in work], dtype=torch.int64)

    def try_defence(rows: Tensor) -> Tensor:
        trial = ClientUpdates(rows, sizes.to(rows.device), ids)
        return defend(
            world, state.rules, [trial], state.weights, number, trained.root_update, "simulate-"
        ).change

    reported = craft(world, state, deltas, ids, sizes, acting, try_defence)
    fine = finite_rows(deltas) & finite_rows(local.buffers)
    rejected = ids[~fine].tolist()
    if rejected:
        deltas = drop_rows(deltas, fine)
    rows = fine.nonzero().flatten().tolist()
    reports = [local.reports[row] for row in rows]
    ids, sizes, reported = ids[fine], sizes[fine], reported[fine]
    updates = ClientUpdates(
        deltas,
        reported.to(deltas.device),
        ids,
        steps=torch.tensor([report.steps for report in reports], dtype=torch.int64),
        losses=torch.tensor([report.loss for report in reports], dtype=torch.float64),
        uploads=stacked_uploads(trained, rows),
    )
    metrics = update_metrics(updates, [k for k in acting if k in set(ids.tolist())])
    if len(ids):
        state.buffers = (reported / reported.sum()).to(deltas.device) @ local.buffers[
            fine.to(local.buffers.device)
        ]
        shares = (sizes / sizes.sum()).double()
        for name in ("loss", "accuracy"):
            values = torch.tensor([getattr(report, name) for report in reports], dtype=torch.float64)
            metrics[f"train_{name}"] = float(shares @ values)
    trained.local = replace(local, deltas=deltas.new_empty(0, deltas.shape[1]))
    return [updates], rejected, metrics


def _server(
    world: World, state: RunState, trained: Trained, sent: list[ClientUpdates], watch: Watch
) -> Defended | None:
    """w <- w + lr(deltas) * step(g(transform(deltas))); None if no usable update was sent."""
    if not len(sent[0].client_ids):
        return None
    number, uploads = state.round + 1, dict(sent[0].uploads)
    watch.see(number, state.weights, sent[0])
    done = defend(world, state.rules, sent, state.weights, number, trained.root_update)
    watch.see_delta(done.delta)
    state.rules = done.rules
    state.rules["objective/0"] = world.objective.collect(
        state.rules["objective/0"], uploads, world.experiment.clients.count
    )
    state.weights = state.weights + done.change
    if not state.weights.isfinite().all():
        raise RunError(
            f"the global model is not finite after round {number}, though every accepted update was",
            "look at the defence, or lower server.learning_rate",
        )
    return done
