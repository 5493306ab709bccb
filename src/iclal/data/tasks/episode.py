"""An episode: one instruction and one way to answer, shared by demonstrations and queries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item


@dataclass(frozen=True)
class Episode:
    """What is asked of a clip and how its right answer is found.

    `solve` gives the clip with its answer, or None where the utterance lacks what the task needs. `group` tells which
    answers must be demonstrated equally often (bindings of arbitrary words), and `attribute` whose values they are
    bound to; None where any demonstration will do. `wording` says how well the instruction is known, e.g. "held-out".
    """

    task: str
    instruction: str
    solve: Callable[[Utterance, random.Random], Item | None]
    groups: tuple[str, ...] = ()
    group: Callable[[Utterance], str | None] | None = None
    attribute: str | None = None
    candidates: tuple[str, ...] | None = None
    wording: str | None = None
