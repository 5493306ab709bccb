"""Which queries stand behind which demonstrations."""

from __future__ import annotations

from random import Random

import pytest
from evaluation_world import CELLS, digit_pools, digits, grid, pools

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, Template
from iclal.data.tasks import labels, transcript
from iclal.data.tasks.episode import Episode
from iclal.errors import DataError
from iclal.evaluation.blocks import BLOCK_SIZE, Cell, Pools, check_cells, draw_blocks


def test_pools_that_share_an_utterance_are_refused_by_its_name() -> None:
    found = digits("jackson", 10)
    with pytest.raises(DataError, match=f"1 utterances stand in both pools, e.g. {found[4].id}"):
        Pools(found[:5], found[4:])


def test_a_pool_that_holds_an_utterance_twice_or_only_one_is_refused() -> None:
    found = digits("jackson", 6)
    with pytest.raises(DataError, match=f"more than once, e.g. {found[0].id}"):
        Pools([*found[:3], found[0]], found[3:])
    with pytest.raises(DataError, match="holds 1 utterances, at least 2"):
        Pools(found[:3], found[3:4])


def test_queries_of_a_block_share_episode_and_demonstrations_from_the_other_pool() -> None:
    given = pools()
    (cell,) = grid(("labels", 4))
    blocks = list(draw_blocks(cell, given, 40, seed=0))
    assert [len(block.queries) for block in blocks] == [BLOCK_SIZE, BLOCK_SIZE, 8]
    shown = {utterance.id for utterance in given.demonstrations}
    for block in blocks:
        examples = block.examples(Template())
        assert len({example.demonstration_ids for example in examples}) == 1
        assert set(examples[0].demonstration_ids) <= shown and len(examples[0].demonstration_ids) == 4
        assert shown.isdisjoint(item.clip.id for item in block.queries)
        assert {item.answer for item in block.queries} <= set(block.episode.groups)
    assert len({block.episode.groups for block in blocks}) == 3


def test_the_draw_is_a_function_of_seed_task_shots_and_block() -> None:
    given = digit_pools()
    (cell,) = grid(("transcript", 2))

    def shown(seed: int, num_queries: int = 48, cell: Cell = cell) -> list[list[str]]:
        return [[i.clip.id for i in block.demonstrations] for block in draw_blocks(cell, given, num_queries, seed)]

    assert shown(0) == shown(0)
    assert shown(0, 20) == shown(0)[:2]  # how many are asked changes nothing
    assert shown(0) != shown(1) and shown(0) != shown(0, cell=Cell("other", 2, transcript.episode))
    assert len({tuple(ids) for ids in shown(0)}) == 3


def test_no_utterance_is_asked_twice_before_all_that_fit_were_and_repeats_are_counted() -> None:
    given = digit_pools()
    (cell,) = grid(("transcript", 0))
    blocks = list(draw_blocks(cell, given, 32, seed=3))
    asked = [item.clip.id for block in blocks for item in block.queries]
    assert len(given.queries) == 24 and len(set(asked[:24])) == 24
    assert sum(block.repeated for block in blocks) == 8


def test_without_repeats_a_cell_ends_when_all_that_fit_were_asked() -> None:
    given = digit_pools()
    (cell,) = grid(("transcript", 0))
    blocks = list(draw_blocks(cell, given, 100, seed=3, repeat=False))
    ids = [item.clip.id for block in blocks for item in block.queries]
    assert sorted(ids) == sorted(u.id for u in given.queries)
    assert [len(block.queries) for block in blocks] == [16, 8] and not any(block.repeated for block in blocks)
    again = [item.clip.id for block in draw_blocks(cell, given, 24, seed=3) for item in block.queries]
    assert again == ids  # the same draw as far as it goes


def test_without_repeats_every_clip_is_asked_about_however_uneven_the_groups() -> None:
    told = [Utterance(f"u{i}", text="x", facts={"colour": "red" if i < 30 else "blue"}) for i in range(36)]
    values = {"colour": ["red", "blue"]}
    cell = Cell("labels", 0, lambda rng: labels.episode(rng, ["zorb", "mipa"], values, 2))
    blocks = list(draw_blocks(cell, Pools(told, []), 100, seed=0, repeat=False))
    assert [len(block.queries) for block in blocks] == [16, 16, 4]


def test_demonstrations_may_lack_only_where_none_are_shown() -> None:
    alone = Pools(digit_pools().queries, [])
    shown, bare = grid(("transcript", 2), ("transcript", 0))
    assert len(list(draw_blocks(bare, alone, 20, seed=0))) == 2
    with pytest.raises(DataError, match="transcript with 2 shots: the demonstration pool is empty"):
        next(draw_blocks(shown, alone, 20, seed=0))


def test_the_instruction_stands_first_and_behind_the_clip_by_turns() -> None:
    (cell,) = grid(("transcript", 0))
    starts = [
        block.examples(Template())[0].prompt[0] for block in draw_blocks(cell, digit_pools(), 2 * BLOCK_SIZE, seed=0)
    ]
    assert "heard:" not in starts[0].text.splitlines()[0]  # type: ignore[union-attr]
    assert starts[1].text == "heard:"  # type: ignore[union-attr]


def test_a_pool_without_what_the_episode_needs_is_an_error_with_its_size() -> None:
    def nothing(utterance: Utterance, rng: Random) -> Item | None:
        return None

    cell = Cell("none", 0, lambda rng: Episode("none", "", nothing))
    with pytest.raises(DataError, match=r"task none: .* in a pool of 24"):
        next(draw_blocks(cell, digit_pools(), 1, seed=0))


def test_a_grid_that_is_empty_or_has_a_cell_twice_or_lacks_zero_shot_is_refused() -> None:
    with pytest.raises(DataError, match="no cells"):
        check_cells([], published=True)
    with pytest.raises(DataError, match="task labels with 4 shots 2 times"):
        check_cells(grid(("labels", 4), ("labels", 4)), published=False)
    with pytest.raises(DataError, match="task pattern with 2 shots but not with 0"):
        check_cells(grid(("pattern", 2)), published=True)
    check_cells(grid(("pattern", 2)), published=False)
    check_cells([Cell(task, 0, make) for task, make in CELLS.items()], published=True)
