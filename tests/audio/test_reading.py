"""Any recording to Audio: one hearing for all lossless forms, exact parts, typed refusals."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.audio.reading import SAMPLE_RATE, Audio, Limits, encode, header, read_audio, resample, to_int16, write_wav
from iclal.errors import AudioError

DATA = Path(__file__).parents[2] / "data"
SPEECH = DATA / "librispeech" / "audio" / "1089-134686-0037.flac"
LOSSLESS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "PCM_U8"), ("WAV", "ULAW")]


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    """Real speech as int16 [S] at 16 kHz."""
    return soundfile.read(SPEECH, dtype="int16")[0]


def file_bytes(samples: np.ndarray, format: str, subtype: str, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def refuse(*what: object, match: str, **options: object) -> None:
    with pytest.raises(AudioError, match=match):
        read_audio(*what, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("format", "subtype"), LOSSLESS)
def test_lossless_forms_as_path_bytes_file_and_stereo_give_the_same_samples(
    format: str, subtype: str, pcm: np.ndarray, tmp_path: Path
) -> None:
    expected = pcm.astype(np.float32) / 32768
    mono, stereo = (file_bytes(x, format, subtype) for x in (pcm, np.stack([pcm, pcm], 1)))
    if (format, subtype) in (("WAV", "FLOAT"), ("WAV", "DOUBLE")):  # libsndfile scales int16 on its way into floats
        mono, stereo = (file_bytes(x, format, subtype) for x in (expected, np.stack([expected, expected], 1)))
    path = tmp_path / "한국어 name.sound"
    path.write_bytes(mono)
    for source in (path, str(path), mono, io.BytesIO(mono), stereo):
        assert np.array_equal(read_audio(source).samples, expected)


def test_array_forms_give_the_same_samples(pcm: np.ndarray) -> None:
    expected = pcm.astype(np.float32) / 32768
    forms = [pcm, pcm.astype(np.int32) << 16, expected, expected.astype(np.float64), expected.astype(">f4")]
    forms += [np.stack([pcm] * 3, axis=1), np.stack([pcm] * 8, axis=0), pcm[:, None], pcm[None, :]]
    for form in forms:
        assert np.array_equal(read_audio(form, sample_rate=16_000).samples, expected), form.shape


def test_uint8_array_equals_8_bit_file(pcm: np.ndarray) -> None:
    unsigned = ((pcm.astype(np.int32) >> 8) + 128).astype(np.uint8)
    file = file_bytes((unsigned.astype(np.int16) - 128) << 8, "WAV", "PCM_U8")
    assert np.array_equal(read_audio(unsigned, sample_rate=16_000).samples, read_audio(file).samples)


def test_full_range_32_bit_array_equals_file() -> None:
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 5000).astype(np.int32)
    file = file_bytes(values, "WAV", "PCM_32")
    assert np.array_equal(read_audio(values, sample_rate=16_000).samples, read_audio(file).samples)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_equal_soxr_over_the_whole_and_array_equals_file(rate: int, pcm: np.ndarray) -> None:
    long = np.tile(pcm, 6)  # more than one block
    heard = read_audio(file_bytes(long, "FLAC", "PCM_16", rate))
    assert np.array_equal(heard.samples, soxr.resample(long.astype(np.float32) / 32768, rate, SAMPLE_RATE))
    assert np.array_equal(heard.samples, read_audio(long, sample_rate=rate).samples)
    assert np.array_equal(heard.samples, resample(long.astype(np.float32) / 32768, rate))
    assert abs(heard.duration_seconds - len(long) / rate) < 1e-3


def test_stereo_is_the_mean_of_its_channels(pcm: np.ndarray) -> None:
    both = np.stack([pcm, np.roll(pcm, 500)], axis=1)
    expected = (both.astype(np.float64).mean(axis=1) / 32768).astype(np.float32)
    assert np.array_equal(read_audio(file_bytes(both, "WAV", "PCM_16")).samples, expected)
    assert np.array_equal(read_audio(both, sample_rate=16_000).samples, expected)


@pytest.mark.parametrize(("format", "subtype"), LOSSY)
def test_lossy_forms_are_close(format: str, subtype: str, pcm: np.ndarray) -> None:
    heard = read_audio(file_bytes(pcm, format, subtype)).samples
    expected = pcm.astype(np.float32) / 32768
    assert len(heard) == len(expected)
    snr_db = 10 * np.log10(np.square(expected).sum() / np.square(heard - expected).sum())
    assert snr_db > 5


@pytest.mark.parametrize(("format", "subtype"), LOSSLESS + LOSSY)
def test_a_part_equals_the_whole_cut(format: str, subtype: str, pcm: np.ndarray) -> None:
    file = file_bytes(np.tile(pcm, 2), format, subtype)
    whole = read_audio(file).samples
    for start, duration in ((0.0, 0.5), (1.23456, 0.5), (9.0, 1.0)):
        first, length = round(start * SAMPLE_RATE), round(duration * SAMPLE_RATE)
        part = read_audio(file, start_seconds=start, duration_seconds=duration).samples
        assert np.array_equal(part, whole[first : first + length])
    assert np.array_equal(read_audio(file, start_seconds=2.0).samples, whole[32_000:])


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from([8000, 16_000, 44_100, 48_000]), size=st.sampled_from([0, 1, 2, 399, 400, 1600]))
def test_tiny_recordings_are_heard(rate: int, size: int) -> None:
    samples = np.full(size, 1000, np.int16)
    for source in (read_audio(samples, sample_rate=rate), read_audio(file_bytes(samples, "WAV", "PCM_16", rate))):
        assert source.samples.dtype == np.float32
        assert abs(source.num_samples - size * SAMPLE_RATE / rate) <= 1


def test_header_equals_what_is_decoded() -> None:
    for path in (SPEECH, next((DATA / "esc10_nonspeech" / "audio").glob("*.ogg"))):
        found = header(path)
        assert found.num_frames == len(soundfile.read(path)[0])
        assert (found.sample_rate, found.channels) == (16_000, 1)
        assert found.duration_seconds == read_audio(path).duration_seconds


def test_audio_is_heard_as_itself_and_cut() -> None:
    audio = read_audio(SPEECH)
    assert np.array_equal(read_audio(audio).samples, audio.samples)
    part = audio.cut(1.0, 2.5)
    assert np.array_equal(part.samples, audio.samples[16_000:40_000])
    assert np.array_equal(read_audio(audio, start_seconds=1.0, duration_seconds=1.5).samples, part.samples)
    assert "1089" in repr(audio) and len(repr(audio)) < 200


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_what_is_written_reads_back_exactly(format: str) -> None:
    samples = np.arange(-32768, 32768).astype(np.float32) / 32768
    assert np.array_equal(read_audio(encode(samples, format)).samples, samples)
    assert np.array_equal(to_int16(samples), np.arange(-32768, 32768).astype(np.int16))


def test_write_wav_refuses_what_would_be_clipped(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"samples reach 1\.5"):
        write_wav(tmp_path / "a.wav", np.array([0, 1.5], np.float32))
    with pytest.raises(AudioError, match="samples reach nan"):
        write_wav(tmp_path / "a.wav", np.array([0, np.nan], np.float32))
    assert not list(tmp_path.iterdir())
    write_wav(tmp_path / "deep" / "a.wav", np.array([0, -1, 1], np.float32))
    assert read_audio(tmp_path / "deep" / "a.wav").samples.tolist() == [0, -1, 32767 / 32768]


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        *[pair for pair in LOSSLESS if pair[0] != "CAF"],
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("WAV", "ULAW"),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_truncated_file_is_refused(format: str, subtype: str, share: float, pcm: np.ndarray, tmp_path: Path) -> None:
    whole = file_bytes(pcm, format, subtype)
    path = tmp_path / "cut.sound"
    path.write_bytes(whole[: int(len(whole) * share)])
    refuse(path, match=r"cut\.sound: (truncated|broken)")
    refuse(path.read_bytes(), match="truncated|broken")
    if format != "MP3":  # that is found out while decoding
        with pytest.raises(AudioError, match=r"cut\.sound: truncated"):
            header(path)


def test_wav_written_to_a_pipe_is_read_to_its_end(pcm: np.ndarray) -> None:
    whole = bytearray(file_bytes(pcm, "WAV", "PCM_16"))
    for size in (0xFFFFFFFF, 0x7FFFF000):
        whole[40:44] = struct.pack("<I", size)
        assert read_audio(bytes(whole)).num_samples == len(pcm)
    whole[40:44] = bytes(4)  # a recorder that died: it claims nothing, and libsndfile would believe it
    refuse(bytes(whole), match="166,720 bytes follow the sound that it claims")


def test_samples_far_beyond_full_scale_are_no_sound() -> None:
    assert read_audio(np.array([3e4, -3e4, 0], np.float32), sample_rate=16_000).num_samples == 3  # never scaled
    refuse(np.array([1e30, 0, 0], np.float32), sample_rate=16_000, match="samples reach 1e\\+30 where full scale is 1")


def test_a_part_of_an_audio_that_is_not_there_is_refused() -> None:
    audio = Audio(np.zeros(16_000, np.float32), "clip")
    assert audio.cut(0.25, 0.5).num_samples == 4_000
    with pytest.raises(AudioError, match=r"clip: no part from 0 to 100 s, it lasts 1\.000 s"):
        audio.cut(0, 100)
    with pytest.raises(AudioError, match="Audio holds a NumPy array, found list"):
        Audio([0.0])  # type: ignore[arg-type]


def test_empty_wav_before_another_chunk_is_empty() -> None:
    empty = file_bytes(np.zeros(0, np.int16), "WAV", "PCM_16") + b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert read_audio(empty).num_samples == 0


def test_header_that_lies_about_its_rate_is_refused(pcm: np.ndarray) -> None:
    file = bytearray(file_bytes(pcm, "WAV", "PCM_16"))
    for rate in (1, 999, 2_000_000):
        file[24:28] = struct.pack("<I", rate)
        refuse(bytes(file), match=f"a rate of {rate} Hz is not believed|no recording that can be read")
    file[24:28] = struct.pack("<I", 1_000)  # 80 s are still believed, a longer file is not
    refuse(bytes(file), limits=Limits(max_seconds=60), match=r"lasts 83\.\d s or more, over the limit max_seconds=60")


def test_flac_without_a_length_is_refused(pcm: np.ndarray) -> None:
    file = bytearray(file_bytes(pcm, "FLAC", "PCM_16"))
    file[21] &= 0xF0
    file[22:26] = bytes(4)
    refuse(bytes(file), match="does not say how long it is")


def test_limits_hold_while_decoding() -> None:
    silence = np.zeros((16_000 * 120, 8), np.int16)
    bomb = file_bytes(silence, "FLAC", "PCM_16")
    assert len(bomb) < 100_000
    refuse(bomb, limits=Limits(max_seconds=60), match=r"lasts 120\.0 s or more, over the limit max_seconds=60")
    refuse(bomb, limits=Limits(max_decoded_bytes=5_000_000), match=r"unpacks to .* max_decoded_bytes=5,000,000")
    refuse(bomb, limits=Limits(max_file_bytes=1000), match="over the limit max_file_bytes=1,000")
    assert read_audio(bomb, start_seconds=100, duration_seconds=1, limits=Limits(max_seconds=60)).num_samples == 16_000


@pytest.mark.slow
def test_an_hour_of_sound_is_heard() -> None:
    hour = np.full(3600 * 8000, 128, np.uint8)
    assert read_audio(hour, sample_rate=8000).duration_seconds == 3600
    refuse(hour, sample_rate=1000, match=r"lasts 28,800\.0 s or more, over the limit max_seconds=14,400")


def test_sources_that_are_no_recording_are_refused(tmp_path: Path) -> None:
    text, nothing, raw = tmp_path / "text.wav", tmp_path / "nothing.wav", tmp_path / "a.raw"
    text.write_text("this is not sound\n" * 100)
    nothing.write_bytes(b"")
    raw.write_bytes(bytes(100))
    refuse(text, match=r"text\.wav: no recording that can be read \(Format not recognised\)")
    refuse(nothing, match=r"nothing\.wav: empty, 0 bytes")
    refuse(raw, match=r"a\.raw: \.raw files have no header")
    refuse(tmp_path, match="is a directory")
    refuse(tmp_path / "none.wav", match=r"none\.wav does not exist")
    refuse("a\0b.wav", match="does not exist")
    refuse("/dev/null", match="is not a regular file")
    refuse(b"", match="empty, 0 bytes")
    refuse([0.1, 0.2], match="cannot hear a list")
    refuse(open(text, encoding="utf-8"), match="binary mode")
    for path, match in ((text, "no recording"), (nothing, "empty"), (tmp_path, "directory")):
        with pytest.raises(AudioError, match=match):
            header(path)


def test_arrays_that_cannot_be_told_for_sure_are_refused() -> None:
    floats = np.zeros(100, np.float32)
    refuse(floats, match="an array needs its rate")
    refuse(floats, sample_rate=0, match="a rate of 0 Hz is not believed")
    refuse(np.zeros((5, 7), np.float32), sample_rate=16_000, match=r"\[5, 7\]: cannot tell channels")
    refuse(np.zeros((90, 70), np.float32), sample_rate=16_000, match=r"\[90, 70\]: cannot tell channels")
    refuse(np.zeros((2, 3, 4), np.float32), sample_rate=16_000, match=r"\[2, 3, 4\]")
    for dtype in (np.int64, np.uint16, np.bool_, np.complex64):
        refuse(np.zeros(10, dtype), sample_rate=16_000, match=f"found {np.dtype(dtype)}")
    refuse(SPEECH, sample_rate=16_000, match="a file has its own rate")
    refuse(Audio(floats), sample_rate=8000, match="contradicts")
    with pytest.raises(AudioError, match=r"float64 \[2\]"):
        Audio(np.zeros(2))
    with pytest.raises(AudioError, match=r"float32 \[2, 2\]"):
        Audio(np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_no_numbers_are_refused_with_their_place(bad: float) -> None:
    samples = np.zeros(2_000_000)
    samples[1_234_567] = bad
    refuse(samples, sample_rate=16_000, match=r"sample at 1234567 \(77\.160 s\)")
    refuse(file_bytes(samples, "WAV", "DOUBLE"), match=r"sample at 1234567 \(77\.160 s\)")


@pytest.mark.parametrize(
    ("start", "duration"), [(5.3, None), (-1.0, None), (0.0, 5.4), (5.0, 1.0), (0.0, -1.0), (float("nan"), 1.0)]
)
def test_a_part_that_is_not_there_is_refused(start: float, duration: float | None) -> None:
    refuse(SPEECH, start_seconds=start, duration_seconds=duration, match="it lasts 5.210 s|is no time")


def test_times_rounded_by_a_manifest_are_not_refused() -> None:
    assert read_audio(SPEECH, start_seconds=1.0, duration_seconds=4.22).num_samples == 83_360 - 16_000


def test_damaged_files_give_typed_errors_or_sound(pcm: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for format, subtype in [*LOSSLESS, *LOSSY]:
        file = file_bytes(pcm[:4000], format, subtype)
        for _ in range(25):
            damaged = bytearray(file)
            for place in rng.integers(0, min(len(file), 200), 2):
                damaged[place] = rng.integers(256)
            try:
                assert np.isfinite(read_audio(bytes(damaged), limits=Limits(max_seconds=60)).samples).all()
            except AudioError:
                continue
