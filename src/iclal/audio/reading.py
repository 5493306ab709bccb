"""Any recording to `Audio`: float32 samples, mono, 16 kHz.

Shape letters: S samples, C channels. Lossless forms of 16 bit and more (file, bytes, array, stereo) of the same sound
give the same samples exactly. Sound is decoded, mixed down and resampled block by block, and limits are checked on the
way, so that a small file that unpacks to a huge one is refused before it fills the memory.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, TypeAlias

import numpy as np
import soundfile
import soxr

from iclal.audio.cache import write_aside
from iclal.audio.containers import media_format, what_is_missing
from iclal.errors import AudioError, MissingError
from iclal.settings import Settings

SAMPLE_RATE = 16_000
_MAX_CHANNELS_OF_ARRAY = 8
_PLAUSIBLE_RATES = range(1_000, 1_000_001)
_BLOCK_VALUES = 1 << 18  # values (samples x channels) decoded at a time: 1 MiB
_CUT_AFTER_WHOLE_DECODING = ("OPUS", "MPEG")  # their decoders depend on what came before: a seek is not exact
_CLIP_TOLERANCE_SECONDS = 0.02  # manifests round their times
_MOST_AMPLITUDE = 1e10  # of float samples; those of integers that were never scaled reach 2e9
_FULL_SCALES = {"int16": 1 << 15, "int32": 1 << 31, "uint8": 1 << 7}


class Limits(Settings):
    """What a recording may take; checked while it is decoded. Decoded bytes count 4 for each value of each channel."""

    max_seconds: float = 4 * 3600.0
    max_decoded_bytes: int = 16 << 30
    max_file_bytes: int = 4 << 30


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording: `samples` float32 [S], mono, 16 kHz; `source` says in messages where it came from."""

    samples: np.ndarray = field(repr=False)
    source: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.samples, np.ndarray):
            found = type(self.samples).__name__
            raise AudioError(f"Audio holds a NumPy array, found {found}; use read_audio, which takes files and arrays")
        if self.samples.dtype != np.float32 or self.samples.ndim != 1:
            found = f"{self.samples.dtype} {list(self.samples.shape)}"
            raise AudioError(
                f"Audio holds float32 [samples] at 16 kHz, found {found}; use read_audio(array, sample_rate=)"
            )
        if not np.isfinite(self.samples).all():
            raise AudioError(f"{self.source or 'Audio'}: some samples are NaN or infinite")

    @property
    def num_samples(self) -> int:
        """Its length in samples."""
        return len(self.samples)

    @property
    def duration_seconds(self) -> float:
        """Its length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def cut(self, start_seconds: float, end_seconds: float) -> Audio:
        """The part from `start_seconds` up to `end_seconds`. Raises AudioError where they are not all there."""
        start, end = round(start_seconds * SAMPLE_RATE), round(end_seconds * SAMPLE_RATE)
        if not 0 <= start <= end <= len(self.samples):
            asked = f"{start_seconds} to {end_seconds} s"
            raise AudioError(f"{self.source or 'Audio'}: no part from {asked}, it lasts {self.duration_seconds:.3f} s")
        return Audio(self.samples[start:end], self.source)


@dataclass(frozen=True)
class Header:
    """What a file says of itself. `format` and `subtype` are libsndfile's names, e.g. WAV and PCM_16."""

    sample_rate: int
    channels: int
    num_frames: int
    format: str
    subtype: str

    @property
    def duration_seconds(self) -> float:
        """Its length in seconds."""
        return self.num_frames / self.sample_rate


Source: TypeAlias = "str | Path | bytes | BinaryIO | np.ndarray | Audio"


