"""Formats for PyAV, with it and without."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from iclal.audio.reading import header, read_audio
from iclal.errors import AudioError, MissingError

SPEECH = Path(__file__).parents[2] / "data" / "librispeech" / "audio" / "1089-134686-0037.flac"


@pytest.fixture(scope="module")
def media() -> dict[str, bytes]:
    """Real speech as m4a and webm."""
    av = pytest.importorskip("av", reason="PyAV is an optional package")
    samples = soundfile.read(SPEECH, dtype="int16")[0]
    files = {}
    for name, format, codec, rate in (("m4a", "mp4", "aac", 16_000), ("webm", "webm", "libopus", 48_000)):
        buffer = io.BytesIO()
        with av.open(buffer, mode="w", format=format) as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.rate = 16_000
            resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        files[name] = buffer.getvalue()
    return files


@pytest.mark.parametrize("name", ["m4a", "webm"])
def test_media_file_sounds_like_what_it_was_made_of(name: str, media: dict[str, bytes], tmp_path: Path) -> None:
    original = read_audio(SPEECH)
    path = tmp_path / f"a.{name}"
    path.write_bytes(media[name])
    heard = read_audio(path)
    assert abs(heard.duration_seconds - original.duration_seconds) < 0.15
    assert abs(header(path).duration_seconds - original.duration_seconds) < 0.15
    size = 1 << 18
    spectra = np.fft.rfft(heard.samples, size) * np.conj(np.fft.rfft(original.samples, size))
    energies = np.square(heard.samples).sum() * np.square(original.samples).sum()
    assert np.fft.irfft(spectra, size).max() / np.sqrt(energies) > 0.9  # at the codec's delay
    part = read_audio(media[name], start_seconds=1.0, duration_seconds=0.5)
    assert np.array_equal(part.samples, heard.samples[16_000:24_000])


@pytest.mark.parametrize("name", ["m4a", "webm"])
def test_cut_media_file_is_refused(name: str, media: dict[str, bytes]) -> None:
    for share in (0.01, 0.5, 0.9):
        with pytest.raises(AudioError, match=r"no recording that can be read|truncated|broken|no sound stream"):
            read_audio(media[name][: int(len(media[name]) * share)])


def test_without_pyav_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "call.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100))
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "iclal.audio.media", raising=False)
    monkeypatch.delattr("iclal.audio.media", raising=False)
    for act in (read_audio, header):
        with pytest.raises(MissingError, match=r"call\.m4a: .*PyAV.*pip install 'iclal\[media\]'"):
            act(path)
