"""Which queries stand behind which demonstrations: blocks of 16 that share one episode and one draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from iclal.data.demonstrations import draw, query, seeded
from iclal.data.manifest import Utterance
from iclal.data.prompt import Example, Item, Template
from iclal.data.tasks.episode import Episode
from iclal.errors import DataError

BLOCK_SIZE = 16


@dataclass(frozen=True)
class Cell:
    """A task at a number of demonstrations. `task` names it in the report; a cell's name and shots stand once."""

    task: str
    shots: int
    make_episode: Callable[[Random], Episode]


@dataclass(frozen=True)
class Pools:
    """Where queries and demonstrations are drawn from; no utterance is in both.

    Raises:
        DataError: an id stands twice, in one pool or in both, or a pool has fewer than two utterances. No
            demonstrations at all are fine where none are shown.
    """

    queries: Sequence[Utterance]
    demonstrations: Sequence[Utterance]

    def __post_init__(self) -> None:
        for name, pool in (("query", self.queries), ("demonstration", self.demonstrations)):
            if len(pool) < 2 and (name == "query" or pool):
                raise DataError(f"the {name} pool holds {len(pool)} utterances, at least 2 are needed")
            twice = [id for id, count in Counter(utterance.id for utterance in pool).items() if count > 1]
            if twice:
                raise DataError(f"the {name} pool holds {len(twice)} ids more than once, e.g. {twice[0]}")
        shared = sorted({u.id for u in self.queries} & {u.id for u in self.demonstrations})
        if shared:
            raise DataError(
                f"{len(shared)} utterances stand in both pools, e.g. {', '.join(shared[:3])}; "
                "a query must not be among the demonstrations"
            )


@dataclass(frozen=True)
class Block:
    """Queries that share an episode, its demonstrations and the place of the instruction."""

    cell: Cell
    number: int
    episode: Episode
    demonstrations: tuple[Item, ...]
    queries: tuple[Item, ...]
    repeated: int  # queries whose utterance the cell has asked before

    @property
    def instruction_first(self) -> bool:
        """In front of all, or behind each clip: by turns."""
        return self.number % 2 == 0

    def examples(self, template: Template, demonstrations: Sequence[Item] | None = None) -> list[Example]:
        """The queries as prompts, behind the block's demonstrations or behind others in their place."""
        shown = self.demonstrations if demonstrations is None else demonstrations
        return [
            template.example(
                item.clip.id,
                self.episode.instruction,
                shown,
                item,
                instruction_first=self.instruction_first,
                candidates=self.episode.candidates,
            )
            for item in self.queries
        ]


def draw_blocks(cell: Cell, pools: Pools, num_queries: int, seed: int, *, repeat: bool = True) -> Iterator[Block]:
    """The blocks of a cell, a function of (seed, task, shots) and the pools.

    Episode and demonstrations of a block are a function of (seed, task, shots, block) alone. No utterance is asked
    about twice in a cell until all that fit have been; without `repeat` never, so there may be fewer queries.

    Raises:
        DataError: a pool does not hold what the episode needs.
    """
    if cell.shots and not pools.demonstrations:
        raise DataError(f"task {cell.task} with {cell.shots} shots: the demonstration pool is empty")
    asked: set[str] = set()
    ever: set[str] = set()
    for number, start in enumerate(range(0, num_queries, BLOCK_SIZE)):
        rng = seeded("evaluation", seed, cell.task, cell.shots, number)
        episode = cell.make_episode(rng)
        shown = draw(episode, pools.demonstrations, cell.shots, rng)
        queries: list[Item] = []
        repeated = 0
        for _ in range(min(BLOCK_SIZE, num_queries - start)):
            try:
                item = query(episode, pools.queries, rng, exclude=asked)
            except DataError:  # all that fit were asked: begin anew
                if ever and not repeat:
                    break
                asked.clear()
                item = query(episode, pools.queries, rng)
            repeated += item.clip.id in ever
            asked.add(item.clip.id)
            ever.add(item.clip.id)
            queries.append(item)
        if not queries:  # without `repeat`: none is left for this episode; another may have other bindings
            continue
        yield Block(cell, number, episode, tuple(shown), tuple(queries), repeated)


def check_cells(cells: Sequence[Cell], *, published: bool) -> None:
    """Refuse a grid that has a cell twice or, if it is to be published, few shots without the zero-shot control.

    Raises:
        DataError: with the cell.
    """
    if not cells:
        raise DataError("nothing to evaluate: the grid has no cells")
    counts = Counter((cell.task, cell.shots) for cell in cells)
    for (task, shots), count in counts.items():
        if count > 1:
            raise DataError(f"the grid holds task {task} with {shots} shots {count} times; name one of them otherwise")
        if published and shots and (task, 0) not in counts:
            raise DataError(
                f"the grid holds task {task} with {shots} shots but not with 0, which is their control: add it"
            )
