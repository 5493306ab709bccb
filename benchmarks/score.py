"""Time of scoring all recogniser outputs of `data/wer_pairs`, beside jiwer's own time for their word errors.

    python benchmarks/score.py          writes benchmarks/results/score.json

What is timed is everything `iclal score` computes from two lists of texts: counts by utterance, their sums, the
character error rate and the bootstrap interval. jiwer computes the word error rate alone. Seconds are of processor time
on one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import gzip
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jiwer

from iclal.evaluation.score import score_transcripts

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ROOT / "data" / "wer_pairs" / "spoken_squad_xquad.jsonl.gz"
RESULT = ROOT / "benchmarks" / "results" / "score.json"
REPEATS = 5
LIMIT = 3.0


def read_wer_pairs() -> tuple[list[str], list[str], list[str]]:
    """Ids, references and hypotheses of the 109 paragraphs at three noise levels, words parted by single spaces.

    jiwer by itself takes words with a no-break space between them for one.
    """
    ids, references, hypotheses = [], [], []
    with gzip.open(PAIRS, "rt", encoding="utf-8") as handle:
        for line in handle:
            values = json.loads(line)
            for name in ("hyp_clean", "hyp_noise_v1", "hyp_noise_v2"):
                ids.append(f"{values['id']}-{name}")
                references.append(" ".join(values["reference"].split()))
                hypotheses.append(" ".join(values[name].split()))
    return ids, references, hypotheses


def measure() -> dict[str, Any]:
    """Best of several runs of each, taken in turn so that a busy moment hits both."""
    ids, references, hypotheses = read_wer_pairs()
    runs: dict[str, Callable[[], Any]] = {
        "jiwer": lambda: jiwer.process_words(references, hypotheses),
        "unit": lambda: score_transcripts(ids, references, hypotheses).interval,
        "sclite": lambda: score_transcripts(ids, references, hypotheses, costs="sclite").interval,
    }
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - start)
    ours, theirs = score_transcripts(ids, references, hypotheses), runs["jiwer"]()
    counts = ("hits", "substitutions", "insertions", "deletions")
    return {
        "pairs": len(ids),
        "words": ours.num_references,
        "wer": ours.wer,
        "same_counts_as_jiwer": all(getattr(ours, name) == getattr(theirs, name) for name in counts),
        "jiwer_seconds": round(seconds["jiwer"], 4),
        "unit_seconds": round(seconds["unit"], 4),
        "unit_over_jiwer": round(seconds["unit"] / seconds["jiwer"], 2),
        "sclite_seconds": round(seconds["sclite"], 4),
        "sclite_over_jiwer": round(seconds["sclite"] / seconds["jiwer"], 2),
        "limit": LIMIT,
        "versions": {name: version(name) for name in ("jiwer", "rapidfuzz", "numpy")}
        | {"python": platform.python_version()},
    }


def main() -> None:
    """Measure, write, print; exit status 1 when the limit is missed."""
    result = measure()
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if result["unit_over_jiwer"] >= LIMIT or not result["same_counts_as_jiwer"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
