"""Names and label words of the spoken world: a syllable grammar with one spelling per pronunciation."""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache

# English espeak would reduce and re-read freely spelt names, so that two spellings share one sound. A name is therefore
# spoken by its phonemes, one fixed sound a letter; G stands hard, vowels are those of "father, bed, see, go, moon".
CONSONANTS = {c: c for c in "bdfgklmnprstvz"}
VOWELS = {"a": "A:", "e": "E", "i": "i:", "o": "oU", "u": "u:"}
SYLLABLES = tuple(c + v for c in CONSONANTS for v in VOWELS)

# Consonant-vowel words of the lexicon: a name may not begin with one, else its tokens would not be its syllables.
NAME_LIKE_WORDS = ("zero", "five", "nine")

_TEST_SHARE = 8  # one name in eight is kept for the test


def syllables(name: str) -> tuple[str, ...] | None:
    """The syllables of a word of the name grammar (two or three), or None for any other word."""
    parts = tuple(name[i : i + 2] for i in range(0, len(name), 2))
    regular = len(name) in (4, 6) and all(part in SYLLABLES for part in parts)
    return parts if regular and not name.startswith(NAME_LIKE_WORDS) else None


def phonemes(name: str) -> str:
    """The name's espeak phonemes, stressed on the first syllable: 'mira' -> "m'i:rA:"."""
    parts = syllables(name)
    assert parts is not None, name
    first, *rest = (CONSONANTS[c] + VOWELS[v] for c, v in parts)
    onset = CONSONANTS[name[0]]
    return f"{onset}'{first[len(onset) :]}" + "".join(rest)


def spoken_form(text: str) -> str:
    """The text as espeak is given it: names as phonemes, everything else as it is written."""
    spoken = []
    for word in text.split():
        stem = word.rstrip(".,?")
        spoken.append(f"[[{phonemes(stem)}]]{word[len(stem) :]}" if syllables(stem) else word)
    return " ".join(spoken)


@lru_cache(maxsize=400_000)
def name_part(name: str) -> tuple[str, str]:
    """What the grammar's word is for, as (kind, part): a person's `name` or a `label` word; `train` or `test`.

    A function of the spelling alone, so no list has to be kept and nothing can stand in two parts.
    """
    digest = hashlib.sha256(name.encode()).digest()
    kind = "label" if digest[0] % 4 == 0 else "name"
    return kind, "test" if digest[1] % _TEST_SHARE == 0 else "train"


def draw_name(rng: random.Random, kind: str = "name", part: str = "train") -> str:
    """A word of the grammar of that kind and part."""
    while True:
        name = "".join(rng.choices(SYLLABLES, k=2 if rng.random() < 0.7 else 3))
        if syllables(name) and name_part(name) == (kind, part):
            return name


def name_list(count: int, kind: str = "name", part: str = "train", seed: int = 0) -> tuple[str, ...]:
    """`count` different words of the grammar: the people that the speech tells of."""
    rng, names = random.Random(f"names {kind} {part} {seed}"), {}
    while len(names) < count:
        names.setdefault(draw_name(rng, kind, part))
    return tuple(names)
