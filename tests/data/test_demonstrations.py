"""The draw of demonstrations: pure, without the query, each binding shown equally often."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from iclal.data.demonstrations import draw, query, seeded
from iclal.data.manifest import Utterance
from iclal.data.tasks import labels, transcript
from iclal.errors import DataError

COLOURS = ("red", "blue", "green")
POOL = [Utterance(f"u{i}", text=f"text {i}", facts={"colour": COLOURS[i % 3]}) for i in range(60)]
TEXTS = transcript.episode(random.Random(0))


def bindings(ways: int):
    return labels.episode(random.Random(1), ("mira", "tolo", "duka"), {"colour": COLOURS}, ways)


def test_generator_is_a_function_of_its_parts_and_their_borders() -> None:
    assert seeded("a", 1).random() == seeded("a", 1).random()
    assert seeded("a", 1).random() != seeded("a", 2).random()
    assert seeded("a1").random() != seeded("a", 1).random()


def test_draw_is_a_function_of_the_generator() -> None:
    assert draw(TEXTS, POOL, 8, seeded(1)) == draw(TEXTS, POOL, 8, seeded(1))
    assert draw(TEXTS, POOL, 8, seeded(1)) != draw(TEXTS, POOL, 8, seeded(2))


@pytest.mark.parametrize("shots", [0, 1, 2, 4, 8])
def test_drawn_items_are_different_and_none_is_excluded(shots: int) -> None:
    for seed in range(50):
        items = draw(TEXTS, POOL[:10], shots, seeded(seed), exclude={"u3", "u4"})
        ids = [item.clip.id for item in items]
        assert len(set(ids)) == shots and not {"u3", "u4"} & set(ids)


@pytest.mark.parametrize(("ways", "shots"), [(2, 4), (2, 8), (3, 6), (3, 7), (2, 1)])
def test_each_binding_is_demonstrated_equally_often(ways: int, shots: int) -> None:
    for seed in range(20):
        counts = Counter(item.answer for item in draw(bindings(ways), POOL, shots, seeded(seed)))
        assert counts.total() == shots
        assert all(shots // ways <= counts[label] <= -(-shots // ways) for label in bindings(ways).groups)


def test_bindings_are_shown_in_a_random_order() -> None:
    orders = {tuple(item.answer for item in draw(bindings(2), POOL, 4, seeded(seed))) for seed in range(60)}
    assert len(orders) == 6  # all ways to order two of each


def test_queries_ask_for_each_binding_equally_often() -> None:
    rng = seeded("queries")
    counts = Counter(query(bindings(2), POOL, rng).answer for _ in range(600))
    assert len(counts) == 2 and 240 < min(counts.values())
    assert query(TEXTS, POOL[:2], rng, exclude={"u0"}).clip.id == "u1"


def test_a_pool_without_enough_is_refused_with_the_numbers() -> None:
    with pytest.raises(DataError, match=r"task transcript.*pool of 3 \(3 demonstrations already taken\)"):
        draw(TEXTS, POOL[:3], 4, seeded(0))
    with pytest.raises(DataError, match=r"task labels.*20000 draws"):
        query(bindings(2), [Utterance("bare")], seeded(0))
