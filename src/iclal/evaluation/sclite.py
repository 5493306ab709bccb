"""NIST's alignment, as `sclite -F -D` scores `.trn` files: costs 4/3/3, alternatives, optional words, fragments.

What a text may hold, on either side:

    { a / b c / @ }   alternatives, nested at will; the one that aligns best is taken; `@` is nothing
    (word)            optional: right when it is left out, and right when it is said
    wor-  -ord        a fragment: equal to any word that begins or ends like it
    word;tag;tag      tags are dropped; `\\;` is a semicolon that belongs to the word
    word*             one final asterisk is dropped

Case does not matter. Follows the behaviour of NIST SCTK's network alignment down to its ties: substitution before
insertion before deletion, and the earlier alternative before the later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from iclal.errors import DataError
from iclal.evaluation.metrics import Aligned, WordErrors

# NIST's costs in thousandths, so that they are whole numbers.
_SUBSTITUTION, _GAP, _OPTIONAL_GAP, _NOTHING_GAP, _NOTHING_BOTH = 4000, 3000, 2000, 1, 1000
_NOTHING = "@"
_OPTIONAL = re.compile(r"^\((.+)\)$")
_MARKS = re.compile(r"[{}/]|[^\s{}/]+")
_TAG = re.compile(r"(?<!\\);")
# A text with none of these is one sequence of words, which needs no network.
_BRANCHING = re.compile(r"[{}]|(?<!\S)@(?!\S)")


@dataclass(frozen=True)
class Word:
    """A word as it is compared (`text`), and as it is shown (`shown`)."""

    text: str
    shown: str
    optional: bool = False
    fragment: bool = False

    @property
    def gap_cost(self) -> int:
        """Cost of the word standing alone."""
        return _NOTHING_GAP if self.text == _NOTHING else _OPTIONAL_GAP if self.optional else _GAP


@dataclass(frozen=True)
class Arc:
    """A word in a network of words, with the numbers of the arcs that may stand right before it (0: the start)."""

    word: Word
    before: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """Words and their order: `arcs[i]` is arc i + 1, each behind those it follows; `last` are those that may end it."""

    arcs: tuple[Arc, ...]
    last: tuple[int, ...]


@dataclass(frozen=True)
class Alignment:
    """Counts, and the columns they are counts of; the columns hold the alternatives that were taken."""

    errors: WordErrors
    columns: tuple[Aligned, ...]

    def bare(self) -> tuple[str, str]:
        """The words that were taken of reference and hypothesis, without marks; those that count as right are alike.

        >>> align("(uh) wor- hello", "uh word yellow").bare()
        ('uh word hello', 'uh word yellow')
        >>> align("(uh) hello", "hello").bare()
        ('hello', 'hello')
        """
        said, heard = [], []
        for mark, reference, hypothesis in self.columns:
            if mark == "=":  # an optional word that one of them leaves out is neither's
                reference = hypothesis if reference and hypothesis else ""
                hypothesis = reference
            said.append(_OPTIONAL.sub(r"\1", reference))
            heard.append(_OPTIONAL.sub(r"\1", hypothesis))
        return " ".join(filter(None, said)), " ".join(filter(None, heard))


def align(reference: str, hypothesis: str) -> Alignment:
    """Align two texts as `sclite -F -D` does.

    Raises:
        DataError: braces that do not match.
    """
    if _BRANCHING.search(reference) or _BRANCHING.search(hypothesis):
        return align_networks(parse(reference), parse(hypothesis))
    return align_sequences(
        [_word(token) for token in reference.split()], [_word(token) for token in hypothesis.split()]
    )


def parse(text: str) -> Network:
    """The network of words that a text with marks stands for. Raises DataError for braces that do not match."""
    tokens = _tokens(text)
    arcs: list[Arc] = []
    last, end = _sequence(tokens, 0, (0,), arcs, text, depth=0)
    assert end == len(tokens)
    return Network(tuple(arcs), last)


def map_words(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to what stands between marks; marks, `@` and optional words stay as they are."""
    parts: list[str] = []
    plain: list[str] = []
    for token in [*_tokens(text), ""]:
        optional = token.startswith("(") and token.endswith(")")
        if token in ("{", "}", "/", _NOTHING, "") or optional:
            parts += [
                change(" ".join(plain)),
                f"({change(token[1:-1])})" if optional and change(token[1:-1]) else token,
            ]
            plain = []
        else:
            plain.append(token)
    return " ".join(part for part in parts if part and part != "()")


