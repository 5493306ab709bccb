"""Split, sample, merge: whole groups, nothing lost, the same draw whatever the order of lines, audio still found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iclal.data.manifest import Utterance, read_manifest, write_manifest
from iclal.data.tools import merge, moved, sample, split
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data"


def some(count: int, speakers: int = 10) -> list[Utterance]:
    return [
        Utterance(
            f"u{i}", audio=f"audio/{i}.wav", duration_seconds=1.5, speaker=f"s{i % speakers}", text=f"text {i // 2}"
        )
        for i in range(count)
    ]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "manifest.jsonl"
    write_manifest(path, some(200))
    return path


def test_split_keeps_speakers_whole_and_loses_nothing(manifest: Path, tmp_path: Path) -> None:
    counts = split(manifest, tmp_path / "out", {"train": 0.8, "dev": 0.1, "test": 0.1})
    parts = {name: list(read_manifest(tmp_path / "out" / f"{name}.jsonl")) for name in counts}
    assert counts == {"train": 160, "dev": 20, "test": 20}
    assert {name: len(part) for name, part in parts.items()} == counts
    assert all(one.split == name for name, part in parts.items() for one in part)
    speakers = [{one.speaker for one in part} for part in parts.values()]
    assert len(set().union(*speakers)) == sum(map(len, speakers)) == 10
    assert sorted(one.id for part in parts.values() for one in part) == sorted(one.id for one in some(200))


def test_split_by_text_keeps_repeated_texts_together(manifest: Path, tmp_path: Path) -> None:
    split(manifest, tmp_path / "out", {"a": 0.5, "b": 0.5}, by="text")
    texts = [{one.text for one in read_manifest(tmp_path / "out" / f"{name}.jsonl")} for name in "ab"]
    assert not texts[0] & texts[1] and abs(len(texts[0]) - len(texts[1])) <= 1


def test_split_leaves_no_part_empty_when_groups_are_few(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, some(50, speakers=5))
    assert split(path, tmp_path / "out", {"train": 0.8, "dev": 0.1, "test": 0.1}) == {
        "train": 30,
        "dev": 10,
        "test": 10,
    }


@pytest.mark.parametrize(
    ("fractions", "by", "said"),
    [
        ({"a": 0.5, "b": 0.6}, "id", "sum to 1"),
        ({"a": 1.5, "b": -0.5}, "id", "above 0"),
        ({"a": 0.5, "b": 0.5}, "label", "u0 has no label"),
        ({f"p{i}": 1 / 11 for i in range(11)}, "speaker", "10 groups by speaker"),
    ],
)
def test_split_refuses_with_the_value(manifest: Path, tmp_path: Path, fractions: dict, by: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        split(manifest, tmp_path / "out", fractions, by=by)  # type: ignore[arg-type]


def test_split_refuses_to_take_the_place_of_its_own_manifest(manifest: Path) -> None:
    before = manifest.read_bytes()
    with pytest.raises(DataError, match="would be overwritten by one of its own splits"):
        split(manifest, manifest.parent, {manifest.stem: 0.8, "test": 0.2})
    assert manifest.read_bytes() == before


def test_a_draw_depends_on_seed_and_ids_not_on_order(manifest: Path, tmp_path: Path) -> None:
    backwards = tmp_path / "in" / "backwards.jsonl"
    write_manifest(backwards, list(read_manifest(manifest))[::-1])

    def drawn(source: Path, count: int, seed: int) -> set[str]:
        assert sample(source, tmp_path / "s.jsonl", count=count, seed=seed) == count
        return {one.id for one in read_manifest(tmp_path / "s.jsonl")}

    assert drawn(manifest, 20, 1) == drawn(backwards, 20, 1) != drawn(manifest, 20, 2)
    assert drawn(manifest, 20, 1) < drawn(manifest, 60, 1)


def test_sample_keeps_order_and_counts_per_group(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    assert sample(manifest, out, count=3, per="speaker") == 30
    numbers = [int(one.id[1:]) for one in read_manifest(out)]
    assert numbers == sorted(numbers)
    assert sample(manifest, out, count=500) == 200


def test_sample_by_hours_fills_them_and_no_more(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    assert sample(manifest, out, hours=60 / 3600) == 40
    assert sample(manifest, out, hours=1.4 / 3600) == 0
    with pytest.raises(DataError, match="either a count or hours"):
        sample(manifest, out, hours=1, count=1)
    write_manifest(manifest, [Utterance("x", text="y")])
    with pytest.raises(DataError, match="x has no duration_seconds"):
        sample(manifest, out, hours=1)


def test_merge_lays_manifests_together_and_refuses_an_id_twice(manifest: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "manifest.jsonl"
    write_manifest(other, [Utterance("u7", text="seven"), Utterance("v", text="new")])
    with pytest.raises(DataError, match=r"'u7' is in .*in/manifest.jsonl and again in .*other/manifest.jsonl"):
        merge([manifest, other], tmp_path / "all.jsonl")
    assert merge([manifest, other], tmp_path / "all.jsonl", prefix=True) == 202
    assert [one.id for one in read_manifest(tmp_path / "all.jsonl")][-2:] == ["other-u7", "other-v"]


def test_split_then_merge_is_the_manifest_but_for_the_split(manifest: Path, tmp_path: Path) -> None:
    split(manifest, tmp_path / "parts", {"a": 0.3, "b": 0.7}, by="id", seed=5)
    merge([tmp_path / "parts" / "a.jsonl", tmp_path / "parts" / "b.jsonl"], manifest.parent / "again.jsonl")
    again = {one.id: one.to_json() for one in read_manifest(manifest.parent / "again.jsonl")}
    for one in read_manifest(manifest):
        found = again[one.id]
        assert found.pop("split") in ("a", "b")
        assert found == one.to_json()


def test_audio_is_still_found_from_another_folder_and_through_a_link(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in open(DATA / "librispeech" / "manifest.jsonl", encoding="utf-8")]
    source = tmp_path / "corpus" / "manifest.jsonl"
    audio = tmp_path / "corpus" / "audio"
    write_manifest(source, [Utterance(line["id"], audio=line["audio"]) for line in lines])
    audio.symlink_to(DATA / "librispeech" / "audio")
    deep = tmp_path / "far" / "away"
    deep.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(deep)
    assert sample(source, link / "s.jsonl", count=3) == 3
    for one in read_manifest(link / "s.jsonl"):
        assert one.audio is not None and one.audio.startswith("../../corpus/audio/")
        assert one.audio_path is not None and one.audio_path.is_file()
    absolute = Utterance("a", audio="/there/a.wav", root=tmp_path)
    assert moved(absolute, link) is absolute


@pytest.mark.parametrize(
    ("field", "said"), [({"text": 7}, "text is 7, which is no text"), ({"start_seconds": "1"}, "start_seconds is '1'")]
)
def test_a_line_of_wrong_types_is_refused_with_its_number(tmp_path: Path, field: dict, said: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a"}\n' + json.dumps({"id": "b"} | field) + "\n")
    with pytest.raises(DataError, match=f"m.jsonl:2: not a manifest line: {said}"):
        list(read_manifest(path))
