"""The world's tokenizer: a word is a token, a name its syllables, bytes are never lost."""

from __future__ import annotations

import random

import pytest

from iclal.data.prompt import Template
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, voices, words
from iclal.experiments.tokenizer import apply_merges, build_merges, build_tokenizer, kinds_of_words, world_tokenizer

TOKENIZER = world_tokenizer()
SYLLABLES = ("mi", "ra", "to", "lo")


def tokens(text: str) -> list[str]:
    return TOKENIZER.convert_ids_to_tokens(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def test_merges_of_a_worked_example() -> None:
    merges = build_merges([" at", " mira"], SYLLABLES)
    assert merges == [
        ("m", "i"), ("r", "a"), ("t", "o"), ("l", "o"), ("Ġ", "mi"), ("Ġ", "ra"), ("Ġ", "to"), ("Ġ", "lo"),
        ("Ġ", "a"), ("Ġa", "t"),
    ]  # fmt: skip


def test_a_word_of_syllables_is_merged_on_request_alone() -> None:
    assert ("Ġmi", "ra") not in build_merges([" mira"], SYLLABLES)
    assert build_merges([" mira"], SYLLABLES, ["mira"])[-1] == ("Ġmi", "ra")


def test_words_merge_by_rank() -> None:
    ranks = {("a", "b"): 1, ("b", "c"): 0, ("a", "bc"): 2}
    assert apply_merges(list("abcab"), ranks) == ["abc", "ab"]
    assert apply_merges(["x"], ranks) == ["x"]


def test_every_word_behind_a_blank_is_one_token() -> None:
    for word in (*sentences.lexicon(), *voices.NOTE_WORDS, *labels.ATTRIBUTES, "yes", "no", "[", "]"):
        assert tokens(" " + word) == ["Ġ" + word]


def test_question_words_are_one_token_unless_spelt_as_a_name() -> None:
    several = [word for word in sentences.question_words() if len(tokens(" " + word)) > 1]
    assert several == [word for word in sentences.question_words() if names.syllables(word)]


def test_instructions_hold_a_token_a_word_unless_spelt_as_a_name() -> None:
    wordings = [w for task in (transcript, questions, summary, pattern) for w in task.INSTRUCTIONS]
    wordings += [w for task in (transcript, questions, summary, pattern) for w in task.HELD_OUT_INSTRUCTIONS]
    wordings += [w for asked in voice.INSTRUCTIONS.values() for w in asked]
    for wording in wordings:
        first, *others = (list(names.syllables(word) or [word]) for word in wording.split())
        assert tokens(wording) == [*first, *(part for head, *rest in others for part in ("Ġ" + head, *rest))], wording


@pytest.mark.parametrize("kind", ["name", "label"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_names_of_every_part_are_their_syllables(kind: str, part: str) -> None:
    for name in names.name_list(300, kind, part):
        first, *rest = names.syllables(name) or ()
        assert tokens(" " + name) == ["Ġ" + first, *rest]


def test_the_end_and_the_cues_are_whole_tokens_wherever_they_stand() -> None:
    found = tokens("say\nheard: mira lives\nquestion: who\n> mira.\n")
    lines = [["say"], ["heard", ":", "Ġmi", "ra", "Ġlives"], ["question", ":", "Ġwho"], [">", "Ġmi", "ra", "."]]
    assert found == [token for line in lines for token in (*line, "Ċ")]
    assert len(tokens(Template().end)) == 1


def test_one_start_token_stands_in_front_as_opts() -> None:
    assert TOKENIZER("a")["input_ids"][0] == TOKENIZER.bos_token_id == TOKENIZER.eos_token_id == 2
    assert TOKENIZER.pad_token_id == 1
    assert len(TOKENIZER("a")["input_ids"]) == len(tokens("a")) + 1


def test_any_text_comes_back_unchanged() -> None:
    rng = random.Random(0)
    for text in ("Grüße, 서울!\t\x00 ", "ZERO five9", *(chr(rng.randrange(32, 0x2FFF)) for _ in range(100))):
        ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
        assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


def test_the_same_words_give_the_same_ids() -> None:
    assert world_tokenizer().get_vocab() == TOKENIZER.get_vocab()
    small = build_tokenizer([" at", "at"], SYLLABLES)
    assert len(small) < len(TOKENIZER) < 1500


def test_kinds_of_words_are_single_tokens_and_names_two_kinds() -> None:
    kinds = kinds_of_words(TOKENIZER)
    read = [[TOKENIZER.decode([id]).strip() for id in kind] for kind in kinds]
    assert any(set(words.COLOURS) <= set(kind) for kind in read)
    assert sum(set(names.SYLLABLES) <= set(kind) for kind in read) == 2  # first in a word, and further on