def align_networks(reference: Network, hypothesis: Network) -> Alignment:
    """Align two networks of words: the cheapest path through both."""
    costs, backs = _fill(reference, hypothesis)
    row, column = min(
        ((a, b) for a in reference.last for b in hypothesis.last), key=lambda cell: costs[cell[0]][cell[1]]
    )
    columns: list[Aligned] = []
    while row or column:
        previous_row, previous_column = backs[row][column]
        said = reference.arcs[row - 1].word if previous_row != row else None
        heard = hypothesis.arcs[column - 1].word if previous_column != column else None
        columns += _column(said, heard)
        row, column = previous_row, previous_column
    return _alignment(columns[::-1])


def _fill(reference: Network, hypothesis: Network) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """Least cost of every pair of arcs, and the pair before it. Row and column 0 are the starts."""
    starts = [Arc(Word("", ""), ())]
    rows, columns = starts + list(reference.arcs), starts + list(hypothesis.arcs)
    costs = [[0] * len(columns) for _ in rows]
    backs = [[(0, 0)] * len(columns) for _ in rows]
    for a, said in enumerate(rows):
        for b, heard in enumerate(columns):
            # In the order in which a tie is settled: the first of the cheapest is taken.
            ways: list[tuple[int, tuple[int, int]]] = []
            if a and b:
                both = _pair_cost(said.word, heard.word)
                ways += [(costs[i][j] + both, (i, j)) for i in said.before for j in heard.before]
            if b:
                ways += [(costs[a][j] + heard.word.gap_cost, (a, j)) for j in heard.before]
            if a:
                ways += [(costs[i][b] + said.word.gap_cost, (i, b)) for i in said.before]
            if ways:
                costs[a][b], backs[a][b] = min(ways, key=lambda way: way[0])
    return costs, backs


def align_sequences(said: Sequence[Word], heard: Sequence[Word]) -> Alignment:
    """The same for two plain sequences of words, none of them `@`, a row of the table at a time.

    Along a row, leaving out the words between two places costs the same from wherever one comes, so the cheapest way
    is a running minimum once that cost (`ramp`) has been taken off.
    """
    ramp = np.concatenate([[0], np.cumsum([word.gap_cost for word in heard], dtype=np.int64)])
    pair_costs = _pair_costs(said, heard)
    costs = np.empty((len(said) + 1, len(heard) + 1), np.int64)
    costs[0] = ramp
    for i, word in enumerate(said):
        row = costs[i] + word.gap_cost
        np.minimum(row[1:], costs[i, :-1] + pair_costs[i], out=row[1:])
        costs[i + 1] = np.minimum.accumulate(row - ramp) + ramp
    table, pairs = costs.tolist(), pair_costs.tolist()
    i, j = len(said), len(heard)
    columns: list[Aligned] = []
    while i or j:
        # The order in which a tie is settled is that of `_fill`.
        if i and j and table[i][j] == table[i - 1][j - 1] + pairs[i - 1][j - 1]:
            i, j = i - 1, j - 1
            columns += _column(said[i], heard[j])
        elif j and table[i][j] == table[i][j - 1] + heard[j - 1].gap_cost:
            j -= 1
            columns += _column(None, heard[j])
        else:
            i -= 1
            columns += _column(said[i], None)
    return _alignment(columns[::-1])


