"""The spoken world's test: unseen voices and sentences; unseen names, noise and voice notes besides."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Collection
from random import Random

from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.data.world import names, speech
from iclal.data.world.sentences import Taste
from iclal.evaluation.evaluate import Cell, Pools
from iclal.experiments.conditions import LEAST_OF_A_VALUE, SHOTS, Condition, check_grid, in_any_wording

_POOL = {"quick": 260, "full": 640}  # utterances in each pool
_ADULTS = ("man", "woman")
_LABEL_WORDINGS = {  # that training knows
    wording.format(attribute=attribute)
    for wording in labels.INSTRUCTIONS
    for attribute in (*labels.ATTRIBUTES, *voice.CANDIDATES)
}
_VOICE_WORDINGS = {name: voice.INSTRUCTIONS[name] + voice.HELD_OUT_INSTRUCTIONS[name] for name in voice.CANDIDATES}
_HONEST = ("audio", "ceiling", "cascade")  # where controls stand elsewhere


def world_conditions(grid: str, seed: int, *, progress: bool = True) -> list[Condition]:
    """The world's test: unseen voices and sentences. Full: also unseen names, noisy places, and 5 dB of noise."""
    check_grid(grid)
    size = _POOL[grid]
    clean = _world_pools(size, seed, Taste((1, 4)), progress=progress)
    cells = world_cells(grid, clean)
    found = [Condition("clean", clean, speech.hear, cells)]
    if grid == "quick":
        return found
    unseen = _world_pools(size // 2, seed + 1, Taste((1, 4), name_part="test"), progress=progress)
    basic = [cell for cell in cells if cell.shots == 0 and cell.task in ("transcript", "questions", "summary")]
    found.append(Condition("unseen-names", unseen, speech.hear, basic, _HONEST))
    found.append(Condition("snr-5db", clean, lambda u: speech.hear(u, snr_db=5.0), basic, (*_HONEST, "cascade-ctc")))
    noisy = _world_pools(size // 2, seed + 2, Taste((1, 4)), noisy_share=0.5, progress=progress)
    found.append(Condition("notes", noisy, speech.hear, voice_cells(noisy)))
    return found


def _world_pools(size: int, seed: int, taste: Taste, *, noisy_share: float = 0.0, progress: bool = True) -> Pools:
    """Queries and demonstrations of the test part, made in one go."""
    spoken = speech.speak_passages(
        "test", 2 * size, seed + 100, taste, noisy_share=noisy_share, digits_share=0.0, progress=progress
    )
    return Pools(spoken[:size], spoken[size:])


def world_cells(grid: str, pools: Pools) -> list[Cell]:
    """Tasks by number of demonstrations. Two label words are bound in `labels`, four in `labels-4`."""
    shots = SHOTS[grid]
    copied = shots[: 4 if grid == "full" else 2]  # long answers: eight demonstrations of them say nothing new
    cells = [Cell("transcript", k, _told_apart(in_any_wording(transcript), transcript.INSTRUCTIONS)) for k in copied]
    cells += [Cell("questions", k, _told_apart(in_any_wording(questions), questions.INSTRUCTIONS)) for k in shots]
    cells += [Cell("summary", k, _told_apart(in_any_wording(summary), summary.INSTRUCTIONS)) for k in copied]
    cells += [Cell("pattern", k, _told_apart(in_any_wording(pattern), pattern.INSTRUCTIONS)) for k in shots]
    bound = {"quick": {2: (0, 2)}, "full": {2: (0, 4, 8), 4: (0, 8)}}[grid]
    for ways, counts in bound.items():
        cells += [Cell("labels" if ways == 2 else f"labels-{ways}", k, bind(pools, ways)) for k in counts]
    return cells


def bind(pools: Pools, ways: int) -> Callable[[Random], Episode]:
    """Episodes that bind unseen label words to values which both pools have often enough."""
    values = {attribute: _common_values(pools, attribute) for attribute in labels.ATTRIBUTES}
    label_words = names.name_list(60, "label", "test")
    wordings = labels.INSTRUCTIONS + labels.HELD_OUT_INSTRUCTIONS
    return _told_apart(lambda rng: labels.episode(rng, label_words, values, ways, wordings), _LABEL_WORDINGS)


def voice_cells(pools: Pools) -> list[Cell]:
    """What the words do not say, asked outright and bound by four demonstrations.

    `voice` is any part of the note by turns, `voice-speaker` whether a man or a woman speaks, of adults alone.
    """
    values = {attribute: _common_values(pools, attribute) for attribute in voice.CANDIDATES}
    adults = {"speaker": [value for value in values["speaker"] if value in _ADULTS]}
    label_words = names.name_list(60, "label", "test")
    makers: dict[tuple[str, int], Callable[[Random], Episode]] = {
        ("voice", 0): lambda rng: voice.episode(rng, None, _VOICE_WORDINGS),
        ("voice", 4): lambda rng: voice.bound_episode(rng, label_words, values),
        ("voice-speaker", 0): lambda rng: voice.episode(rng, "speaker", _VOICE_WORDINGS, _ADULTS),
        ("voice-speaker", 4): lambda rng: voice.bound_episode(rng, label_words, adults, "speaker"),
    }
    known = {*_LABEL_WORDINGS, *itertools.chain.from_iterable(voice.INSTRUCTIONS.values())}
    return [Cell(*cell, _told_apart(make, known)) for cell, make in makers.items()]


def _told_apart(make: Callable[[Random], Episode], known: Collection[str]) -> Callable[[Random], Episode]:
    """The same episodes, each saying whether training knows its wording: the rows tell the answers apart."""

    def told(rng: Random) -> Episode:
        episode = make(rng)
        return dataclasses.replace(episode, wording="known" if episode.instruction in known else "held-out")

    return told


def _common_values(pools: Pools, attribute: str) -> list[str]:
    counts = [Counter(u.facts.get(attribute) for u in pool) for pool in (pools.queries, pools.demonstrations)]
    return sorted(v for v in counts[0] if v and min(count[v] for count in counts) >= LEAST_OF_A_VALUE)
