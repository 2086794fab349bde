"""What a rule says when a round has too few updates for it."""

from __future__ import annotations

from fedskew.errors import ConfigError


def check_enough(rule: str, count: int, needed: int, formula: str, **options: int) -> None:
    """Refuses a round that is too small for a rule.

    Args:
        rule: for example "aggregator 'krum'".
        count: updates in the round.
        needed: the fewest that the rule works on, and ``formula``, where that comes from.
        options: those in the formula.

    Raises:
        ConfigError: count < needed.
    """
    if count < needed:
        stated = ", ".join(f"{name} = {value}" for name, value in options.items())
        raise ConfigError(
            f"{rule} with {stated} needs at least {formula} = {needed} updates in a round, got {count}",
            f"lower {' or '.join(options)}, or let more clients take part in each round",
        )
