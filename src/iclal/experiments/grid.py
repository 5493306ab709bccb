"""The grids that are published: which tasks, demonstrations and conditions a model is asked, on which speech."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from iclal.audio.reading import Audio, read_audio
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.data.world import names, speech
from iclal.data.world.sentences import Taste
from iclal.errors import DataError, SettingsError
from iclal.evaluation.evaluate import Cell, Evaluation, EvaluationSettings, Pools, evaluate
from iclal.evaluation.inputs import INPUTS
from iclal.evaluation.records import write_evaluations
from iclal.model.model import ICLAL

QUERIES = {"quick": 208, "full": 400}
_POOL = {"quick": 260, "full": 640}  # utterances in each pool of the world
_LEAST_OF_A_VALUE = 5
_HONEST = ("audio", "ceiling", "cascade")  # where controls stand elsewhere


@dataclass(frozen=True)
class Condition:
    """A kind of test speech: its pools, how it is heard, which cells and inputs are asked of it."""

    name: str
    pools: Pools
    hear: Callable[[Utterance], Audio]
    cells: Sequence[Cell]
    inputs: tuple[str, ...] = INPUTS


def run_grid(
    models: Mapping[str, ICLAL],
    out: Path,
    *,
    grid: str = "quick",
    manifest: Path | None = None,
    queries: int | None = None,
    seed: int = 0,
    extras: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Evaluate models (name in the report -> model) on the world's test, or on a manifest; returns the report.json.

    Raises:
        SettingsError: an unknown grid.
        DataError: a manifest with nothing to ask; see `evaluate`.
    """
    if grid not in QUERIES:
        raise SettingsError(f"no grid '{grid}'; known are {', '.join(QUERIES)}")
    conditions = own_conditions(manifest, grid) if manifest else world_conditions(grid, seed, progress=progress)
    evaluations = evaluate_all(models, conditions, queries or QUERIES[grid], seed, progress=progress)
    meta = {"grid": grid, "command": " ".join(["iclal", *sys.argv[1:]])}
    return write_evaluations(out, evaluations, extras=extras, meta=meta)


def evaluate_all(
    models: Mapping[str, ICLAL], conditions: Sequence[Condition], queries: int, seed: int, *, progress: bool = True
) -> list[Evaluation]:
    """Every model under every condition, asked the same queries."""
    return [
        evaluate(
            model,
            condition.cells,
            condition.pools,
            condition.hear,
            EvaluationSettings(
                name=name, condition=condition.name, queries=queries, seed=seed, inputs=condition.inputs
            ),
            progress=progress,
        )
        for condition in conditions
        for name, model in models.items()
    ]


