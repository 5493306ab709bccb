"""Normalisers with a version: what is done to both texts before words are counted.

A number is only worth comparing beside the normaliser that made it, so each has a name, a version that is raised
whenever its output changes, and a fingerprint of what it does to a few probes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from iclal.errors import SettingsError
from iclal.evaluation.spelling import american
from iclal.evaluation.spoken_numbers import spoken_to_digits

# A normaliser's steps can make room for one another (a mark dropped may join two words into a number), so they are
# repeated until nothing changes. Real text settles in two rounds; the bound is for text made to be difficult.
_MAX_ROUNDS = 20

_PROBES = (
    "Mr. O'Neil can't pay $20.50, it's well-known!",
    "In nineteen ninety-nine, twenty-one colours [noise] were, um, organised.",
    "3.14 % of THE 1,234 cafés' guests (laughs) said: two hundred and six pounds.",
)


@dataclass(frozen=True)
class Normalizer:
    """A function on texts with a name and a version."""

    name: str
    version: str
    apply: Callable[[str], str]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits of what it makes of fixed probes: another value means another normaliser."""
        made = "\n".join(self.apply(probe) for probe in _PROBES)
        return hashlib.sha256(made.encode()).hexdigest()[:12]


def get_normalizer(name: str) -> Normalizer:
    """The normaliser of that name. Raises SettingsError, listing the known ones, for any other."""
    if name not in NORMALIZERS:
        raise SettingsError(f"unknown normalizer '{name}'; known are {', '.join(NORMALIZERS)}")
    return NORMALIZERS[name]


def _none(text: str) -> str:
    """The text as it is."""
    return text


def _librispeech(text: str) -> str:
    """LibriSpeech's own style in lower case: no punctuation but apostrophes inside words; a hyphen parts two words."""
    return _until_settled(_librispeech_once, text)


def _librispeech_once(text: str) -> str:
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    text = text.replace("’", "'").replace("‘", "'")
    text = "".join(letter if letter == "'" or unicodedata.category(letter)[0] in "LMN" else " " for letter in text)
    return " ".join(word for word in (piece.strip("'") for piece in text.split()) if word)


_BRACKETED = re.compile(r"\[[^\]\[]*\]|<[^<>]*>|\([^()]*\)")
# `mm` behind a number is a unit.
_FILLERS = re.compile(r"(?<!\d )(?<!\d)\b(?:hmm+|mm+|mhm+|uh+|um+)\b")
_VULGAR_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75"}
# Letters that no decomposition takes apart.
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ß": "ss", "đ": "d", "ð": "d", "þ": "th", "ł": "l"})

_CONTRACTIONS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\bwon't\b", "will not"),
        (r"\bcan't\b", "can not"),
        (r"\bcannot\b", "can not"),
        (r"\blet's\b", "let us"),
        (r"\bain't\b", "aint"),
        (r"\by'all\b", "you all"),
        (r"\bo'clock\b", "oclock"),
        (r"\bma'am\b", "madam"),
        (r"\bwanna\b", "want to"),
        (r"\bgotta\b", "got to"),
        (r"\bgonna\b", "going to"),
        (r"\bi'?mma\b", "i am going to"),
        (r"\b(w|c|sh)oulda\b", r"\1ould have"),
        (r"\bmr\b", "mister"),
        (r"\bmrs\b", "missus"),
        (r"\bst\b(?!\s+\d)", "saint"),
        (r"\bdr\b", "doctor"),
        (r"\bprof\b", "professor"),
        (r"\bcapt\b", "captain"),
        (r"\bgov\b", "governor"),
        (r"\bgen\b", "general"),
        (r"\bsen\b", "senator"),
        (r"\brev\b", "reverend"),
        (r"\bhon\b", "honorable"),
        (r"\basst\b", "assistant"),
        (r"\bassoc\b", "associate"),
        (r"\blt\b", "lieutenant"),
        (r"\bjr\b", "junior"),
        (r"\bsr\b", "senior"),
        (r"\besq\b", "esquire"),
        (r"'d been\b", " had been"),
        (r"'d gone\b", " had gone"),
        (r"'d done\b", " had done"),
        (r"'s been\b", " has been"),
        (r"'s gone\b", " has gone"),
        (r"'s done\b", " has done"),
        (r"'s got\b", " has got"),
        (r"n't\b", " not"),
        (r"'re\b", " are"),
        (r"'s\b", " is"),
        (r"'d\b", " would"),
        (r"'ll\b", " will"),
        (r"'ve\b", " have"),
        (r"'m\b", " am"),
    ]
]


def _whisper(text: str) -> str:
    """English in the spirit of Whisper's published normaliser, settled: `_whisper_once` has the steps."""
    return _until_settled(_whisper_once, text)


def _whisper_once(text: str) -> str:
    """One round: case, bracketed text, fillers, contractions, marks, numbers, American spelling."""
    text = re.sub("[’‘ʼ`´]", "'", text.lower())
    text = _FILLERS.sub(" ", _BRACKETED.sub(" ", text))
    text = re.sub(r"\s+'", "'", text)
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"(?<![\w.])[-−](?=[$€£]?\d)", "minus ", text)
    text = re.sub(r"(?<=[$€£¢])\s+(?=\d)|(?<=\d)\s+(?=%)", "", _plain_letters(text))
    text = re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", " ", text)
    text = re.sub(r"(?<=\d) (st|nd|rd|th|s)\b", r"\1", text)
    return american(_loose_signs(spoken_to_digits(_loose_signs(text))))


def _plain_letters(text: str) -> str:
    """No diacritics, no marks but the signs of numbers; whatever else is no letter or digit parts words."""
    text = re.sub("[½¼¾]", lambda match: _VULGAR_FRACTIONS[match[0]], text)
    text = re.sub(r"(?<!\d)(?=\.(?:5|25|75)\b)", " 0", text)
    kept = []
    for letter in unicodedata.normalize("NFKD", text.translate(_LETTERS)).lower():
        category = unicodedata.category(letter)
        if letter in ".%$¢€£" or category[0] in "LN":
            kept.append(letter)
        elif category != "Mn":
            kept.append(" ")
    return unicodedata.normalize("NFC", "".join(kept))


def _loose_signs(text: str) -> str:
    """The text without signs that do not belong to a number; single spaces."""
    text = re.sub(r"[$¢€£](?!\d)|(?<!\d)%", " ", text)
    text = re.sub(r"\.(?!\d)|(?<!\d)\.", " ", text)
    return " ".join(text.split())


def _until_settled(step: Callable[[str], str], text: str) -> str:
    """`step` again and again until it changes nothing, so that normalising twice is normalising once."""
    for _ in range(_MAX_ROUNDS):
        changed = step(text)
        if changed == text:
            break
        text = changed
    return text


NORMALIZERS = {
    "none": Normalizer("none", "1", _none),
    "librispeech": Normalizer("librispeech", "1", _librispeech),
    "whisper": Normalizer("whisper", "1", _whisper),
}
