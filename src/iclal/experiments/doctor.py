"""What is installed, what is missing, and what it costs to mend: `iclal doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil

import iclal
from iclal.audio.cache import cache_folder, cache_size_bytes
from iclal.model.saving import ASSETS

_NEEDED = ("torch", "transformers", "numpy", "soundfile", "soxr", "pydantic", "cyclopts", "jiwer")
_EXTRAS = {
    "espeakng-loader": "synth",
    "rouge-score": "eval",
    "av": "media",
    "lhotse": "data",
    "tensorboard": "track",
}


def examine() -> dict[str, str]:
    """Name -> finding, in the order in which a reader wants them."""
    import torch

    findings = {
        "iclal": iclal.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for name in _NEEDED:
        findings[name] = _version(name) or f"MISSING: pip install {name}"
    for name, extra in _EXTRAS.items():
        findings[name] = _version(name) or f"not installed (optional): pip install 'iclal[{extra}]'"
    cuda = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "no cuda"
    findings["devices"] = f"cpu, {cuda}, {'mps' if torch.backends.mps.is_available() else 'no mps'}"
    for name in ("language-model", "encoder", "ears-ctc", "ears-linear"):
        findings[f"bundled {name}"] = (
            "there" if (ASSETS / name / "config.json").is_file() else "MISSING: reinstall iclal"
        )
    folder = cache_folder()
    findings["cache"] = f"{folder}, {cache_size_bytes() / 1e6:,.0f} MB" if folder.exists() else f"{folder}, empty"
    try:
        findings["free disk"] = (
            f"{shutil.disk_usage(folder.parent if not folder.exists() else folder).free / 1e9:,.1f} GB"
        )
    except OSError as error:
        findings["free disk"] = f"unknown: {error.strerror}"
    return findings


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
