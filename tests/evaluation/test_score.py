"""Files in, scores out: every format, what is refused, agreement with jiwer and sclite."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jiwer
import pytest

from iclal.errors import DataError, SettingsError
from iclal.evaluation.score import AnswerScore, TranscriptScore, render, score_files, score_transcripts

DATA = Path(__file__).resolve().parents[2] / "data"
REFERENCES = {"utt-1": "the cat sat", "utt-2": "", "utt-3": "on a mat"}
HYPOTHESES = {"utt-3": "on the mat", "utt-1": "the cat sat", "utt-2": "oh no"}


def write(path: Path, content: str | bytes) -> Path:
    """A file with that content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_jsonl(texts: dict[str, Any], field: str = "text") -> str:
    """One object a line."""
    return "".join(json.dumps({"id": key, field: text}) + "\n" for key, text in texts.items())


FORMATS = {
    "kaldi": lambda texts: "".join(f"{key} {text}\n" for key, text in texts.items()),
    "trn": lambda texts: ";; a comment\n" + "".join(f"{text} ({key})\n" for key, text in texts.items()),
    "tsv": lambda texts: "".join(f"{key}\t{text}\n" for key, text in texts.items()),
    "tsv with header": lambda texts: "speaker\ttext\tID\n" + "".join(f"x\t{t}\t{key}\n" for key, t in texts.items()),
    "jsonl": as_jsonl,
    "lines": lambda texts: "".join(f"{texts[key]}\n" for key in REFERENCES),
}


def score_of(reference: Path, hypothesis: Path, **options: Any) -> TranscriptScore:
    """The score of two transcripts."""
    score = score_files(reference, hypothesis, **options)
    assert isinstance(score, TranscriptScore)
    return score


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_score(tmp_path: Path, name: str) -> None:
    reference = write(tmp_path / "ref", FORMATS[name](REFERENCES))
    hypothesis = write(tmp_path / "hyp", FORMATS[name](HYPOTHESES))
    score = score_of(reference, hypothesis)
    assert score.source["reference_format"] == name.split()[0]
    assert (score.hits, score.substitutions, score.deletions, score.insertions) == (5, 1, 0, 2)
    assert score.num_references == 6 and score.wer == 0.5 and score.low <= 0.5 <= score.high
    assert [utterance.hypothesis for utterance in score.utterances] == ["the cat sat", "oh no", "on the mat"]


@pytest.mark.parametrize("name", ["kaldi", "tsv", "jsonl"])
def test_formats_may_differ_as_long_as_the_ids_agree(tmp_path: Path, name: str) -> None:
    reference = write(tmp_path / "ref.trn", FORMATS["trn"](REFERENCES))
    hypothesis = write(tmp_path / "hyp", FORMATS[name]({key.upper(): text for key, text in HYPOTHESES.items()}))
    assert score_of(reference, hypothesis).wer == 0.5  # beside NIST's form, ids have no case


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_windows_line_ends_are_no_text(tmp_path: Path, encoding: str) -> None:
    content = "utt-1 어서 오세요\r\nutt-2 né\r\n".encode(encoding)
    score = score_of(write(tmp_path / "ref", content), write(tmp_path / "hyp", "utt-1 어서 오세요\nutt-2 né\n"))
    assert score.hits == 3 and score.wer == 0 and score.utterances[0].id == "utt-1"


def test_wrong_encoding_names_file_line_and_byte(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref", "utt-1 a\nutt-2 né\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"ref:2: byte 0xe9 is no UTF-8; convert"):
        score_files(reference, reference)


def test_ids_that_do_not_match_are_all_listed(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref", "utt-1 a\nutt-2 b\nutt-3 c\n")
    hypothesis = write(tmp_path / "hyp", "utt-3 c\nutt-4 d\n")
    with pytest.raises(DataError) as caught:
        score_files(reference, hypothesis)
    assert f"2 ids are not in {hypothesis}: utt-1, utt-2" in str(caught.value)
    assert f"1 ids are not in {reference}: utt-4" in str(caught.value)


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    lines = ['{"id": "a", "text": "x"}', "{broken", "[1]", '{"text": "x"}', '{"id": "b"}', '{"id": "c", "text": 3}']
    reference = write(tmp_path / "ref.jsonl", "\n".join([*lines, '{"id": "a", "text": "again"}']))
    with pytest.raises(DataError) as caught:
        score_files(reference, write(tmp_path / "hyp.jsonl", lines[0]))
    message = str(caught.value)
    assert message.startswith("6 lines cannot be scored")
    for number, what in enumerate(["no JSON object", "no JSON object", "no 'id'", "has no text", "found 3"], 2):
        assert f"ref.jsonl:{number}: " in message and what in message
    assert "ref.jsonl:7: id 'a' stands in line 1 already" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.trn", "a b (1)\na b\n", r"x\.trn:2: no \(id\) at its end: 'a b'"),
        ("x.tsv", "u1\ta\nu2\n", r"x\.tsv:2: 1 columns where there should be 2: 'u2'"),
        ("x.tsv", "u1\ta\tb\n", r"x\.tsv:1: 3 columns where there should be 2"),
        ("x.tsv", "id\twords\nu1\ta\n", r"x\.tsv:1: the header has no column text"),
        ("x", "", "hold no texts"),
    ],
)
def test_other_broken_files_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message):
        score_files(path, path)


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere: No such file"):
        score_files(tmp_path / "nowhere", tmp_path / "nowhere")
    with pytest.raises(DataError, match="Is a directory"):
        score_files(tmp_path, tmp_path)


