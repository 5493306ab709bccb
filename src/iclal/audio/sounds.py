"""Generated sounds that are no speech: noises to lay under a clip, and whole clips in which nothing is said.

All are float32 [S] at 16 kHz and functions of the generator that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from iclal.audio.reading import SAMPLE_RATE
from iclal.errors import SettingsError

NoiseKind: TypeAlias = Literal["white", "pink", "brown", "babble", "hum"]
_NYQUIST_HZ = SAMPLE_RATE / 2


def make_noise(kind: NoiseKind, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a kind, at no level in particular. Raises SettingsError for an unknown kind."""
    if kind not in _NOISES:
        raise SettingsError(f"no noise of kind '{kind}'; known: {', '.join(get_args(NoiseKind))}")
    return _NOISES[kind](num_samples, rng)


def non_speech(rng: np.random.Generator, seconds: float, kind: str | None = None) -> np.ndarray:
    """A clip without speech, its peak between -40 and -1 dB of full scale; `kind` (of NON_SPEECH_KINDS) else drawn.

    Raises:
        SettingsError: unknown kind.
    """
    if kind is None:
        kind = NON_SPEECH_KINDS[rng.integers(len(NON_SPEECH_KINDS))]
    if kind not in _SOUNDS:
        raise SettingsError(f"no non-speech sound '{kind}'; known: {', '.join(NON_SPEECH_KINDS)}")
    samples = _SOUNDS[kind](round(seconds * SAMPLE_RATE), rng)
    peak = float(np.abs(samples).max(initial=0.0))
    level = 10 ** (rng.uniform(-40.0, -1.0) / 20)
    return (samples * (level / peak)).astype(np.float32) if peak > 0 else samples


