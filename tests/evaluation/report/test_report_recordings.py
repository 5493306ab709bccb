"""Recordings embedded within a budget."""

from __future__ import annotations

import numpy as np

from iclal.evaluation.report.recordings import Recording, embed


def test_recordings_are_flac_within_the_budget_then_opus_then_left_out() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    clips = [Recording(noise, 16000)] * 3
    lossless = embed(clips, 10**7)
    assert all(uri is not None and uri.startswith("data:audio/flac;base64,") for uri in lossless)
    small = embed(clips, 60_000)
    assert all(uri is not None and uri.startswith("data:audio/ogg;base64,") for uri in small)
    first = small[0]
    assert first is not None
    assert [uri is None for uri in embed(clips, len(first) * 2)] == [False, False, True]
