from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_builders import build_model, noise

from iclal.audio.reading import Audio
from iclal.data.prompt import Text
from iclal.errors import ModelError
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.transcribing import transcribe_greedily


def test_nothing_heard_is_no_speech_without_asking_the_language_model(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(parts)
    monkeypatch.setattr(model.language_model, "logits", lambda _: pytest.fail("the language model was asked"))
    for audio in (noise(0), noise(1), noise(399)):
        transcript = model.transcribe(audio)
        assert (transcript.text, transcript.no_speech, transcript.finish_reason) == ("", True, "end")
        assert transcript.duration_seconds == audio.duration_seconds


@pytest.mark.parametrize("connector", [CTCSettings(), LinearSettings()], ids=["ctc", "linear"])
def test_where_nothing_was_recorded_nothing_is_said(parts: Path, connector: CTCSettings | LinearSettings) -> None:
    """Digital silence and dither, also as one window among others."""
    model = build_model(parts, connector=connector, window_seconds=1.0)
    dither = np.random.default_rng(0).integers(-1, 2, 20_000).astype(np.float32) / 32768
    for samples in (np.zeros(8_000, np.float32), dither, np.full(8_000, 0.01, np.float32)):
        transcript = model.transcribe(Audio(samples))
        assert (transcript.text, transcript.no_speech, transcript.finish_reason) == ("", True, "end")
        assert transcript.segments[-1].end_seconds == transcript.duration_seconds
    said = noise(12_000, 1).samples
    transcript = model.transcribe(Audio(np.concatenate([said, np.zeros(40_000, np.float32), said])))
    texts = [segment.text for segment in transcript.segments]
    assert texts[0] and texts[-1] and "" in texts[1:-1]
    assert transcript.text == " ".join(text for text in texts if text)


def test_a_long_recording_is_heard_in_windows_whose_times_cover_it(parts: Path) -> None:
    model = build_model(parts, window_seconds=1.0)
    recording = Audio(np.concatenate([noise(14_000, 1).samples, np.zeros(4_000, np.float32), noise(30_000, 2).samples]))
    transcript = model.transcribe(recording)
    assert transcript.duration_seconds == 3.0
    assert transcript.segments[0].start_seconds == 0.0
    assert transcript.segments[-1].end_seconds == 3.0
    for one, following in zip(transcript.segments, transcript.segments[1:], strict=False):
        assert one.end_seconds == following.start_seconds
        assert one.end_seconds - one.start_seconds <= 1.0
    assert transcript.text == " ".join(segment.text for segment in transcript.segments if segment.text)
    cuts = [recording.cut(segment.start_seconds, segment.end_seconds) for segment in transcript.segments]
    assert [model.transcribe(cut).text for cut in cuts] == [segment.text for segment in transcript.segments]


def test_transcription_uses_the_instruction_the_model_was_trained_with(parts: Path) -> None:
    audio = noise(6_000)
    plain = build_model(parts)
    assert plain.transcribe(audio).text == plain.generate((audio,)).text
    told = build_model(parts, transcription_instruction="where is")
    assert told.transcribe(audio).text == told.generate((Text("where is\nheard:"), audio, Text("\n>"))).text


def test_greedy_text_of_ctc_is_its_tokens_text_and_linear_has_none(parts: Path) -> None:
    model = build_model(parts)
    audio = noise(6_000)
    token_ids = model.hear([audio]).token_ids
    assert token_ids is not None
    assert transcribe_greedily(model, [audio, noise(0)]) == [model.language_model.text(token_ids[0]), ""]
    with pytest.raises(ModelError, match="the connector is 'linear'"):
        transcribe_greedily(build_model(parts, connector=LinearSettings()), [audio])
