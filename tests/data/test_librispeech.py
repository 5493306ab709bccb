"""LibriSpeech's official tree, made of the genuine utterances in data/librispeech."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from iclal.data.corpora.librispeech import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "librispeech"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
SPEAKERS = """;ID  |SEX| SUBSET           |MINUTES| NAME
1089 | M | test-clean       | 8.02  | Peter Bobbe
1272 | M | dev-clean        | 8.02  | Kristin Hughes
2033 | F | test-other       | 8.02  | A | B
2412 | F | dev-clean        | 8.02  | Æther
8266 | F | train-clean-360  | 25.18 | Someone
"""


def make_tree(root: Path) -> Path:
    """The eight utterances as LibriSpeech lays them out."""
    for line in LINES:
        id = Path(line["audio"]).stem
        speaker, chapter, _ = id.split("-")
        folder = root / "LibriSpeech" / line["librispeech_subset"] / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / line["audio"], folder)
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a", encoding="utf-8") as handle:
            handle.write(f"{id} {line['text']}\n")
    (root / "LibriSpeech" / "SPEAKERS.TXT").write_text(SPEAKERS, encoding="utf-8")
    return root / "LibriSpeech"


def items(source: Path, **options: object) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def test_official_tree_gives_every_utterance_as_its_manifest_has_it(tmp_path: Path) -> None:
    make_tree(tmp_path)
    summary = prepare("librispeech", tmp_path / "LibriSpeech", tmp_path / "out")
    found = {
        values["id"]: values
        for values in map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    }
    assert len(found) == summary.found == summary.kept == len(LINES) == 8
    for line in LINES:
        values = found[line["id"].removeprefix("libri-")]
        assert values["text"] == line["text"].lower()
        assert values["extra"]["original_text"] == line["text"]
        assert values["extra"]["subset"] == line["librispeech_subset"]
        assert values["extra"]["sex"] in "MF"
        assert values["speaker"] == line["speaker"]
        assert values["split"] == line["split"]
        assert values["duration_seconds"] == pytest.approx(line["num_samples"] / 16_000)
        assert (tmp_path / "out" / values["audio"]).read_bytes() == (DATA / line["audio"]).read_bytes()


def test_tree_its_parent_and_one_subset_give_the_same_utterances(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    of_parent, of_tree = items(tmp_path), items(tree)
    assert of_parent == of_tree
    of_subset, problems = items(tree / "dev-clean")
    assert of_subset == [item for item in of_tree[0] if item.utterance.extra["subset"] == "dev-clean"] != []
    assert not problems


def test_all_official_dev_clean_lines_are_found_and_those_without_audio_dropped(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    shutil.rmtree(tree / "dev-clean")
    lines = gzip.decompress((DATA / "dev-clean.trans.txt.gz").read_bytes()).decode().splitlines()
    for line in lines:
        speaker, chapter, _ = line.split(" ")[0].split("-")
        folder = tree / "dev-clean" / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a", encoding="utf-8") as handle:
            handle.write(line + "\n")
    dev = [line for line in LINES if line["librispeech_subset"] == "dev-clean"]
    for line in dev:
        speaker, chapter, _ = Path(line["audio"]).stem.split("-")
        shutil.copy(DATA / line["audio"], tree / "dev-clean" / speaker / chapter)
    candidates, problems = items(tree, subsets=["dev-clean"])
    assert len(candidates) + sum(problem.dropped for problem in problems) == len(lines) == 2703
    assert {item.utterance.id for item in candidates} == {Path(line["audio"]).stem for line in dev}
    assert {problem.reason for problem in problems if problem.dropped} == {"missing-audio"}


def test_lines_without_audio_and_audio_without_lines_are_reported_with_file_and_line(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    chapter = tree / "dev-clean" / "1272" / "128104"
    transcript = chapter / "1272-128104.trans.txt"
    transcript.write_bytes(
        b"\xef\xbb\xbf1272-128104-0000 MISTER QUILTER\r\n1272-128104-0003\r\n1272-128104-0009 NOT HERE\r\n"
        b"1272-128104-0010 CAF\xe9\r\n"
    )
    candidates, problems = items(tree, subsets=["dev-clean"])
    by_reason = {problem.reason: problem for problem in problems}
    assert sorted(by_reason) == ["missing-audio", "missing-text", "missing-transcript", "wrong-encoding"]
    assert by_reason["missing-audio"].place.line == 3
    assert by_reason["missing-text"].place.line == 2
    assert "0xe9" in by_reason["wrong-encoding"].detail and by_reason["wrong-encoding"].place.line == 4
    assert by_reason["missing-transcript"].place.id == "1272-128104-0004"
    first = next(item.utterance for item in candidates if item.utterance.id == "1272-128104-0000")
    assert first.text == "mister quilter"  # neither the mark nor the line end got into it


def test_chapter_without_transcript_drops_each_of_its_recordings(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    (tree / "dev-clean" / "1272" / "128104" / "1272-128104.trans.txt").unlink()
    _, problems = items(tree)
    assert [problem.place.id for problem in problems] == ["1272-128104-0000", "1272-128104-0004"]
    assert {problem.reason for problem in problems} == {"missing-transcript"}


def test_subset_not_there_is_a_problem_and_none_there_an_error_that_lists_them(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    candidates, problems = items(tree, subsets=["dev-clean", "dev-other"])
    assert candidates and [problem.reason for problem in problems] == ["missing-split"]
    assert problems[0].dropped and "dev-other" in problems[0].detail
    with pytest.raises(DataError, match=r"no subset dev-other in .*; there are dev-clean"):
        items(tree, subsets=["dev-other"])


def test_folder_that_is_not_librispeech_says_what_was_expected_and_found(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    with pytest.raises(DataError, match=r"expected SUBSET/SPEAKER/CHAPTER.*found wavs"):
        items(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        items(tmp_path / "nowhere")


def test_links_out_of_the_source_and_loops_are_reported(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    chapter = tree / "dev-clean" / "1272" / "128104"
    outside = tmp_path / "elsewhere.flac"
    shutil.move(chapter / "1272-128104-0000.flac", outside)
    (chapter / "1272-128104-0000.flac").symlink_to(outside)
    (tree / "dev-clean" / "9999").symlink_to(tree / "dev-clean")
    (tree / "dev-clean" / "9998").symlink_to("9998")
    (tree / "dev-other").symlink_to(tmp_path / "elsewhere")
    candidates, problems = items(tree)
    found = {(problem.reason, Path(problem.place.file).name): problem.dropped for problem in problems}
    assert found == {
        ("path-outside-source", "1272-128104.trans.txt"): True,
        ("symlink-loop", "9999"): False,
        ("bad-path", "9998"): True,
        ("path-outside-source", "dev-other"): True,
    }
    assert len(candidates) == 7


def test_names_with_spaces_and_korean_letters_are_read(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "나의 말뭉치")
    summary = prepare("librispeech", tree, tmp_path / "결과 하나", copy=True)
    assert summary.kept == 8
    for line in map(json.loads, (tmp_path / "결과 하나" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()):
        assert line["audio"].startswith("audio/") and (tmp_path / "결과 하나" / line["audio"]).is_file()


def test_speaker_lines_that_do_not_fit_are_warnings(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    (tree / "SPEAKERS.TXT").write_text("; comment\n1272 M dev-clean\n8266 | F | train-clean-360\n", encoding="utf-8")
    candidates, problems = items(tree)
    assert len(candidates) == 8
    reasons = [problem.reason for problem in problems]
    assert reasons.count("broken-speaker-line") == 1 and reasons.count("unknown-speaker") == 4
    assert not any(problem.dropped for problem in problems)
