"""Long recordings as windows, cut where it is quiet; and windows in which nothing was recorded."""

from __future__ import annotations

import itertools

import numpy as np

from iclal.audio.reading import SAMPLE_RATE, Audio
from iclal.errors import SettingsError

_HOP_SAMPLES = 160  # 10 ms
_SMOOTHING_HOPS = 25  # a quarter of a second: a pause between words, longer than a stop consonant
_MIN_WINDOW_SECONDS = 0.5
_SILENCE_SPAN = 1e-4  # peak to peak, three steps of 16 bit: dither, or a converter's offset


def split_at_pauses(audio: Audio, max_seconds: float) -> list[tuple[float, float]]:
    """Windows (start, end in seconds) that cover a recording, each at most `max_seconds`, no sample lost or doubled.

    Each cut is the quietest place (energy over 0.25 s) of the second half of what a window may hold. A recording that
    fits is one window, an empty one none.

    Raises:
        SettingsError: `max_seconds` below 0.5.
    """
    if not max_seconds >= _MIN_WINDOW_SECONDS:
        raise SettingsError(f"max_seconds of a window must be at least {_MIN_WINDOW_SECONDS}, found {max_seconds}")
    longest, total = int(max_seconds * SAMPLE_RATE), audio.num_samples
    energy = _smooth_energy(audio.samples) if total > longest else np.zeros(0)
    bounds = [0]
    while total - bounds[-1] > longest:
        start = bounds[-1]
        # The last windows share what is left, so that none is a mere scrap.
        end = start + min(longest, total - start - longest // 4)
        first = -(-(start + longest // 2) // _HOP_SAMPLES)
        candidates = energy[first : end // _HOP_SAMPLES + 1]
        # Of equally quiet places (digital silence) the last: fewer windows.
        quietest = len(candidates) - 1 - int(np.argmin(candidates[::-1]))
        bounds.append((first + quietest) * _HOP_SAMPLES)
    if total:
        bounds.append(total)
    return [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in itertools.pairwise(bounds)]


def is_silent(audio: Audio) -> bool:
    """Whether nothing was recorded: all samples are one value, but for the last bits of 16.

    Not a judgement about speech: quiet rooms, hum and noise are heard as anything else is.
    """
    return not audio.num_samples or float(np.ptp(audio.samples)) <= _SILENCE_SPAN


def _smooth_energy(samples: np.ndarray) -> np.ndarray:
    """Mean energy around each multiple of 10 ms; one value more than there are whole hops."""
    whole = len(samples) // _HOP_SAMPLES
    energy = np.square(samples[: whole * _HOP_SAMPLES].reshape(whole, _HOP_SAMPLES), dtype=np.float64).mean(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(energy)])
    half = _SMOOTHING_HOPS // 2
    place = np.arange(whole + 1)
    low, high = np.maximum(place - half, 0), np.minimum(place + half, whole)
    return (sums[high] - sums[low]) / np.maximum(high - low, 1)
