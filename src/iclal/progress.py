"""A progress bar with the time left, on standard error; nothing where that is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console

# The time left is judged by this much of the past: an item may take minutes, and rich's own 30 s would hold just one.
SPEED_SECONDS = 300


class Bar:
    """`with Bar("speaking", 500) as bar: ... bar.advance()`; with total None it only counts, until a total is told.

    The words stand last, so that nothing jumps when they change. Threads may share a bar. Whoever knows the time left
    better says it in words and wants no `estimate`; whoever prints lines while the bar stands hands over its `console`.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        *,
        wanted: bool = True,
        estimate: bool = True,
        console: Console | None = None,
    ) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        console = console or Console(stderr=True)
        self.shown = wanted and console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(24),
            MofNCompleteColumn(),
            *([TimeRemainingColumn()] if estimate else []),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not self.shown,
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task = self._progress.add_task(what, total=total)

    def advance(self, count: int = 1, what: str | None = None) -> None:
        """`count` more are done, and `what` is on now."""
        if self.shown:
            self._progress.update(self._task, advance=count, description=what)

    def show(self, done: int | None = None, *, total: int | None = None, what: str | None = None) -> None:
        """So many are done, of so many; what is None stays as it is."""
        if self.shown:
            self._progress.update(self._task, completed=done, total=total, description=what)

    def start(self) -> None:
        """Draw it; `with` does so by itself."""
        self._progress.start()

    def stop(self) -> None:
        """Take it away."""
        self._progress.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
