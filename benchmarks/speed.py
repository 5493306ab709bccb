"""How fast the bundled ears transcribe on one thread, and how large what is bundled is.

    python benchmarks/speed.py          writes benchmarks/results/speed.json

100 clips of one to four sentences by unseen voices, one clip at a time as a person gives them, then all in one call.
The recordings are read and the model is warm before the clock starts; seconds are the wall's. Aim: 20 times real time.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).resolve().parent / "results" / "speed.json"
NUM_CLIPS = 100
AIM_TIMES_REAL_TIME = 20.0


def main() -> None:
    """Synthesise, transcribe, write, print; exit status 1 where the aim is missed."""
    import torch

    import iclal
    from iclal.data.world import speech
    from iclal.data.world.sentences import Taste
    from iclal.model.saving import ASSETS

    torch.set_num_threads(1)
    model = iclal.load("ctc", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        spoken = speech.speak_passages("test", NUM_CLIPS, 6, Taste((1, 4)), noisy_share=0.0, folder=Path(folder))
        clips = [speech.hear(utterance) for utterance in spoken]
    audio_seconds = sum(clip.duration_seconds for clip in clips)
    model.transcribe(clips[0])
    start = time.perf_counter()
    for clip in clips:
        model.transcribe(clip)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    model.transcribe(clips)
    together = time.perf_counter() - start
    result = {
        "clips": NUM_CLIPS,
        "audio_seconds": round(audio_seconds, 1),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 2),
        "times_real_time": round(audio_seconds / seconds, 1),
        "times_real_time_together": round(audio_seconds / together, 1),
        "bytes": {folder.name: size_of(folder) for folder in sorted(ASSETS.iterdir()) if folder.is_dir()},
        "aims": {"times_real_time": AIM_TIMES_REAL_TIME},
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if result["times_real_time"] < AIM_TIMES_REAL_TIME:
        raise SystemExit(1)


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
