"""The run folder: what was asked, with what, on which data; and whether a resumed run is still the same run.

recipe.yaml  run.json  metrics.jsonl  checkpoints/step-N/  [tensorboard/]
"""

from __future__ import annotations

import datetime
import json
import logging
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from iclal.errors import SettingsError, TrainingError
from iclal.settings import Settings
from iclal.training.disk import disk_errors, replace_file

# What may differ when a run goes on: it changes no weight and no line of the log.
FREE_KEYS = {"max_minutes", "save_every_steps", "save_every_minutes", "keep_checkpoints", "draw_ahead", "tensorboard"}
_PACKAGES = ("iclal", "torch", "transformers", "numpy", "safetensors", "soundfile")

logger = logging.getLogger(__name__)


def check_run_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that a run cannot begin or go on in: asked before what takes minutes. Leaves nothing there.

    Where there is no run to resume it says that a new one begins.

    Raises:
        TrainingError: there is a run in it and `resume` is not set, there are checkpoints without one, or it cannot be
            written.
    """
    try:
        holds_run = (folder / "run.json").exists()
        if not holds_run and any((folder / "checkpoints").glob("step-*")):
            raise TrainingError(
                f"{folder} holds checkpoints of a run that is not there any more (no run.json): they would be taken "
                "for this run's; move them away, or choose another folder"
            )
        if holds_run and not resume:
            raise TrainingError(f"{folder} already holds a run: go on with it by --resume, or choose another folder")
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=there):  # tried, as permissions alone do not tell of a read-only disk
            pass
    except OSError as error:
        raise TrainingError(
            f"cannot write a run to {folder}: {error.strerror}; choose another folder, or make this one writable"
        ) from error
    if resume and not holds_run:
        logger.warning("no run in %s: starting a new one", folder)


def start_run(folder: Path, recipe: Settings, seed: int, digests: Mapping[str, str]) -> None:
    """Lay out a new run folder.

    Raises:
        TrainingError: there is a run in it already, or it cannot be written.
    """
    check_run_folder(folder, resume=False)
    with disk_errors(folder, "start a run"):
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        replace_file(folder / "recipe.yaml", recipe.to_yaml().encode())
        _write_run(folder, {"seed": seed, "digests": dict(digests), "sessions": [_session(0, [])]})


def changes_since(
    folder: Path, recipe: Settings, seed: int, digests: Mapping[str, str], *, accept_changes: bool
) -> list[str]:
    """What differs from a run's start, in words. Writes nothing.

    Raises:
        TrainingError: recipe or digests differ and `accept_changes` is not set; names each difference.
    """
    run = _read_run(folder)
    try:
        before = yaml.safe_load((folder / "recipe.yaml").read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _no_run(folder, error) from error
    changes = [
        f"{key}: {was!r} in the run, {now!r} now"
        for key, was, now in _differences(_with_defaults(before or {}, recipe), recipe.model_dump(mode="json"))
        if key.split(".")[-1] not in FREE_KEYS
    ]
    changes += [
        f"digest of {name}: {was} in the run, {now} now" for name, was, now in _differences(run["digests"], digests)
    ]
    if seed != run["seed"]:
        changes.append(f"seed: {run['seed']} in the run, {seed} now")
    if changes and not accept_changes:
        raise TrainingError(
            f"{folder} was started otherwise and cannot go on like this: {'; '.join(changes)}; go on all the same by "
            "--accept-changes, or choose another folder"
        )
    return changes


def note_resumed(
    folder: Path, step: int, recipe: Settings, seed: int, digests: Mapping[str, str], changes: list[str]
) -> None:
    """Note in the run folder that the run goes on from `step`, and with which changes.

    Raises:
        TrainingError: it cannot be written.
    """
    run = _read_run(folder)
    with disk_errors(folder, "go on with a run"):
        if changes:
            replace_file(folder / "recipe.yaml", recipe.to_yaml().encode())
        run |= {"seed": seed, "digests": dict(digests), "sessions": [*run["sessions"], _session(step, changes)]}
        _write_run(folder, run)


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_run(folder, error) from error


def _no_run(folder: Path, error: Exception) -> TrainingError:
    return TrainingError(f"{folder} holds no run that can go on: {error}")


def _with_defaults(before: dict[str, Any], recipe: Settings) -> dict[str, Any]:
    """The recipe a run was started with; keys that came later have their defaults, which is how it ran."""
    try:
        return type(recipe).build(before).model_dump(mode="json")
    except SettingsError:  # it has keys that are gone: they are among the differences
        return before


def _write_run(folder: Path, run: dict[str, Any]) -> None:
    replace_file(folder / "run.json", json.dumps(run, indent=1, ensure_ascii=False).encode())


def _session(step: int, changes: list[str]) -> dict[str, Any]:
    """One start of a run: when, from which step, with which programs."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_step": step,
        "changes": changes,
        "command": sys.argv,
        "commit": commit(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the source tree this package runs from, with `+` if it has changes; None outside of git.

    None, too, for a package that is installed inside another project's checkout: that commit is not its own.
    """
    package = Path(__file__).parents[1]
    try:
        _git("ls-files", "--error-unmatch", "--", str(Path(__file__).relative_to(package)), folder=package)
        head = _git("rev-parse", "HEAD", folder=package)
        changes = _git("status", "--porcelain", "--", ".", folder=package)
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changes else "")


def _git(*arguments: str, folder: Path) -> str:
    """What git says in a folder. Raises OSError without git, SubprocessError when it refuses."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, before, now) of all leaves in which two nested dicts differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}, key=str):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield path, before, now
