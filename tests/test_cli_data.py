"""The command line's verbs for data and scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import DATA, digits, iclal, run

from iclal.data.corpora.digits import Options
from iclal.data.manifest import read_manifest
from iclal.data.prepare import CORPORA

REFERENCE = "u1 one two three\nu2 four five\n"
HYPOTHESIS = "u1 one too three\nu2 four five six\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return digits(tmp_path / "digits")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A user's table with two good rows, under column names of its own."""
    speech = DATA / "librispeech" / "audio" / "1089-134686-0037.flac"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "one.flac").write_bytes(speech.read_bytes())
    (tmp_path / "own" / "two.flac").write_bytes(speech.read_bytes())
    path = tmp_path / "own" / "table.csv"
    path.write_text("name,path,sentence\na,one.flac,i remember\nb,two.flac,the same\n")
    return path


# --- prepare


def test_the_help_of_prepare_names_every_corpus() -> None:
    said = " ".join(iclal("prepare", "--help").stdout.split())
    assert f"Corpora: {', '.join(sorted(CORPORA))}." in said


@pytest.mark.parametrize("verb", ["", "prepare", "score", "train"])
def test_help_loads_no_room_but_the_one_that_it_names_corpora_from(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # every import is a line on standard error
    loaded = {line.rpartition("|")[2].strip() for line in run(*verb.split(), "--help").stderr.splitlines()}
    assert "iclal.cli_data" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "soundfile", "iclal.training", "iclal.evaluation"})
    assert ("iclal.data.prepare" in loaded) == (verb == "prepare")


def test_prepare_writes_the_three_files_and_prints_their_account(tmp_path: Path) -> None:
    done = iclal("prepare", "digits", DATA / "fsdd", tmp_path / "out", "--json")
    assert (done.status, done.stderr) == (0, "")
    assert done.json == json.loads((tmp_path / "out/summary.json").read_text())
    assert done.json["found"] == done.json["kept"] == 1000
    assert done.json["options"] == Options().model_dump(mode="json")
    assert sum(1 for _ in read_manifest(tmp_path / "out/manifest.jsonl")) == 1000
    assert iclal("data", "check", tmp_path / "out/manifest.jsonl").status == 0


@pytest.mark.parametrize(
    "options",
    [("id=name", "audio=path", "text=sentence"), ("--id", "name", "--audio", "path", "--text", "sentence")],
    ids=["key=value", "--key value"],
)
def test_corpus_options_are_given_either_way(options: tuple[str, ...], table: Path, tmp_path: Path) -> None:
    done = iclal("prepare", "folder", table, tmp_path / "out", *options, "--copy", "--workers", 1)
    assert done.status == 0
    (kept,) = [line.split() for line in done.stdout.splitlines() if "kept" in line]
    assert kept[1:4:2] == ["kept", "2"]
    found = list(read_manifest(tmp_path / "out/manifest.jsonl"))
    assert [(u.id, u.text) for u in found] == [("a", "i remember"), ("b", "the same")]
    assert all(u.audio and u.audio.startswith("audio/") and u.audio_path.is_file() for u in found if u.audio_path)


def test_a_dash_in_an_options_name_stands_for_an_underscore(table: Path, tmp_path: Path) -> None:
    columns = ("--id", "name", "--audio", "path", "--text", "sentence")
    iclal("prepare", "folder", table, tmp_path / "out", *columns, "--default-split", "dev")
    assert {u.split for u in read_manifest(tmp_path / "out/manifest.jsonl")} == {"dev"}


def test_a_column_may_be_called_like_a_value_of_yaml(tmp_path: Path) -> None:
    speech = DATA / "librispeech" / "audio" / "1089-134686-0037.flac"
    (tmp_path / "table.csv").write_text(f"id,no,said #1,12\na,{speech},i remember,ann\n")
    columns = ("--audio", "no", "--text", "said #1", "speaker=12", "--default-split", "null")
    done = iclal("prepare", "folder", tmp_path / "table.csv", tmp_path / "out", *columns, "root=/", "--copy")
    assert (done.status, done.stderr) == (0, "")
    (found,) = read_manifest(tmp_path / "out/manifest.jsonl")
    assert (found.text, found.speaker, found.split) == ("i remember", "ann", None)


