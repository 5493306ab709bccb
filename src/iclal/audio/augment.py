"""Changes to a clip: noise, level, room, speed, band, tilt. NumPy alone, driven by the generator that is given.

All take and give float32 [S] at 16 kHz and keep the length, but for `change_speed`. The sounds themselves (noises and
what else is no speech) are in `sounds.py`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np
import pydantic
import soxr

from iclal.audio.reading import SAMPLE_RATE
from iclal.audio.sounds import NoiseKind, make_noise, spectrum_shaped
from iclal.settings import Settings

NOISY_SNR_DB = (5.0, 15.0)  # what the note "noisy" means
_SURROUNDINGS: tuple[NoiseKind, ...] = ("white", "pink", "brown", "babble")

Probability: TypeAlias = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise ValueError(f"the lower bound {value[0]} is above the upper bound {value[1]}")
    return value


def _above_zero(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        raise ValueError(f"a clip cannot be played {value[0]} times as fast: give a number above 0")
    return value


Range: TypeAlias = Annotated[tuple[float, float], pydantic.AfterValidator(_ordered)]
SpeedRange: TypeAlias = Annotated[Range, pydantic.AfterValidator(_above_zero)]


class Augment(Settings):
    """How often and how far clips are changed in training. Ranges are drawn from evenly."""

    speed_probability: Probability = 0.5
    speed: SpeedRange = (0.9, 1.1)
    tilt_probability: Probability = 0.3
    tilt_db_per_octave: Range = (-3.0, 3.0)
    room_probability: Probability = 0.3
    room_reverb_seconds: Range = (0.1, 0.7)
    noise_probability: Probability = 0.5
    noise_snr_db: Range = (0.0, 30.0)
    noise_kinds: Annotated[tuple[NoiseKind, ...], pydantic.Field(min_length=1)] = (
        "white",
        "pink",
        "brown",
        "babble",
        "hum",
    )
    band_probability: Probability = 0.1
    band_high_hz: Range = (3000.0, 6000.0)
    level_probability: Probability = 0.8
    level_db: Range = (-20.0, 6.0)

    @property
    def changes(self) -> bool:
        """Whether a clip is ever changed at all."""
        return any(getattr(self, name) for name in type(self).model_fields if name.endswith("_probability"))

    @property
    def longest_stretch(self) -> float:
        """The most that a clip's length is multiplied by."""
        return max(1.0, 1 / self.speed[0]) if self.speed_probability else 1.0

    @property
    def shortest_stretch(self) -> float:
        """The least that a clip's length is multiplied by."""
        return min(1.0, 1 / self.speed[1]) if self.speed_probability else 1.0


