"""Downloading one file: resumed after an interruption, checked, and put in place in one step.

The file grows as ``NAME.part`` next to its target. At any time the target either does not exist or is a
file that passed its check. A part that is left by an interruption (a broken connection, Ctrl-C, a kill) is
continued by the next call with an HTTP Range request (RFC 9110, section 14), even from another mirror: the
check at the end is what counts. A part that does not pass it is deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fedskew.errors import DataError, DownloadError

if TYPE_CHECKING:
    import httpx

TRIES = 3
"""Attempts per mirror; each after the first requires that the one before got something, or had to restart."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

Advance: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there so far and the bytes there will be (None if the server does not say)."""


def http_client() -> httpx.Client:
    """A client for any number of downloads; close it, or use it in a ``with`` block."""
    import httpx

    return httpx.Client(follow_redirects=True, timeout=TIMEOUT)


def download(
    client: httpx.Client,
    urls: Sequence[str],
    target: Path,
    *,
    limit: int,
    check: Callable[[Path], None],
    advance: Advance = lambda done, total: None,
) -> tuple[str, ...]:
    """Downloads the first of ``urls`` that gives a good file, to ``target``.

    Args:
        client: from :func:`http_client`.
        urls: the same content at several places, tried in turn.
        limit: the most bytes that are accepted; no more are ever written.
        check: raises DataError for a file that is not what it should be.
        advance: is called with the progress.

    Returns:
        one sentence on each failure on the way; empty if there was none.

    Raises:
        DownloadError: no mirror gave a good file (the hint says which file to put where).
        DataError: it cannot be written.
    """
    part = target.with_name(target.name + ".part")
    notes: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            if _from_mirror(client, url, part, limit, check, advance, notes):
                put_in_place(part, target)
                return tuple(notes)
    except OSError as error:  # httpx has its own exceptions, so this is the disk
        raise DataError(f"{part}: cannot be written: {error.strerror or error}") from error
    raise DownloadError(
        f"{target.name} could not be downloaded: {'; '.join(notes)}",
        f"run the same command again later, or put {urls[0]} at {target} yourself",
    )


def _from_mirror(
    client: httpx.Client,
    url: str,
    part: Path,
    limit: int,
    check: Callable[[Path], None],
    advance: Advance,
    notes: list[str],
) -> bool:
    """Whether ``part`` is now a good file; if not, ``notes`` says why."""
    import httpx

    for _ in range(TRIES):
        before = _size(part)
        resumed = before > 0
        try:
            resumed = _transfer(client, url, part, limit, advance)
            check(part)
            return True
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            notes.append(f"{url}: {_sentence(error)}")
            if _size(part) <= before:
                return False
        except DataError as error:
            part.unlink(missing_ok=True)
            reason = error.message.removeprefix(f"{part}: ")
            kind = "resumed download" if resumed else "download"
            notes.append(f"{url}: the {kind} was not the right file and was deleted ({reason})")
            if not resumed:
                return False
    return False


def _transfer(client: httpx.Client, url: str, part: Path, limit: int, advance: Advance) -> bool:
    """Continues ``part`` from one server; returns whether the server did continue, or restarted."""
    have = _size(part)
    # Without "identity" a server may compress, and a range would count the compressed bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416 and have:
            return True  # there is nothing after what we have: the check will say whether it is complete
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise DataError("the server sent another range than the one asked for")
        done = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        advance(done, total)
        with part.open("ab" if resumed else "wb") as file:
            # As it arrives: with a chunk size httpx would lose what came before a break.
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > limit:
                    raise DataError(f"it is longer than the {limit:,} bytes it may have")
                file.write(chunk)
                advance(done, total)
    return resumed


def put_in_place(part: Path, target: Path) -> None:
    """Renames ``part`` to ``target`` so that after a power cut there is the whole file or none."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the rename is durable by itself
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _sentence(error: Exception) -> str:
    """What went wrong, in a few words; some of httpx's exceptions have no text."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code} {error.response.reason_phrase}".strip()
    return str(error) or type(error).__name__