def test_what_was_dropped_decides_the_exit_status(table: Path, tmp_path: Path) -> None:
    with open(table, "a") as handle:
        handle.write("c,three.flac,nothing there\n")
    asked = ("prepare", "folder", table, tmp_path / "out", "id=name", "audio=path", "text=sentence")
    done = iclal(*asked)
    assert done.status == 1
    assert "missing-audio" in done.stdout
    assert done.stdout.splitlines()[-1] == f"problems: {tmp_path / 'out' / 'problems.jsonl'}"
    (problem,) = map(json.loads, (tmp_path / "out/problems.jsonl").read_text().splitlines())
    assert (problem["line"], problem["id"]) == (4, "c")
    allowed = iclal(*asked, "--allow-dropped", "--json")
    assert allowed.status == 0
    assert allowed.json["dropped_by_reason"] == {"missing-audio": 1}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("ami2 SOURCE OUT", 1, "no corpus 'ami2'; there are"),
        ("digits SOURCE OUT splitt=official", 2, "options of digits: splitt: unknown key; near names: split"),
        ("digits SOURCE OUT --splitt official", 2, "options of digits: splitt: unknown key; near names: split"),
        ("digits SOURCE OUT --split random", 2, "options of digits: split: Input should be 'official' or 'by-speaker'"),
        ("digits SOURCE OUT by-speaker", 2, "'by-speaker' is not of the form key=value"),
        ("digits SOURCE OUT --workers 0", 2, "Must be >= 1"),
        ("digits NOWHERE OUT", 1, "no wavs named DIGIT_SPEAKER_TAKE.wav"),
        ("librispeech SOURCE OUT", 1, "LibriSpeech"),
        ("digits SOURCE", 2, "requires an argument"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(words: str, status: int, message: str, tmp_path: Path) -> None:
    places = {"SOURCE": str(DATA / "fsdd"), "OUT": str(tmp_path / "out"), "NOWHERE": str(tmp_path / "nowhere")}
    done = iclal("prepare", *(places.get(word, word) for word in words.split()))
    assert done.status == status and message in done.error
    assert not (tmp_path / "out").exists()
    if "ami2" in words:
        assert all(name in done.error for name in CORPORA)


# --- world


def test_a_written_world_is_prepared_like_the_corpus(tmp_path: Path) -> None:
    done = iclal("world", "--as", "librispeech", tmp_path / "LibriSpeech", "--size", 4, "--json")
    assert (done.status, done.stderr) == (0, "")
    assert done.json == {"layout": "librispeech", "folder": str(tmp_path / "LibriSpeech"), "seed": 0, "size": 4}
    assert iclal("prepare", "librispeech", tmp_path / "LibriSpeech", tmp_path / "out", "--json").json["kept"] == 4
    again = iclal("world", "--as", "librispeech", tmp_path / "LibriSpeech")
    assert again.status == 1 and "is there and not empty; give a new folder" in again.error


def test_a_layout_that_is_none_names_those_there_are(tmp_path: Path) -> None:
    done = iclal("world", "--as", "librivox", tmp_path / "out")
    assert done.status == 2 and "no layout 'librivox'; known are librispeech" in done.error
    assert "--as" in iclal("world", tmp_path / "out").error


# --- data


def test_check_lists_every_problem_with_its_line(manifest: Path) -> None:
    assert iclal("data", "check", manifest).stdout.splitlines()[-1].startswith("12 utterances")
    with open(manifest, "a") as handle:
        handle.write('{"id": "x", "duration_seconds": "long"}\n{"id": "y", "audio": "none.wav"}\nno json\n')
    done = iclal("data", "check", manifest)
    assert done.status == 1 and not done.stderr
    said = done.stdout
    assert f"{manifest}:13: schema: duration_seconds: expected number above 0, found string 'long'" in said
    assert f"{manifest}:14: missing-audio" in said
    given = iclal("data", "check", manifest, "--json").json
    assert not given["ok"] and sum(given["errors"].values()) == 3
    assert [problem["line"] for problem in given["problems"]] == [13, 14, 15]
    assert "missing-audio" not in iclal("data", "check", manifest, "--no-audio", "--json").json["errors"]


def test_show_writes_one_page(manifest: Path, tmp_path: Path) -> None:
    done = iclal("data", "show", manifest, "--clips", 1)
    page = manifest.with_suffix(".html")
    assert (done.status, done.stdout) == (0, f"{page}\n")
    assert "<audio" in page.read_text()
    assert iclal("data", "show", manifest, "--out", tmp_path / "p.html", "--clips", 0, "--json").json == {
        "page": str(tmp_path / "p.html")
    }


def test_split_keeps_speakers_whole_and_says_the_counts(manifest: Path, tmp_path: Path) -> None:
    done = iclal("data", "split", manifest, tmp_path / "s", "train=0.75", "test=0.25", "--json")
    assert [(line["manifest"], line["utterances"]) for line in done.json] == [
        (str(tmp_path / "s/train.jsonl"), 9),
        (str(tmp_path / "s/test.jsonl"), 3),
    ]
    test_speakers = {u.speaker for u in read_manifest(tmp_path / "s/test.jsonl")}
    assert test_speakers.isdisjoint(u.speaker for u in read_manifest(tmp_path / "s/train.jsonl"))
    assert iclal("data", "check", tmp_path / "s/train.jsonl").status == 0


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ("", "no split is named: give NAME=SHARE"),
        ("train", "'train' is not of the form NAME=SHARE"),
        ("train=most", "'train=most' is not of the form NAME=SHARE"),
        ("train=1 train=1", "'train=1': a split needs a name of its own"),
        ("../train=1", "'../train=1': a split needs a name of its own that can be a file's"),
        ("train=0.5 test=0.4", "must be above 0 and sum to 1"),
        ("train=nan test=1", "must be above 0 and sum to 1"),
        ("a=.2 b=.2 c=.2 d=.2 e=.2", "4 groups by speaker, too few for 5 splits"),
    ],
)
def test_shares_that_make_no_sense_are_refused(shares: str, message: str, manifest: Path, tmp_path: Path) -> None:
    done = iclal("data", "split", manifest, tmp_path / "s", *shares.split())
    assert done.status in (1, 2) and message in done.error
    assert not (tmp_path / "s").exists()


