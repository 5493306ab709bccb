"""Ctrl-C or SIGTERM in a training: asked once, it stops after the next step and saves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_asked(say: Callable[[str], None]) -> Iterator[list[int]]:
    """A list that fills when Ctrl-C (or a scheduler's SIGTERM) asks to stop; a second one stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say("stopping when a step is done; once more to stop at once, without saving")

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not in the main thread, where signals never arrive
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
