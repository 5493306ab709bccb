"""A whole evaluation of random models: structure, sameness, files. What they answer is nonsense, and scored as such."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from evaluation_world import GRID, SMALL, digit_pools, digits, grid, hear, pools
from model_builders import build_model
from program import read_only_disk

from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Prompt, Text
from iclal.data.tasks import questions, transcript
from iclal.data.tasks.episode import Episode
from iclal.errors import AudioError, DataError, PromptError, SettingsError
from iclal.evaluation.blocks import Cell, draw_blocks
from iclal.evaluation.evaluate import (
    Evaluation,
    EvaluationSettings,
    Pools,
    _generate_what_fits,
    evaluate,
)
from iclal.evaluation.inputs import FEW_SHOT_INPUTS, INPUTS, Clips, Slots
from iclal.evaluation.outcomes import TOO_LONG
from iclal.evaluation.records import check_folder, label, merge_meta, merge_rows, score_of, write_evaluations
from iclal.evaluation.report.report import read_report
from iclal.evaluation.report.rows import check_rows
from iclal.evaluation.score import TranscriptScore, score_files
from iclal.model import inference
from iclal.model.connector import LinearSettings, Prefixes
from iclal.model.inference import Answer
from iclal.model.model import ICLAL


@pytest.fixture(scope="module")
def model(roomy: Path) -> ICLAL:
    return build_model(roomy)


@pytest.fixture(scope="module")
def found(model: ICLAL) -> Evaluation:
    return evaluate(model, GRID, pools(), hear, SMALL, progress=False)


@pytest.fixture(scope="module")
def linear(roomy: Path) -> Evaluation:
    return evaluate(
        build_model(roomy, connector=LinearSettings()),
        grid(("questions", 0), ("questions", 2), ("transcript", 0)),
        pools(),
        hear,
        SMALL,
        progress=False,
    )


@pytest.fixture(scope="module")
def written(found: Evaluation, linear: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    write_evaluations(folder, [linear, found], meta={"command": "iclal evaluate"})
    return folder


def test_every_query_is_asked_through_every_input_that_its_shots_allow(found: Evaluation) -> None:
    counts = Counter((o.asked.task, o.asked.shots, o.input) for o in found.outcomes)
    expected = {
        (cell.task, cell.shots, input): SMALL.queries
        for cell in GRID
        for input in INPUTS
        if cell.shots or input not in FEW_SHOT_INPUTS
    }
    assert counts == expected
    assert found.left_out == {}


def test_rows_are_whole_unique_and_stand_for_every_cell_and_input(found: Evaluation) -> None:
    check_rows(found.rows)
    shown = {(row["task"], row["shots"], row["input"]) for row in found.rows if row["metric"] == "exact"}
    asked = {(o.asked.task, o.asked.shots, o.input) for o in found.outcomes}
    guesses = {(cell.task, cell.shots, input) for cell in GRID for input in ("chance", "majority")}
    assert shown == asked | guesses
    assert {row["metric"] for row in found.rows} >= {"exact", "wer", "share-empty", "share-looping", "minus-cascade"}
    kinds = {row["condition"] for row in found.rows if row["task"] == "questions"}
    assert "kind=who" in kinds and "kind=yes-no" in kinds and not any(kind.startswith("voice") for kind in kinds)
    transcripts = {row["condition"] for row in found.rows if row["task"] == "transcript"}
    assert {"voice=f4", "voice=m3", "surroundings=noisy", "surroundings=quiet"} <= transcripts


def test_transcripts_without_demonstrations_say_what_ctc_ears_alone_hear(found: Evaluation, linear: Evaluation) -> None:
    rows = {row["condition"]: row for row in found.rows if row["metric"] == "wer-ctc"}
    assert {(row["task"], row["shots"], row["input"]) for row in rows.values()} == {("transcript", 0, "audio")}
    assert {found.columns.condition, "voice=f4", "voice=m3"} <= set(rows)
    assert all(
        (o.ctc_text is not None) == ((*o.asked.cell, o.input) == ("transcript", 0, "audio")) for o in found.outcomes
    )
    assert not [row for row in linear.rows if row["metric"] == "wer-ctc"]


def test_the_same_seed_gives_the_same_answers_and_rows_and_another_seed_others(model: ICLAL) -> None:
    settings = EvaluationSettings(queries=6, max_new_tokens=4, clips=0)
    cells = grid(("transcript", 0), ("transcript", 1))
    one, same = (evaluate(model, cells, digit_pools(), hear, settings, progress=False) for _ in range(2))
    assert one.rows == same.rows and one.outcomes == same.outcomes
    changed = settings.model_copy(update={"seed": 1})
    other = evaluate(model, cells, digit_pools(), hear, changed, progress=False)
    assert [o.asked.utterance.id for o in other.outcomes] != [o.asked.utterance.id for o in one.outcomes]
    assert {row["seed"] for row in other.rows} == {1}


def test_another_model_is_asked_the_same_queries_behind_the_same_demonstrations(
    found: Evaluation, linear: Evaluation
) -> None:
    def asked(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
        return {o.asked.id: o.asked.demonstration_ids for o in evaluation.outcomes if o.asked.task == "questions"}

    assert asked(found) == asked(linear)
    assert {row["model"] for row in linear.rows} == {"linear"}
    assert "cascade-ctc" in linear.left_out


def test_a_clip_is_heard_once_whatever_its_inputs(model: ICLAL, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    hear_all = model.hear

    def hear_counted(audios: Sequence[Audio], **options: Any) -> Prefixes:
        heard.extend(id(audio) for audio in audios)
        return hear_all(audios, **options)

    monkeypatch.setattr(model, "hear", hear_counted)
    settings = EvaluationSettings(queries=6, max_new_tokens=3, clips=0)
    cells = grid(("transcript", 0), ("transcript", 2))
    found = evaluate(model, cells, digit_pools(), hear, settings, progress=False)
    timed = {o.asked.utterance.id for o in found.outcomes if o.asked.shots == 0}  # once more, against the clock
    (first, *others) = sorted(Counter(heard).values(), reverse=True)
    assert first <= 3 and max(others) <= 2  # the very first call is not timed
    assert sum(count >= 2 for count in Counter(heard).values()) <= len(timed)


def test_a_clip_that_cannot_be_read_ends_the_evaluation_before_anything_is_generated(
    model: ICLAL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear_or_fail(utterance: Utterance) -> Audio:
        if utterance.id == pools().queries[-1].id:
            raise AudioError(f"{utterance.id} is no recording")
        return hear(utterance)

    monkeypatch.setattr(inference, "generate", lambda *_, **__: pytest.fail("it was asked already"))
    with pytest.raises(AudioError, match="is no recording"):
        evaluate(model, grid(("transcript", 0)), pools(), hear_or_fail, EvaluationSettings(), progress=False)


def test_a_clip_that_is_heard_in_place_of_others_alone_is_read_before_anything_too(
    model: ICLAL, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings(queries=16, clips=0, inputs=("audio", "shuffled-audio"))
    asked: set[str] = set()

    def hear_or_fail(utterance: Utterance) -> Audio:
        asked.add(utterance.id)
        return hear(utterance)

    monkeypatch.setattr(inference, "generate", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, grid(("transcript", 0)), pools(), hear_or_fail, settings, progress=False)
    slots = Slots(Clips(model, hear), model, pools(), settings.seed)
    drawn = draw_blocks(Cell("transcript", 0, transcript.episode), pools(), 16, settings.seed)
    others = {slots.other(item.clip).id for block in drawn for item in block.queries}
    assert others - {item.clip.id for block in drawn for item in block.queries} and others <= asked


def test_evaluations_whose_files_would_have_the_same_names_are_refused(model: ICLAL, tmp_path: Path) -> None:
    settings = EvaluationSettings(queries=2, max_new_tokens=2, clips=0, inputs=("audio",))
    found = [
        evaluate(
            model, grid(("transcript", 0)), pools(), hear, settings.model_copy(update={"name": name}), progress=False
        )
        for name in ("my ears", "my-ears")
    ]
    with pytest.raises(DataError, match="the files of 'my ears' and 'my-ears' would have the same names"):
        write_evaluations(tmp_path, found)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.jsonl"]  # what took long is not lost


def test_ctrl_c_keeps_the_blocks_that_are_whole(model: ICLAL, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EvaluationSettings(queries=48, max_new_tokens=3, clips=0, inputs=("audio", "ceiling"))
    whole = evaluate(model, grid(("transcript", 0), ("transcript", 2)), pools(), hear, settings, progress=False)
    calls, generate = [], inference.generate

    def interrupted(*args: Any, **options: Any) -> list[Answer]:
        calls.append(1)
        if len(calls) == 6:  # of the second cell, two calls a block
            raise KeyboardInterrupt
        return generate(*args, **options)

    monkeypatch.setattr(inference, "generate", interrupted)
    found = evaluate(model, grid(("transcript", 0), ("transcript", 2)), pools(), hear, settings, progress=False)
    assert isinstance(found.ended_by, KeyboardInterrupt) and whole.ended_by is None
    assert 0 < len(found.outcomes) < len(whole.outcomes)
    assert [o.answer for o in found.outcomes] == [o.answer for o in whole.outcomes[: len(found.outcomes)]]
    assert len(found.outcomes) % 32 == 0 and {row["n"] for row in found.rows}


def test_the_model_is_left_in_the_mode_it_was_in(model: ICLAL) -> None:
    model.train()
    try:
        settings = EvaluationSettings(queries=2, max_new_tokens=2, clips=0, inputs=("audio",))
        evaluate(model, grid(("transcript", 0)), digit_pools(), hear, settings, progress=False)
        assert model.training
    finally:
        model.eval()


def test_a_prompt_that_is_too_long_is_an_error_that_names_the_cell_before_any_is_asked(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings(queries=2, clips=0, inputs=("ceiling",))
    monkeypatch.setattr(inference, "generate", lambda *_, **__: pytest.fail("it was asked already"))
    with pytest.raises(PromptError, match=r"questions with 8 shots, input ceiling: .* 512 positions"):
        evaluate(build_model(parts), grid(("questions", 0), ("questions", 8)), pools(), hear, settings, progress=False)


def test_a_cascade_that_loops_beyond_the_positions_is_wrong_and_counted(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Clips.transcript

    def looping(clips: Clips, utterance: Utterance) -> str:
        return "no " * 600 if int(utterance.id[-1]) % 2 else told(clips, utterance)

    monkeypatch.setattr(Clips, "transcript", looping)
    settings = EvaluationSettings(queries=6, max_new_tokens=3, clips=0, inputs=("audio", "ceiling", "cascade"))
    found = evaluate(build_model(parts), grid(("transcript", 0)), digit_pools(), hear, settings, progress=False)
    lost = {o.asked.utterance.id for o in found.outcomes if o.finish_reason == TOO_LONG}
    asked = {o.asked.utterance.id for o in found.outcomes}
    assert 0 < len(lost) < 6 and lost == {id for id in asked if int(id[-1]) % 2}
    assert {o.input for o in found.outcomes if o.finish_reason == TOO_LONG} == {"cascade"}
    assert len(found.outcomes) == 3 * 6
    assert all((o.answer, o.is_right) == ("", False) for o in found.outcomes if o.finish_reason == TOO_LONG)
    assert found.meta["queries"]["cascades longer than the positions"] == len(lost)
    assert found.cells[0]["too_long"] == {"cascade": len(lost)}


def test_what_the_model_did_not_write_must_fit_and_all_that_fits_is_asked() -> None:
    def generate(prompts: Sequence[Prompt]) -> list[Answer]:
        texts = [piece.text for prompt in prompts for piece in prompt if isinstance(piece, Text)]
        if any(len(text) > 3 for text in texts):
            raise PromptError("too long")
        return [Answer(text, (), (), "end") for text in texts]

    def said(*prompts: tuple[str, str]) -> list[str | None]:
        found = _generate_what_fits(generate, [(input, (Text(text),)) for input, text in prompts])
        return [None if answer is None else answer.text for answer in found]

    cascades = [("cascade", text) for text in ("a", "long", "b", "c", "longer", "d", "e")]
    assert said(*cascades) == ["a", None, "b", "c", None, "d", "e"]
    assert said(("audio", "a"), *cascades, ("ceiling", "z"), ("cascade-ctc", "longest")) == [
        *("a", "a", None, "b", "c", None, "d", "e", "z", None)
    ]
    assert said() == [] and said(("cascade", "long")) == [None]
    for input in ("audio", "ceiling", "no-audio", "text-demos"):
        with pytest.raises(PromptError):
            said(("cascade", "a"), (input, "long"), ("cascade", "long"))


def test_one_text_for_all_clips_leaves_no_wrong_labels_and_is_written_so(model: ICLAL, tmp_path: Path) -> None:
    given = digit_pools()
    parts = [[dataclasses.replace(u, text="one") for u in pool] for pool in (given.queries, given.demonstrations)]
    alike = Pools(*parts)
    settings = EvaluationSettings(queries=2, max_new_tokens=2, clips=0)
    found = evaluate(model, grid(("transcript", 0), ("transcript", 1)), alike, hear, settings, progress=False)
    assert found.left_out_cells == {("transcript", 1, "wrong-labels")}
    assert "no others to show" in found.meta["left_out"]["wrong-labels, transcript with 1 shots"]
    report = read_report(write_evaluations(tmp_path, [found]))
    assert "wrong-labels" not in {row["input"] for row in report.rows}
    assert [cell["left_out"] for cell in report.extras["cells"]] == [[], ["wrong-labels"]]


def test_a_published_grid_needs_the_zero_shot_control_before_anything_is_heard(model: ICLAL) -> None:
    def never(_: object) -> None:
        pytest.fail("heard")

    with pytest.raises(DataError, match="task questions with 2 shots but not with 0"):
        evaluate(model, grid(("questions", 2)), pools(), never, SMALL, progress=False)  # type: ignore[arg-type]


def test_an_unknown_input_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"unknown inputs \['audoi'\]; known are audio, ceiling"):
        EvaluationSettings.build({"inputs": ["audoi"]})


def test_answers_to_a_wording_that_training_does_not_know_are_told_apart(model: ICLAL) -> None:
    settings = EvaluationSettings(queries=64, max_new_tokens=3, clips=0, inputs=("audio",))

    def episode(rng: Random) -> Episode:
        wording = rng.choice(("known", "held-out"))
        own = questions.INSTRUCTIONS if wording == "known" else questions.HELD_OUT_INSTRUCTIONS
        return dataclasses.replace(questions.episode(rng, own), wording=wording)

    cells = [Cell("questions", 0, episode)]
    found = evaluate(model, cells, pools(), hear, settings, progress=False)
    for wording, own in (("known", questions.INSTRUCTIONS), ("held-out", questions.HELD_OUT_INSTRUCTIONS)):
        asked = [outcome for outcome in found.outcomes if outcome.asked.instruction in own]
        (row,) = [r for r in found.rows if r["condition"] == f"wording={wording}" and r["metric"] == "exact"]
        assert row["n"] == len(asked) > 0


def test_break_downs_given_by_the_caller_stand_in_every_task(model: ICLAL) -> None:
    settings = EvaluationSettings(queries=4, max_new_tokens=3, clips=0, inputs=("audio",))
    found = evaluate(
        model,
        grid(("transcript", 0), ("questions", 0)),
        pools(),
        hear,
        settings,
        conditions=lambda utterance: [f"names={'seen' if utterance.id[-1] in '02468' else 'unseen'}"],
        progress=False,
    )
    for task in ("transcript", "questions"):
        rows = [row for row in found.rows if row["task"] == task and row["condition"].startswith("names=")]
        assert sum(row["n"] for row in rows if row["metric"] == "exact") == 4


def test_meta_says_how_the_numbers_were_made(found: Evaluation, model: ICLAL) -> None:
    meta = found.meta
    assert meta["times_real_time"] > 0 and meta["seconds"] > 0
    assert meta["normaliser"]["name"] == "librispeech" and len(meta["normaliser"]["fingerprint"]) == 12
    assert meta["decoding"]["max_new_tokens"] == SMALL.max_new_tokens
    assert meta["digests"]["language_model"] == model.language_model.digest()
    assert meta["queries"]["a block"] == 16 and meta["queries"]["repeated"] >= 0
    json.dumps(meta, allow_nan=False)


def test_saved_transcripts_give_the_same_digits_elsewhere(found: Evaluation, written: Path) -> None:
    rows = {
        (row["shots"], row["input"]): row
        for row in found.rows
        if row["metric"] == "wer" and row["condition"] == "clean"
    }
    assert len(found.transcripts) == 14 == len(rows)
    saved = json.loads((written / "report.json").read_text(encoding="utf-8"))["extras"]["word_errors"]
    for (shots, input), outcomes in found.transcripts.items():
        folder = written / "transcripts" / f"ctc-{shots}-shot"
        score = score_files(folder / "references.jsonl", folder / f"hypotheses-{input}.jsonl", normalizer="librispeech")
        assert isinstance(score, TranscriptScore)
        assert score.wer == rows[shots, input]["value"]
        assert score.errors == score_of(outcomes).errors
        (counts,) = [line for line in saved if (line["model"], line["shots"], line["input"]) == ("ctc", shots, input)]
        assert [counts[name] for name in ("low", "high")] == [rows[shots, input][name] for name in ("low", "high")]
        assert counts.items() >= score.counts().items()
        assert (counts["substitutions"], counts["deletions"], counts["insertions"], counts["hits"]) == (
            score.substitutions,
            score.deletions,
            score.insertions,
            score.hits,
        )
    (alone,) = [row for row in found.rows if row["metric"] == "wer-ctc" and row["condition"] == "clean"]
    folder = written / "transcripts" / "ctc-0-shot"
    score = score_files(folder / "references.jsonl", folder / "hypotheses-audio-ctc.jsonl", normalizer="librispeech")
    assert isinstance(score, TranscriptScore) and score.wer == alone["value"]


def test_every_answer_is_saved_with_its_prompt(found: Evaluation, linear: Evaluation, written: Path) -> None:
    lines = [json.loads(line) for line in (written / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(found.outcomes) + len(linear.outcomes)
    keys = [(line["model"], line["id"], line["input"]) for line in lines]
    assert len(set(keys)) == len(keys)
    for line in lines:
        assert line["finish_reason"] in ("end", "length", "repetition")
        assert len(line["demonstration_ids"]) == line["shots"]
        if line["input"] in ("audio", "wrong-labels"):
            assert all(f"[{id}]" in line["prompt"] for id in [*line["demonstration_ids"], line["utterance"]])
        if line["input"] == "no-audio":
            assert "[" not in line["prompt"]
    few = [line for line in lines if line["task"] == "labels" and line["shots"] == 4 and line["model"] == "ctc"]
    assert len({(line["input"], line["block"]): line["demonstration_ids"] for line in few}) == 2 * len(INPUTS)


def test_the_report_is_whole_with_clips_to_play_from_both_models(
    found: Evaluation, linear: Evaluation, written: Path
) -> None:
    report = read_report(written / "report.json")
    assert len(report.rows) == len(found.rows) + len(linear.rows)
    assert report.meta["command"] == "iclal evaluate" and report.meta["condition"] == "clean"
    assert report.meta["digests"]["ctc"]["ears"] != report.meta["digests"]["linear"]["ears"]
    clips = report.extras["clips"]
    assert len(clips) == 3 and len({clip["id"] for clip in clips}) == 3
    questions = [clip for clip in clips if clip["condition"] == "questions"]
    assert questions and questions[0]["answers_by_model"].keys() == {"linear"}
    assert questions[0]["nearest_tokens"].keys() == {"ctc", "linear"}
    for clip in clips:
        assert (written / clip["audio"]).is_file()
        assert clip["answers"].keys() >= {"audio", "ceiling", "cascade", "no-audio"}
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and clips[0]["id"] in page


def test_nearest_tokens_lie_within_the_clip_in_order(found: Evaluation, linear: Evaluation) -> None:
    for evaluation, name in ((found, "ctc"), (linear, "linear")):
        for clip in evaluation.clips:
            tokens = clip["nearest_tokens"][name]
            starts = [token["start_seconds"] for token in tokens]
            duration = evaluation.recordings[clip["id"]].duration_seconds
            assert tokens and starts == sorted(starts)
            assert all(0 <= t["start_seconds"] < t["end_seconds"] <= duration + 0.001 for t in tokens)


def test_evaluations_under_other_conditions_keep_their_break_downs_apart(model: ICLAL, tmp_path: Path) -> None:
    settings = EvaluationSettings(queries=4, max_new_tokens=3, clips=0, inputs=("audio",))
    noisy = settings.model_copy(update={"condition": "snr-5db"})
    cells = grid(("transcript", 0))
    both = [evaluate(model, cells, pools(), hear, s, progress=False) for s in (settings, noisy)]
    rows = merge_rows(both)
    check_rows(rows)
    found = {row["condition"] for row in rows}
    assert {"clean", "snr-5db"} <= found
    plain = {condition for condition in found if "=" in condition and "/" not in condition}
    assert plain and {condition for condition in found if "/" in condition} == {f"snr-5db/{name}" for name in plain}
    assert [label(evaluation) for evaluation in both] == ["ctc", "ctc-snr-5db"]
    assert merge_meta(both)["condition"] == "clean"
    write_evaluations(tmp_path, both)
    assert {p.name for p in (tmp_path / "transcripts").iterdir()} == {"ctc-0-shot", "ctc-snr-5db-0-shot"}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def few(model: ICLAL) -> Evaluation:
    """Another evaluation than `found`: of one cell and input, with one clip."""
    settings = EvaluationSettings(name="few", queries=2, max_new_tokens=2, clips=1, inputs=("audio",))
    return evaluate(model, grid(("transcript", 0)), digit_pools(), hear, settings, progress=False)


@pytest.mark.parametrize("kept", ["answers.jsonl", "report.json"])
def test_an_earlier_evaluation_is_replaced_and_what_others_laid_beside_it_stays(
    few: Evaluation, linear: Evaluation, tmp_path: Path, kept: str
) -> None:
    write_evaluations(tmp_path / "new", [few])
    alone = {name for name in files_in(tmp_path / "new") if name.startswith(("clips/", "transcripts/"))}
    folder = tmp_path / "used"
    write_evaluations(folder, [linear])
    (folder / "transcripts" / "linear-0-shot" / "hypotheses-audio.jsonl.partial").touch()  # it was killed
    theirs = {"clips/mine.flac", "clips/notes.txt", "transcripts/mine.jsonl", "transcripts/linear-0-shot/mine.txt"}
    for name in theirs:
        (folder / name).write_bytes(b"mine")
    for name in {"answers.jsonl", "report.json"} - {kept}:  # either tells whose the folder is
        (folder / name).unlink()
    write_evaluations(folder, [few])
    after = files_in(folder)
    assert {name for name in after if name.startswith(("clips/", "transcripts/"))} == alone | theirs
    assert all(after[name] == b"mine" for name in theirs)


@pytest.mark.parametrize("part", ["clips", "transcripts"])
def test_a_folder_of_clips_or_transcripts_that_no_evaluation_made_is_refused_and_left_as_it_is(
    few: Evaluation, tmp_path: Path, part: str
) -> None:
    check_folder(tmp_path / "new")
    (tmp_path / part).mkdir()
    check_folder(tmp_path)  # empty: nothing can be lost
    (tmp_path / part / "1-a.flac").write_bytes(b"mine")
    (tmp_path / "answers.jsonl").write_text('{"answer": "of something else"}\n')
    (tmp_path / "report.json").write_text('{"passed": 3}')
    before = files_in(tmp_path)
    with pytest.raises(DataError, match=f"{tmp_path / part} is not of an evaluation: choose another --out"):
        write_evaluations(tmp_path, [few])
    assert files_in(tmp_path) == before


def test_a_file_where_clips_are_to_be_is_refused_even_beside_a_report(few: Evaluation, tmp_path: Path) -> None:
    write_evaluations(tmp_path / "out", [few])
    for path in (tmp_path / "out" / "clips").iterdir():
        path.unlink()
    (tmp_path / "out" / "clips").rmdir()
    (tmp_path / "out" / "clips").write_bytes(b"mine")
    with pytest.raises(DataError, match="clips is not of an evaluation"):
        check_folder(tmp_path / "out")


def test_an_earlier_evaluation_lasts_until_the_next_is_written(
    few: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evaluations(tmp_path, [few])
    before = files_in(tmp_path)
    with read_only_disk(tmp_path), pytest.raises(DataError, match="cannot write the evaluation"):
        write_evaluations(tmp_path, [dataclasses.replace(few, columns=dataclasses.replace(few.columns, model="new"))])
    assert files_in(tmp_path) == before


def test_the_page_counts_every_answer_that_is_saved_once(written: Path) -> None:
    answers = (written / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = read_report(written / "report.json").rows
    page = (written / "report.html").read_text(encoding="utf-8")
    assert f"{len(answers):,} scored answers make {len(rows):,} rows" in page


def test_the_same_evaluation_twice_and_few_shots_without_controls_are_not_reported_but_their_answers_kept(
    linear: Evaluation, model: ICLAL, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="repeats the key"):
        write_evaluations(tmp_path / "a", [linear, linear])
    settings = EvaluationSettings(queries=2, max_new_tokens=2, clips=0, inputs=("audio", "ceiling"))
    bare = evaluate(model, grid(("transcript", 1)), digit_pools(), hear, settings, progress=False)
    with pytest.raises(DataError, match="1-shot score of ctc on transcript has no control"):
        write_evaluations(tmp_path / "b", [bare])
    lines = (tmp_path / "b" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(bare.outcomes) == 4
    assert not [*tmp_path.rglob("report.*")]
    with pytest.raises(DataError, match="no evaluations"):
        write_evaluations(tmp_path / "c", [])
    assert not (tmp_path / "c").exists()


def test_clips_without_text_are_asked_without_ceiling_and_it_is_said(model: ICLAL) -> None:
    given = pools()
    silent = Pools([dataclasses.replace(u, text=None) for u in given.queries], given.demonstrations)
    settings = EvaluationSettings(queries=3, max_new_tokens=3, clips=1)
    found = evaluate(model, grid(("questions", 0)), silent, hear, settings, progress=False)
    assert "60 of 120 utterances have no text" in found.meta["left_out"]["ceiling"]
    assert not [row for row in found.rows if row["metric"] in ("parity", "share-transcribing")]
    check_rows(found.rows)


def test_nothing_is_printed_where_stderr_is_no_terminal(model: ICLAL, capfd: pytest.CaptureFixture[str]) -> None:
    settings = EvaluationSettings(queries=2, max_new_tokens=2, clips=0, inputs=("audio",))
    evaluate(model, grid(("transcript", 0)), Pools(digits("jackson", 4), digits("theo", 4)), hear, settings)
    assert capfd.readouterr() == ("", "")
