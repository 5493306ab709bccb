"""Evaluation: every task, number of demonstrations and input of a grid, by free greedy generation."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic
import torch
import transformers

import iclal
from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Prompt
from iclal.errors import IclalError, PromptError
from iclal.evaluation.blocks import BLOCK_SIZE, Block, Cell, Pools, check_cells, draw_blocks
from iclal.evaluation.clips import choose, clip_of
from iclal.evaluation.inputs import FEW_SHOT_INPUTS, INPUTS, SELF_WRITTEN_INPUTS, Clips, Slots, applicable
from iclal.evaluation.normalize import get_normalizer
from iclal.evaluation.outcomes import (
    NORMALIZER,
    TOO_LONG,
    TRANSCRIPT_TASK,
    Asked,
    Outcome,
    describe_item,
    describe_utterance,
    references_of,
)
from iclal.evaluation.rows import Columns, make_rows, wide_break_downs
from iclal.model import inference
from iclal.model.connector import CTCConnector
from iclal.model.hearing import check_seconds, in_use
from iclal.model.model import ICLAL
from iclal.progress import Bar
from iclal.settings import Settings


class EvaluationSettings(Settings):
    """How much is asked and how it is named in the report."""

    name: str | None = None  # the report's column `model`; None: the connector's kind
    condition: str = "clean"  # what the query pool's clips are like, as the report calls it
    ablation_of: str | None = None  # the name of the model of which this one is an altered copy
    queries: int = pydantic.Field(default=400, ge=1)  # a cell
    repeat: bool = True  # ask about clips again where a cell has fewer that fit; False: fewer queries then
    seed: int = 0
    inputs: tuple[str, ...] = INPUTS
    batch_size: int = pydantic.Field(default=96, ge=1)  # prompts at once without demonstrations; with them a block
    max_new_tokens: int | None = pydantic.Field(default=None, ge=1)  # None: grows with clip and text
    clips: int = pydantic.Field(default=6, ge=0)  # queries that the report plays and shows

    @pydantic.field_validator("inputs")
    @classmethod
    def _known(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [input for input in inputs if input not in INPUTS]
        if unknown or not inputs:
            raise ValueError(f"unknown inputs {unknown}; known are {', '.join(INPUTS)}")
        return inputs


@dataclass(frozen=True)
class Evaluation:
    """What was asked, said and measured of one model under one condition; `iclal.evaluation.records` writes it."""

    columns: Columns
    rows: list[dict[str, Any]]
    outcomes: list[Outcome]
    meta: dict[str, Any]
    clips: list[dict[str, Any]]  # of the report page, `audio` still to be written
    recordings: dict[str, Audio]  # of the clips, by their id
    left_out: dict[str, str]  # inputs that could not be made, and why
    left_out_cells: frozenset[tuple[str, int, str]] = frozenset()  # (task, shots, input) for which none could be made
    ended_by: KeyboardInterrupt | IclalError | None = None  # Ctrl-C or an error: then it is what was asked until then

    @property
    def transcripts(self) -> dict[tuple[int, str], list[Outcome]]:
        """The transcript task's outcomes by (shots, input)."""
        found: dict[tuple[int, str], list[Outcome]] = {}
        for outcome in self.outcomes:
            if outcome.asked.task == TRANSCRIPT_TASK:
                found.setdefault((outcome.asked.shots, outcome.input), []).append(outcome)
        return found

    @property
    def cells(self) -> list[dict[str, Any]]:
        """What the report tells of each cell: queries, how many clips they are about, prompts that were too long."""
        members: dict[tuple[str, int], dict[str, Asked]] = {}
        too_long: dict[tuple[str, int], dict[str, int]] = {}
        for outcome in self.outcomes:
            cell = outcome.asked.cell
            members.setdefault(cell, {})[outcome.asked.id] = outcome.asked
            if outcome.finish_reason == TOO_LONG:
                counts = too_long.setdefault(cell, {})
                counts[outcome.input] = counts.get(outcome.input, 0) + 1
        named = {"model": self.columns.model, "condition": self.columns.condition, "seed": self.columns.seed}
        return [
            {
                **named,
                "task": cell[0],
                "shots": cell[1],
                "queries": len(asked),
                "clips": len({query.utterance.id for query in asked.values()}),
                "too_long": too_long.get(cell, {}),
                "left_out": sorted(input for task, shots, input in self.left_out_cells if (task, shots) == cell),
            }
            for cell, asked in members.items()
        ]


