"""What the verbs share at the terminal: results on standard output, talk on standard error, an error as one line."""

from __future__ import annotations

import errno
import inspect
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

Json = Annotated[bool, Parameter(negative="", help="Print JSON.")]
Flag = Parameter(negative="")

_ADVICE = {
    errno.ENOSPC: "free space or choose another disk",
    errno.EDQUOT: "free space or choose another disk",
    errno.EFBIG: "free space or choose another disk",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "change its permissions or choose another",
    errno.EPERM: "change its permissions or choose another",
    errno.ENOENT: "check the path",
    errno.EEXIST: "there is something else: choose another path",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another path",
    errno.EISDIR: "a folder stands where a file is needed: choose another path",
}
# Hugging Face reads these when it is imported: its advice and its bars are no talk of ours.
_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def add_verb(app: App, verb: Callable[..., int], name: str | None = None) -> None:
    """Make a function a verb of the app; the examples of its docstring are shown below its options, as they stand."""
    app.command(verb, name=name, help_epilogue=f"Examples:\n\n```sh\n{examples(verb)}\n```")


def examples(verb: Callable[..., int]) -> str:
    """The lines under "Examples:" in a docstring."""
    _, found, lines = (inspect.getdoc(verb) or "").partition("\nExamples:\n")
    assert found, f"{verb} needs examples in its docstring"
    return inspect.cleandoc(lines)


def print_json(value: Any) -> None:
    """One JSON value on one line; numbers that JSON lacks (an infinite error rate) are null."""
    print(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str), flush=True)


def print_table(table: Any) -> None:
    """A table of rich's, drawn for the terminal's width."""
    from rich.console import Console

    Console().print(table)


def note(text: str) -> None:
    """Something the user should know, beside the result."""
    print(f"note: {_one_line(text)}", file=sys.stderr, flush=True)


def print_error(error: Exception | str) -> None:
    """One line that says what happened and what to do."""
    text = _describe(error) if isinstance(error, OSError) else str(error)
    print(f"error: {_one_line(text)}", file=sys.stderr, flush=True)


@contextmanager
def writing(path: os.PathLike[str]) -> Iterator[None]:
    """Names the file in an error of the disk's that names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise


@contextmanager
def in_run_folder(folder: Path) -> Iterator[None]:
    """As `writing`; and an interrupt that left a run there says how to go on with it."""
    try:
        with writing(folder):
            yield
    except KeyboardInterrupt:
        if (folder / "run.json").is_file():
            note("go on with: the same command and --resume")
        raise


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """A scheduler's SIGTERM ends what runs here as Ctrl-C does; a shell's background jobs do not get Ctrl-C at all."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_quiet(debug: bool) -> None:
    """No talk of libraries; the package's own as notes; unless `debug`, an unforeseen error as one line."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):  # names that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("iclal").handlers[:] = [_Notes()]
    if not debug:
        sys.excepthook = _print_unforeseen


def drop_output() -> None:
    """Nobody takes standard output any more: what is still to be written goes nowhere, without an error at exit."""
    with suppress(OSError, ValueError):  # it may be no file of the system's, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Notes(logging.Handler):
    """The package's own warnings, as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def _print_unforeseen(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """An error that is no IclalError is ours to mend."""
    print_error(f"{kind.__name__}: {error}; this should not happen: report it with what --debug shows")


def _describe(error: OSError) -> str:
    """What the system refused, where, and what to do."""
    reason = error.strerror or str(error)
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "cannot write"
    advice = _ADVICE.get(error.errno or 0)
    return f"{place}: {reason}" + (f"; {advice}" if advice else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _finite(value: Any) -> Any:
    """The value with null for each number that is not finite."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
