"""Law 5: training and use build the same rows, and the loss covers the target with its end token, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_builders import build_model, noise

from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, SlotText, Template, fill
from iclal.model.inference import generate, score_targets
from iclal.model.layout import Layout, lay_out, tokenize, tokenize_target
from iclal.model.model import ICLAL


class Letters:
    """A tokenizer of one id a character, its code point, with special token 1 in front."""

    prefix_ids = (1,)
    max_positions = None

    def ids(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def end_id(self, end: str) -> int:
        return ord(end)

    def encode(self, text: str, *, first: bool = False) -> tuple[list[int], list[int]]:
        return self.ids(text), [place + 1 for place in range(len(text))]


def layout_of(num_demonstrations: int, *, as_text: bool = False) -> Layout:
    """`ab?`, demonstrations with answers A, B, ..., a query with target Z; clip i is heard as i rows."""
    template = Template(clip_cue="h", question_cue="?", answer_cue=">", end="\n")
    utterances = [Utterance(str(number)) for number in range(num_demonstrations + 1)]
    items = [Item(utterance, chr(ord("A") + number)) for number, utterance in enumerate(utterances)]
    example = template.example("x", "i", items[:-1], Item(utterances[-1], "Z"))
    sounds = {utterance.id: noise(0) for utterance in utterances}
    filled = fill(example.prompt, lambda u: SlotText("t") if as_text else sounds[u.id])
    prompt = tokenize(filled, Letters())
    return lay_out(prompt, range(len(prompt.clips)), tokenize_target(example.target, template.end, Letters()))


def drawn(layout: Layout) -> str:
    """A layout as letters: `<` for the special token, a digit for a row of that clip, `/` for the end of a line."""
    letters = ["<" if token == 1 else chr(token) if token >= 0 else str(clip) for token, clip, _ in layout.rows]
    return "".join(letters).replace("\n", "/")


GOLDEN = [
    "<i/h/> Z/",
    "<i/h/> A/h1/> Z/",
    "<i/h/> A/h1/> B/h22/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> D/h4444/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> D/h4444/> E/h55555/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> D/h4444/> E/h55555/> F/h666666/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> D/h4444/> E/h55555/> F/h666666/> G/h7777777/> Z/",
    "<i/h/> A/h1/> B/h22/> C/h333/> D/h4444/> E/h55555/> F/h666666/> G/h7777777/> H/h88888888/> Z/",
]


@pytest.mark.parametrize("shots", range(9))
def test_rows_are_those_of_the_golden_table(shots: int) -> None:
    layout = layout_of(shots)
    assert drawn(layout) == GOLDEN[shots]
    heard = [(clip, row) for token, clip, row in layout.rows if token < 0]
    assert heard == [(clip, row) for clip in range(shots + 1) for row in range(clip)]


@pytest.mark.parametrize("shots", range(9))
def test_loss_covers_target_and_end_token_and_on_request_the_demonstrations_answers(shots: int) -> None:
    layout = layout_of(shots)
    line = drawn(layout)
    assert "".join(line[row] for row in layout.loss_rows()) == " Z/"
    expected = "".join(f" {chr(ord('A') + number)}/" for number in range(shots)) + " Z/"
    assert "".join(line[row] for row in layout.loss_rows(loss_on_demonstrations=True)) == expected


@pytest.mark.parametrize("shots", range(9))
def test_ids_outside_the_slots_are_equal_with_audio_and_with_text_in_them(shots: int) -> None:
    assert drawn(layout_of(shots, as_text=True)).replace(" t", "") == "".join(
        letter for letter in GOLDEN[shots] if not letter.isdigit()
    )


def spoken(shots: int) -> tuple[list[Audio], tuple]:
    """A few-shot prompt with a real template, filled with sounds."""
    utterances = [Utterance(str(number)) for number in range(shots + 1)]
    items = [Item(utterance, "rome tolo", "where is mira") for utterance in utterances]
    example = Template().example("x", "answer the question", items[:-1], items[-1])
    audios = [noise(3_000 + 700 * number, number) for number in range(shots + 1)]
    return audios, fill(example.prompt, lambda utterance: audios[int(utterance.id)])


def training_log_probs(model: ICLAL, audios: list[Audio], prompt: tuple, target: str) -> list[float]:
    """What training computes: prefixes with gradients, layouts, target rows."""
    tokenized = tokenize(prompt, model.language_model)
    assert list(tokenized.clips) == audios
    prefixes = model.prefixes(audios)
    ids = tokenize_target(target, model.settings.template.end, model.language_model)
    layout = lay_out(tokenized, [len(prefix) for prefix in prefixes], ids)
    rows = model.target_logits([layout], prefixes)
    return (-torch.nn.functional.cross_entropy(rows.logits_NV, rows.token_ids_N, reduction="none")).tolist()


@pytest.mark.parametrize("shots", [0, 1, 4, 8])
@pytest.mark.parametrize("family", ["opt", "llama", "sentencepiece"])
def test_training_and_scoring_and_generation_see_the_same_rows(parts: Path, family: str, shots: int) -> None:
    model = build_model(parts, family=family)
    audios, prompt = spoken(shots)
    trained = training_log_probs(model, audios, prompt, "rome tolo")
    assert score_targets(model, [prompt], ["rome tolo"])[0] == pytest.approx(trained, abs=1e-5)
    first = generate(model, [prompt], max_new_tokens=1)[0]
    logits_V = torch.stack([p for p in _first_logits(model, audios, prompt)])
    assert first.token_ids[0] == int(logits_V.argmax())


def _first_logits(model: ICLAL, audios: list[Audio], prompt: tuple) -> torch.Tensor:
    """Scores of the answer's first token, as training computes them."""
    prefixes = model.prefixes(audios)
    layout = lay_out(tokenize(prompt, model.language_model), [len(p) for p in prefixes], (model.end_id,))
    return model.target_logits([layout], prefixes).logits_NV[0]


@pytest.mark.parametrize("family", ["opt", "llama", "sentencepiece"])
def test_answer_tokens_of_a_real_tokenizer_are_the_answers_ids(parts: Path, family: str) -> None:
    model = build_model(parts, family=family)
    language_model = model.language_model
    _, prompt = spoken(3)
    tokenized = tokenize(prompt, language_model)
    layout = lay_out(tokenized, [0] * 4, tokenize_target("rome tolo", "\n", language_model))
    answer = [*language_model.ids(" rome tolo"), model.end_id]
    assert [layout.rows[row][0] for row in layout.loss_rows(loss_on_demonstrations=True)] == answer * 4
    assert [layout.rows[row][0] for row in layout.loss_rows()] == answer
