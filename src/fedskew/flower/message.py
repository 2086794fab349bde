"""The strategy itself, for Flower's Message API (``flwr.serverapp``)."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from fedskew.audit.notation import in_notation
from fedskew.components.known import enough_updates
from fedskew.config import Clients, Component, to_plain
from fedskew.errors import ConfigError, unknown
from fedskew.federation.chain import Chain, first_states
from fedskew.federation.collect import averaged
from fedskew.federation.defence import Defended, defend, moved
from fedskew.flower.arrays import ModelArrays, arrays_of
from fedskew.flower.deployed import Reported, check_released
from fedskew.flower.replies import Answer, mean_metrics, read, updates_of
from fedskew.training.engine import one_thread

_log = logging.getLogger("flwr")  # the one that Flower shows
_OPTIONS = inspect.signature(FedAvg).parameters


def cohort(clients: int, options: Mapping[str, Any]) -> int:
    """How many of so many nodes Flower samples in a round.

    Raises:
        ConfigError: an option that Flower's FedAvg does not have.
    """
    for name in options:
        if name not in _OPTIONS:
            raise ConfigError(*unknown("option of Flower's FedAvg", name, _OPTIONS), name)
    given = {name: parameter.default for name, parameter in _OPTIONS.items()} | dict(options)
    count: int = Clients(count=clients).count
    sampled = max(int(count * given["fraction_train"]), int(given["min_train_nodes"]))
    return max(1, min(count, sampled))


class FedskewStrategy(FedAvg):
    """Flower's FedAvg with a fedskew server in the place of its average; made by ``fedskew.flower.strategy``.

    It samples nodes and evaluates as Flower's FedAvg does. In the metrics of each round's training it records, beside
    the means of what clients report, ``fedskew/clients`` and ``fedskew/nodes`` (whose updates there were),
    ``fedskew/client-weights`` (the weight of each of them in the aggregate, where the rule says it),
    ``fedskew/left-out`` (nodes whose reply was not used) and the rule's trace, ``fedskew/trace/...``.

    Attributes:
        chain: the server's rules.
        rules: what they keep, by name, after the last round.
        clients: a node's number in Flower -> the client's number, from 0 in the order of the nodes' numbers; nodes that
            come later have the numbers after these.
    """

    def __init__(
        self,
        chain: Chain,
        reported: Reported,
        root_update: Callable[[int, ArrayRecord], ArrayRecord] | None,
        buffers: frozenset[str] | None,
        frozen: frozenset[str],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(**{"train_metrics_aggr_fn": mean_metrics, **options})
        self.chain = chain
        self.rules = first_states(chain)
        self.clients: dict[int, int] = {}
        self._reported, self._root_update = reported, root_update
        self._buffers, self._frozen = buffers, frozen
        self._model: ModelArrays | None = None
        self._sent: ArrayRecord | None = None

    def summary(self) -> None:
        """Logs what Flower logs of a FedAvg, and the defence."""
        super().summary()
        defence, server = self.chain.experiment.defence, self.chain.experiment.server
        for kind, parts in (
            ("transforms", defence.transforms),
            ("aggregator", (defence.aggregator,)),
            ("learning rate", (defence.learning_rate,)),
            (f"server step, times {server.learning_rate:g}", (server.step,)),
        ):
            _log.info("\t├──> %s: %s", kind, " + ".join(map(_told, parts)) or "none")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As Flower's; keeps what is sent, from which deltas are taken."""
        if self._model is None:
            self._model = arrays_of(_plain(arrays), self._buffers, self._frozen)
            check_released(self.chain, self._model.buffers)
            self.chain = replace(self.chain, layout=self._model.layout, frozen=self._model.frozen)
        self._sent = arrays
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._number([*grid.get_node_ids(), *(message.metadata.dst_node_id for message in messages)])
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The new weights, and the metrics of the round; no weights where too few updates came for the defence, so that
        the model stays as it is, as in a run.

        Raises:
            FedskewError: no reply can be read, a rule fails, or the new weights are not finite; one sentence.
        """
        if self._model is None or self._sent is None:
            raise ConfigError(
                "aggregate_train needs the weights that clients started from: call configure_train first"
            )
        weights, buffers = self._model.vectors(_plain(self._sent))
        answers, left_out = read(
            replies, self._model, weights, self._reported, self.weighted_by_key, self._client_of
        )
        if not answers:
            return None, None
        arrays = done = None
        if enough_updates(self.chain.experiment.defence, len(answers)):
            root = self._root(server_round, self._model, self._sent, weights)
            with one_thread():
                updates = [updates_of(answers)]
                done = defend(self.chain, self.rules, updates, weights, server_round, root)
                after = moved(self.chain, weights, done, server_round)
                sizes = torch.tensor([int(answer.numbers["num_examples"]) for answer in answers])
                kept = averaged(torch.stack([answer.buffers for answer in answers]), sizes, buffers)
            self.rules |= done.rules
            arrays = _record(self._model, after, kept)
        else:
            _log.warning("%d updates are too few for this defence: the model stays as it is", len(answers))
        return arrays, self._metrics(answers, left_out, done)

    def _root(self, number: int, model: ModelArrays, sent: ArrayRecord, weights: Tensor) -> Tensor | None:
        """The update [P] of the server's own training, for a rule that asks for it."""
        if self._root_update is None:
            return None
        try:
            trained, _ = model.vectors(_plain(self._root_update(number, sent)))
        except ValueError as error:
            raise ConfigError(
                f"what root_update returns is not the model: {error}", field="root_update"
            ) from None
        root = trained - weights
        if not root.isfinite().all():
            raise ConfigError("what root_update returns is not finite", field="root_update")
        return root

    def _metrics(self, answers: list[Answer], left_out: list[int], done: Defended | None) -> MetricRecord:
        metrics = MetricRecord(
            dict(self.train_metrics_aggr_fn([answer.content for answer in answers], self.weighted_by_key))
        )
        clients = [answer.client for answer in answers]
        metrics["fedskew/clients"] = clients
        metrics["fedskew/nodes"] = [answer.node for answer in answers]
        metrics["fedskew/left-out"] = left_out
        if done is not None and done.client_weights:
            metrics["fedskew/client-weights"] = [done.client_weights[client] for client in clients]
        for name, value in done.trace.items() if done is not None else ():
            metrics[f"fedskew/trace/{name}"] = float(value)
        return metrics

    def _client_of(self, node: int, claimed: int | None) -> int:
        """Raises ``ValueError`` where a client claims to be one that there is not."""
        if claimed is None:
            return self.clients[node]
        if claimed >= self.chain.experiment.clients.count:
            raise ValueError(
                f"it says that it is client {claimed}, and clients = {self.chain.experiment.clients.count}"
            )
        return claimed

    def _number(self, nodes: Iterable[int]) -> None:
        for node in sorted({*nodes} - self.clients.keys()):
            self.clients[node] = len(self.clients)
        experiment, there = self.chain.experiment, len(self.clients)
        if self._reported.client_id is None and there > experiment.clients.count:
            _log.warning("%d nodes have been there, and clients = %d", there, experiment.clients.count)
            more = experiment.model_copy(
                update={"clients": experiment.clients.model_copy(update={"count": there})}
            )
            self.chain = replace(self.chain, completed=replace(self.chain.completed, experiment=more))


def _told(component: Component) -> str:
    return in_notation(to_plain(component))


def _plain(arrays: ArrayRecord) -> dict[str, Any]:
    return {name: array.numpy() for name, array in arrays.items()}


def _record(model: ModelArrays, parameters: Tensor, buffers: Tensor) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in model.arrays(parameters, buffers).items()})
