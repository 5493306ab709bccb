"""A user's own manifest: which of it is asked about, which demonstrates, and what it allows to ask."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from random import Random

from iclal.audio.reading import Audio, read_audio
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.tasks import labels, questions, summary, transcript
from iclal.data.tasks.episode import Episode
from iclal.data.tools import priority
from iclal.data.world import names
from iclal.errors import DataError
from iclal.evaluation.evaluate import Cell, Pools
from iclal.experiments.conditions import LEAST_OF_A_VALUE, SHOTS, Condition, in_any_wording

_LEAST_OF_A_TASK = 2  # clips in each pool, for a task that not every clip fits
_MOST_NAMED = 6  # facts in one note
_HALVING_SEED = 0  # one for all: models are compared on the same halves, whatever seed queries are drawn by


def own_conditions(manifest: Path, grid: str) -> list[Condition]:
    """A user's manifest: one half is asked about, each utterance once a cell; the other half is there to demonstrate.

    Asked are transcripts; questions and summaries where they are; and where facts or labels have values often enough,
    words bound to them by demonstrations alone. `left_out` tells what is there and not asked for.

    Raises:
        DataError: fewer than four utterances with audio and text.
    """
    everything = list(read_manifest(manifest))
    found = [_with_label(u) for u in everything if u.audio is not None and u.text is not None]
    left_out = _left_out(everything)
    if len(found) < 4:
        told = "; ".join(f"{what}: {why}" for what, why in left_out.items())
        raise DataError(
            f"{manifest} has {len(found)} utterances with audio and text; at least 4 are needed"
            f"{f' ({told})' if told else ''}"
        )
    pools = Pools(*_halves(found))
    makers: dict[str, Callable[[Random], Episode]] = {"transcript": in_any_wording(transcript)}
    for name, plural, task in (("questions", "questions", questions), ("summary", "summaries", summary)):
        fitting = [_fitting(in_any_wording(task), pool) for pool in (pools.queries, pools.demonstrations)]
        if min(fitting) >= _LEAST_OF_A_TASK:
            makers[name] = in_any_wording(task)
        elif any(fitting):
            left_out[plural] = f"{sum(fitting)} of {len(found)} utterances have one; {2 * _LEAST_OF_A_TASK} are needed"
    values = _bindable(pools)
    left_out |= _unbound(found, values)
    if values:
        label_words = names.name_list(60, "label", "test")
        makers["labels"] = lambda rng: labels.episode(rng, label_words, values, 2, attributes=list(values))
    cells = []
    for name, make in makers.items():
        most = _fitting(make, pools.demonstrations)
        shots = [k for k in SHOTS[grid] if k <= most and (name != "labels" or k != 1)]  # one cannot bind two words
        cells += [Cell(name, k, make) for k in shots]
    return [Condition("own", pools, _hear, cells, repeat=False, left_out=left_out)]


def _hear(utterance: Utterance) -> Audio:
    assert utterance.audio_path is not None
    return read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    )


def _halves(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances by halves, a function of their ids and fields alone, never of the order of lines.

    Both halves hold as many utterances, as many with questions and as many with summaries, to within one, and of each
    label or other fact about as many: pairs that are alike part, each so that the halves come nearer to one another.
    """
    asked: list[Utterance] = []
    shown: list[Utterance] = []
    surplus: Counter[tuple[str, str]] = Counter()  # of a fact's value: how many more are asked about than shown
    left_over: list[Utterance] = []
    # Whoever has questions, or a summary, stands in a row: of those left over, every other one keeps the balance.
    for kind in ((False, False), (False, True), (True, True), (True, False)):
        alike = [u for u in utterances if (bool(u.questions), u.summary is not None) == kind]
        alike.sort(key=lambda u: (priority(_HALVING_SEED, u.label or ""), priority(_HALVING_SEED, u.id)))
        for pair in zip(alike[::2], alike[1::2], strict=False):
            one, other = sorted(pair, key=lambda u: sum(surplus[value] for value in u.facts.items()))
            asked.append(one)
            shown.append(other)
            surplus.update(one.facts.items())
            surplus.subtract(other.facts.items())
        left_over += alike[len(alike) // 2 * 2 :]
    return asked + left_over[::2], shown + left_over[1::2]


def _unbound(utterances: Sequence[Utterance], bound: Container[str]) -> dict[str, str]:
    """The facts and labels that no words are bound to, and why; empty where there are none."""
    names = dict.fromkeys(name for utterance in utterances for name in utterance.facts if name not in bound)
    if not names:
        return {}
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    why = f"fewer than two values of each that both halves hold {LEAST_OF_A_VALUE} times"
    return {f"words bound to {', '.join([*names][:_MOST_NAMED])}{more}": why}


def _fitting(make_episode: Callable[[Random], Episode], pool: Sequence[Utterance]) -> int:
    """How many utterances of the pool a task can be asked of."""
    rng = Random(0)
    episode = make_episode(rng)
    return sum(episode.solve(utterance, rng) is not None for utterance in pool)


def _left_out(utterances: Sequence[Utterance]) -> dict[str, str]:
    """How many lines, and how long, lack audio (first) or text, as far as the manifest says; empty where none does."""
    reasons = {
        "lines without audio": [u for u in utterances if u.audio is None],
        "lines without text": [u for u in utterances if u.audio is not None and u.text is None],
    }
    total = len(utterances)
    return {
        reason: f"{len(lacking)} of {total} ({sum(u.duration_seconds or 0.0 for u in lacking):.1f} s)"
        for reason, lacking in reasons.items()
        if lacking
    }


def _with_label(utterance: Utterance) -> Utterance:
    """An utterance whose label is one of its facts, so that it can be bound as they are."""
    if utterance.label is None:
        return utterance
    return dataclasses.replace(utterance, facts={"label": utterance.label} | utterance.facts)


def _bindable(pools: Pools) -> dict[str, list[str]]:
    """Facts with at least two values that both pools have often enough."""
    both = [_counts(pool) for pool in (pools.queries, pools.demonstrations)]
    values: dict[str, list[str]] = {}
    for fact, value in sorted(both[0]):
        if min(counts[fact, value] for counts in both) >= LEAST_OF_A_VALUE:
            values.setdefault(fact, []).append(value)
    return {fact: own for fact, own in values.items() if len(own) >= 2}


def _counts(pool: Iterable[Utterance]) -> Counter[tuple[str, str]]:
    return Counter(pair for utterance in pool for pair in utterance.facts.items())
