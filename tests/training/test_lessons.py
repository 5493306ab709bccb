"""Lessons: prompts over all tasks that the utterances' fields allow, a function of the seed."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest

from iclal.data.manifest import Utterance
from iclal.data.prompt import Clip, Example, Template, Text
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, voices
from iclal.errors import DataError
from iclal.training.lessons import draw_lessons
from iclal.training.recipe import TeacherSettings


def pool(count: int = 300) -> list[Utterance]:
    rng = random.Random(0)
    told = [sentences.passage(rng, f"p{i}", "ears", sentences.Taste((1, 2))) for i in range(count)]
    noted = [
        voices.with_note(u, rng.choice(("man", "woman")), rng.choice(("slow", "fast")), rng.choice(("quiet", "noisy")))
        for u in told
    ]
    return [dataclasses.replace(u, duration_seconds=3.0) for u in noted]


POOL = pool()


def drawn(utterances: list[Utterance] = POOL, seed: int = 0, max_seconds: float = 60.0, **settings: object):
    teacher = TeacherSettings.build({"examples": 60} | settings)
    return draw_lessons(utterances, teacher, Template(), seed, max_seconds)


def instruction(example: Example) -> str:
    return "".join(piece.text for piece in example.prompt if isinstance(piece, Text))


def test_lessons_are_a_function_of_the_seed() -> None:
    assert drawn() == drawn() != drawn(seed=1)
    assert [example.id for example in drawn()] == [f"lesson-{i}" for i in range(60)]


def test_fewer_lessons_are_the_first_of_more() -> None:
    assert drawn(examples=20) == drawn()[:20]


def test_no_lesson_demonstrates_its_own_query() -> None:
    for example in drawn(shots=[1, 2, 4]):
        clips = [piece.utterance.id for piece in example.prompt if isinstance(piece, Clip)]
        assert len(set(clips)) == len(clips)
        assert tuple(clips[:-1]) == example.demonstration_ids


def test_every_task_and_shot_comes_and_patterns_and_labels_are_shown() -> None:
    lessons = drawn(examples=400)
    attributes = (*labels.ATTRIBUTES, *voice.CANDIDATES)
    wordings = {
        "transcript": transcript.INSTRUCTIONS,
        "questions": questions.INSTRUCTIONS,
        "summary": summary.INSTRUCTIONS,
        "pattern": pattern.INSTRUCTIONS,
        "labels": tuple(w.format(attribute=a) for w in labels.INSTRUCTIONS for a in attributes),
        "voice": tuple(w for asked in voice.INSTRUCTIONS.values() for w in asked),
    }  # fmt: skip
    found: Counter[str] = Counter()
    for example in lessons:
        (task,) = (name for name, known in wordings.items() if any(f"{w}\n" in instruction(example) for w in known))
        found[task] += 1
        if task == "pattern":
            assert len(example.demonstration_ids) >= 1
        if task == "labels":
            assert len(example.demonstration_ids) >= 2 and example.target in names.name_list(40, "label", seed=1)
    assert set(found) == set(wordings) and min(found.values()) > 20
    assert {len(example.demonstration_ids) for example in lessons} == {0, 1, 2}


def test_tasks_without_fields_are_left_out() -> None:
    bare = [Utterance(f"u{i}", text=f"text {i}.", duration_seconds=1.0) for i in range(20)]
    assert {e.target for e in drawn(bare)} <= {u.text for u in bare}
    with pytest.raises(DataError, match=r"none of the fields that the tasks \('summary',\) need"):
        drawn(bare, tasks=["summary"])
    with pytest.raises(DataError, match="no task singing; known: transcript, questions"):
        drawn(tasks=["singing"])


def test_clips_of_a_lesson_last_no_longer_than_allowed() -> None:
    for example in drawn(max_seconds=7.0, shots=[0, 1, 2]):
        assert 3.0 * (1 + len(example.demonstration_ids)) <= 7.0
    mixed = [dataclasses.replace(u, duration_seconds=6.0 if i % 5 else 1.0) for i, u in enumerate(POOL)]
    seconds = {utterance.id: utterance.duration_seconds or 0.0 for utterance in mixed}
    for example in drawn(mixed, max_seconds=13.0, shots=[0, 1, 2]):
        lengths = [seconds[piece.utterance.id] for piece in example.prompt if isinstance(piece, Clip)]
        assert len(lengths) * max(lengths) <= 13.0  # heard side by side, padded to the longest
    with pytest.raises(DataError, match=r"at most 2 s of audio can be drawn; raise batch_seconds"):
        drawn(max_seconds=2.0)
