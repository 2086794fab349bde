"""From plain values to a record: one sentence for each wrong field, in the words of TOML, also for Python callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fedskew.config.origin import Origin
from fedskew.errors import ConfigError, nearest
from fedskew.wording import count

if TYPE_CHECKING:
    _Told = type
else:

    class _Told(type(BaseModel)):
        """Makes a call of the class raise what ``in_words`` says. Records inside other records are not made by a call,
        so that their errors still come together with those around them."""

        def __call__(cls, /, *values: Any, **fields: Any) -> Any:
            with in_words(cls):
                return super().__call__(*values, **fields)


class Told(BaseModel, metaclass=_Told):
    """A model whose errors are ``ConfigError`` however it is made: called, validated, or copied with changes."""

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """As pydantic's.

        Raises:
            ConfigError: one sentence for each wrong field.
        """
        with in_words(cls):
            return super().model_validate(obj, **how)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, which are checked like any others (pydantic does not).

        Raises:
            ConfigError: one sentence for each wrong field.
        """
        if update is None:
            return super().model_copy(deep=deep)
        given = {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }
        changed = type(self).model_validate({**given, **(self.model_extra or {}), **update})
        return changed.model_copy(deep=True) if deep else changed


R = TypeVar("R", bound=Told)

MOST_ERRORS = 10
"""Of one record that are said."""


def build(record: type[R], content: Mapping[str, Any], origin: Origin | None = None) -> R:
    """A record from plain values.

    Raises:
        ConfigError: one sentence for each wrong field: its name, place, what was found and expected.
    """
    with in_words(record, origin or Origin()):
        return super(Told, record).model_validate(content)


@contextmanager
def in_words(record: type[BaseModel], origin: Origin | None = None) -> Iterator[None]:
    """Says in words what pydantic finds wrong with a record inside the block.

    Args:
        origin: where its values come from, to say that as well.

    Raises:
        ConfigError: instead of pydantic's ``ValidationError``; it names the first field where no place is said.
    """
    try:
        yield
    except ValidationError as error:
        sentences, hint, fields = [], None, []
        for item in error.errors()[:MOST_ERRORS]:
            path = [part for part in item["loc"] if not _is_tag(part)]
            sentence, item_hint = _explain(record, path, item)
            sentences.append(sentence if origin is None else f"{origin.at(path)}: {sentence}")
            fields.append(".".join(map(str, path)))
            hint = hint or item_hint
        if (more := error.error_count() - MOST_ERRORS) > 0:
            sentences.append(f"  and {count(more, 'more error')}")
        field = fields[0] if origin is None else None
        raise ConfigError("\n".join(dict.fromkeys(sentences)), hint, field) from None


def _is_tag(part: str | int) -> bool:
    """Whether pydantic put this into the path as the tag of a union (the optimizer's name)."""
    return part in ("adam", "sgd")


def _explain(record: type[BaseModel], path: list[str | int], item: Any) -> tuple[str, str | None]:
    name = ".".join(map(str, path)) or "the whole"
    found = item.get("input")
    match item["type"]:
        case "extra_forbidden":
            valid = _fields_at(record, path[:-1], item)
            close = nearest(str(path[-1]), valid)
            where = ".".join([*map(str, path[:-1]), close]) if close else None
            listed = f"; valid: {', '.join(valid)}" if valid else ""
            return f"unknown field {name!r}{listed}", f"did you mean {where!r}?" if where else None
        case "missing":
            return f"{name} is missing", None
        case "union_tag_not_found":
            return f"{name} needs a name; valid: adam, sgd", f'for example {name} = {{name = "adam", ...}}'
        case "union_tag_invalid":
            expected = item["ctx"]["expected_tags"].replace("'", "")
            tag = item["ctx"]["tag"]
            close = nearest(tag, expected.split(", "))
            return f"{name}: unknown name {tag!r}; valid: {expected}", close and f"did you mean {close!r}?"
        case "value_error":
            return f"{name}: {item['ctx']['error']}" if path else str(item["ctx"]["error"]), None
        case "literal_error":
            expected = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            close = nearest(str(found), expected.split(", "))
            return f"{name} = {found!r}; valid: {expected}", close and f"did you mean {close!r}?"
    return f"{name} = {found!r}: {plain_words(item['msg'])}", None


def plain_words(message: str) -> str:
    """A pydantic message as a part of a sentence, in TOML's words."""
    lowered = message[0].lower() + message[1:]
    for python, toml in (("valid tuple", "list"), ("valid list", "list"), ("valid dictionary", "table")):
        lowered = lowered.replace(python, toml)
    return lowered


def _fields_at(record: type[BaseModel], path: list[str | int], item: Any) -> list[str]:
    """The fields that are valid in the table at ``path``."""
    current: Any = record
    for part in path:
        if isinstance(part, int):  # an element of a list of records, which are all of one kind
            continue
        if get_origin(current) is dict:
            current = get_args(current)[1]
        elif hasattr(current, "model_fields") and part in current.model_fields:
            current = current.model_fields[part].annotation
        else:
            return []
        if not hasattr(current, "model_fields") and get_origin(current) is not dict:
            tag = next((loc for loc in item["loc"] if _is_tag(loc)), None)
            options = [a for a in get_args(current) if hasattr(a, "model_fields")]
            named = [a for a in options if tag is None or a.model_fields["name"].default == tag]
            current = named[0] if named else (options[0] if options else current)
    return list(getattr(current, "model_fields", {}))
