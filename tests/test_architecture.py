"""Imports go one way: the order of the packages, no circle inside one, no circle hidden in a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "fedskew"
ORDER = [
    "errors",
    "wording",
    "rounding",
    "portable",
    "seeding",
    "reading",
    "files",
    "ownership",
    "arrays",
    "protocols",
    "presets",
    "config",
    "components",
    "datasets",
    "partition",
    "shift",
    "models",
    "aggregation",
    "attacks",
    "objectives",
    "personal",
    "selection",
    "server",
    "rules",
    "privacy",
    "training",
    "evaluation",
    "federation",
    "simulation",
    "direct",
    "testing",
    "runs",
    "trackers",
    "study",
    "analysis",
    "audit",
    "flower",
    "papers",
    "frames",
    "report",
    "terminal",
    "script",
    "cli",
]
"""A package imports only from those before it (docs/design.md)."""
LAZY = "# lazy"
"""Marks an import inside a function, made there for the time that start-up takes."""


def _imports(path: Path) -> Iterator[tuple[ast.stmt, str, bool]]:
    """(statement, module below fedskew, whether it stands inside a function) of a file's own imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fedskew":
            for alias in node.names:
                below = f"{node.module}.{alias.name}".split(".", 1)[1]
                yield node, below, id(node) in inside
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("fedskew."):
                    yield node, alias.name.split(".", 1)[1], id(node) in inside


FILES = [
    path for path in sorted(SOURCE.rglob("*.py")) if path.name != "__main__.py" and path.parent != SOURCE
]
FILES += [path for path in SOURCE.glob("*.py") if path.stem not in ("__init__", "__main__")]


def test_imports_follow_the_order_of_the_packages() -> None:
    for path in FILES:
        home = path.relative_to(SOURCE).with_suffix("").parts[0]
        for node, module, _ in _imports(path):
            theirs = module.split(".")[0]
            assert ORDER.index(theirs) <= ORDER.index(home), f"{path}:{node.lineno} imports {module}"


def test_no_circle_inside_a_package() -> None:
    modules = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in FILES}
    graph = {}
    for name, path in modules.items():
        found = {m if m in modules else m.rpartition(".")[0] for _, m, _ in _imports(path)}
        graph[name] = {m if m in modules else f"{m}.__init__" for m in found} & modules.keys() - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_imports_inside_functions_are_marked() -> None:
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node, module, inside in _imports(path):
            lazy = (
                LAZY in lines[node.lineno - 1] or path.parent.name == "cli"
            )  # which imports nothing before it must
            assert not inside or lazy, f"{path}:{node.lineno} imports {module} inside a function"


def test_the_map_names_every_package_in_this_order() -> None:
    page = (SOURCE.parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    table = page.partition("| package |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)/?`", " ".join(row.split("|")[1] for row in table.splitlines() if "|" in row))
    there = {path.stem for path in FILES if path.parent == SOURCE}
    there |= {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert set(named) == there
    assert sorted(named, key=ORDER.index) == named


def test_text_is_printed_in_one_place() -> None:
    """Where names from outside are made harmless and results are told from the rest."""
    for path in FILES:
        calls = (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call))
        named = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        place = path.relative_to(SOURCE).as_posix()
        assert "print" not in named or place == "terminal/say.py", place
        assert "Console" not in named or place == "datasets/manage.py", place  # a bar with names of our own
