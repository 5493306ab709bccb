"""Changes to a clip: their measure, their seed, their speed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from iclal.audio.augment import Augment, add_noise, augment, band_limit, change_level, change_speed, mix, room, tilt
from iclal.audio.reading import SAMPLE_RATE, read_audio
from iclal.errors import SettingsError

SPEECH = Path(__file__).parents[2] / "data" / "librispeech" / "audio" / "1089-134686-0037.flac"
ALWAYS = Augment.build({name: 1.0 for name in Augment.model_fields if name.endswith("_probability")})


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(SPEECH).samples


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def band_energy(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.square(np.abs(np.fft.rfft(samples.astype(np.float64))))
    hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


@pytest.mark.parametrize("kind", ["white", "pink", "brown", "babble", "hum"])
@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 20.0])
def test_noise_lies_as_far_below_the_clip_as_asked(kind: str, snr_db: float, speech: np.ndarray) -> None:
    noisy = add_noise(speech, snr_db, kind, np.random.default_rng(0))  # type: ignore[arg-type]
    assert noisy.dtype == np.float32 and noisy.shape == speech.shape
    assert level_db(speech) - level_db(noisy - speech) == pytest.approx(snr_db, abs=0.05)


def test_silence_stays_silent_under_relative_noise() -> None:
    silence = np.zeros(1000, np.float32)
    assert not add_noise(silence, 0.0, "white", np.random.default_rng(0)).any()
    assert np.array_equal(mix(np.ones(10, np.float32), np.zeros(10, np.float32), 0.0), np.ones(10))


def test_unknown_noise_is_refused_with_the_known() -> None:
    with pytest.raises(SettingsError, match="no noise of kind 'purple'; known: white, pink, brown, babble, hum"):
        add_noise(np.ones(10, np.float32), 0.0, "purple", np.random.default_rng(0))  # type: ignore[arg-type]


def test_level_changes_by_the_decibels_given(speech: np.ndarray) -> None:
    assert level_db(change_level(speech, -12.0)) == pytest.approx(level_db(speech) - 12.0, abs=1e-3)


@pytest.mark.parametrize("factor", [0.9, 1.1, 2.0])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    faster = change_speed(tone, factor)
    assert len(faster) == pytest.approx(SAMPLE_RATE / factor, abs=1)
    peak_hz = np.abs(np.fft.rfft(faster)).argmax() * SAMPLE_RATE / len(faster)
    assert peak_hz == pytest.approx(500 * factor, abs=2)


def test_band_limit_takes_what_is_outside_and_leaves_what_is_inside(speech: np.ndarray) -> None:
    narrow = band_limit(speech, 3400.0, 300.0)
    for low, high in ((0, 250), (3700, 8000)):
        assert band_energy(narrow, low, high) < 1e-4 * band_energy(speech, low, high)
    assert band_energy(narrow, 400, 3000) == pytest.approx(band_energy(speech, 400, 3000), rel=1e-3)


def test_tilt_moves_energy_between_octaves_at_the_same_loudness(speech: np.ndarray) -> None:
    brighter = tilt(speech, 3.0)

    def octave_db(samples: np.ndarray) -> float:
        return 10 * np.log10(band_energy(samples, 3990, 4010) / band_energy(samples, 498.75, 501.25))

    assert octave_db(brighter) - octave_db(speech) == pytest.approx(9.0, abs=1.0)  # three octaves
    assert level_db(brighter) == pytest.approx(level_db(speech), abs=0.01)


def test_room_keeps_loudness_and_decays_as_long_as_asked(speech: np.ndarray) -> None:
    assert level_db(room(speech, np.random.default_rng(0), 0.5)) == pytest.approx(level_db(speech), abs=0.01)
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[0] = 1.0
    response = room(click, np.random.default_rng(0), 0.4, direct_to_reverb_db=0.0)
    at_100, at_300 = (level_db(response[ms * 16 - 400 : ms * 16 + 400]) for ms in (100, 300))
    assert at_100 - at_300 == pytest.approx(60 * 0.2 / 0.4, abs=3.0)
    assert np.abs(response[int(0.41 * SAMPLE_RATE) :]).max() < 1e-6


def test_same_seed_same_bytes_other_seed_others(speech: np.ndarray) -> None:
    first, again, other = (augment(speech, ALWAYS, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_probability_zero_changes_nothing(speech: np.ndarray) -> None:
    never = Augment.build({name: 0.0 for name in Augment.model_fields if name.endswith("_probability")})
    assert augment(speech, never, np.random.default_rng(0)) is speech


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [0, 1, 2, 399, 400, 1600])
def test_tiny_and_silent_clips_pass(size: int) -> None:
    rng = np.random.default_rng(size)
    for samples in (np.zeros(size, np.float32), np.ones(size, np.float32)):
        for _ in range(10):
            result = augment(samples, ALWAYS, rng)
            assert result.dtype == np.float32
            assert np.isfinite(result).all() and np.abs(result).max(initial=0.0) <= 1.0


def test_settings_that_contradict_are_refused() -> None:
    for override, match in (
        ("speed=[1.1, 0.9]", "the lower bound 1.1 is above the upper bound 0.9"),
        ("noise_probability=1.5", "noise_probability.*1.5"),
        ("noise_kinds=[purple]", "noise_kinds.*purple"),
        ("loudness=1", "loudness: unknown key"),
    ):
        with pytest.raises(SettingsError, match=match):
            Augment.build({}, [override])


def test_augmentation_is_much_faster_than_real_time(speech: np.ndarray) -> None:
    rng, settings, heard_seconds = np.random.default_rng(0), Augment(), 0.0
    start = time.process_time()
    for _ in range(30):
        augment(speech, settings, rng)
        heard_seconds += len(speech) / SAMPLE_RATE
    assert heard_seconds / (time.process_time() - start) > 150  # about 800 on an idle core
