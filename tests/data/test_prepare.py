"""The runner of `iclal prepare`: the account of every item, and going on after whatever stopped it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
from rich.console import Console

from iclal.data.corpora.reader import Candidate
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.prepare import CORPORA, corpus_module, prepare, table
from iclal.data.recordings import Recordings
from iclal.errors import DataError, SettingsError

SPEECH = Path(__file__).parents[2] / "data" / "librispeech" / "audio" / "1272-128104-0000.flac"


def make_tree(root: Path, utterances: int = 200, chapter_size: int = 50) -> Path:
    """A LibriSpeech tree whose recordings are all the same 0.1 s of speech."""
    sound = io.BytesIO()
    soundfile.write(sound, soundfile.read(SPEECH, start=16_000, stop=17_600)[0], 16_000, format="FLAC")
    for start in range(0, utterances, chapter_size):
        speaker = f"{100 + start // chapter_size}"
        chapter = root / "dev-clean" / speaker / "7"
        chapter.mkdir(parents=True)
        ids = [f"{speaker}-7-{number:04d}" for number in range(min(chapter_size, utterances - start))]
        for id in ids:
            (chapter / f"{id}.flac").write_bytes(sound.getvalue())
        lines = [f"{id} WORD NUMBER {id}\n" for id in ids]
        (chapter / f"{speaker}-7.trans.txt").write_text("".join(lines), encoding="utf-8")
    return root


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def script(tree: Path, out: Path, before: str = "") -> list[str]:
    """A program that prepares the tree."""
    call = f"prepare('librispeech', {str(tree)!r}, {str(out)!r})"
    return [sys.executable, "-c", f"{before}\nfrom iclal.data.prepare import prepare\n{call}"]


def test_bad_recordings_are_dropped_by_reason_and_the_rest_is_kept(tmp_path: Path) -> None:
    chapter = make_tree(tmp_path / "tree", 60, 60) / "dev-clean" / "100" / "7"
    samples = soundfile.read(SPEECH)[0]
    (chapter / "100-7-0001.flac").write_bytes(b"")
    (chapter / "100-7-0002.flac").write_bytes(SPEECH.read_bytes()[:30_000])
    soundfile.write(chapter / "100-7-0003.flac", samples[::2], 8_000)
    (chapter / "100-7-0004.flac").write_bytes(b"this is no sound at all")
    soundfile.write(chapter / "100-7-0005.flac", samples[:0], 16_000)
    (chapter / "100-7-0006.flac").unlink()
    with open(chapter / "100-7.trans.txt", "a", encoding="utf-8") as handle:
        handle.write("100-7-0000 AGAIN\n")

    summary = prepare("librispeech", tmp_path / "tree", tmp_path / "out")

    problems = lines(tmp_path / "out" / "problems.jsonl")
    reasons = {problem["id"]: problem["reason"] for problem in problems}
    assert reasons == {
        "100-7-0000": "duplicate-id",
        "100-7-0001": "empty-audio",
        "100-7-0002": "truncated-audio",
        "100-7-0003": "wrong-rate",
        "100-7-0004": "unreadable-audio",
        "100-7-0005": "empty-audio",
        "100-7-0006": "missing-audio",
    }
    assert all(problem["what_to_do"] and problem["detail"] and problem["line"] for problem in problems)
    assert problems[-1]["line"] == 61 and problems[-1]["file"].endswith("100-7.trans.txt")
    kept = list(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert summary.found == 61 == summary.kept + summary.dropped.total()
    assert len(kept) == summary.kept == 54
    assert all(item.duration_seconds == 0.1 and item.audio_path and item.audio_path.is_file() for item in kept)
    saved = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert saved["found"] == saved["kept"] + saved["dropped"] == 61
    assert sum(saved["dropped_by_reason"].values()) == saved["dropped"]
    assert saved["hours_kept"] == pytest.approx(5.4 / 3600, abs=1e-6)
    assert saved["splits"] == {"dev": {"utterances": 54, "hours": saved["hours_kept"], "speakers": 1}}
    assert (summary.exit_status(), summary.exit_status(allow_dropped=True)) == (1, 0)


def test_nothing_dropped_exits_zero_and_any_number_of_workers_writes_the_same_bytes(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    outs = [tmp_path / f"out{workers}" for workers in (1, 2, 5)]
    for workers, out in zip((1, 2, 5), outs, strict=True):
        summary = prepare("librispeech", tree, out, workers=workers)
        assert (summary.found, summary.kept, summary.exit_status()) == (200, 200, 0)
    assert len({(out / "manifest.jsonl").read_bytes() for out in outs}) == 1
    assert sorted(path.name for path in outs[0].iterdir()) == ["manifest.jsonl", "problems.jsonl", "summary.json"]


def test_run_broken_off_by_ctrl_c_is_taken_up_and_ends_as_if_never_broken(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 3000, 300)
    prepare("librispeech", tree, tmp_path / "whole")
    out = tmp_path / "out"
    process = subprocess.Popen(script(tree, out), stderr=subprocess.PIPE)
    partial = out / "manifest.jsonl.partial"
    while process.poll() is None and not (partial.is_file() and partial.stat().st_size):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]  # which the command line turns into a line
    assert not (out / "manifest.jsonl").exists()
    summary = prepare("librispeech", tree, out)
    assert 0 < summary.taken_over < 3000
    assert (out / "manifest.jsonl").read_bytes() == (tmp_path / "whole" / "manifest.jsonl").read_bytes()
    assert not list(out.glob("*.interrupted")) and not list(out.glob("*.partial"))


def test_torn_last_line_is_done_again_and_what_was_dropped_is_looked_at_anew(tmp_path: Path) -> None:
    tree, out = make_tree(tmp_path / "tree"), tmp_path / "out"
    broken = tree / "dev-clean" / "101" / "7" / "101-7-0003.flac"
    good = broken.read_bytes()
    broken.write_bytes(b"")
    prepare("librispeech", tree, out)
    content = (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").unlink()
    (out / "manifest.jsonl.partial").write_bytes(content[: len(content) // 2])
    broken.write_bytes(good)  # repaired in between
    summary = prepare("librispeech", tree, out)
    assert summary.kept == 200 and not summary.dropped
    assert summary.taken_over == content[: len(content) // 2].count(b"\n")


def test_changed_text_or_options_are_not_taken_over(tmp_path: Path) -> None:
    tree, out = make_tree(tmp_path / "tree"), tmp_path / "out"
    prepare("librispeech", tree, out)
    transcript = tree / "dev-clean" / "100" / "7" / "100-7.trans.txt"
    transcript.write_text(transcript.read_text(encoding="utf-8").replace("WORD", "OTHER"), encoding="utf-8")
    shutil.move(out / "manifest.jsonl", out / "manifest.jsonl.partial")
    assert prepare("librispeech", tree, out).taken_over == 150
    assert next(read_manifest(out / "manifest.jsonl")).text == "other number 100-7-0000"
    shutil.move(out / "manifest.jsonl", out / "manifest.jsonl.partial")
    assert prepare("librispeech", tree, out, copy=True).taken_over == 0


def test_full_disk_says_what_to_do_and_the_same_command_goes_on(tmp_path: Path) -> None:
    tree, out = make_tree(tmp_path / "tree", 600, 100), tmp_path / "out"
    # no file may grow beyond 64 KiB: the manifest meets the limit as it would meet the disk's end
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    done = subprocess.run(script(tree, out, limit), capture_output=True, text=True)
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert "DataError: the disk is full" in message and "free space and give the same command again" in message
    assert not (out / "manifest.jsonl").exists()
    summary = prepare("librispeech", tree, out)
    assert summary.kept == 600 and summary.taken_over > 100


def test_disk_full_while_copying_leaves_no_half_copy(tmp_path: Path) -> None:
    tree, out = make_tree(tmp_path / "tree", 20, 20), tmp_path / "out"
    shutil.copy(SPEECH, tree / "dev-clean" / "100" / "7" / "100-7-0010.flac")
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    command = script(tree, out, limit)
    command[-1] = command[-1][:-1] + ", copy=True)"
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "the disk is full" in done.stderr
    assert not list(out.rglob("100-7-0010*"))
    assert prepare("librispeech", tree, out, copy=True).kept == 20
    assert (out / "audio" / "dev-clean" / "100" / "7" / "100-7-0010.flac").read_bytes() == SPEECH.read_bytes()


def test_out_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 5)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot go on: .*file"):
        prepare("librispeech", tree, tmp_path / "file" / "out")


def test_source_that_is_not_the_corpus_leaves_no_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not LibriSpeech"):
        prepare("librispeech", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_corpus_option_and_workers_are_refused_with_the_value(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 5)
    with pytest.raises(DataError, match="no corpus 'librispeach'; there are ami, "):
        prepare("librispeach", tree, tmp_path / "out")
    with pytest.raises(SettingsError, match="options of librispeech: subset: unknown key"):
        prepare("librispeech", tree, tmp_path / "out", {"subset": ["dev-clean"]})
    with pytest.raises(DataError, match="workers must be 1 or more, found 0"):
        prepare("librispeech", tree, tmp_path / "out", workers=0)


def test_in_a_pipe_nothing_is_drawn(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 20)
    done = subprocess.run(script(tree, tmp_path / "out"), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_on_a_terminal_the_bar_shows_total_and_time_left(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 3000, 300)
    ours, theirs = os.openpty()
    process = subprocess.Popen(script(tree, tmp_path / "out"), stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    drawn = b""
    while True:
        try:
            drawn += os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"prepare librispeech" in drawn and b"/3000" in drawn and b"0:00:" in drawn


def test_table_has_every_count(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", 30, 30)
    (tree / "dev-clean" / "100" / "7" / "100-7-0003.flac").write_bytes(b"")
    summary = prepare("librispeech", tree, tmp_path / "out")
    console = Console(file=io.StringIO(), width=100)
    console.print(table(summary))
    assert isinstance(console.file, io.StringIO)
    rows = [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]
    assert ["found", "30", "0.00"] in rows and ["kept", "29", "0.00", "1"] in rows
    assert ["empty-audio", "1"] in rows and ["dev", "29", "0.00", "1"] in rows


def test_audio_is_relative_to_out_unless_only_the_root_is_shared(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "a" / "out", tmp_path / "tree")
    assert recordings.name(tmp_path / "tree" / "x.flac") == "../../tree/x.flac"
    assert recordings.name(Path("/somewhere-else/x.flac")) == "/somewhere-else/x.flac"


def test_every_corpus_of_the_list_can_be_imported_and_has_options_and_read() -> None:
    for corpus in CORPORA:
        module = corpus_module(corpus)
        assert module.Options.build({}) is not None
        assert callable(module.read)


def test_unforeseen_error_in_a_worker_stops_the_run_and_names_the_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree", 200)

    def fail(self: Recordings, candidate: Candidate) -> Utterance:
        if candidate.utterance.id == "101-7-0007":
            raise ZeroDivisionError("a mistake of ours")
        return candidate.utterance

    monkeypatch.setattr(Recordings, "finish", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        prepare("librispeech", tree, tmp_path / "out")
    assert "at 101-7-0007 of " in caught.value.__notes__[0]
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
