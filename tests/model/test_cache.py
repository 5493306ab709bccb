"""The cache with room: bit for bit Hugging Face's, through steps, new rooms, forks and items that leave."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from iclal.model.cache import fork

LAYERS, HEADS, WIDTH = 2, 3, 4


def columns(batch: int, count: int, seed: int) -> Tensor:
    return torch.randn(batch, HEADS, count, WIDTH, generator=torch.Generator().manual_seed(seed))


def read(cache: Cache, batch: int, count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    return [
        cache.update(columns(batch, count, seed + layer), columns(batch, count, seed + layer + 9), layer)
        for layer in range(LAYERS)
    ]


def check_same(found: list[tuple[Tensor, Tensor]], expected: list[tuple[Tensor, Tensor]]) -> None:
    for pair, wanted in zip(found, expected, strict=True):
        assert all(torch.equal(own, other) for own, other in zip(pair, wanted, strict=True))


def test_it_holds_what_a_dynamic_cache_holds_beyond_its_first_room_and_when_items_leave() -> None:
    roomy, plain = fork(None, 5), DynamicCache()
    check_same(read(roomy, 5, 7, seed=0), read(plain, 5, 7, seed=0))
    for step in range(150):
        if step in (3, 80):
            kept = torch.tensor([0, 4, 2] if step == 3 else [1])
            roomy.batch_select_indices(kept)
            plain.batch_select_indices(kept)
        batch = 5 if step < 3 else 3 if step < 80 else 1
        check_same(read(roomy, batch, 1, seed=step), read(plain, batch, 1, seed=step))
    assert roomy.get_seq_length() == plain.get_seq_length() == 157


def test_a_step_writes_where_there_is_room_and_copies_nothing() -> None:
    cache = fork(None, 2)
    places = set()
    for step in range(10):
        (keys, _), *_ = read(cache, 2, 1, seed=step)
        places.add(keys.data_ptr())
    assert len(places) == 1


def test_an_item_that_would_be_written_over_is_refused() -> None:
    cache = fork(None, 3)
    read(cache, 3, 2, seed=0)
    with pytest.raises(AssertionError, match=r"items move backwards: \[1, 0\]"):
        cache.batch_select_indices(torch.tensor([1, 0]))


def test_forks_begin_with_what_is_shared_and_leave_it_as_it_was() -> None:
    shared = DynamicCache()
    before = [(keys.clone(), values.clone()) for keys, values in read(shared, 1, 6, seed=1)]
    first, second = fork(shared, 4), fork(shared, 2)
    ahead = read(first, 4, 3, seed=5)
    read(second, 2, 1, seed=8)
    for (keys, values), (old_keys, old_values), layer in zip(ahead, before, range(LAYERS), strict=True):
        assert torch.equal(keys, torch.cat([old_keys.expand(4, -1, -1, -1), columns(4, 3, 5 + layer)], dim=2))
        assert torch.equal(values, torch.cat([old_values.expand(4, -1, -1, -1), columns(4, 3, 14 + layer)], dim=2))
    check_same([(layer.keys, layer.values) for layer in shared.layers], before)
