"""What is installed, what is missing, and what it costs to mend: `iclal doctor`. Works where PyTorch does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from importlib.resources import files
from pathlib import Path

import iclal
from iclal.audio.cache import cache_folder, cache_size_bytes

_NEEDED = (
    "torch",
    "transformers",
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "numpy",
    "soundfile",
    "soxr",
    "pydantic",
    "PyYAML",
    "cyclopts",
    "jiwer",
    "rapidfuzz",
    "rich",
    "jinja2",
    "markupsafe",
)
_EXTRAS = {
    "espeakng-loader": "synth",
    "rouge-score": "eval",
    "av": "media",
    "lhotse": "data",
    "tensorboard": "track",
}
_BUNDLED = ("language-model", "encoder", "ears-ctc", "ears-linear")


def examine() -> dict[str, str]:
    """Name -> finding, in the order in which a reader wants them. What is needed and is not there says MISSING."""
    findings = {
        "iclal": iclal.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for name in _NEEDED:
        findings[name] = _version(name) or f"MISSING: pip install {name}"
    for name, extra in _EXTRAS.items():
        findings[name] = _version(name) or f"not installed (optional): pip install 'iclal[{extra}]'"
    findings["devices"] = _devices()
    for name in _BUNDLED:
        there = files("iclal").joinpath("assets", name, "config.json").is_file()
        findings[f"bundled {name}"] = "there" if there else "MISSING: reinstall iclal"
    return findings | _cache()


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
