"""Checkpoints: all that a run needs to go on bit for bit, whole or recognised as torn.

    checkpoints/step-40/
        weights.safetensors      trained tensors and buffers, by their names in the module
        optimizer.safetensors    the optimiser's state, by parameter
        random.safetensors       generators of Python, NumPy and torch as integers
        state.json               step (= data position), best metric, sums of the open log interval
        complete.json            written last: bytes and SHA-256 of each file above

A checkpoint is written to `step-40.partial`, every file and the folder are synced, then it is renamed. Nothing is
pickled. A folder without its marker, or whose files differ from it, is torn and never loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from iclal.errors import TrainingError
from iclal.training.disk import disk_errors, sync_folder, write_synced

MARKER = "complete.json"
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: trained tensors, optimiser state, generators, and the counters."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Updates done."""
        return self.state["step"]


def save_checkpoint(checkpoints: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint to `checkpoints/step-N`, returns that folder.

    Raises:
        TrainingError: the disk is full or read-only; older checkpoints are untouched.
    """
    folder = checkpoints / f"step-{checkpoint.step}"
    aside = folder.with_name(folder.name + ".partial")
    files: dict[str, Callable[[], bytes]] = {  # made one after another: all at once would double the memory
        "weights.safetensors": lambda: tensors_to_bytes(_plain(checkpoint.weights)),
        "optimizer.safetensors": lambda: tensors_to_bytes(_plain(checkpoint.optimizer)),
        "random.safetensors": lambda: tensors_to_bytes(_plain(checkpoint.random)),
        "state.json": lambda: json.dumps(checkpoint.state, indent=1, allow_nan=False).encode(),
    }
    marker: dict[str, dict[str, int | str]] = {}
    with disk_errors(folder, "save a checkpoint"):
        try:
            remove_folder(aside)
            aside.mkdir(parents=True)
            for name, make in files.items():
                data = make()
                write_synced(aside / name, data)
                marker[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            write_synced(aside / MARKER, json.dumps(marker, indent=1).encode())
            sync_folder(aside)
            remove_folder(folder)  # only a torn one can stand there: the loop never saves a step twice
            os.rename(aside, folder)
            sync_folder(checkpoints)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)  # gives a full disk its room back
            raise
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a whole checkpoint.

    Raises:
        TrainingError: there is none, or it is torn; says which file and how.
    """
    if problem := what_is_torn(folder):
        raise TrainingError(f"{folder} cannot be used: {problem}; --resume takes the newest one that is whole")
    try:
        return Checkpoint(
            weights=tensors_from_bytes((folder / "weights.safetensors").read_bytes()),
            optimizer=tensors_from_bytes((folder / "optimizer.safetensors").read_bytes()),
            random=tensors_from_bytes((folder / "random.safetensors").read_bytes()),
            state=json.loads((folder / "state.json").read_text()),
        )
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"{folder} cannot be read: {error}") from error


def what_is_torn(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, in words; None if it is whole."""
    if not folder.is_dir():
        return "no such checkpoint"
    try:
        marker = json.loads((folder / MARKER).read_text())
    except FileNotFoundError:
        return f"it has no {MARKER}: it was not finished"
    except (OSError, ValueError) as error:
        return f"its {MARKER} cannot be read ({error})"
    for name, expected in marker.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if len(data) != expected["bytes"]:
            return f"{name} has {len(data)} of {expected['bytes']} bytes"
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            return f"{name} is not what was written (its SHA-256 differs)"
    return None


def list_checkpoints(checkpoints: Path) -> list[tuple[int, Path]]:
    """(step, folder) of all checkpoints under their final name, oldest first, torn ones among them."""
    found = []
    for folder in checkpoints.iterdir() if checkpoints.is_dir() else ():
        if match := _NAME.fullmatch(folder.name):
            found.append((int(match[1]), folder))
    return sorted(found)


def newest_checkpoint(checkpoints: Path, say: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint, None if there is none; torn and unfinished ones are named through `say`."""
    for folder in sorted(checkpoints.glob("step-*.partial")):
        say(f"{folder.name} was not finished when the run ended: it is not used")
    for _, folder in reversed(list_checkpoints(checkpoints)):
        if (problem := what_is_torn(folder)) is None:
            return folder
        say(f"{folder.name} is torn ({problem}): the one before is used")
    return None


def prune_checkpoints(checkpoints: Path, keep: int, best_step: int | None) -> None:
    """Remove all but the newest `keep` and the best one, and what unfinished saves and removals left behind."""
    with disk_errors(checkpoints, "remove an old checkpoint"):
        for leftover in [*checkpoints.glob("step-*.partial"), *checkpoints.glob("step-*.removed")]:
            shutil.rmtree(leftover)
        for step, folder in list_checkpoints(checkpoints)[:-keep]:
            if step != best_step:
                remove_folder(folder)


def put_aside(folder: Path) -> None:
    """Rename a torn checkpoint to `step-N.torn`: no run takes it for its own, and a person may still look at it."""
    with disk_errors(folder, "put a torn checkpoint aside"):
        remove_folder(aside := folder.with_name(folder.name + ".torn"))
        folder.rename(aside)


def remove_folder(folder: Path) -> None:
    """Remove a checkpoint, first from its name, so that a kill in between leaves nothing that looks like one."""
    if folder.exists():
        aside = folder.with_name(folder.name.removesuffix(".partial") + ".removed")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        shutil.rmtree(aside)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached, on the CPU, without gaps: what safetensors takes."""
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
