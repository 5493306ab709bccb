"""A program of its own that holds eSpeak NG and speaks for whoever writes to its standard input.

It imports the standard library and `espeakng_loader` alone, never ICLAL: the synthesiser is optional, has a licence of
its own (GPL), and must be forked from a small process. eSpeak NG gives other samples at each call within a process, but
the same ones in every fresh process; so each request is served by a child forked from the initialised parent.

Its argument is an empty folder, the caller's to remove: eSpeak NG's data is linked into it, so that a speaker of one's
own can stand among its variants. Requests are JSON lines. The first answer comes unasked: `{"version", "accents",
"variants"}` or `{"error"}`. Then for each request one JSON line: `{"bytes": n}` followed by n bytes, or
`{"error": message}`.

    {"do": "speak", "text", "voice", "timbre", "rate_wpm", "pitch", "pitch_range", "volume"}
                                                                                    -> int16 samples, mono, 22,050 Hz
    {"do": "phonemes", "text", "voice", "ipa"}                                      -> UTF-8 text

`voice` is an identifier with its variant, as in `gmw/en-US+f2`; the caller checks it, since eSpeak NG ignores an
unknown variant in silence. `timbre`, where there is one, holds the lines of a variant file that is not among eSpeak
NG's. `[[...]]` in a text holds phonemes in eSpeak NG's own notation.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: samples go to the callback, the call returns when all is spoken
_DO_NOT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT
_UTF8_WITH_PHONEMES = 0x1 | 0x100  # espeakCHARS_UTF8 | espeakPHONEMES
_PARAMETERS = {"rate_wpm": 1, "volume": 2, "pitch": 3, "pitch_range": 4}  # espeak_PARAMETER
_MAX_SECONDS_PER_REQUEST = 60
_LONGEST_PATH = 159
_TIMBRE = "timbre-of-request"  # a variant's name: its file is written anew for each request that brings one


class _VoiceStruct(ctypes.Structure):
    """espeak_VOICE; `languages` is a list of (priority byte, name, 0), ended by a 0."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class Failure(Exception):
    """A request that cannot be served; the message goes back to the caller."""


def load(library_path: str, data_path: str) -> ctypes.CDLL:
    """The library, initialised. Raises Failure when it does not start."""
    library = ctypes.CDLL(library_path)
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceStruct))
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_SetPhonemeTrace.argtypes = [ctypes.c_int, ctypes.c_void_p]
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), _DO_NOT_EXIT)
    if rate != 22_050:
        told = ", whose path is too long for it: set TMPDIR to a shorter one" if len(data_path) > _LONGEST_PATH else ""
        raise Failure(f"eSpeak NG did not start from {data_path} (answer {rate}){told}")
    return library


def own_data_folder(data_path: str, folder: str) -> Path:
    """A folder of links to eSpeak NG's data, in which variants may be added; returns the place of the variants."""
    variants = Path(folder) / "voices" / "!v"
    variants.mkdir(parents=True)
    source = Path(data_path)
    for inside, own in (("", Path(folder)), ("voices", variants.parent), ("voices/!v", variants)):
        for path in (source / inside).iterdir():
            if not (own / path.name).exists():
                (own / path.name).symlink_to(path)
    return variants


def list_accents(library: ctypes.CDLL, data_path: str) -> dict[str, str]:
    """Accent -> voice identifier, e.g. en-us -> gmw/en-US, of all voices whose dictionary is there."""
    accents: dict[str, str] = {}
    voices = library.espeak_ListVoices(None)
    index = 0
    while voices[index]:
        voice = voices[index].contents
        index += 1
        identifier = voice.identifier.decode()
        language = ctypes.string_at(voice.languages + 1).decode()
        if _has_dictionary(Path(data_path), identifier, language):
            # Two voices may share their first language (Cantonese does): the second goes by its file's name.
            name = language if language not in accents else identifier.rpartition("/")[2].lower()
            accents[name] = identifier
    return dict(sorted(accents.items()))


def _has_dictionary(data: Path, identifier: str, language: str) -> bool:
    """Whether a voice can be used: some are listed although the package lacks their dictionary."""
    name = language.partition("-")[0]
    for line in (data / "lang" / identifier).read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["dictionary"] and len(words) > 1:
            name = words[1]
    return (data / f"{name}_dict").exists()


def list_variants(data_path: str) -> dict[str, str]:
    """Variant -> "female", "male" or "" where its file does not say."""
    variants = {}
    for path in sorted((Path(data_path) / "voices" / "!v").iterdir()):
        words = path.read_text(encoding="utf-8", errors="replace").split()
        gender = words[words.index("gender") + 1] if "gender" in words[:-1] else ""
        variants[path.name] = gender if gender in ("female", "male") else ""
    return variants


