"""How fast `iclal prepare` and `iclal data check` go through LibriSpeech's full size, and what memory they take.

    python benchmarks/prepare.py [--utterances 104014] [--workers 2]

Writes a synthetic LibriSpeech tree of valid FLAC files of 0.1 s into a temporary folder, prepares it and its first
1,000 utterances, checks both manifests, each in a process of its own (whose peak memory is the operating system's own
count), and writes benchmarks/results/prepare.json. Aims: 2,000 utterances a second on 2 cores, and less than 100 MB
more memory for 104,014 utterances than for 1,000.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIBRISPEECH_TRAIN_360 = 104_014
FEW = 1_000
CHAPTER = 100
RESULT = Path(__file__).parent / "results" / "prepare.json"


def write_tree(root: Path, utterances: int) -> Path:
    """A LibriSpeech tree of `utterances` FLAC files of 0.1 s, 100 a chapter."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    sounds = []
    for _ in range(16):
        sound = io.BytesIO()
        soundfile.write(sound, random.normal(0, 0.1, 1600), 16_000, format="FLAC")
        sounds.append(sound.getvalue())
    for start in range(0, utterances, CHAPTER):
        speaker = f"{1000 + start // CHAPTER}"
        chapter = root / "train-clean-360" / speaker / "1"
        chapter.mkdir(parents=True)
        ids = [f"{speaker}-1-{number:04d}" for number in range(min(CHAPTER, utterances - start))]
        for number, id in enumerate(ids):
            (chapter / f"{id}.flac").write_bytes(sounds[number % len(sounds)])
        lines = [f"{id} A SENTENCE OF SOME TEN WORDS THAT ENDS IN {id}\n" for id in ids]
        (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines), encoding="utf-8")
    return root


def work(task: str, source: Path, out: Path, workers: int) -> dict[str, float]:
    """One measurement, in the process that calls it."""
    import iclal.audio.reading  # noqa: F401  (imported beforehand: its time is no work on utterances)
    from iclal.data.prepare import prepare
    from iclal.data.schema import check_manifest

    started, cpu = time.perf_counter(), time.process_time()
    if task == "prepare":
        summary = prepare("librispeech", source, out, workers=workers)
        assert summary.found == summary.kept, summary.dropped
        count = summary.kept
    else:
        check_manifest(out / "manifest.jsonl")
        count = sum(1 for _ in open(out / "manifest.jsonl", encoding="utf-8"))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "utterances": count,
        "wall_seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "utterances_per_second": round(count / seconds, 1),
        "utterances_per_cpu_second": round(count / cpu_seconds, 1),  # what is left of it on a machine that is busy
        "peak_megabytes": round(peak / 1e6, 1),
    }


def measure(task: str, source: Path, out: Path, workers: int) -> dict[str, float]:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--task", task, str(source), str(out), "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(f"{task:8} {found}", file=sys.stderr)
    return found


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=LIBRISPEECH_TRAIN_360)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--task", choices=("prepare", "check"), help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.task:
        print(json.dumps(work(options.task, *options.paths, options.workers)))
        return

    results: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "workers": options.workers,
        "load_before": round(os.getloadavg()[0], 2),
        "aims": {"utterances_per_second": 2000, "memory_growth_megabytes": 100},
    }
    with tempfile.TemporaryDirectory() as folder:
        few = write_tree(Path(folder) / "few", FEW)
        many = write_tree(Path(folder) / "many", options.utterances)
        for task in ("prepare", "check"):
            of_few = measure(task, few, Path(folder) / "out-few", options.workers)
            of_many = measure(task, many, Path(folder) / "out-many", options.workers)
            growth = round(of_many["peak_megabytes"] - of_few["peak_megabytes"], 1)
            results[task] = {"few": of_few, "many": of_many, "memory_growth_megabytes": growth}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
