"""What a component could change of the whole process, in which other components compute, and later runs of a study.

Settings on which numbers or files depend are compared around each call of a component from outside and put back; the
component is refused (``components.outside``). The rest, which takes longer to look at and which libraries change for
good reasons, is put back after each run of a worker.
"""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it has been removed
        return ""


def _enter(folder: str) -> None:
    if folder:
        os.chdir(folder)


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)  # None costs nothing later


_backends: Any = torch.backends
_FORMATS = (_backends, _backends.mkldnn.matmul, _backends.cuda.matmul)
"""Where PyTorch keeps the formats of products, the general one first."""


def _precisions() -> list[str]:
    # ``torch.get_float32_matmul_precision`` fails while one of these is set, as it is in training on a GPU.
    return [place.fp32_precision for place in _FORMATS]


def _set_precisions(formats: list[str]) -> None:
    torch.set_float32_matmul_precision({"bf16": "medium", "tf32": "high"}.get(formats[1], "highest"))
    for place, value in zip(_FORMATS, formats, strict=True):  # which the line before sets too
        place.fp32_precision = value


def _zeroes_denormals() -> bool:
    return sys.float_info.min * 0.5 == 0.0


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the working directory": (_folder, _enter),
    "PyTorch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "PyTorch's default device": (torch.get_default_device, _set_device),
    "whether PyTorch computes gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether PyTorch's algorithms are deterministic": (
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    "the precision of PyTorch's matrix products": (
        _precisions,
        _set_precisions,
    ),
    "PyTorch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether denormal numbers are flushed to zero": (_zeroes_denormals, torch.set_flush_denormal),
    "NumPy's handling of floating-point errors": (np.geterr, lambda kinds: np.seterr(**kinds)),
}
"""What of the process numbers or files depend on, in words, with how it is read and written."""


@contextmanager
def restored() -> Iterator[list[str]]:
    """Puts back what the block changes of ``SETTINGS``; costs tens of microseconds.

    Yields:
        A list that has the names of what was changed when the block is over.
    """
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (read, write) in SETTINGS.items():
            if read() != before[name]:
                write(before[name])
                changed.append(name)


@contextmanager
def isolated() -> Iterator[None]:
    """Leaves the process after a run as it was before: ``SETTINGS``, environment variables, the search path for
    modules, warning filters, the locale, the mask of new files and signal handlers.

    Not what cannot be put back (threads, patched functions, caches), and not what importing a module has done before,
    since a module that stays imported does it only once.
    """
    path, variables, words = list(sys.path), dict(os.environ), locale.setlocale(locale.LC_ALL)
    mask, handlers = _mask(), {number: signal.getsignal(number) for number in signal.valid_signals()}
    with restored(), warnings.catch_warnings():
        try:
            yield
        finally:
            sys.path[:] = path
            if dict(os.environ) != variables:
                os.environ.clear()
                os.environ.update(variables)
            locale.setlocale(locale.LC_ALL, words)
            os.umask(mask)
            if threading.current_thread() is threading.main_thread():  # which alone can set them
                _set_handlers(handlers)


def _mask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_handlers(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if (
            handler is not None and signal.getsignal(number) is not handler
        ):  # None: not Python's, nor settable
            with suppress(OSError, ValueError):
                signal.signal(number, handler)