def spectrum_shaped(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`samples` with each frequency multiplied by `gain(hz)`; float32 [S]."""
    if not len(samples):
        return samples
    size = 1 << (len(samples) - 1).bit_length()  # powers of two: a prime length would be slow
    hz = np.linspace(0.0, _NYQUIST_HZ, size // 2 + 1, dtype=np.float32)
    shaped = np.fft.rfft(samples, size) * gain(hz).astype(np.float32)
    return np.fft.irfft(shaped, size)[: len(samples)].astype(np.float32)


# Noises


def _white(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(num_samples, dtype=np.float32)


def _pink(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return spectrum_shaped(_white(num_samples, rng), lambda hz: np.maximum(hz, 20.0) ** -0.5)


def _brown(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return spectrum_shaped(_white(num_samples, rng), lambda hz: 1.0 / np.maximum(hz, 20.0))


def _hum(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Mains: 50 or 60 Hz with harmonics of falling strength, over a little noise."""
    base_hz = float(rng.choice([50.0, 60.0])) * rng.uniform(0.998, 1.002)
    hum = 0.02 * _white(num_samples, rng)
    for harmonic in range(1, 8):
        hum += rng.uniform(0.2, 1.0) / harmonic * _sine(num_samples, base_hz * harmonic, rng)
    return hum


def _babble(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Like many talkers at once: buzzing voices with syllables and gliding pitch, their sum coloured like speech."""
    voices = np.zeros(num_samples, np.float32)
    for _ in range(5):
        pitch_hz = rng.uniform(85.0, 250.0) * _slow_curve(num_samples, 3.0, rng, 0.85, 1.15)
        syllables = np.square(_slow_curve(num_samples, rng.uniform(7.0, 11.0), rng, 0.0, 1.0))
        voices += syllables * (2.0 * _phase(pitch_hz, rng) - 1.0)
    voices += 0.3 * _white(num_samples, rng) * _slow_curve(num_samples, 8.0, rng, 0.0, 1.0)
    formants_hz = rng.uniform([300.0, 900.0, 2200.0], [700.0, 1800.0, 3000.0])

    def colour(hz: np.ndarray) -> np.ndarray:
        peaks = sum(np.exp(-np.square((hz - centre) / 250.0)) for centre in formants_hz)
        return (0.3 + peaks) / np.maximum(hz / 500.0, 1.0)

    return spectrum_shaped(voices, colour)


# Building blocks


def _sine(num_samples: int, hz: float, rng: np.random.Generator) -> np.ndarray:
    """A tone of amplitude 1 that starts anywhere in its period."""
    return _wave(np.full(num_samples, hz, np.float32), rng)


def _phase(hz_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where in its period (0 to 1) an oscillation of that frequency is at each sample."""
    turns = np.cumsum(hz_S, dtype=np.float64) / SAMPLE_RATE + rng.random()
    return (turns - np.floor(turns)).astype(np.float32)


def _wave(hz_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sin(np.float32(2 * np.pi) * _phase(hz_S, rng))


def _slow_curve(
    num_samples: int, points_per_second: float, rng: np.random.Generator, low: float, high: float
) -> np.ndarray:
    """Straight lines between random points, in steps of a millisecond (a step a sample takes four times as long)."""
    step = SAMPLE_RATE // 1000
    count = 2 + int(num_samples / SAMPLE_RATE * points_per_second)
    places = np.linspace(0, max(num_samples - 1, 1), count)
    steps = np.interp(np.arange(0, num_samples, step), places, rng.uniform(low, high, count))
    return np.repeat(steps.astype(np.float32), step)[:num_samples]


def _scatter(
    num_samples: int,
    per_second: float,
    rng: np.random.Generator,
    make: Callable[[int, np.random.Generator], np.ndarray],
    longest_seconds: float,
) -> np.ndarray:
    """Short sounds at random places, at least one."""
    clip = np.zeros(num_samples, np.float32)
    for _ in range(1 + rng.poisson(per_second * num_samples / SAMPLE_RATE)):
        start = int(rng.integers(max(num_samples, 1)))
        length = min(int(rng.uniform(0.2, 1.0) * longest_seconds * SAMPLE_RATE) + 1, num_samples - start)
        clip[start : start + length] += rng.uniform(0.2, 1.0) * make(length, rng)
    return clip


def _fading(num_samples: int, rate: float = 7.0) -> np.ndarray:
    """From 1 down to e^-rate."""
    return np.exp(-rate * np.linspace(0.0, 1.0, num_samples, dtype=np.float32))


# Clips without speech


def _silence(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(num_samples, np.float32)


def _tone(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return _sine(num_samples, float(np.exp(rng.uniform(np.log(80.0), np.log(6000.0)))), rng)


def _chirp(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """One sweep between two frequencies."""
    first_hz, last_hz = rng.uniform(100.0, 7000.0, 2)
    return _wave(np.geomspace(first_hz, last_hz, num_samples).astype(np.float32), rng)


def _clicks(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return _scatter(num_samples, rng.uniform(1.0, 12.0), rng, lambda n, r: _fading(n) * _white(n, r), 0.01)


def _knocks(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Blows on something that rings: wood, metal, a drum."""
    hz = rng.uniform(80.0, 2500.0)
    return _scatter(num_samples, rng.uniform(0.5, 4.0), rng, lambda n, r: _fading(n) * _sine(n, hz, r), 0.3)


def _birds(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    def call(length: int, rng: np.random.Generator) -> np.ndarray:
        first_hz, last_hz = rng.uniform(1800.0, 6500.0, 2)
        sweep_hz = np.linspace(first_hz, last_hz, length, dtype=np.float32)
        return np.hanning(length).astype(np.float32) * _wave(sweep_hz, rng)

    return _scatter(num_samples, rng.uniform(1.0, 6.0), rng, call, 0.2)


def _beeps(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A tone, or two as of a telephone's keys, on and off."""
    period, share = rng.uniform(0.15, 1.2), rng.uniform(0.3, 0.7)
    on = (np.arange(num_samples) / SAMPLE_RATE % period) < share * period
    tones = sum(_sine(num_samples, float(hz), rng) for hz in rng.uniform(350.0, 2500.0, rng.integers(1, 3)))
    return (tones * on).astype(np.float32)


def _siren(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    low_hz, width_hz, period = rng.uniform(400.0, 900.0), rng.uniform(200.0, 900.0), rng.uniform(0.4, 4.0)
    swing = np.sin(2 * np.pi * np.arange(num_samples) / SAMPLE_RATE / period)
    if rng.random() < 0.5:
        swing = np.sign(swing)  # two tones in turn
    return _wave((low_hz + width_hz * (1 + swing) / 2).astype(np.float32), rng)


def _chords(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Like simple music: plucked chords, in time."""
    clip = np.zeros(num_samples, np.float32)
    beat = int(rng.uniform(0.25, 0.8) * SAMPLE_RATE)
    root_hz = rng.uniform(110.0, 330.0)
    for start in range(0, num_samples, beat):
        length = min(beat, num_samples - start)
        third = rng.choice([3, 4])
        for semitone in (0, third, 7)[: rng.integers(1, 4)]:
            hz = root_hz * 2 ** ((rng.choice([0, 2, 5, 7, 9]) + semitone) / 12)
            for harmonic in (1, 2, 3):
                clip[start : start + length] += _fading(length, 4.0) / harmonic * _sine(length, hz * harmonic, rng)
    return clip


def _pulsing_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band, swelling at a fixed rhythm: a machine, breath, waves."""
    centre_hz, rhythm_hz = rng.uniform(200.0, 5000.0), rng.uniform(0.3, 12.0)
    noise = spectrum_shaped(_white(num_samples, rng), lambda hz: np.exp(-np.square((hz - centre_hz) / centre_hz)))
    swell = 1 + rng.uniform(0.3, 1.0) * np.sin(2 * np.pi * rhythm_hz * np.arange(num_samples) / SAMPLE_RATE)
    return (noise * swell).astype(np.float32)


def _rain(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Many short drops over a hiss."""
    drops = (rng.random(num_samples, dtype=np.float32) < rng.uniform(0.001, 0.02)) * _white(num_samples, rng)
    return spectrum_shaped(6 * drops + 0.2 * _white(num_samples, rng), lambda hz: np.minimum(hz / 1500.0, 1.0))


def _wind(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return _brown(num_samples, rng) * np.square(_slow_curve(num_samples, 1.5, rng, 0.1, 1.0))


def _engine(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    hz = rng.uniform(25.0, 90.0) * _slow_curve(num_samples, 2.0, rng, 0.8, 1.3)
    buzz = 2.0 * _phase(hz, rng) - 1.0 + 0.3 * _white(num_samples, rng)
    return spectrum_shaped(buzz, lambda hz: 1.0 / (1.0 + np.square(hz / 400.0)))


_NOISES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "white": _white,
    "pink": _pink,
    "brown": _brown,
    "babble": _babble,
    "hum": _hum,
}

_SOUNDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    **_NOISES,
    "silence": _silence,
    "tone": _tone,
    "chirp": _chirp,
    "clicks": _clicks,
    "knocks": _knocks,
    "birds": _birds,
    "beeps": _beeps,
    "siren": _siren,
    "chords": _chords,
    "pulsing_noise": _pulsing_noise,
    "rain": _rain,
    "wind": _wind,
    "engine": _engine,
}

NON_SPEECH_KINDS = tuple(_SOUNDS)
