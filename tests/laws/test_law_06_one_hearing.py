"""Law 6: one hearing. Lossless forms are the same samples and transcript; lossy ones cost at most a point of WER."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import iclal
from iclal.audio.reading import SAMPLE_RATE, Audio, read_audio, resample
from iclal.data.world import speech
from iclal.data.world.sentences import Taste
from iclal.evaluation.metrics import total_word_errors
from iclal.evaluation.normalize import get_normalizer

pytestmark = pytest.mark.slow

NUM_CLIPS = 100
LOSSY = {
    "8 bit": ("WAV", "PCM_U8", SAMPLE_RATE),
    "8 kHz": ("WAV", "PCM_16", 8_000),
    "Vorbis": ("OGG", "VORBIS", SAMPLE_RATE),
    "MP3": ("MP3", "MPEG_LAYER_III", SAMPLE_RATE),
    "22.05 kHz": ("WAV", "PCM_16", 22_050),
    "44.1 kHz": ("WAV", "PCM_16", 44_100),
    "48 kHz": ("WAV", "PCM_16", 48_000),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    spoken = speech.speak_passages(
        "test", NUM_CLIPS, seed=6, taste=Taste((1, 2)), noisy_share=0.0, folder=folder, progress=False
    )
    return [(utterance, speech.hear(utterance)) for utterance in spoken]


@pytest.fixture(scope="module")
def model():
    return iclal.load()


@pytest.fixture(scope="module")
def original_rate(model, clips):
    return _word_error_rate(model, [utterance for utterance, _ in clips], [audio for _, audio in clips])


def _word_error_rate(model, utterances, audios) -> float:
    normalize = get_normalizer("librispeech").apply
    heard = [normalize(transcript.text) for transcript in model.transcribe(audios)]
    return total_word_errors([normalize(utterance.text) for utterance in utterances], heard).wer


def _encode(samples: np.ndarray, form: tuple[str, str, int]) -> bytes:
    container, subtype, rate = form
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, SAMPLE_RATE, rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format=container, subtype=subtype)
    return buffer.getvalue()


def test_lossless_forms_as_path_bytes_array_and_stereo_give_the_same_samples_and_transcript(model, clips, tmp_path):
    for number, (_, audio) in enumerate(clips[:8]):
        wav, flac = tmp_path / f"{number}.wav", tmp_path / f"{number}.flac"
        soundfile.write(wav, audio.samples, SAMPLE_RATE, subtype="PCM_16")
        soundfile.write(flac, audio.samples, SAMPLE_RATE, subtype="PCM_24")
        stereo = np.stack([audio.samples, audio.samples], axis=1)
        forms = [
            read_audio(wav),
            read_audio(flac),
            read_audio(Path(wav).read_bytes()),
            read_audio(audio.samples, sample_rate=SAMPLE_RATE),
            read_audio(stereo, sample_rate=SAMPLE_RATE),
        ]
        for form in forms:
            np.testing.assert_array_equal(form.samples, audio.samples)
        texts = {transcript.text for transcript in model.transcribe([audio, *forms])}
        assert len(texts) == 1


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_form_costs_at_most_one_point_of_word_error_rate(model, clips, original_rate, name):
    heard = [read_audio(_encode(audio.samples, LOSSY[name])) for _, audio in clips]
    rate = _word_error_rate(model, [utterance for utterance, _ in clips], heard)
    assert rate <= original_rate + 0.01, f"{name}: {rate:.3f} against {original_rate:.3f}"


def test_resampling_is_the_identity_at_16_khz(clips):
    audio: Audio = clips[0][1]
    np.testing.assert_array_equal(resample(audio.samples, SAMPLE_RATE), audio.samples)
