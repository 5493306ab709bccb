"""Where computed things are kept between runs."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from iclal.errors import AudioError


def cache_folder() -> Path:
    """`ICLAL_CACHE`, else `iclal` in the user's cache folder. It need not exist."""
    if chosen := os.environ.get("ICLAL_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "iclal"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "iclal"


def cache_size_bytes(folder: Path | None = None) -> int:
    """Bytes of all files in the cache (or in a folder of it); 0 where there is none."""
    folder = cache_folder() if folder is None else folder
    size = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                size += path.stat().st_size
        except FileNotFoundError:  # another process renamed its file meanwhile
            continue
    return size


def write_aside(path: Path, content: bytes) -> None:
    """Write a file so that others see it whole or not at all: aside, then renamed. Makes its folder.

    Raises:
        AudioError: read-only or full disk.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content)
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AudioError(f"cannot write {path}: {error.strerror}; free space or choose another folder") from error
