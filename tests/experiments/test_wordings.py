"""Other wordings of instructions: many, made of what is known, none that is kept for the test."""

from __future__ import annotations

import random
from types import ModuleType

import pytest

from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.experiments import wordings
from iclal.experiments.tokenizer import world_tokenizer
from iclal.experiments.wordings import jumbled, reworded

ASKED = {transcript: None, questions: None, summary: None, pattern: None, labels: "colour"}


@pytest.mark.parametrize("task", ASKED)
def test_reworded_instructions_are_many_and_hold_none_of_the_tests(task: ModuleType) -> None:
    rng = random.Random(0)
    made = {reworded(rng, task, ASKED[task]) for _ in range(3000)}
    known, held_out = (
        {w.format(attribute="colour") for w in own} for own in (task.INSTRUCTIONS, task.HELD_OUT_INSTRUCTIONS)
    )
    assert len(made) > 400 and not made <= known
    assert not any(kept in wording for wording in made for kept in held_out)


@pytest.mark.parametrize("attribute", voice.CANDIDATES)
def test_a_voice_is_asked_about_by_its_values_or_what_they_tell(attribute: str) -> None:
    rng = random.Random(0)
    made = {reworded(rng, voice, attribute) for _ in range(3000)}
    assert len(made) > 60
    assert not any(kept in wording for wording in made for kept in voice.HELD_OUT_INSTRUCTIONS[attribute])
    with_values = [wording for wording in made if all(value in wording for value in voice.CANDIDATES[attribute])]
    assert len(made) / 2 < len(with_values) < len(made)


def test_labels_are_asked_for_by_their_attribute() -> None:
    rng = random.Random(0)
    made = {reworded(rng, labels, "colour") for _ in range(500)}
    assert all("colour" in wording.split() for wording in made)


@pytest.mark.parametrize(
    ("task", "attribute", "made", "held_out"),
    [
        (transcript, None, "write the exact words", ("write the exact words",)),
        (labels, "colour", "the code for the colour", ("the code for the {attribute}",)),
        (voice, "pace", "is it said", {"pace": ("is it said",)}),
    ],
)
def test_a_wording_kept_for_the_test_is_not_made_though_it_could_be(
    task: ModuleType, attribute: str | None, made: str, held_out: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> list[str]:
        rng = random.Random(0)
        return [reworded(rng, task, attribute) for _ in range(1000)]

    assert any(made in wording for wording in drawn())
    monkeypatch.setattr(task, "HELD_OUT_INSTRUCTIONS", held_out)
    assert not any(made in wording for wording in drawn())


@pytest.mark.parametrize(("task", "attribute"), [*ASKED.items(), *((voice, name) for name in voice.CANDIDATES)])
def test_other_wordings_are_of_words_that_the_tokenizer_has(task: ModuleType, attribute: str | None) -> None:
    """Others would be spelt in syllables, as names are; those of known instructions are, where they look like names."""
    tokenizer, rng = world_tokenizer(), random.Random(0)
    known = {word for instruction in (*transcript.INSTRUCTIONS, *pattern.INSTRUCTIONS) for word in instruction.split()}
    for wording in {reworded(rng, task, attribute) for _ in range(1500)}:
        first, *others = wording.split()
        for word in (first, *(f" {word}" for word in others)):
            assert word.strip() in known or len(tokenizer.encode(word, add_special_tokens=False)) == 1, wording


@pytest.mark.parametrize("task", [transcript, questions, summary, pattern])
def test_a_mixed_instruction_begins_and_ends_as_known_ones_do(task: ModuleType) -> None:
    rng = random.Random(0)
    for wording in {wordings._mixed(rng, task) for _ in range(500)}:
        said = wording.split()
        assert len(said) >= 4
        cuts = [(" ".join(said[:i]), " ".join(said[i:])) for i in range(1, len(said) + 1)]
        assert any(
            any(known.startswith(begun) for known in task.INSTRUCTIONS)
            and any(known.endswith(ended) for known in task.INSTRUCTIONS)
            for begun, ended in cuts
        ), wording


@pytest.mark.parametrize("task", ASKED)
def test_every_written_wording_is_asked_and_none_is_kept_for_the_test(task: ModuleType) -> None:
    rng = random.Random(0)
    written = {w.format(attribute="colour") for w in wordings._written()[task.__name__.rpartition(".")[2]]}
    assert len(written) > 50
    assert written <= {reworded(rng, task, ASKED[task]) for _ in range(8000)}


def test_jumbled_words_are_those_of_instructions_and_the_first_begins_one() -> None:
    rng = random.Random(0)
    known = [w.format(attribute="day") for task in ASKED for w in task.INSTRUCTIONS]
    made = [jumbled(rng, "day") for _ in range(500)]
    assert len(set(made)) > 450
    assert {word for wording in made for word in wording.split()} <= {word for w in known for word in w.split()}
    assert {wording.split()[0] for wording in made} <= {w.split()[0] for w in known}
    assert not any(gap in wording for wording in (jumbled(rng) for _ in range(300)) for gap in ("None", "{"))