def _with_timbre(request: Any, variants: Path) -> dict[str, Any]:
    """The request, its voice naming a variant file written for it where it brings a timbre."""
    if not isinstance(request, dict):
        raise Failure(f"a request is a JSON object, found {request!r}")
    if not request.get("timbre"):
        return request
    if "voice" not in request:
        raise Failure("a timbre needs a voice")
    (variants / _TIMBRE).write_text(f"language variant\n{request['timbre']}\n", encoding="utf-8")
    return request | {"voice": f"{request['voice']}+{_TIMBRE}"}


def _choose_voice(library: ctypes.CDLL, voice: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise Failure(f"eSpeak NG has no voice '{voice}'")


def _synthesise(library: ctypes.CDLL, text: str) -> bytes:
    """The samples of `text`, as the voice and parameters now set speak it."""
    parts: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            parts.append(ctypes.string_at(samples, 2 * count))
        return 0

    library.espeak_SetSynthCallback(collect)
    library.espeak_ng_SetRandSeed(1)  # breathy and rough variants draw noise; unset, the seed is the clock's
    encoded = text.encode()
    status = library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8_WITH_PHONEMES, None, None)
    if status != 0:
        raise Failure(f"eSpeak NG could not speak {text!r} (status {status})")
    return b"".join(parts)


def speak(library: ctypes.CDLL, request: dict[str, Any]) -> bytes:
    """Int16 samples, mono, 22,050 Hz."""
    _choose_voice(library, request["voice"])
    for name, number in _PARAMETERS.items():
        if library.espeak_SetParameter(number, int(request[name]), 0) != 0:
            raise Failure(f"eSpeak NG refuses {name} {request[name]}")
    return _synthesise(library, request["text"])


def phonemes(library: ctypes.CDLL, request: dict[str, Any]) -> bytes:
    """The phonemes that are spoken, one clause a line.

    They are traced while speaking: espeak_TextToPhonemes does not know `[[...]]` and spells it out.
    """
    _choose_voice(library, request["voice"])
    libc = ctypes.CDLL(None)
    libc.open_memstream.restype = ctypes.c_void_p
    libc.fclose.argtypes = [ctypes.c_void_p]
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    stream = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    library.espeak_SetPhonemeTrace(2 if request["ipa"] else 1, stream)
    _synthesise(library, request["text"])
    libc.fclose(stream)
    return ctypes.string_at(text, size.value) if text.value else b""


_DEEDS = {"speak": speak, "phonemes": phonemes}


def serve_in_child(library: ctypes.CDLL, request: dict[str, Any]) -> bytes:
    """Serve a request in a forked child. Raises Failure when the child refuses or dies."""
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading_end)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_MAX_SECONDS_PER_REQUEST)
        try:
            try:
                answer = b"+" + _DEEDS[request["do"]](library, request)
            except (Failure, KeyError, ValueError, TypeError) as error:
                answer = b"-" + f"{type(error).__name__}: {error}".encode()
            with os.fdopen(writing_end, "wb") as pipe:
                pipe.write(answer)
            os._exit(0)
        finally:
            os._exit(1)  # whatever happens, a child never goes on to serve
    os.close(writing_end)
    with os.fdopen(reading_end, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        raise Failure(f"speaking {request.get('text')!r} took more than {_MAX_SECONDS_PER_REQUEST} s")
    if code != 0:
        raise Failure(f"eSpeak NG crashed on {request.get('text')!r} (exit {code})")
    if answer[:1] == b"-":
        raise Failure(answer[1:].decode().removeprefix("Failure: "))
    return answer[1:]


def _reply(stream: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    stream.write(json.dumps(head).encode() + b"\n" + body)
    stream.flush()


def main(folder: str) -> int:
    """Serve requests until standard input ends, with eSpeak NG's data linked into the empty `folder`."""
    # Answers keep the real standard output for themselves; what the library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's affair: it closes our standard input
    try:
        import espeakng_loader

        variants_path = own_data_folder(espeakng_loader.get_data_path(), folder)
        library = load(espeakng_loader.get_library_path(), folder)
        accents, variants = list_accents(library, folder), list_variants(folder)
    except (ImportError, OSError, RuntimeError, Failure) as error:
        _reply(out, {"error": str(error)})
        return 1
    version = library.espeak_Info(None).decode()
    _reply(out, {"version": version, "accents": accents, "variants": variants})
    for line in sys.stdin.buffer:
        try:
            body = serve_in_child(library, _with_timbre(json.loads(line), variants_path))
        except (Failure, OSError, ValueError) as error:
            _reply(out, {"error": str(error)})
        else:
            _reply(out, {"bytes": len(body)}, body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
