"""What a recording's form costs the bundled ears (law 6): word error rate over 100 clips, as they are and in each form.

    python benchmarks/hearing.py

Writes benchmarks/results/hearing.json. The law's tests hold the forms that are within a point; the others stand here.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "hearing.json"
NUM_CLIPS = 100
FORMS = {
    "original": ("WAV", "PCM_16", 16_000),
    "8-bit": ("WAV", "PCM_U8", 16_000),
    "vorbis": ("OGG", "VORBIS", 16_000),
    "mp3": ("MP3", "MPEG_LAYER_III", 16_000),
    "8-khz": ("WAV", "PCM_16", 8_000),
    "22-khz": ("WAV", "PCM_16", 22_050),
    "44-khz": ("WAV", "PCM_16", 44_100),
    "48-khz": ("WAV", "PCM_16", 48_000),
}


def main() -> None:
    """Synthesise, change, transcribe, count."""
    import numpy as np
    import soundfile
    import soxr

    import iclal
    from iclal.audio.reading import SAMPLE_RATE, read_audio
    from iclal.data.world import speech
    from iclal.data.world.sentences import Taste
    from iclal.evaluation.metrics import total_word_errors
    from iclal.evaluation.normalize import get_normalizer

    normalize = get_normalizer("librispeech").apply
    model = iclal.load()
    with tempfile.TemporaryDirectory() as folder:
        spoken = speech.speak_passages("test", NUM_CLIPS, 6, Taste((1, 2)), noisy_share=0.0, folder=Path(folder))
        clips = [speech.hear(utterance).samples for utterance in spoken]
    references = [normalize(utterance.text or "") for utterance in spoken]
    rates = {}
    for name, (container, subtype, rate) in FORMS.items():
        heard = []
        for samples in clips:
            changed = samples if rate == SAMPLE_RATE else soxr.resample(samples, SAMPLE_RATE, rate)
            buffer = io.BytesIO()
            soundfile.write(buffer, np.clip(changed, -1, 1), rate, format=container, subtype=subtype)
            heard.append(read_audio(buffer.getvalue()))
        texts = [normalize(transcript.text) for transcript in model.transcribe(heard)]
        rates[name] = round(total_word_errors(references, texts).wer, 4)
        print(f"{name:<10} {rates[name]:.4f}", flush=True)
    RESULT.write_text(json.dumps({"clips": NUM_CLIPS, "wer": rates}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
