"""What clients are measured on: a share of their own images, or test images of their own; and what alters them."""

from __future__ import annotations

from fedskew.components.known import facts_of, options_of, with_inner
from fedskew.config import Experiment
from fedskew.errors import ConfigError


def check_measured(experiment: Experiment) -> None:
    """Refuses an experiment that measures on clients' own data where there is none, or alters what must stay as it is.

    Raises:
        ConfigError: names the field.
    """
    if not _may_have_own_tests(experiment):
        check_own_tests(experiment, given=False)
    _check_shift(experiment)


def check_own_tests(experiment: Experiment, given: bool) -> None:
    """Refuses an experiment that measures on clients' own data where there is none, or where it is not certain which.

    Args:
        given: whether the split gives clients test images of their own.

    Raises:
        ConfigError: names the field.
    """
    share = experiment.clients.held_out
    if given and share:
        raise ConfigError(
            f"clients.held_out = {share}, and split {experiment.split.label!r} gives clients test samples of their "
            "own; they are measured on one of the two",
            "set clients.held_out = 0, or leave these test samples out, for example with split.test = false",
            "clients.held_out",
        )
    if given and experiment.privacy.attacks:
        raise ConfigError(
            "privacy.attacks compare the clients' samples with test samples that are nobody's, and split "
            f"{experiment.split.label!r} gives clients test samples of their own",
            "leave them out, for example with split.test = false, and hold some out with clients.held_out = 0.2",
            "privacy.attacks",
        )
    if not share and not given:
        _check_held_out(experiment)


def _may_have_own_tests(experiment: Experiment) -> bool:
    """Whether the split may give clients test images of their own."""
    for _, kind, part in with_inner("split", "split", experiment.split):
        may = facts_of(kind, part).own_tests
        try:
            if may is not None and may(options_of(kind, part)):
                return True
        except (KeyError, TypeError, ValueError):
            pass  # the check of the options says what is wrong with them
    return False


def _check_held_out(experiment: Experiment) -> None:
    """Client metrics, privacy attacks and personal models need data of clients that is not trained on."""
    personal = experiment.clients.personal
    needing = (
        (
            bool(experiment.evaluation.client_metrics),
            "evaluation.client_metrics",
            "evaluation.client_metrics are measured on the clients' held-out data",
        ),
        (
            bool(experiment.privacy.attacks),
            "privacy.attacks",
            "privacy.attacks are asked about samples that clients trained on and samples that they hold out",
        ),
        (
            not facts_of("personal", personal).harmless,
            "clients.personal",
            f"clients.personal = {personal.label!r}: personal models are measured on the clients' held-out data",
        ),
    )
    for needed, field, why in needing:
        if needed:
            raise ConfigError(
                f"{why}, and clients.held_out = 0",
                "hold some out, for example with clients.held_out = 0.2",
                field,
            )


def _check_shift(experiment: Experiment) -> None:
    """Privacy attacks and the planted property are about images as the data set has them."""
    shift, privacy = experiment.clients.shift, experiment.privacy
    if facts_of("shift", shift).harmless:
        return
    for there, field in ((bool(privacy.attacks), "attacks"), (privacy.property is not None, "property")):
        if there:
            raise ConfigError(
                f"clients.shift = {shift.label!r} alters the clients' samples or labels, and privacy.{field} is about "
                "them as the data set has them",
                f"leave out clients.shift or privacy.{field}",
                "clients.shift",
            )
