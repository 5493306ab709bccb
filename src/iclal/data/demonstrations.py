"""Which demonstrations: one pure draw, for training and evaluation alike."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Container, Sequence

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode
from iclal.errors import DataError

_MOST_TRIES = 20_000


def seeded(*parts: object) -> random.Random:
    """A generator that is a function of its parts alone, whatever was drawn elsewhere before."""
    return random.Random("\x1f".join(str(part) for part in parts))


def draw(
    episode: Episode, pool: Sequence[Utterance], shots: int, rng: random.Random, exclude: Container[str] = ()
) -> list[Item]:
    """`shots` different solved items from the pool, in a random order, none of the ids in `exclude`.

    Where the episode has groups, each is demonstrated equally often (the first few once more when `shots` is no
    multiple), so that a binding can be learnt from the demonstrations.

    Raises:
        DataError: the pool does not hold enough utterances that fit the episode.
    """
    wanted: list[str | None] = [None] * shots
    if episode.groups:
        wanted = [episode.groups[i % len(episode.groups)] for i in range(shots)]
        rng.shuffle(wanted)
    items: list[Item] = []
    taken: set[str] = set()
    for group in wanted:
        items.append(_find(episode, pool, group, rng, exclude, taken))
        taken.add(items[-1].clip.id)
    return items


def query(episode: Episode, pool: Sequence[Utterance], rng: random.Random, exclude: Container[str] = ()) -> Item:
    """One item to be solved; with groups, each is asked for equally often on average, as long as any is left of it.

    Raises:
        DataError: as `draw`.
    """
    if not episode.groups:
        return _find(episode, pool, None, rng, exclude, set())
    first = rng.choice(episode.groups)
    *others, last = (first, *(group for group in episode.groups if group != first))
    for group in others:
        with contextlib.suppress(DataError):
            return _find(episode, pool, group, rng, exclude, set())
    return _find(episode, pool, last, rng, exclude, set())


def _find(
    episode: Episode,
    pool: Sequence[Utterance],
    group: str | None,
    rng: random.Random,
    exclude: Container[str],
    taken: set[str],
) -> Item:
    """An item of the pool at random: by trial, then, where what fits is rare, by going through the whole pool."""

    def solved(utterance: Utterance) -> Item | None:
        if utterance.id in exclude or utterance.id in taken:
            return None
        if group is not None and (episode.group is None or episode.group(utterance) != group):
            return None
        return episode.solve(utterance, rng)

    for _ in range(_MOST_TRIES if pool else 0):
        item = solved(pool[rng.randrange(len(pool))])
        if item is not None:
            return item
    state = rng.getstate()
    for utterance in rng.sample(pool, len(pool)):
        item = solved(utterance)
        if item is not None:
            return item
    rng.setstate(state)  # who goes on drawing does so as if nobody had gone through the pool
    raise DataError(
        f"task {episode.task}: no fitting utterance found in a pool of {len(pool)} "
        f"({len(taken)} demonstrations already taken); give a larger pool or fewer shots"
    )
