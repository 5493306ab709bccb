"""Who speaks in the spoken world, and the voice note that a passage's rich transcript carries of it."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

from iclal.audio.speaking import Voice
from iclal.data.manifest import Utterance
from iclal.data.world import words

NOTE_WORDS = words.SPEAKERS + words.PACES + words.SURROUNDINGS

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
TEST_ACCENT = "en-gb-x-rp"

# eSpeak NG's variants that sound like a person. A few are kept for the test: no part of the project hears them before.
MEN = tuple(
    "m1 m2 m4 m5 m6 m7 m8 adam Alex Andy Denis Gene Gene2 Hugo Jacky Lee Marco Mario Mike Reed antonio boris "
    "david ed edward edward2 gustave ian iven iven2 john marcelo max michel miguel norbert pablo paul pedro rob robert "
    "sandro victor zac".split()
)
WOMEN = tuple("f1 f2 f3 f5 Andrea Annie anika aunty grandma shelby steph steph2".split())
TEST_MEN = ("m3", "Michael", "benjamin", "travis", "quincy", "mike2")
TEST_WOMEN = ("f4", "belinda", "linda", "steph3")

DRAWN_SHARE = 0.5  # of the voices of other parts than the test
_DRAWN_ACCENT_SHARE = 0.7  # of the drawn speakers
# Of a kind of speaker the formants, as a multiple of those of eSpeak NG's own man, and the low end of the pitch in
# hertz (as it is at `Voice.pitch` 50).
_THROATS = {
    "man": ((0.88, 1.08), (60, 100)),
    "woman": ((1.02, 1.2), (120, 180)),
    "child": ((1.08, 1.3), (125, 190)),
}

# In eSpeak NG's notation, what may be spoken in place of a phoneme. First the vowels of names: what stands for one of
# them stands for no other, so that no two names sound alike in any accent.
_EXCHANGES_IN_NAMES = {
    "A:": ("a", "aa"),
    "E": ("eI",),
    "oU": ("o", "aU"),
    "u:": ("U", "u"),
}
_EXCHANGES_IN_WORDS = {
    "eI": ("e:", "e", "aI"),
    "aI": ("OI", "aI3", "A:"),
    "aU": ("a", "oU", "A:"),
    "OI": ("aI", "oU"),
    "a": ("E", "aa", "A:"),
    "aa": ("a", "A:"),
    "I": ("i", "I2", "@"),
    "0": ("A:", "a"),
    "V": ("U", "a", "@"),
    "U": ("u:", "u", "V"),
    "O:": ("0",),
    "O@": ("O:", "o@"),
    "3:": ("e@", "V", "@2"),
    "A@": ("A:", "a", "aa"),
    "e@": ("E", "e", "eI"),
    "@": ("V", "E", "a#"),
    "D": ("d", "v"),
    "N": ("n",),
    "h": ("NULL",),
    "w": ("v",),
}

SLOW_WPM, FAST_WPM = (105, 130), (195, 215)  # what the notes "slow" and "fast" mean, in words a minute
EVEN_WPM = (140, 185)


@dataclass(frozen=True)
class Casting:
    """A voice for one passage, and what a listener would note of it."""

    voice: Voice
    speaker: str  # of words.SPEAKERS
    pace: str  # of words.PACES, or "" where it is neither
    surroundings: str  # of words.SURROUNDINGS: whether noise is to be added


def draw_timbre(rng: random.Random, speaker: str) -> str:
    """A speaker of that kind for `Voice.timbre`: formants, pitch and, by chance, roughness and so on.

    eSpeak NG's named variants are some dozens, and ears learn them by heart: three of ten new voices made two thirds of
    their errors (docs/log.md). The test's voices are all named ones; what is drawn ranges as far as the others do.
    """
    scales, pitches_hz = _THROATS[speaker]
    scale, slope = rng.uniform(*scales), rng.uniform(0.82, 1.02)
    spread = rng.choice((0.05, 0.08, 0.08, 0.15))
    num_heard = 9 if rng.random() < 0.8 else rng.randint(5, 8)  # some have no high formants at all
    low_hz = rng.randint(*pitches_hz)
    lines = [f"pitch {low_hz} {round(low_hz * rng.uniform(1.1, 1.7))}"]
    for number in range(9):
        frequency = 100 * scale * rng.uniform(1 - spread, 1 + spread)
        height = 100 * slope**number * rng.uniform(0.75, 1.25) if number < num_heard else 0
        added_hz = f" {rng.randint(-120, 220)}" if number in (1, 2, 3) and rng.random() < 0.12 else ""
        lines.append(f"formant {number} {frequency:.0f} {height:.0f} {rng.uniform(50, 180):.0f}{added_hz}")
    tone_hz = sorted(rng.sample(range(100, 5000, 50), rng.randint(2, 5)))
    others = {
        "flutter": (0.3, f"{rng.randint(1, 20)}"),
        "roughness": (0.3, f"{rng.randint(0, 5)}"),
        "voicing": (0.5, f"{rng.randint(30, 155)}"),
        "consonants": (0.5, f"{rng.randint(50, 150)} {rng.randint(40, 140)}"),
        "breath": (0.15, "0 " + " ".join(str(rng.randint(0, 10)) for _ in range(6))),
        "tone": (0.4, " ".join(f"{hz} {rng.randint(10, 255)}" for hz in tone_hz)),
        "echo": (0.2, f"{rng.randint(30, 140)} {rng.randint(3, 20)}"),
        "klatt": (0.08, f"{rng.randint(1, 6)}"),
        "intonation": (0.2, f"{rng.randint(1, 4)}"),
        "stressAmp": (0.25, " ".join(str(rng.randint(15, 26)) for _ in range(8))),
        "stressAdd": (0.25, " ".join(str(rng.randint(-30, 120)) for _ in range(8))),
    }
    return "\n".join(lines + [f"{name} {value}" for name, (share, value) in others.items() if rng.random() < share])


def draw_accent(rng: random.Random) -> str:
    """Lines for `Voice.timbre` that exchange some phonemes of whatever accent it speaks with near ones.

    eSpeak NG's accents are a handful, and on the test's own, which no part hears, ears made three times the errors of
    any other (docs/log.md). None is copied here: each exchange is made or left by chance, apart from the others.
    """
    lines = []
    for exchanges, share in ((_EXCHANGES_IN_NAMES, 0.4), (_EXCHANGES_IN_WORDS, 0.2)):
        lines += [f"replace 00 {old} {rng.choice(new)}" for old, new in exchanges.items() if rng.random() < share]
    return "\n".join(lines)


def cast(rng: random.Random, part: str, noisy_share: float = 0.3, drawn_share: float = DRAWN_SHARE) -> Casting:
    """A voice of the part: the test's variants in any accent, its own among them; else the other variants, or a
    speaker drawn for this passage alone (`drawn_share` of them).
    """
    test = part == "test"
    accent = rng.choice((*ACCENTS, TEST_ACCENT, TEST_ACCENT)) if test else rng.choice(ACCENTS)
    speaker = rng.choices(words.SPEAKERS, (0.4, 0.35, 0.25))[0]
    if speaker == "man":
        variant, pitch = rng.choice(TEST_MEN if test else MEN), rng.randint(25, 60)
    else:
        variant = rng.choice(TEST_WOMEN if test else WOMEN)
        pitch = rng.randint(90, 99) if speaker == "child" else rng.randint(35, 65)
    pace = rng.choices((*words.PACES, ""), (0.25, 0.25, 0.5))[0]
    rate_wpm = rng.randint(*{"slow": SLOW_WPM, "fast": FAST_WPM, "": EVEN_WPM}[pace])
    timbre = "" if test or rng.random() < 1 - drawn_share else draw_timbre(rng, speaker)
    if timbre:
        variant = ""
        if rng.random() < _DRAWN_ACCENT_SHARE:
            timbre = f"{timbre}\n{draw_accent(rng)}".strip()
    surroundings = "noisy" if rng.random() < noisy_share else "quiet"
    return Casting(Voice(accent, variant, rate_wpm, pitch, timbre=timbre), speaker, pace, surroundings)


def with_note(utterance: Utterance, speaker: str = "", pace: str = "", surroundings: str = "") -> Utterance:
    """The utterance with its note, e.g. "[ woman fast noisy ]", and the same as facts. Empty parts are not told."""
    known = {"speaker": speaker, "pace": pace, "surroundings": surroundings}
    told = {name: value for name, value in known.items() if value}
    assert all(value in NOTE_WORDS for value in told.values()), told
    note = f"[ {' '.join(told.values())} ]" if told else None
    return dataclasses.replace(utterance, voice=note, facts=utterance.facts | told)
