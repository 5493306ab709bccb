"""What is installed, what is missing, and what it costs to mend: `iclal doctor`. Works where PyTorch does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tomllib
from importlib.resources import files
from pathlib import Path

import iclal
from iclal.audio.cache import cache_folder, cache_size_bytes

_EXTRA = re.compile(r"extra == ['\"](.+?)['\"]")
_FOR_DEVELOPERS = ("test", "check")  # extras that no user is asked to install
_BUNDLED = ("language-model", "encoder", "ears-ctc", "ears-linear")


def examine() -> tuple[dict[str, str], bool]:
    """Name -> finding, in the order in which a reader wants them; and whether all that is needed is there.

    What is needed and is not there says MISSING, what is there in another version than the package takes says which.
    """
    findings = {
        "iclal": iclal.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    packages, whole = _packages()
    findings |= packages
    findings["devices"] = _devices()
    for name in _BUNDLED:
        there = files("iclal").joinpath("assets", name, "config.json").is_file()
        findings[f"bundled {name}"] = "there" if there else "MISSING: reinstall iclal"
    whole = whole and not any(finding.startswith("MISSING") for finding in findings.values())
    return findings | _cache(), whole


def _packages() -> tuple[dict[str, str], bool]:
    """What is there of each package that ours asks for, and whether all that is needed is, in a version that fits."""
    try:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name
    except ImportError:  # transformers brings it along, and what is asked for cannot be read without it
        return {"packaging": "MISSING: pip install packaging"}, False
    findings: dict[str, str] = {}
    whole = True
    for text in _requirements():
        requirement, extra = Requirement(text), _EXTRA.search(text)
        if extra is not None and extra[1] in _FOR_DEVELOPERS:
            continue
        name, found = canonicalize_name(requirement.name), _version(requirement.name)
        limits = ",".join(sorted(map(str, requirement.specifier), reverse=True))  # the lower limit first
        cure = f"pip install '{name}{limits}'" if extra is None else f"pip install 'iclal[{extra[1]}]'"
        fits = found is not None and requirement.specifier.contains(found, prereleases=True)
        if found is None:
            findings[name] = f"MISSING: {cure}" if extra is None else f"not installed (optional): {cure}"
        else:
            findings[name] = found if fits else f"{found}, needs {limits}: {cure}"
        whole = whole and (fits or extra is not None)
    return findings or {"packages": "not known: neither metadata nor pyproject.toml is beside this copy"}, whole


def _requirements() -> list[str]:
    """What the package asks for, by its metadata; in a source tree that is not installed, by its pyproject.toml."""
    try:
        return importlib.metadata.requires("iclal") or []
    except importlib.metadata.PackageNotFoundError:
        pyproject = Path(iclal.__file__).parents[2] / "pyproject.toml"
    if not pyproject.is_file():
        return []
    project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    if project.get("name") != "iclal":
        return []
    extras = project["optional-dependencies"].items()
    return project["dependencies"] + [f"{text}; extra == '{extra}'" for extra, texts in extras for text in texts]


def _devices() -> str:
    """What can be computed on."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of its own that does not load
        return f"MISSING: PyTorch does not start ({' '.join(str(error).split())}): pip install --force-reinstall torch"
    cuda = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "no cuda"
    mps = "mps" if torch.backends.mps.is_available() else "no mps"
    return f"cpu ({torch.get_num_threads()} threads), {cuda}, {mps}"


def _cache() -> dict[str, str]:
    """Where computed things are kept, how much they take, and what room is left."""
    folder = cache_folder()
    try:
        size = f"{cache_size_bytes() / 1e6:,.0f} MB" if folder.is_dir() else "empty"
        return {"cache": f"{folder}, {size}", "free disk": f"{_free_bytes(folder) / 1e9:,.1f} GB"}
    except OSError as error:
        return {"cache": f"{folder}, cannot be read: {error.strerror}"}


def _free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that need not be there yet."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
