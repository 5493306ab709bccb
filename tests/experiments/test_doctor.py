"""The doctor: what it finds is what is there; what is missing is said with its cure, also where PyTorch is broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from iclal import __version__
from iclal.experiments import doctor
from iclal.experiments.doctor import examine

PACKAGE = Path(doctor.__file__).parents[1]


PROJECT = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run_doctor(folder: Path) -> tuple[int, dict[str, str]]:
    """Exit status and findings of a process that finds packages, and what is told of them, in `folder` first."""
    path = os.pathsep.join([str(folder), str(PACKAGE.parent)])
    command = [sys.executable, "-m", "iclal.cli", "doctor", "--json"]
    environment = os.environ | {"PYTHONPATH": path, "ICLAL_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_versions_are_those_of_the_packages_that_are_installed() -> None:
    findings, whole = examine()
    assert whole
    assert findings["iclal"] == __version__
    assert findings["python"] == ".".join(map(str, sys.version_info[:3]))
    for text in PROJECT["dependencies"]:
        name = Requirement(text).name
        assert findings[canonicalize_name(name)] == importlib.metadata.version(name)
    for extra in ("synth", "eval", "media", "data", "track"):
        for text in PROJECT["optional-dependencies"][extra]:
            name = Requirement(text).name
            if findings[name].startswith("not installed"):
                assert findings[name] == f"not installed (optional): pip install 'iclal[{extra}]'"
            else:
                assert findings[name] == importlib.metadata.version(name)
    assert "pytest" not in findings and "ruff" not in findings
    assert findings["devices"].startswith("cpu (")


def tell(folder: Path, package: str, version: str, *requirements: str) -> None:
    """A package's metadata as pip writes them."""
    place = folder / f"{package}-{version}.dist-info"
    place.mkdir()
    lines = [f"Name: {package}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requirements)]
    (place / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", *lines, ""]))


def test_a_version_that_the_package_does_not_take_is_said_with_its_cure(tmp_path: Path) -> None:
    tell(tmp_path, "torch", "2.5.0+cpu")
    tell(tmp_path, "soxr", "2.0.0rc1")
    tell(tmp_path, "av", "17.0.0")
    status, findings = run_doctor(tmp_path)
    assert status == 1
    assert findings["torch"] == "2.5.0+cpu, needs >=2.13,<2.15: pip install 'torch>=2.13,<2.15'"
    assert findings["soxr"] == "2.0.0rc1, needs >=1.1,<2: pip install 'soxr>=1.1,<2'"
    assert findings["av"] == "17.0.0, needs >=18,<19: pip install 'iclal[media]'"
    assert findings["numpy"] == importlib.metadata.version("numpy")


def test_an_optional_package_of_another_version_is_no_fault(tmp_path: Path) -> None:
    tell(tmp_path, "lhotse", "0.9")
    status, findings = run_doctor(tmp_path)
    assert status == 0
    assert findings["lhotse"] == "0.9, needs >=1.33,<2: pip install 'iclal[data]'"


def test_what_is_needed_is_told_by_the_metadata_of_the_package(tmp_path: Path) -> None:
    optional = ("nor-this>=1; extra == 'more'", 'x; extra == "test"')
    tell(tmp_path, "iclal", "0.1.0", "never_made<3,>=2.1", "numpy", "torch!=2.13.9,>=2", *optional)
    status, findings = run_doctor(tmp_path)
    assert status == 1
    assert findings["never-made"] == "MISSING: pip install 'never-made>=2.1,<3'"
    assert findings["nor-this"] == "not installed (optional): pip install 'iclal[more]'"
    assert findings["torch"] == importlib.metadata.version("torch")
    assert findings["numpy"] == importlib.metadata.version("numpy")
    assert not {"x", "soxr", "lhotse"} & findings.keys()


def test_a_cache_that_is_not_there_is_empty_and_one_that_is_has_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "none" / "yet"))
    findings, _ = examine()
    assert findings["cache"] == f"{tmp_path / 'none' / 'yet'}, empty"
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    assert float(findings["free disk"].removesuffix(" GB").replace(",", "")) == pytest.approx(free_gb, abs=1.0)

    (tmp_path / "cache" / "speech").mkdir(parents=True)
    (tmp_path / "cache" / "speech" / "a.flac").write_bytes(bytes(1_400_000))
    (tmp_path / "cache" / "b").write_bytes(bytes(1_700_000))
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    assert examine()[0]["cache"] == f"{tmp_path / 'cache'}, 3 MB"


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
