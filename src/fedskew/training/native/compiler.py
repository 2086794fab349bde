"""Builds a C file into a shared library once per machine, and finds it again in the user's cache folder.

A library is in ``<cache>/native/<key>/`` with its SHA-256; the key is a hash of source, kernels, compiler
version, flags and CPU. The folder is made under a temporary name and put in place by one rename, so two processes that
compile at once do not disturb each other; a damaged library (its hash does not fit) is built again, never loaded.
Nor is one that others than the user could have put there: the library is then built for this process alone.

``$FEDSKEW_NATIVE_TARGET`` names another target than this processor (``x86-64-v3``: AVX2 and no more).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import re
import shlex
import shutil
import tempfile
import threading
import time
from pathlib import Path

from platformdirs import user_cache_path

from fedskew.ownership import exposed
from fedskew.training.native.command import outcome
from fedskew.training.native.plan import Unsupported

KERNELS = Path(__file__).parent
FLAGS = (
    *("-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"),
    "-fno-predictive-commoning",  # it carries loads over to the next pixel and so spills the accumulators
)
_TARGETS = ("-march=native", "-mcpu=native", "")  # the first that the compiler takes
TARGET_VARIABLE = "FEDSKEW_NATIVE_TARGET"
_NEEDED = {
    "__SSE4_2__": "sse4_2",
    "__AVX__": "avx",
    "__AVX2__": "avx2",
    "__FMA__": "fma",
    **{f"__AVX512{part}__": f"avx512{part.lower()}" for part in ("F", "BW", "CD", "DQ", "VL")},
    "__AVX512BF16__": "avx512_bf16",
    **{f"__AMX_{part}__": f"amx_{part.lower()}" for part in ("TILE", "BF16")},
}
"""What a compiler defines for a target: the flag of a processor that has it (/proc/cpuinfo)."""
_TIMEOUT = 300.0  # seconds for a library
_QUESTION = 30.0  # seconds for what the compiler can do, which takes milliseconds
LONGEST = 300
"""Letters of what the compiler says that are passed on."""
_LIBRARY, _DIGEST = "library.so", "library.sha256"
_OWN = ("fedskew", "native")
"""The names of the folders of the cache that fedskew makes."""

_log = logging.getLogger(__name__)

_loaded: dict[str, ctypes.CDLL] = {}
_lock = threading.Lock()


def find_compiler() -> list[str]:
    """The C compiler as an argument list: ``$CC`` if set, else ``cc``.

    Raises:
        Unsupported: there is none.
    """
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise Unsupported(f"no C compiler found ({command[0]})")
    return command


def _run(command: list[str], seconds: float = _QUESTION) -> str:
    """Runs a compiler command; its output. Raises Unsupported with the first line that says what went wrong."""
    try:
        code, out, err = outcome(command, seconds)
    except OSError as error:
        raise Unsupported(f"the C compiler did not run: {error}") from error
    if code != 0:
        lines = [line.strip() for line in err.splitlines() if line.strip()]
        reason = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
        raise Unsupported(f"the C compiler {command[0]} failed (exit code {code}): {reason[:LONGEST]}")
    return out


@functools.lru_cache(maxsize=8)
def _compiler_version(command: tuple[str, ...], path: str) -> str:
    """What the compiler calls itself; ``path`` (its resolved place) is part of the memo's key."""
    return _run([*command, "--version"])


def target() -> str:
    """The processor that ``$FEDSKEW_NATIVE_TARGET`` names; "" means this one."""
    return os.environ.get(TARGET_VARIABLE, "").strip()


@functools.lru_cache(maxsize=8)
def _target_flag(command: tuple[str, ...], path: str, name: str) -> str:
    """The flag for a target, or the one that makes the compiler use all of this CPU; the empty string if none does.

    Raises:
        Unsupported: the compiler does not know the target, or this processor cannot run what is built for it.
    """
    if name:
        return _named_target(command, name)
    for flag in _TARGETS[:-1]:
        try:
            _macros(command, flag)
        except Unsupported:
            continue
        return flag
    return _TARGETS[-1]


def _named_target(command: tuple[str, ...], name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise Unsupported(f"{TARGET_VARIABLE} = {name!r} is not the name of a processor")
    try:
        defined = _macros(command, f"-march={name}")
    except Unsupported as error:
        raise Unsupported(f"{TARGET_VARIABLE} = {name!r}: {error}") from error
    present = set(cpu_identity().split())
    lacking = [flag for macro, flag in _NEEDED.items() if macro in defined and flag not in present]
    if lacking:
        raise Unsupported(f"{TARGET_VARIABLE} = {name!r}: this processor lacks {', '.join(lacking)}")
    return f"-march={name}"


def macros() -> frozenset[str]:
    """The names that the compiler defines for the kernels' target.

    Raises:
        Unsupported: as :func:`load`.
    """
    command = find_compiler()
    path = str(shutil.which(command[0]))
    return _macros(tuple(command), _target_flag(tuple(command), path, target()))


@functools.lru_cache(maxsize=8)
def _macros(command: tuple[str, ...], flag: str) -> frozenset[str]:
    """The names that the compiler defines under a flag."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text("int probe;\n", encoding="utf-8")
        lines = _run([*command, *([flag] if flag else []), "-dM", "-E", str(probe)]).splitlines()
    return frozenset(line.split()[1] for line in lines if line.startswith("#define "))


@functools.lru_cache(maxsize=1)
def cpu_identity() -> str:
    """What distinguishes CPUs for ``-march=native``: model and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "Features", "CPU part")
    found = [next((line for line in lines if line.startswith(name)), "") for name in wanted]
    return "\n".join([platform.machine(), platform.processor(), *found])


