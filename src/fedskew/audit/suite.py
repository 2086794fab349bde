"""The attacks of an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedskew.audit.defences import Population
from fedskew.audit.levels import LEVELS, Level
from fedskew.audit.notation import in_notation, parse_chain
from fedskew.components.registry import names
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.errors import ConfigError, unknown


@dataclass(frozen=True)
class Scene:
    """What an attack of the suite is made for.

    Attributes:
        target: the class that a backdoor sends images to, by its number; at least 1.
        tabular: whether the data is a table, whose trigger is in features instead of pixels.
    """

    population: Population
    target: int
    tabular: bool = False

    @property
    def backdoor(self) -> dict[str, Any]:
        """The paper's trojan, which the other backdoors build on."""
        return {"name": "backdoor", "target": self.target, **self._trigger(1)}

    @property
    def parts(self) -> int:
        """Into how many parts DBA cuts its trigger: the published four, or as many as there are adversaries."""
        return max(2, min(4, self.population.adversaries))

    @property
    def dba(self) -> dict[str, Any]:
        """The trojan in parts."""
        parts = self.parts
        return {"name": "dba", "target": self.target, "parts": parts, **self._trigger(parts)}

    def _trigger(self, features: int) -> dict[str, Any]:
        """For a table, the first features; else the attack's own trigger."""
        first = 0 if features == 1 else list(range(features))
        return {"trigger": {"name": "feature", "feature": first}} if self.tabular else {}


@dataclass(frozen=True)
class Entry:
    """An attack of the suite: from which level on it is in it, and its component."""

    level: Level
    make: Callable[[Scene], dict[str, Any]]


def _plain(name: str, **options: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda scene: {"name": name, **options}


def _on_backdoor(name: str, **options: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda scene: {"name": name, **options, "of": scene.backdoor}


SUITE: Mapping[str, Entry] = {
    "label-flip": Entry("quick", _plain("label-flip")),
    "alie": Entry("quick", _plain("alie", z=1.5)),
    "min-max": Entry("quick", _plain("min-max")),
    "opt-ipm": Entry("quick", _plain("opt-ipm")),
    "backdoor": Entry("quick", lambda scene: scene.backdoor),
    "scaled backdoor": Entry(
        "quick", _on_backdoor("train-and-scale", norm="median", threat_model="all-updates")
    ),
    "sign-flip": Entry("standard", _plain("sign-flip")),
    "ipm": Entry("standard", _plain("ipm", eps=0.5)),
    "fang-trim": Entry("standard", _plain("fang-trim")),
    "mimic": Entry("standard", _plain("mimic")),
    "opt-alie": Entry("standard", _plain("opt-alie")),
    "model replacement": Entry(
        "standard", _on_backdoor("model-replacement", threat_model="knows-the-defence")
    ),
    "dba": Entry("standard", lambda scene: scene.dba),
    "min-sum": Entry("thorough", _plain("min-sum")),
    "gaussian": Entry("thorough", _plain("gaussian")),
    "gradient-ascent": Entry("thorough", _plain("gradient-ascent")),
    "free-rider": Entry("thorough", _plain("free-rider")),
    "neurotoxin": Entry("thorough", _on_backdoor("neurotoxin")),
    "constrain-and-scale": Entry("thorough", _on_backdoor("constrain-and-scale", alpha=0.5, factor=2.0)),
    "projected backdoor": Entry("thorough", _on_backdoor("pgd", threat_model="knows-the-defence")),
    "unfairness": Entry("thorough", _plain("unfairness")),
    "n_k inflation": Entry("thorough", _on_backdoor("n-k-inflation", factor=10.0)),
}
"""Label -> entry, in the order of a report: at each level the untargeted attacks, then the paper's trojan and what
builds on it."""


def of_level(level: Level, scene: Scene) -> dict[str, dict[str, Any]]:
    """The suite at a level: label -> component. A level has all attacks of the ones before it."""
    return {
        label: entry.make(scene)
        for label, entry in SUITE.items()
        if LEVELS.index(entry.level) <= LEVELS.index(level)
    }


def named(texts: Sequence[str], level: Level, scene: Scene) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """The attacks that were asked for: labels of the suite, ``"suite"`` for those of a level, or components in the
    notation.

    An option ``target`` or ``of`` that must be given and is not is the suite's.

    Returns:
        label -> component, and the labels that were asked for by their names.

    Raises:
        ConfigError: there is no such attack.
    """
    found: dict[str, dict[str, Any]] = {}
    asked: set[str] = set()
    for text in texts:
        if text == "suite":
            found |= of_level(level, scene)
        elif text in SUITE:
            found[text] = SUITE[text].make(scene)
            asked.add(text)
        else:
            parts = parse_chain(text)
            if len(parts) > 1:
                raise ConfigError(f"{text!r}: an attack is one component", "name several with --attacks each")
            (part,) = parts
            if ":" not in part["name"] and part["name"] not in names("attack"):
                raise ConfigError(*unknown("attack", part["name"], [*SUITE, *names("attack")]))
            row = BUILT_IN["attack"].get(part["name"])
            usual = {"target": scene.target, "of": scene.backdoor}
            for option, default in (row.options if row else {}).items():
                if default is REQUIRED and option in usual and option not in part:
                    part[option] = usual[option]
            label = in_notation({name: value for name, value in part.items() if value != usual.get(name)})
            found[label] = part
            asked.add(label)
    return found, asked
