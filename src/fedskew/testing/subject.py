"""The component that is checked, by name, and its error when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar

import torch
from torch import Tensor

from fedskew.components.binding import bare
from fedskew.components.process import restored
from fedskew.components.randomness import global_states, used
from fedskew.components.seams import SEAMS
from fedskew.config import Component
from fedskew.errors import ConfigError
from fedskew.testing.randomness import globally_seeded

T = TypeVar("T")
Named: TypeAlias = str | Callable[..., Any]
"""A component: a name, ``"package.module:function"`` or a callable."""


class ConformanceError(AssertionError):
    """A component breaks a promise of its seam; one sentence names both."""


@dataclass(frozen=True)
class Subject:
    """A component with its options.

    Attributes:
        make: () -> the record that a factory returns, a new one each time; or the function, its options bound.
    """

    kind: str
    name: str
    make: Callable[[], Any]

    def build(self) -> Any:
        """What ``make`` gives, which may not use a global random state either."""
        with self.settings_kept(), globally_seeded(0):
            before = global_states()
            found = self.make()
            self.used_no_randomness_since(before)
        return found

    @contextmanager
    def settings_kept(self) -> Iterator[None]:
        """Fails if the block leaves another setting of the process, which is put back."""
        with restored() as changed:
            yield
        if changed:
            self.fail(f"changed {' and '.join(changed)}; it must put back what it sets")

    def used_no_randomness_since(self, before: Mapping[str, object]) -> None:
        """Fails if a global random state is not what it was."""
        if libraries := used(before):
            source = SEAMS[self.kind].rng
            self.fail(f"used the global random generator of {' and '.join(libraries)}; draw from {source}")

    def returned(self, check: Callable[..., T], *arguments: Any) -> T:
        """What a check of ``components.returned`` makes of what was returned; its error does not count as a refusal."""
        try:
            return check(self.name, *arguments)
        except ConfigError as error:
            raise ConformanceError(error.message) from None

    def fail(self, what: str) -> NoReturn:
        """Raises what is wrong, as a sentence about the component."""
        raise ConformanceError(f"{self.kind} {self.name!r} {what}")

    def instance(self, found: object, expected: type[T], what: str) -> T:
        """What was found, if it is of the expected type."""
        if not isinstance(found, expected):
            self.fail(f"{what} must be {expected.__name__}, not {type(found).__name__}")
        return found

    def parts(self, found: object, *names: str) -> tuple[Any, ...]:
        """A tuple with one part for each name."""
        if not isinstance(found, tuple) or len(found) != len(names):
            self.fail(f"must return ({', '.join(names)}), not {type(found).__name__}")
        return found

    def tensor(
        self, found: object, what: str, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """A finite tensor of this format and one of these shapes."""
        if not isinstance(found, Tensor) or tuple(found.shape) not in shapes:
            got = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            self.fail(f"{what} must be a tensor {' or '.join(str(list(s)) for s in shapes)}, not {got}")
        if found.dtype != dtype:
            self.fail(f"{what} must have the dtype {_short(dtype)}, not {_short(found.dtype)}")
        if not found.isfinite().all():
            self.fail(f"{what} has entries that are not finite")
        return found


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def subject(kind: str, named: Named, options: dict[str, Any]) -> Subject:
    """The component of this kind.

    Raises:
        ConfigError: unknown name or option, a value that does not fit its annotation, a wrong signature.
    """
    if not isinstance(named, str) and not callable(named):
        raise ConfigError(f"{kind} {named!r} is not a component; expected a name or a callable")
    component = Component.model_validate({"name": named, **options})
    with globally_seeded(0):
        bare(kind, component)  # imports it, which is no call of it: what it imports may draw
    checked = Subject(kind, component.label, lambda: bare(kind, component))
    checked.build()  # so that what is wrong with it is said first
    return checked
