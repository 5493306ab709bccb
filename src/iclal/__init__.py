"""ICLAL: ears for a frozen language model.

`iclal.load()` gives the bundled model, `iclal.load(path)` any other. Heavy packages are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iclal.audio.reading import Audio, read_audio
    from iclal.data.manifest import Utterance, read_manifest
    from iclal.data.prompt import Example, Text
    from iclal.errors import IclalError
    from iclal.model.saving import load

__version__ = "0.1.0"

_HOMES = {
    "Audio": "iclal.audio.reading",
    "Example": "iclal.data.prompt",
    "IclalError": "iclal.errors",
    "Text": "iclal.data.prompt",
    "Utterance": "iclal.data.manifest",
    "load": "iclal.model.saving",
    "read_audio": "iclal.audio.reading",
    "read_manifest": "iclal.data.manifest",
}

__all__ = ["Audio", "Example", "IclalError", "Text", "Utterance", "__version__", "load", "read_audio", "read_manifest"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'iclal' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
