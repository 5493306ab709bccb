"""Manifests into manifests: split, sample, merge. Each streams, and each is a pure function of its inputs and seed.

What is drawn depends on (seed, id) alone, never on the order of lines: a sample of 100 lies inside a sample of 200 by
the same seed, and a manifest that grew keeps what was drawn from it.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from iclal.data.manifest import Utterance, read_manifest, write_manifest
from iclal.errors import DataError

Key = Literal["speaker", "text", "id"]


def split(
    manifest: Path, out: Path, fractions: Mapping[str, float], *, by: Key = "speaker", seed: int = 0
) -> dict[str, int]:
    """Divide a manifest into `out/NAME.jsonl` for each name of `fractions`; returns how many utterances each got.

    Groups stay whole: by speaker (the default), by text, or each utterance by itself (`id`). Sizes are counted in
    utterances and come as near to the fractions as whole groups allow, but no split is left empty.

    Raises:
        DataError: fractions that do not sum to 1, an utterance without the field, fewer groups than splits, a split
            that would take the manifest's own place.
    """
    if any(share <= 0 for share in fractions.values()) or not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6):
        given = " ".join(f"{name}={share:g}" for name, share in fractions.items())
        raise DataError(
            f"{given} sum to {sum(fractions.values()):g}: shares must be above 0 and sum to 1, e.g. train=0.8 dev=0.1 "
            "test=0.1"
        )
    if any((out / f"{name}.jsonl").resolve() == manifest.resolve() for name in fractions):
        raise DataError(f"{manifest} would be overwritten by one of its own splits; give another folder than {out}")
    sizes = Counter(_key(utterance, by, manifest) for utterance in read_manifest(manifest))
    if len(sizes) < len(fractions):
        raise DataError(f"{manifest} has {len(sizes)} groups by {by}, too few for {len(fractions)} splits; try --by id")
    home = _assign(sizes, fractions, seed)
    return {
        name: write_manifest(
            out / f"{name}.jsonl",
            (
                dataclasses.replace(moved(utterance, out), split=name)
                for utterance in read_manifest(manifest)
                if home[_key(utterance, by, manifest)] == name
            ),
        )
        for name in fractions
    }


def _key(utterance: Utterance, by: Key, manifest: Path) -> str:
    """What holds an utterance's group together."""
    value = getattr(utterance, by)
    if not value:
        raise DataError(
            f"{manifest}: utterance {utterance.id} has no {by} to split by; try another field, e.g. --by id"
        )
    return value


def _assign(sizes: Mapping[str, int], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """A split for each group: in seeded order, each goes where most is still wanting.

    >>> _assign({"a": 2, "b": 2, "c": 2, "d": 2}, {"train": 0.75, "test": 0.25}, seed=0)
    {'c': 'train', 'b': 'train', 'a': 'train', 'd': 'test'}
    """
    total = sum(sizes.values())
    wanting = {name: share * total for name, share in fractions.items()}
    home: dict[str, str] = {}
    for key in sorted(sizes, key=lambda key: priority(seed, key)):
        name = max(wanting, key=lambda name: wanting[name])
        home[key] = name
        wanting[name] -= sizes[key]
    for name in fractions:
        if name not in home.values():  # few and large groups: the smallest of the richest split moves over
            richest = Counter(home.values()).most_common(1)[0][0]
            home[min((key for key in home if home[key] == richest), key=lambda key: (sizes[key], key))] = name
    return home


def sample(
    manifest: Path,
    out: Path,
    *,
    count: int | None = None,
    hours: float | None = None,
    per: Literal["speaker", "split", "label"] | None = None,
    seed: int = 0,
) -> int:
    """Draw utterances into `out`, in the manifest's order: `count` of them, or as many as fit into `hours`.

    With `per` that much of each speaker, split or label. Returns how many were written; where there are fewer than
    asked for, all are taken.

    Raises:
        DataError: neither or both of `count` and `hours`; hours of utterances without `duration_seconds`.
    """
    if (count is None) == (hours is None):
        raise DataError(f"a sample takes either a count or hours, found count={count} and hours={hours}")
    ranked: dict[str, list[tuple[int, int, float]]] = defaultdict(list)  # group -> (priority, line, seconds)
    for number, utterance in enumerate(read_manifest(manifest)):
        if hours is not None and utterance.duration_seconds is None:
            raise DataError(f"{manifest}: utterance {utterance.id} has no duration_seconds; sample by count instead")
        group = str(getattr(utterance, per)) if per else ""
        ranked[group].append((priority(seed, utterance.id), number, utterance.duration_seconds or 0.0))
    taken = {number for group in ranked.values() for number in _take(group, count, hours)}
    chosen = (moved(one, out.parent) for number, one in enumerate(read_manifest(manifest)) if number in taken)
    return write_manifest(out, chosen)


def _take(group: list[tuple[int, int, float]], count: int | None, hours: float | None) -> Iterator[int]:
    """Lines of a group by priority, up to a count or to hours."""
    if count is not None:
        yield from (number for _, number, _ in heapq.nsmallest(count, group))
        return
    left_seconds = (hours or 0.0) * 3600
    for _, number, seconds in sorted(group):
        left_seconds -= seconds
        if left_seconds < -1e-6:  # sums of decimals: three clips of 0.1 s are 0.3 s
            return
        yield number


def merge(manifests: Sequence[Path], out: Path, *, prefix: bool = False) -> int:
    """Lay manifests one after another into `out`; returns how many utterances it has.

    With `prefix` each id gets the name of its manifest's folder in front.

    Raises:
        DataError: an id that two lines have.
    """
    seen: dict[int, int] = {}  # digest of an id -> which manifest

    def lines() -> Iterator[Utterance]:
        for index, manifest in enumerate(manifests):
            front = f"{manifest.resolve().parent.name}-" if prefix else ""
            for utterance in read_manifest(manifest):
                utterance = dataclasses.replace(moved(utterance, out.parent), id=front + utterance.id)
                digest = priority(0, utterance.id)
                if digest in seen:
                    first = manifests[seen[digest]]
                    raise DataError(f"id {utterance.id!r} is in {first} and again in {manifest}; merge with --prefix")
                seen[digest] = index
                yield utterance

    return write_manifest(out, lines())


def moved(utterance: Utterance, folder: Path) -> Utterance:
    """The utterance for a manifest in another folder: its audio path is written from there; absolute paths stay."""
    if utterance.audio is None or os.path.isabs(utterance.audio):
        return utterance
    audio = os.path.relpath(os.path.join(_real(utterance.root), utterance.audio), _real(folder))
    return dataclasses.replace(utterance, audio=Path(audio).as_posix(), root=folder)


@functools.lru_cache(maxsize=64)
def _real(folder: Path) -> str:
    """A folder with its symlinks resolved: `..` of a linked folder leads elsewhere."""
    return os.path.realpath(folder)


def priority(seed: int, text: str) -> int:
    """A number in [0, 2^64) that depends on seed and text alone."""
    return int.from_bytes(blake2b(f"{seed}:{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