def _pair_costs(said: Sequence[Word], heard: Sequence[Word]) -> np.ndarray:
    """Cost of each word against each other one, int64 [said, heard]."""
    numbers: dict[str, int] = {}
    rows = np.array([numbers.setdefault(word.text, len(numbers)) for word in said], np.int64)
    columns = np.array([numbers.setdefault(word.text, len(numbers)) for word in heard], np.int64)
    costs = np.where(rows[:, None] == columns[None, :], 0, _SUBSTITUTION)
    for i, word in enumerate(said):
        if word.fragment:
            costs[i] = [_pair_cost(word, other) for other in heard]
    for j, word in enumerate(heard):
        if word.fragment:
            costs[:, j] = [_pair_cost(other, word) for other in said]
    return costs


def _alignment(columns: Sequence[Aligned]) -> Alignment:
    """The columns with their counts."""
    marks = [column.mark for column in columns]
    errors = WordErrors(marks.count("="), marks.count("S"), marks.count("D"), marks.count("I"))
    return Alignment(errors, tuple(columns))


def _column(said: Word | None, heard: Word | None) -> list[Aligned]:
    """What one step of the path shows: a column, or none where nothing was said or heard.

    A word left out costs the one who should have said it, unless it is optional: then it is right, on both sides.
    """
    if said and heard:
        if said.text == heard.text == _NOTHING:
            return []
        return [Aligned("=" if _equal(said, heard) else "S", said.shown, heard.shown)]
    word = said or heard
    assert word is not None, "a step has a word on one side at least"
    if word.text == _NOTHING:
        return []
    mark = "=" if word.optional else "D" if said else "I"
    return [Aligned(mark, said.shown if said else "", heard.shown if heard else "")]


def _pair_cost(said: Word, heard: Word) -> int:
    """Cost of one word standing against another."""
    if said.text == heard.text == _NOTHING:
        return _NOTHING_BOTH
    return 0 if _equal(said, heard) else _SUBSTITUTION


def _equal(said: Word, heard: Word) -> bool:
    """Whether the two count as the same word. Where both are fragments, the reference's decides."""
    if said.fragment or heard.fragment:
        for fragment, whole in ((said.text, heard.text), (heard.text, said.text)):
            if len(fragment) > 1 and fragment.startswith("-"):
                return whole.endswith(fragment[1:])
            if len(fragment) > 1 and fragment.endswith("-"):
                return whole.startswith(fragment[:-1])
    return said.text == heard.text


def _word(token: str) -> Word:
    """One word with what its spelling says about it."""
    text = _TAG.split(token, maxsplit=1)[0].replace("\\;", ";").lower()
    text = text[:-1] if len(text) > 1 and text.endswith("*") else text
    optional = len(text) > 2 and text.startswith("(") and text.endswith(")")
    bare = text[1:-1] if optional else text
    return Word(bare, text, optional, bare.startswith("-") or bare.endswith("-"))


def _tokens(text: str) -> list[str]:
    """Words and marks. A slash is a mark inside braces only."""
    tokens: list[str] = []
    depth = 0
    for piece in re.findall(r"[{}]|[^\s{}]+", text):
        depth += {"{": 1, "}": -1}.get(piece, 0)
        tokens += _MARKS.findall(piece) if depth > 0 else [piece]
    return tokens


def _sequence(
    tokens: Sequence[str], start: int, before: tuple[int, ...], arcs: list[Arc], text: str, depth: int
) -> tuple[tuple[int, ...], int]:
    """Append the arcs of one sequence of words; returns what may stand before the next word, and where it ended."""
    position = start
    while position < len(tokens):
        token = tokens[position]
        if depth and token in ("/", "}"):
            if position == start:  # an empty alternative is nothing
                arcs.append(Arc(Word(_NOTHING, _NOTHING), before))
                before = (len(arcs),)
            return before, position
        if token == "}":
            raise DataError(f"a '}}' without its '{{' in '{text}'")
        if token == "{":
            ends: list[int] = []
            while position < len(tokens) and tokens[position] != "}":
                last, position = _sequence(tokens, position + 1, before, arcs, text, depth + 1)
                ends += last
            before = tuple(ends)
        else:
            arcs.append(Arc(_word(token), before))
            before = (len(arcs),)
        position += 1
    if depth:
        raise DataError(f"a '{{' without its '}}' in '{text}'")
    return before, position
