"""Evaluations on disk: every answer, transcripts that `iclal score` takes, recordings, and the report of them all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from iclal.audio.reading import SAMPLE_RATE, Audio
from iclal.errors import DataError
from iclal.evaluation.evaluate import Evaluation
from iclal.evaluation.normalize import get_normalizer
from iclal.evaluation.outcomes import NORMALIZER, Outcome
from iclal.evaluation.report.page import write_html
from iclal.evaluation.report.report import read_report, write_report_json
from iclal.evaluation.report.rows import check_rows
from iclal.evaluation.rows import check_controls, interval_of, minus_whole
from iclal.evaluation.score import TranscriptScore, score_transcripts

_WORST = 20

# What an evaluation lays into its subfolders, by place and name (transcripts also half written). No others go.
_OWN_FILES = {
    "transcripts": ("*/*.jsonl*", re.compile(r"(references(-.+)?|hypotheses-.+)\.jsonl(\.partial)?")),
    "clips": ("*.flac", re.compile(r"\d+-.+\.flac")),
}
_NAMED = {"model", "condition", "seed"}  # what every line of `answers.jsonl` begins with


def write_evaluations(
    folder: Path | str,
    evaluations: Sequence[Evaluation],
    *,
    extras: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Path:
    """Write evaluations (of several models, conditions, seeds) into one folder, with the report of them all.

    answers.jsonl                                   one line a query and input
    transcripts/MODEL.../{references,hypotheses-INPUT}.jsonl   per cell of the transcript task, for `iclal score`;
                                                    hypotheses-audio-ctc.jsonl: what the ears alone heard
    clips/*.flac, report.json, report.html          see `iclal.evaluation.report`

    An earlier evaluation in the folder is replaced, its files only when those in their place are written. Answers are
    written first, transcripts before the scores are checked: what took long to generate is not lost. `extras` (training
    curves) and `meta` (command, commit) are added to the report's own. Returns `report.json`.

    Raises:
        DataError: nothing to write, a folder with transcripts or clips of others (see `check_folder`), two evaluations
            with the same key or the same file names, a few-shot score without its controls, or a folder that cannot be
            written.
    """
    if not evaluations:
        raise DataError("no evaluations to write")
    folder = Path(folder)
    try:
        check_folder(folder)
        _write_lines(folder / "answers.jsonl", (line for e in evaluations for line in _answer_lines(e)))
        check_names({(e.columns.model, e.columns.condition, e.columns.seed): label(e) for e in evaluations}.values())
        transcripts = [path for e in evaluations for path in _write_transcripts(folder / "transcripts", e)]
        _remove_earlier(folder / "transcripts", transcripts)
        rows = merge_rows(evaluations)
        _check(evaluations, rows)
        headline = _headline(evaluations)
        clips = _write_clips(folder, headline, evaluations)
        _remove_earlier(folder / "clips", [folder / clip["audio"] for clip in clips])
        own = {
            "clips": clips,
            "worst": _worst(headline),
            "word_errors": _word_errors(evaluations),
            "cells": [cell for evaluation in evaluations for cell in evaluation.cells],
            "ablations": {e.columns.model: e.columns.ablation_of for e in evaluations if e.columns.ablation_of},
        }
        path = folder / "report.json"
        write_report_json(path, rows, own | dict(extras or {}), merge_meta(evaluations) | dict(meta or {}))
        write_html(path, folder / "report.html")
    except OSError as error:
        raise DataError(f"cannot write the evaluation to {folder}: {error.strerror or error}") from error
    return path


def check_folder(folder: Path) -> None:
    """Refuse a folder whose transcripts or clips are not of an evaluation; to be asked before anything is generated.

    Raises:
        DataError: names what lies there.
    """
    for path in [folder / part for part in _OWN_FILES if (folder / part).exists()]:
        replaceable = path.is_dir() and (not any(path.iterdir()) or _holds_answers(folder) or _holds_report(folder))
        if not replaceable:
            raise DataError(f"{path} is not of an evaluation: choose another --out, or move it away")


def check_names(names: Iterable[str]) -> None:
    """Refuse two evaluations whose files would have the same names; of models to be asked before anything is generated.

    Raises:
        DataError: names both.
    """
    known: dict[str, str] = {}
    for name in names:
        place = _slug(name).casefold()
        if place in known:
            raise DataError(f"the files of '{known[place]}' and '{name}' would have the same names: rename one")
        known[place] = name


def _holds_answers(folder: Path) -> bool:
    """Whether an evaluation's answers lie there: the first thing that is written, so an interrupted one has them."""
    try:
        with open(folder / "answers.jsonl", encoding="utf-8") as handle:
            line = json.loads(handle.readline())
    except (OSError, ValueError):
        return False
    return isinstance(line, dict) and line.keys() >= _NAMED


def _holds_report(folder: Path) -> bool:
    """Whether a report lies there."""
    try:
        read_report(folder / "report.json")
    except DataError:
        return False
    return True


def _remove_earlier(folder: Path, written: Collection[Path]) -> None:
    """Remove what an earlier evaluation left in a subfolder; with what is written now it would be taken for one."""
    pattern, name = _OWN_FILES[folder.name]
    # By the file, not by its name: where case is not told apart, it keeps the case that it was first written with.
    kept = {(file.st_dev, file.st_ino) for file in map(os.stat, written)}
    for path in sorted(folder.glob(pattern)):
        file = path.stat()
        if name.fullmatch(path.name) and (file.st_dev, file.st_ino) not in kept:
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def label(evaluation: Evaluation) -> str:
    """What tells an evaluation from others: the model, and condition and seed where they are not the usual."""
    columns = evaluation.columns
    parts = [columns.model]
    parts += [columns.condition] if columns.condition != "clean" else []
    parts += [f"seed-{columns.seed}"] if columns.seed else []
    return "-".join(parts)


def merge_rows(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """The rows of all, and of each ablation beside its model.

    Break-downs of other conditions than the headline's say of which: "snr-5db/kind=who".
    """
    main = _headline(evaluations).columns.condition
    rows = [
        row | {"condition": f"{evaluation.columns.condition}/{row['condition']}"}
        if "=" in row["condition"] and evaluation.columns.condition != main
        else row
        for evaluation in evaluations
        for row in evaluation.rows
    ]
    for ablation in evaluations:
        for whole in evaluations:
            if _is_ablation_of(ablation, whole):
                rows += minus_whole(ablation.outcomes, whole.outcomes, ablation.columns)
    return rows


def merge_meta(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """One `meta`: what all evaluations share stands once, what differs by evaluation; speed is the headline's."""
    headline = _headline(evaluations)
    merged: dict[str, Any] = {}
    for name, value in headline.meta.items():
        values = {label(evaluation): evaluation.meta.get(name) for evaluation in evaluations}
        if name in ("condition", "times_real_time") or all(other == value for other in values.values()):
            merged[name] = value
        elif name == "seconds":
            merged[name] = round(sum(evaluation.meta["seconds"] for evaluation in evaluations), 1)
        else:
            merged[name] = values
    return merged


def _headline(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The one that the page is about: as `Scores.headline` chooses the model."""
    return next((e for e in evaluations if e.columns.connector == "ctc"), evaluations[0])


def _check(evaluations: Sequence[Evaluation], rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises DataError for rows with one key, and for few-shot scores without their controls."""
    check_rows(rows)
    for evaluation in evaluations:
        columns = evaluation.columns
        related = [e for e in evaluations if e is evaluation or _is_ablation_of(evaluation, e)]
        left_out_cells = {cell for e in related for cell in e.left_out_cells}
        check_controls(
            evaluation.rows,
            rows,
            evaluation.left_out,
            ablation_of=columns.ablation_of,
            left_out_cells=left_out_cells,
        )


def _is_ablation_of(one: Evaluation, other: Evaluation) -> bool:
    """Whether one is an altered copy of the other's model, asked the same under the same condition."""
    mine, theirs = one.columns, other.columns
    same = (mine.condition, mine.seed) == (theirs.condition, theirs.seed)
    return same and mine.ablation_of is not None and mine.ablation_of == theirs.model


def _answer_lines(evaluation: Evaluation) -> Iterable[dict[str, Any]]:
    columns = evaluation.columns
    named = {"model": columns.model, "condition": columns.condition, "seed": columns.seed}
    return ({**named, **outcome.to_json()} for outcome in evaluation.outcomes)


def _write_transcripts(folder: Path, evaluation: Evaluation) -> list[Path]:
    """Write the transcripts of every cell and input; the files."""
    written = []
    for (shots, input), outcomes in evaluation.transcripts.items():
        place = folder / _slug(f"{label(evaluation)}-{shots}-shot")
        references = ({"id": o.asked.id, "text": o.asked.references[0]} for o in outcomes)
        said = ({"id": o.asked.id, "text": o.answer} for o in outcomes)
        # An input that could not be made for every block has references of its own.
        whole = len(outcomes) == max(len(o) for (s, _), o in evaluation.transcripts.items() if s == shots)
        written.append(_write_lines(place / ("references.jsonl" if whole else f"references-{input}.jsonl"), references))
        written.append(_write_lines(place / f"hypotheses-{input}.jsonl", said))
        if all(outcome.ctc_text is not None for outcome in outcomes):
            alone = ({"id": o.asked.id, "text": o.ctc_text} for o in outcomes)
            written.append(_write_lines(place / f"hypotheses-{input}-ctc.jsonl", alone))
    return written


def score_of(outcomes: Sequence[Outcome]) -> TranscriptScore:
    """The word errors of one cell and input: `iclal score` on the saved texts.

    Its interval takes each utterance for a block of its own; the report's are those of `interval_of`.
    """
    return score_transcripts(
        [outcome.asked.id for outcome in outcomes],
        [outcome.asked.references[0] for outcome in outcomes],
        [outcome.answer for outcome in outcomes],
        normalizer=get_normalizer(NORMALIZER),
    )


def _word_errors(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """The counts behind every word error rate of a main condition."""
    found = []
    for evaluation in evaluations:
        columns = evaluation.columns
        for (shots, input), outcomes in evaluation.transcripts.items():
            named = {"model": columns.model, "condition": columns.condition, "seed": columns.seed}
            score = score_of(outcomes)
            errors = [utterance.errors for utterance in score.utterances]
            low, high = interval_of(
                [e.errors for e in errors], [o.asked for o in outcomes], [e.num_references for e in errors]
            )
            bounds = {"low": low, "high": high}  # the row's
            found.append(named | {"shots": shots, "input": input} | score.counts() | bounds)
    return found


def _worst(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The zero-shot transcripts through audio with the most errors."""
    shots = min((shots for shots, input in evaluation.transcripts if input == "audio"), default=None)
    if shots is None:
        return []
    return [
        {
            "id": utterance.id,
            "reference": utterance.reference,
            "hypothesis": utterance.hypothesis,
            "value": utterance.errors.wer,
        }
        for utterance in score_of(evaluation.transcripts[shots, "audio"]).worst(_WORST)
    ]


def _write_clips(folder: Path, headline: Evaluation, evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """The headline's clips with their recordings, and what other models (no ablations) made of the same queries."""
    main = headline.columns
    others = [
        e
        for e in evaluations
        if e.columns.model != main.model and not e.columns.ablation_of and e.columns.condition == main.condition
    ]
    clips = []
    for number, clip in enumerate(headline.clips, 1):
        path = folder / "clips" / f"{number}-{_slug(clip['id'])}.flac"
        _write_recording(path, headline.recordings[clip["id"]])
        clip = clip | {"audio": path.relative_to(folder).as_posix(), "answers_by_model": {}, "right_by_model": {}}
        for other in others:
            same = next((c for c in other.clips if _same_query(c, clip)), None)
            if same is not None and label(other) not in clip["answers_by_model"]:
                clip["answers_by_model"] |= {label(other): same["answers"].get("audio", "")}
                clip["right_by_model"] |= {label(other): right for i, right in same["right"].items() if i == "audio"}
                clip["nearest_tokens"] = clip["nearest_tokens"] | same["nearest_tokens"]
        clips.append(clip)
    return clips


def _same_query(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("id", "condition", "question", "answer"))


def _write_recording(path: Path, audio: Audio) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.clip(audio.samples, -1.0, 1.0)
    try:
        soundfile.write(str(path), samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    except soundfile.SoundFileError as error:
        raise DataError(f"cannot write the clip {path}: {error}") from error


def _write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> Path:
    """JSONL, aside and renamed; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    with open(aside, "w", encoding="utf-8") as handle:
        for value in values:
            handle.write(json.dumps(value, ensure_ascii=False) + "\n")
    return aside.replace(path)


def _slug(name: str) -> str:
    """A name as a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "unnamed"
