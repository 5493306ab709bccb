"""Windows over long recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.audio.pauses import is_silent, split_at_pauses
from iclal.audio.reading import SAMPLE_RATE, Audio, read_audio
from iclal.audio.sounds import NON_SPEECH_KINDS, non_speech
from iclal.errors import SettingsError

SPEECH = Path(__file__).parents[2] / "data" / "librispeech" / "audio"


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 300_000), max_seconds=st.floats(0.5, 8.0), seed=st.integers(0, 5))
def test_windows_cover_every_sample_once_and_none_is_too_long(size: int, max_seconds: float, seed: int) -> None:
    audio = Audio(np.random.default_rng(seed).standard_normal(size, dtype=np.float32))
    parts = [audio.cut(*window) for window in split_at_pauses(audio, max_seconds)]
    assert all(0 < part.duration_seconds <= max_seconds for part in parts)
    joined = np.concatenate([np.zeros(0, np.float32), *[part.samples for part in parts]])
    assert np.array_equal(joined, audio.samples)


def test_cuts_fall_into_the_pauses() -> None:
    utterances = [read_audio(path).samples for path in sorted(SPEECH.glob("*.flac"))]
    sentences = [samples[: 5 * SAMPLE_RATE] for samples in utterances if len(samples) >= 5 * SAMPLE_RATE][:3]
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    audio = Audio(np.concatenate([part for sentence in sentences for part in (sentence, pause)]))
    ends, place = [], 0
    for sentence in sentences:
        ends.append((place + len(sentence)) / SAMPLE_RATE)
        place += len(sentence) + len(pause)
    cuts = [end for _, end in split_at_pauses(audio, 7.0)[:-1]]
    assert len(cuts) == 2
    assert all(end <= cut <= end + 0.5 for cut, end in zip(cuts, ends[:2], strict=True))


def test_a_recording_that_fits_is_one_window_an_empty_one_none() -> None:
    assert split_at_pauses(Audio(np.zeros(16_000, np.float32)), 1.0) == [(0.0, 1.0)]
    assert split_at_pauses(Audio(np.zeros(1, np.float32)), 1.0) == [(0.0, 1 / 16_000)]
    assert split_at_pauses(Audio(np.zeros(0, np.float32)), 1.0) == []


def test_ten_minutes_of_silence_are_cut_into_few_windows() -> None:
    windows = split_at_pauses(Audio(np.zeros(600 * SAMPLE_RATE, np.float32)), 30.0)
    assert 20 <= len(windows) <= 21


@pytest.mark.parametrize("bad", [0.0, -1.0, 0.1, float("nan")])
def test_windows_too_short_are_refused(bad: float) -> None:
    with pytest.raises(SettingsError, match=f"at least 0.5, found {bad}"):
        split_at_pauses(Audio(np.zeros(10, np.float32)), bad)


@pytest.mark.parametrize("kind", NON_SPEECH_KINDS)
def test_sounds_without_speech_are_left_to_the_ears_to_judge(kind: str) -> None:
    """What is counted in evaluations is what the model makes of them, not what this gate lets pass."""
    sound = Audio(non_speech(np.random.default_rng(3), 1.0, kind))
    assert is_silent(sound) == (kind == "silence")


def test_silence_is_one_value_but_for_the_last_bits() -> None:
    last_bits = np.random.default_rng(0).integers(-1, 2, 8_000).astype(np.float32) / 32768
    assert is_silent(Audio(np.zeros(0, np.float32))) and is_silent(Audio(last_bits))
    assert is_silent(Audio(last_bits + np.float32(0.01)))  # a converter's offset
    speech = read_audio(sorted(SPEECH.glob("*.flac"))[0]).samples
    assert not is_silent(Audio(speech * np.float32(1e-3 / np.abs(speech).max())))