def evaluate(
    model: ICLAL,
    cells: Sequence[Cell],
    pools: Pools,
    hear: Callable[[Utterance], Audio],
    settings: EvaluationSettings | None = None,
    *,
    conditions: Callable[[Utterance], Iterable[str]] | None = None,
    progress: bool = True,
) -> Evaluation:
    """Ask a model every query of every cell through every input.

    The same arguments give the same rows, and another model is asked the same queries behind the same demonstrations.
    Ctrl-C, or an error behind the first whole block, ends it with what was asked until then (`Evaluation.ended_by`).

    Args:
        cells: the grid. With all inputs, each task must have a cell without demonstrations: the control of the others.
        hear: the recording of an utterance, the same samples at each call.
        conditions: break-downs ("voice=...", "names=unseen") that an utterance counts in, in every task; by default
            `describe_utterance`'s for transcripts. Kind of question, ways, closed set of answers and wording are
            added.
        progress: a bar with the time left on a terminal's stderr.

    Raises:
        DataError: a grid or pools that do not do (see `check_cells`, `Pools`, `draw_blocks`).
        PromptError: a prompt longer than the language model's positions; nothing is cut. Where the model itself wrote
            the text that is too long (a cascade that loops), its answer counts as wrong instead, and is counted.
        AudioError: from `hear`, or a clip that is too long to be heard at once.
    """
    settings = settings or EvaluationSettings()
    check_cells(cells, published=set(settings.inputs) == set(INPUTS))
    start = time.monotonic()
    clips = Clips(model, hear)
    inputs, left_out = applicable(settings.inputs, model, pools)
    columns = _columns(model, settings)
    # All blocks first, and their clips: what is lacking or cannot be read is told before anything is generated.
    drawn = [
        block
        for cell in cells
        for block in draw_blocks(cell, pools, settings.queries, settings.seed, repeat=settings.repeat)
    ]
    slots = Slots(clips, model, pools, settings.seed)
    for block in drawn:
        for item in (*block.demonstrations, *block.queries):
            heard = [item.clip, slots.other(item.clip)] if "shuffled-audio" in inputs else [item.clip]
            for utterance in heard:
                check_seconds(clips.audio(utterance))
    with in_use(model):
        _check_lengths(model, slots, clips, drawn, inputs, settings)
        bar = Bar("evaluating", sum(len(_inputs_at(b.cell.shots, inputs)) for b in drawn), wanted=progress)
        outcomes, ended_by = _ask_all(model, slots, clips, drawn, inputs, settings, conditions, bar)
        rows = make_rows(outcomes, columns)
        shown = choose(outcomes, rows, settings.clips)
        clips.transcribe([own[0].asked.utterance for own in shown])
        page_clips = [clip_of(model, own, clips, columns.model) for own in shown]
    left_out_cells = _left_out_cells(outcomes, inputs)
    meta = _meta(model, settings, pools, left_out, clips)
    meta["left_out"] |= _not_told(outcomes, left_out_cells)
    meta["queries"] |= _counts(drawn, outcomes, inputs)
    meta["seconds"] = round(time.monotonic() - start, 1)
    recordings = {own[0].asked.utterance.id: clips.audio(own[0].asked.utterance) for own in shown}
    return Evaluation(columns, rows, outcomes, meta, page_clips, recordings, left_out, left_out_cells, ended_by)


def _check_lengths(
    model: ICLAL,
    slots: Slots,
    clips: Clips,
    blocks: Sequence[Block],
    inputs: Sequence[str],
    settings: EvaluationSettings,
) -> None:
    """Try the blocks with most demonstrations of each task before any is asked, as hours may lie between.

    All are tried as text, one is heard. Raises PromptError, as `_answer` does, which other inputs may still do.
    """
    most: dict[str, int] = {}
    for block in blocks:
        most[block.cell.task] = max(most.get(block.cell.task, 0), block.cell.shots)
    heard: set[str] = set()
    for block in (block for block in blocks if block.cell.shots == most[block.cell.task]):
        tried = ["ceiling"] if block.cell.task in heard else ["ceiling", "audio"]
        heard.add(block.cell.task)
        for input in filter(inputs.__contains__, tried):
            prompts = slots.prompts(block, input)
            assert prompts is not None, "only wrong labels may be lacking"
            with _named(block, [input]):
                inference.check_prompts(model, prompts, max_new_tokens=settings.max_new_tokens, hearing=clips.hearing)


@contextmanager
def _named(block: Block, inputs: Sequence[str]) -> Iterator[None]:
    """A PromptError says where it comes from."""
    try:
        yield
    except PromptError as error:
        told = f"{block.cell.task} with {block.cell.shots} shots, input {' or '.join(inputs)}"
        raise PromptError(f"{told}: {error}") from error


def _columns(model: ICLAL, settings: EvaluationSettings) -> Columns:
    kind = model.settings.connector.kind
    return Columns(
        model=settings.name or kind,
        objective=model.settings.objective,
        connector=kind,
        language_model=model.language_model.name,
        seed=settings.seed,
        condition=settings.condition,
        ablation_of=settings.ablation_of,
    )


