"""The local training of a cohort: who trains on what, from where and how; what each client keeps afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fedskew.components.returned import checked_logit_map, checked_schedule, checked_start, checked_state
from fedskew.components.returned.tensors import described
from fedskew.errors import ConfigError
from fedskew.federation.batches import with_settings
from fedskew.federation.losses import losses_of
from fedskew.federation.own_layers import as_seen_by_the_server, kept_own, with_own
from fedskew.federation.state import RunState, copied
from fedskew.federation.world import World
from fedskew.protocols import IndexArray, LocalSettings, RoundRecord, StartView, State
from fedskew.seeding import stream
from fedskew.training.engine import CohortResult, one_thread
from fedskew.training.plan import ClientWork, plan
from fedskew.training.recipe import ATTACK_KEPT, KEPT, Recipe


@dataclass
class Trained:
    """The result of a cohort's local training; row i belongs to the i-th job.

    Attributes:
        work: the jobs of the clients that have data.
        local: deltas, buffers and reports.
        root_update: float32 [P], what the server's own data gave; None where it has none.
        start_losses: float64 [jobs], each client's loss before its training; None unless the aggregator asks for it.
        own: what honest clients keep of layers of their own, by client.
    """

    work: list[ClientWork]
    local: CohortResult
    root_update: Tensor | None
    start_losses: Tensor | None = None
    own: dict[int, State] = field(default_factory=dict)

    @property
    def followed(self) -> set[int]:
        """The clients that trained with the honest clients' objective."""
        return {job.client for job in self.work if job.recipe.prefix == KEPT}


def train_cohort(
    world: World,
    state: RunState,
    members: Sequence[int],
    shards: Sequence[IndexArray],
    acting: frozenset[int],
    history: Sequence[RoundRecord],
) -> Trained:
    """Trains the clients of a round, and on the server's own data if the aggregator asks for it.

    The server trains like an honest client in its first round: with the same objective, nothing kept of earlier rounds.

    Args:
        members: the cohort; clients without data are skipped.
        shards: what each client trains on in this round.
        acting: the adversaries that act in it.
    """
    experiment, number = world.experiment, state.round + 1
    training, attack = experiment.training, world.attack
    present = [k for k in members if len(shards[k])]
    with one_thread():
        scale = checked_schedule(training.lr_schedule.label, world.schedule(history))
        sent = _sent(world, state)
        starts = _starts(world, state, present)
    label = training.objective.label
    honest = Recipe(training.optimizer, scale, world.objective, sent, label)
    own_way = acting if attack.objective is not None or attack.training != LocalSettings() else frozenset()
    work = plan(
        experiment.seed, number, [k for k in present if k not in own_way], shards, training, honest, starts
    )
    if own_way:
        theirs = with_settings(training, attack.training)
        recipe = replace(honest, optimizer=theirs.optimizer)
        if attack.objective is not None:
            recipe = replace(
                recipe, objective=attack.objective, name=experiment.attack.label, prefix=ATTACK_KEPT
            )
        malicious = [k for k in present if k in own_way]
        work += plan(experiment.seed, number, malicious, shards, theirs, recipe, starts)
        work.sort(key=lambda job: job.client)
    honest_clients = frozenset(world.population.spread.honest)
    work = with_own(world.own, state.weights, state.clients, work, honest_clients)
    work = [mapped(world, job, shards[job.client]) for job in work]
    before = None
    if world.aggregator.start_losses:
        with one_thread():
            before = torch.from_numpy(losses_of(world, state, shards, [job.client for job in work]))
    root = world.population.spread.root
    if len(root):
        fresh = training.optimizer.model_copy(update={"state": "fresh"})
        server = experiment.clients.count  # an id that no client has
        work += plan(
            experiment.seed, number, [server], {server: root}, training, replace(honest, optimizer=fresh)
        )
        work[-1] = mapped(world, work[-1], root)
    local = world.engine.train(state.weights, state.buffers, work, state.clients)
    own = kept_own(world.own, state.weights, work, local, honest_clients)
    as_seen_by_the_server(world.own, state.weights, work, local)
    if not len(root):
        return Trained(work, local, None, before, own)
    root_update = local.deltas[-1].clone()
    return Trained(
        work[:-1],
        CohortResult(local.deltas[:-1], local.buffers[:-1], local.reports[:-1]),
        root_update,
        before,
        own,
    )


def mapped(world: World, job: ClientWork, shard: IndexArray) -> ClientWork:
    """The job with what its objective does to the logits of a client with these images."""
    logits = job.recipe.objective.logits
    if logits is None:
        return job
    classes = world.dataset.info.num_classes
    counts = torch.bincount(world.population.labels[torch.from_numpy(shard)], minlength=classes)
    found = checked_logit_map(job.recipe.name, logits(counts), classes)
    return replace(job, logit_map=found)


