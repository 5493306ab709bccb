"""AMI's official annotations of two meetings, the 142 meetings of the data folder, and what can be wrong with them."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from iclal.audio.reading import read_audio
from iclal.data.corpora.ami import Options, read, read_meetings, split_of
from iclal.data.corpora.ami_nxt import Meeting
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError, SettingsError

DATA = Path(__file__).parents[2] / "data" / "ami"
NXT = DATA / "nxt"
CLIP = DATA / "audio" / "ES2011a.Headset-0.40s-46s.flac"  # seconds 40 to 46


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def dropped(problems: list[Problem]) -> Counter[str]:
    return Counter(problem.reason for problem in problems if problem.dropped)


def edited(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """A copy of the annotations in which one file is changed."""
    root = tmp_path / "nxt"
    if not root.exists():
        shutil.copytree(NXT, root)
    text = (root / file).read_text(encoding="iso-8859-1")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="iso-8859-1")
    return root


@pytest.fixture(scope="module")
def lines() -> dict[str, dict[str, Any]]:
    """The data folder's meetings by id."""
    text = gzip.decompress((DATA / "meetings.jsonl.gz").read_bytes()).decode()
    return {line["id"]: line for line in map(json.loads, text.splitlines())}


def test_annotations_and_data_folder_agree_word_for_word_and_second_for_second(lines: dict[str, Any]) -> None:
    meetings = [meeting for meeting in read_meetings(NXT) if isinstance(meeting, Meeting)]
    assert [meeting.id for meeting in meetings] == ["ES2002a", "ES2011a"]
    for meeting in meetings:
        line = lines[meeting.id]
        assert [[t.start_seconds, t.end_seconds, t.agent, t.text] for t in meeting.turns] == line["turns"]
        assert meeting.summary() == line["summary"]
        assert {a: {"role": s.role, "name": s.name} for a, s in meeting.speakers.items()} == line["speakers"]
        assert split_of(meeting.id) == line["split"]


def test_all_142_meetings_of_the_data_folder_are_kept_with_its_splits(lines: dict[str, Any]) -> None:
    whole, problems = items(DATA / "meetings.jsonl.gz", output="meetings")
    assert len(whole) == 142 and not problems
    assert Counter(item.utterance.split for item in whole) == {"train": 98, "dev": 24, "test": 20}
    assert sum(len((item.utterance.text or "").split()) for item in whole) == 706_852
    for item in whole:
        line = lines[item.utterance.id]
        assert (item.utterance.split, item.utterance.extra["turns"]) == (line["split"], line["turns"])
        assert not any("NA" in sentence.strip("*.").split() for sentence in item.utterance.extra["summary"]["problems"])


def test_all_turns_of_the_data_folder_become_segments(lines: dict[str, Any]) -> None:
    segments, problems = items(DATA / "meetings.jsonl.gz")
    assert len(segments) == sum(len(line["turns"]) for line in lines.values()) == 64_190
    assert not problems
    assert len({item.utterance.id for item in segments}) == 64_190


def test_every_segment_of_the_xml_is_kept_or_dropped(tmp_path: Path) -> None:
    in_xml = sum(path.read_text(encoding="iso-8859-1").count("<segment ") for path in NXT.glob("segments/*.xml"))
    summary = prepare("ami", NXT, tmp_path / "out")
    assert summary.found == in_xml == summary.kept + summary.dropped.total()
    assert summary.kept == 236 + 216 and summary.dropped == {"no-words": in_xml - 452}
    assert summary.dropped_seconds > 60
    for utterance in read_manifest(tmp_path / "out" / "manifest.jsonl"):
        words = utterance.extra["words"]
        assert " ".join(word for _, _, word in words) == utterance.text
        assert utterance.audio is None and utterance.speaker in {f"FEE04{n}" for n in range(1, 5)} | {
            "MEE006", "FEE005", "MEE007", "MEE008",
        }  # fmt: skip