def test_unknown_options_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "x", "a\n")
    for options in ({"format": "stm"}, {"task": "song"}, {"costs": "gold"}, {"normalizer": "x"}):
        with pytest.raises(SettingsError, match="known are"):
            score_files(path, path, **options)


def test_sentences_are_not_taken_for_ids(tmp_path: Path) -> None:
    plain = write(tmp_path / "ref", "3 dogs ran\n10 cats sat\n")
    assert score_of(plain, plain).source["reference_format"] == "lines"
    assert score_of(plain, plain, format="kaldi").num_references == 4
    with pytest.raises(DataError, match="begin with what looks like ids"):
        score_files(write(tmp_path / "ids", "utt1 dogs ran\nutt2 cats sat\n"), plain)


def test_parallel_lines_must_be_as_many(tmp_path: Path) -> None:
    reference, hypothesis = write(tmp_path / "ref", "a\n\nb\n"), write(tmp_path / "hyp", "a\nb\n")
    with pytest.raises(DataError, match=r"ref has 3 lines and .*hyp has 2 lines"):
        score_files(reference, hypothesis)


def test_what_transcribe_writes_is_known_by_its_audio(tmp_path: Path) -> None:
    manifest = DATA / "librispeech" / "manifest.jsonl"
    utterances = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines = [json.dumps({"audio": f"clips/{Path(u['audio']).name}", "text": u["text"]}) for u in utterances]
    assert score_of(manifest, write(tmp_path / "hyp.jsonl", "\n".join(lines))).wer == 0


