"""Windows over long recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.audio.pauses import split_at_pauses
from iclal.audio.reading import SAMPLE_RATE, Audio, read_audio
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