def test_sample_draws_a_count_or_hours(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "few.jsonl"
    assert iclal("data", "sample", manifest, out, "--count", 5).stdout == f"{out}  5\n"
    assert sum(1 for _ in read_manifest(out)) == 5
    again = ("data", "sample", manifest, out, "--overwrite")
    given = iclal(*again, "--count", 1, "--per", "speaker", "--json").json
    assert given == [{"manifest": str(out), "utterances": 4}]
    hours = iclal(*again, "--hours", 1 / 3600, "--json").json[0]["utterances"]
    assert 0 < hours < 12
    more = iclal(*again, "--count", 500)
    assert more.status == 0 and "no more than 12 of the 500 utterances asked for" in more.stderr
    assert "either a count or hours" in iclal(*again).error
    assert iclal(*again, "--count", 0).status == 2


def test_a_file_that_is_there_is_replaced_only_when_that_is_asked_for(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for verb, file in {
        ("split", manifest, out, "train=0.5", "test=0.5"): out / "test.jsonl",
        ("sample", manifest, out / "few.jsonl", "--count", 1): out / "few.jsonl",
        ("merge", out / "all.jsonl", manifest): out / "all.jsonl",
    }.items():
        file.write_text("of another\n")
        refused = iclal("data", *verb)
        assert refused.status == 2
        message = f"{file} is there already: choose another name, or replace it by --overwrite"
        assert refused.error.startswith(message)
        assert [path.name for path in out.iterdir()] == [file.name] and file.read_text() == "of another\n"
        assert iclal("data", *verb, "--overwrite").status == 0
        assert all(read_manifest(file))
        for path in out.iterdir():
            path.unlink()


def test_a_manifest_is_never_written_over_one_that_it_is_made_of(manifest: Path, tmp_path: Path) -> None:
    before = manifest.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(manifest)
    for verb in (
        ("split", manifest, manifest.parent, f"{manifest.stem}=0.5", "test=0.5"),
        ("sample", manifest, manifest, "--count", 1),
        ("sample", manifest, tmp_path / "link.jsonl", "--count", 1),
        ("merge", manifest, manifest),
    ):
        for asked in ((), ("--overwrite",)):
            done = iclal("data", *verb, *asked)
            assert done.status == 2 and "would replace a manifest that it is made of" in done.error
    assert manifest.read_bytes() == before


def test_merge_says_which_of_the_files_comes_first(manifest: Path, tmp_path: Path) -> None:
    other = digits(tmp_path / "other", speakers=("yweweler",))
    out = tmp_path / "all.jsonl"
    assert iclal("data", "merge", out, manifest, other, "--json").json == [{"manifest": str(out), "utterances": 15}]
    assert iclal("data", "check", out).status == 0
    done = iclal("data", "merge", manifest, other, tmp_path / "new.jsonl")
    assert done.status == 2 and f"{manifest} is there already" in done.error
    assert done.error.endswith("the new one comes first: iclal data merge OUT MANIFEST...")
    assert "merge with --prefix" in iclal("data", "merge", tmp_path / "twice.jsonl", manifest, manifest).error
    assert iclal("data", "merge", tmp_path / "none.jsonl").status == 2


def test_data_verbs_name_the_file_and_line_that_they_cannot_read(manifest: Path, tmp_path: Path) -> None:
    for content, place in ((b"{", ":1: not a manifest line"), (b'{"id": "\xff"}\n', ":1: not a manifest line")):
        manifest.write_bytes(content)
        for verb in (
            ("sample", manifest, tmp_path / "o", "--count", 1),
            ("show", manifest),
            ("merge", tmp_path / "m", manifest),
        ):
            done = iclal("data", *verb)
            assert done.status == 1 and f"{manifest}" in done.error and place in done.error
    assert "cannot open manifest" in iclal("data", "show", tmp_path).error


# --- score


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "ref.txt").write_text(REFERENCE)
    (tmp_path / "hyp.txt").write_text(HYPOTHESIS)
    return tmp_path / "ref.txt", tmp_path / "hyp.txt"


def test_a_score_is_text_for_a_person_or_json(texts: tuple[Path, Path]) -> None:
    said = iclal("score", *texts)
    assert said.status == 0
    assert "WER 40.00%" in said.stdout and "substitutions 1" in said.stdout and "TOO" in said.stdout
    given = iclal("score", *texts, "--json").json
    counts = {name: given[name] for name in ("wer", "hits", "substitutions", "insertions", "deletions")}
    assert counts == {"wer": 0.4, "hits": 4, "substitutions": 1, "insertions": 1, "deletions": 0}
    assert given["num_references"] == 5 and given["low"] <= 0.4 <= given["high"] and "utterances" not in given


def test_each_utterance_is_given_when_asked_for(texts: tuple[Path, Path]) -> None:
    given = iclal("score", *texts, "--json", "--by-utterance").json["utterances"]
    assert [(line["id"], line["wer"]) for line in given] == [("u1", 1 / 3), ("u2", 0.5)]
    lines = iclal("score", *texts, "--by-utterance").stdout.splitlines()[-2:]
    assert [json.loads(line) for line in lines] == given


def test_costs_normalizer_task_and_format_are_passed_on(texts: tuple[Path, Path], tmp_path: Path) -> None:
    sclite = iclal("score", DATA / "sclite/csrnab.ref", DATA / "sclite/csrnab.hyp", "--costs", "sclite", "--json")
    counts = [sclite.json[name] for name in ("num_references", "substitutions", "deletions", "insertions")]
    assert counts == [1406, 131, 12, 26]
    assert iclal("score", *texts, "--normalizer", "librispeech", "--json").json["normalizer"]["name"] == "librispeech"
    lines = iclal("score", *texts, "--format", "lines", "--json").json
    assert lines["num_references"] == 7 and lines["source"]["reference_format"] == "lines"
    for task, field, metric in (("answers", "answer", "f1"), ("summary", "summary", "rouge1")):
        path = tmp_path / f"{task}.jsonl"
        path.write_text(json.dumps({"id": "a", field: "the red house"}) + "\n")
        given = iclal("score", path, path, "--task", task, "--json").json
        assert given[metric] == pytest.approx(1.0) and given["task"] == task


@pytest.mark.parametrize("task", ["answers", "summary"])
def test_costs_are_refused_where_no_words_are_counted(task: str, tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text(json.dumps({"id": "a", {"answers": "answer"}.get(task, task): "the red house"}) + "\n")
    done = iclal("score", path, path, "--task", task, "--costs", "sclite")
    assert done.status == 2
    assert done.error == f"--costs sclite counts the words of transcripts: leave it out with --task {task}"


def test_the_help_of_score_says_what_everything_is() -> None:
    said = iclal("score", "--help").stdout
    for name in ("REFERENCE", "HYPOTHESIS", "--normalizer", "--costs", "--task", "--format"):
        (line,) = (line for line in said.splitlines() if line.strip("│* ").startswith(f"{name} "))
        text = line.replace(name, "").replace("CHOICE", "").strip("│* ")
        assert text and not text.startswith("["), line


def test_texts_that_cannot_be_scored_are_one_line(texts: tuple[Path, Path], tmp_path: Path) -> None:
    assert "cannot read" in iclal("score", tmp_path / "none.trn", texts[1]).error
    (tmp_path / "more.txt").write_text(HYPOTHESIS + "u3 more\n")
    assert "u3" in iclal("score", texts[0], tmp_path / "more.txt").error