def _inputs_at(shots: int, inputs: Sequence[str]) -> list[str]:
    """The inputs of a cell: those that change demonstrations need some."""
    return [input for input in inputs if shots or input not in FEW_SHOT_INPUTS]


def _sound_of(task: str) -> Callable[[Utterance], Iterable[str]]:
    """How a clip sounds matters to every task by way of its words: told by it in the transcript task alone."""
    return describe_utterance if task == TRANSCRIPT_TASK else lambda _: ()


def _asked(block: Block, conditions: Callable[[Utterance], Iterable[str]]) -> list[Asked]:
    """The queries of a block, with what scores need of them."""
    episode = block.episode
    return [
        Asked(
            task=block.cell.task,
            shots=block.cell.shots,
            block=block.number,
            number=block.number * BLOCK_SIZE + place,
            utterance=item.clip,
            references=references_of(item),
            question=item.question,
            instruction=episode.instruction,
            candidates=episode.candidates,
            grouped=bool(episode.groups),
            conditions=tuple(dict.fromkeys([*conditions(item.clip), *describe_item(episode, item)])),
            demonstration_ids=tuple(shown.clip.id for shown in block.demonstrations),
        )
        for place, item in enumerate(block.queries)
    ]


def _calls(shots: int, inputs: Sequence[str]) -> list[list[str]]:
    """The inputs that are generated in one call each.

    Demonstrations are read once a call, so each input with its own; without any, all go together, in fewer steps.
    """
    own = _inputs_at(shots, inputs)
    return [[input] for input in own] if shots else [own]


def _ask_all(
    model: ICLAL,
    slots: Slots,
    clips: Clips,
    blocks: Sequence[Block],
    inputs: Sequence[str],
    settings: EvaluationSettings,
    conditions: Callable[[Utterance], Iterable[str]] | None,
    bar: Bar,
) -> tuple[list[Outcome], KeyboardInterrupt | IclalError | None]:
    """The blocks' outcomes, and what ended it early: then of the blocks that were whole by then.

    Raises what ended it where none was.
    """
    outcomes: list[Outcome] = []
    try:
        with bar:
            for block in blocks:
                cell = block.cell
                if not clips.transcribed_seconds:
                    clips.time_transcription([item.clip for item in block.queries])
                if "cascade" in inputs:
                    clips.transcribe([item.clip for item in block.queries])
                asked = _asked(block, conditions or _sound_of(cell.task))
                of_block: list[Outcome] = []
                for together in _calls(cell.shots, inputs):
                    of_block += _answer(model, slots, clips, block, asked, together, settings)
                    bar.advance(len(together), f"{cell.task}, {cell.shots} shots")
                outcomes += of_block
    except (KeyboardInterrupt, IclalError) as error:
        if not outcomes:
            raise
        return outcomes, error
    return outcomes, None


def _answer(
    model: ICLAL,
    slots: Slots,
    clips: Clips,
    block: Block,
    asked: Sequence[Asked],
    inputs: Sequence[str],
    settings: EvaluationSettings,
) -> list[Outcome]:
    """A block's outcomes through inputs that go into one call."""
    made = {input: prompts for input in inputs if (prompts := slots.prompts(block, input)) is not None}
    asked_so = [(input, *pair) for input, own in made.items() for pair in zip(asked, own, strict=True)]
    prompts = [(input, prompt) for input, _, prompt in asked_so]
    clips.listen([piece for _, prompt in prompts for piece in prompt if isinstance(piece, Audio)])
    size = BLOCK_SIZE if block.cell.shots else settings.batch_size

    def generate(some: Sequence[Prompt]) -> Sequence[inference.Answer]:
        return inference.generate(
            model, some, max_new_tokens=settings.max_new_tokens, batch_size=size, hearing=clips.hearing
        )

    with _named(block, inputs):
        answers = _generate_what_fits(generate, prompts)
    outcomes = []
    for (input, query, prompt), answer in zip(asked_so, answers, strict=True):
        said = ("", (), TOO_LONG) if answer is None else (answer.text, answer.token_ids, answer.finish_reason)
        own = clips.transcript(query.utterance) if "cascade" in settings.inputs else None
        alone = query.cell == (TRANSCRIPT_TASK, 0) and input == "audio" and isinstance(model.connector, CTCConnector)
        ctc_text = clips.greedy_text(query.utterance) if alone else None
        outcomes.append(Outcome(query, input, slots.written(prompt), *said, own, ctc_text))
    return outcomes


