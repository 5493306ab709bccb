"""Lhotse's cut sets and Shar folders, in the very form that lhotse 1.33 writes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import soundfile

from iclal.audio.reading import read_audio
from iclal.data.corpora.lhotse import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "librispeech"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def cut(line: dict[str, Any], source: str | None = None, **changes: Any) -> dict[str, Any]:
    """A cut as lhotse writes it; without a source as Shar does."""
    seconds = line["duration_seconds"]
    about = {"channel": 0, "text": line["text"], "language": "en", "speaker": line["speaker"], "gender": "f"}
    where = (
        {"type": "file", "channels": [0], "source": source}
        if source
        else {"type": "shar", "channels": [0], "source": ""}
    )
    recording = {
        "id": line["id"],
        "sources": [where],
        "sampling_rate": 16_000,
        "num_samples": line["num_samples"],
        "duration": seconds,
        "channel_ids": [0],
    }
    supervision = {"id": line["id"], "recording_id": line["id"], "start": 0, "duration": seconds} | about
    whole = {"id": line["id"], "start": 0.0, "duration": seconds, "channel": 0, "supervisions": [supervision]}
    return whole | {"recording": recording, "type": "MonoCut"} | changes


def write_cuts(path: Path, cuts: list[Any]) -> Path:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in cuts).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz", "dev-cuts.jsonl.gz"])
def test_cuts_of_whole_recordings_are_the_utterances(name: str, tmp_path: Path) -> None:
    write_cuts(tmp_path / name, [cut(line, str(DATA / line["audio"])) for line in LINES])
    summary = prepare("lhotse", tmp_path, tmp_path / "out", {"audio": DATA, "split": "dev"})
    assert (summary.found, summary.kept) == (8, 8)
    for one, line in zip(read_manifest(tmp_path / "out" / "manifest.jsonl"), LINES, strict=True):
        assert (one.id, one.text, one.speaker, one.split) == (line["id"], line["text"], line["speaker"], "dev")
        assert one.start_seconds is None and one.duration_seconds == pytest.approx(line["duration_seconds"])
        assert one.extra == {"language": "en", "gender": "f"}


def test_a_part_of_a_recording_is_a_span_and_its_supervisions_are_joined(tmp_path: Path) -> None:
    line = LINES[0]
    two = [
        {"start": 1.5, "duration": 0.5, "text": " second ", "speaker": "b"},
        {"start": 0.0, "duration": 1.0, "text": "first", "speaker": "a", "custom": {"snr": 3}},
    ]
    write_cuts(
        tmp_path / "cuts.jsonl", [cut(line, line["audio"], id="part", start=1.0, duration=2.0, supervisions=two)]
    )
    [one], problems = items(tmp_path / "cuts.jsonl", audio=DATA)
    assert not problems and one.recordings == (DATA / line["audio"],) and one.sample_rate_hz == 16_000
    said = one.utterance
    assert (said.text, said.speaker, said.start_seconds, said.duration_seconds) == ("first second", None, 1.0, 2.0)
    assert said.extra == {"custom": {"snr": 3}}


def test_cuts_that_are_more_than_a_part_of_a_recording_are_told(tmp_path: Path) -> None:
    line = LINES[0]
    good = cut(line, line["audio"])
    late = good["supervisions"][0] | {"start": -1.0}
    sped_up = good["recording"] | {"transforms": [{"name": "Speed", "kwargs": {"factor": 1.1}}]}
    two_files = good["recording"] | {"sources": good["recording"]["sources"] * 2}
    cuts = [
        good,
        {"id": "mixed", "tracks": [{"cut": good, "type": "MonoCut", "offset": 0.0}], "type": "MixedCut"},
        good | {"recording": sped_up},
        good | {"recording": two_files},
        good | {"recording": good["recording"] | {"channel_ids": [0, 1]}},
        good | {"duration": 2.0, "start": 1.0, "supervisions": [late]},
        good | {"supervisions": []},
        good | {"duration": None},
        cut(line, "/etc/passwd"),
        "{broken",
        "[]",
    ]
    candidates, problems = items(write_cuts(tmp_path / "cuts.jsonl.gz", cuts), audio=DATA)
    assert len(candidates) == 1
    assert [(p.place.line, p.reason) for p in problems] == [
        (2, "unsupported-cut"),
        (3, "unsupported-cut"),
        (4, "unsupported-cut"),
        (5, "unsupported-cut"),
        (6, "text-outside-clip"),
        (7, "missing-text"),
        (8, "missing-field"),
        (9, "path-outside-source"),
        (10, "broken-json"),
        (11, "broken-json"),
    ]
    assert "to be changed first: Speed" in problems[1].detail and "save_audios" in problems[1].what_to_do


def test_a_torn_gzip_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = write_cuts(tmp_path / "cuts.jsonl.gz", [cut(line, line["audio"]) for line in LINES * 200])
    path.write_bytes(path.read_bytes()[:-2000])
    candidates, problems = items(path, audio=DATA)
    assert candidates and [p.reason for p in problems if p.reason != "broken-json"] == ["unreadable-file"]
    path.write_bytes(b"no gzip")
    assert [p.reason for p in items(path)[1]] == ["unreadable-file"]


def write_shar(folder: Path, lines: list[dict[str, Any]], shard_size: int = 3) -> Path:
    """Shards as lhotse's SharWriter makes them: gzipped cuts, a tar with each recording and its description."""
    folder.mkdir(parents=True)
    for shard in range(0, len(lines), shard_size):
        part, number = lines[shard : shard + shard_size], f"{shard // shard_size:06d}"
        write_cuts(folder / f"cuts.{number}.jsonl.gz", [cut(line) for line in part])
        with tarfile.open(folder / f"recording.{number}.tar", "w") as archive:
            for line in part:
                members = {
                    ".flac": (DATA / line["audio"]).read_bytes(),
                    ".json": json.dumps(cut(line)["recording"]).encode(),
                }
                for suffix, data in members.items():
                    info = tarfile.TarInfo(line["id"] + suffix)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return folder


