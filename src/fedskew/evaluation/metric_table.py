"""The names of the standard metrics (docs/metrics.md), for tables and for what an axis may not be called."""

from __future__ import annotations

PERCENT = {
    "accuracy",
    "bias",
    "worst_class_accuracy",
    "class_accuracy_std",
    "client_accuracy_mean",
    "client_accuracy_std",
    "client_accuracy_worst",
    "backdoor_accuracy",
    "attack_success_rate",
    "clean_trigger_rate",
    "target_share",
    "train_accuracy",
    "validation_accuracy",
}
"""Metrics that tables show in percent; records hold fractions."""

METRICS = PERCENT | {
    "test_loss",
    "train_loss",
    "validation_loss",
    "update_norm_honest",
    "update_norm_malicious",
    "cosine_honest_honest",
    "cosine_honest_malicious",
}
"""All standard metrics."""
