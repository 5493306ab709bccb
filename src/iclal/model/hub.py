"""Reading a model folder in the hub's layout with Hugging Face's classes: local files only, every failure typed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import logging as hub_logging

from iclal.errors import ModelError

# What `from_pretrained` raises for files that are missing, broken, or of another kind.
LOADING_ERRORS = (
    *(OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError),
    ImportError,  # of a package that a quantised model or its tokenizer needs
    *(SafetensorError, StrictDataclassError),  # the latter: values of a config that its class refuses
)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelError when there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object, found {type(values).__name__}")
    return values


def hub_name(folder: Path) -> tuple[str, str]:
    """Repository and revision of a snapshot in the hub's cache; of any other folder its name and nothing.

    >>> hub_name(Path("hub/models--facebook--opt-6.7b/snapshots/a45aa65b"))
    ('facebook/opt-6.7b', 'a45aa65b')
    >>> hub_name(Path("models/opt"))
    ('opt', '')
    """
    repository = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not repository.startswith("models--"):
        return folder.name, ""
    return repository.removeprefix("models--").replace("--", "/"), folder.name


def load_network(kind: Any, folder: Path, what: str, *, may_lack: tuple[str, ...] = (), **options: Any) -> Any:
    """`kind.from_pretrained(folder)`, with every weight there (but those whose names end in `may_lack`).

    Raises:
        ModelError: naming `what`, the folder and the reason.
    """
    with _without_progress_bars():
        try:
            network, report = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
        except LOADING_ERRORS as error:
            raise ModelError(f"cannot load the {what} at {folder}: {one_line(error)}") from error
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(may_lack or ("\0",)))
    if missing:
        raise ModelError(f"the {what} at {folder} lacks {len(missing)} weights, e.g. {missing[0]}")
    return network


def one_line(error: Exception) -> str:
    """An error's message on one line, not too long."""
    return " ".join(str(error).split())[:300]


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Hugging Face draws a bar for each file, also where nobody looks."""
    was_on = hub_logging.is_progress_bar_enabled()
    hub_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            hub_logging.enable_progress_bar()
