"""The notebook in ``examples/``: kept without outputs, and executed from the first cell to the last."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedskew.runs.events import Ended, RoundDone, Started
from fedskew.terminal import notebook
from fedskew.terminal.progress import Cell, display

NOTEBOOK = Path(__file__).parent.parent / "examples" / "results.ipynb"
EXECUTE = """\
import json, sys
import nbclient, nbformat
from pathlib import Path

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def test_it_is_kept_without_outputs() -> None:
    code = [cell for cell in cells(NOTEBOOK) if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    for cell in code:
        compile("".join(cell["source"]), cell["id"], "exec")


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="needs the extra notebook",
)
def test_it_runs(tmp_path: Path) -> None:
    """In a process of its own, since a kernel's client warns of what only concerns it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("MPLBACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(NOTEBOOK)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs = {cell["id"]: cell.get("outputs", []) for cell in cells(tmp_path / "executed.ipynb")}
    (progress,) = outputs["run"]
    assert "".join(progress["data"]["text/plain"]) == "8 of 8 runs done"
    assert list(progress["data"]) == ["text/plain"], "no widget, which a notebook that is kept would not show"
    assert any("image/png" in output.get("data", {}) for output in outputs["plot"])
    assert all(output["output_type"] != "stream" for found in outputs.values() for output in found)
    assert (tmp_path / "studies" / "notebook" / "study.toml").exists()


def test_progress_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        "fedskew.terminal.progress.Output.show", lambda self, text, *, now=False: shown.append(text)
    )
    monkeypatch.setattr("fedskew.terminal.progress.in_notebook", lambda: True)
    with display(["alpha 1", "alpha 2"], [5, 5], jobs=1) as bars:
        assert isinstance(bars, Cell)
        bars.see(Started(0))
        bars.see(RoundDone(0, 3, {"accuracy": 0.5}))
        assert shown[-1].splitlines()[1:] == ["  alpha 1: round 3/5  accuracy 50.0"]
        bars.see(Ended(0, 5, None))
        bars.see(Started(1))
        bars.see(Ended(1, 0, "it broke\nat once"))
    assert shown[-1] == "1 of 2 runs done\nalpha 2: FAILED: it broke"


def test_an_output_is_brought_up_to_date_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []

    class Handle:
        def display(self, data: dict[str, str], raw: bool) -> None:
            calls.append(("display", data["text/plain"]))

        def update(self, data: dict[str, str], raw: bool) -> None:
            calls.append(("update", data["text/plain"]))

    package = type(sys)("IPython.display")
    package.DisplayHandle = Handle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", package)
    monkeypatch.setitem(sys.modules, "IPython", type(sys)("IPython"))
    output = notebook.Output()
    for text in ("a", "b", "c"):
        output.show(text)
    output.show("d", now=True)
    output.show("d", now=True)
    assert calls == [("display", "a"), ("update", "d")]


def test_this_is_no_notebook() -> None:
    assert not notebook.in_notebook()
