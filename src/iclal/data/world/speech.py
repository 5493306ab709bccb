"""The spoken world's recordings: passages and digit strings, cast with voices, synthesised once and cached.

The cache holds clean speech. Noise belongs to an utterance (its note says "noisy") and is laid under it on hearing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
from pathlib import Path

import numpy as np

from iclal.audio.augment import noisy
from iclal.audio.reading import Audio, read_audio
from iclal.audio.speaking import Speech, Voice, speak_all
from iclal.data.manifest import Utterance
from iclal.data.world import names, sentences, voices, words


def speak_passages(
    part: str,
    count: int,
    seed: int,
    taste: sentences.Taste = sentences.ANY,
    *,
    noisy_share: float = 0.3,
    digits_share: float = 0.1,
    names_share: float = 0.0,
    drawn_share: float = voices.DRAWN_SHARE,
    folder: Path | None = None,
    progress: bool = True,
) -> list[Utterance]:
    """`count` utterances of a part with speech, voice notes and facts: a function of the arguments alone.

    `digits_share` of them are bare digit strings of two to six, `names_share` of them two to six names alone, as they
    are trained on. `drawn_share` is `voices.cast`'s. `folder` is the speech cache's (default: the user's).
    Raises AudioError or MissingError as `iclal.audio.speaking`.
    """
    rng = random.Random(f"speech {part} {seed}")
    utterances, speeches = [], []
    for number in range(count):
        id = f"{part}-{seed}-{number}"
        kind = rng.random()
        if kind < digits_share:
            told = digit_string(rng, id, part)
        elif kind < digits_share + names_share:
            told = _name_string(rng, id, part)
        else:
            told = sentences.passage(rng, id, part, taste)
        casting = voices.cast(rng, part, noisy_share, drawn_share)
        utterances.append(_cast(told, casting))
        speeches.append(Speech(names.spoken_form(told.text or ""), casting.voice))
    workers = min(4, os.cpu_count() or 1)  # each a program of its own; more wait for this one
    paths = speak_all(speeches, folder, workers=workers, progress=progress)
    return [dataclasses.replace(u, audio=str(path)) for u, path in zip(utterances, paths, strict=True)]


def digit_string(rng: random.Random, id: str, part: str) -> Utterance:
    """Two to six digits in words, spoken without a sentence around them."""
    said = " ".join(rng.choices(words.DIGITS, k=rng.randint(2, 6)))
    return Utterance(id, text=said + ".", split=part, extra={"frames": ["digits"]})


def _name_string(rng: random.Random, id: str, part: str) -> Utterance:
    """Two to six names: one sound of them is soon mistaken for another, and no sentence tells which it was."""
    said = " ".join(names.draw_name(rng) for _ in range(rng.randint(2, 6)))
    return Utterance(id, text=said + ".", split=part, extra={"frames": ["names"]})


def _cast(utterance: Utterance, casting: voices.Casting) -> Utterance:
    noted = voices.with_note(utterance, casting.speaker, casting.pace, casting.surroundings)
    extra = utterance.extra | {"voice": dataclasses.asdict(casting.voice)}
    voice = casting.voice
    drawn = f"drawn-{hashlib.sha256(voice.timbre.encode()).hexdigest()[:8]}"
    speaker = f"{voice.accent}+{voice.variant or drawn}"
    return dataclasses.replace(noted, speaker=speaker, extra=extra)


def voice_of(utterance: Utterance) -> Voice:
    """The voice that speaks an utterance of the world."""
    return Voice(**utterance.extra["voice"])


def hear(utterance: Utterance, draw: int = 0, snr_db: float | None = None) -> Audio:
    """The utterance's recording with its noise, if it is a noisy one: the same samples for the same `draw`.

    `snr_db` lays noise of that level under any utterance instead (for tests of robustness).
    """
    assert utterance.audio_path is not None, utterance.id
    audio = read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    )
    if snr_db is None and utterance.facts.get("surroundings") != "noisy":
        return audio
    digest = hashlib.sha256(f"{utterance.id} {draw}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    heard = noisy(audio.samples, rng, snr_db)
    peak = float(np.abs(heard).max(initial=0.0))
    return Audio((heard / peak if peak > 1 else heard).astype(np.float32), source=f"{audio.source} with noise")
