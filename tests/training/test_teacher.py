"""The frozen model's own answers: what it says to the transcripts, with its distribution; kept by digest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_builders import build_model

from iclal.data.manifest import Utterance
from iclal.data.prompt import Example, Item, Template, fill, read_transcript
from iclal.errors import PromptError
from iclal.model.inference import generate
from iclal.model.layout import lay_out, tokenize
from iclal.model.model import ICLAL
from iclal.training.teacher import LIKELY_TOKENS, TeacherAnswer, teach

TEXTS = ("mira paris", "rome tolo blue", "the red house on monday", "", "yes one two three")


def lessons(texts: tuple[str, ...] = TEXTS) -> list[Example]:
    clips = [Utterance(f"u{i}", text=text) for i, text in enumerate(texts)]
    return [
        Template().example(f"l{i}", "answer", [Item(clips[i - 1], "rome")] * (i % 2), Item(clip, "", "where is mira"))
        for i, clip in enumerate(clips)
    ]


def same(one: list[TeacherAnswer], other: list[TeacherAnswer]) -> bool:
    return all(
        a.token_ids == b.token_ids
        and torch.equal(a.likely_ids, b.likely_ids)
        and torch.equal(a.likely_probs, b.likely_probs)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def model(parts: Path) -> ICLAL:
    return build_model(parts)


def test_answers_are_the_greedy_answers_to_the_transcripts(model: ICLAL, tmp_path: Path) -> None:
    answers = teach(model, lessons(), folder=tmp_path)
    prompts = [fill(example.prompt, read_transcript) for example in lessons()]
    assert [a.token_ids for a in answers] == [a.token_ids for a in generate(model, prompts, batch_size=16)]


def test_distributions_are_those_of_the_bare_model_over_its_likeliest_tokens(model: ICLAL, tmp_path: Path) -> None:
    for example, answer in zip(lessons(), teach(model, lessons(), folder=tmp_path), strict=True):
        prompt = tokenize(fill(example.prompt, read_transcript), model.language_model)
        ids = [token for token, _, _ in lay_out(prompt, [], answer.token_ids).rows]
        with torch.no_grad():
            logits = model.language_model.network(input_ids=torch.tensor([ids])).logits[0]
        probs = logits[len(ids) - len(answer.token_ids) - 1 : -1].softmax(-1)
        assert answer.likely_ids.shape == (len(answer.token_ids), LIKELY_TOKENS)
        assert answer.likely_ids[:, 0].tolist() == list(answer.token_ids)
        kept = probs.gather(1, answer.likely_ids)
        torch.testing.assert_close(answer.likely_probs, kept / kept.sum(1, keepdim=True), atol=1e-5, rtol=1e-4)
        assert torch.equal(answer.likely_probs.sum(1).round(decimals=5), torch.ones(len(kept)))


def test_kept_answers_are_the_fresh_ones_and_are_not_made_again(
    model: ICLAL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = teach(model, lessons(), folder=tmp_path)
    (kept,) = tmp_path.glob("*.safetensors")
    stamp = kept.stat().st_mtime_ns
    assert same(teach(model, lessons(), folder=tmp_path), fresh) and kept.stat().st_mtime_ns == stamp
    assert same(teach(model, lessons(), folder=tmp_path / "other"), fresh)


def test_another_model_or_prompt_has_answers_of_its_own_and_other_ears_have_not(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    teach(model, lessons(), folder=tmp_path)
    teach(build_model(parts, seed=7), lessons(), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # the same language model under other ears
    teach(model, lessons(("blue", *TEXTS[1:])), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with torch.no_grad():
        model.language_model.embedding_VD[5, 0] += 1e-3
    teach(model, lessons(), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_answers_that_cannot_be_kept_are_used_and_told(
    model: ICLAL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert same(teach(model, lessons(), folder=tmp_path / "file"), teach(model, lessons(), folder=tmp_path))
    assert "are used, but not kept for another run: cannot write" in caplog.text


def test_a_broken_cache_file_is_made_anew(model: ICLAL, tmp_path: Path) -> None:
    fresh = teach(model, lessons(), folder=tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert same(teach(model, lessons(), folder=tmp_path), fresh)
    assert kept.read_bytes() == whole


def test_a_clip_without_text_cannot_be_taught(model: ICLAL, tmp_path: Path) -> None:
    example = Template().example("x", "answer", [], Item(Utterance("mute"), ""))
    with pytest.raises(PromptError, match="utterance mute has no text"):
        teach(model, [example], folder=tmp_path)
