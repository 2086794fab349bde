"""The permission to import plug-ins: scoped, and no wider than what was given."""

from __future__ import annotations

import contextvars
import threading

import pytest

from fedskew.components.permission import allow_plugin, allowing, may_import


@pytest.mark.parametrize(
    ("module", "allowed"), [("mine", True), ("mine.rules", True), ("mineral", False), ("other", False)]
)
def test_a_prefix_allows_the_module_and_what_is_below_it(module: str, allowed: bool) -> None:
    with allowing(["mine"]):
        assert may_import(module) == allowed


def test_it_ends_with_its_block_and_replaces_what_was_allowed_before() -> None:
    with allowing(["outer"]):
        with allowing(["inner"]):
            assert may_import("inner")
            assert not may_import("outer")
        assert may_import("outer")
        assert not may_import("inner")


def test_it_does_not_leak_into_another_thread() -> None:
    seen: list[bool] = []
    with allowing(["mine"]):
        thread = threading.Thread(target=lambda: seen.append(may_import("mine")))
        thread.start()
        thread.join()
        context = contextvars.copy_context()
        handed_on = threading.Thread(target=lambda: seen.append(context.run(may_import, "mine")))
        handed_on.start()
        handed_on.join()
    assert seen == [False, True]


def test_in_python_it_holds_for_the_rest_of_the_context() -> None:
    def inside() -> bool:
        allow_plugin("mine")
        return may_import("mine")

    before = may_import("mine")
    assert contextvars.copy_context().run(inside)
    assert may_import("mine") == before