def world_conditions(grid: str, seed: int, *, progress: bool = True) -> list[Condition]:
    """The world's test: unseen voices and sentences. Full: also unseen names, noisy places, and 5 dB of noise."""
    size = _POOL[grid]
    clean = _world_pools(size, seed, Taste((1, 4)), progress=progress)
    cells = world_cells(grid, clean)
    found = [Condition("clean", clean, speech.hear, cells)]
    if grid == "quick":
        return found
    unseen = _world_pools(size // 2, seed + 1, Taste((1, 4), name_part="test"), progress=progress)
    basic = [cell for cell in cells if cell.shots == 0 and cell.task in ("transcript", "questions", "summary")]
    found.append(Condition("unseen-names", unseen, speech.hear, basic, _HONEST))
    found.append(Condition("snr-5db", clean, lambda u: speech.hear(u, snr_db=5.0), basic, (*_HONEST, "cascade-ctc")))
    noisy = _world_pools(size // 2, seed + 2, Taste((1, 4)), noisy_share=0.5, progress=progress)
    voices = [Cell("voice", 0, lambda rng: voice.episode(rng)), Cell("voice", 4, _bound_voice(noisy))]
    found.append(Condition("notes", noisy, speech.hear, voices))
    return found


def _world_pools(size: int, seed: int, taste: Taste, *, noisy_share: float = 0.0, progress: bool = True) -> Pools:
    """Queries and demonstrations of the test part, made in one go."""
    spoken = speech.speak_passages(
        "test", 2 * size, seed + 100, taste, noisy_share=noisy_share, digits_share=0.0, progress=progress
    )
    return Pools(spoken[:size], spoken[size:])


def world_cells(grid: str, pools: Pools) -> list[Cell]:
    """Tasks by number of demonstrations. Two label words are bound in `labels`, four in `labels-4`."""
    shots = {"quick": (0, 2), "full": (0, 1, 2, 4, 8)}[grid]
    copied = shots[: 4 if grid == "full" else 2]  # long answers: eight demonstrations of them say nothing new
    cells = [Cell("transcript", k, _held_out(transcript)) for k in copied]
    cells += [Cell("questions", k, _held_out(questions)) for k in shots]
    cells += [Cell("summary", k, _held_out(summary)) for k in copied]
    cells += [Cell("pattern", k, _held_out(pattern)) for k in shots]
    bound = {"quick": {2: (0, 2)}, "full": {2: (0, 4, 8), 4: (0, 8)}}[grid]
    for ways, counts in bound.items():
        cells += [Cell("labels" if ways == 2 else f"labels-{ways}", k, bind(pools, ways)) for k in counts]
    return cells


def _held_out(task: Any) -> Callable[[Random], Episode]:
    """Episodes in the wordings that training knows and the ones it does not, by turns."""
    return lambda rng: task.episode(rng, task.INSTRUCTIONS + task.HELD_OUT_INSTRUCTIONS)


def bind(pools: Pools, ways: int) -> Callable[[Random], Episode]:
    """Episodes that bind unseen label words to values which both pools have often enough."""
    values = {attribute: _common_values(pools, attribute) for attribute in labels.ATTRIBUTES}
    label_words = names.name_list(60, "label", "test")
    return lambda rng: labels.episode(rng, label_words, values, ways)


def _bound_voice(pools: Pools) -> Callable[[Random], Episode]:
    values = {attribute: _common_values(pools, attribute) for attribute in voice.CANDIDATES}
    label_words = names.name_list(60, "label", "test")
    return lambda rng: voice.bound_episode(rng, label_words, values)


def _common_values(pools: Pools, attribute: str) -> list[str]:
    counts = [Counter(u.facts.get(attribute) for u in pool) for pool in (pools.queries, pools.demonstrations)]
    return sorted(v for v in counts[0] if v and min(count[v] for count in counts) >= _LEAST_OF_A_VALUE)


def own_conditions(manifest: Path, grid: str) -> list[Condition]:
    """A user's manifest: every other utterance is asked about, the others are there to demonstrate.

    Raises:
        DataError: fewer than four utterances with audio and text.
    """
    found = [u for u in read_manifest(manifest) if u.audio is not None and u.text is not None]
    if len(found) < 4:
        raise DataError(f"{manifest} has {len(found)} utterances with audio and text; at least 4 are needed")
    pools = Pools(found[::2], found[1::2])
    tasks: dict[str, Any] = {"transcript": transcript}
    if min(sum(bool(u.questions) for u in pool) for pool in (pools.queries, pools.demonstrations)) >= 2:
        tasks["questions"] = questions
    if min(sum(bool(u.summary) for u in pool) for pool in (pools.queries, pools.demonstrations)) >= 2:
        tasks["summary"] = summary
    most = len(pools.demonstrations)
    shots = [k for k in {"quick": (0, 2), "full": (0, 1, 2, 4, 8)}[grid] if k <= most]
    cells = [Cell(name, k, _held_out(task)) for name, task in tasks.items() for k in shots]

    def hear(utterance: Utterance) -> Audio:
        assert utterance.audio_path is not None
        return read_audio(
            utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
        )

    return [Condition("own", pools, hear, cells)]
