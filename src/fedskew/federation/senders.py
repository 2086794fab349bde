"""What the clients that have data mean for the defence: clients without any send no update."""

from __future__ import annotations

from fedskew.components.together import check_updates
from fedskew.config import Experiment
from fedskew.federation.spread import Spread


def check_senders(where: Spread, experiment: Experiment) -> None:
    """Refuses a defence that needs more updates than there are clients with data, which no round can have.

    A cohort that is drawn may have fewer in one round and enough in the next: such a round leaves the model as it is.
    What counts is the data before any is poisoned.

    Raises:
        ConfigError: names the field.
    """
    senders, clients = where.senders, experiment.clients
    seed = experiment.seed if experiment.split_seed is None else experiment.split_seed
    check_updates(
        experiment.defence,
        min(clients.per_round, senders),
        f"with seed {seed} only {senders} of {clients.count} clients have data, so that there are at most",
        "change its options, or leave fewer clients without data: fewer clients, a larger alpha, split.min_size",
    )
