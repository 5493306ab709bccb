"""Speech to train ears on and, apart from it, to validate by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iclal.data.manifest import Utterance, read_manifest
from iclal.errors import DataError
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import Recordings


@dataclass(frozen=True)
class Speech:
    """Recordings to train on and, apart from them, to validate by."""

    train: Recordings
    validation: Recordings

    def notes(self) -> list[str]:
        """How much there is on either side, and what was left out, a line a reason."""
        counts = [f"{len(r.utterances)} ({r.seconds / 3600:.2f} h)" for r in (self.train, self.validation)]
        found = [f"recordings: {counts[0]} to train on, {counts[1]} to validate by"]
        for use, recordings in (("trained on", self.train), ("validated by", self.validation)):
            found += [f"recordings not {use}: {count}, {reason}" for reason, count in recordings.dropped.items()]
            if recordings.dropped:
                found[-1] += f" ({recordings.dropped_seconds:.0f} s left out in all)"
        return found


def read_speech(recipe: EarsRecipe) -> Speech:
    """The user's own speech: the recipe's manifests, or one divided by speaker.

    Raises:
        DataError: no utterance is left to train on or to validate by.
        AudioError: a recording that cannot be read.
    """
    assert recipe.data.train is not None
    everything, unusable = _usable(recipe.data.train)
    held_out: list[Utterance] = []
    unusable_held_out: list[Utterance] = []
    if recipe.data.validation is not None:
        held_out, unusable_held_out = _usable(recipe.data.validation)
    else:
        everything, held_out = hold_out(everything, recipe.data.validation_share, recipe.data.seed)
    limit = recipe.data.max_seconds
    speech = Speech(Recordings(everything, max_seconds=limit), Recordings(held_out, max_seconds=limit))
    for recordings, left_out in ((speech.train, unusable), (speech.validation, unusable_held_out)):
        if left_out:
            seconds = sum(u.duration_seconds or 0.0 for u in left_out)
            recordings.drop("without audio or text", seconds, len(left_out))
    for name, recordings in (("train on", speech.train), ("validate by", speech.validation)):
        if not recordings.utterances:
            dropped = ", ".join(f"{count} {reason}" for reason, count in recordings.dropped.items()) or "none dropped"
            manifest = recipe.data.validation if recordings is speech.validation else None
            raise DataError(f"{manifest or recipe.data.train}: no utterance with audio and text to {name} ({dropped})")
    return speech


def _usable(manifest: Path) -> tuple[list[Utterance], list[Utterance]]:
    """A manifest's utterances with audio and text, and the others."""
    found = list(read_manifest(manifest))
    usable = [u for u in found if u.audio is not None and u.text is not None]
    return usable, [u for u in found if u.audio is None or u.text is None]


def hold_out(utterances: Sequence[Utterance], share: float, seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to train on and to validate by: whole speakers where there are at least three, else single clips."""
    speakers = sorted({u.speaker for u in utterances if u.speaker})
    keys = [u.speaker if len(speakers) >= 3 and u.speaker else u.id for u in utterances]
    sizes = Counter(keys)
    order = np.random.default_rng(seed).permutation(sorted(sizes)).tolist()
    chosen: set[str] = set()
    wanted, taken = max(1, round(share * len(utterances))), 0
    for key in order:
        if taken < wanted and taken + sizes[key] <= max(2 * wanted, min(sizes.values())):  # not one who says most
            chosen.add(key)
            taken += sizes[key]
    train = [u for u, key in zip(utterances, keys, strict=True) if key not in chosen]
    return train, [u for u, key in zip(utterances, keys, strict=True) if key in chosen]
