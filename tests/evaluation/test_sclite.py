"""NIST's alignment against sclite's own output, and the quick way against the general one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.errors import DataError
from iclal.evaluation import sclite

DATA = Path(__file__).resolve().parents[2] / "data" / "sclite"
_SENTENCE = re.compile(r"id: \((.*)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)\nREF:(.*)\nHYP:(.*)\n")


def read_trn(path: Path) -> dict[str, str]:
    """Texts by lower-case id."""
    matches = (re.fullmatch(r"(.*)\(([^()]*)\)\s*", line) for line in path.read_text().splitlines() if line[:2] != ";;")
    return {match[2].lower(): match[1] for match in matches if match}


def bare(line: str) -> str:
    """The words of a printed alignment without its stars and capitals."""
    return " ".join(word for word in line.lower().split() if set(word) != {"*"})


@pytest.mark.parametrize(("name", "expected", "count"), [("csrnab", "test1", 51), ("tests", "test7", 58)])
def test_each_sentence_is_aligned_as_sclite_printed_it(name: str, expected: str, count: int) -> None:
    references, hypotheses = read_trn(DATA / f"{name}.ref"), read_trn(DATA / f"{name}.hyp")
    sentences = _SENTENCE.findall((DATA / "expected" / f"{expected}.pra").read_text())
    assert len(sentences) == count
    for key, *counts, reference, hypothesis in sentences:
        alignment = sclite.align(references[key], hypotheses[key])
        errors = alignment.errors
        found = [errors.hits, errors.substitutions, errors.deletions, errors.insertions]
        assert found == list(map(int, counts)), key
        shown = zip(*((said, heard) for _, said, heard in alignment.columns), strict=True)
        assert [" ".join(filter(None, side)) for side in shown] == [bare(reference), bare(hypothesis)], key


plain = st.lists(st.sampled_from(["a", "b", "c", "B", "(a)", "(b)", "a-", "-b", "ab", "b*", "a;tag"]), max_size=7)


@settings(max_examples=120, deadline=None)
@given(said=plain.map(" ".join), heard=plain.map(" ".join))
def test_sequences_and_networks_give_the_same_alignment(said: str, heard: str) -> None:
    assert sclite.align(said, heard) == sclite.align_networks(sclite.parse(said), sclite.parse(heard))


branches = st.recursive(
    st.sampled_from(["a", "b", "c d", "@"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: "{ " + " / ".join(parts) + " }"),
    max_leaves=4,
)


def expand(text: str) -> list[str]:
    """Every text that alternatives stand for, in the plainest way: innermost braces first."""
    match = re.search(r"{([^{}]*)}", text)
    if not match:
        return [" ".join(word for word in text.split() if word != "@")]
    choices = match[1].split("/")
    return [whole for part in choices for whole in expand(text[: match.start()] + part + text[match.end() :])]


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(branches, max_size=3), heard=st.lists(st.sampled_from("abcd"), max_size=5).map(" ".join))
def test_the_best_alternative_is_no_worse_than_any_written_out(parts: list[str], heard: str) -> None:
    def cost(alignment: sclite.Alignment) -> int:
        return 4 * alignment.errors.substitutions + 3 * (alignment.errors.deletions + alignment.errors.insertions)

    said = " ".join(parts)
    assert cost(sclite.align(said, heard)) == min(cost(sclite.align(whole, heard)) for whole in expand(said))


@pytest.mark.parametrize("text", ["a { b / c", "a } b", "{ a / { b }"])
def test_braces_that_do_not_match_are_refused_with_the_text(text: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"'{text}'")):
        sclite.align(text, "a")


def test_slashes_outside_braces_are_letters() -> None:
    assert sclite.align("24/7 and/or", "24/7 AND/OR").errors.hits == 2


def test_normalising_leaves_the_marks_alone() -> None:
    text = "So, { Don't / DO not / @ } GO! (Uh) x-y"
    changed = sclite.map_words(text, lambda words: words.lower().replace("!", "").replace(",", "").replace("-", " "))
    assert changed == "so { don't / do not / @ } go (uh) x y"
