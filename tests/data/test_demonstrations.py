"""The draw of demonstrations: pure, without the query, each binding shown equally often."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from iclal.data import demonstrations
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
    with pytest.raises(DataError, match=r"task labels: no fitting utterance found in a pool of 1 "):
        query(bindings(2), [Utterance("bare")], seeded(0))


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(DataError, match="task transcript: no fitting utterance found in a pool of 0"):
        draw(TEXTS, [], 1, seeded(0))
    with pytest.raises(DataError, match="pool of 0"):
        query(bindings(2), [], seeded(0))
    assert draw(TEXTS, [], 0, seeded(0)) == []


def test_what_trial_misses_in_a_large_pool_is_found_at_random_all_the_same() -> None:
    silent = [Utterance("silent")] * 300_000  # of 20,000 tries in such a pool all miss five times in six
    pool = [*silent[:200_000], *POOL[:3], *silent[200_000:]]
    found = [draw(TEXTS, pool, 2, seeded(seed)) for seed in range(4)]
    assert all({item.clip.id for item in items} < {"u0", "u1", "u2"} for items in found)
    assert len({items[0].clip.id for items in found}) > 1


def test_a_search_in_vain_does_not_change_what_is_drawn_next() -> None:
    rng, other = seeded(3), seeded(3)
    with pytest.raises(DataError):
        query(TEXTS, [Utterance("silent"), Utterance("quiet")], rng)
    for _ in range(demonstrations._MOST_TRIES):
        other.randrange(2)
    assert rng.getstate() == other.getstate()


@pytest.mark.parametrize(("shots", "ids"), [(4, "u56 u15 u55 u10"), (2, "u56 u15")])
def test_draws_are_those_of_earlier_versions(shots: int, ids: str) -> None:
    assert [item.clip.id for item in draw(TEXTS, POOL, shots, seeded("stays", 1))] == ids.split()
