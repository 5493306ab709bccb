"""Law 2: without audio the model reads the tokenizer's own ids and gives Hugging Face's logits, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_builders import build_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from iclal.data.prompt import Text
from iclal.model.inference import generate
from iclal.model.language_model import LanguageModel
from iclal.model.layout import lay_out, tokenize

TEXTS = [
    "where is mira",
    "a",
    "heard: the blue house\nquestion: who?\n> tolo\n",
    "café 東京 🎧",
    "  spaces  \n\n tail ",
]


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_a_text_prompt_are_the_tokenizers_own(parts: Path, family: str, text: str) -> None:
    model = build_model(parts, family=family)
    tokenizer = AutoTokenizer.from_pretrained(parts / f"lm-{family}")
    half = len(text) // 2
    for prompt in [(Text(text),), (Text(text[:half]), Text(text[half:]))]:  # joined before they are tokenised
        layout = lay_out(tokenize(prompt, model.language_model), [])
        assert [token for token, _, _ in layout.rows] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("size", [1, 3])
def test_logits_are_bit_for_bit_those_of_the_bare_model(parts: Path, family: str, size: int) -> None:
    model = build_model(parts, family=family)
    bare = AutoModelForCausalLM.from_pretrained(parts / f"lm-{family}", dtype=torch.float32)
    ids = model.language_model.ids(" the blue house on monday")
    texts = [[1, *ids], [1, *ids[::-1]], [1, *sorted(ids)]][:size]
    layouts = [lay_out(tokenize((), model.language_model), [], row[1:]) for row in texts]
    with torch.no_grad():
        expected_BTV = bare(input_ids=torch.tensor(texts)).logits
        states = model.hidden(model.embed(layouts, []))
        ours_BTV = model.language_model.logits(torch.stack(states))
    assert torch.equal(ours_BTV, expected_BTV)


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_a_model_in_bfloat16_is_the_one_that_hugging_face_loads(parts: Path, family: str) -> None:
    ours = LanguageModel.load(parts / f"lm-{family}", dtype="bfloat16")
    bare = AutoModelForCausalLM.from_pretrained(parts / f"lm-{family}", dtype=torch.bfloat16)
    ids = torch.tensor([[1, *ours.ids(" the blue house on monday") * 4]])
    with torch.no_grad():
        assert torch.equal(ours.network(input_ids=ids).logits, bare(input_ids=ids).logits)
    kept = dict(ours.network.named_buffers())
    assert all(kept[name].dtype == buffer.dtype for name, buffer in bare.named_buffers())


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_greedy_answers_are_those_of_hugging_faces_generate(parts: Path, family: str) -> None:
    model = build_model(parts, family=family)
    bare = AutoModelForCausalLM.from_pretrained(parts / f"lm-{family}", dtype=torch.float32)
    for text in TEXTS:
        ids = model.language_model.tokenizer(text, return_tensors="pt")["input_ids"]
        ends = [model.end_id, model.language_model.tokenizer.eos_token_id]
        expected = bare.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=ends, pad_token_id=0)
        answer = generate(model, [(Text(text),)], max_new_tokens=12)[0]
        assert list(answer.token_ids) == expected[0, ids.shape[1] :].tolist()
