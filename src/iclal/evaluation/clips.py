"""A few queries for the report page: what was said, asked and answered, and what each prefix row is nearest to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from iclal.audio.reading import Audio
from iclal.evaluation.inputs import Clips
from iclal.evaluation.outcomes import Outcome
from iclal.evaluation.report.scores import Scores
from iclal.model.connector import LinearSettings
from iclal.model.model import ICLAL

_FIRST_TASKS = ("questions", "summary")


def choose(outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]], count: int) -> list[list[Outcome]]:
    """The outcomes, by input, of `count` queries about different utterances, the tasks by turns.

    A task is shown at the number of demonstrations that the report's sentences speak of (`Scores.fair_shots`).
    """
    if not count or not rows:
        return []
    scores = Scores(rows)
    by_query: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_query.setdefault(outcome.asked.id, []).append(outcome)
    queues: dict[str, list[list[Outcome]]] = {}
    for task in sorted(scores.tasks, key=lambda task: task not in _FIRST_TASKS):
        shots = scores.fair_shots(scores.models[0], task)
        least = min(own[0].asked.shots for own in by_query.values() if own[0].asked.task == task)
        cell = (task, least if shots is None else shots)
        queues[task] = [own for own in by_query.values() if own[0].asked.cell == cell]
    chosen: list[list[Outcome]] = []
    known: set[str] = set()
    while len(chosen) < count and any(queues.values()):
        for queue in queues.values():
            while queue and queue[0][0].asked.utterance.id in known:
                queue.pop(0)
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
                known.add(chosen[-1][0].asked.utterance.id)
    return chosen


def clip_of(model: ICLAL, outcomes: Sequence[Outcome], clips: Clips, name: str) -> dict[str, Any]:
    """A query as the report page shows it (`report.clips.ClipFields`), its recording still to be written.

    The clip must have been transcribed.
    """
    asked = outcomes[0].asked
    return {
        "id": asked.utterance.id,
        "voice": asked.utterance.speaker,
        "condition": f"{asked.task}, {asked.shots} shots" if asked.shots else asked.task,
        "reference": asked.utterance.text,
        "question": asked.question or asked.instruction,
        "answer": asked.references[0],
        "answers": {outcome.input: outcome.answer for outcome in outcomes},
        "right": {outcome.input: outcome.is_right for outcome in outcomes},
        "cascade": clips.transcript(asked.utterance),
        "nearest_tokens": {name: nearest_tokens(model, clips.audio(asked.utterance))},
    }


def nearest_tokens(model: ICLAL, audio: Audio) -> list[dict[str, Any]]:
    """The language model's token that each prefix row stands for, and when it is heard.

    For `ctc` it is the token of the row's segment; else the nearest one by cosine, at the frames the row is made of.
    """
    with torch.no_grad():
        heard = model.hear([audio])

    def seconds(frame: int) -> float:
        """When a frame begins; what lies in the margins is counted to the clip's ends."""
        begins = frame * model.encoder.frame_seconds - model.encoder.settings.margin_seconds
        return round(min(max(begins, 0.0), audio.duration_seconds), 3)

    if heard.token_ids is not None and heard.segments is not None:
        ids, spans = heard.token_ids[0], heard.segments[0]
    else:
        assert isinstance(model.settings.connector, LinearSettings)
        table_VD = torch.nn.functional.normalize(model.language_model.embedding_VD.float(), dim=-1)
        ids = (torch.nn.functional.normalize(heard.rows[0].float(), dim=-1) @ table_VD.T).argmax(-1).tolist()
        stack = model.settings.connector.stack
        spans = [(row * stack, (row + 1) * stack) for row in range(len(ids))]
    tokenizer = model.language_model.tokenizer
    return [
        {
            "token": str(tokenizer.decode([token], clean_up_tokenization_spaces=False)),
            "start_seconds": seconds(first),
            "end_seconds": seconds(behind),
        }
        for token, (first, behind) in zip(ids, spans, strict=True)
    ]
