"""A progress bar with the time left, on standard error; nothing where that is no terminal."""

from __future__ import annotations

from typing import Self


class Bar:
    """`with Bar("speaking", 500) as bar: ... bar.advance()`. With total None it only counts."""

    def __init__(self, what: str, total: int | None, *, wanted: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(
            *columns, console=console, disable=not (wanted and console.is_terminal), transient=True
        )
        self._task = self._progress.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        """`count` more are done."""
        self._progress.advance(self._task, count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()
