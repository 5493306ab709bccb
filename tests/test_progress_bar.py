"""The progress bar, drawn on a console that takes itself for a terminal."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from iclal.progress import Bar


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_a_pipe_nothing_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    with Bar("speaking", 3) as bar:
        bar.advance()
        bar.show(2, what="still speaking")
    assert not bar.shown
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_unwanted_nothing_is_drawn() -> None:
    console = terminal()
    with Bar("speaking", 3, wanted=False, console=console) as bar:
        bar.advance()
    assert drawn(console) == ""


def test_count_time_left_and_the_last_words_are_drawn_and_taken_away() -> None:
    console = terminal()
    with Bar("evaluating", 4, console=console) as bar:
        bar.advance(1, "labels, 0 shots")
        bar.advance(2, "labels, 8 shots [of 16]")
    text = drawn(console)
    assert "3/4" in text and "labels, 8 shots [of 16]" in text and re.search(r"m0:00:\d\d\x1b", text)
    assert text.rstrip("\n").endswith("\x1b[2K")  # the line is erased


def test_total_told_later_replaces_the_question_mark() -> None:
    console = terminal()
    with Bar("prepare", None, console=console) as bar:
        bar.show(5)
        before = drawn(console)
        bar.show(total=70)
    assert "/?" in before and "5/70" in drawn(console)


def test_without_an_estimate_no_time_is_drawn() -> None:
    console = terminal()
    with Bar("training", 4, estimate=False, console=console) as bar:
        bar.show(1, what="loss 2.5")
    assert "1/4" in drawn(console) and ":" not in drawn(console)


def test_threads_may_share_a_bar() -> None:
    console = terminal()
    with Bar("speaking", 200, console=console) as bar, ThreadPoolExecutor(4) as pool:
        for _ in range(200):
            pool.submit(bar.advance)
    assert "200/200" in drawn(console)
