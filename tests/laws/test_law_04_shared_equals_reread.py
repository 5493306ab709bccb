"""Law 4: with the demonstrations' cache shared, everything is as by full recomputation."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_builders import build_model, noise

from iclal.data.prompt import Prompt, Text
from iclal.model.hearing import Hearing
from iclal.model.inference import generate, score_candidates, score_targets
from iclal.model.layout import lay_out, shared_rows, tokenize

DEMONSTRATIONS = [noise(5_000 + 1_300 * number, number) for number in range(3)]
QUERIES = [noise(length, length) for length in (6_000, 12_345, 300, 9_000, 400)]


def few_shot_prompts() -> list[Prompt]:
    """Five queries behind the same three spoken demonstrations."""
    start: list = [Text("answer the question\n")]
    for number, audio in enumerate(DEMONSTRATIONS):
        start += [Text("heard:"), audio, Text("\n>"), Text(f" word{number}\n", is_answer=True)]
    return [(*start, Text("heard:"), query, Text("\n>")) for query in QUERIES]


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("padding", ["left", "right"])
def test_greedy_answers_with_a_shared_cache_are_those_of_recomputation(parts: Path, family: str, padding: str) -> None:
    model = build_model(parts, family=family)
    shared = generate(model, few_shot_prompts(), max_new_tokens=16, padding=padding)
    reread = generate(model, few_shot_prompts(), max_new_tokens=16, share=False)
    assert [answer.token_ids for answer in shared] == [answer.token_ids for answer in reread]
    for one, other in zip(shared, reread, strict=True):
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-5)


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_scores_with_a_shared_cache_are_those_of_recomputation(parts: Path, family: str) -> None:
    model = build_model(parts, family=family)
    targets = ["paris", "", "rome tolo", "a", "where is mira"]
    shared = score_targets(model, few_shot_prompts(), targets)
    reread = score_targets(model, few_shot_prompts(), targets, share=False)
    for one, other in zip(shared, reread, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_candidates_score_as_each_alone_also_over_several_batches(parts: Path, family: str) -> None:
    model = build_model(parts, family=family)
    prompt, candidates = few_shot_prompts()[0], ["paris", "", "rome tolo", "the blue house on monday", "paris"]
    alone = [sum(score_targets(model, [prompt], [candidate])[0]) for candidate in candidates]
    assert score_candidates(model, prompt, candidates) == pytest.approx(alone, abs=5e-5)  # sums of several tokens
    assert score_candidates(model, prompt, candidates, batch_size=2) == pytest.approx(alone, abs=5e-5)


def test_the_shared_part_holds_the_demonstrations_and_no_more(parts: Path) -> None:
    model = build_model(parts)
    hearing = Hearing(model)
    tokenized = [tokenize(prompt, model.language_model, hearing.number) for prompt in few_shot_prompts()]
    counts = hearing.hear()
    layouts = [lay_out(prompt, counts) for prompt in tokenized]
    spoken = sum(counts[: len(DEMONSTRATIONS)])
    shared = shared_rows(layouts)
    assert sum(1 for token, _, _ in layouts[0].rows[:shared] if token < 0) == spoken > 0
    assert shared_rows([layouts[0], layouts[0]]) == layouts[0].num_prompt_rows - 1


def test_a_clip_is_heard_once_over_prompts_and_calls(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(parts)
    heard: list[int] = []
    hear = model.hear
    monkeypatch.setattr(model, "hear", lambda audios, **options: heard.append(len(audios)) or hear(audios, **options))
    hearing = Hearing(model)
    first = generate(model, few_shot_prompts(), max_new_tokens=4, hearing=hearing)
    again = generate(model, few_shot_prompts(), max_new_tokens=4, hearing=hearing)
    assert sum(heard) == len(DEMONSTRATIONS) + len(QUERIES)
    assert first == again
