"""Small words of sentences."""

from __future__ import annotations


def count(many: int, thing: str) -> str:
    """``1 run``, ``3 runs``."""
    return f"{many} {thing}" + ("" if many == 1 else "s")


def article(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"
