"""A report such as a run makes: invented but plausible figures, around two real clips."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "data" / "librispeech" / "audio"
SHOTS = (0, 1, 2, 4, 8)

# task -> ceiling by shots, chance, majority
CEILINGS = {
    "transcript": ((0.985, 0.98, 0.975, 0.97, 0.96), 0.0, 0.0),
    "questions": ((0.962, 0.965, 0.96, 0.955, 0.948), 0.05, 0.13),
    "summary": ((0.99, 0.988, 0.986, 0.984, 0.98), 0.02, 0.02),
    "pattern": ((0.03, 0.955, 0.972, 0.978, 0.981), 0.04, 0.08),
    "labels": ((0.02, 0.55, 0.83, 0.915, 0.94), 0.5, 0.52),
    "voice": ((0.84, 0.88, 0.9, 0.91, 0.92), 0.33, 0.36),
}
CTC = {"model": "ctc", "objective": "alignment+distillation", "connector": "ctc", "language_model": "iclal-opt-6m"}
LINEAR = {"model": "linear", "objective": "transcription", "connector": "linear", "language_model": "iclal-opt-6m"}
VOICES = ("adam", "linda", "caleb", "alicia", "f4", "m8", "scots-1", "scots-2", "john", "mary-anne", "robert", "w3")

SAID = {
    "1272-128104-0000": "mister quilter is the apostle of the middle classes and we are glad to welcome his gospel",
    "1089-134691-0000": "he could wait no longer",
}


def row(model: dict[str, str], task: str, metric: str, value: float, **columns: Any) -> dict[str, Any]:
    """A row with a binomial interval around `value`."""
    n = columns.get("n", 400)
    half = 1.96 * math.sqrt(max(value * (1 - min(value, 1.0)), 0.0004) / n)
    fixed = {"task": task, "shots": 0, "input": "audio", "condition": "clean", "seed": 0, "metric": metric}
    bounds = {
        "value": value,
        "low": max(0.0, value - half),
        "high": value + half if metric == "wer" else min(1.0, value + half),
    }
    return model | fixed | {"n": n} | bounds | columns


def sample_rows(seed: int = 7) -> list[dict[str, Any]]:
    """Rows of two models over the whole grid, by voice, condition and kind of question."""
    rng = random.Random(seed)
    rows = []
    for model, loss in ((CTC, 0.015), (LINEAR, 0.62)):
        for task, (ceilings, chance, majority) in CEILINGS.items():
            for shots, ceiling in zip(SHOTS, ceilings, strict=True):
                blind = max(chance, majority) if shots or task in ("questions", "voice") else 0.01
                audio = min(1.0, max(0.0, ceiling * (1 - loss) + rng.gauss(0, 0.006)))
                if task == "transcript" and model is LINEAR:
                    audio = 0.71
                values = {"audio": audio, "ceiling": ceiling, "cascade": max(0.0, audio - rng.uniform(-0.006, 0.02))}
                if task == "voice":
                    values["cascade"] = values["ceiling"] = blind if model is LINEAR else min(0.4, blind + 0.02)
                    values["ceiling"] = ceiling
                if model is CTC:
                    values["cascade-ctc"] = max(0.0, audio - rng.uniform(0.0, 0.03))
                    values["shuffled-audio"] = min(1.0, max(0.0, blind + rng.gauss(0, 0.01)))
                    values["no-audio"] = min(1.0, max(0.0, blind + rng.gauss(0, 0.01)))
                    if shots and task in ("pattern", "labels", "voice"):
                        values["wrong-labels"] = blind * 0.6 + 0.02 / shots
                    if shots:
                        values["text-demos"] = min(1.0, max(0.0, audio + rng.gauss(0, 0.006)))
                values |= {"chance": chance, "majority": majority}
                rows += [row(model, task, "exact", v, input=i, shots=shots) for i, v in values.items()]
            if task != "transcript":
                more = 0.5 if task == "voice" and model is CTC else 0.008
                rows.append(row(model, task, "minus-cascade", more, low=more - 0.01, high=more + 0.01))
            transcribing = (
                {"questions": 0.83, "summary": 0.74, "pattern": 0.66}.get(task, 0.5) if model is LINEAR else 0.004
            )
            if task != "transcript":
                rows.append(row(model, task, "share-transcribing", transcribing))
            rows.append(row(model, task, "share-empty", 0.002))
            rows.append(row(model, task, "share-looping", 0.0005 if model is CTC else 0.031))
        wer = 0.034 if model is CTC else 0.118
        for input, value in (("audio", wer), ("cascade-ctc", wer + 0.006), ("ceiling", 0.004)):
            rows.append(row(model, "transcript", "wer", value, input=input))
        if model is CTC:
            rows.append(row(model, "transcript", "wer-ctc", 0.027))
        for voice in VOICES:
            value = max(0.004, rng.gauss(wer, 0.012)) * (6 if voice == "caleb" else 1)
            rows.append(row(model, "transcript", "wer", value, condition=f"voice={voice}", n=60))
        for condition, factor in {
            "unseen-names": 1.7,
            "noise-5dB": 5.4,
            "noise-15dB": 1.9,
            "room": 2.2,
            "fast": 1.5,
        }.items():
            rows.append(row(model, "transcript", "wer", wer * factor, condition=condition))
    for kind, value in {"who": 0.97, "where": 0.95, "which colour": 0.96, "yes/no": 0.89, "what number": 0.94}.items():
        rows.append(row(CTC, "questions", "exact", value, condition=f"kind={kind}", n=90))
    return rows


def sample_curves(seed: int = 7) -> dict[str, list[dict[str, Any]]]:
    """Training curves of both models from step 0; validation every 100 steps."""
    rng = random.Random(seed)
    curves: dict[str, list[dict[str, Any]]] = {"linear": [], "ctc": []}
    for name, points in curves.items():
        for step in range(0, 1501, 5):
            fall = math.exp(-max(0, step - (250 if name == "ctc" else 60)) / 260)
            alignment = 7.4 * fall + 0.25 + rng.gauss(0, 0.08) * (0.3 + fall)
            distillation = 2.9 * fall + 0.12 + rng.gauss(0, 0.04)
            parts = (
                {"alignment": alignment, "distillation": distillation}
                if name == "ctc"
                else {"transcription": alignment}
            )
            rates = {"connector": 1e-3}
            points.append(
                {"kind": "train", "step": step, "loss": sum(parts.values()), "parts": parts, "learning_rate": rates}
            )
            if step % 100 == 0:
                scores = {"wer": 0.03 + 0.97 * fall, "exact": 0.94 * (1 - fall)}
                losses = {
                    "right": 0.3 + 4 * fall,
                    "other": 4.3 + 1.5 * (1 - fall),
                    "silence": 4.2 + 0.4 * (1 - fall),
                }
                points += [
                    {"kind": "validation", "step": step, **scores},
                    {"kind": "listening", "step": step, **losses},
                ]
    return curves


def sample_clips() -> list[dict[str, Any]]:
    """Two real clips with answers by input and nearest tokens at even distances (the times are invented)."""
    clips = []
    for (name, text), seconds in zip(SAID.items(), (5.855, 2.09), strict=True):
        words = text.split()
        pieces = [piece for word in words for piece in ([f" {word[:4]}", word[4:]] if len(word) > 5 else [f" {word}"])]
        step = (seconds - 0.5) / len(pieces)
        tokens = [
            {
                "token": piece,
                "start_seconds": round(0.3 + index * step, 2),
                "end_seconds": round(0.3 + index * step + 0.06, 2),
            }
            for index, piece in enumerate(pieces)
        ]
        heard = " ".join("possible" if word == "apostle" else word for word in words)
        clips.append(
            {
                "id": f"libri-{name}",
                "voice": name.split("-")[0],
                "condition": "clean",
                "audio": f"clips/{name}.flac",
                "reference": text,
                "cascade": heard,
                "question": "who is welcome" if "quilter" in text else "what could he not do",
                "answer": "mister quilter" if "quilter" in text else "wait",
                "answers": {
                    "audio": "mister quilter" if "quilter" in text else "wait",
                    "ceiling": "mister quilter" if "quilter" in text else "wait",
                    "cascade": "mister quilter" if "quilter" in text else "longer",
                    "no-audio": "tolo" if "quilter" in text else "",
                },
                "answers_by_model": {"linear": text},
                "nearest_tokens": tokens,
            }
        )
    return clips


def sample_report(folder: Path) -> dict[str, Any]:
    """rows, meta and extras of a whole report; the clips' recordings are laid into `folder`/clips."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for name in SAID:
        shutil.copy(DATA / f"{name}.flac", folder / "clips")
    meta = {
        "command": "iclal evaluate --model runs/quickstart/model --grid full --out runs/quickstart",
        "seconds": 231.4,
        "times_real_time": 26.3,
        "commit": "7d07799",
        "normaliser": {"name": "iclal-basic", "version": "1", "sha256": "9c1f…e07a"},
        "decoding": {"method": "greedy", "max_new_tokens": 64, "batch_size": 16, "repetition_stop": True},
        "digests": {"language_model": "sha256:5f0c9f3e11aa", "ears": {"ctc": "sha256:aa01", "linear": "sha256:bb02"}},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0", "iclal": "0.1.0"},
    }
    counts = {"hits": 5_800, "substitutions": 150, "deletions": 50, "insertions": 4}
    named = {"condition": "clean", "seed": 0, "shots": 0, "input": "audio"}
    extras = {
        "training_curves": sample_curves(),
        "clips": sample_clips(),
        "word_errors": [{"model": "ctc", **named, **counts}],
        "cells": [
            {"model": "ctc", "condition": "clean", "seed": 0, "task": "labels", "shots": 4, "queries": 400}
            | {"clips": 180, "too_long": {"cascade": 2}, "left_out": []}
        ],
    }
    return {"rows": sample_rows(), "meta": meta, "extras": extras}
