"""Speech from text: eSpeak NG behind a pipe, in a program of its own (`espeak_process.py`)."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from iclal.audio.cache import cache_folder, write_aside
from iclal.audio.reading import Audio, encode, resample, to_int16
from iclal.errors import AudioError, MissingError, SettingsError
from iclal.progress import Bar

ESPEAK_SAMPLE_RATE = 22_050
_PROGRAM = Path(__file__).with_name("espeak_process.py")
_RANGES = {"rate_wpm": (80, 450), "pitch": (0, 99), "pitch_range": (0, 99), "volume": (0, 200)}
# How many numbers stand behind a word of a variant file. eSpeak NG ignores a line with fewer in silence.
_TIMBRE_NUMBERS = {
    "formant": (4, 5),  # its number (0 to 8), then frequency, height and width in percent, and hertz to be added
    "pitch": (2, 2),
    "flutter": (1, 1),
    "roughness": (1, 1),
    "voicing": (1, 1),
    "consonants": (2, 2),
    "breath": (1, 8),
    "tone": (2, 12),
    "echo": (2, 2),
    "klatt": (1, 1),
    "intonation": (1, 1),
    "stressAdd": (8, 8),
    "stressAmp": (8, 8),
}
_TIMBRE_LINE = re.compile(
    r"formant [0-8]( [0-9]{1,3}){3}( -?[0-9]{1,3})?|stressAdd( -?[0-9]{1,3})+"
    r"|(?!formant|stressAdd)[a-zA-Z]+( [0-9]{1,4})+"
)
# Behind "replace": where (00 anywhere, 01 last in a word, 02 unstressed, 03 both) and two phonemes, the second may be
# NULL for none. Where it does not know the second, eSpeak NG leaves out the sound in silence; these it has in every
# English accent.
_PHONEMES = (
    "@ @2 a a# aa A: A@ aI aI3 aU D d E e e: e@ eI f h I I2 i i: i@ N n 0 O: O@ o o@ OI oU T t U u u: U@ V v w 3 3:"
).split()
_EXCHANGE = re.compile(r"replace 0[0-3] (\S+) (\S+)")


@dataclass(frozen=True)
class Voice:
    """How something is spoken. `variant` is a speaker (`Espeak.variants()`), "" the accent's own.

    `timbre` is a speaker of one's own instead, as lines of eSpeak NG's variant files: `formant 1 90 100 120`, or in an
    English accent `replace 00 oU o` for a phoneme spoken as another (exchanges that the accent itself has come first).
    """

    accent: str = "en-us"
    variant: str = ""
    rate_wpm: int = 160
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 100
    timbre: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise SettingsError(f"{name} of a voice must be a whole number from {low} to {high}, found {value!r}")
        if not isinstance(self.timbre, str):
            raise SettingsError(f"timbre of a voice must be text, found {self.timbre!r}")
        if self.timbre and self.variant:
            raise SettingsError(f"a voice has a variant or a timbre of its own, not both: leave out {self.variant!r}")
        for line in self.timbre.split("\n") if self.timbre else ():
            if line.startswith("replace"):
                _check_exchange(line, self.accent)
                continue
            word, *numbers = line.split(" ")
            least, most = _TIMBRE_NUMBERS.get(word, (0, -1))
            if not (_TIMBRE_LINE.fullmatch(line) and least <= len(numbers) <= most):
                known = ", ".join(f"{word} ({low} to {high})" for word, (low, high) in _TIMBRE_NUMBERS.items())
                raise SettingsError(
                    f"a line of a timbre is replace, or a word and its numbers of {known}; found {line!r}"
                )


def _check_exchange(line: str, accent: str) -> None:
    """Refuse a line of a timbre that is to exchange a phoneme and would not."""
    if not accent.startswith("en"):
        raise SettingsError(f"phonemes are exchanged in English accents alone, found {line!r} with accent '{accent}'")
    found = _EXCHANGE.fullmatch(line)
    if found is None:
        raise SettingsError(f"an exchange is written 'replace 00 oU o' (00 to 03, then two phonemes), found {line!r}")
    old, new = found.groups()
    for phoneme in {old, new} - {*_PHONEMES} - ({"NULL"} if new == "NULL" != old else set()):
        raise SettingsError(
            f"{phoneme!r} of {line!r} cannot be exchanged; what can: {' '.join(_PHONEMES)}, and for NULL"
        )


@dataclass(frozen=True)
class Speech:
    """A text and the voice that is to speak it."""

    text: str
    voice: Voice


class Espeak:
    """eSpeak NG, running until `close()` or the end of the `with` block. May be shared by threads; they take turns.

    The same text and voice give the same samples, whatever was spoken before.

    Raises:
        MissingError: espeakng_loader is not installed.
        AudioError: the program does not start, or (in any method) has died.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise MissingError("speech synthesis needs eSpeak NG, which is not installed: pip install 'iclal[synth]'")
        self._lock = threading.Lock()
        try:
            self._log = tempfile.TemporaryFile()
            self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        except OSError as error:
            raise AudioError(f"speech synthesis needs a folder for temporary files: {error}") from error
        self._process = subprocess.Popen(
            # -P: the program's folder must not come first in its search path
            [sys.executable, "-P", str(_PROGRAM), self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            hello = self._read_head()
        except AudioError:
            self.close()
            raise
        self.version: str = hello["version"]
        self._accents: dict[str, str] = hello["accents"]
        self._variants: dict[str, str] = hello["variants"]

    def accents(self) -> list[str]:
        """Names of all accents, e.g. en-us, en-gb-scotland."""
        return list(self._accents)

    def variants(self) -> dict[str, str]:
        """Names of all variants, each with "female", "male", or "" where eSpeak NG does not say."""
        return dict(self._variants)

    def speak(self, voice: Voice, text: str) -> Audio:
        """`text` as spoken, 16 kHz, every sample a multiple of 1/32768; `[[...]]` in it holds eSpeak NG phonemes.

        Raises:
            SettingsError: unknown accent or variant.
            AudioError: control characters in the text, or eSpeak NG fails on it.
        """
        _refuse_control_characters(text)
        identifier = self._identifier(voice.accent, voice.variant)
        parameters = {name: getattr(voice, name) for name in _RANGES}
        request = {"do": "speak", "text": text, "voice": identifier, "timbre": voice.timbre, **parameters}
        samples = np.frombuffer(self._ask(request), dtype="<i2").astype(np.float32) / 32768
        spoken = to_int16(resample(samples, ESPEAK_SAMPLE_RATE)).astype(np.float32) / 32768
        return Audio(spoken, source=f"spoken: {text[:60]}")

    def phonemes(self, voice: Voice, text: str, *, ipa: bool = True) -> str:
        """The phonemes that are spoken, in IPA or eSpeak NG's own notation, one clause a line. Raises as `speak`."""
        _refuse_control_characters(text)
        identifier = self._identifier(voice.accent, voice.variant)
        request = {"do": "phonemes", "text": text, "voice": identifier, "timbre": voice.timbre, "ipa": ipa}
        return self._ask(request).decode().strip()

    def close(self) -> None:
        """End the program."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # it died with a request unsent
                    pass
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _identifier(self, accent: str, variant: str) -> str:
        """eSpeak NG's name of a voice. It would ignore an unknown variant in silence: both are checked here."""
        if accent not in self._accents:
            raise SettingsError(f"no accent '{accent}'; {_nearest(accent, self._accents)}")
        if variant and variant not in self._variants:
            raise SettingsError(f"no voice variant '{variant}'; {_nearest(variant, self._variants)}")
        return self._accents[accent] + (f"+{variant}" if variant else "")

    def _ask(self, request: dict[str, Any]) -> bytes:
        """The program's answer to a request."""
        with self._lock:
            stdin, stdout = self._process.stdin, self._process.stdout
            assert stdin is not None and stdout is not None
            if stdin.closed:
                raise AudioError("this Espeak is closed; make a new one")
            try:
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
            except BrokenPipeError as error:
                raise self._died() from error
            size = self._read_head()["bytes"]
            body = stdout.read(size)
            if len(body) < size:
                raise self._died()
            return body

    def _read_head(self) -> dict[str, Any]:
        """The JSON line in front of an answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        head = json.loads(line)
        if "error" in head:
            raise AudioError(f"speech synthesis: {head['error']}")
        return head

    def _died(self) -> AudioError:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip()[-300:]
        return AudioError(
            f"the eSpeak NG program has ended (exit {code}){': ' + said if said else ''}; start a new one"
        )


def _refuse_control_characters(text: str) -> None:
    """eSpeak NG reads control characters as commands that change the voice."""
    for position, character in enumerate(text):
        if ord(character) < 32 and character not in "\t\n\r":
            raise AudioError(f"control character {character!r} at position {position} of the text {text[:60]!r}")


def _nearest(name: str, known: dict[str, str]) -> str:
    """Near names for an error message."""
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lower, n=5, cutoff=0.4)
    return "near names: " + ", ".join(lower[match] for match in near) if near else f"known: {', '.join(known)}"


def speech_digest(speech: Speech, espeak_version: str) -> str:
    """The name of a spoken text in the cache: a function of text, voice and synthesiser."""
    voice = dataclasses.asdict(speech.voice)
    if not speech.voice.timbre:
        del voice["timbre"]
    values = ["speech 2", espeak_version, speech.text, voice]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def speak_all(
    speeches: Sequence[Speech], folder: Path | None = None, *, workers: int = 1, progress: bool = True
) -> list[Path]:
    """Speak many texts into 16-bit FLAC files, named by digest, and give the file of each, in order.

    What is there already is not spoken again. Two processes may share the folder (default: `speech` in the cache).
    With `progress` a bar with the time left is drawn on standard error, if that is a terminal.

    Raises:
        SettingsError, AudioError, MissingError: as `Espeak`; files made so far stay.
    """
    if workers < 1:
        raise SettingsError(f"workers must be at least 1, found {workers}")
    folder = cache_folder() / "speech" if folder is None else folder
    with Espeak() as first:
        digests = [speech_digest(speech, first.version) for speech in speeches]
        paths = [folder / digest[:2] / f"{digest}.flac" for digest in digests]
        missing = {path: speech for path, speech in zip(paths, speeches, strict=True)}
        missing = {path: speech for path, speech in missing.items() if not path.exists()}
        if missing:
            _speak_missing(first, missing, workers, progress)
    return paths


def _speak_missing(first: Espeak, missing: dict[Path, Speech], workers: int, progress: bool) -> None:
    """Speak into files, with `workers` programs side by side."""
    items = list(missing.items())
    bar = Bar("speaking", len(items), wanted=progress)
    stopped = threading.Event()
    programs = [first]

    def work(number: int) -> None:
        for path, speech in items[number::workers]:
            if stopped.is_set():
                return
            audio = programs[number].speak(speech.voice, speech.text)
            write_aside(path, encode(audio.samples, "FLAC"))
            bar.advance()

    with ExitStack() as stack:
        programs += [stack.enter_context(Espeak()) for _ in range(workers - 1)]
        stack.enter_context(bar)
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        futures = [pool.submit(work, number) for number in range(workers)]
        try:
            for future in futures:
                future.result()
        finally:
            stopped.set()  # after an error or Ctrl-C the other workers end with the text at hand
