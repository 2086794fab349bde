"""What a component changes of the whole process: put back and refused, or put back after the run."""

from __future__ import annotations

import locale
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedskew.components import registry
from fedskew.components.outside import guarded
from fedskew.components.permission import allowing
from fedskew.components.process import SETTINGS, isolated, restored
from fedskew.errors import ConfigError

CHANGES: dict[str, Callable[[], object]] = {
    "the working directory": lambda: os.chdir("/"),
    "PyTorch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "PyTorch's default device": lambda: torch.set_default_device("meta"),
    "whether PyTorch computes gradients": lambda: torch.set_grad_enabled(False),
    "whether PyTorch's algorithms are deterministic": lambda: torch.use_deterministic_algorithms(
        True, warn_only=True
    ),
    "the precision of PyTorch's matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "PyTorch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "whether denormal numbers are flushed to zero": lambda: torch.set_flush_denormal(True),
    "NumPy's handling of floating-point errors": lambda: np.seterr(all="raise"),
}


# PyTorch imports its compiler to set this one.
EACH = [pytest.param(name, marks=[pytest.mark.slow] if "determin" in name else []) for name in CHANGES]


def settings() -> dict[str, Any]:
    return {name: read() for name, (read, _) in SETTINGS.items()}


def test_every_setting_is_changed_below() -> None:
    assert CHANGES.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", EACH)
def test_a_component_that_changes_a_setting_is_named_and_the_setting_put_back(name: str) -> None:
    before = settings()
    with pytest.raises(ConfigError) as caught:
        guarded("aggregator", "mine", lambda updates, view: CHANGES[name](), "defence.aggregator")(None, None)
    assert caught.value.message == (
        f"aggregator 'mine' changed {name}, on which what is computed after it depends"
    )
    assert (
        caught.value.hint == "let it put back what it sets, in a `with` block or in `try: ... finally: ...`"
    )
    assert caught.value.field == "defence.aggregator"
    assert settings() == before


@pytest.mark.parametrize("name", EACH)
def test_what_a_component_that_fails_has_set_is_put_back(name: str) -> None:
    def fails(updates: Any, view: Any) -> None:
        CHANGES[name]()
        raise ZeroDivisionError("no luck")

    before = settings()
    with pytest.raises(ConfigError, match="failed with ZeroDivisionError: no luck"):
        guarded("aggregator", "mine", fails)(None, None)
    assert settings() == before


def test_a_component_that_puts_back_what_it_sets_may_set_it() -> None:
    def careful(updates: Any, view: Any) -> torch.dtype:
        with torch.no_grad(), np.errstate(all="ignore"):
            torch.set_default_dtype(torch.float64)
            found = torch.zeros(1).dtype
            torch.set_default_dtype(torch.float32)
            return found

    assert guarded("aggregator", "mine", careful)(None, None) == torch.float64


@pytest.mark.parametrize("legacy", ["highest", "high", "medium"])
def test_formats_of_products_are_put_back_in_both_of_pytorchs_ways_to_set_them(legacy: str) -> None:
    products: Any = torch.backends.cuda.matmul
    before = settings()
    try:
        with restored() as whole:
            torch.set_float32_matmul_precision(legacy)
            with restored() as changed:
                products.fp32_precision = "tf32" if legacy == "highest" else "ieee"
            assert changed == ["the precision of PyTorch's matrix products"]
            assert torch.get_float32_matmul_precision() == legacy
            products.fp32_precision = "tf32"
            with restored() as inside:  # as in training on a GPU
                pass
            assert inside == []
        assert whole == changed
    finally:
        assert settings() == before
        assert torch.get_float32_matmul_precision() == "highest"


def test_a_folder_that_is_gone_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with restored() as changed:
        pass
    assert changed == []


def test_what_a_module_sets_while_it_is_imported_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setsall.py").write_text(
        "import os, torch\nos.chdir('/')\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
        "def mine(updates, view): return updates.deltas.mean(0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = settings()
    with allowing(["setsall"]):
        assert registry.lookup("aggregator", "setsall:mine").__module__ == "setsall"
    assert settings() == before


def test_a_run_leaves_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSKEW_TEST", "1")
    mask = os.umask(0o027)
    os.umask(mask)

    def state() -> list[Any]:
        now = os.umask(mask)
        os.umask(now)
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)]
        return [settings(), dict(os.environ), [*sys.path], [*warnings.filters], handlers, now]

    before, words = state(), locale.setlocale(locale.LC_ALL)

    def run() -> None:
        for name, change in CHANGES.items():
            if "determin" not in name:
                change()
        os.environ["FEDSKEW_TEST"] = "2"
        os.environ["FEDSKEW_MORE"] = "3"
        sys.path.insert(0, "/nowhere")
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        locale.setlocale(locale.LC_ALL, "C")
        os.umask(0o007)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), isolated():
        run()
    assert state() == before
    assert locale.setlocale(locale.LC_ALL) == words
