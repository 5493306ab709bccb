"""Formats that libsndfile does not know, decoded by PyAV (FFmpeg); an optional package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np

from iclal.errors import AudioError


def decode(handle: BinaryIO, name: str) -> tuple[int, Iterator[np.ndarray]]:
    """The rate of the first sound stream, and its float32 [S, C] blocks. Raises AudioError, also while iterating."""
    try:
        container = av.open(handle, mode="r")
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"{name}: no recording that can be read ({error})") from error
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{name}: holds no sound stream")
    stream = container.streams.audio[0]
    return stream.rate, _blocks(container, stream, name)


def _blocks(container: av.container.InputContainer, stream: av.AudioStream, name: str) -> Iterator[np.ndarray]:
    """Float32 [S, C] blocks of a stream; closes the container."""
    to_planar_floats = av.AudioResampler(format="fltp")
    with container:
        try:
            for frame in container.decode(stream):
                for planar in to_planar_floats.resample(frame):
                    yield planar.to_ndarray().T
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"{name}: broken sound: {error}") from error
