"""`iclal prepare` on every corpus of the data folder: what was found, kept and dropped, and how long it took.

    python benchmarks/corpora.py

Writes benchmarks/results/corpora.json. LibriSpeech's eight utterances are first laid out as its official tree.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data"
RESULT = Path(__file__).parent / "results" / "corpora.json"

RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "librispeech": ("librispeech", "", {}),
    "ami-segments": ("ami", "ami/nxt", {"output": "segments", "microphone": "none"}),
    "ami-spans": ("ami", "ami/nxt", {"output": "spans", "microphone": "none"}),
    "ami-meetings": ("ami", "ami/nxt", {"output": "meetings", "microphone": "none"}),
    "ami-142-meetings": ("ami", "ami/meetings.jsonl.gz", {"output": "meetings", "microphone": "none"}),
    "qmsum": ("qmsum", "qmsum", {}),
    "spoken-squad": ("spoken-squad", "spoken_squad", {}),
    "slurp": ("slurp", "slurp", {}),
    "digits": ("digits", "fsdd", {}),
    "speechocean762": ("speechocean762", "speechocean762", {}),
}


def librispeech_tree(root: Path) -> Path:
    """The genuine utterances as LibriSpeech lays them out: SUBSET/SPEAKER/CHAPTER/ID.flac beside the transcripts."""
    lines: dict[Path, list[str]] = {}
    for line in (DATA / "librispeech" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        id = values["id"].removeprefix("libri-")
        speaker, chapter, _ = id.split("-")
        folder = root / "LibriSpeech" / values["librispeech_subset"] / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / "librispeech" / values["audio"], folder / f"{id}.flac")
        lines.setdefault(folder / f"{speaker}-{chapter}.trans.txt", []).append(f"{id} {values['text']}\n")
    for path, texts in lines.items():
        path.write_text("".join(sorted(texts)), encoding="utf-8")
    return root / "LibriSpeech"


def main() -> None:
    """Prepare each corpus into a temporary folder."""
    from iclal.data.prepare import prepare

    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        tree = librispeech_tree(root)
        for name, (corpus, source, options) in RUNS.items():
            started = time.perf_counter()
            summary = prepare(corpus, DATA / source if source else tree, root / name, options, progress=False)
            values = summary.to_json()
            seconds = round(time.perf_counter() - started, 2)
            results[name] = {key: values[key] for key in ("found", "kept", "dropped")} | {"seconds": seconds}
            print(name, results[name])
    RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
