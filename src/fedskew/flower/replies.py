"""From the replies of Flower's clients to the updates of a round."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from flwr.app import Message, MetricRecord, RecordDict
from torch import Tensor

from fedskew.errors import ConfigError
from fedskew.flower.arrays import ModelArrays
from fedskew.flower.deployed import Reported
from fedskew.protocols import ClientUpdates

_log = logging.getLogger("flwr")  # the one that Flower shows
_LARGEST = 2**31
"""Of a number of examples, so that no sum of them leaves an int64."""


@dataclass(frozen=True)
class Answer:
    """A client's reply, read.

    Attributes:
        client, node: fedskew's number of the client, and Flower's.
        delta: float32 [P], local minus global weights.
        buffers: float64 [B], its own.
        numbers: what it reports, by the names of ``Reported``, and ``num_examples``.
    """

    client: int
    node: int
    delta: Tensor
    buffers: Tensor
    numbers: Mapping[str, float]
    content: RecordDict


def read(
    replies: Iterable[Message],
    model: ModelArrays,
    weights: Tensor,
    reported: Reported,
    num_examples: str,
    client_of: Callable[[int, int | None], int],
) -> tuple[list[Answer], list[int]]:
    """The answers of a round in the order of the clients' numbers, and the nodes whose reply was left out.

    Left out is what a run leaves out (an update that is not finite), and what is not a reply: a client must not be
    able to end a round for all others.

    Args:
        weights: float32 [P], w_t.
        num_examples: the name of this metric.
        client_of: (a node's number, the client's number that it reports, if any) -> the client's number.

    Raises:
        ConfigError: no reply can be read; says why of the first.
    """
    found: dict[int, Answer] = {}
    failed: dict[int, str] = {}
    unread: dict[int, str] = {}
    for message in sorted(replies, key=lambda m: m.metadata.src_node_id):
        node = int(message.metadata.src_node_id)
        if message.has_error():
            failed[node] = str(message.error.reason)
            continue
        try:
            answer = _answer(message.content, node, model, weights, reported, num_examples, client_of)
            if answer.client in found:
                raise ValueError(f"client {answer.client} has replied already")
        except Exception as error:  # it decodes what a client has sent, which may be anything
            unread[node] = str(error) or type(error).__name__
        else:
            found[answer.client] = answer
    if unread and not found:
        node, why = next(iter(unread.items()))
        raise ConfigError(f"no reply of the clients can be used; the first, of node {node}: {_short(why)}")
    fine = {c for c, a in found.items() if a.delta.isfinite().all() and a.buffers.isfinite().all()}
    infinite = {found[client].node: "its update is not finite" for client in found.keys() - fine}
    left_out = failed | unread | infinite
    for node, why in sorted(left_out.items()):
        _log.warning("The reply of node %d is left out: %s", node, _short(why))
    return [found[client] for client in sorted(fine)], sorted(left_out)


def _short(why: str) -> str:
    return " ".join(why.split())[:300]  # a part of it may come from a client


def _answer(
    content: RecordDict,
    node: int,
    model: ModelArrays,
    weights: Tensor,
    reported: Reported,
    num_examples: str,
    client_of: Callable[[int, int | None], int],
) -> Answer:
    """Raises an error of any kind where something is wrong with the reply."""
    (arrays,), (metrics,) = content.array_records.values(), content.metric_records.values()
    local, buffers = model.vectors({name: array.numpy() for name, array in arrays.items()})
    names = {"num_examples": num_examples, "steps": reported.steps, "client_id": reported.client_id}
    numbers: dict[str, float] = {
        field: _whole(metrics, name, 0 if field == "client_id" else 1)
        for field, name in names.items()
        if name is not None
    }
    for field in ("losses", "start_losses"):
        if (named := getattr(reported, field)) is not None:
            numbers[field] = _finite(metrics, named)
    claimed = int(numbers["client_id"]) if reported.client_id is not None else None
    client = client_of(node, claimed)
    return Answer(client, node, local - weights, buffers, numbers, content)


def _finite(metrics: MetricRecord, name: str) -> float:
    value = metrics.get(name)
    if not isinstance(value, int | float) or not -float("inf") < value < float("inf"):
        raise ValueError(f"its metric {name!r} is {value!r}, not a finite number")
    return value


def _whole(metrics: MetricRecord, name: str, least: int) -> int:
    value = _finite(metrics, name)
    if value != int(value) or not least <= value < _LARGEST:
        raise ValueError(
            f"its metric {name!r} is {value!r}, not a whole number from {least} to below {_LARGEST:,}"
        )
    return int(value)


def updates_of(answers: list[Answer]) -> ClientUpdates:
    """The updates of a round, in the order of the answers."""

    def numbers(field: str, dtype: torch.dtype) -> Tensor | None:
        there = field in answers[0].numbers
        return torch.tensor([a.numbers[field] for a in answers], dtype=dtype) if there else None

    return ClientUpdates(
        torch.stack([answer.delta for answer in answers]),
        torch.tensor([answer.numbers["num_examples"] for answer in answers], dtype=torch.int64),
        torch.tensor([answer.client for answer in answers], dtype=torch.int64),
        steps=numbers("steps", torch.int64),
        losses=numbers("losses", torch.float64),
        start_losses=numbers("start_losses", torch.float64),
    )


def mean_metrics(records: list[RecordDict], num_examples: str) -> MetricRecord:
    """The means, by the number of examples, of the metrics that all clients report as single numbers."""
    of_clients: list[dict[str, Any]] = [dict(next(iter(r.metric_records.values()))) for r in records]
    total = sum(each[num_examples] for each in of_clients)
    return MetricRecord(
        {
            name: sum(each[name] * (each[num_examples] / total) for each in of_clients)
            for name in of_clients[0]
            if name != num_examples and all(isinstance(each.get(name), int | float) for each in of_clients)
        }
    )