def test_all_recogniser_pairs_count_as_jiwer_counts(tmp_path: Path) -> None:
    with gzip.open(DATA / "wer_pairs" / "spoken_squad_xquad.jsonl.gz", "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    names = ("hyp_clean", "hyp_noise_v1", "hyp_noise_v2")
    references = {f"{row['id']}/{name}": row["reference"] for row in rows for name in names}
    hypotheses = {f"{row['id']}/{name}": row[name] for row in rows for name in names}
    score = score_of(
        write(tmp_path / "ref.jsonl", as_jsonl(references)), write(tmp_path / "hyp.jsonl", as_jsonl(hypotheses))
    )
    # With one space between words: a few are parted by a no-break space, at which jiwer alone would glue them.
    spaced = ([" ".join(text.split()) for text in texts.values()] for texts in (references, hypotheses))
    theirs = jiwer.process_words(*spaced)
    assert len(score.utterances) == 327 and score.wer == theirs.wer
    counts = ("hits", "substitutions", "insertions", "deletions")
    assert [getattr(score, name) for name in counts] == [getattr(theirs, name) for name in counts]
    assert score.cer == pytest.approx(jiwer.cer(list(references.values()), list(hypotheses.values())))


@pytest.mark.parametrize(("name", "counts"), [("csrnab", (1406, 1263, 131, 12, 26)), ("tests", (266, 178, 75, 13, 33))])
def test_sclites_own_totals_come_from_its_own_files(name: str, counts: tuple[int, ...]) -> None:
    score = score_of(DATA / "sclite" / f"{name}.ref", DATA / "sclite" / f"{name}.hyp", costs="sclite")
    found = (score.num_references, score.hits, score.substitutions, score.deletions, score.insertions)
    assert found == counts


def test_sclite_costs_name_the_utterance_with_a_lost_brace(tmp_path: Path) -> None:
    path = write(tmp_path / "x.trn", "a { b / c (u1)\n")
    with pytest.raises(DataError, match=r"utterance 'u1': a '\{' without its '\}' in 'a \{ b / c'"):
        score_files(path, path, costs="sclite")


def test_a_normalizer_works_on_both_sides_and_keeps_the_marks(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.trn", "Twenty-one { COLOURS / hues }, please! (u1)\n")
    hypothesis = write(tmp_path / "hyp.trn", "21 colors please (U1)\n")
    score = score_of(reference, hypothesis, normalizer="whisper", costs="sclite")
    assert score.wer == 0 and score.unnormalized_wer > 0.5
    assert score.to_json()["normalizer"]["name"] == "whisper"
    assert score_of(reference, hypothesis, normalizer="whisper").wer > 0  # braces are no words without sclite


def test_both_costs_count_the_same_words_whatever_white_space_parts_them(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.jsonl", as_jsonl({"u1": "the\u00a0cat\tsat", "u2": " on  a\nmat\u2003"}))
    hypothesis = write(tmp_path / "hyp.jsonl", as_jsonl({"u1": "the cat\u00a0sat", "u2": "on a hat"}))
    unit, sclite = (score_of(reference, hypothesis, costs=costs) for costs in ("unit", "sclite"))
    assert unit.num_references == sclite.num_references == 6
    assert unit.errors == sclite.errors and unit.substitutions == 1
    assert "REF:  on a MAT" in render(unit)


def test_json_has_the_published_names_and_every_utterance(tmp_path: Path) -> None:
    path = write(tmp_path / "x", "a b\nc\n")
    values = json.loads(json.dumps(score_files(path, path).to_json(by_utterance=True)))
    names = "wer hits substitutions insertions deletions num_references cer low high unnormalized_wer costs".split()
    assert all(name in values for name in names)
    assert len(values["source"]["reference_sha256"]) == 64
    assert [line["id"] for line in values["utterances"]] == ["1", "2"]
    assert "utterances" not in score_files(path, path).to_json()


def test_listing_shows_the_worst_utterances_aligned() -> None:
    score = score_transcripts(["u1", "u2", "u3"], ["a b c", "all good", "x"], ["a q r c", "all good", ""])
    assert render(score).splitlines() == [
        "transcript: 3 utterances, 6 words, normalizer none 1, unit costs",
        f"  WER 50.00%   95 % interval {score.low:.2%} to {score.high:.2%}   CER {score.cer:.2%}",
        "  hits 4   substitutions 1   deletions 1   insertions 1",
        "",
        "the worst 2 of 2 utterances with errors:",
        "",
        "u1   S 1  D 0  I 1",
        *_columns_of_u1(),
        "",
        "u3   S 0  D 1  I 0",
        "REF:  X",
        "HYP:  *",
        "Eval: D",
    ]


def _columns_of_u1() -> list[str]:
    """jiwer may put the insertion before or after the substitution: what it did is what is shown."""
    columns = score_transcripts(["u1"], ["a b c"], ["a q r c"])
    marks = [column.mark for column in columns.columns(columns.utterances[0])]
    assert sorted(marks) == ["=", "=", "I", "S"]
    first = marks[1] == "I"
    return [
        "REF:  a * B c" if first else "REF:  a B * c",
        "HYP:  a Q R c",
        "Eval:   I S" if first else "Eval:   S I",
    ]


def test_long_alignments_are_wrapped() -> None:
    score = score_transcripts(["u"], ["word " * 60 + "end"], ["word " * 60])
    lines = render(score).splitlines()
    assert max(map(len, lines)) < 112 and sum(line.startswith("REF:") for line in lines) == 1


def test_spoken_squad_questions_are_scored_by_squads_rules(tmp_path: Path) -> None:
    utterance = {
        "id": "p1",
        "text": "the sky is blue",
        "questions": [
            {"id": "q1", "question": "Which colour?", "answers": ["blue", "the colour blue"]},
            {"id": "q2", "question": "What?", "answers": ["the sky"]},
        ],
    }
    reference = write(tmp_path / "ref.jsonl", json.dumps(utterance))
    hypothesis = write(tmp_path / "hyp.tsv", "q1\tBlue.\nq2\tsky above\n")
    score = score_files(reference, hypothesis, task="answers")
    assert isinstance(score, AnswerScore)
    assert score.means["exact_match"] == 0.5 and score.means["f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert score.means["exact"] == 0.0
    values = score.to_json(by_utterance=True)
    assert values["n"] == 2 and values["intervals"]["f1"][0] <= values["f1"] <= values["intervals"]["f1"][1]
    assert values["utterances"][0] == {"id": "q1", "exact_match": 1.0, "f1": 1.0, "exact": 0.0}
    assert "exact_match   50.00%" in render(score)


def test_several_columns_are_several_right_answers(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.tsv", "q1\tred\tcrimson\nq2\tblue\n")
    score = score_files(reference, write(tmp_path / "hyp", "q1 crimson\nq2 red\n"), task="answers")
    assert isinstance(score, AnswerScore) and score.means["exact"] == 0.5


def test_summaries_get_rouge(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.jsonl", as_jsonl({"m1": "the team met"}, "summary"))
    score = score_files(reference, write(tmp_path / "hyp.jsonl", as_jsonl({"m1": "the team met"})), task="summary")
    assert isinstance(score, AnswerScore)
    assert score.means == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}


def test_empty_columns_of_a_spreadsheet_are_no_further_answers(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.tsv", "q1\tparis\t\nq2\tblue\tnavy\nq3\t\tred\nq4\t\n")
    hypothesis = write(tmp_path / "hyp.tsv", "q1\t\nq2\tnavy\nq3\t\nq4\t\n")
    found = score_files(reference, hypothesis, task="answers")
    assert isinstance(found, AnswerScore) and found.means["exact_match"] == 0.5  # q2, and q4 to be left empty


def test_characters_of_what_sclite_counts_as_right_are_right(tmp_path: Path) -> None:
    reference = write(tmp_path / "ref.trn", "(uh) hello (a)\n(uh) hello (b)\nwor- hello (c)\n")
    hypothesis = write(tmp_path / "hyp.trn", "uh hello (a)\nhello (b)\nword hello (c)\n")
    found = score_files(reference, hypothesis, costs="sclite")
    assert isinstance(found, TranscriptScore) and (found.wer, found.cer) == (0, 0)