def test_segments_from_the_single_headset_hear_the_words_at_their_times(tmp_path: Path) -> None:
    audio = tmp_path / "signals" / "ES2011a" / "audio"
    audio.mkdir(parents=True)
    clip, rate = soundfile.read(CLIP, dtype="int16")
    samples = np.zeros(20 * 60 * rate, dtype=np.int16)
    samples[40 * rate : 46 * rate] = clip
    soundfile.write(audio / "ES2011a.Headset-0.flac", samples, rate)
    options = {"audio": audio.parents[1], "microphone": "headset", "meetings": ["ES2011a"]}
    summary = prepare("ami", NXT, tmp_path / "out", options)
    # three of the four headsets are not there
    assert summary.dropped["missing-audio"] + summary.dropped["no-words"] + summary.kept == summary.found
    kept = list(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert {utterance.speaker for utterance in kept} == {"FEE041"}
    truth = json.loads((DATA / "manifest.jsonl").read_text(encoding="utf-8"))
    start = 40.0 + truth["words"][0][0]
    utterance = next(item for item in kept if (item.start_seconds or 0) <= start and "Claflin" in (item.text or ""))
    words = [[w[0], w[1], re.sub(r"[.,]", "", w[2])] for w in utterance.extra["words"]]
    for begin, end, word in truth["words"]:
        assert [pytest.approx(40 + begin), pytest.approx(40 + end), word] in words
    assert utterance.audio_path and utterance.start_seconds and utterance.duration_seconds
    heard = read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    )
    begin = round(utterance.start_seconds * rate)
    wanted = samples[begin : begin + heard.num_samples].astype(np.float32) / 32768
    assert np.array_equal(heard.samples, wanted) and np.abs(wanted).max() > 0.05


def test_microphone_auto_takes_the_mix_where_it_is_and_says_where_none_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "ES2002a.Mix-Headset.wav", np.zeros(1600, dtype=np.int16), 16_000)
    found, problems = items(NXT, audio=tmp_path, output="meetings")
    assert [item.recordings for item in found] == [(tmp_path / "ES2002a.Mix-Headset.wav",), ()]
    assert [problem.place.id for problem in problems if problem.reason == "no-recording"] == ["ES2011a"]


def test_segment_beyond_its_recording_is_dropped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "ES2002a.Array1-01.wav", np.zeros(60 * 16_000, dtype=np.int16), 16_000)
    options = {"audio": tmp_path, "microphone": "array", "meetings": ["ES2002"]}
    summary = prepare("ami", NXT, tmp_path / "out", options)
    assert summary.kept == 2 and summary.dropped["span-outside-audio"] == 234


def test_spans_hold_the_acts_that_the_sentence_links_to_within_the_maximum() -> None:
    spans, problems = items(NXT, output="spans", max_seconds=45.0, context_seconds=3.0)
    sentences = sum(path.read_text(encoding="iso-8859-1").count("<sentence ") for path in NXT.glob("abstractive/*"))
    assert len(spans) + dropped(problems).total() == sentences == 24
    assert dropped(problems) == {"not-applicable": 2}
    for item in spans:
        utterance = item.utterance
        assert utterance.start_seconds is not None and utterance.duration_seconds is not None
        assert utterance.duration_seconds <= 45.0 + 1e-6
        end = utterance.start_seconds + utterance.duration_seconds
        acts = utterance.extra["acts"]
        assert acts and all(utterance.start_seconds <= act[0] and act[1] <= end + 1e-3 for act in acts)
        assert len(acts) <= utterance.extra["linked_acts"] and 0 < utterance.extra["covered"] <= 1
        for _, _, agent, _, text in acts:
            said = " ".join(turn[3] for turn in utterance.extra["turns"] if turn[2] == agent)
            assert text.strip(".,") in said
        assert utterance.text == " ".join(turn[3] for turn in utterance.extra["turns"])


def test_span_that_fits_whole_covers_every_linked_act() -> None:
    spans, _ = items(NXT, output="spans", max_seconds=60.0)
    by_id = {item.utterance.id: item.utterance for item in spans}
    short = by_id["ES2011a-abstract-01"]  # its six acts lie within 57 seconds
    assert short.summary == "The group introduced themselves to each other."
    assert (short.extra["covered"], len(short.extra["acts"]), short.extra["linked_acts"]) == (1.0, 6, 6)
    assert "Abigail Claflin" in (short.text or "")
    assert by_id["ES2002a-abstract-01"].extra["covered"] < 1.0


def test_acts_longer_than_the_maximum_are_refused_with_the_numbers() -> None:
    _, problems = items(NXT, output="spans", max_seconds=0.5)
    too_long = [problem for problem in problems if problem.reason == "span-too-long"]
    assert too_long and "max_seconds is 0.5" in too_long[0].detail