def _generate_what_fits(
    generate: Callable[[Sequence[Prompt]], Sequence[inference.Answer]], prompts: Sequence[tuple[str, Prompt]]
) -> list[inference.Answer | None]:
    """Answers to (input, prompt) pairs; None where a prompt does not fit because of what the model itself wrote.

    Raises:
        PromptError: a prompt with any other input that does not fit.
    """
    try:
        return list(generate([prompt for _, prompt in prompts]))
    except PromptError:
        written = [index for index, (input, _) in enumerate(prompts) if input in SELF_WRITTEN_INPUTS]
        if not written:
            raise
        if len(prompts) == 1:
            return [None]
    # Lengths are checked before anything is generated, so halving costs little, and what fits goes together.
    others = [index for index in range(len(prompts)) if index not in set(written)]
    half = len(written) // 2
    parts = [others, written] if others else [written[:half], written[half:]]
    answers: list[inference.Answer | None] = [None] * len(prompts)
    for part in parts:
        answered = _generate_what_fits(generate, [prompts[index] for index in part])
        for index, answer in zip(part, answered, strict=True):
            answers[index] = answer
    return answers


def _left_out_cells(outcomes: Sequence[Outcome], inputs: Sequence[str]) -> frozenset[tuple[str, int, str]]:
    """(task, shots, input) of which no block could be made: wrong labels where all answers are the same."""
    made = {(*outcome.asked.cell, outcome.input) for outcome in outcomes}
    cells = {outcome.asked.cell for outcome in outcomes}
    return frozenset((*cell, input) for cell in cells for input in _inputs_at(cell[1], inputs)) - made


def _not_told(outcomes: Sequence[Outcome], left_out_cells: Iterable[tuple[str, int, str]]) -> dict[str, str]:
    """What the rows do not tell, and why: break-downs of too many values, cells without wrong labels to show."""
    wide = {f"by {name}": f"{count} values; see answers.jsonl" for name, count in wide_break_downs(outcomes).items()}
    return wide | {
        f"{input}, {task} with {shots} shots": "all answers are the same, there are no others to show"
        for task, shots, input in sorted(left_out_cells)
    }


def _counts(drawn: Sequence[Block], outcomes: Sequence[Outcome], inputs: Sequence[str]) -> dict[str, int]:
    """What a reader should know of the queries."""
    blocks = {(outcome.asked.cell, outcome.asked.block) for outcome in outcomes if outcome.asked.shots}
    misled = {(o.asked.cell, o.asked.block) for o in outcomes if o.input == "wrong-labels"}
    return {
        "repeated": sum(block.repeated for block in drawn),
        "blocks without other labels to show": len(blocks - misled) if "wrong-labels" in inputs else 0,
        "cascades longer than the positions": sum(outcome.finish_reason == TOO_LONG for outcome in outcomes),
    }


def _meta(
    model: ICLAL, settings: EvaluationSettings, pools: Pools, left_out: dict[str, str], clips: Clips
) -> dict[str, Any]:
    """How the numbers were made: what a reader needs to trust, and a colleague to repeat them."""
    normalizer = get_normalizer(NORMALIZER)
    seconds = clips.transcription_seconds
    return {
        "condition": settings.condition,
        "seed": settings.seed,
        "times_real_time": round(clips.transcribed_seconds / seconds, 2) if seconds else 0.0,
        "queries": {
            "a cell": settings.queries,
            "a block": BLOCK_SIZE,
            "pool": len(pools.queries),
            "demonstration pool": len(pools.demonstrations),
        },
        "normaliser": {"name": normalizer.name, "version": normalizer.version, "fingerprint": normalizer.fingerprint},
        "decoding": {
            "method": "greedy",
            "max_new_tokens": settings.max_new_tokens or "grows with the clip",
            "repetition_stop": True,
            "batch_size": settings.batch_size,
            "batch_size_with_demonstrations": BLOCK_SIZE,
        },
        "intervals": "95 % bootstrap, blocks resampled; clips too where they are asked about again or blocks are few",
        "left_out": dict(left_out),
        "digests": {
            "language_model": model.language_model.digest(),
            "tokenizer": model.language_model.tokenizer_hash,
            "ears": _ears_digest(model),
            "queries": _pool_digest(pools.queries),
            "demonstrations": _pool_digest(pools.demonstrations),
        },
        "machine": {
            "device": str(model.device),
            "dtype": str(model.language_model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "iclal": iclal.__version__,
        },
    }


def _ears_digest(model: ICLAL) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor of the ears."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        total.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return total.hexdigest()


def _pool_digest(utterances: Sequence[Utterance]) -> str:
    """SHA-256 over the ids and texts of a pool, whatever its order."""
    lines = sorted(f"{utterance.id}\t{utterance.text}\n" for utterance in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


__all__ = ["Cell", "Evaluation", "EvaluationSettings", "Pools", "evaluate"]
