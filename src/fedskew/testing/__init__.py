"""Conformance checks: does a component do what its seam promises? One line in your own tests.

    from fedskew import testing
    from my_rules import trimmed_mean

    def test_my_rule() -> None:
        testing.check_aggregator(trimmed_mean, fraction=0.1)

Each check takes a component (a name, a callable or ``"package.module:function"``) and its options, calls it on small
examples and raises a ``ConformanceError`` (an ``AssertionError``) or a ``ConfigError`` with one sentence. Every check
tests:

- the signature, and that the options fit their annotations;
- that what is returned has the right type, shape and format, and is finite where numbers must be;
- that the inputs and the state are left unchanged, also through NumPy;
- that settings of the process (default dtype, working directory, ...) are left as they were;
- that the same calls give the same results twice with different global random states, and leave these as they were;
- that a component with state continues from a saved state (as from a checkpoint) as if there had been no break;
- that a limiting case (one client, equal updates) gives a result or a ``ConfigError`` that says why not.

>>> from fedskew import testing
>>> def first(updates, view):
...     return updates.deltas[0].clone()
>>> testing.check_aggregator(first)
"""

from fedskew.testing.attacks import check_attack
from fedskew.testing.clients import check_personal, check_selection, check_start
from fedskew.testing.data import check_dataset, check_model, check_shift, check_split, check_trigger
from fedskew.testing.evaluation import check_client_metric, check_metric, check_observer
from fedskew.testing.kinds import CHECKS, check
from fedskew.testing.objectives import check_objective
from fedskew.testing.privacy import check_privacy_attack
from fedskew.testing.rounds import check_callback, check_lr_schedule, check_stopping
from fedskew.testing.server import (
    check_aggregator,
    check_learning_rate,
    check_server_step,
    check_transform,
)
from fedskew.testing.subject import ConformanceError

__all__ = [
    "CHECKS",
    "ConformanceError",
    "check",
    "check_aggregator",
    "check_attack",
    "check_callback",
    "check_client_metric",
    "check_dataset",
    "check_learning_rate",
    "check_lr_schedule",
    "check_metric",
    "check_model",
    "check_objective",
    "check_observer",
    "check_personal",
    "check_privacy_attack",
    "check_selection",
    "check_server_step",
    "check_shift",
    "check_split",
    "check_start",
    "check_stopping",
    "check_transform",
    "check_trigger",
]
