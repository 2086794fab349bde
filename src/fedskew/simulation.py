"""The round loop: the paper's algorithm (section II-A), a generator of round records.

w_{t+1} = w_t + lr(deltas) * step(g(transform(deltas))), elementwise; delta is local minus start weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fedskew.components.completed import completed
from fedskew.components.known import enough_updates
from fedskew.components.returned import checked_state, checked_verdict
from fedskew.config import Execution, Experiment
from fedskew.evaluation.detection import detection_metrics
from fedskew.evaluation.durability import lifespan
from fedskew.federation.clock import Clock
from fedskew.federation.cohort import choose_cohort
from fedskew.federation.collect import collect
from fedskew.federation.defence import Defended, defend, moved
from fedskew.federation.evaluator import Evaluator
from fedskew.federation.local import Trained, keep_client_states, train_cohort
from fedskew.federation.observation import Watch
from fedskew.federation.personal import measure, train_lasting
from fedskew.federation.privacy import Leaks
from fedskew.federation.records import as_ruled
from fedskew.federation.state import RunState, copied, empty_states, initial_state
from fedskew.federation.world import World, build_world
from fedskew.protocols import ClientUpdates, Dataset, RoundRecord, State
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

    >>> from fedskew import Experiment
    >>> experiment = Experiment(data="digits", split={"name": "dirichlet", "alpha": 0.5}, rounds=2)
    >>> for record in simulate(experiment):
    ...     print(record.round, sorted(record.metrics)[0])
    1 accuracy
    2 accuracy
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
    records = [as_ruled(record) for record in history]
    evaluate, leaks = Evaluator(world), Leaks(world)
    last = bool(records) and _finished(world, records, state)
    while not last:
        clock, watch = Clock(), Watch(world, state.buffers)
        record = _round(world, state, records, evaluate, clock, watch)
        records.append(as_ruled(record))
        last = _finished(world, records, state)
        of_clients = last or state.round % world.experiment.evaluation.every == 0
        with clock("evaluation"), one_thread():
            late = watch.numbers(state, last=last, taken=record.metrics)
            each: dict[int, float] = {}
            own: dict[int, float] = {}
            if of_clients:
                found, each = evaluate.of_clients(state, record.metrics | late)
                late |= found
        if of_clients and world.has_personal:
            with clock("personal models"), one_thread():
                found, own = measure(world, state, records)
                late |= found
        if world.privacy_attacks:
            with clock("privacy attacks"), one_thread():
                late |= leaks.after(state, watch, records, last=last, taken=record.metrics | late)
        yield replace(
            record,
            metrics=record.metrics | late,
            per_client_accuracy=each,
            per_client_personal=own,
            late=sorted(late),
            seconds=clock.seconds(),
        )


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
    """One round: cohort, training, adversaries, defence, personal models, evaluation. Brings ``state`` up to date."""
    number, population = state.round + 1, world.population
    act = world.experiment.adversaries.act_in(number)
    acting = frozenset(population.spread.malicious) if act else frozenset()
    shards = population.shards if act else population.unpoisoned
    with clock("training"):
        members = choose_cohort(world, state, shards)
        trained = train_cohort(world, state, members, shards, acting, history)
    begun = state.weights, state.buffers
    with clock("aggregation"), one_thread():
        sent, rejected, metrics = collect(world, state, trained, acting)
        done = _server(world, state, trained, sent, watch)
        metrics |= detection_metrics(done.client_weights, acting) if done else {}
    personal: dict[int, State] = {}
    if world.has_personal:
        with clock("personal models"):
            personal = train_lasting(world, state, trained, *begun)
    with clock("client state"):
        keep_client_states(world, state, trained, rejected, personal, used=done is not None)
    with clock("evaluation"), one_thread():
        measured, per_class, per_group = evaluate(state)
    if population.spread.malicious:
        measured |= lifespan(history, measured, world.experiment.adversaries.stop)
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
        per_group_accuracy=per_group,
    )


def _server(
    world: World, state: RunState, trained: Trained, sent: list[ClientUpdates], watch: Watch
) -> Defended | None:
    """w <- w + lr(deltas) * step(g(transform(deltas))); None if too few usable updates were sent.

    A rule that needs more updates than there are (Krum, where some were not finite, or where a drawn cohort has too
    many clients without data) leaves the model as it is; so does secure aggregation with one update, which would be
    the sum.
    """
    senders, server = len(sent[0].client_ids), world.experiment.server
    if not enough_updates(world.experiment.defence, senders) or (server.secure_aggregation and senders < 2):
        return None
    number, uploads = state.round + 1, dict(sent[0].uploads)
    followed = trained.followed & set(sent[0].client_ids.tolist())
    see = partial(watch.see, number, state.weights)
    done = defend(world, state.rules, sent, state.weights, number, trained.root_update, see=see)
    watch.see_delta(done.delta)
    state.rules |= done.rules
    # Where only adversaries with an objective of their own sent something, nothing was uploaded for this one.
    if followed:
        found = world.objective.collect(
            copied(state.rules["objective/0"]), uploads, world.experiment.clients.count
        )
        label = world.experiment.training.objective.label
        state.rules["objective/0"] = checked_state(f"objective {label!r}: collect", found)
    state.weights = moved(world, state.weights, done, number)
    return done