def _sent(world: World, state: RunState) -> State:
    """What the server sends for the objective, on the device."""
    who = f"objective {world.experiment.training.objective.label!r}: send"
    found = checked_state(who, world.objective.send(copied(state.rules["objective/0"])))
    return {name: tensor.to(world.device) for name, tensor in found.items()}


def _starts(world: World, state: RunState, clients: Sequence[int]) -> Mapping[int, Tensor] | None:
    """The weights that each client starts from, by client; None where all start from the global ones."""
    experiment, number = world.experiment, state.round + 1
    view = StartView(number, state.weights.clone(), tuple(clients))
    rng = stream(experiment.seed, "start", number)
    given = world.start.apply(view, copied(state.rules["start/0"]), rng)
    found, state.rules["start/0"] = checked_start(experiment.clients.start.label, given, view)
    if found is None:
        return None
    rows = [found] * len(clients) if found.ndim == 1 else list(found)  # one object, where all start alike
    return dict(zip(clients, rows, strict=True))


def keep_client_states(
    world: World,
    state: RunState,
    trained: Trained,
    rejected: Sequence[int],
    personal: Mapping[int, State] | None = None,
    *,
    used: bool = True,
) -> None:
    """Stores what clients keep for their next round. A rejected client's optimiser state is dropped with its update.

    What an objective's server part did not collect, since the update was rejected or the round not used, its client
    has not sent: it keeps for that objective what it kept before. SCAFFOLD and FedDyn keep sums of differences on both
    sides, and would from then on be drawn to a wrong place if only one side forgot.

    Args:
        personal: what clients keep for their personal models, which nobody rejects.
        used: whether the server made use of the round.
    """
    objectives = {KEPT: world.objective, ATTACK_KEPT: world.attack.objective}
    keeping = [prefix for prefix, objective in objectives.items() if objective and objective.keeps]
    persist = world.experiment.training.optimizer.state == "persist"
    if not persist and not keeping and not world.personal.lasting and world.own is None:
        return
    malicious = set(world.population.spread.malicious)
    kept: dict[int, State] = {}
    for job, report in zip(trained.work, trained.local.reports, strict=True):
        lost = job.client in rejected
        # An adversary follows the honest objective in some rounds and the attack's in others: it takes up each where
        # it left it.
        stay = tuple(
            prefix
            for prefix in keeping
            if lost
            or (prefix == KEPT and not used)
            or (prefix != job.recipe.prefix and job.client in malicious)
        )
        mine: State = {} if lost else report.state
        if stay:
            before = state.clients.get(job.client, {})
            mine = {name: tensor for name, tensor in mine.items() if not name.startswith(stay)}
            mine |= {name: tensor for name, tensor in before.items() if name.startswith(stay)}
        if mine or not lost:
            kept[job.client] = mine
    for client, own in (personal or {}).items():
        kept[client] = kept.get(client, {}) | own
    state.clients.keep(state.round + 1, kept, dropped=[k for k in rejected if k not in kept])


def stacked_uploads(trained: Trained, rows: Sequence[int]) -> State:
    """What these clients upload with their updates, by name, each [S, ...]; zeros for one that uploads nothing.

    Raises:
        ConfigError: two clients of one objective upload different names, or two clients other shapes under one name.
    """
    jobs = [trained.work[row] for row in rows]
    uploads = [trained.local.reports[row].uploads for row in rows]
    like: State = {}
    first: dict[str, State] = {}  # by the prefix of the objective
    for job, upload in zip(jobs, uploads, strict=True):
        who = f"objective {job.recipe.name!r}: finish"
        expected = first.setdefault(job.recipe.prefix, upload)
        if upload.keys() != expected.keys():
            raise ConfigError(
                f"{who} uploaded {sorted(upload)} at client {job.client} and {sorted(expected)} at another; "
                "clients that follow one objective upload tensors of the same names"
            )
        for name, tensor in upload.items():
            known = like.setdefault(name, tensor)
            if (tensor.dtype, tensor.shape) != (known.dtype, known.shape):
                raise ConfigError(
                    f"{who} uploaded {name!r} as {described(tensor)} at client {job.client}, another client's is "
                    f"{described(known)}; what is uploaded under one name has one type and shape"
                )
    return {
        name: torch.stack([upload.get(name, torch.zeros_like(tensor)) for upload in uploads])
        for name, tensor in like.items()
    }
