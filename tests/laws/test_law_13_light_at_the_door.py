"""Law 13: neither `import iclal` nor `iclal --help` loads anything heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "numpy", "soundfile")
IMPORT = "import iclal"
HELP = """
from iclal.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
"""
LIST = "import sys, json; print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr)"


def modules_after(code: str) -> set[str]:
    """The names of all modules that a fresh process holds after running `code`."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LIST}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        IMPORT,
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["train", "--help"]),
        HELP.format(arguments=["data", "check", "--help"]),
        HELP.format(arguments=["--version"]),
    ],
    ids=["import", "help", "train --help", "data check --help", "version"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert modules_after(code).isdisjoint(HEAVY)


def test_the_public_names_are_loaded_when_they_are_used() -> None:
    assert "numpy" not in modules_after("import iclal; iclal.Text")
    assert "numpy" in modules_after("import iclal; iclal.Audio")


def test_every_public_name_is_there() -> None:
    import iclal

    assert dir(iclal) == iclal.__all__
    assert all(getattr(iclal, name) is not None for name in iclal.__all__)
    with pytest.raises(AttributeError, match=r"no attribute 'laod'.*load"):
        _ = iclal.laod  # type: ignore[attr-defined]
