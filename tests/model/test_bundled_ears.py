"""The bundled ears as `iclal.load()` gives them: silence, noise, speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import iclal
from iclal.audio.reading import SAMPLE_RATE
from iclal.audio.sounds import non_speech
from iclal.data.world import speech
from iclal.data.world.sentences import Taste
from iclal.evaluation.metrics import total_word_errors
from iclal.evaluation.normalize import get_normalizer
from iclal.experiments.human_speech import fsdd_digits
from iclal.model.model import ICLAL
from iclal.model.transcribing import Transcript

pytestmark = pytest.mark.slow
DATA = Path(__file__).parents[2] / "data"
MINUTES = (0, 3, 7, 12, 18, 25, 31, 36, 42, 49, 54, 59)


@pytest.fixture(scope="module")
def ears() -> ICLAL:
    return iclal.load()


def heard(model: ICLAL, clips: list[np.ndarray]) -> list[Transcript]:
    transcripts = model.transcribe([iclal.Audio(samples) for samples in clips])
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


def test_what_is_said_in_an_hour_is_found_where_it_is_said(ears: ICLAL) -> None:
    """Twelve utterances, faint noise for half a minute around each, digital silence between."""
    spoken = speech.speak_passages("test", len(MINUTES), 5, Taste((1, 2)), noisy_share=0.0, progress=False)
    rng = np.random.default_rng(2)
    hour = np.zeros(3600 * SAMPLE_RATE, np.float32)
    places = []
    for minute, utterance in zip(MINUTES, spoken, strict=True):
        samples = speech.hear(utterance).samples
        start = 60 * minute * SAMPLE_RATE + int(rng.integers(5, 15)) * SAMPLE_RATE
        around = hour[60 * minute * SAMPLE_RATE :][: 30 * SAMPLE_RATE]
        around += 1e-3 * rng.standard_normal(len(around), dtype=np.float32)
        hour[start : start + len(samples)] += samples
        places.append((start / SAMPLE_RATE, (start + len(samples)) / SAMPLE_RATE))
    [transcript] = heard(ears, [hour])
    assert transcript.duration_seconds == transcript.segments[-1].end_seconds == 3600.0
    texts, elsewhere = [], [segment.text for segment in transcript.segments]
    for start, end in places:
        own = [s.text for s in transcript.segments if s.start_seconds < end and s.end_seconds > start]
        texts.append(" ".join(text for text in own if text))
        elsewhere = [text for text in elsewhere if text not in own]
    normalize = get_normalizer("librispeech").apply
    references = [normalize(utterance.text or "") for utterance in spoken]
    assert total_word_errors(references, [normalize(text) for text in texts]).wer < 0.25
    assert len("".join(elsewhere)) < 100  # of an hour
