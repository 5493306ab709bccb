"""Generated clips in which nothing is said."""

from __future__ import annotations

import numpy as np
import pytest

from iclal.audio.sounds import NON_SPEECH_KINDS, non_speech
from iclal.errors import SettingsError


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", NON_SPEECH_KINDS)
def test_every_kind_has_the_length_asked_for_and_stays_below_full_scale(kind: str) -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 399, 400, 16_000, 50_001):
        samples = non_speech(rng, size / 16_000, kind)
        assert samples.dtype == np.float32 and samples.shape == (size,)
        assert np.isfinite(samples).all() and np.abs(samples).max(initial=0.0) < 0.9
    assert samples.any() == (kind != "silence")


def test_same_seed_gives_the_same_clips_and_all_kinds_come() -> None:
    def clips() -> list[bytes]:
        rng = np.random.default_rng(5)
        return [non_speech(rng, 0.1).tobytes() for _ in range(300)]

    first = clips()
    assert first == clips()
    silent = sum(1 for clip in first if not np.frombuffer(clip, np.float32).any())
    assert 0 < silent < 60
    assert len(set(first)) > 200


def test_unknown_kind_is_refused_with_the_known() -> None:
    with pytest.raises(SettingsError, match="no non-speech sound 'cat'; known: white, pink"):
        non_speech(np.random.default_rng(0), 1.0, "cat")
