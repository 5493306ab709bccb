"""`iclal` as a user runs it: in this process where that is enough, as a process of its own where it is not."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_builders import build_language_model, build_model

from iclal.cli import main
from iclal.model.saving import save

DATA = Path(__file__).parents[1] / "data"
SPEECH = DATA / "librispeech" / "audio" / "1089-134686-0037.flac"  # 5.21 s
WORDS = "zero one two three four five six seven eight nine".split()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one JSON value that was printed."""
        (line,) = self.stdout.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        """One JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> str:
        """The one line of error, without its "error: "; nothing else was said."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("error: ") and "Traceback" not in line, line
        return line.removeprefix("error: ")


def iclal(*arguments: object) -> Done:
    """Run a command line in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    hook = sys.excepthook
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    finally:
        sys.excepthook = hook
    assert isinstance(status, int)
    return Done(status, stdout.getvalue(), stderr.getvalue())


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command line as a process of its own."""
    command = [sys.executable, "-m", "iclal.cli", *map(str, arguments)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, env={**os.environ, **options.pop("env", {})}, **settings)


def run(*arguments: object, **options: Any) -> Done:
    """Run a command line as a process of its own."""
    process = start(*arguments, **options)
    stdout, stderr = process.communicate()
    return Done(process.returncode, stdout or "", stderr or "")


def saved_model(parts: Path, folder: Path, change: Callable[[Any], None] | None = None, **settings: Any) -> Path:
    """A random model's folder, its language model in `parts`; `change` may alter the model before it is saved."""
    model = build_model(parts, **settings)
    if change is not None:
        change(model)
    return save(model, folder, language_model_path=parts / f"lm-{settings.get('family', 'opt')}")


def other_language_model(folder: Path) -> Path:
    """An OPT of the same size with other weights."""
    return build_language_model(folder, seed=5)


def digits(folder: Path, *, speakers: tuple[str, ...] = ("george", "jackson", "nicolas", "theo")) -> Path:
    """A manifest of three real spoken digits of each speaker, with a question and a summary each."""
    lines = [json.loads(line) for line in (DATA / "fsdd" / "manifest.jsonl").read_text().splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as handle:
        for speaker in speakers:
            for line in [line for line in lines if line["speaker"] == speaker][:12:4]:
                question = {"id": "which", "question": "which digit is it", "answers": [line["text"]]}
                kept = {name: line[name] for name in ("id", "text", "speaker", "start_seconds", "duration_seconds")}
                audio = os.path.relpath(DATA / "fsdd" / line["audio"], folder)
                more = {"audio": audio, "questions": [question], "summary": line["text"]}
                handle.write(json.dumps(kept | more) + "\n")
    return folder / "manifest.jsonl"


_READ_ONLY: set[Path] = set()


@contextlib.contextmanager
def read_only_disk(folder: Path) -> Iterator[None]:
    """Nothing can be written below `folder` in this process: what a disk mounted read-only does, for root too."""
    if _refuse_writing not in _HOOKED:
        sys.addaudithook(_refuse_writing)  # stays for good, and does nothing while no folder is read-only
        _HOOKED.append(_refuse_writing)
    _READ_ONLY.add(folder)
    try:
        yield
    finally:
        _READ_ONLY.discard(folder)


_HOOKED: list[Callable[..., None]] = []


def _refuse_writing(event: str, arguments: tuple[Any, ...]) -> None:
    if not _READ_ONLY or event not in ("open", "os.mkdir", "os.rename"):
        return
    path = arguments[1 if event == "os.rename" else 0]
    if not isinstance(path, str | os.PathLike) or not any(folder in Path(path).parents for folder in _READ_ONLY):
        return
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    if event != "os.mkdir" or not Path(path).exists():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


@contextlib.contextmanager
def full_disk(limit_bytes: int = 1000) -> Iterator[None]:
    """No file can grow beyond `limit_bytes`, in this process: what a full disk does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