def test_meetings_carry_the_four_parts_without_the_annotators_na() -> None:
    whole, _ = items(NXT, output="meetings")
    last = whole[-1].utterance
    assert {part: len(texts) for part, texts in last.extra["summary"].items()} == {
        "abstract": 9, "actions": 3, "decisions": 0, "problems": 0,
    }  # fmt: skip
    assert last.summary == " ".join(last.extra["summary"]["abstract"])
    assert len(last.extra["extracted"]) == 53 and last.extra["speakers"]["A"] == ["FEE041", "PM"]


def test_broken_xml_is_told_with_its_line_and_makes_its_meeting_incomplete(tmp_path: Path) -> None:
    root = edited(tmp_path, "words/ES2002a.B.words.xml", "</w>", "</x>")
    segments, problems = items(root)
    broken = next(problem for problem in problems if problem.reason == "broken-xml")
    assert broken.place.line == 3 and broken.place.file.endswith("ES2002a.B.words.xml")
    assert dropped(problems)["unknown-word"] > 0 and {item.utterance.extra["agent"] for item in segments} == set("ABCD")
    whole, problems = items(root, output="meetings")
    assert [item.utterance.id for item in whole] == ["ES2011a"]
    assert dropped(problems) == {"incomplete-meeting": 1}
    spans, problems = items(root, output="spans")
    assert dropped(problems)["incomplete-meeting"] == 10
    assert {item.utterance.extra["meeting"] for item in spans} == {"ES2011a"}


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    root = edited(tmp_path, "words/ES2002a.B.words.xml", "</w>", "</w>")
    (root / "words" / "ES2002a.C.words.xml").unlink()
    (root / "abstractive" / "ES2011a.abssumm.xml").unlink()
    whole, problems = items(root, output="meetings")
    assert not whole and dropped(problems) == {"incomplete-meeting": 1, "no-summary": 1}
    assert [problem.reason for problem in problems].count("unreadable-file") == 1


def test_link_to_an_unknown_act_is_told_and_the_sentence_keeps_its_other_links(tmp_path: Path) -> None:
    root = edited(tmp_path, "extractive/ES2002a.summlink.xml", "dialog-act.dharshi.3)", "dialog-act.dharshi.999)")
    spans, problems = items(root, output="spans")
    unknown = [problem for problem in problems if problem.reason == "unknown-act"]
    assert [problem.detail for problem in unknown] == [
        "no ES2002a.B.dialog-act.dharshi.999 in ES2002a.B.dialog-act.xml"
    ]
    assert not unknown[0].dropped and unknown[0].place.id == "ES2002a.summlink.dharshi.1"
    first = next(item.utterance for item in spans if item.utterance.id == "ES2002a-abstract-01")
    assert first.extra["linked_acts"] == 16


def test_link_to_an_unknown_sentence_or_file_is_told(tmp_path: Path) -> None:
    root = edited(tmp_path, "extractive/ES2002a.summlink.xml", "rdhillon.s.1)", "rdhillon.s.77)")
    edited(tmp_path, "extractive/ES2011a.summlink.xml", "ES2011a.A.dialog-act.xml#", "../../ES2011a.A.xml#")
    _, problems = items(root, output="spans")
    assert {problem.reason: problem.detail for problem in problems if problem.reason.startswith("unknown")} == {
        "unknown-sentence": "no sentence 'ES2002a.abssumm.xml#id(ES2002a.rdhillon.s.77)'",
        "unknown-act": "no file '../../ES2011a.A.xml' of this meeting",
    }


def test_id_range_across_a_gap_is_read_and_told(tmp_path: Path) -> None:
    gap = '   <w nite:id="ES2002a.A.words5" starttime="78.85" endtime="79.16">I&#39;m</w>\n'
    root = edited(tmp_path, "words/ES2002a.A.words.xml", gap, "")
    segments, problems = items(root)
    gaps = [problem for problem in problems if problem.reason == "range-with-gap"]
    assert "names 13 ids, 12 are there" in gaps[0].detail and not gaps[0].dropped
    first = next(item.utterance for item in segments if item.utterance.extra["agent"] == "A")
    assert first.text == "Hi, I'm David and supposed to be an industrial designer."


