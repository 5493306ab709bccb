"""Recordings of candidates: joined, copied, spoken; and the file readers that all corpora share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from program import full_disk, iclal

from iclal.audio.reading import read_audio
from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_csv, read_jsonl, read_lines, walk
from iclal.data.manifest import Utterance
from iclal.data.recordings import Recordings

SPEECH = sorted((Path(__file__).parents[2] / "data" / "librispeech" / "audio").glob("*.flac"))
PLACE = Place("list.tsv", 7, "a")


def candidate(*recordings: Path, **fields: object) -> Candidate:
    return Candidate(Utterance(id="a", **fields), PLACE, recordings)  # type: ignore[arg-type]


def test_several_recordings_are_joined_in_order_sample_for_sample(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "out", SPEECH[0].parent)
    parts = [SPEECH[2], SPEECH[0], SPEECH[2]]
    found = recordings.finish(candidate(*parts))
    assert isinstance(found, Utterance) and found.audio
    whole = read_audio(tmp_path / "out" / found.audio).samples
    assert np.array_equal(whole, np.concatenate([read_audio(part).samples for part in parts]))
    assert found.duration_seconds == pytest.approx(len(whole) / 16_000)
    # the order is part of the name, and what is there is not made again
    made = (tmp_path / "out" / found.audio).stat().st_mtime_ns
    again = recordings.finish(candidate(*parts))
    assert again == found and (tmp_path / "out" / found.audio).stat().st_mtime_ns == made
    other = recordings.finish(candidate(SPEECH[0], SPEECH[2]))
    assert isinstance(other, Utterance) and other.audio != found.audio


def test_a_full_disk_under_a_joined_recording_is_no_damaged_recording(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "out", SPEECH[0].parent)
    with full_disk(30_000), pytest.raises(OSError, match="File too large"):
        recordings.finish(candidate(SPEECH[0], SPEECH[1]))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert isinstance(recordings.finish(candidate(SPEECH[0], SPEECH[1])), Utterance)


def test_a_full_disk_under_synthesised_speech_is_said_and_the_same_command_goes_on(tmp_path: Path) -> None:
    texts = ("hm", "a longer text that will not fit into so small a file as there is room for", "yes")
    lines = [json.dumps({"id": f"u{number}", "text": text}) + "\n" for number, text in enumerate(texts)]
    (tmp_path / "table.jsonl").write_text("".join(lines))
    command = ("prepare", "folder", tmp_path / "table.jsonl", tmp_path / "out", "--synthesise", "--workers", 1)
    with full_disk(30_000):
        done = iclal(*command)
    assert done.status == 1
    assert done.error.startswith("the disk is full (File too large) after 0 utterances")
    assert "free space and give the same command again, it goes on from there" in done.error
    made = [path for path in (tmp_path / "out" / "audio").rglob("*") if path.is_file()]
    assert [path.suffix for path in made] == [".flac"]  # the one that fits, and nothing half
    before = made[0].stat().st_mtime_ns
    assert iclal(*command, "--json").json["kept"] == 3
    assert made[0].stat().st_mtime_ns == before


def test_missing_part_drops_the_whole_and_names_the_part(tmp_path: Path) -> None:
    found = Recordings(tmp_path, tmp_path).finish(candidate(SPEECH[0], tmp_path / "3_2.wav"))
    assert isinstance(found, Problem) and found.reason == "missing-audio" and "3_2.wav" in found.detail
    assert found.place == PLACE


def test_parts_of_different_rates_are_not_joined(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(800), 8_000)
    found = Recordings(tmp_path, tmp_path).finish(candidate(SPEECH[0], tmp_path / "slow.wav"))
    assert isinstance(found, Problem) and found.reason == "wrong-rate" and "8000 Hz" in found.detail


def test_truncated_wav_is_told_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:9_000])
    found = Recordings(tmp_path, tmp_path).finish(candidate(tmp_path / "a.wav"))
    assert isinstance(found, Problem) and found.reason == "truncated-audio"


@pytest.mark.parametrize("name", ["a.flac", "a.FLAC", "a.sound"])
def test_truncated_flac_is_told_apart_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SPEECH[0].read_bytes()[:-2_000])
    found = Recordings(tmp_path, tmp_path).finish(candidate(tmp_path / name))
    assert isinstance(found, Problem) and found.reason == "truncated-audio"


def test_recordings_of_an_audio_folder_beside_the_source_are_copied_without_clashes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", np.full(1600, 0.1 if name == "one" else 0.2), 16_000)
    recordings = Recordings(tmp_path / "out", tmp_path / "source", copy=True)
    found = [recordings.finish(candidate(tmp_path / name / "a.wav")) for name in ("one", "two")]
    names = [item.audio for item in found if isinstance(item, Utterance) and item.audio]
    assert len(set(names)) == 2 and all(name.startswith("audio/") for name in names)
    copies = [(tmp_path / "out" / name).read_bytes() for name in names]
    assert copies == [(tmp_path / name / "a.wav").read_bytes() for name in ("one", "two")]


def test_speech_is_made_with_one_voice_a_speaker_and_only_once(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, tmp_path, synthesise=True)
    try:
        found = [
            recordings.finish(
                Candidate(Utterance(id=f"{speaker}{number}", speaker=speaker, text="good morning"), PLACE)
            )
            for speaker in ("anna", "ben")
            for number in (1, 2)
        ]
        both = recordings.finish(
            Candidate(Utterance(id="c"), PLACE, spoken=(("anna", "good morning"), ("ben", "good morning")))
        )
        empty = recordings.finish(Candidate(Utterance(id="e", text=" "), PLACE))
        control = recordings.finish(Candidate(Utterance(id="e", text="a\x01b"), PLACE))
    finally:
        recordings.close()
    audio = [item.audio for item in found if isinstance(item, Utterance) and item.audio]
    assert audio[0] == audio[1] != audio[2] == audio[3]
    anna, ben = (read_audio(tmp_path / audio[index]).samples for index in (0, 2))
    assert len(anna) > 4_000 and np.abs(anna).max() > 0.05
    assert isinstance(both, Utterance) and both.audio and both.extra == {"synthesised": True}
    assert np.array_equal(read_audio(tmp_path / both.audio).samples, np.concatenate([anna, ben]))
    assert isinstance(empty, Problem) and empty.reason == "nothing-to-speak"
    assert isinstance(control, Problem) and control.reason == "cannot-speak"


@pytest.mark.parametrize("name", ["../secret.wav", "a/../../secret.wav", "/etc/passwd", "out/secret.wav", ""])
def test_paths_that_leave_the_source_are_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "out").symlink_to(tmp_path)
    found = locate(source, name, PLACE)
    assert isinstance(found, Problem) and found.reason == "path-outside-source" and repr(name) in found.detail


def test_paths_inside_are_resolved_and_loops_told(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "loop").symlink_to("loop")
    assert locate(tmp_path, "a/나 무.wav", PLACE) == (tmp_path / "b" / "나 무.wav").resolve()
    found = locate(tmp_path, "loop/x.wav", PLACE)
    assert isinstance(found, Problem) and found.reason == "bad-path"
    found = locate(tmp_path, "a\0b", PLACE)
    assert isinstance(found, Problem) and found.reason == "bad-path"


def test_walk_follows_links_inside_and_tells_of_loops_and_links_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    for name in ("x.wav", "y.txt", "Z.WAV"):
        (source / "a" / name).write_bytes(b"")
    (source / "a" / "up").symlink_to(source)
    (source / "b").symlink_to("a")
    (source / "c").symlink_to(tmp_path)
    found = list(walk(source, [".wav"]))
    assert [path.name for path in found if isinstance(path, Path)] == ["Z.WAV", "x.wav"] * 2
    problems = [(problem.reason, problem.dropped) for problem in found if isinstance(problem, Problem)]
    assert problems == [("symlink-loop", False), ("symlink-loop", False), ("path-outside-source", True)]


def test_lines_come_without_mark_and_crlf_in_utf8_and_utf16(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("하나\r\n\r\n둘 둘\r\n".encode(encoding))
        assert list(read_lines(path)) == [(1, "하나"), (3, "둘 둘")]
    path.write_bytes(b"good\ncaf\xe9\ngood")
    found = list(read_lines(path))
    assert [item for item in found if isinstance(item, tuple)] == [(1, "good"), (3, "good")]
    assert [(p.reason, p.place.line) for p in found if isinstance(p, Problem)] == [("wrong-encoding", 2)]
    assert [p.reason for p in read_lines(tmp_path / "nowhere") if isinstance(p, Problem)] == ["unreadable-file"]


def test_json_lines_and_csv_rows_name_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"a": 1}\n[2]\n{"a": \n', encoding="utf-8")
    found = list(read_jsonl(path))
    assert found[0] == (1, {"a": 1})
    assert [(p.reason, p.place.line) for p in found if isinstance(p, Problem)] == [
        ("broken-json", 2),
        ("broken-json", 3),
    ]
    path.write_text('id,text\n1,"a, b"\n2,x,y\n3,"two\nlines"\n4,"torn', encoding="utf-8")
    found = list(read_csv(path, ["id", "text"]))
    assert [item for item in found if isinstance(item, tuple)] == [
        (2, {"id": "1", "text": "a, b"}),
        (5, {"id": "3", "text": "two\nlines"}),
    ]
    assert [(p.reason, p.place.line) for p in found if isinstance(p, Problem)] == [("broken-csv", 3), ("broken-csv", 6)]
    found = list(read_csv(path, ["id", "audio"]))
    assert [p.detail for p in found if isinstance(p, Problem)] == ["no column audio; the header has id, text"]
