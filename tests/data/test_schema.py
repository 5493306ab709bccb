"""The line check agrees with jsonschema on anything; the manifest check finds each planted fault at its line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.data.manifest import Question, Utterance, write_manifest
from iclal.data.schema import check_line, check_manifest, manifest_schema
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data"
VALIDATOR = jsonschema.Draft202012Validator(manifest_schema())

FIELDS = list(manifest_schema()["properties"])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(-2, 3, allow_nan=False)
    | st.sampled_from(["", "a", "two words"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "question", "answers", "x"]), inner)
    ),
    max_leaves=6,
)
QUESTIONS = st.lists(
    st.fixed_dictionaries({"id": st.just("q"), "question": st.just("who")}, optional={"answers": JSON_VALUES}),
    max_size=2,
)
LINES = st.fixed_dictionaries(
    {"id": st.just("u") | JSON_VALUES},
    optional={name: JSON_VALUES for name in FIELDS if name not in ("id", "questions")}
    | {"questions": QUESTIONS, "start_sample": JSON_VALUES},
)


@settings(max_examples=150, deadline=None)
@given(LINES | JSON_VALUES)
def test_line_check_agrees_with_jsonschema(values: Any) -> None:
    assert bool(check_line(values)) == (not VALIDATOR.is_valid(values))


def test_line_check_names_the_fields_that_jsonschema_names() -> None:
    bad = {
        "id": "",
        "duration_seconds": 0,
        "questions": [{"id": "q", "answers": []}],
        "facts": {"city": 3},
        "rate": 16000,
    }
    theirs = {".".join(map(str, error.absolute_path)) for error in VALIDATOR.iter_errors(bad)}
    mine = {problem.field for problem in check_line(bad)}
    assert mine - {"questions.0.question", "rate"} == theirs - {"", "questions.0"}
    assert {"questions.0.question", "rate"} < mine


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "id: expected non-empty string, found nothing: the field is required"),
        ({"id": "a", "duration_seconds": "1.5"}, "duration_seconds: expected number above 0, found string '1.5'"),
        ({"id": "a", "duration_seconds": True}, "duration_seconds: expected number above 0, found boolean true"),
        ({"id": "a", "duration_seconds": float("nan")}, "duration_seconds: expected number above 0, found number nan"),
        ({"id": "a", "start_seconds": -1}, "start_seconds: expected number of at least 0, found number -1"),
        ({"id": "a", "speaker": None}, "speaker: expected non-empty string, found null (leave the field out instead)"),
        ({"id": "a", "questions": "q"}, "questions: expected array of objects, found string 'q'"),
        (["id"], "(line): expected object, found array ['id']"),
    ],
)
def test_line_check_says_field_expected_type_and_value(values: Any, said: str) -> None:
    assert [str(problem) for problem in check_line(values)] == [said]


def test_what_an_utterance_writes_passes_the_schema() -> None:
    questions = (Question("q", "who", ("me", "I")),)
    extra = {"take": 3, "words": [[0.1, 0.2, "x"]]}
    full = Utterance(
        "a", "a.wav", 0.0, 1.5, "s", "dev", "words", "a woman", questions, "sum", "yes", {"city": "rome"}, extra
    )
    line = full.to_json()
    assert set(line) == set(FIELDS)
    assert check_line(line) == [] and VALIDATOR.is_valid(line)
    assert check_line(Utterance("b").to_json()) == []


@pytest.fixture
def speech(tmp_path: Path) -> list[dict[str, Any]]:
    """The eight LibriSpeech utterances as manifest lines, audio beside them in `tmp_path`."""
    shutil.copytree(DATA / "librispeech" / "audio", tmp_path / "audio")
    lines = [json.loads(line) for line in open(DATA / "librispeech" / "manifest.jsonl", encoding="utf-8")]
    names = ("id", "audio", "text", "speaker", "duration_seconds")
    return [{name: line[name] for name in names} | {"split": "dev"} for line in lines]


def save(folder: Path, lines: list[Any]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_good_manifest_has_no_problems(speech: list[dict[str, Any]], tmp_path: Path) -> None:
    report = check_manifest(save(tmp_path, speech))
    assert report.ok and not report.warnings and not report.problems
    assert (report.utterances, report.splits, report.speakers) == (
        8,
        {"dev": 8},
        len({one["speaker"] for one in speech}),
    )
    assert report.seconds == pytest.approx(sum(one["duration_seconds"] for one in speech))
    assert list(report.lines())[-1].startswith("8 utterances, 0.02")


def test_each_planted_fault_is_found_at_its_line(speech: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "audio" / "text.flac").write_text("no audio")
    (tmp_path / "audio" / "empty.flac").write_bytes(b"")
    one = speech[0]
    whole = (tmp_path / one["audio"]).read_bytes()
    (tmp_path / "audio" / "cut.flac").write_bytes(whole[: len(whole) * 9 // 10])
    lines: list[Any] = [
        *speech[:3],
        '{"id": "broken"',
        {"id": 7},
        one | {"duration_seconds": one["duration_seconds"] + 0.5, "id": "longer", "text": "other words here then"},
        one | {"id": "cut", "start_seconds": 1.0, "duration_seconds": 3.0, "text": "HE CAME"},
        one | {"id": "past", "start_seconds": 5.0, "duration_seconds": 3.0, "text": "HE WENT"},
        one | {"id": "gone", "audio": "audio/gone.flac", "text": "GONE ALL OF IT AND MORE"},
        one | {"id": "text", "audio": "audio/text.flac", "text": "NO AUDIO IN THIS ONE"},
        one | {"id": "none", "audio": "audio/empty.flac", "text": "AND NONE IN THIS ONE"},
        one | {"text": "a second line with the first line's id"},
        {"id": "silent", "text": " "},
        {"id": "fast", "text": "x y " * 50, "duration_seconds": 2.0},
        {"id": "html", "text": "hello <br> world"},
        {"id": "loop", "text": "no no no no no no"},
        one | {"id": "leak", "split": "test"},
        one | {"id": "torn", "audio": "audio/cut.flac", "text": "ITS END IS NOT THERE ANY MORE"},
    ]  # fmt: skip
    report = check_manifest(save(tmp_path, lines))
    found = {(problem.place.line, problem.reason) for problem in report.problems}
    assert found == {
        (4, "broken-json"),
        (5, "schema"),
        (6, "duration-differs"),
        (8, "duration-differs"),
        (9, "missing-audio"),
        (10, "unreadable-audio"),
        (11, "unreadable-audio"),
        (12, "duplicate-id"),
        (13, "empty-text"),
        (14, "speaking-rate"),
        (15, "absurd-text"),
        (16, "absurd-text"),
        (17, "speaker-in-two-splits"),
        (17, "text-in-two-splits"),
        (18, "unreadable-audio"),
    }
    assert not report.ok and sum(report.errors.values()) == 9 and sum(report.warnings.values()) == 6
    text = "\n".join(report.lines())
    assert f"cut.flac: truncated, its header claims {one['duration_seconds']:.3f} s" in text
    assert "manifest.jsonl:5: schema: id: expected non-empty string, found number 7" in text
    assert f"duration_seconds is {one['duration_seconds'] + 0.5}, the header of {one['audio']} says" in text


def test_text_alone_and_other_scripts_are_checked_without_audio(tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "m.jsonl",
        [
            Utterance("가", audio="missing.wav", text="안녕하세요 여러분", speaker="김 민준", split="train"),
            Utterance("noise", text="", label="dog", split="train"),
            Utterance("dots", text="...", split="train"),
        ],
    )
    report = check_manifest(tmp_path / "m.jsonl", audio=False)
    assert report.ok and [problem.place.id for problem in report.problems] == ["dots"]
    assert not check_manifest(tmp_path / "m.jsonl").ok


def test_many_problems_are_all_counted_and_told_but_few_kept(tmp_path: Path) -> None:
    told: list[str] = []
    path = save(tmp_path, [{"id": f"u{i}", "tex": "x"} for i in range(500)])
    report = check_manifest(path, keep=10, tell=lambda problem: told.append(problem.reason))
    assert report.errors == {"schema": 500} and len(report.problems) == 10 and told == ["schema"] * 500
    assert "error: schema: 500, the first 10 above" in list(report.lines())


def test_lengths_that_a_manifest_does_not_state_are_those_of_the_headers(
    speech: list[dict[str, Any]], tmp_path: Path
) -> None:
    bare = [{name: value for name, value in one.items() if name != "duration_seconds"} for one in speech]
    report = check_manifest(save(tmp_path, bare))
    assert report.ok and report.seconds == pytest.approx(sum(one["duration_seconds"] for one in speech), abs=0.01)
    report = check_manifest(save(tmp_path, [bare[0] | {"text": "a word " * 900}]))
    assert report.warnings["speaking-rate"] == 1
    assert check_manifest(save(tmp_path, bare), audio=False).seconds == 0


def test_a_manifest_without_a_line_is_an_error(tmp_path: Path) -> None:
    report = check_manifest(save(tmp_path, []))
    assert not report.ok and report.errors == {"no-utterances": 1}
    assert list(report.lines())[-1] == "0 utterances, 0.000 h, 0 speakers"


def test_no_manifest_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest at .*gone\.jsonl"):
        check_manifest(tmp_path / "gone.jsonl")


PEAK = """
import resource, sys
from iclal.data.schema import check_manifest
report = check_manifest(sys.argv[1])
assert not report.problems and report.utterances == int(sys.argv[2]), list(report.lines())[-5:]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_hardly_grows_up_to_the_size_of_librispeech(tmp_path: Path) -> None:
    def peak_mib(count: int) -> float:
        path = tmp_path / f"{count}.jsonl"
        write_manifest(
            path,
            (Utterance(f"84-{i}", speaker=f"s{i % 2484}", split="train", text=f"the {i}th text") for i in range(count)),
        )
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path, str(count)], capture_output=True, text=True, check=True
        )
        return int(done.stdout) / 1024

    assert peak_mib(104_014) - peak_mib(1_000) < 60
