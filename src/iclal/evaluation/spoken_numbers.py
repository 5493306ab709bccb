"""Spelled-out English numbers to digits: `nineteen ninety nine` -> `1999`, `two dollars` -> `$2`, `third` -> `3rd`.

The behaviour is that of Whisper's published English normaliser where that one is documented by its tests; see
`tests/evaluation/test_normalize.py` for the table. Works on lower-case words without punctuation. What it writes it
reads back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_ONES = "one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
DIGITS = {word: str(value) for value, word in enumerate(_ONES, 1)}
SMALL = DIGITS | {word: str(value) for value, word in enumerate(_TEENS, 10)}
SMALL |= {word: str(10 * value) for value, word in enumerate(_TENS, 2)}
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ZEROS = ("zero", "oh", "o")
REPEATS = {"double": 2, "triple": 3}
FRACTIONS = {"half": ".5", "quarter": ".25"}
CURRENCIES = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€", "pound": "£", "pounds": "£"}
CURRENCIES |= {"cent": "¢", "cents": "¢"}

_IRREGULAR_ORDINALS = {"first": ("1", "st"), "second": ("2", "nd"), "third": ("3", "rd"), "fifth": ("5", "th")}
_IRREGULAR_ORDINALS |= {"eighth": ("8", "th"), "ninth": ("9", "th"), "twelfth": ("12", "th")}
_LITERAL = re.compile(r"([$€£¢]?)(\d+(?:\.\d+)?)(%?)")


def _endings() -> dict[str, tuple[str, str]]:
    """Ordinals and plurals: word -> the number word it comes from, and what is written behind the number."""
    endings = {}
    for word in [*SMALL, *SCALES]:
        stem = word[:-1] + "ie" if word.endswith("y") else word
        endings[stem + "th"] = (word, "th")
        endings[stem + "s"] = (word, "s")
    return endings


_ENDINGS = _endings()


@dataclass
class _Number:
    """A number while its words come in.

    `closed` is what scales of a thousand and more have settled (`two million` + ...), `digits` what is being spelled,
    `room` how many trailing zeros of `digits` the next word may fill (two after `hundred`, one after `twenty`), and
    `limit` how many digits fit below the last settled scale.
    """

    prefix: str = ""
    closed: int = 0
    digits: str = ""
    room: int = 0
    limit: int = 0
    literal: bool = False  # came as digits: `3 14` is two numbers, although `three fourteen` is one

    @property
    def empty(self) -> bool:
        return not self.digits and not self.closed

    @property
    def scaled(self) -> bool:
        """Whether the last word was a scale, behind which `and` may stand."""
        return (self.closed > 0 and not self.digits) or (self.room >= 2 and self.digits.endswith("00"))

    def takes(self, more: str) -> bool:
        """Whether the digits of another word can become part of this number."""
        if self.room >= len(more) and "." not in self.digits:
            return True
        if self.literal:
            return False
        return not self.closed or len(self.digits) + len(more) <= self.limit

    def add(self, more: str) -> None:
        """Fill trailing zeros if there is room, else write the digits behind."""
        keep = len(self.digits) - len(more) if self.room >= len(more) else len(self.digits)
        self.digits = self.digits[:keep] + more
        self.room = len(more) - len(more.rstrip("0")) if more.strip("0") else 0
        self.literal = False

    def scale(self, factor: int) -> bool:
        """Multiply what is being spelled; False when the scale starts a number of its own."""
        if self.closed and not self.digits:
            return False
        value = Decimal(self.digits or "1") * factor
        if self.closed and len(str(int(value))) > self.limit:
            return False
        exponent = len(str(factor)) - 1
        if factor == 100 and value == int(value):
            self.digits, self.room, self.literal = str(int(value)), 2, False
        elif value == int(value):
            self.closed, self.digits, self.room, self.limit = self.closed + int(value), "", 0, exponent
            self.literal = False
        else:
            self.digits, self.room = _plain(value), 0
        return True

    def text(self) -> str:
        """The number in digits."""
        if not self.closed:
            return self.prefix + self.digits
        return self.prefix + _plain(self.closed + Decimal(self.digits or "0"))


def spoken_to_digits(text: str) -> str:
    """The text with spelled-out numbers, ordinals, percentages and sums of money in digits and signs.

    >>> spoken_to_digits("two hundred and six pounds on the third")
    '£206 on the 3rd'
    """
    words = text.split()
    written: list[str] = []
    position = 0
    while position < len(words):
        number, after = _read_number(words, position)
        if after == position:
            written.append(words[position])
            position += 1
        else:
            written.append(number)
            position = after
    text = " ".join(written)
    text = re.sub(r"([$€£])(\d+) (?:and )?¢(\d\d?)(?![\d.])", lambda m: f"{m[1]}{m[2]}.{int(m[3]):02d}", text)
    return re.sub(r"[$€£]0+\.(\d\d)(?!\d)", lambda m: f"¢{int(m[1])}", text)


def _read_number(words: Sequence[str], start: int) -> tuple[str, int]:
    """The number that begins at `start` as it is written, and the position behind it; `start` itself if none does."""
    number = _Number()
    position = start
    while position < len(words):
        taken = _take(number, words, position)
        if taken is None:
            ending = _take_ending(number, words[position])
            if ending is not None:
                return number.text() + ending, position + 1
            break
        position = taken
    if number.empty:
        return "", start
    return _with_sign(number, words, position)


def _take(number: _Number, words: Sequence[str], position: int) -> int | None:
    """Let the word at `position` become part of the number; returns the position behind what was used, or None."""
    word = words[position]
    following = words[position + 1] if position + 1 < len(words) else ""
    if word in SMALL or word == "zero":
        more = SMALL.get(word, "0")
        if not number.takes(more):
            return None
        number.add(more)
        return position + 1
    if word in ("oh", "o") and number.digits and not number.literal and _is_digit(following):
        number.room = 0
        if not number.takes("0"):
            return None
        number.add("0")
        return position + 1
    if word in REPEATS and (following in DIGITS or following in ZEROS):
        more = DIGITS.get(following, "0") * REPEATS[word]
        number.room = 0
        if not number.takes(more):
            return None
        number.add(more)
        return position + 2
    if word in SCALES:
        return position + 1 if number.scale(SCALES[word]) else None
    return _take_literal_or_joint(number, words, position)


def _take_literal_or_joint(number: _Number, words: Sequence[str], position: int) -> int | None:
    """As `_take`, for digits, `a hundred`, `point` and `and`."""
    word, following, third = [*words[position : position + 3], "", ""][:3]
    literal = _LITERAL.fullmatch(word)
    if literal and number.empty and not literal[3]:
        number.prefix, number.digits, number.literal = literal[1], literal[2], True
        return position + 1
    if word == "a" and number.empty and following in SCALES:
        number.scale(SCALES[following])
        return position + 2
    if word == "point" and "." not in number.digits and not number.closed:
        plain = _LITERAL.fullmatch(following)
        if following in SMALL or following in ZEROS or (plain and following.isdigit()):
            number.digits = (number.digits or "0") + "." + (following if plain else "")
            number.room, number.literal = 0, bool(plain)
            return position + (2 if plain else 1) + _zero_after_point(number, following)
    if word == "and" and number.scaled and (following in SMALL or _ordinal(following)):
        return position + 1
    if word == "and" and following == "a" and third in FRACTIONS and number.digits.isdigit() and not number.closed:
        number.digits, number.room, number.literal = number.digits + FRACTIONS[third], 0, True
        return position + 3
    return None


def _zero_after_point(number: _Number, following: str) -> int:
    """`point oh five`: here `oh` is a zero whatever comes next. Returns how many words were used."""
    if following not in ("oh", "o"):
        return 0
    number.add("0")
    return 1


def _take_ending(number: _Number, word: str) -> str | None:
    """Let an ordinal or a plural end the number (or be one); returns what is written behind it, or None."""
    ordinal = _ordinal(word)
    if ordinal:
        more, ending = ordinal
        if not (number.empty or number.room >= len(more) or (number.closed and not number.digits)):
            return None
        number.add(more)
        return ending
    stem, ending = _ENDINGS.get(word, ("", ""))
    if stem in SCALES:
        return ending if number.scale(SCALES[stem]) else None
    # `fifties` ends `nineteen fifties`, but `ones` and `twos` are no years.
    if ending == "s" and SMALL.get(stem, "1").endswith("0") and number.takes(SMALL[stem]):
        number.add(SMALL[stem])
        return ending
    return None


def _ordinal(word: str) -> tuple[str, str] | None:
    """Digits and ending of `third`, `twentieth` and the like; scales (`thousandth`) are not among them."""
    if word in _IRREGULAR_ORDINALS:
        return _IRREGULAR_ORDINALS[word]
    stem, ending = _ENDINGS.get(word, ("", ""))
    return (SMALL[stem], ending) if ending == "th" and stem in SMALL else None


def _with_sign(number: _Number, words: Sequence[str], position: int) -> tuple[str, int]:
    """The number with the sign of the money or percentage that is named behind it, and the position behind that."""
    following, then = [*words[position : position + 2], "", ""][:2]
    text = number.text()
    if number.prefix:
        return text, position
    if following in CURRENCIES:
        return CURRENCIES[following] + text, position + 1
    if following == "percent":
        return text + "%", position + 1
    if (following, then) == ("per", "cent"):
        return text + "%", position + 2
    return text, position


def _is_digit(word: str) -> bool:
    """Whether `oh` before this word would be a zero."""
    return word in SMALL or word in ZEROS or word in REPEATS


def _plain(value: Decimal) -> str:
    """A number without exponent and without zeros behind its last decimal."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
