"""The recordings of a candidate: looked at (headers only), joined, copied or spoken, so that an utterance is whole."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import Utterance
from iclal.errors import AudioError

if TYPE_CHECKING:
    from iclal.audio.reading import Header

# A span may end this much behind its recording: annotators' clocks round to a tenth of a second.
SPAN_SLACK_SECONDS = 0.1
FETCH = "fetch the recording anew"
# Of the speakers that --synthesise makes: accent and variant of eSpeak NG.
VOICES = (("en-gb", "m1"), ("en-us", "f2"), ("en-gb-scotland", "m5"), ("en-us", "m4"), ("en-029", "f1"))


class Recordings:
    """Makes utterances of candidates. Threads may share it.

    Args:
        out: the prepared corpus's folder; what is made lies in OUT/audio.
        source: the corpus's folder; copies keep their path in it.
        copy: bring recordings along instead of referring to where they lie.
        synthesise: make speech where there is only text, one voice per speaker.
    """

    def __init__(self, out: Path, source: Path, copy: bool = False, synthesise: bool = False) -> None:
        self.out = Path(os.path.realpath(out))
        self.source = Path(os.path.realpath(source))
        self.copy = copy
        self.synthesise = synthesise
        self._folders: dict[str, str] = {}  # a recording's folder -> as seen from OUT
        self._thread = threading.local()  # a synthesiser for each thread
        self._synthesisers: list[Any] = []

    def close(self) -> None:
        """End the speech synthesisers that were started."""
        while self._synthesisers:
            self._synthesisers.pop().close()

    def finish(self, candidate: Candidate) -> Utterance | Problem:
        """The utterance with its audio and duration, or what is wrong with its recordings."""
        utterance = candidate.utterance
        if not candidate.recordings:
            return self._speak(candidate) if self.synthesise else utterance
        headers = self._headers(candidate)
        if isinstance(headers, Problem):
            return headers
        seconds = sum(header.duration_seconds for header in headers)
        path, *others = candidate.recordings
        if others:
            joined = self._join(candidate, headers[0].sample_rate)
            if isinstance(joined, Problem):
                return joined
            path = joined
        elif self.copy:
            path = self._copied(path)
        if utterance.start_seconds is None and utterance.duration_seconds is None:
            return dataclasses.replace(utterance, audio=self.name(path), duration_seconds=round(seconds, 6))
        start = utterance.start_seconds or 0.0
        length = seconds - start if utterance.duration_seconds is None else utterance.duration_seconds
        if not 0 <= start < seconds or length <= 0 or start + length > seconds + SPAN_SLACK_SECONDS:
            return candidate.place.named(utterance.id).problem(
                "span-outside-audio",
                f"seconds {start:.3f} to {start + length:.3f} of {path}, which has {seconds:.3f}",
                "check that this is the right recording, whole",
                seconds=max(length, 0.0),
            )
        length = min(length, seconds - start)
        return dataclasses.replace(
            utterance, audio=self.name(path), start_seconds=start, duration_seconds=round(length, 6)
        )

    def name(self, path: Path) -> str:
        """How the manifest writes a recording: relative to OUT, or absolute where they share nothing but the root."""
        folder, file = os.path.split(path)
        if folder not in self._folders:
            shared = os.path.commonpath([folder, self.out]) != os.path.abspath(os.sep)
            self._folders[folder] = os.path.relpath(folder, self.out) if shared else folder
        return os.path.normpath(os.path.join(self._folders[folder], file))

    def _headers(self, candidate: Candidate) -> list[Header] | Problem:
        """The headers of all recordings, or the first thing wrong with them."""
        from iclal.audio.reading import header

        place = candidate.place.named(candidate.utterance.id)
        seconds = candidate.utterance.duration_seconds or 0.0
        headers: list[Header] = []
        for path in candidate.recordings:
            try:
                status = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                return place.problem("missing-audio", f"no {path}", "fetch the recording", seconds=seconds)
            if not status.st_size:
                return place.problem("empty-audio", f"{path} has no bytes", FETCH, seconds=seconds)
            try:
                found = header(path)
            except AudioError as error:
                # how every reader of a container says that it ends before its header does
                reason = "truncated-audio" if ": truncated" in str(error) else "unreadable-audio"
                return place.problem(reason, str(error), FETCH, seconds=seconds)
            if not found.num_frames:
                return place.problem("empty-audio", f"{path} has no samples", FETCH)
            wanted = candidate.sample_rate_hz or (headers[0].sample_rate if headers else found.sample_rate)
            if found.sample_rate != wanted:
                return place.problem(
                    "wrong-rate",
                    f"{path} has {found.sample_rate} Hz, the corpus {wanted} Hz",
                    "fetch the recording anew, or prepare it as a folder of your own, which takes any rate",
                    seconds=found.duration_seconds,
                )
            headers.append(found)
        return headers

    def agrees(self, candidate: Candidate, finished: Utterance) -> bool:
        """Whether an utterance of an earlier run has the audio that `finish` would give, judged by its name alone."""
        if not candidate.recordings and not self.synthesise:
            return finished.audio is None
        if finished.audio is None or not (self.out / finished.audio).is_file():
            return False
        if not candidate.recordings:
            return finished.audio.startswith("audio/synthesised/")
        path, *others = candidate.recordings
        if others:
            return finished.audio.startswith("audio/joined/")
        return finished.audio == self.name(self._copy_of(path) if self.copy else path)

    def _copy_of(self, path: Path) -> Path:
        """Where the copy of a recording lies."""
        inside = os.path.relpath(path, self.source)
        if inside.startswith(os.pardir):  # a recording of an audio folder beside the source
            inside = os.path.join(blake2b(str(path.parent).encode(), digest_size=4).hexdigest(), path.name)
        return self.out / "audio" / inside

    def _copied(self, path: Path) -> Path:
        """The recording's copy in OUT, made unless it is there already."""
        copied, status = self._copy_of(path), path.stat()
        if copied.is_file() and copied.stat().st_size == status.st_size and copied.stat().st_mtime >= status.st_mtime:
            return copied
        with _aside(copied) as partial:
            shutil.copy2(path, partial)
        return copied

    def _join(self, candidate: Candidate, sample_rate_hz: int) -> Path | Problem:
        """One file that holds the recordings one after another, made unless it is there already."""
        import soundfile

        from iclal.audio.reading import to_int16

        states = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in candidate.recordings]
        joined = self.out / "audio" / "joined" / f"{_digest(*states)}.flac"
        if joined.is_file():
            return joined
        flac = io.BytesIO()  # libsndfile would call a full disk a damaged file
        try:
            with soundfile.SoundFile(flac, "w", sample_rate_hz, 1, "PCM_16", format="FLAC") as target:
                for path in candidate.recordings:
                    with soundfile.SoundFile(path) as part:
                        for block in part.blocks(1 << 16, dtype="float32", always_2d=True):
                            # libsndfile would scale floats by 32767: 16-bit parts must come out as they were
                            target.write(to_int16(block.mean(axis=1)))
        except soundfile.LibsndfileError as error:
            place = candidate.place.named(candidate.utterance.id)
            return place.problem("unreadable-audio", f"joining failed: {error}", "fetch the recordings anew")
        with _aside(joined) as partial:
            partial.write_bytes(flac.getvalue())
        return joined

    def _speak(self, candidate: Candidate) -> Utterance | Problem:
        """The utterance with synthesised speech; the same words by the same speakers are spoken once."""
        import numpy

        from iclal.audio.reading import encode, header

        utterance = candidate.utterance
        spoken = candidate.spoken or ((utterance.speaker or "", utterance.text or ""),)
        spoken = tuple((speaker, text) for speaker, text in spoken if text.strip())
        place = candidate.place.named(utterance.id)
        if not spoken:
            return place.problem("nothing-to-speak", "no text", "leave --synthesise out for this corpus")
        path = self.out / "audio" / "synthesised" / f"{_digest(*(part for pair in spoken for part in pair))}.flac"
        if not path.is_file():
            try:
                parts = [self._say(speaker, text) for speaker, text in spoken]
            except AudioError as error:
                self._thread.espeak = None  # it may have ended; the next text gets a new one
                return place.problem("cannot-speak", str(error), "repair the text")
            with _aside(path) as partial:
                partial.write_bytes(encode(numpy.concatenate(parts), "FLAC"))
        return dataclasses.replace(
            utterance,
            audio=self.name(path),
            start_seconds=None,
            duration_seconds=round(header(path).duration_seconds, 6),
            extra=utterance.extra | {"synthesised": True},
        )

    def _say(self, speaker: str, text: str) -> Any:
        """The samples of a text in the speaker's voice."""
        from iclal.audio.speaking import Espeak, Voice

        if getattr(self._thread, "espeak", None) is None:
            self._thread.espeak = Espeak()
            self._synthesisers.append(self._thread.espeak)
        number = int(_digest(speaker), 16)
        accent, variant = VOICES[number % len(VOICES)]
        # a speaker's own rate and pitch, so that two with the same accent still differ
        voice = Voice(accent, variant, rate_wpm=140 + number // 5 % 50, pitch=30 + number // 250 % 40)
        return self._thread.espeak.speak(voice, text).samples


def _digest(*parts: str) -> str:
    """A file name that stands for the parts and their borders."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Write a file under another name first, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{threading.get_ident()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
