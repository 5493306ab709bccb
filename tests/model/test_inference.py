from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import build_model, noise

from iclal.audio.reading import Audio
from iclal.data.prompt import SlotText, Text
from iclal.errors import AudioError, ModelError, PromptError
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.inference import Hearing, generate, is_looping, score_candidates, transcribe, transcribe_greedily
from iclal.model.model import ICLAL


def always(model: ICLAL, monkeypatch: pytest.MonkeyPatch, *tokens: int) -> None:
    """Let the language model say these tokens over and over, whatever it reads."""
    said: list[int] = []

    def logits(states: torch.Tensor) -> torch.Tensor:
        said.append(1)
        scores = torch.zeros(len(states), model.language_model.vocabulary_size)
        scores[:, tokens[(len(said) - 1) % len(tokens)]] = 50.0
        return scores

    monkeypatch.setattr(model.language_model, "logits", logits)


def test_an_answer_ends_at_the_end_token_which_is_not_of_its_text(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(parts)
    paris = model.language_model.ids(" paris")
    always(model, monkeypatch, *paris, model.end_id)
    answer = model.generate((Text("where"),))
    assert (answer.text, answer.finish_reason) == ("paris", "end")
    assert answer.token_ids == (*paris, model.end_id)
    assert answer.log_probabilities == pytest.approx([0.0] * len(answer.token_ids), abs=1e-6)


def test_a_planted_loop_ends_the_answer_as_repetition(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(parts)
    always(model, monkeypatch, *model.language_model.ids(" house on"))
    answer = model.generate((Text("where"),), max_new_tokens=200)
    assert answer.finish_reason == "repetition"
    assert len(answer.token_ids) < 40
    assert answer.text == "house on"  # one turn is enough to read


def test_an_answer_stops_at_its_budget_and_says_so(parts: Path) -> None:
    model = build_model(parts)
    answer = model.generate((Text("where"),), max_new_tokens=1)
    assert (len(answer.token_ids), answer.finish_reason) == (1, "length")


def test_a_loop_is_many_tokens_of_one_run_and_not_a_digit_string_said_thrice() -> None:
    assert is_looping([5] * 24)
    assert not is_looping([5] * 23)
    assert is_looping([9, 9, 9, *[1, 2, 3] * 8])
    assert not is_looping([1, 2, 3] * 7)
    assert is_looping(list(range(10)) * 3)
    assert not is_looping(list(range(10)) * 2)
    assert not is_looping([4, 4, 4, 4, 7, 7, 7])
    assert not is_looping([])


def test_lists_give_lists_in_order_and_one_gives_one(parts: Path) -> None:
    model = build_model(parts)
    prompts = [(Text("where is"), noise(3_000, seed)) for seed in range(3)]
    answers = model.generate(prompts, max_new_tokens=5)
    assert answers == [model.generate(prompt, max_new_tokens=5) for prompt in prompts] or [
        answer.token_ids for answer in answers
    ] == [model.generate(prompt, max_new_tokens=5).token_ids for prompt in prompts]
    assert model.generate([]) == []
    assert transcribe(model, []) == []


def test_prompts_too_long_for_the_positions_are_refused_with_the_numbers(parts: Path) -> None:
    model = build_model(parts)
    long = (Text("x" * 600),)
    with pytest.raises(PromptError, match="the language model has 512 positions"):
        generate(model, [long])
    with pytest.raises(PromptError, match="500 for the answer"):
        generate(model, [(Text("x" * 20),)], max_new_tokens=500)
    with pytest.raises(PromptError, match="512 positions"):
        score_candidates(model, (Text("x" * 500),), ["y" * 30])
    assert generate(model, [(Text("x" * 480),)])[0].finish_reason in ("length", "end", "repetition")


def test_text_may_stand_in_every_slot(parts: Path) -> None:
    model = build_model(parts)
    assert model.generate((Text("heard:"), SlotText("where is mira"), Text("\n>")), max_new_tokens=3).token_ids


def test_candidates_are_scored_in_order_and_none_give_none(parts: Path) -> None:
    model = build_model(parts)
    prompt = (Text("heard:"), noise(4_000), Text("\n>"))
    scores = model.score_candidates(prompt, ["paris", "rome", "paris"])
    assert scores[0] == pytest.approx(scores[2], abs=1e-5)
    assert scores[0] != scores[1]
    assert model.score_candidates(prompt, []) == []
    assert model.score_candidates(prompt, iter(["paris", "rome"])) == pytest.approx(scores[:2], abs=1e-5)


def test_use_in_the_middle_of_training_goes_on_in_training_mode(parts: Path) -> None:
    model = build_model(parts).train()
    first = model.generate((noise(8_000),), max_new_tokens=4)
    assert model.training and model.encoder.training
    assert not first.log_probabilities == ()
    assert model.generate((noise(8_000),), max_new_tokens=4) == first  # no dropout, no SpecAugment
    model.eval()


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


def test_a_clip_too_long_to_be_heard_at_once_is_refused_before_it_is_heard(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(parts)
    hearing = Hearing(model)
    hour = Audio(np.zeros(3600 * 16_000, np.float32), "hour.wav")
    with monkeypatch.context() as unheard:
        unheard.setattr(model.encoder, "forward", None)
        with pytest.raises(AudioError, match="3600 s, at most 300 s are heard at once in a prompt"):
            generate(model, [(Text("where"), hour)], hearing=hearing)
    assert generate(model, [(Text("where"), noise(6_000))], hearing=hearing)  # the next one is heard


def test_counts_below_one_are_refused_with_the_value(parts: Path) -> None:
    model, prompt = build_model(parts), (Text("where"), noise(6_000))
    with pytest.raises(PromptError, match="max_new_tokens must be 1 or more, found 0"):
        model.generate(prompt, max_new_tokens=0)
    for batch_size in (0, -1):
        with pytest.raises(PromptError, match=f"batch_size must be 1 or more, found {batch_size}"):
            model.generate([prompt], batch_size=batch_size)


def test_numbers_that_are_not_finite_are_an_error_and_no_answer(parts: Path, tmp_path: Path) -> None:
    model = build_model(tmp_path)
    with torch.no_grad():
        model.language_model.network.get_input_embeddings().weight[9:] = 1e38
    with pytest.raises(ModelError, match=r"computes torch\.float32 numbers that are not finite"):
        model.generate((Text("where"), noise(6_000)))


def test_samples_in_any_order_of_memory_are_heard_the_same(parts: Path) -> None:
    model, audio = build_model(parts), noise(6_000)
    backwards = Audio(np.ascontiguousarray(audio.samples[::-1])[::-1])
    assert backwards.samples.strides == (-4,)
    assert torch.equal(model.prefixes([backwards])[0], model.prefixes([audio])[0])


def test_what_is_no_audio_and_what_is_no_prompt_is_refused_by_name(parts: Path) -> None:
    model = build_model(parts)
    with pytest.raises(AudioError, match=r"found str 'clip\.wav'; read_audio makes one"):
        model.transcribe("clip.wav")  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="found ndarray"):
        model.transcribe(np.zeros(16_000, np.float32))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="found str"):
        model.transcribe(["clip.wav"])  # type: ignore[list-item]
    with pytest.raises(PromptError, match="a prompt is a tuple of pieces, found Text"):
        model.generate([Text("where"), noise(4_000)])  # type: ignore[list-item]
    with pytest.raises(PromptError, match="several are a list; found Text"):
        model.generate(Text("where"))  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="found the one text 'paris': put it in a list"):
        model.score_candidates((Text("where"),), "paris")
    with pytest.raises(PromptError, match="a candidate is a text, found int 1"):
        model.score_candidates((Text("where"),), ["paris", 1])  # type: ignore[list-item]
    with pytest.raises(PromptError, match="found Text"):
        model.score_candidates(Text("where"), ["yes"])  # type: ignore[arg-type]