def augment(samples: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """`samples` after one draw of changes, in the order in which sound meets them: voice, room, noise, line, level.

    Where the result would pass full scale it is scaled down to it, as a recordist would.
    """

    def drawn(probability: float) -> bool:
        return bool(rng.random() < probability)

    if drawn(settings.speed_probability):
        samples = change_speed(samples, rng.uniform(*settings.speed))
    if drawn(settings.tilt_probability):
        samples = tilt(samples, rng.uniform(*settings.tilt_db_per_octave))
    if drawn(settings.room_probability):
        samples = room(samples, rng, rng.uniform(*settings.room_reverb_seconds))
    if drawn(settings.noise_probability):
        kind = settings.noise_kinds[rng.integers(len(settings.noise_kinds))]
        samples = add_noise(samples, rng.uniform(*settings.noise_snr_db), kind, rng)
    if drawn(settings.band_probability):
        samples = band_limit(samples, rng.uniform(*settings.band_high_hz))
    if drawn(settings.level_probability):
        samples = change_level(samples, rng.uniform(*settings.level_db))
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 1.0 else samples


def add_noise(samples: np.ndarray, snr_db: float, kind: NoiseKind, rng: np.random.Generator) -> np.ndarray:
    """`samples` with generated noise `snr_db` below it, both measured over the whole clip."""
    return mix(samples, make_noise(kind, len(samples), rng), snr_db)


def noisy(samples: np.ndarray, rng: np.random.Generator, snr_db: float | None = None) -> np.ndarray:
    """`samples` as said in a noisy place: noise of a random kind, its level drawn if not given."""
    level_db = rng.uniform(*NOISY_SNR_DB) if snr_db is None else snr_db
    return add_noise(samples, level_db, _SURROUNDINGS[rng.integers(len(_SURROUNDINGS))], rng)


def mix(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`samples` with `noise` (as long) laid under it, scaled to be `snr_db` below it. Silence on either side stays."""
    assert len(samples) == len(noise), f"{len(samples)} samples, {len(noise)} of noise"
    noise_level = _rms(noise)
    if noise_level == 0.0:
        return samples
    return samples + noise * np.float32(_rms(samples) / noise_level * 10 ** (-snr_db / 20))


def change_level(samples: np.ndarray, db: float) -> np.ndarray:
    """`samples` louder by `db` decibels."""
    return samples * np.float32(10 ** (db / 20))


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """`samples` played `factor` times as fast: shorter and higher where it is above 1."""
    if factor == 1.0 or not len(samples):
        return samples
    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)


def room(
    samples: np.ndarray, rng: np.random.Generator, reverb_seconds: float = 0.4, direct_to_reverb_db: float | None = None
) -> np.ndarray:
    """`samples` as heard in a room of that reverberation time (60 dB), at the same loudness; the tail is cut.

    The impulse response is a direct sound, a few early reflections, and noise that decays. `direct_to_reverb_db` (how
    near the speaker is) is drawn from -3 to 12 where not given.
    """
    near_db = rng.uniform(-3.0, 12.0) if direct_to_reverb_db is None else direct_to_reverb_db
    length = max(1, round(reverb_seconds * SAMPLE_RATE))
    decay = np.exp(-np.log(1000.0) / length * np.arange(length, dtype=np.float32))
    response = rng.standard_normal(length, dtype=np.float32) * decay
    first_reflection = min(length - 1, int(rng.uniform(0.002, 0.01) * SAMPLE_RATE))
    response[:first_reflection] = 0.0
    early = rng.integers(first_reflection, max(first_reflection + 1, min(length, SAMPLE_RATE // 20)), size=6)
    response[early] *= 4.0
    energy = float(np.square(response).sum())
    response *= np.float32(10 ** (-near_db / 20) / np.sqrt(energy)) if energy > 0 else np.float32(0)
    response[0] = 1.0
    return _as_loud(_convolve(samples, response), samples)


def band_limit(samples: np.ndarray, high_hz: float, low_hz: float = 0.0) -> np.ndarray:
    """`samples` without what lies above `high_hz` (and below `low_hz`): a telephone is 3,400 and 300."""

    def gain(hz: np.ndarray) -> np.ndarray:
        above = np.clip((high_hz * 1.05 - hz) / (high_hz * 0.1), 0.0, 1.0)  # edges a tenth wide: no ringing
        below = np.clip((hz - low_hz * 0.95) / max(low_hz * 0.1, 1e-6), 0.0, 1.0) if low_hz > 0 else 1.0
        return above * below

    return spectrum_shaped(samples, gain)


def tilt(samples: np.ndarray, db_per_octave: float) -> np.ndarray:
    """`samples` with a spectrum tilted around 1 kHz, from 100 Hz up, at the same loudness: another microphone."""
    exponent = db_per_octave / 6.0206  # twice the amplitude is 6.02 dB
    return _as_loud(spectrum_shaped(samples, lambda hz: (np.maximum(hz, 100.0) / 1000.0) ** exponent), samples)


def _convolve(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The first len(samples) of the convolution, in float32."""
    if not len(samples):
        return samples
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(samples)].astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples), dtype=np.float64))) if len(samples) else 0.0


def _as_loud(samples: np.ndarray, model: np.ndarray) -> np.ndarray:
    """`samples` scaled to the loudness of `model`."""
    level = _rms(samples)
    return samples * np.float32(_rms(model) / level) if level > 0 else samples
