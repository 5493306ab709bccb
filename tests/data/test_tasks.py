"""Tasks: utterances to episodes, each solved by the fields it needs."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from iclal.data.demonstrations import draw
from iclal.data.manifest import Question, Utterance
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, voices, words
from iclal.errors import DataError

FULL = Utterance(
    "a",
    text="on monday mira found a red lamp in oslo.",
    questions=(Question("q1", "who was in oslo", ("mira",)), Question("q2", "which colour is the lamp", ("red",))),
    summary="mira lamp monday",
    facts={"who": "mira", "day": "monday", "colour": "red", "thing": "lamp", "place": "oslo", "speaker": "woman"},
)
POOL = [sentences.passage(random.Random(i), f"p{i}", "ears") for i in range(400)]
TASKS = (transcript, questions, summary, pattern)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__.rpartition(".")[2])
def test_an_utterance_without_the_fields_is_not_solved(task: object) -> None:
    episode = task.episode(random.Random(0))  # type: ignore[attr-defined]
    assert episode.solve(Utterance("bare"), random.Random(0)) is None


def test_answers_are_the_fields_of_a_worked_example() -> None:
    rng = random.Random(0)
    item = transcript.episode(rng).solve(FULL, rng)
    assert item is not None and (item.answer, item.question) == (FULL.text, None)
    item = summary.episode(rng).solve(FULL, rng)
    assert item is not None and item.answer == "mira lamp monday"
    asked = {(item.question, item.answer) for _ in range(30) if (item := questions.episode(rng).solve(FULL, rng))}
    assert asked == {("who was in oslo", "mira"), ("which colour is the lamp", "red")}
    item = pattern.episode(rng, attributes=("day", "who")).solve(FULL, rng)
    assert item is not None and (item.answer, item.question) == ("monday mira", None)
    item = voice.episode(rng, "speaker").solve(FULL, rng)
    assert item is not None and item.answer == "woman"
    assert voice.episode(rng, "pace").solve(FULL, rng) is None


def test_a_clip_without_speech_has_the_empty_transcript() -> None:
    item = transcript.episode(random.Random(0)).solve(Utterance("silence", text=""), random.Random(0))
    assert item is not None and item.answer == ""


@pytest.mark.parametrize("task", [*TASKS, labels])
def test_instructions_of_training_and_test_differ(task: object) -> None:
    known, held_out = task.INSTRUCTIONS, task.HELD_OUT_INSTRUCTIONS  # type: ignore[attr-defined]
    assert len(known) >= 4 and len(held_out) >= 2 and not set(known) & set(held_out)


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_has_one_of_the_instructions_it_is_given(task: object) -> None:
    rng = random.Random(0)
    drawn = {task.episode(rng).instruction for _ in range(100)}  # type: ignore[attr-defined]
    assert drawn == set(task.INSTRUCTIONS)  # type: ignore[attr-defined]
    assert task.episode(rng, ("say it",)).instruction == "say it"  # type: ignore[attr-defined]


# --- pattern


def possible_patterns(utterance: Utterance, answer: str) -> list[tuple[str, ...]]:
    """All patterns of one or two attributes that give this answer for this clip."""
    known = pattern.attributes_of(utterance)
    choices = [*itertools.permutations(known, 1), *itertools.permutations(known, 2)]
    return [chosen for chosen in choices if " ".join(known[attribute] for attribute in chosen) == answer]


def test_one_demonstration_identifies_the_pattern() -> None:
    rng = random.Random(3)
    patterns = []
    for _ in range(300):
        episode = pattern.episode(rng)
        (item,) = draw(episode, POOL, 1, rng)
        (found,) = possible_patterns(item.clip, item.answer)
        assert pattern.episode(rng, attributes=found).solve(item.clip, rng) == item
        patterns.append(found)
    assert {len(found) for found in patterns} == {1, 2} and len(set(patterns)) > 25


@pytest.mark.parametrize("shots", [1, 2, 8])
def test_demonstrations_that_mislead_all_follow_one_other_pattern(shots: int) -> None:
    rng = random.Random(5)
    misled = 0
    for _ in range(40):
        episode = pattern.episode(rng)
        items = draw(episode, POOL, shots, rng)
        assert episode.mislead is not None
        answers = episode.mislead([item.clip for item in items], rng)
        if answers is None:
            continue
        misled += 1
        right = [{*possible_patterns(item.clip, item.answer)} for item in items]
        wrong = [{*possible_patterns(item.clip, answer)} for item, answer in zip(items, answers, strict=True)]
        assert len(set.intersection(*wrong)) == 1 and not set.intersection(*wrong) & set.intersection(*right)
    assert misled > 25


def test_the_clip_alone_does_not_tell_the_pattern() -> None:
    rng = random.Random(4)
    for _ in range(100):
        (item,) = draw(pattern.episode(rng), POOL, 1, rng)
        assert len(pattern.attributes_of(item.clip)) >= 4


def test_values_of_different_attributes_are_different_words() -> None:
    kinds = [words.PLACES, words.COLOURS, words.THINGS, tuple(map(words.plural, words.THINGS)), words.DAYS]
    every = [value for values in (*kinds, words.NUMBERS) for value in values]
    assert len(set(every)) == len(every)


def test_many_things_count_as_the_thing() -> None:
    facts = {"who": "mira", "things": "lamps", "number": "two", "colour": "red"}
    assert pattern.attributes_of(Utterance("a", facts=facts))["thing"] == "lamps"
    assert "thing" not in pattern.attributes_of(Utterance("a", facts={"who": "mira"}))


# --- labels


@pytest.mark.parametrize("ways", [2, 3, 4])
def test_labels_are_bound_one_to_one_to_values_of_one_attribute(ways: int) -> None:
    rng = random.Random(ways)
    label_words = names.name_list(20, "label")
    episode = labels.episode(rng, label_words, {"colour": words.COLOURS, "day": words.DAYS[:1]}, ways)
    assert "colour" in episode.instruction
    assert episode.group is not None and episode.candidates == episode.groups and len(set(episode.groups)) == ways
    bound = {
        value: label for value in words.COLOURS if (label := episode.group(Utterance("", facts={"colour": value})))
    }
    assert len(bound) == ways and set(bound.values()) == set(episode.groups) <= set(label_words)
    item = episode.solve(Utterance("a", facts={"colour": next(iter(bound))}), rng)
    assert item is not None and item.answer == next(iter(bound.values()))
    assert episode.solve(Utterance("a", facts={"day": "monday"}), rng) is None


def test_too_few_values_to_bind_are_refused_with_the_counts() -> None:
    with pytest.raises(DataError, match=r"task labels: no attribute has the 3 values .*colour 2, place 0"):
        labels.episode(random.Random(0), names.name_list(9, "label"), {"colour": ("red", "blue")}, 3)


def test_bindings_are_arbitrary() -> None:
    label_words = names.name_list(10, "label")
    drawn = Counter()
    for seed in range(200):
        rng = random.Random(seed)
        episode = labels.episode(rng, label_words, {"day": words.DAYS}, 2)
        assert episode.group is not None
        drawn[episode.group(Utterance("", facts={"day": "monday"}))] += 1
    assert len(drawn) == 11  # every label and none
    assert max(count for label, count in drawn.items() if label) < 20


# --- voice


@pytest.mark.parametrize("attribute", voice.CANDIDATES)
def test_voice_answers_are_candidates_and_words_of_the_note(attribute: str) -> None:
    episode = voice.episode(random.Random(0), attribute)
    assert episode.candidates == voice.CANDIDATES[attribute]
    assert set(episode.candidates) <= set(voices.NOTE_WORDS)
    assert all(value in episode.instruction.split() for value in episode.candidates)


def test_held_out_wordings_of_voice_are_others_and_a_limit_leaves_clips_out() -> None:
    for attribute, known in voice.INSTRUCTIONS.items():
        held_out = voice.HELD_OUT_INSTRUCTIONS[attribute]
        assert len(held_out) == 2 and not {*known} & {*held_out}
        episode = voice.episode(random.Random(0), attribute, voice.HELD_OUT_INSTRUCTIONS)
        assert episode.instruction in held_out
    adults = voice.episode(random.Random(0), "speaker", candidates=("man", "woman"))
    clips = [Utterance(value, facts={"speaker": value}) for value in ("man", "child", "woman")]
    solved = [adults.solve(clip, random.Random(0)) for clip in clips]
    assert [item and item.answer for item in solved] == ["man", None, "woman"]
    assert adults.candidates == ("man", "woman")


def test_bound_voice_gives_arbitrary_words_for_parts_of_the_note() -> None:
    rng = random.Random(0)
    episode = voice.bound_episode(rng, names.name_list(9, "label"), voice.CANDIDATES, "surroundings")
    assert episode.task == "voice" and len(episode.groups) == 2
    quiet = episode.solve(Utterance("a", facts={"surroundings": "quiet"}), rng)
    noisy = episode.solve(Utterance("b", facts={"surroundings": "noisy"}), rng)
    assert quiet and noisy and {quiet.answer, noisy.answer} == set(episode.groups)
