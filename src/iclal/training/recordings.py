"""Recordings to train on: samples kept in memory as int16, changed by chance each time they are heard."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable

import numpy as np

from iclal.audio.augment import Augment, augment, noisy
from iclal.audio.reading import SAMPLE_RATE, Audio, read_audio, to_int16
from iclal.data.manifest import Utterance
from iclal.errors import DataError

# The note "noisy" must stay true: noise is laid under noisy utterances alone, and only faintly under the others.
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
    """Utterances with their samples.

    `dropped` counts, by reason, what was not taken, `dropped_seconds` how long it is; nothing is cut. What was offered
    is what was kept and what was dropped, in recordings and in seconds.
    """

    def __init__(self, utterances: Iterable[Utterance] = (), *, max_seconds: float = 20.0) -> None:
        self.max_seconds = max_seconds
        self.utterances: dict[str, Utterance] = {}
        self.dropped: dict[str, int] = {}
        self.dropped_seconds = 0.0
        self._samples: dict[str, np.ndarray] = {}
        self._forgotten = False
        for utterance in utterances:
            self.add(utterance, read_utterance(utterance))

    def add(self, utterance: Utterance, samples: np.ndarray) -> None:
        """Keep an utterance with its float32 samples, unless it is longer than the limit (counted in `dropped`).

        Raises:
            DataError: the id is there already.
        """
        if utterance.id in self.utterances:
            raise DataError(f"two recordings have the id {utterance.id!r}; make ids unique")
        if len(samples) > self.max_seconds * SAMPLE_RATE:
            self.drop(f"longer than {self.max_seconds:g} s", len(samples) / SAMPLE_RATE)
            return
        self.utterances[utterance.id] = utterance
        self._samples[utterance.id] = to_int16(samples)

    def drop(self, reason: str, seconds: float, count: int = 1) -> None:
        """Count `count` recordings, `seconds` long together, that are not taken."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count
        self.dropped_seconds += seconds

    def leave_out(self, ids: Iterable[str], reason: str) -> None:
        """Give up recordings that were kept, counted as `drop` does."""
        for id in ids:
            self.drop(reason, self.num_samples(id) / SAMPLE_RATE)
            del self.utterances[id], self._samples[id]

    def include(self, other: Recordings) -> None:
        """Add another set's recordings, and what it dropped; what is longer than this set's limit is counted.

        Raises:
            DataError: an id is there already.
        """
        assert not other._forgotten, "no samples any more"
        if twice := self.utterances.keys() & other.utterances.keys():
            raise DataError(f"two recordings have the id {min(twice)!r}; make ids unique")
        for id, utterance in other.utterances.items():
            if (seconds := other.num_samples(id) / SAMPLE_RATE) > self.max_seconds:
                self.drop(f"longer than {self.max_seconds:g} s", seconds)
                continue
            self.utterances[id], self._samples[id] = utterance, other._samples[id]
        for reason, count in other.dropped.items():
            self.drop(reason, 0.0, count)
        self.dropped_seconds += other.dropped_seconds

    def forget_samples(self) -> None:
        """Give samples up, where all that is to be heard was heard; lengths stay.

        The process keeps their memory, and uses it for what comes next.
        """
        self._samples = {id: silence(len(samples)) for id, samples in self._samples.items()}
        self._forgotten = True

    def num_samples(self, id: str) -> int:
        """Length of a recording, unchanged."""
        return len(self._samples[id])

    @property
    def seconds(self) -> float:
        """Length of all recordings."""
        return sum(len(samples) for samples in self._samples.values()) / SAMPLE_RATE

    def digest(self) -> str:
        """SHA-256 of samples and all that is known of them: what a resumed run must find unchanged."""
        assert not self._forgotten, "no samples any more"
        digest = hashlib.sha256()
        for id, utterance in self.utterances.items():
            known = dataclasses.replace(utterance, audio=None).to_json()
            digest.update(f"{id}\t{json.dumps(known, sort_keys=True)}\n".encode())
            digest.update(self._samples[id].tobytes())
        return digest.hexdigest()

    def draw(self, id: str, seed: int, number: int, settings: Augment = QUIET) -> Audio:
        """A recording as heard at draw `number`: a function of (seed, number, id). Noise where its note says so."""
        assert not self._forgotten, "no samples any more"
        digest = hashlib.sha256(f"{seed} {number} {id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        samples = self._samples[id].astype(np.float32) / 32768
        in_noise = self.utterances[id].facts.get("surroundings") == "noisy"
        if in_noise:
            settings = settings.model_copy(update={"noise_probability": 0.0})
        samples = augment(samples, settings, rng)
        if in_noise:
            samples = noisy(samples, rng)
        return Audio(np.clip(samples, -1, 1).astype(np.float32), source=id)


def silence(num_samples: int) -> np.ndarray:
    """So many samples, float32 [S], that take no memory: what stands for a clip of that length."""
    return np.broadcast_to(np.float32(0), num_samples)


def read_utterance(utterance: Utterance) -> np.ndarray:
    """An utterance's samples, float32 [S] at 16 kHz. Raises DataError without audio, AudioError as `read_audio`."""
    if utterance.audio_path is None:
        raise DataError(f"utterance {utterance.id} has no audio")
    return read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    ).samples
