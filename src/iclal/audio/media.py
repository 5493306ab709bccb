"""Formats that libsndfile does not know, decoded by PyAV (FFmpeg); an optional package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np

from iclal.errors import AudioError

_PADDING_SECONDS = 0.2  # AAC and Opus containers count the encoder's run-in, which decoders drop


def probe(handle: BinaryIO, format: str, name: str) -> tuple[int, int, int, str]:
    """Rate, channels, frames (as the container says) and codec of the first sound stream. Raises AudioError."""
    with closing(_open(handle, format, name)) as container:
        stream = container.streams.audio[0]
        return stream.rate, stream.channels, round(_claimed_seconds(container) * stream.rate), stream.codec_context.name


def decode(handle: BinaryIO, format: str, name: str) -> tuple[int, Iterator[np.ndarray]]:
    """The rate of the first sound stream, and its float32 [S, C] blocks. Raises AudioError, also while iterating."""
    container = _open(handle, format, name)
    return container.streams.audio[0].rate, _blocks(container, name)


def _open(handle: BinaryIO, format: str, name: str) -> av.container.InputContainer:
    try:
        container = av.open(handle, mode="r", format=format)
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"{name}: no recording that can be read ({error})") from error
    if not container.streams.audio or not container.streams.audio[0].rate:
        container.close()
        raise AudioError(f"{name}: holds no sound stream")
    return container


def _claimed_seconds(container: av.container.InputContainer) -> float:
    """What the container says of its length; 0 where it does not."""
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _blocks(container: av.container.InputContainer, name: str) -> Iterator[np.ndarray]:
    """Float32 [S, C] blocks; closes the container. Raises AudioError when the sound is broken or ends early."""
    stream = container.streams.audio[0]
    rate, claimed, frames = stream.rate, _claimed_seconds(container), 0
    # The rate is fixed: some streams are decoded to another one than their header gives.
    to_planar_floats = av.AudioResampler(format="fltp", rate=rate)
    with closing(container):
        try:
            for frame in container.decode(stream):
                for planar in to_planar_floats.resample(frame):
                    frames += planar.samples
                    yield planar.to_ndarray().T
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"{name}: broken after {frames / rate:.3f} s: {error}") from error
    if frames / rate < claimed - _PADDING_SECONDS:
        found = f"sound ends after {frames / rate:.3f} s of {claimed:.3f} s"
        raise AudioError(f"{name}: truncated, {found}; get a whole copy")
