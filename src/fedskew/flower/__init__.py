"""A Flower strategy that aggregates as a fedskew run does, so that what was audited is what is deployed.

>>> from importlib.util import find_spec
>>> if find_spec("flwr"):  # the extra: pip install 'fedskew[flower]'
...     deployed = strategy("median", clients=10)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from fedskew.config import Defence, Server
from fedskew.config.component import Named
from fedskew.errors import ConfigError
from fedskew.flower.deployed import Reported, check_reported, deployed

if TYPE_CHECKING:
    from fedskew.flower.message import FedskewStrategy

__all__ = ["strategy"]


def strategy(
    defence: Defence | Mapping[str, Any] | str | Callable[..., Any],
    *,
    clients: int,
    server: Server | Mapping[str, Any] | None = None,
    objective: Named = "none",
    seed: int | None = None,
    steps: str | None = None,
    losses: str | None = None,
    start_losses: str | None = None,
    client_id: str | None = None,
    root_update: Callable[[int, Any], Any] | None = None,
    buffers: Collection[str] | None = None,
    frozen: Collection[str] = (),
    **options: Any,
) -> FedskewStrategy:
    """A strategy for ``flwr.serverapp`` whose rounds do what the server of a run does with its updates.

    w_{t+1} = w_t + lr(deltas) * step(g(transform(deltas))), in float32; what the rules keep is kept from round to round
    in the strategy.

    Args:
        defence: as ``fedskew audit`` takes it, ``"nnm(f=2) + krum(f=2)"``; or a table of ``defence.transforms``,
            ``aggregator`` and ``learning_rate``, the record of an experiment, or an aggregator of your own.
        clients: K, how many clients there are, in a round or not.
        server: ``server.learning_rate`` and ``server.step``, as in a config.
        objective: what clients minimise in addition to their loss, where a rule is one half of a method (FedDyn).
        seed: of what rules draw, with the number of the round; drawn by the operating system unless given, so that
            clients cannot know it.
        steps: the name of the metric by which clients report how many optimiser steps they took, for rules that need
            it. The number of examples has the name that Flower's option ``weighted_by_key`` says, "num-examples" by
            default.
        losses: likewise, of their mean training loss.
        start_losses: likewise, of their loss before training.
        client_id: the name of the metric by which clients say who they are, 0 to K - 1; unless given, Flower's nodes
            are numbered. Clients can lie about it: for simulations.
        root_update: (round, w_t as an ``ArrayRecord``) -> the same after local training on the server's own data, for
            rules that ask for it (FLTrust).
        buffers: names of arrays that are no parameters, for example running averages. They are averaged by the number
            of examples, and so are arrays of whole numbers, which are then rounded. Must be given, perhaps empty, where
            there are arrays of whole numbers.
        frozen: names of parameters that clients do not train and the server does not move.
        options: of ``flwr.serverapp.strategy.FedAvg``, for example ``fraction_train``.

    Raises:
        ConfigError: Flower is not installed, or the defence is not possible with these clients; one sentence says why.
    """
    try:
        from fedskew.flower import message  # lazy: Flower is an extra
    except ImportError as error:
        raise ConfigError(
            f"fedskew.flower needs Flower (flwr 1.42 or newer), not installed in this environment: {error}",
            "`pip install 'fedskew[flower]'`",
        ) from None
    chain = deployed(
        defence,
        clients=clients,
        cohort=message.cohort(clients, options),
        server=server,
        objective=objective,
        seed=secrets.randbits(63) if seed is None else seed,
    )
    reported = Reported(steps, losses, start_losses, client_id)
    check_reported(chain, reported, root_update)
    others = None if buffers is None else frozenset(buffers)
    return message.FedskewStrategy(chain, reported, root_update, others, frozenset(frozen), options)
