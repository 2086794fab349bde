"""Checks of privacy attacks and their guesses."""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from fedskew.components.returned.tensors import described, number, without_history
from fedskew.errors import ConfigError
from fedskew.protocols import Aim, Guess, PrivacyAttack, PrivacyView, Seat


def checked_privacy_attack(name: str, attack: PrivacyAttack) -> PrivacyAttack:
    """A privacy attack in a seat that there is, with an aim that there is.

    Raises:
        ConfigError: there is no such seat or aim.
    """
    for what, value, valid in (("seat", attack.seat, get_args(Seat)), ("aim", attack.aim, get_args(Aim))):
        if value not in valid:
            raise ConfigError(f"privacy-attack {name!r} has the {what} {value!r}; valid: {', '.join(valid)}")
    return attack


def checked_guess(name: str, attack: PrivacyAttack, guess: object, view: PrivacyView) -> Guess:
    """A guess with scores of the shape that the attack's aim has.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(guess, Guess):
        raise ConfigError(f"privacy-attack {name!r}: guess returned {described(guess)}; expected a Guess")
    clients, records, classes = len(view.asked), len(view.records), view.num_classes
    shapes = {
        "membership": ((records,), (clients, records)),
        "source": ((clients, records),),
        "labels": ((clients, classes),),
        "property": ((clients,),),
    }[attack.aim]
    scores = guess.scores
    if not isinstance(scores, Tensor) or not scores.is_floating_point() or tuple(scores.shape) not in shapes:
        wanted = " or ".join(f"float {list(shape)}" for shape in shapes)
        rows = "" if clients == view.num_clients else ", a row for each client of view.asked"
        raise ConfigError(
            f"privacy-attack {name!r}: guess returned scores {described(scores)}; expected {wanted}{rows}"
        )
    if guess.threshold is not None and number(guess.threshold) is None:
        raise ConfigError(
            f"privacy-attack {name!r}: guess returned the threshold {described(guess.threshold)}; expected a number"
        )
    return Guess(without_history(scores), guess.threshold)
