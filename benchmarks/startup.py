"""How long a person waits at the door: `import iclal` and `iclal --help`, each in a process of its own.

    python benchmarks/startup.py          writes benchmarks/results/startup.json

Best of several starts, in seconds of processor time, so that other work on the machine does not count; the
interpreter's own start is included, and given beside them. Aims: 0.3 s and 0.5 s.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

RESULT = Path(__file__).resolve().parent / "results" / "startup.json"
REPEATS = 7
AIMS = {"import_seconds": 0.3, "help_seconds": 0.5}
COMMANDS = {
    "python_seconds": ["-c", "pass"],
    "import_seconds": ["-c", "import iclal"],
    "help_seconds": ["-m", "iclal.cli", "--help"],
}


def processor_seconds(command: list[str]) -> float:
    """What a command took of a processor. Raises CalledProcessError where it failed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def measure() -> dict[str, float]:
    """Seconds of each command, taken in turn so that a busy moment hits all of them."""
    seconds = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(REPEATS):
        for name, arguments in COMMANDS.items():
            seconds[name] = min(seconds[name], processor_seconds([sys.executable, *arguments]))
    return {name: round(value, 3) for name, value in seconds.items()}


def main() -> None:
    """Measure, write, print; exit status 1 where an aim is missed."""
    seconds = measure()
    result = seconds | {"aims": AIMS, "starts": REPEATS, "python": platform.python_version()}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if any(seconds[name] > aim for name, aim in AIMS.items()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