def test_range_to_an_unknown_word_or_backwards_drops_the_segment(tmp_path: Path) -> None:
    root = edited(tmp_path, "segments/ES2002a.A.segments.xml", "words12)", "words99999)")
    edited(
        tmp_path,
        "segments/ES2002a.A.segments.xml",
        "words13)..id(ES2002a.A.words48)",
        "words48)..id(ES2002a.A.words13)",
    )
    _, problems = items(root)
    details = [problem.detail for problem in problems if problem.reason == "unknown-word"]
    assert details == [
        "no ES2002a.A.words99999 in ES2002a.A.words.xml",
        "ES2002a.A.words13 stands before ES2002a.A.words48 in ES2002a.A.words.xml",
    ]
    assert dropped(problems)["unknown-word"] == 2


def test_words_without_times_are_kept_and_told(tmp_path: Path) -> None:
    root = edited(tmp_path, "words/ES2002a.A.words.xml", ' starttime="78.16" endtime="78.6"', "")
    segments, problems = items(root)
    told = [problem for problem in problems if problem.reason == "words-without-times"]
    assert len(told) == 1 and "David" in told[0].detail and not told[0].dropped
    first = next(item.utterance for item in segments if item.utterance.extra["agent"] == "A")
    assert [None, None, "David"] in first.extra["words"] and "David" in (first.text or "")


def test_segments_without_times_are_dropped(tmp_path: Path) -> None:
    root = edited(tmp_path, "segments/ES2002a.A.segments.xml", 'transcriber_end="80.955"', 'transcriber_end="NaN"')
    _, problems = items(root)
    told = [problem for problem in problems if problem.reason == "segment-without-times"]
    assert [problem.detail for problem in told] == ["a segment from 77.408 to NaN"]


def test_latin_1_letters_come_out_right(tmp_path: Path) -> None:
    root = edited(tmp_path, "words/ES2002a.A.words.xml", ">David<", ">Désirée<")
    segments, _ = items(root, meetings=["ES2002a"])
    assert any("I'm Désirée and" in (item.utterance.text or "") for item in segments)


def test_broken_line_of_the_data_folders_form_is_told_with_its_number(tmp_path: Path) -> None:
    text = gzip.decompress((DATA / "meetings.jsonl.gz").read_bytes()).decode().splitlines()[:3]
    text[1] = text[1][:500]
    text.append('{"id": "ES2002a", "turns": [[1, 2]]}')
    path = tmp_path / "meetings.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(text).encode()))
    whole, problems = items(tmp_path, output="meetings")
    assert len(whole) == 2
    assert [(problem.reason, problem.place.line) for problem in problems] == [("broken-json", 2), ("broken-meeting", 4)]
    path.write_bytes(path.read_bytes()[:-300])
    _, problems = items(tmp_path, output="meetings")
    assert problems[-1].reason == "unreadable-file" and "gzip" in problems[-1].detail


def test_choices_that_cannot_be_are_refused_with_the_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not AMI: expected the manual annotations .*; found nothing"):
        items(tmp_path)
    with pytest.raises(DataError, match="no dialogue acts, so no spans"):
        items(DATA / "meetings.jsonl.gz", output="spans")
    with pytest.raises(SettingsError, match="spans have several speakers: take headset-mix or array, not headset"):
        items(NXT, output="spans", microphone="headset")
    with pytest.raises(DataError, match="no audio folder"):
        items(NXT, audio=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no meeting of .* is in ES9999a"):
        items(NXT, meetings=["ES9999a"])


def test_meetings_and_splits_are_chosen_and_a_meeting_not_there_is_told() -> None:
    whole, problems = items(NXT, output="meetings", meetings=["ES2002a", "ES2003a"])
    assert [item.utterance.id for item in whole] == ["ES2002a"]
    assert [(p.reason, p.place.id) for p in problems if p.dropped] == [("missing-split", "ES2003a")]
    whole, _ = items(NXT, output="meetings", splits=["dev"])
    assert [item.utterance.id for item in whole] == ["ES2011a"]


def test_partitions_are_the_official_ones() -> None:
    full = {"ES2002a": "train", "EN2001a": "train", "IN1016": "train", "IS1008d": "dev", "IB4011": "dev"}
    full |= {"ES2014c": "test", "EN2002d": "test", "TS3007a": "test", "ES2003b": "dev"}
    assert {meeting: split_of(meeting) for meeting in full} == full
    # the ASR partition gives the meetings that are left over back to training
    asr = full | {"ES2014c": "train", "TS3007a": "train", "ES2003b": "train"}
    assert {meeting: split_of(meeting, "full-corpus-asr") for meeting in asr} == asr