def test_shar_is_unpacked_once_and_heard_bit_for_bit(tmp_path: Path) -> None:
    folder = write_shar(tmp_path / "shar", LINES)
    summary = prepare("lhotse", folder, tmp_path / "out", {"unpack": tmp_path / "unpacked"})
    assert (summary.found, summary.kept) == (8, 8)
    for one, line in zip(read_manifest(tmp_path / "out" / "manifest.jsonl"), LINES, strict=True):
        assert one.id == line["id"] and one.audio_path
        assert soundfile.read(one.audio_path, dtype="int16")[0].tobytes() == (
            soundfile.read(DATA / line["audio"], dtype="int16")[0].tobytes()
        )
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "unpacked").rglob("*.flac")}
    prepare("lhotse", folder, tmp_path / "again", {"unpack": tmp_path / "unpacked"})
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "unpacked").rglob("*.flac")} == files and len(
        files
    ) == 8


def test_shar_without_a_tar_or_with_a_torn_one_tells_each_cut(tmp_path: Path) -> None:
    folder = write_shar(tmp_path / "shar", LINES)
    (folder / "recording.000000.tar").unlink()
    (folder / "recording.000001.tar").write_bytes(b"no tar at all")
    candidates, problems = items(folder, unpack=tmp_path / "unpacked")
    assert len(candidates) == 2 and read_audio(candidates[0].recordings[0]).num_samples == LINES[6]["num_samples"]
    assert [p.reason for p in problems if p.dropped] == ["missing-audio"] * 6
    assert [p.reason for p in problems if not p.dropped] == ["unreadable-file"]


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no cuts\.jsonl"):
        items(tmp_path)
    with pytest.raises(DataError, match="name a folder to unpack into, unpack=FOLDER"):
        items(write_shar(tmp_path / "shar", LINES[:1]))