class _Bytes(io.BytesIO):
    """For libsndfile, which seeks in front of the start of damaged files: an exception would be printed, not raised."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(offset, whence) if whence != io.SEEK_SET or offset >= 0 else -1


def read_audio(
    source: Source,
    *,
    sample_rate: int | None = None,
    start_seconds: float | None = None,
    duration_seconds: float | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
) -> Audio:
    """Hear a file (path, its bytes or an open binary file) or an array as mono at 16 kHz.

    Arrays are int16, int32, uint8 or float ([S], [S, C] or [C, S]) and need their `sample_rate`; files know theirs.
    Channels are averaged. `start_seconds` and `duration_seconds` take a part, exact to the sample (of the file's rate).
    A recording without samples is allowed.

    Raises:
        AudioError: missing, empty, truncated, no sound, NaN or infinite samples, over the limits, or a part that is
            not there; the message names the file.
        MissingError: a format that needs PyAV, which is not installed.
    """
    name = _name(source)
    if isinstance(source, Audio):
        if sample_rate not in (None, SAMPLE_RATE):
            raise AudioError(f"{name}: an Audio is at {SAMPLE_RATE} Hz, sample_rate={sample_rate} contradicts it")
        source, sample_rate = source.samples, SAMPLE_RATE
    if isinstance(source, np.ndarray):
        array_SC, rate = _of_array(source, sample_rate, name)
        span = _span(len(array_SC), rate, start_seconds, duration_seconds, name)
        _check_seconds(len(span) / rate, limits, name)
        return Audio(_to_mono_16k(_array_blocks(array_SC, span), rate, span.start, limits, name), name)
    if sample_rate is not None:
        raise AudioError(f"{name}: sample_rate={sample_rate} is for arrays; a file has its own rate")
    return _read_file(_open_source(source, name, limits), name, start_seconds, duration_seconds, limits)


def header(path: str | Path) -> Header:
    """What a file says of itself, without decoding it. Raises AudioError, also for a truncated file.

    MP3 and CAF do not tell that they are cut: `read_audio` finds it.
    """
    name = str(path)
    if not _check_path(Path(path)):
        raise AudioError(f"{name}: empty, 0 bytes")
    with _open_bytes(Path(path), name) as handle:
        if format := media_format(handle):
            rate, channels, frames, codec = _media(name).probe(handle, format, name)
            return Header(rate, channels, frames, format.upper(), codec.upper())
        _check_whole(handle, name)
    with _open_sound(path, name) as sound:
        _check_rate(sound.samplerate, name)
        _check_length_known(sound, name)
        _check_ends(sound, name)
        return Header(sound.samplerate, sound.channels, sound.frames, sound.format, sound.subtype)


def resample(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Float32 [S] at any rate -> float32 [S'] at 16 kHz (soxr, HQ)."""
    return samples if sample_rate == SAMPLE_RATE else soxr.resample(samples, sample_rate, SAMPLE_RATE, quality="HQ")


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Float32 [S] -> int16 [S], the inverse of reading; what is beyond full scale is held at it."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def encode(samples: np.ndarray, format: str) -> bytes:
    """A 16-bit "WAV" or "FLAC" file of samples at 16 kHz. Raises AudioError for samples beyond full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak <= 1.0:
        raise AudioError(f"samples reach {peak:.3g}; a 16-bit file holds -1 to 1: scale them down first")
    buffer = io.BytesIO()
    # libsndfile scales floats by 32767, which would not read back as written: it gets integers.
    soundfile.write(buffer, to_int16(samples), SAMPLE_RATE, format=format, subtype="PCM_16")
    return buffer.getvalue()


def write_wav(path: str | Path, samples: np.ndarray) -> None:
    """Write samples at 16 kHz as a 16-bit WAV file. Raises AudioError as `encode`, and where the disk refuses."""
    write_aside(Path(path), encode(samples, "WAV"))


def _name(source: object) -> str:
    """What to call a source in messages."""
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, Audio):
        return source.source or "audio"
    if isinstance(source, np.ndarray):
        return f"array {source.dtype} {list(source.shape)}"
    if isinstance(source, bytes):
        return f"recording of {len(source)} bytes"
    if hasattr(source, "read"):
        return str(getattr(source, "name", "open file"))
    raise AudioError(f"cannot hear a {type(source).__name__}: give a path, bytes, a binary file or a NumPy array")


def _of_array(source: np.ndarray, sample_rate: int | None, name: str) -> tuple[np.ndarray, int]:
    """[S, C] of the array's own type, and its rate. Raises AudioError for what cannot be told for sure."""
    if sample_rate is None:
        raise AudioError(f"{name}: an array needs its rate: read_audio(array, sample_rate=16000)")
    _check_rate(sample_rate, name)
    if source.dtype.name not in _FULL_SCALES and source.dtype.kind != "f":
        raise AudioError(f"{name}: samples must be int16, int32, uint8 or float, found {source.dtype}")
    if source.ndim == 1:
        return source[:, None], sample_rate
    if source.ndim != 2:
        raise AudioError(f"{name}: an array is [samples], [samples, channels] or [channels, samples]")
    rows, columns = source.shape
    if columns == 1 or (columns <= _MAX_CHANNELS_OF_ARRAY < rows) or source.size == 0:
        return source, sample_rate
    if rows == 1 or (rows <= _MAX_CHANNELS_OF_ARRAY < columns):
        return source.T, sample_rate
    raise AudioError(
        f"{name}: cannot tell channels (at most {_MAX_CHANNELS_OF_ARRAY}) from samples; average the channels yourself"
    )


def _array_blocks(array_SC: np.ndarray, span: range) -> Iterator[np.ndarray]:
    """Frames `span` of an array as float32 [S, C] blocks, full scale 1."""
    size = max(1, _BLOCK_VALUES // max(1, array_SC.shape[1]))
    full_scale = _FULL_SCALES.get(array_SC.dtype.name)
    middle = 128 if array_SC.dtype == np.uint8 else 0
    for start in range(span.start, span.stop, size):
        block_SC = array_SC[start : min(start + size, span.stop)]
        if full_scale:
            block_SC = (block_SC.astype(np.float64) - middle) / full_scale
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            yield block_SC.astype(np.float32)


def _open_source(source: str | Path | bytes | BinaryIO, name: str, limits: Limits) -> Path | bytes:
    """A path that is a file with something in it, or the bytes."""
    if isinstance(source, (str, Path)):
        size = _check_path(Path(source))
    else:
        if not isinstance(source, bytes):
            source = source.read(limits.max_file_bytes + 1)
            if not isinstance(source, bytes):
                raise AudioError(f"{name}: open the file in binary mode, 'rb'")
        size = len(source)
    if size == 0:
        raise AudioError(f"{name}: empty, 0 bytes")
    if size > limits.max_file_bytes:
        raise AudioError(f"{name}: {size:,} bytes or more, over the limit max_file_bytes={limits.max_file_bytes:,}")
    return source if isinstance(source, bytes) else Path(source)


def _check_path(path: Path) -> int:
    """The size in bytes of a file. Raises AudioError where there is none that can be read."""
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a directory, not a recording")
        if not path.is_file():
            kind = "is not a regular file" if path.exists() else "does not exist"
            raise AudioError(f"{path} {kind}")
        return path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise AudioError(f"cannot open {path}: {error}") from error


def _open_bytes(file: Path | bytes, name: str) -> BinaryIO:
    """The bytes of a source, open for reading. Raises AudioError, e.g. without the permission."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    try:
        return open(file, "rb")
    except OSError as error:
        raise AudioError(f"cannot open {name}: {error.strerror}") from error


def _check_whole(handle: BinaryIO, name: str) -> None:
    """Refuse what libsndfile would shorten without a word: a file that ends before its header says."""
    if missing := what_is_missing(handle):
        raise AudioError(f"{name}: truncated, {missing}; get a whole copy")


def _check_rate(rate: int, name: str) -> None:
    if rate not in _PLAUSIBLE_RATES:
        low, high = _PLAUSIBLE_RATES.start, _PLAUSIBLE_RATES.stop - 1
        raise AudioError(f"{name}: a rate of {rate} Hz is not believed (from {low:,} to {high:,} Hz)")


def _check_length_known(sound: soundfile.SoundFile, name: str) -> None:
    """A FLAC stream that was never finished states no length, and soundfile cannot find its end."""
    if sound.frames >= 1 << 62:
        raise AudioError(f"{name}: its header does not say how long it is; decode it to WAV with another program")


def _check_ends(sound: soundfile.SoundFile, name: str) -> None:
    """Refuse a cut FLAC file: nothing in its header tells, but a seek to its end fails."""
    if sound.format == "FLAC" and sound.frames:
        try:
            sound.seek(sound.frames - 1)
        except soundfile.LibsndfileError as error:
            seconds = sound.frames / sound.samplerate
            raise AudioError(f"{name}: truncated, its header claims {seconds:.3f} s; get a whole copy") from error


def _check_seconds(seconds: float, limits: Limits, name: str) -> None:
    if seconds > limits.max_seconds:
        raise AudioError(f"{name}: lasts {seconds:,.1f} s or more, over the limit max_seconds={limits.max_seconds:,g}")


def _open_sound(file: str | Path | io.BytesIO, name: str) -> soundfile.SoundFile:
    """The opened file, its header read. Raises AudioError."""
    if isinstance(file, (str, Path)) and Path(file).suffix.lower() == ".raw":
        raise AudioError(f"{name}: .raw files have no header; read the array and give read_audio its sample_rate")
    try:
        return soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        if "does not exist" in reason:  # so the MP3 decoder says of a file that is there and is something else
            reason = "its format is not known; WAV, FLAC, Ogg and MP3 are"
        raise AudioError(f"{name}: no recording that can be read ({reason})") from error


def _read_file(
    file: Path | bytes, name: str, start_seconds: float | None, duration_seconds: float | None, limits: Limits
) -> Audio:
    """A file through libsndfile, or PyAV where libsndfile does not know the format."""
    with _open_bytes(file, name) as handle:
        if format := media_format(handle):
            return _read_media(handle, format, name, start_seconds, duration_seconds, limits)
        _check_whole(handle, name)
    with _open_sound(file if isinstance(file, Path) else _Bytes(file), name) as sound:
        _check_rate(sound.samplerate, name)
        _check_length_known(sound, name)
        span = _span(sound.frames, sound.samplerate, start_seconds, duration_seconds, name)
        _check_seconds(len(span) / sound.samplerate, limits, name)
        blocks = _blocks(sound, span, name)
        return Audio(_to_mono_16k(blocks, sound.samplerate, span.start, limits, name), name)


def _span(frames: int, rate: int, start_seconds: float | None, duration_seconds: float | None, name: str) -> range:
    """The frames asked for. Raises AudioError when they are not all there."""
    if not (math.isfinite(start_seconds or 0.0) and math.isfinite(duration_seconds or 0.0)):
        raise AudioError(f"{name}: start_seconds={start_seconds} duration_seconds={duration_seconds} is no time")
    start = round((start_seconds or 0.0) * rate)
    length = frames - start if duration_seconds is None else round(duration_seconds * rate)
    overhang = start + length - frames
    if start < 0 or start > frames or length < 0 or overhang > _CLIP_TOLERANCE_SECONDS * rate:
        asked = f"start_seconds={start_seconds} duration_seconds={duration_seconds}"
        raise AudioError(f"{name}: asked for {asked}, but it lasts {frames / rate:.3f} s")
    return range(start, min(start + length, frames))


def _blocks(sound: soundfile.SoundFile, span: range, name: str) -> Iterator[np.ndarray]:
    """Frames `span` of a file as float32 [S, C] blocks. Raises AudioError when the data end or break early."""
    size = max(1, _BLOCK_VALUES // sound.channels)
    position = 0
    try:
        if span.start and not sound.subtype.startswith(_CUT_AFTER_WHOLE_DECODING):
            position = sound.seek(span.start)
        while position < span.stop:
            block_SC = sound.read(min(size, span.stop - position), dtype="float32", always_2d=True)
            if not len(block_SC):
                break
            yield block_SC[max(0, span.start - position) :]
            position += len(block_SC)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: broken after {position / sound.samplerate:.3f} s: {error.error_string}") from error
    # An MP3 header without a table of contents only estimates its length: off by up to two of its own frames.
    slack = 2 * 1152 if sound.subtype.startswith("MPEG") else 0
    if position + slack < span.stop:
        found, claimed = position / sound.samplerate, sound.frames / sound.samplerate
        raise AudioError(f"{name}: truncated, sound ends after {found:.3f} s of {claimed:.3f} s; get a whole copy")


def _to_mono_16k(blocks: Iterable[np.ndarray], rate: int, start: int, limits: Limits, name: str) -> np.ndarray:
    """Float32 [S, C] blocks at `rate` -> float32 [S] at 16 kHz. `start` is the first block's frame in the source."""
    resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ")
    parts: list[np.ndarray] = []
    frames = decoded_bytes = 0
    for block_SC in blocks:
        # In float64 the sum of channels does not depend on its order, which follows the array's memory layout.
        mono = block_SC[:, 0] if block_SC.shape[1] == 1 else block_SC.mean(axis=1, dtype=np.float64).astype(np.float32)
        if not np.isfinite(mono).all():
            bad = start + frames + int(np.argmin(np.isfinite(mono)))
            raise AudioError(f"{name}: NaN or infinite sample at {bad} ({bad / rate:.3f} s)")
        peak = float(np.abs(mono).max(initial=0.0))
        if peak > _MOST_AMPLITUDE:
            raise AudioError(f"{name}: samples reach {peak:.3g} where full scale is 1: this is no sound")
        frames += len(mono)
        decoded_bytes += 4 * block_SC.size
        _check_seconds(frames / rate, limits, name)
        if decoded_bytes > limits.max_decoded_bytes:
            limit = f"max_decoded_bytes={limits.max_decoded_bytes:,}"
            raise AudioError(f"{name}: unpacks to {decoded_bytes:,} bytes or more, over the limit {limit}")
        parts.append(resampler.resample_chunk(mono) if resampler else mono)
    if resampler:
        parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _read_media(
    handle: BinaryIO,
    format: str,
    name: str,
    start_seconds: float | None,
    duration_seconds: float | None,
    limits: Limits,
) -> Audio:
    """A container libsndfile does not know (m4a, mp4, webm ...), decoded whole by PyAV, then cut."""
    rate, blocks = _media(name).decode(handle, format, name)
    _check_rate(rate, name)
    samples = _to_mono_16k(blocks, rate, 0, limits, name)
    span = _span(len(samples), SAMPLE_RATE, start_seconds, duration_seconds, name)
    return Audio(samples[span.start : span.stop], name)


def _media(name: str) -> ModuleType:
    """The room that needs PyAV. Raises MissingError where it is not installed."""
    try:
        from iclal.audio import media
    except ImportError as error:
        raise MissingError(
            f"{name}: its format needs PyAV, which is not installed: pip install 'iclal[media]'"
        ) from error
    return media
