"""Speech from text: the same bytes whatever came before, checked voices, a process that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iclal.audio import speaking
from iclal.audio.reading import header, read_audio
from iclal.audio.speaking import Espeak, Speech, Voice, speak_all, speech_digest
from iclal.errors import AudioError, MissingError, SettingsError

TIMBRE_WORDS = ("formant", "pitch", "flutter", "roughness", "consonants")
pytest.importorskip("espeakng_loader", reason="eSpeak NG is an optional package")


@pytest.fixture(scope="module")
def espeak() -> Iterator[Espeak]:
    with Espeak() as program:
        yield program


def espeakng_data() -> str:
    import espeakng_loader

    return espeakng_loader.get_data_path()


def voices(espeak: Espeak) -> list[tuple[Voice, str]]:
    """30 utterances in as many voices."""
    accents = [accent for accent in espeak.accents() if accent.startswith("en-") and accent != "en-shaw"]
    variants = sorted(espeak.variants())
    return [
        (
            Voice(accents[i % len(accents)], variants[i], rate_wpm=130 + 2 * i, pitch=30 + i),
            f"Mira put {i} red boxes [[m'i:rA:]].",
        )
        for i in range(30)
    ]


def test_an_utterance_made_alone_equals_the_same_in_a_run_bit_for_bit(espeak: Espeak) -> None:
    items = voices(espeak)
    run = [espeak.speak(*item).samples.tobytes() for item in items]
    assert [espeak.speak(*item).samples.tobytes() for item in reversed(items)] == run[::-1]
    with Espeak() as alone:  # in other processes too: breathy variants draw noise
        assert alone.speak(*items[29]).samples.tobytes() == run[29]
        breathy = [(Voice(variant=name), "yes") for name in ("f2", "Alicia", "whisper")]
        breathy += [(Voice(timbre="flutter 20\nbreath 0 9 9 9\nklatt 3"), "yes")]
        assert [alone.speak(*item).samples.tobytes() for item in breathy] == [
            espeak.speak(*item).samples.tobytes() for item in breathy
        ]
    assert len(set(run)) == 30


def test_a_timbre_is_a_variant_of_ones_own_bit_for_bit(espeak: Espeak) -> None:
    file = Path(espeakng_data()) / "voices" / "!v" / "m1"
    lines = [line for line in file.read_text().splitlines() if line.split() and line.split()[0] in TIMBRE_WORDS]
    named = espeak.speak(Voice(variant="m1"), "mira has a green mirror")
    own = espeak.speak(Voice(timbre="\n".join(" ".join(line.split()) for line in lines)), "mira has a green mirror")
    assert np.array_equal(own.samples, named.samples)
    plain = espeak.speak(Voice(), "mira has a green mirror")
    assert not np.array_equal(plain.samples, named.samples[: len(plain.samples)])  # and is gone with its request


@pytest.mark.parametrize("accent", ["en-us", "en-gb-scotland"])
def test_a_phoneme_exchanged_is_the_other_one_bit_for_bit(espeak: Espeak, accent: str) -> None:
    def said(text: str, exchange: str = "") -> bytes:
        return espeak.speak(Voice(accent, timbre=f"roughness 2{exchange}"), text).samples.tobytes()

    assert said("[[b'oUm boUm]]", "\nreplace 00 oU aU") == said("[[b'aUm baUm]]") != said("[[b'oUm boUm]]")
    assert said("[[h'oUm]]", "\nreplace 00 h NULL") == said("[['oUm]]")
    assert said("[[b'i:m]]", "\nreplace 00 oU aU") == said("[[b'i:m]]")
    drawn = Voice(accent, timbre="pitch 80 100\nreplace 00 oU aU")
    assert espeak.phonemes(drawn, "[[b'oUm]]", ipa=False) == "b'aUm"


@pytest.mark.parametrize(
    "line", ["replace 00 oU", "replace 04 oU o", "replace oU o", "replace 00 oU o o", "replaced 00 oU o"]
)
def test_an_exchange_that_eSpeak_NG_would_not_make_is_refused(line: str) -> None:
    with pytest.raises(SettingsError, match=f"an exchange is written 'replace 00 oU o' .*, found '{line}'$"):
        Voice(timbre=f"pitch 80 100\n{line}")


@pytest.mark.parametrize(("line", "found"), [("replace 00 oU oy", "oy"), ("replace 00 NULL o", "NULL")])
def test_an_exchange_of_an_unknown_phoneme_is_refused_with_those_known(line: str, found: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"^'{found}' of '{line}' cannot be exchanged; what can: @ @2 a .* 3:, and"
    ):
        Voice(timbre=line)


def test_an_exchange_in_another_language_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"in English accents alone, found 'replace 00 aI OI' with accent 'de'$"):
        Voice("de", timbre="replace 00 aI OI")


@pytest.mark.slow
@pytest.mark.parametrize("accent", ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"])
def test_what_may_be_exchanged_is_heard_in_every_accent(espeak: Espeak, accent: str) -> None:
    def said(phoneme: str) -> bytes:
        return espeak.speak(Voice(accent), f"[[b'i: {phoneme}b'i:]]").samples.tobytes()

    nothing = said("")
    own = {"h"} if accent == "en-gb-x-gbcwmd" else set()  # which drops it by itself
    assert {phoneme for phoneme in speaking._PHONEMES if said(phoneme) == nothing} == own


def test_a_timbre_of_other_words_or_beside_a_variant_is_refused() -> None:
    for line in (
        "language en",
        "pitch 80",
        "formant 12 100 100 100",
        "formant 1",
        "echo 140",
        "flutter x",
        "",
        "pitch 80  90",
        "pitch -80 90",
        "stressAdd 10 -20",
    ):
        with pytest.raises(SettingsError, match=f"found {line!r}$"):
            Voice(timbre=f"formant 1 90 100 100\n{line}")
    with pytest.raises(SettingsError, match="must be text, found 5"):
        Voice(timbre=5)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="not both: leave out 'f2'"):
        Voice(variant="f2", timbre="formant 1 90 100 100")
    assert speech_digest(Speech("a", Voice(timbre="pitch 80 100")), "1") != speech_digest(Speech("a", Voice()), "1")


def test_speech_is_16_khz_of_16_bit_values_and_faster_at_a_higher_rate(espeak: Espeak) -> None:
    slow, fast = (espeak.speak(Voice(rate_wpm=rate), "the quick brown fox jumps over it") for rate in (100, 200))
    assert slow.duration_seconds > 1.5 * fast.duration_seconds > 1.0
    scaled = slow.samples * 32768
    assert np.array_equal(scaled, np.rint(scaled))
    assert 0.1 < np.abs(slow.samples).max() < 1.0
    quiet = espeak.speak(Voice(rate_wpm=100, volume=20), "the quick brown fox jumps over it")
    assert np.abs(quiet.samples).max() < 0.5 * np.abs(slow.samples).max()


def test_empty_text_gives_a_moment_of_silence(espeak: Espeak) -> None:
    for text in ("", "   ", "\n", "..."):
        assert espeak.speak(Voice(), text).duration_seconds < 0.7


def test_phonemes_in_a_text_are_spoken_and_listed(espeak: Espeak) -> None:
    assert espeak.phonemes(Voice(), "hello [[m'i:rA:]]") == "həlˈoʊ mˈiːɹɑː"
    assert espeak.phonemes(Voice(), "hello [[m'i:rA:]]", ipa=False) == "h@l'oU m'i:rA:"
    assert espeak.phonemes(Voice("en-gb"), "She went. He stayed.").splitlines() == ["ʃiː wˈɛnt", "hiː stˈeɪd"]
    markup = espeak.speak(Voice(), "[[h@l'oU]]")
    assert abs(markup.duration_seconds - espeak.speak(Voice(), "hello").duration_seconds) < 0.05
    assert abs(markup.duration_seconds - espeak.speak(Voice(), "h at l apostrophe o u").duration_seconds) > 0.5


def test_lists_hold_the_english_accents_and_variants_with_their_sex(espeak: Espeak) -> None:
    english = {"en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029"}
    assert english <= set(espeak.accents())
    assert "fo" not in espeak.accents()  # listed by eSpeak NG, but its dictionary is not in the package
    assert espeak.variants()["f2"] == "female" and espeak.variants()["m3"] == "male"
    assert len(espeak.variants()) > 90


def test_every_variant_speaks(espeak: Espeak) -> None:
    made = [espeak.speak(Voice(variant=variant), "yes").samples for variant in espeak.variants()]
    assert all(len(samples) > 2000 and samples.any() for samples in made)
    assert len({samples.tobytes() for samples in made}) > 0.8 * len(made)


def test_unknown_accent_and_variant_are_refused_with_near_names(espeak: Espeak) -> None:
    with pytest.raises(SettingsError, match=r"no accent 'en-uk'; near names: .*en-u"):
        espeak.speak(Voice(accent="en-uk"), "yes")
    with pytest.raises(SettingsError, match="no voice variant 'F2'; near names: f2"):
        espeak.speak(Voice(variant="F2"), "yes")
    with pytest.raises(SettingsError, match="no accent 'qqqq'; known: "):
        espeak.phonemes(Voice("qqqq"), "yes")
    assert espeak.speak(Voice(), "yes").num_samples > 0


@pytest.mark.parametrize(
    ("field", "value"), [("rate_wpm", 20), ("rate_wpm", 1000), ("pitch", 100), ("pitch_range", -1), ("volume", 1.5)]
)
def test_voice_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"{field} of a voice must be a whole number from .* found {value}"):
        Voice(**{field: value})  # type: ignore[arg-type]


def test_control_characters_are_refused(espeak: Espeak) -> None:
    with pytest.raises(AudioError, match=r"control character '\\x01' at position 2"):
        espeak.speak(Voice(), "ab\x0190s")


def test_a_dead_program_is_a_typed_error() -> None:
    with Espeak() as espeak:
        folder = Path(espeak._folder.name)
        assert any(folder.iterdir())
        os.kill(espeak._process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(AudioError, match=r"the eSpeak NG program has ended \(exit -9\)"):
                espeak.speak(Voice(), "yes")
    with pytest.raises(AudioError, match="this Espeak is closed"):
        espeak.speak(Voice(), "yes")
    assert not folder.exists()


def test_a_temporary_folder_of_too_long_a_path_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("a" * 160)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(AudioError, match="set TMPDIR to a shorter one"):
        Espeak()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(AudioError, match="needs a folder for temporary files"):
        Espeak()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'iclal\[synth\]'"):
        Espeak()


def test_cached_speech_equals_fresh_speech_and_is_made_once(espeak: Espeak, tmp_path: Path) -> None:
    speeches = [Speech(text, voice) for voice, text in voices(espeak)[:8]]
    paths = speak_all([*speeches, speeches[0]], tmp_path, workers=2)
    assert paths[-1] == paths[0] and len({*paths}) == 8
    for speech, path in zip(speeches, paths, strict=False):
        assert np.array_equal(read_audio(path).samples, espeak.speak(speech.voice, speech.text).samples)
        assert (header(path).format, header(path).subtype) == ("FLAC", "PCM_16")
    times = [path.stat().st_mtime_ns for path in paths]
    assert speak_all(speeches, tmp_path) == paths[:8]
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert all(path.suffix == ".flac" for path in tmp_path.rglob("*") if path.is_file())


def test_digest_depends_on_text_voice_and_synthesiser() -> None:
    base = speech_digest(Speech("yes", Voice()), "1.52.0")
    assert base == speech_digest(Speech("yes", Voice()), "1.52.0")
    others = [(Speech("no", Voice()), "1.52.0"), (Speech("yes", Voice(pitch=51)), "1.52.0")]
    assert base not in [speech_digest(*other) for other in [*others, (Speech("yes", Voice()), "1.53")]]


def test_one_bad_voice_ends_a_run_but_not_what_is_made(tmp_path: Path) -> None:
    good, bad = Speech("yes", Voice()), Speech("no", Voice(variant="nobody"))
    with pytest.raises(SettingsError, match="no voice variant 'nobody'"):
        speak_all([good, bad], tmp_path)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    with pytest.raises(SettingsError, match="workers must be at least 1, found 0"):
        speak_all([good], tmp_path, workers=0)


def test_two_processes_may_share_the_cache(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from iclal.audio.speaking import *\n"
        "print(len(speak_all([Speech(f'number {i}', Voice()) for i in range(20)], Path(sys.argv[1]))))"
    )
    pair = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60) for process in pair] == [(b"20\n", b"")] * 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 20 and all(header(path).num_frames > 0 for path in files)
