"""Plans of batches: within the budget, each item once an epoch, a function of seed and number."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.errors import DataError, SettingsError
from iclal.training.batches import Ahead, BatchBudget, Plan, Size
from iclal.training.step import SimpleBatch

SIZES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=120)


def _sizes(pairs: list[tuple[int, int]]) -> dict[str, Size]:
    return {f"item-{number}": Size(*pair) for number, pair in enumerate(pairs)}


def _padded(plan: Plan, ids: tuple[str, ...]) -> tuple[int, int]:
    longest = [max(getattr(plan.sizes[id], unit) for id in ids) for unit in ("samples", "tokens")]
    return len(ids) * longest[0], len(ids) * longest[1]


@settings(max_examples=60, deadline=None)
@given(pairs=SIZES, seed=st.integers(0, 99), max_items=st.integers(1, 20))
def test_each_item_comes_exactly_once_an_epoch_and_no_batch_is_over_the_budget(
    pairs: list[tuple[int, int]], seed: int, max_items: int
) -> None:
    plan = Plan(_sizes(pairs), BatchBudget(max_samples=100, max_tokens=60, max_items=max_items), seed)
    for epoch in range(3):
        batches = [plan.batch(epoch * plan.batches_per_epoch + n) for n in range(plan.batches_per_epoch)]
        assert sorted(id for batch in batches for id in batch) == sorted(plan.sizes)
        for batch in batches:
            samples, tokens = _padded(plan, batch)
            assert samples <= 100 and tokens <= 60 and 1 <= len(batch) <= max_items


@settings(max_examples=40, deadline=None)
@given(pairs=SIZES)
def test_no_batch_that_comes_is_larger_than_the_worst_ones(pairs: list[tuple[int, int]]) -> None:
    plan = Plan(_sizes(pairs), BatchBudget(max_samples=100, max_tokens=60), seed=4)
    worst = [_padded(plan, ids) for ids in plan.worst_batches()]
    for number in range(4 * plan.batches_per_epoch):
        samples, tokens = _padded(plan, plan.batch(number))
        assert samples <= max(w[0] for w in worst)
        assert tokens <= max(w[1] for w in worst)


def test_a_batch_is_a_function_of_seed_and_number_asked_in_any_order() -> None:
    sizes = {str(n): Size(int(f)) for n, f in enumerate(np.random.default_rng(0).integers(1, 90, 200))}
    first, second = (Plan(sizes, BatchBudget(max_samples=300), seed=7) for _ in range(2))
    numbers = [5, 300, 0, 17, 299, 5]
    forward = {n: first.batch(n) for n in range(301)}
    assert [second.batch(n) for n in numbers] == [forward[n] for n in numbers]
    assert first.digest() == second.digest()
    other = Plan(sizes, BatchBudget(max_samples=300), seed=8)
    assert other.batch(0) != first.batch(0) and other.digest() != first.digest()


def test_epochs_differ_in_order_and_in_who_stands_together() -> None:
    sizes = {str(n): Size(n % 40 + 1) for n in range(400)}
    plan = Plan(sizes, BatchBudget(max_samples=200), seed=0)
    epochs = [{plan.batch(e * plan.batches_per_epoch + n) for n in range(plan.batches_per_epoch)} for e in (0, 1)]
    assert len(epochs[0] & epochs[1]) < 0.2 * plan.batches_per_epoch


def test_padding_stays_small_for_lengths_as_speech_has_them() -> None:
    samples = np.random.default_rng(1).gamma(4, 100, 3000).astype(int) + 50
    plan = Plan({str(n): Size(int(f)) for n, f in enumerate(samples)}, BatchBudget(max_samples=8000), seed=0)
    padded = sum(_padded(plan, plan.batch(n))[0] for n in range(plan.batches_per_epoch))
    assert samples.sum() / padded > 0.9


def test_short_first_epochs_go_from_short_to_long() -> None:
    plan = Plan({str(n): Size(n + 1) for n in range(100)}, BatchBudget(max_samples=120), seed=0, short_first_epochs=1)
    longest = [max(int(id) for id in plan.batch(n)) for n in range(2 * plan.batches_per_epoch)]
    half = plan.batches_per_epoch // 2
    assert max(longest[: half // 2]) < min(longest[half + half // 2 : plan.batches_per_epoch])
    assert longest[plan.batches_per_epoch :] != longest[: plan.batches_per_epoch]


def test_clips_of_an_item_are_padded_to_the_longest_of_the_batch() -> None:
    sizes = {f"lesson-{n}": Size(samples=60, clips=3) for n in range(8)} | {f"clip-{n}": Size(180) for n in range(8)}
    plan = Plan(sizes, BatchBudget(max_samples=400), seed=0)
    drawn = [plan.batch(number) for number in range(plan.batches_per_epoch)]

    def padded(ids: tuple[str, ...]) -> int:
        return sum(sizes[id].clips for id in ids) * max(sizes[id].samples for id in ids)

    assert sorted(id for ids in drawn for id in ids) == sorted(sizes)
    assert max(map(padded, drawn)) <= 400
    assert max(map(padded, plan.worst_batches())) >= max(map(padded, drawn))
    assert max(sizes[id].samples for ids in plan.worst_batches() for id in ids) == 180
    with pytest.raises(DataError, match=r"lesson \(402 samples, 0 tokens\)"):
        Plan({"lesson": Size(samples=134, clips=3)}, BatchBudget(max_samples=400), seed=0)


def test_items_over_the_budget_are_refused_with_their_numbers() -> None:
    with pytest.raises(DataError, match=r"2 of 3 items .*100 samples, 60 tokens.*b \(101 samples, 3 tokens\)"):
        Plan({"a": Size(1), "b": Size(101, 3), "c": Size(4, 61)}, BatchBudget(max_samples=100, max_tokens=60), 0)
    with pytest.raises(DataError, match="no items"):
        Plan({}, BatchBudget(), 0)


@pytest.mark.slow
def test_a_far_position_in_many_items_costs_no_more_than_one_shuffle() -> None:
    samples = np.random.default_rng(1).integers(100, 1600, 200_000)
    sizes = {str(n): Size(int(f)) for n, f in enumerate(samples)}
    plan = Plan(sizes, BatchBudget(max_samples=50_000), seed=0)
    start = time.process_time()
    plan.batch(7 * plan.batches_per_epoch + 12345)
    assert time.process_time() - start < 1  # 5 s for a million


def test_drawing_ahead_gives_the_same_batches_and_draws_each_once_on_another_thread() -> None:
    drawn: list[tuple[int, int]] = []
    threads: set[str] = set()

    def draw(step: int, micro: int) -> SimpleBatch:
        drawn.append((step, micro))
        threads.add(threading.current_thread().name)
        return SimpleBatch((step, micro), [f"{step}-{micro}"])

    with Ahead(draw, micro_batches=3, ahead=2) as ahead:
        wanted = [(step, micro) for step in range(4, 8) for micro in range(3)]  # resumed at step 4
        assert [ahead(*place).content for place in wanted] == wanted
    assert drawn[: len(wanted)] == wanted
    assert threading.current_thread().name not in threads


def test_what_goes_wrong_ahead_is_raised_where_the_batch_is_asked_for() -> None:
    def draw(step: int, micro: int) -> SimpleBatch:
        if step == 1:
            raise DataError("clip x is broken")
        return SimpleBatch(None, ["x"])

    with Ahead(draw, micro_batches=1) as ahead:
        ahead(0, 0)
        with pytest.raises(DataError, match="clip x is broken"):
            ahead(1, 0)
    with pytest.raises(SettingsError, match="at least 1 ahead, not 0"):
        Ahead(draw, 1, 0)
