"""Lessons: the prompts that the teacher answers, drawn from the training utterances over all tasks they allow."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from iclal.data.demonstrations import draw, query, seeded
from iclal.data.manifest import Utterance
from iclal.data.prompt import Example, Template
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.data.world.names import name_list
from iclal.errors import DataError
from iclal.training.recipe import TeacherSettings

_LEAST_EXAMPLES = 6  # of a value, before a label may be bound to it
_MOST_REDRAWS = 20


def draw_lessons(
    utterances: Sequence[Utterance], settings: TeacherSettings, template: Template, seed: int, max_seconds: float
) -> list[Example]:
    """`settings.examples` examples; a function of the arguments alone.

    The clips of one last `max_seconds` at most together, each counted as long as the longest: so they are heard.
    Tasks whose fields no utterance has are left out.

    Raises:
        DataError: no task is left.
    """
    episodes = _episodes(utterances, settings)
    seconds = {utterance.id: utterance.duration_seconds or 0.0 for utterance in utterances}
    examples: list[Example] = []
    redrawn = 0
    while len(examples) < settings.examples:
        number = len(examples)
        rng = seeded("lesson", seed, number, redrawn)
        episode, shots = rng.choice(episodes)(rng), rng.choice(settings.shots)
        if episode.groups or episode.task == "pattern":
            shots = max(shots, 1) if episode.task == "pattern" else max(shots, len(episode.groups))
        last = query(episode, utterances, rng)
        items = draw(episode, utterances, shots, rng, exclude={last.clip.id})
        lengths = [seconds[item.clip.id] for item in [*items, last]]
        if len(lengths) * max(lengths) > max_seconds:
            redrawn += 1
            if redrawn > _MOST_REDRAWS * settings.examples:
                raise DataError(
                    f"no prompts of at most {max_seconds:g} s of audio can be drawn; raise batch_seconds, "
                    f"or lower teacher.shots ({settings.shots})"
                )
            continue
        first = rng.random() < 0.75
        examples.append(template.example(f"lesson-{number}", episode.instruction, items, last, instruction_first=first))
    return examples


def _episodes(utterances: Sequence[Utterance], settings: TeacherSettings) -> list[Callable[[random.Random], Episode]]:
    """One maker of episodes for each task that the utterances' fields allow."""
    label_words = name_list(40, "label", seed=1)
    values = {name: _common_values(utterances, name) for name in (*labels.ATTRIBUTES, *voice.CANDIDATES)}
    bindable = [name for name in labels.ATTRIBUTES if len(values[name]) >= 2]
    voiced = [name for name, known in voice.CANDIDATES.items() if len({*values[name]} & {*known}) >= 2]
    enough = max(settings.shots) + 1
    makers: dict[str, tuple[bool, Callable[[random.Random], Episode]]] = {
        "transcript": (sum(u.text is not None for u in utterances) >= enough, transcript.episode),
        "questions": (sum(bool(u.questions) for u in utterances) >= enough, questions.episode),
        "summary": (sum(bool(u.summary) for u in utterances) >= enough, summary.episode),
        "pattern": (_can_show_patterns(utterances, 2 * enough), pattern.episode),
        "labels": (bool(bindable), lambda rng: labels.episode(rng, label_words, values, 2, attributes=bindable)),
        "voice": (bool(voiced), lambda rng: _voice(rng, label_words, values, voiced)),
    }
    unknown = set(settings.tasks) - makers.keys()
    if unknown:
        raise DataError(f"no task {', '.join(sorted(unknown))}; known: {', '.join(makers)}")
    found = [maker for name, (possible, maker) in makers.items() if possible and name in settings.tasks]
    if not found:
        raise DataError(f"the training utterances have none of the fields that the tasks {settings.tasks} need")
    return found


def _can_show_patterns(utterances: Sequence[Utterance], least: int) -> bool:
    """Whether any pattern can be demonstrated: clips of many attributes, and `least` clips of each."""
    told = [pattern.attributes_of(utterance) for utterance in utterances]
    counts = Counter(attribute for facts in told for attribute in facts)
    return sum(len(facts) >= 5 for facts in told) >= 20 and all(counts[a] >= least for a in pattern.ATTRIBUTES)


def _voice(
    rng: random.Random, label_words: Sequence[str], values: dict[str, list[str]], attributes: Sequence[str]
) -> Episode:
    attribute = rng.choice(list(attributes))
    if rng.random() < 0.5:
        return voice.episode(rng, attribute)
    return voice.bound_episode(rng, label_words, values, attribute)


def _common_values(utterances: Sequence[Utterance], attribute: str) -> list[str]:
    """Values of an attribute that enough utterances have, in a fixed order."""
    counts = Counter(u.facts[attribute] for u in utterances if attribute in u.facts)
    return sorted(value for value, count in counts.items() if count >= _LEAST_EXAMPLES)
