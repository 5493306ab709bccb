"""The wheel, built, installed elsewhere and used: all that a user gets, and nothing of the checkout.

The folder's name puts it behind all others: what is tested last is what is shipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "data" / "fsdd"
SAID = "three one four one"
BESIDE_CODE = (
    "py.typed",
    "data/manifest.schema.json",
    "data/show.html.jinja",
    "experiments/wordings.yaml",
    "evaluation/report/page.html.jinja",
    "evaluation/report/page.css",
    "evaluation/report/page.js",
    *(f"recipes/{path.name}" for path in (ROOT / "src" / "iclal" / "recipes").glob("*.yaml")),
    *(f"assets/{name}/config.json" for name in ("language-model", "encoder", "ears-ctc", "ears-linear")),
    *(f"assets/{name}/model.safetensors" for name in ("language-model", "encoder", "ears-ctc", "ears-linear")),
    "assets/language-model/tokenizer.json",
    "assets/encoder/preprocessor_config.json",
)
LARGEST_BYTES = 60_000_000


def record(path: Path) -> Path:
    """A clip of four digits, joined from one speaker's real ones."""
    lines = [json.loads(line) for line in (DIGITS / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    clips = {line["text"]: line for line in lines if line["speaker"] == "george"}
    pieces = []
    for word in SAID.split():
        start = clips[word]["start_sample"]
        stop = start + clips[word]["num_samples"]
        pieces += [soundfile.read(DIGITS / clips[word]["audio"], start=start, stop=stop)[0], np.zeros(1600)]
    soundfile.write(path, np.concatenate(pieces), 16_000)
    return path


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built without the network by the backend that is installed."""
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_elsewhere(wheel: Path, folder: Path) -> Path:
    """An environment with the wheel, and the packages that it needs from the one that runs the tests; its bin folder.

    Those packages are put on the path by a line in a .pth file, behind the environment's own: such a folder's .pth
    files are not read, so that an editable install of the checkout does not come along.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "needed.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}) + "\n")
    return folder / "bin"


@pytest.mark.slow
def test_the_wheel_installed_elsewhere_transcribes_a_clip(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "wheel")
    names = set(zipfile.ZipFile(wheel).namelist())
    lacking = [name for name in BESIDE_CODE if f"iclal/{name}" not in names]
    assert not lacking, f"the wheel lacks {', '.join(lacking)}"
    assert not [name for name in names if name.split("/")[0] not in ("iclal",) and ".dist-info/" not in name]
    assert wheel.stat().st_size < LARGEST_BYTES

    programs = install_elsewhere(wheel, tmp_path / "elsewhere")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["ICLAL_CACHE"] = str(tmp_path / "cache")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(str(programs / "python"), "-c", "import iclal, sys; print(iclal.__file__); print(sys.path)")
    assert where.startswith(str(tmp_path / "elsewhere"))
    assert str(ROOT / "src") not in where
    clip = record(tmp_path / "clip.wav")
    heard = json.loads(run(str(programs / "iclal"), "transcribe", "--json", str(clip)).splitlines()[-1])
    assert heard["audio"] == str(clip)
    assert heard["duration_seconds"] > 1
    assert set(SAID.split()) & set(heard["text"].lower().split()), heard
