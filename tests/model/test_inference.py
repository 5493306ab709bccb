from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import build_model, noise

from iclal.data.prompt import SlotText, Text
from iclal.errors import AudioError, ModelError, PromptError
from iclal.model.inference import generate, is_looping, score_candidates
from iclal.model.model import ICLAL
from iclal.model.transcribing import transcribe


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


def test_what_is_no_audio_and_what_is_no_prompt_is_refused_by_name(parts: Path) -> None:
    model = build_model(parts)
    with pytest.raises(AudioError, match=r"found str 'clip\.wav'; read_audio makes one"):
        model.transcribe("clip.wav")  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="found ndarray"):
        model.transcribe(np.zeros(16_000, np.float32))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="found str"):
        model.transcribe(["clip.wav"])  # type: ignore[list-item]
    with pytest.raises(AudioError, match="several recordings are transcribed in a list"):
        transcribe(model, noise(4_000))  # type: ignore[arg-type]
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
