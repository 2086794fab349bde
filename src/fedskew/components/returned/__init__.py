"""Checks of what a component returns against its seam, so that a mistake is one sentence that names it.

One module per module of ``fedskew.protocols``. A check returns what it was given, in the form that the round loop
works on, and raises ``ConfigError`` otherwise; ``name`` is the component's label in the config.
"""

from fedskew.components.returned.attacks import (
    checked_attack,
    checked_crafted,
    checked_shard,
    checked_trigger,
)
from fedskew.components.returned.clients import (
    checked_cohort,
    checked_finish,
    checked_ids,
    checked_logit_map,
    checked_personal,
    checked_schedule,
    checked_start,
)
from fedskew.components.returned.data import checked_model, trained_on
from fedskew.components.returned.dataset import checked_dataset
from fedskew.components.returned.evaluation import (
    checked_metrics,
    checked_observed,
    checked_observer,
    checked_verdict,
)
from fedskew.components.returned.guard import changed_in_place, unchanged
from fedskew.components.returned.privacy import checked_guess, checked_privacy_attack
from fedskew.components.returned.record import checked_parts, checked_server_data
from fedskew.components.returned.server import (
    checked_aggregate,
    checked_rate,
    checked_step,
    checked_transform,
    checked_transformed,
)
from fedskew.components.returned.shifts import checked_shift, checked_shifted_images, checked_shifted_labels
from fedskew.components.returned.splits import checked_division, checked_split
from fedskew.components.returned.tensors import checked_state, same_shape

__all__ = [
    "changed_in_place",
    "checked_aggregate",
    "checked_attack",
    "checked_cohort",
    "checked_crafted",
    "checked_dataset",
    "checked_division",
    "checked_finish",
    "checked_guess",
    "checked_ids",
    "checked_logit_map",
    "checked_metrics",
    "checked_model",
    "checked_observed",
    "checked_observer",
    "checked_parts",
    "checked_personal",
    "checked_privacy_attack",
    "checked_rate",
    "checked_schedule",
    "checked_server_data",
    "checked_shard",
    "checked_shift",
    "checked_shifted_images",
    "checked_shifted_labels",
    "checked_split",
    "checked_start",
    "checked_state",
    "checked_step",
    "checked_transform",
    "checked_transformed",
    "checked_trigger",
    "checked_verdict",
    "same_shape",
    "trained_on",
    "unchanged",
]