@functools.lru_cache(maxsize=1)
def _headers() -> str:
    return "\n".join(f"{path.name}\n{path.read_text('utf-8')}" for path in sorted(KERNELS.glob("*.h")))


def described() -> str:
    """Compiler, its version and the flags with which kernels are built.

    Raises:
        Unsupported: as :func:`load`.
    """
    command = find_compiler()
    path = str(shutil.which(command[0]))
    version = _compiler_version(tuple(command), path).partition("\n")[0].strip()
    flags = [*command[1:], *FLAGS, _target_flag(tuple(command), path, target())]
    return f"{version}: {' '.join(flag for flag in flags if flag)}"


def cache_folder() -> Path:
    """Where built libraries are kept (``$XDG_CACHE_HOME/fedskew/native`` on Linux)."""
    return user_cache_path(_OWN[0]) / _OWN[1]


def load(source: str, *extra: str) -> ctypes.CDLL:
    """The library of a C file, from this process, from the cache, or built now (some seconds).

    Args:
        extra: flags after the usual ones, which they override.

    Raises:
        Unsupported: no compiler, the compiler fails, a target that this processor cannot run, or neither the cache
            folder nor one for temporary files serves.
    """
    command = find_compiler()
    path = str(shutil.which(command[0]))
    flags = [*FLAGS, *extra, _target_flag(tuple(command), path, target())]
    version = _compiler_version(tuple(command), path)
    parts = [source, _headers(), version, " ".join(command), " ".join(flags), cpu_identity()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    build = [*command, *[flag for flag in flags if flag]]
    with _lock:
        if key not in _loaded:
            try:
                _loaded[key] = _load(key, source, build)
            except OSError as error:
                raise Unsupported(f"the library cannot be built or loaded: {error}") from error
        return _loaded[key]


def _load(key: str, source: str, command: list[str]) -> ctypes.CDLL:
    """The library from the cache, or from a folder of this process alone where the cache cannot be used or others
    could change what is in it."""
    try:
        root = _own_cache()
        if not (why := exposed(root)):
            _sweep(root)
            library = _ensure_built(root, key, source, command) / _LIBRARY
            if not (why := exposed(library)):
                return ctypes.CDLL(str(library))
    except OSError as error:  # it cannot be written, the disk is full, or nothing in it may be run
        why = str(error)
    _log.warning(
        "kernels are built for this process alone and not kept, since %s; XDG_CACHE_HOME can name another folder",
        why,
    )
    with tempfile.TemporaryDirectory(prefix="fedskew-") as temporary:
        alone = Path(temporary).resolve()
        if why := exposed(alone):
            raise Unsupported(f"there is no folder for the library that nobody else could change: {why}")
        _build(alone, source, command)
        return ctypes.CDLL(str(alone / _LIBRARY))


def _own_cache() -> Path:
    """The folder for libraries, without links. What is made here is open to the user alone whatever the umask says, and
    so are the two folders that are fedskew's own."""
    root = cache_folder()
    for place in (*reversed(root.parents), root):
        place.mkdir(mode=0o700, exist_ok=True)  # with parents=True only the last one would have the mode
    root = root.resolve()
    for place in (root.parent, root):
        found = place.lstat()
        if (
            place.name in _OWN
            and os.name == "posix"
            and found.st_uid == os.geteuid()
            and found.st_mode & 0o077
        ):
            place.chmod(0o700)
    return root


def _sweep(root: Path) -> None:
    """Removes what compilations left that were killed: none that still runs is so old."""
    for left in root.glob(".*"):
        try:
            if time.time() - left.lstat().st_mtime > 2 * _TIMEOUT:
                shutil.rmtree(left)
        except OSError:  # another process sweeps, or it is not ours
            continue


def _build(folder: Path, source: str, command: list[str]) -> None:
    """Compiles a library into an empty folder, with its digest beside it."""
    (folder / "model.c").write_text(source, encoding="utf-8")
    library = folder / _LIBRARY
    _run(
        [*command, "-shared", "-fPIC", f"-I{KERNELS}", str(folder / "model.c"), "-o", str(library), "-lm"],
        _TIMEOUT,
    )
    (folder / _DIGEST).write_text(hashlib.sha256(library.read_bytes()).hexdigest(), encoding="ascii")
    library.chmod(0o700)


def _intact(folder: Path) -> bool:
    """Is there a library in the folder, with the bytes that were built, which nobody else could have changed?"""
    try:
        if exposed(folder / _LIBRARY):
            return False
        digest = hashlib.sha256((folder / _LIBRARY).read_bytes()).hexdigest()
        return (folder / _DIGEST).read_text(encoding="ascii").strip() == digest
    except (OSError, UnicodeDecodeError):
        return False


def _ensure_built(root: Path, key: str, source: str, command: list[str]) -> Path:
    final = root / key
    if _intact(final):
        return final
    with tempfile.TemporaryDirectory(prefix=f".{key[:8]}-", dir=root) as temporary:
        made, aside = Path(temporary) / "made", Path(temporary) / "damaged"
        made.mkdir(mode=0o700)
        _build(made, source, command)
        if _intact(final):  # another process was faster; both libraries came from the same source
            return final
        if final.exists():
            final.rename(aside)  # damaged; swept with the temporary folder
        try:
            made.rename(final)
        except OSError:
            if not _intact(final):
                raise
    return final
