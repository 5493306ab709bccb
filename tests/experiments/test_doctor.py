"""The doctor: what it finds is what is there; what is missing is said with its cure, also where PyTorch is broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from iclal import __version__
from iclal.experiments import doctor
from iclal.experiments.doctor import examine

PACKAGE = Path(doctor.__file__).parents[1]


def run_doctor(folder: Path) -> tuple[int, dict[str, str]]:
    """Exit status and findings of a process that finds packages in `folder` first."""
    path = os.pathsep.join([str(folder), str(PACKAGE.parent)])
    command = [sys.executable, "-m", "iclal.cli", "doctor", "--json"]
    environment = os.environ | {"PYTHONPATH": path, "ICLAL_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_versions_are_those_of_the_packages_that_are_installed() -> None:
    findings = examine()
    assert findings["iclal"] == __version__
    assert findings["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in doctor._NEEDED:
        assert findings[name] == importlib.metadata.version(name)
    for name, extra in doctor._EXTRAS.items():
        if findings[name].startswith("not installed"):
            assert findings[name].endswith(f"pip install 'iclal[{extra}]'")
        else:
            assert findings[name] == importlib.metadata.version(name)
    assert findings["devices"].startswith("cpu (")


def test_a_cache_that_is_not_there_is_empty_and_one_that_is_has_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "none" / "yet"))
    findings = examine()
    assert findings["cache"] == f"{tmp_path / 'none' / 'yet'}, empty"
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    assert float(findings["free disk"].removesuffix(" GB").replace(",", "")) == pytest.approx(free_gb, abs=1.0)

    (tmp_path / "cache" / "speech").mkdir(parents=True)
    (tmp_path / "cache" / "speech" / "a.flac").write_bytes(bytes(1_400_000))
    (tmp_path / "cache" / "b").write_bytes(bytes(1_700_000))
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    assert examine()["cache"] == f"{tmp_path / 'cache'}, 3 MB"


def test_bundled_models_that_were_deleted_are_missing(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "iclal", ignore=shutil.ignore_patterns("__pycache__", "ears-*"))
    status, findings = run_doctor(tmp_path)
    assert status == 1
    assert findings["bundled ears-ctc"] == findings["bundled ears-linear"] == "MISSING: reinstall iclal"
    assert findings["bundled language-model"] == findings["bundled encoder"] == "there"


def test_a_pytorch_that_does_not_start_is_said_and_the_rest_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise OSError('libtorch_cpu.so: cannot open shared object file:\\n  No such file or directory')\n"
    )
    status, findings = run_doctor(tmp_path)
    assert status == 1
    assert findings["devices"] == (
        "MISSING: PyTorch does not start (libtorch_cpu.so: cannot open shared object file: No such file or directory): "
        "pip install --force-reinstall torch"
    )
    assert findings["bundled ears-ctc"] == "there" and findings["numpy"] == importlib.metadata.version("numpy")
