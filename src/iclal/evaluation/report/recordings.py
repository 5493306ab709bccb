"""A report's recordings: read, and embedded so that the page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iclal.errors import AudioError

if TYPE_CHECKING:
    import numpy as np

# Lossless first: what is heard is what the model heard. Opus needs a fifth of it.
_FORMATS = {"flac": ("FLAC", "PCM_16", "audio/flac"), "opus": ("OGG", "OPUS", "audio/ogg")}


@dataclass(frozen=True)
class Recording:
    """Samples of a clip, mono float32 [S], at the file's own rate."""

    samples: np.ndarray
    rate: int

    @property
    def duration_seconds(self) -> float:
        """Length of the clip."""
        return len(self.samples) / self.rate


def read_recording(path: Path) -> Recording:
    """A clip's samples, channels averaged.

    Raises:
        AudioError: no such file, or no recording in it.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"cannot read the report's clip {path}: {error}") from error
    if not len(samples):
        raise AudioError(f"the report's clip {path} is empty")
    return Recording(samples.mean(axis=1), int(rate))


def embed(recordings: Sequence[Recording], budget_bytes: int) -> list[str | None]:
    """`data:` addresses of the recordings, all together within the budget.

    FLAC where all fit, else Opus, and from the first that fits neither way on None.
    """
    for form in ("flac", "opus"):
        addresses = [_data_uri(recording, form) for recording in recordings]
        if sum(len(address) for address in addresses) <= budget_bytes:
            return list(addresses)
    embedded: list[str | None] = []
    for address in addresses:
        budget_bytes -= len(address)
        embedded.append(address if budget_bytes >= 0 else None)
    return embedded


def _data_uri(recording: Recording, form: str) -> str:
    import soundfile

    container, subtype, mime = _FORMATS[form]
    rate, samples = recording.rate, recording.samples
    if form == "opus" and rate not in (8000, 12000, 16000, 24000, 48000):
        form, (container, subtype, mime) = "flac", _FORMATS["flac"]  # Opus knows only these rates
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"
