"""What an attack's poisoning has made of an adversary's images, in numbers, and whether that is anything at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from fedskew.protocols import Attack, LocalSettings, keep_updates
from fedskew.wording import count


@dataclass(frozen=True)
class Poisoning:
    """One adversary's images, before and after.

    Attributes:
        images: how many there were.
        sources: how many of them are of the attack's source classes; all where it names none.
        poisoned: how many differ after poisoning, in the image or the label.
        relabelled: how many of these have another label.
    """

    images: int
    sources: int
    poisoned: int
    relabelled: int

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Poisoning:
        """What ``to_json`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return Poisoning(**{one.name: int(value[one.name]) for one in fields(Poisoning)})

    def to_json(self) -> dict[str, int]:
        """Name -> number."""
        return asdict(self)


def only_poisons(attack: Attack) -> bool:
    """Whether an attack does nothing but poison images: no update crafted, no number of examples misreported, no
    objective and no settings of training of its own. Only such an attack does nothing where its poisoning does."""
    own = attack.objective, attack.knowing
    return attack.craft is keep_updates and own == (None, None) and attack.training == LocalSettings()


def nothing_taught(found: Sequence[Poisoning], relabels: bool) -> str:
    """Why the poisoning of these adversaries can have taught no model anything, in words; empty if it can have.

    Adversaries without images are not looked at, and where none has any, nothing is said.

    Args:
        relabels: whether the attack acts by giving images another label (``row.Facts``).
    """
    held = [one for one in found if one.images]
    if not held or any(one.relabelled if relabels else one.poisoned for one in held):
        return ""
    who = "the adversary" if len(held) == 1 else f"{len(held)} adversaries"
    images = f"{count(sum(one.images for one in held), 'sample')} that {who} held"
    if not any(one.sources for one in held):
        return f"none of the {images} was of the attack's source classes"
    if poisoned := sum(one.poisoned for one in held):
        return f"all {poisoned} poisoned of the {images} had the target's label anyway"
    return f"none of the {images} was poisoned (a share of less than one sample is none)"
