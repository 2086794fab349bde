"""What clients keep from round to round (moments, what their objectives keep, personal models), in memory or in files.

    clients/17-4.safetensors    what client 17 kept from round 4, its last

The files serve populations whose states together would be large: only those of a round's cohort are read and
written. A file is written once and never changed. A round's files are on disk before a checkpoint names them (as
tables: the round of each client's file, and a checksum by which a changed one is refused), and the files they replace
are removed only when that checkpoint is in place; a file that no checkpoint has named goes with the next of its client.
So at any instant the checkpoint from which a killed run would resume finds exactly the files it names; others are
removed. The choice between memory and files changes no result.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fedskew.config import SGD, Adam, ClientStatePlace
from fedskew.errors import RunError
from fedskew.files import is_own_file, is_own_folder, make_folder, sync_folder
from fedskew.protocols import State

MEMORY_LIMIT = 64 << 20
"""Bytes of state of all clients together up to which they stay in memory, and every checkpoint holds all of them."""

WRITERS = 8
"""Files written at once: a disk syncs several in the time of one."""

TABLE, CHECKSUMS = "files", "checksums"
"""The names in a checkpoint of the tables of files."""


class MemoryStates(Mapping[int, State]):
    """The states of all clients seen so far, by client id; a checkpoint holds them all.

    Args:
        leftover: a folder of state files from an earlier session, removed as soon as a checkpoint is in place.
    """

    def __init__(self, leftover: Path | None = None) -> None:
        self._states: dict[int, State] = {}
        self._leftover = leftover

    def __getitem__(self, client: int) -> State:
        return self._states[client]

    def __iter__(self) -> Iterator[int]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def keep(self, round_number: int, kept: Mapping[int, State], dropped: Iterable[int] = ()) -> None:
        """Replaces the states of a round's cohort; ``dropped`` clients start fresh the next time."""
        self._states.update(kept)
        for client in dropped:
            self._states.pop(client, None)

    def named(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold of them."""
        return {
            f"{client}/{name}": tensor
            for client, state in self._states.items()
            for name, tensor in state.items()
        }

    def settle(self) -> None:
        """Called when a checkpoint of the last round is in place: files that only older ones needed are removed."""
        if self._leftover is not None:
            shutil.rmtree(self._leftover, ignore_errors=True)
            self._leftover = None


class FolderStates(Mapping[int, State]):
    """The states of clients in files; in memory are two numbers per client of the population.

    A state is read when it is asked for, each time again, and several threads may ask.

    Args:
        folder: made when the first file is written.
        clients: K, the size of the population.
        device: where tensors are put; those without dimensions (step counters) stay on the CPU.
        durable: whether the files must survive a crash of the machine.
    """

    def __init__(
        self, folder: Path, clients: int, device: torch.device | None = None, *, durable: bool = True
    ) -> None:
        self._folder, self._device, self._durable = folder, device or torch.device("cpu"), durable
        self._rounds = np.zeros(clients, dtype=np.int32)  # of each client's file; 0 for a client without one
        self._checksums = np.zeros(clients, dtype=np.int64)  # of each client's file; 0 where none is known
        self._replaced: list[Path] = []
        self._settled = 0  # the last round of any file that a checkpoint names

    def _path(self, client: int, round_number: int) -> Path:
        return self._folder / _name(client, round_number)

    def __getitem__(self, client: int) -> State:
        if not 0 <= client < len(self._rounds) or not self._rounds[client]:
            raise KeyError(client)
        path = self._path(client, int(self._rounds[client]))
        try:
            content = path.read_bytes()
            if self._checksums[client] not in (0, _checksum(content)):
                raise ValueError("it is not what was written")
            return on_device(load(content), self._device)
        except (OSError, SafetensorError, ValueError) as error:
            raise RunError(
                f"{path} is missing or damaged: {error}",
                "remove the run's folder to start it from the beginning",
            ) from None

    def __iter__(self) -> Iterator[int]:
        return (int(client) for client in np.flatnonzero(self._rounds))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._rounds))

    def keep(self, round_number: int, kept: Mapping[int, State], dropped: Iterable[int] = ()) -> None:
        """Writes the states of a round's cohort; they are on disk when this returns. See ``MemoryStates``.

        Args:
            round_number: 1-based, and larger than any before.
        """
        dropped = [*dropped, *(client for client, state in kept.items() if not state)]
        kept = {client: state for client, state in kept.items() if state}
        if kept:
            make_folder(self._folder)
            with ThreadPoolExecutor(WRITERS) as writers:
                done = writers.map(lambda client: self._write(client, round_number, kept[client]), kept)
                written = dict(zip(kept, done, strict=True))  # raises what a writer raised
            self._checksums[list(written)] = list(written.values())
            if self._durable:
                sync_folder(self._folder)
                sync_folder(self._folder.parent)
        for client, becomes in [*((k, round_number) for k in kept), *((k, 0) for k in dropped)]:
            if before := int(self._rounds[client]):
                path = self._path(client, before)
                if before > self._settled:
                    path.unlink()
                else:
                    self._replaced.append(path)
            self._rounds[client] = becomes

    def _write(self, client: int, round_number: int, state: State) -> int:
        # Not written under another name first: nothing reads a file that no checkpoint names.
        path = self._path(client, round_number)
        is_own_file(path)
        content = save(plain(state))
        with path.open("wb") as file:
            file.write(content)
            if self._durable:
                file.flush()
                os.fsync(file.fileno())
        return _checksum(content)

    def named(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold of them: int32 [K] and int64 [K], the round and checksum of each client's
        file."""
        checksums = np.where(self._rounds == 0, 0, self._checksums)
        return {TABLE: torch.from_numpy(self._rounds.copy()), CHECKSUMS: torch.from_numpy(checksums)}

    def settle(self) -> None:
        """See ``MemoryStates``."""
        for path in self._replaced:
            path.unlink(missing_ok=True)
        self._replaced.clear()
        self._settled = int(self._rounds.max(initial=0))

    def adopt(self, table: Tensor, checksums: Tensor | None = None) -> None:
        """Resumes with the files that a checkpoint names; ``sweep`` then removes all others.

        Args:
            checksums: None in a checkpoint of an earlier version.

        Raises:
            RunError: the table is of another population, or a file is missing.
        """
        if table.shape != self._rounds.shape:
            raise RunError(
                f"{self._folder}: the checkpoint has {len(table)} clients, expected {len(self._rounds)}"
            )
        self._rounds = table.numpy().astype(np.int32)
        if checksums is not None:
            self._checksums = checksums.numpy().astype(np.int64)
        self._settled = int(self._rounds.max(initial=0))
        missing = sorted(self._named() - self._there())
        if missing:
            raise RunError(
                f"{self._folder / missing[0]} is missing, with {len(missing) - 1} other files of the checkpoint",
                "remove the run's folder to start it from the beginning",
            )

    def sweep(self) -> None:
        """Removes the files that are not those of the table: of rounds after the checkpoint, or before it."""
        for name in self._there() - self._named():
            (self._folder / name).unlink()

    def _named(self) -> set[str]:
        """The names of the files of the table."""
        clients = np.flatnonzero(self._rounds)
        return set(map(_name, clients.tolist(), self._rounds[clients].tolist()))

    def _there(self) -> set[str]:
        """The names of the files in the folder."""
        if not is_own_folder(self._folder):
            return set()
        with os.scandir(self._folder) as entries:
            return {entry.name for entry in entries}


def _checksum(content: bytes) -> int:
    """64 bits of the SHA-256 of a file."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little", signed=True)


def _name(client: int, round_number: int) -> str:
    return f"{client}-{round_number}.safetensors"


ClientStates: TypeAlias = MemoryStates | FolderStates
"""What clients keep, by client id."""


def open_states(
    place: ClientStatePlace,
    optimizer: Adam | SGD,
    clients: int,
    parameters: int,
    folder: Path,
    device: torch.device | None = None,
    *,
    kept: Sequence[State] = (),
    models: int = 1,
    durable: bool = True,
) -> ClientStates:
    """The store for a population, still empty.

    Args:
        place: ``"auto"`` takes files where the states of all clients would exceed ``MEMORY_LIMIT``.
        folder: for the files, if there are any.
        kept, models: as ``state_bytes`` takes them.
    """
    if place == "auto":
        place = (
            "disk" if clients * state_bytes(optimizer, parameters, kept, models) > MEMORY_LIMIT else "memory"
        )
    if place == "memory":
        return MemoryStates(leftover=folder)
    return FolderStates(folder, clients, device, durable=durable)


def state_bytes(optimizer: Adam | SGD, parameters: int, kept: Sequence[State] = (), models: int = 1) -> int:
    """Bytes that one client keeps between rounds, without its step counter; 0 if it starts fresh each time.

    Args:
        kept: what it keeps for each objective that it may follow and for its personal model, whatever becomes of its
            optimisers' state.
        models: how many it trains, each with an optimiser of its own.
    """
    own = sum(tensor.numel() * tensor.element_size() for state in kept for tensor in state.values())
    if optimizer.state == "fresh":
        return own
    vectors = 2 + optimizer.amsgrad if isinstance(optimizer, Adam) else int(optimizer.momentum != 0)
    return own + 4 * parameters * vectors * models


def restore(
    states: ClientStates,
    folder: Path,
    round_number: int,
    names: Iterable[str],
    read: Callable[[str], Tensor],
    device: torch.device,
) -> None:
    """Fills an empty store with what a checkpoint holds of the clients, whichever store wrote it.

    Args:
        folder: where files are, if the checkpoint names some.
        round_number: of the checkpoint.
        names: of its tensors, as ``named`` gave them.
        read: gives the tensor of a name.

    Raises:
        RunError: files are missing or damaged.
    """
    names = list(names)
    leaves: dict[int, list[str]] = {}
    for name in names:
        if name not in (TABLE, CHECKSUMS):
            client, _, leaf = name.partition("/")
            leaves.setdefault(int(client), []).append(leaf)
    if TABLE in names:
        table = read(TABLE)
        files = states if isinstance(states, FolderStates) else FolderStates(folder, len(table), device)
        files.adopt(table, read(CHECKSUMS) if CHECKSUMS in names else None)
        files.sweep()
        if isinstance(states, MemoryStates):
            states.keep(round_number, dict(files))
        return
    if isinstance(states, FolderStates):
        states.sweep()
    for key, found in leaves.items():  # one at a time: what a checkpoint holds of all clients may not fit
        states.keep(round_number, {key: on_device({leaf: read(f"{key}/{leaf}") for leaf in found}, device)})


def plain(tensors: State) -> State:
    """As safetensors needs them: on the CPU, and cloned, because two names may share one tensor's memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def on_device(tensors: State, device: torch.device) -> State:
    """On a device, except those without dimensions: a step counter is read by Python each step."""
    return {name: tensor if tensor.ndim == 0 else tensor.to(device) for name, tensor in tensors.items()}
