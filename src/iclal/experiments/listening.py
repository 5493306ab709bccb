"""What encoder and ears are trained to hear: the spoken world, human speech, and sounds that are no speech.

Everything is read once and kept as int16 in memory; a training draw of it is a function of (seed, draw, utterance).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from iclal.audio.augment import Augment, add_noise, augment
from iclal.audio.reading import SAMPLE_RATE, read_audio
from iclal.audio.sounds import non_speech
from iclal.data.manifest import Utterance
from iclal.data.world.speech import NOISES, NOISY_SNR_DB

TRAIN_DIGIT_SPEAKERS = ("george", "nicolas", "theo")  # yweweler and jackson are heard by no part but the test
MAX_SECONDS = 20.0

# The note "noisy" must stay true: noise is laid under noisy utterances alone, here faint under the others.
QUIET = Augment(noise_probability=0.3, noise_snr_db=(30.0, 50.0), band_probability=0.2)
UNCHANGED = Augment(
    speed_probability=0,
    tilt_probability=0,
    room_probability=0,
    noise_probability=0,
    band_probability=0,
    level_probability=0,
)


class Recordings:
    """Utterances with their samples in memory."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self.utterances: dict[str, Utterance] = {}
        self._samples: dict[str, np.ndarray] = {}
        for utterance in utterances:
            self.add(utterance, _read(utterance))

    def add(self, utterance: Utterance, samples: np.ndarray) -> None:
        """Keep an utterance with its float32 samples, unless it is longer than the encoder is trained for."""
        if len(samples) <= MAX_SECONDS * SAMPLE_RATE:
            self.utterances[utterance.id] = utterance
            self._samples[utterance.id] = (samples * 32767).astype(np.int16)

    def include(self, other: Recordings) -> None:
        """Add all of another set's recordings."""
        self.utterances |= other.utterances
        self._samples |= other._samples

    def num_samples(self, id: str) -> int:
        """Length of a recording, unchanged."""
        return len(self._samples[id])

    @property
    def seconds(self) -> float:
        """Length of all recordings."""
        return sum(len(samples) for samples in self._samples.values()) / SAMPLE_RATE

    def draw(self, id: str, seed: int, number: int, settings: Augment = QUIET) -> np.ndarray:
        """A recording as heard at draw `number`: changed by chance, with noise if its note says so. float32 [S]."""
        digest = hashlib.sha256(f"{seed} {number} {id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        samples = self._samples[id].astype(np.float32) / 32768
        noisy = self.utterances[id].facts.get("surroundings") == "noisy"
        if noisy:
            settings = settings.model_copy(update={"noise_probability": 0.0})
        samples = augment(samples, settings, rng)
        if noisy:
            samples = add_noise(samples, rng.uniform(*NOISY_SNR_DB), NOISES[rng.integers(len(NOISES))], rng)
        return np.clip(samples, -1, 1).astype(np.float32)


def _read(utterance: Utterance) -> np.ndarray:
    assert utterance.audio_path is not None, utterance.id
    return read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    ).samples


def human_speech(data: Path, *, digit_strings: int, sentences: bool, seed: int = 0) -> Recordings:
    """Human speech that may be trained on: digits of three speakers, speechocean762's train part.

    `digit_strings` strings of two to six digits are joined from single digits of one speaker, with pauses.
    `sentences` adds speechocean762's read sentences to its digit strings.
    """
    found = Recordings(())
    for utterance in _data_folder(data / "speechocean762"):
        if utterance.split == "train" and (sentences or utterance.extra.get("kind") == "digits"):
            text = (utterance.text or "").lower() + "."
            found.add(dataclasses.replace(utterance, text=text), _read(utterance))
    singles = list(fsdd_digits(data, TRAIN_DIGIT_SPEAKERS))
    for utterance, samples in singles:
        found.add(utterance, samples)
    rng = random.Random(f"digit strings {seed}")
    for number in range(digit_strings):
        utterance, samples = join_digits(rng, singles, f"fsdd-string-{number}", rng.randint(2, 6))
        found.add(utterance, samples)
    return found


def fsdd_digits(data: Path, speakers: tuple[str, ...]) -> Iterable[tuple[Utterance, np.ndarray]]:
    """Single spoken digits of some speakers of the Free Spoken Digit Dataset, as words, with their samples."""
    whole: dict[Path, np.ndarray] = {}
    for utterance in _data_folder(data / "fsdd"):
        if utterance.speaker not in speakers:
            continue
        path = utterance.audio_path
        assert path is not None
        if path not in whole:
            whole[path] = read_audio(path).samples
        start, count = utterance.extra["start_sample"], utterance.extra["num_samples"]
        yield dataclasses.replace(utterance, text=f"{utterance.text}."), whole[path][start : start + count]


def join_digits(
    rng: random.Random, singles: list[tuple[Utterance, np.ndarray]], id: str, count: int
) -> tuple[Utterance, np.ndarray]:
    """A digit string of one speaker, joined from single clips with 0.05 to 0.3 s between."""
    speaker = rng.choice(singles)[0].speaker
    chosen = rng.sample([single for single in singles if single[0].speaker == speaker], count)
    parts: list[np.ndarray] = []
    for _, samples in chosen:
        parts += [samples, np.zeros(int(rng.uniform(0.05, 0.3) * SAMPLE_RATE), np.float32)]
    text = " ".join((utterance.text or "").rstrip(".") for utterance, _ in chosen) + "."
    return Utterance(id, text=text, speaker=speaker), np.concatenate(parts)


def no_speech(data: Path, generated: int, seed: int) -> Recordings:
    """Sounds without words, whose transcript is empty: generated ones, and every other crying baby."""
    found = Recordings(())
    for utterance in crying_babies(data)[::2]:
        found.add(dataclasses.replace(utterance, text=""), _read(utterance))
    rng = np.random.default_rng(seed)
    for number in range(generated):
        samples = non_speech(rng, float(rng.uniform(0.5, 8.0)))
        found.add(Utterance(f"no-speech-{seed}-{number}", text=""), samples)
    return found


def crying_babies(data: Path) -> list[Utterance]:
    """The babies of ESC-10, in the manifest's order; the even ones are trained on, the odd ones tested."""
    return [utterance for utterance in _data_folder(data / "esc10_nonspeech") if "baby" in str(utterance.label)]


def _data_folder(folder: Path) -> Iterable[Utterance]:
    """Utterances of a corpus of the data folder; fields of its own go to `extra`."""
    known = {field.name for field in dataclasses.fields(Utterance)}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        own = {name: values.pop(name) for name in list(values) if name not in known}
        yield Utterance.from_json(values | {"label": str(values.get("label")), "extra": own}, folder)
