"""The program that holds eSpeak NG: its protocol, its isolation, its children."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from iclal.audio import espeak_process
from iclal.audio.espeak_process import Failure, serve_in_child

pytest.importorskip("espeakng_loader", reason="eSpeak NG is an optional package")
PROGRAM = Path(espeak_process.__file__)
SPEAK = {"do": "speak", "text": "yes", "voice": "gmw/en-US+f2"}
SPEAK |= {"rate_wpm": 160, "volume": 100, "pitch": 50, "pitch_range": 50}  # type: ignore[assignment]


def converse(requests: list[Any]) -> list[tuple[dict[str, Any], bytes]]:
    """What the program answers, the first answer aside."""
    lines = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in requests)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", PROGRAM, folder]
        result = subprocess.run(command, input=lines, capture_output=True, timeout=60, check=True)
    answers, rest = [], result.stdout
    while rest:
        line, _, rest = rest.partition(b"\n")
        head = json.loads(line)
        size = head.get("bytes", 0)
        answers.append((head, rest[:size]))
        rest = rest[size:]
    assert answers[0][0]["version"].startswith("1.")
    return answers[1:]


def test_bad_requests_are_answered_and_the_program_lives_on() -> None:
    answers = converse(
        [
            SPEAK,
            b"not json",
            SPEAK | {"voice": "gmw/none"},
            {"do": "speak", "text": "yes"},
            SPEAK | {"do": "sing"},
            SPEAK | {"rate_wpm": "fast"},
            [1],
            {"do": "speak", "text": "yes", "timbre": "pitch 80 100"},
            SPEAK,
        ]
    )
    errors = [head.get("error") for head, _ in answers]
    assert errors[0] is None and errors[-1] is None
    assert answers[0][1] == answers[-1][1] and len(answers[0][1]) > 10_000
    parts = ["", "no voice 'gmw/none'", "KeyError: 'voice'", "'sing'", "fast", "found [1]", "a timbre needs a voice"]
    for error, expected in zip(errors[1:-1], parts, strict=True):
        assert error is not None and expected in error


def test_a_child_that_crashes_or_hangs_is_a_failure_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(library: object, request: dict[str, Any]) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    def hang(library: object, request: dict[str, Any]) -> bytes:
        while True:
            time.sleep(0.1)

    def stray(library: object, request: dict[str, Any]) -> bytes:
        raise RuntimeError("no one expects this")

    monkeypatch.setattr(espeak_process, "_MAX_SECONDS_PER_REQUEST", 1)
    monkeypatch.setattr(espeak_process, "_DEEDS", {"crash": crash, "hang": hang, "stray": stray})
    library = ctypes.CDLL(None)
    with pytest.raises(Failure, match=r"crashed on 'hello' \(exit -9\)"):
        serve_in_child(library, {"do": "crash", "text": "hello"})
    with pytest.raises(Failure, match="'hello' took more than 1 s"):
        serve_in_child(library, {"do": "hang", "text": "hello"})
    with pytest.raises(Failure, match=r"crashed on 'hello' \(exit 1\)"):
        serve_in_child(library, {"do": "stray", "text": "hello"})


def test_the_program_imports_nothing_but_the_standard_library_and_the_loader(tmp_path: Path) -> None:
    code = (
        f"import runpy, sys; sys.argv[1:] = [{str(tmp_path)!r}]\n"
        "sys.stdin.close(); sys.stdin = type('', (), {'buffer': []})\n"
        f"try: runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "tops = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(tops - sys.stdlib_module_names - {'__main__'}), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-S", "-c", _with_site(code)], capture_output=True, timeout=60, check=True)
    assert result.stderr.decode().splitlines()[-1] == "['espeakng_loader']"


def _with_site(code: str) -> str:
    """Code that sees installed packages, but not what their .pth files import."""
    return f"import sys; sys.path += {[path for path in sys.path if path]!r}\n{code}"


def test_the_program_ends_with_its_input(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-P", PROGRAM, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    process.stdout.close()
