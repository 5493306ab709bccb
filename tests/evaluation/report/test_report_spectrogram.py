"""Spectrograms, and the labels of tokens under them."""

from __future__ import annotations

import itertools

import numpy as np

from iclal.evaluation.report.recordings import Recording
from iclal.evaluation.report.spectrogram import Token, place_labels, spectrogram


def test_spectrogram_shows_a_tone_in_its_band() -> None:
    seconds = np.arange(16000) / 16000
    shades = spectrogram(Recording(np.sin(2 * np.pi * 1000 * seconds).astype(np.float32), 16000), bands=96)
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    expected = 96 - 97 * 2595 * np.log10(1 + 1000 / 700) / top_mel  # rows count from the top, bands from the bottom
    assert shades.shape == (96, 100)
    assert abs(int(shades[:, 50].argmax()) - expected) < 1.5


def test_silent_and_tiny_recordings_are_drawn_too() -> None:
    for samples in (np.zeros(8000, np.float32), np.ones(1, np.float32)):
        assert spectrogram(Recording(samples, 16000)).shape[1] >= 1


def test_labels_of_neighbouring_tokens_never_touch() -> None:
    tokens = [Token(f" word{i}", 0.04 * i, 0.04 * i + 0.04) for i in range(30)]
    rows = place_labels(tokens, 200.0)
    for row_number in set(rows):
        places = [
            (t.start_seconds * 200, len(t.token) * 7.3) for t, r in zip(tokens, rows, strict=True) if r == row_number
        ]
        assert all(start + width < after for (start, width), (after, _) in itertools.pairwise(places))
