"""Word and character errors, exact match, and bootstrap intervals over blocks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jiwer
import numpy as np
from rapidfuzz.distance import Levenshtein

from iclal.errors import DataError

# Resampled indices held at once: 4 million 8-byte integers are 32 MB, whatever the number of blocks.
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class WordErrors:
    """Counts of one alignment, or their sums over many; `+` adds them up."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def num_references(self) -> int:
        """Words in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Errors per reference word. With no reference word it is the number of insertions, as jiwer has it."""
        return self.errors / max(1, self.num_references)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclass(frozen=True)
class CharacterErrors:
    """Edits between two texts in characters, spaces included, or their sums over many."""

    errors: int = 0
    num_references: int = 0

    @property
    def cer(self) -> float:
        """Errors per reference character. With no reference character it is the number of insertions."""
        return self.errors / max(1, self.num_references)

    def __add__(self, other: CharacterErrors) -> CharacterErrors:
        return CharacterErrors(self.errors + other.errors, self.num_references + other.num_references)


class Aligned(NamedTuple):
    """One column of an alignment: a reference word, a hypothesis word, or both. `mark` is `=`, `S`, `D` or `I`."""

    mark: str
    reference: str
    hypothesis: str


class Interval(NamedTuple):
    """Lower and upper bound."""

    low: float
    high: float


def word_errors_each(references: Sequence[str], hypotheses: Sequence[str]) -> list[WordErrors]:
    """jiwer's counts of each pair, at unit costs.

    Words are parted at any white space, as sclite does; jiwer by itself glues them at a tab or a no-break space. An
    empty reference keeps its place, and every word said against it is an insertion.
    """
    assert len(references) == len(hypotheses), "references and hypotheses are pairs"
    if not references:
        return []
    output = jiwer.process_words(list(map(_spaced, references)), list(map(_spaced, hypotheses)))
    return [_count(chunks) for chunks in output.alignments]


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """jiwer's counts of one pair, at unit costs."""
    return word_errors_each([reference], [hypothesis])[0]


def total_word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> WordErrors:
    """The sums over all pairs; `.wer` is then jiwer's word error rate of the whole."""
    return sum(word_errors_each(references, hypotheses), WordErrors())


def aligned_words(reference: str, hypothesis: str) -> list[Aligned]:
    """The alignment of one pair at unit costs, one column after another."""
    output = jiwer.process_words(_spaced(reference), _spaced(hypothesis))
    said, heard = output.references[0], output.hypotheses[0]
    columns = []
    for chunk in output.alignments[0]:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        mark = {"equal": "=", "substitute": "S", "delete": "D", "insert": "I"}[chunk.type]
        width = max(len(left), len(right))
        left, right = left or [""] * width, right or [""] * width
        columns += [Aligned(mark, *pair) for pair in zip(left, right, strict=True)]
    return columns


def character_errors(reference: str, hypothesis: str) -> CharacterErrors:
    """Fewest character edits at unit costs, spaces at the ends aside: what jiwer's character error rate counts."""
    reference = reference.strip()
    return CharacterErrors(Levenshtein.distance(reference, hypothesis.strip()), len(reference))


def exact_match(prediction: str, answers: str | Iterable[str]) -> bool:
    """Metric `exact`: the prediction equals one of the answers, case and runs of white space aside.

    Punctuation and articles count; `iclal.evaluation.answers.squad_exact` is the one that drops them.
    """
    answers = [answers] if isinstance(answers, str) else answers
    return any(answer_key(prediction) == answer_key(answer) for answer in answers)


def answer_key(answer: str) -> str:
    """What `exact_match` compares: the words with one space between, case folded."""
    return _spaced(answer).casefold()


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray | None = None,
    *,
    blocks: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean, or with `denominators` of a ratio of sums such as WER.

    Items of one block (say, queries that share their demonstrations) are drawn together; without `blocks` each item
    is a block. Always finite: data without spread gives a point, and a resample whose denominators are all zero
    counts its numerators, as WER of empty references does.

    Raises:
        DataError: no values, values that are not finite, or lengths that differ.
    """
    numerators, weights, owners = _checked(values, denominators, blocks)
    num_blocks = int(owners.max()) + 1
    block_numerators = np.bincount(owners, numerators, num_blocks)
    block_weights = np.bincount(owners, weights, num_blocks)
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // num_blocks)
    ratios = []
    for start in range(0, samples, at_once):
        draws = generator.integers(0, num_blocks, (min(at_once, samples - start), num_blocks))
        totals = block_weights[draws].sum(axis=1)
        ratios.append(block_numerators[draws].sum(axis=1) / np.where(totals > 0, totals, 1.0))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(ratios), [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def _checked(
    values: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray | None,
    blocks: Sequence[Hashable] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numerators, denominators and block numbers [N], checked."""
    numerators = np.asarray(values, np.float64)
    weights = np.ones_like(numerators) if denominators is None else np.asarray(denominators, np.float64)
    if not len(numerators):
        raise DataError("an interval needs at least one value, found none")
    for name, others in (("denominators", denominators), ("blocks", blocks)):
        if others is not None and len(others) != len(numerators):
            raise DataError(f"{len(numerators)} values but {len(others)} {name}: give one for each value")
    bad = np.flatnonzero(~(np.isfinite(numerators) & np.isfinite(weights)))
    if len(bad):
        raise DataError(
            f"value {int(bad[0])} is {numerators[bad[0]]} / {weights[bad[0]]}: an interval needs finite ones"
        )
    if blocks is None:
        return numerators, weights, np.arange(len(numerators))
    # Numbered by first appearance, so that the interval does not depend on how the blocks are called.
    numbers: dict[Hashable, int] = {}
    return numerators, weights, np.array([numbers.setdefault(block, len(numbers)) for block in blocks])


def _spaced(text: str) -> str:
    """The words with one space between, whatever white space there was."""
    return " ".join(text.split())


def _count(chunks: Iterable[jiwer.AlignmentChunk]) -> WordErrors:
    """Counts of one alignment."""
    counts = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
    for chunk in chunks:
        counts[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return WordErrors(counts["equal"], counts["substitute"], counts["delete"], counts["insert"])
