"""The run folder: what was asked, with what, on which data; and whether a resumed run is still the same run.

recipe.yaml  run.json  metrics.jsonl  checkpoints/step-N/  [tensorboard/]
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from iclal.errors import SettingsError, TrainingError
from iclal.settings import Settings
from iclal.training.checkpoint import disk_errors, replace_file

# What may differ when a run goes on: it changes no weight and no line of the log.
FREE_KEYS = {"max_minutes", "save_every_steps", "save_every_minutes", "keep_checkpoints", "draw_ahead", "tensorboard"}
_PACKAGES = ("iclal", "torch", "transformers", "numpy", "safetensors", "soundfile")


def start_run(folder: Path, recipe: Settings, seed: int, digests: Mapping[str, str]) -> None:
    """Lay out a new run folder.

    Raises:
        TrainingError: there is a run in it already, or it cannot be written.
    """
    if (folder / "run.json").exists():
        raise TrainingError(f"{folder} already holds a run: go on with it by --resume, or choose another folder")
    with disk_errors(folder, "start a run"):
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        replace_file(folder / "recipe.yaml", recipe.to_yaml().encode())
        _write_run(folder, {"seed": seed, "digests": dict(digests), "sessions": [_session(0, [])]})


def resume_run(
    folder: Path, step: int, recipe: Settings, seed: int, digests: Mapping[str, str], *, accept_changes: bool
) -> list[str]:
    """Note in `run.json` that the run goes on from `step`; returns what differs from its start, in words.

    Raises:
        TrainingError: recipe or digests differ and `accept_changes` is not set; names each difference.
    """
    try:
        run = json.loads((folder / "run.json").read_text())
        before = yaml.safe_load((folder / "recipe.yaml").read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TrainingError(f"{folder} holds no run that can go on: {error}") from error
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
    with disk_errors(folder, "go on with a run"):
        if changes:
            replace_file(folder / "recipe.yaml", recipe.to_yaml().encode())
        run |= {"seed": seed, "digests": dict(digests), "sessions": [*run["sessions"], _session(step, changes)]}
        _write_run(folder, run)
    return changes


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
    """The commit of the source tree this package runs from, with `+` if it has changes; None outside of git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, before, now) of all leaves in which two nested dicts differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}, key=str):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield path, before, now
