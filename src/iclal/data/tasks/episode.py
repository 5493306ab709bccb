"""An episode: one instruction and one way to answer, shared by demonstrations and queries."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item

Solve: TypeAlias = Callable[[Utterance, random.Random], Item | None]
Mislead: TypeAlias = Callable[[Sequence[Utterance], random.Random], list[str] | None]


@dataclass(frozen=True)
class Episode:
    """What is asked of a clip and how its right answer is found.

    `solve` gives the clip with its answer, or None where the utterance lacks what the task needs; `mislead` answers
    all of some clips as one other episode of the task would, or None where none can. `group` tells which answers must
    be demonstrated equally often (bindings of arbitrary words), and `attribute` whose values they are bound to; None
    where any demonstration will do. `wording` says how well the instruction is known, e.g. "held-out".
    """

    task: str
    instruction: str
    solve: Solve
    groups: tuple[str, ...] = ()
    group: Callable[[Utterance], str | None] | None = None
    attribute: str | None = None
    candidates: tuple[str, ...] | None = None
    mislead: Mislead | None = None
    wording: str | None = None
