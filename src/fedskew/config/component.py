"""The records that a config is made of: frozen, refusing unknown fields; a component with its options. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, field_serializer, model_validator

from fedskew.config.build import Told


class Record(Told):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component(Told):
    """A component and its options: ``"lenet"`` or ``{name = "dirichlet", alpha = 0.5}``.

    ``name`` is a registered name or ``"package.module:function"``; from Python also a callable. Everything
    except the declared fields is an option, checked against the component's own signature by the registry.

    >>> Component(name="dirichlet", alpha=0.5).options
    {'alpha': 0.5}
    >>> Component.model_validate("lenet").label
    'lenet'
    """

    model_config = ConfigDict(frozen=True, extra="allow", arbitrary_types_allowed=True)
    name: str | Callable[..., Any]

    if TYPE_CHECKING:  # the options are fields that no type checker knows

        def __init__(self, *, name: str | Callable[..., Any], **options: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) or callable(value) else value

    @field_serializer("name")
    def _serialize_name(self, name: Any) -> str:
        if isinstance(name, str):
            return name
        # A partial or an object with __call__ has no name; that of its type says what it is, not which.
        named = name if hasattr(name, "__qualname__") else type(name)
        return f"{named.__module__}:{named.__qualname__}" + ("" if named is name else "<object>")

    @property
    def options(self) -> dict[str, Any]:
        """The component's own options, by name."""
        return dict(self.model_extra or {})

    @property
    def label(self) -> str:
        """The name as text, also for a callable."""
        return self._serialize_name(self.name)


Named: TypeAlias = str | Callable[..., Any] | Mapping[str, Any] | Component
"""A component: a name, a callable, or ``{"name": ..., options}``."""


def to_plain(record: BaseModel) -> dict[str, Any]:
    """The record as TOML- and JSON-friendly values; fields that are None are left out."""
    dumped: dict[str, Any] = record.model_dump(mode="json", exclude_none=True)
    return dumped
