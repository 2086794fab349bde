"""May this process use the processor's tiles (Intel AMX, tiles.h)? Linux gives them to processes that ask."""

from __future__ import annotations

import ctypes
import functools
import sys

from fedskew.training.native import compiler

_ARCH_PRCTL = 158  # the number of the system call on x86-64
_ARCH_REQ_XCOMP_PERM = 0x1023
_TILE_DATA = 18  # the part of the processor's state


def available() -> bool:
    """Does the compiler's target have tiles, and may its kernels use them?"""
    return {"__AMX_TILE__", "__AMX_BF16__"} <= compiler.macros() and _permitted()


@functools.cache
def _permitted() -> bool:
    """Asks for all threads of this process, once; processes forked from it may use them too."""
    if sys.platform != "linux":
        return False
    arguments = [ctypes.c_long(number) for number in (_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA)]
    return bool(ctypes.CDLL(None).syscall(*arguments) == 0)
