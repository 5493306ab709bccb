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
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from iclal.errors import TrainingError

MARKER = "complete.json"
CPU = torch.device("cpu")
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


# Files ----------------------------------------------------------------------------------------------------------


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


# Saving and loading ---------------------------------------------------------------------------------------------


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
        raise TrainingError(f"{folder} cannot be used: {problem}; choose another checkpoint")
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


# What is trained ------------------------------------------------------------------------------------------------


def trained_tensors(trainable: nn.Module, parameters: set[int], frozen: set[int]) -> dict[str, Tensor]:
    """The tensors of a module that a checkpoint holds: parameters whose id is in `parameters`, and saved buffers.

    Buffers whose id is in `frozen` belong to a frozen part and are left out. Tied tensors stand under their first name.
    """
    saved = trainable.state_dict(keep_vars=True)
    trained = {name: p for name, p in trainable.named_parameters() if id(p) in parameters}
    buffers = {name: b for name, b in trainable.named_buffers() if name in saved and id(b) not in frozen}
    return trained | buffers


def load_weights(folder: Path, trainable: nn.Module, kept_share: float = 0.0) -> int:
    """Put the trained tensors of a checkpoint into a module of the same build; returns the checkpoint's step.

    `kept_share` of the weights that the module holds is kept: the mean of before and after.

    Raises:
        TrainingError: torn checkpoint, or a tensor that the module lacks or holds in another shape.
    """
    checkpoint = load_checkpoint(folder)
    into = dict(trainable.named_parameters()) | dict(trainable.named_buffers())
    put_tensors(checkpoint.weights, into, folder, kept_share)
    return checkpoint.step


def put_tensors(saved: Mapping[str, Tensor], into: Mapping[str, Tensor], source: Path, kept_share: float = 0.0) -> None:
    """Copy saved tensors into the living ones of the same names, of which `kept_share` is kept (integers: none).

    Raises TrainingError for a name or shape amiss.
    """
    unknown = [name for name in saved if name not in into]
    if unknown:
        raise TrainingError(f"{source} holds {len(unknown)} tensors that this model lacks, e.g. {unknown[0]}")
    for name, tensor in saved.items():
        if tensor.shape != into[name].shape:
            raise TrainingError(f"{source}: {name} has shape {list(tensor.shape)}, here {list(into[name].shape)}")
    with torch.no_grad():
        for name, tensor in saved.items():
            kept = kept_share if into[name].is_floating_point() else 0.0
            into[name].copy_(tensor.to(into[name]).lerp(into[name], kept) if kept else tensor)


def begin_with(model: nn.Module, other: nn.Module, source: Path) -> None:
    """Copy every weight of another model of like build. Raises TrainingError where names or shapes differ."""
    into, found = model.state_dict(), other.state_dict()
    if lacking := [name for name in into if name not in found]:
        raise TrainingError(f"{source} lacks {len(lacking)} tensors of this model, e.g. {lacking[0]}")
    put_tensors(found, into, source)


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def module_digest(module: nn.Module) -> str:
    """SHA-256 over a module's parameters and saved buffers as they are in memory."""
    return tensors_digest({name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)})


# Random generators ----------------------------------------------------------------------------------------------


def random_state(device: torch.device = CPU) -> dict[str, Tensor]:
    """The global generators of Python, NumPy (SpecAugment draws from it) and torch, as tensors of integers; and that of
    the device that a run computes on.
    """
    _, python_words, python_gauss = random.getstate()
    _, numpy_words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python": torch.tensor(python_words, dtype=torch.int64),
        "python_gauss": torch.tensor([] if python_gauss is None else [python_gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(numpy_words).astype(np.int64)),
        "numpy_position": torch.tensor([position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([gauss], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device = CPU) -> None:
    """Set the global generators as `random_state` found them.

    Raises:
        TrainingError: a generator is missing, or the checkpoint comes from another kind of device.
    """
    if differing := sorted(state.keys() ^ random_state(device).keys()):
        raise TrainingError(
            f"the random state was saved on another kind of device than {device} and cannot be restored "
            f"({', '.join(differing)})"
        )
    try:
        gauss = state["python_gauss"].tolist()
        random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
        position, has_gauss = state["numpy_position"].tolist()
        words = state["numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", words, position, has_gauss, state["numpy_gauss"].item()))
        torch.set_rng_state(state["torch"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], device)
        if device.type == "mps":
            torch.mps.set_rng_state(state["mps"])
    except ValueError as error:
        raise TrainingError(f"the random state cannot be restored ({error})") from error


@contextmanager
def kept_random_state(device: torch.device = CPU) -> Iterator[None]:
    """Whatever draws inside leaves the generators as they were: validating does not change training."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
