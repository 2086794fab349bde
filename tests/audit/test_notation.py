"""Components in one line."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.audit.notation import in_notation, parse_chain
from fedskew.errors import ConfigError
from helpers import PROPERTY

NAME = st.text(string.ascii_lowercase + "-", min_size=1).filter(lambda s: s != "name")
VALUES = st.recursive(
    st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(string.ascii_lowercase, min_size=1), inner, max_size=2)
    ),
    max_leaves=4,
)
OPTIONS = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1).filter(lambda s: s != "name"), st.integers()
)


@PROPERTY
@given(st.lists(st.tuples(NAME, OPTIONS), min_size=1, max_size=3))
def test_what_is_written_is_read_again(parts: list[tuple[str, dict[str, Any]]]) -> None:
    components = [{"name": name, **options} for name, options in parts]
    assert parse_chain(" + ".join(map(in_notation, components))) == components


def test_values_are_those_of_toml_or_text() -> None:
    (part,) = parse_chain("clip( norm = median , on=true, by=[1, 2], of='a, b + c', x=0.5 )")
    assert part == {"name": "clip", "norm": "median", "on": True, "by": [1, 2], "of": "a, b + c", "x": 0.5}


def test_a_plug_in_is_a_name_too() -> None:
    assert parse_chain("my_rule:rule(f=2)+clip") == [{"name": "my_rule:rule", "f": 2}, {"name": "clip"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a component"),
        ("krum(f=2", "is not a component"),
        ("krum +", "is not a component"),
        ("krum(f=1, f=2)", "'f=2' is not an option of krum"),
        ("krum(a.b=1)", "'a.b=1' is not an option"),
        ("krum(name=x)", "'name=x' is not an option"),
        ("krum(f)", "'krum(f)': 'f' is not OPTION=VALUE"),
        ("krum(f 2)", "'krum(f 2)': 'f 2' is not OPTION=VALUE"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match="is not") as refused:
        parse_chain(text)
    assert words in refused.value.message
