"""The library that makes file operations go wrong (``faults.c``): built, put in front of a command, and read."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedskew.training.native.compiler import find_compiler
from fedskew.training.native.plan import Unsupported

OPERATIONS = ("open", "read", "write", "fsync", "rename", "truncate", "link", "unlink", "mkdir", "close")
"""As ``faults.c`` numbers them. ``open`` is for writing, ``read`` for reading only."""
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EROFS": errno.EROFS}
KINDS = {
    **dict.fromkeys(OPERATIONS, ("EIO", "kill")),
    **dict.fromkeys(("open", "fsync", "rename", "link", "mkdir"), ("ENOSPC", "EIO", "kill")),
    "write": ("ENOSPC", "EIO", "short", "torn", "kill"),
}
"""What can go wrong with each of them."""
_TABLE = struct.Struct(f"={len(OPERATIONS)}QQQ4096s")


@dataclass(frozen=True)
class Fault:
    """What is to go wrong: the n-th operation of a kind, or with ``onwards`` that and all after it."""

    operation: str
    kind: str
    nth: int
    onwards: bool = False

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} {self.nth}{'+' * self.onwards}"

    @property
    def plan(self) -> str:
        """As the library reads it."""
        return f"{self.operation} {ERRORS.get(self.kind, self.kind)} {self.nth}{'+' * self.onwards}"


@dataclass(frozen=True)
class Seen:
    """What the library has seen.

    Attributes:
        counts: operations by name.
        hits: how many of them went wrong.
        path: of the first of these.
    """

    counts: Mapping[str, int]
    hits: int
    path: str


@dataclass(frozen=True)
class Faults:
    """The library.

    Args:
        library: as ``build`` made it.
        table: the file in which it counts.
    """

    library: Path
    table: Path

    @staticmethod
    def build(folder: Path) -> Faults:
        """Compiles it with the compiler that the kernels use.

        Raises:
            Unsupported: there is none, it does not make the library, or this is no Linux.
        """
        if sys.platform != "linux":
            raise Unsupported(f"no library is put in front of commands on {sys.platform}")
        library, source = folder / "faults.so", Path(__file__).with_name("faults.c")
        flags = ["-O1", "-std=gnu11", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        done = subprocess.run([*find_compiler(), *flags], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unsupported(f"the C compiler does not build {source.name}: {done.stderr.strip()}")
        return Faults(library, folder / "faults.table")

    def around(self, folder: Path, fault: Fault | None = None) -> dict[str, str]:
        """The variables that put it in front of a command, with nothing counted so far."""
        self.table.write_bytes(bytes(_TABLE.size))
        variables = {
            "LD_PRELOAD": str(self.library),
            "FAULT_TABLE": str(self.table),
            "FAULT_FOLDER": str(folder),
        }
        return variables if fault is None else {**variables, "FAULT_PLAN": fault.plan}

    def seen(self) -> Seen:
        """What it has seen since."""
        *counts, hits, _operation, path = _TABLE.unpack(self.table.read_bytes())
        name = path.partition(b"\0")[0].decode(errors="replace")
        return Seen(dict(zip(OPERATIONS, counts, strict=True)), hits, name)
