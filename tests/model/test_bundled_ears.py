"""The bundled ears as `iclal.load()` gives them: silence, noise, speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import iclal
from iclal.audio.reading import SAMPLE_RATE
from iclal.audio.sounds import non_speech
from iclal.experiments.listening import fsdd_digits
from iclal.model.inference import Transcript
from iclal.model.model import ICLAL

pytestmark = pytest.mark.slow
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def ears() -> ICLAL:
    return iclal.load()


def heard(model: ICLAL, clips: list[np.ndarray]) -> list[Transcript]:
    transcripts = model.transcribe([iclal.Audio(samples) for samples in clips])
    assert isinstance(transcripts, list)
    return transcripts


@pytest.mark.parametrize("name", ["ctc", "linear"])
def test_silence_is_no_speech_for_either_ears(name: str) -> None:
    [silent] = heard(iclal.load(name), [np.zeros(3 * SAMPLE_RATE, np.float32)])
    assert (silent.text, silent.no_speech, silent.duration_seconds) == ("", True, 3.0)


def test_noise_is_no_speech_and_digits_are_words(ears: ICLAL) -> None:
    rng = np.random.default_rng(1)
    noises = [non_speech(rng, 2.0, kind) for kind in ("white", "pink", "brown") for _ in range(5)]
    assert sum(transcript.no_speech for transcript in heard(ears, noises)) >= 13
    clips = list(fsdd_digits(DATA, ("george",)))[:20]
    said = heard(ears, [samples for _, samples in clips])
    right = sum(one.text == utterance.text for one, (utterance, _) in zip(said, clips, strict=True))
    assert right >= 15 and not any(one.no_speech for one in said)
