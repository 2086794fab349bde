"""The name of a run: a hash of everything that determines its result, and of nothing else.

Fields and options that have their default are left out of the hash, so that fedskew can grow new ones without
renaming existing runs. Where a default has changed, what is left out is the earlier one (``components.earlier``).
When a meaning changes, ``VERSION`` is raised instead, and the runs that exist keep the names of their version.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from pydantic import BaseModel

from fedskew.components import earlier
from fedskew.components.binding import FIELDS, complete_experiment
from fedskew.components.known import fixed_facts, inner, innermost
from fedskew.components.table import BUILT_IN
from fedskew.config import Adversaries, Component, Experiment
from fedskew.errors import ConfigError

VERSION: Final = 2
"""The version of the results that are computed here. Raised when the same config gives another result, so that old
runs are not taken for new ones."""

OLDEST: Final = 1
"""The version of results that do not say theirs."""


def identity(experiment: Experiment, version: int = VERSION) -> str:
    """12 hex digits of the SHA-256 of what the experiment says beyond the defaults.

    Args:
        version: of the results.
    """
    return hashed(complete_experiment(experiment), version)


def hashed(completed: Experiment, version: int = VERSION) -> str:
    """The identity of an experiment that is completed (``Completed.identity``)."""
    content = [version, _said(completed, "", _USUAL)]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rounds_identity(experiment: Experiment, version: int = VERSION) -> str:
    """The identity of what happens in each round, whenever the run stops: two runs that have it in common differ only
    in their number of rounds.

    Without adversaries it does not matter which data they would hold, nor what those options of an attack say that
    concern only them, nor what is wrapped around it.
    """
    fields = Experiment.model_fields
    plain: dict[str, Any] = {name: fields[name].default for name in ("rounds", "stopping")}
    if not experiment.adversaries.count:
        plain["adversaries"] = Adversaries()
        attack = innermost("attack", experiment.attack)
        idle = fixed_facts("attack", attack).idle
        kept = {name: value for name, value in attack.options.items() if name not in idle}
        plain["attack"] = Component.model_validate({"name": attack.name, **kept})
    return identity(experiment.model_copy(update=plain), version)


_USUAL = Experiment.model_validate(earlier.as_before({}))


def _said(value: Any, path: str, usual: Any = None) -> Any:
    """A value without what goes without saying; ``path`` says which kind of component may be here.

    Args:
        usual: the value that would have been here by default.
    """
    if isinstance(value, Component):
        return _component(value, FIELDS[path.removesuffix("[]")])
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        # A record's name tells what it is (an optimiser's, say) and is kept even where it is the default.
        # An optimiser of another kind than the usual one has the earlier defaults of its own fields.
        alike = type(usual) is type(value)
        unsaid = {
            n: getattr(usual, n) if alike else earlier.FIELDS.get(f"{path}.{n}", f.default)
            for n, f in fields.items()
        }
        kept = {n: getattr(value, n) for n in fields if n == "name" or getattr(value, n) != unsaid[n]}
        if isinstance(value, Experiment) and value.split_seed == value.seed:
            kept.pop("split_seed", None)  # it is the default, written differently
        return {n: _said(v, f"{path}.{n}".lstrip("."), unsaid[n]) for n, v in kept.items()}
    if isinstance(value, tuple | list):
        return [_said(v, f"{path}[]") for v in value]
    # 1 and 1.0 mean the same in a config, so they must hash the same.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _component(component: Component, kind: str) -> dict[str, Any]:
    if "<" in component.label:
        raise ConfigError(
            f"{kind} {component.label!r} has no name that tells it from others, so a run with it cannot be kept",
            "define it at the top of a module, or use simulate(), which keeps nothing",
        )
    plain = component.model_dump(mode="json", exclude_none=True)
    row = BUILT_IN[kind].get(component.label)
    defaults = dict(row.options) | earlier.OPTIONS.get(kind, {}).get(component.label, {}) if row else {}
    declared = type(component).model_fields
    defaults |= {n: f.default for n, f in declared.items() if n != "name"}
    if kind == "dataset":
        plain.pop("verify", None)  # it refuses files and changes no result
    said = {n: v for n, v in plain.items() if n not in defaults or v != defaults[n]}
    for option, theirs, held in inner(kind, component, fixed_facts(kind, component)):
        if option in said:
            said[option] = _component(held, theirs)
    return {n: _said(v, "") for n, v in said.items()}
