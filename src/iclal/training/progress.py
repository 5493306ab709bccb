"""Progress: metrics.jsonl, one line an interval on stderr, TensorBoard when installed.

A line of `metrics.jsonl` has `kind` (train, validation, listening, skipped, note), `step`, and its values; whatever is
measured by a clock or depends on the machine stands under `clock`, so that two runs are equal in all the rest.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from iclal.progress import Bar
from iclal.training.disk import disk_errors, replace_file


class RunLog:
    """Tells how a run goes, to the file and to the person. `quiet` tells the file alone."""

    def __init__(self, folder: Path, steps: int, *, quiet: bool = False, tensorboard: bool = True) -> None:
        self.path = folder / "metrics.jsonl"
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._descriptor: int | None = None
        self._board: Any = None
        self._board_folder = folder / "tensorboard" if tensorboard and importlib.util.find_spec("tensorboard") else None
        self._steps = steps
        self._bar = Bar("", steps, wanted=not quiet, estimate=False, console=self._console)

    def open(self, step: int) -> None:
        """Cut `metrics.jsonl` back to `step` (-1: to nothing) and go on. Raises TrainingError on disk errors."""
        with disk_errors(self.path, "write the log"):
            replace_file(self.path, b"".join(_lines_until(self.path, step)))
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        if self._board_folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self._board_folder), purge_step=max(0, step + 1))
        self._bar.show(max(0, step))
        self._bar.start()

    def close(self) -> None:
        """Close files and the progress line."""
        self._bar.stop()
        if self._board is not None:
            self._board.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def sync(self) -> None:
        """Wait until the lines written are on disk."""
        assert self._descriptor is not None, "the log is not open"
        with disk_errors(self.path, "write the log"):
            os.fsync(self._descriptor)

    def write(self, kind: str, step: int, values: Mapping[str, Any], clock: Mapping[str, float] | None = None) -> None:
        """One line into the file (numbers that are not finite become null), and to TensorBoard."""
        line = {"kind": kind, "step": step, **values} | ({"clock": dict(clock)} if clock else {})
        assert self._descriptor is not None, "the log is not open"
        with disk_errors(self.path, "write the log"):
            os.write(self._descriptor, (json.dumps(_finite(line), ensure_ascii=False) + "\n").encode())
        if self._board is not None:
            for name, value in _flat({**values, "clock": clock or {}}):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def advance(self, step: int) -> None:
        """Move the bar of a terminal."""
        self._bar.show(step)

    def show(self, step: int, values: Mapping[str, Any], clock: Mapping[str, float]) -> None:
        """The line of an interval: into the bar of a terminal, else as a line of its own."""
        text = interval_line(values, clock)
        if self._bar.shown:
            self._bar.show(step, what=text)
        else:
            self.say(f"{step}/{self._steps}  {text}")

    def say(self, text: str) -> None:
        """A line to the person alone."""
        self._console.print(text, markup=False)


def interval_line(values: Mapping[str, Any], clock: Mapping[str, float]) -> str:
    """The values of an interval in one short line.

    >>> interval_line({"loss": 2.5, "parts": {"ctc": 1.0}}, {"items_per_second": 12.0, "eta_seconds": 3725.0})
    'loss 2.500  ctc 1.000  12.0 items/s  1h02m left'
    """
    parts = [f"loss {_number(values.get('loss'))}"]
    parts += [f"{name} {_number(value)}" for name, value in values.get("parts", {}).items()]
    if "gradient_norm" in values:
        parts.append(f"gradient {_number(values['gradient_norm'])}")
    parts += [
        f"{_number(rate, 1)} {name.removesuffix('_per_second').replace('_', ' ')}/s"
        for name, rate in clock.items()
        if name.endswith("_per_second")
    ]
    if "memory_mib" in clock:
        parts.append(f"{clock['memory_mib']:.0f} MiB")
    if "eta_seconds" in clock:
        parts.append(f"{duration(clock['eta_seconds'])} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in words: 42s, 3m05s, 1h02m, 2d03h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def memory_mib(device: torch.device) -> float:
    """Peak memory so far in MiB: of the GPU's allocator, else of this process (0 on Windows, which does not tell)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB on Linux


class Clock:
    """Seconds of a run over all its sessions, and of the time since its last mark."""

    def __init__(self, before: float = 0.0) -> None:
        self._start = time.monotonic() - before
        self.session_start = self._mark = time.monotonic()

    def elapsed(self) -> float:
        """Seconds trained, earlier sessions included."""
        return time.monotonic() - self._start

    def session(self) -> float:
        """Seconds of this session."""
        return time.monotonic() - self.session_start

    def since_mark(self) -> float:
        """Seconds since the last call (or the start), and the mark is set anew."""
        now = time.monotonic()
        seconds, self._mark = now - self._mark, now
        return seconds


def _lines_until(path: Path, step: int) -> list[bytes]:
    """Whole lines of a metrics file up to `step`; a torn last line is left out."""
    kept = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return kept


def _number(value: float | None, digits: int = 3) -> str:
    return "nan" if value is None else f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def _finite(value: Any) -> Any:
    """JSON knows no NaN: null instead, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """(name, number) of all numbers of a nested dict."""
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((prefix + str(name), float(value)))
    return found
