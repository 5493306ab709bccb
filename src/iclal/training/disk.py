"""Files that are whole or not there: written aside, synced, renamed; a disk that fails is an error for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iclal.errors import TrainingError


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on disk. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries (new, renamed, removed files) are on disk. Raises OSError."""
    if os.name == "nt":  # a folder cannot be opened there; renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file aside, sync and rename it: readers see the old or the new one. Raises OSError."""
    aside = path.with_name(path.name + ".partial")
    write_synced(aside, data)
    os.replace(aside, path)
    sync_folder(path.parent)


@contextmanager
def disk_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn a full disk, a read-only folder and their like into a TrainingError that names the path."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise TrainingError(
            f"cannot {doing} at {where}: {error.strerror}; make room or choose another folder, "
            "then go on with --resume (checkpoints written before are untouched)"
        ) from error
