"""The published grids: one report of all models and conditions; ablations that are models of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from data_folder import few_of_the_data
from model_builders import build_model
from program import digits

from iclal.errors import DataError, PromptError, SettingsError
from iclal.evaluation.evaluate import Evaluation
from iclal.evaluation.report.report import read_report
from iclal.evaluation.report.rows import check_rows
from iclal.experiments import grid
from iclal.experiments.conditions import Condition, evaluate_all
from iclal.experiments.conditions_own import own_conditions
from iclal.experiments.grid import INTERRUPTED, ablations, run_grid, training_curves, untrained
from iclal.experiments.quickstart import run_quickstart
from iclal.model import inference
from iclal.model.connector import CTCConnector, CTCSettings, LinearSettings
from iclal.model.model import ICLAL

# Four digits of each test speaker, four children, two babies and the dog.
FEW = {
    "fsdd": ("speaker", {"jackson": 4, "yweweler": 4}),
    "speechocean762": ("split", {"dev": 4}),
    "esc10_nonspeech": ("label", {"crying_baby": 2, "dog": 1}),
}


@pytest.fixture(scope="module")
def ctc(roomy: Path) -> ICLAL:
    return build_model(roomy, connector=CTCSettings())


@pytest.fixture(scope="module")
def linear(roomy: Path) -> ICLAL:
    return build_model(roomy, connector=LinearSettings())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def condition(manifest: Path) -> Condition:
    """Transcripts and questions of real digits, through every input."""
    (own,) = own_conditions(manifest, "quick")
    cells = [cell for cell in own.cells if cell.task != "summary"]
    return Condition("own", own.pools, own.hear, cells)


def rows_of(rows: Sequence[dict[str, Any]], **wanted: object) -> list[dict[str, Any]]:
    """The rows with these values, without the model's name."""
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return [{key: value for key, value in row.items() if key != "model"} for row in found]


# --- the whole


@pytest.mark.slow
def test_a_grid_is_its_evaluations_in_one_report(ctc: ICLAL, linear: ICLAL, manifest: Path, tmp_path: Path) -> None:
    models = {"mine": ctc, "other": linear}
    path = run_grid(models, tmp_path, manifest=manifest, queries=2, seed=2, progress=False)
    assert path == tmp_path / "report.json"
    report = read_report(path)
    check_rows(report.rows)
    assert {(row["model"], row["condition"], row["seed"]) for row in report.rows} >= {
        ("mine", "own", 2),
        ("other", "own", 2),
    }
    alone = evaluate_all(models, own_conditions(manifest, "quick"), 2, seed=2, progress=False)
    assert report.rows == json.loads(json.dumps([row for evaluation in alone for row in evaluation.rows]))
    assert report.meta["grid"] == "quick" and report.meta["command"].startswith("iclal")
    assert (tmp_path / "report.html").is_file()
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == sum(len(evaluation.outcomes) for evaluation in alone)


def test_an_interrupted_grid_is_a_report_of_what_was_asked_until_then(
    ctc: ICLAL, linear: ICLAL, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, generate = [], inference.generate

    def interrupted(*args: Any, **options: Any) -> list[inference.Answer]:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return generate(*args, **options)

    monkeypatch.setattr(inference, "generate", interrupted)
    path = run_grid({"ctc": ctc, "linear": linear}, tmp_path, manifest=manifest, queries=32, progress=False)
    report = read_report(path)
    assert report.meta["ended_by"] == INTERRUPTED and {row["model"] for row in report.rows} == {"ctc"}


@pytest.mark.parametrize(
    ("failure", "told"),
    [(KeyboardInterrupt(), INTERRUPTED), (PromptError("2,100 rows do not fit"), "2,100 rows do not fit")],
)
def test_what_ends_it_before_the_second_model_has_answered_keeps_the_first_and_is_told(
    failure: BaseException,
    told: str,
    ctc: ICLAL,
    linear: ICLAL,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generate = inference.generate

    def failing(model: ICLAL, *args: Any, **options: Any) -> list[inference.Answer]:
        if model is linear:
            raise failure
        return generate(model, *args, **options)

    monkeypatch.setattr(inference, "generate", failing)
    path = run_grid({"ctc": ctc, "linear": linear}, tmp_path, manifest=manifest, queries=16, progress=False)
    report = read_report(path)
    assert told in report.meta["ended_by"] and {row["model"] for row in report.rows} == {"ctc"}
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert "Not finished, these are the answers until then" in page and told in page
    with pytest.raises(type(failure)):  # nothing was answered
        run_grid({"linear": linear}, tmp_path / "alone", manifest=manifest, queries=16, progress=False)


def test_an_unknown_grid_or_a_manifest_without_anything_to_ask_writes_nothing(ctc: ICLAL, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no grid 'tiny'; known are quick, full"):
        run_grid({"mine": ctc}, tmp_path / "out", grid="tiny", progress=False)
    (tmp_path / "few.jsonl").write_text('{"id": "a", "text": "one"}\n')
    with pytest.raises(DataError, match=r"few\.jsonl has 0 utterances with audio and text; at least 4 are needed"):
        run_grid({"mine": ctc}, tmp_path / "out", manifest=tmp_path / "few.jsonl", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_clips_of_others_is_refused_before_anything_is_asked(
    ctc: ICLAL, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "mine.wav").touch()
    monkeypatch.setattr(inference, "generate", lambda *_, **__: pytest.fail("it was asked already"))
    with pytest.raises(DataError, match="clips is not of an evaluation: choose another --out"):
        run_grid({"mine": ctc}, tmp_path, manifest=manifest, queries=2, progress=False)
    with pytest.raises(DataError, match="clips is not of an evaluation: choose another --out"):
        run_quickstart(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


@pytest.mark.slow
def test_human_speech_and_sounds_without_speech_stand_beside_the_manifest(
    linear: ICLAL, manifest: Path, tmp_path: Path
) -> None:
    """A small folder of data: a few clips of each corpus, the same files."""
    path = run_grid(
        {"mine": linear},
        tmp_path / "out",
        manifest=manifest,
        human=few_of_the_data(tmp_path, FEW, kind="read"),
        queries=2,
        progress=False,
    )
    conditions = {row["condition"]: row["n"] for row in read_report(path).rows if row["metric"] == "share-looping"}
    heard = {name: n for name, n in conditions.items() if "=" not in name}
    generated, babies, dog = 200, 1, 1  # of two babies one is trained on
    assert heard == {
        "own": 2,
        "human-digits": 8,
        "human-digit-strings": 200,
        "human-children-digits": 4,
        "no-speech": generated + babies + dog,
    }


def test_a_full_grid_of_a_manifest_has_more_demonstrations_and_no_ablations(
    ctc: ICLAL, manifest: Path, tmp_path: Path
) -> None:
    path = run_grid({"mine": ctc}, tmp_path, grid="full", manifest=manifest, queries=1, progress=False)
    report = read_report(path)
    assert {row["model"] for row in report.rows} == {"mine"}
    assert {row["shots"] for row in report.rows} == {0, 1, 2, 4}
    assert report.meta["grid"] == "full"


def test_the_curve_of_a_model_that_lies_in_a_run_is_found_and_a_log_of_others_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "metrics.jsonl").write_text(json.dumps({"kind": "train", "step": 1, "loss": 2.0, "clock": 5}) + "\n")
    (tmp_path / "stranger" / "model").mkdir(parents=True)
    (tmp_path / "stranger" / "metrics.jsonl").write_text('{"accuracy": 0.5}\n')
    places = {
        "run": str(run / "model"),
        "ctc": "ctc",
        "other": str(run),
        "strange": str(tmp_path / "stranger" / "model"),
    }
    assert training_curves(places) == {"run": [{"kind": "train", "step": 1, "loss": 2.0}]}
    assert "note: no training curve of strange: " in capsys.readouterr().err


@pytest.mark.slow
def test_ears_before_training_are_the_recipes_and_know_nothing(condition: Condition) -> None:
    (found,) = untrained("ctc", "ctc", condition, 6, seed=0, progress=False)
    assert (found.columns.model, found.columns.connector, found.columns.ablation_of) == ("ctc-step-0", "ctc", None)
    assert {outcome.asked.task for outcome in found.outcomes} == {"transcript", "questions"}
    assert {outcome.asked.shots for outcome in found.outcomes} == {0, 2}
    heard = [o for o in found.outcomes if o.input == "audio" and o.asked.task == "transcript"]
    assert len(heard) == 12 and sum(outcome.is_right for outcome in heard) <= 4  # one of ten digits may be guessed
    (again,) = untrained("ctc", "ctc", condition, 1, seed=0, progress=False)
    assert again.meta["digests"] == found.meta["digests"]


# --- ablations


def test_ablations_are_the_models_that_they_are_named_after(roomy: Path, ctc: ICLAL, condition: Condition) -> None:
    """Built so from the start, with the same weights: without a residual, and with the best token's row."""
    found = ablations("mine", ctc, condition, 4, seed=1, progress=False)
    assert [evaluation.columns.model for evaluation in found] == ["mine-no-residual", "mine-hard-rows"]
    plain = ctc.settings.connector
    assert isinstance(plain, CTCSettings)
    for evaluation, changes in zip(found, ({}, {"rows": "hard"}), strict=True):
        other = build_model(roomy, connector=plain.model_copy(update=changes | {"residual": False}))
        weights = {name: tensor for name, tensor in ctc.state_dict().items() if ".residual." not in name}
        other.load_state_dict(weights)
        (alone,) = evaluate_all({"other": other}, [narrowed(condition)], 4, seed=1, progress=False)
        assert rows_of(evaluation.rows) == rows_of(alone.rows)
        assert [o.token_ids for o in evaluation.outcomes] == [o.token_ids for o in alone.outcomes]


def narrowed(condition: Condition) -> Condition:
    return Condition(condition.name, condition.pools, condition.hear, condition.cells, ("audio", "ceiling"))


def test_each_ablation_answers_otherwise_where_it_hears_and_alike_where_it_reads(
    ctc: ICLAL, condition: Condition
) -> None:
    (whole,) = evaluate_all({"mine": ctc}, [narrowed(condition)], 4, seed=1, progress=False)
    answers: dict[str, list[list[tuple[int, ...]]]] = {"audio": [], "ceiling": []}
    for evaluation in (whole, *ablations("mine", ctc, condition, 4, seed=1, progress=False)):
        assert {o.asked.shots for o in evaluation.outcomes} == {0, 2}
        for input, own in answers.items():
            own.append([o.token_ids for o in evaluation.outcomes if o.input == input and not o.asked.shots])
    assert answers["ceiling"][0] == answers["ceiling"][1] == answers["ceiling"][2]
    assert len({str(own) for own in answers["audio"]}) == 3


def test_a_residual_that_is_zero_is_not_taken_out_and_the_report_says_so(
    roomy: Path, condition: Condition, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_model(roomy, connector=CTCSettings())
    assert isinstance(model.connector, CTCConnector) and model.connector.residual is not None
    with torch.no_grad():
        for parameter in model.connector.residual.widen.parameters():
            parameter.zero_()
    (hard,) = ablations("mine", model, condition, 1, seed=0, progress=False)
    assert hard.columns.model == "mine-hard-rows"
    told = "mine has no residual that is not zero"
    assert hard.meta["left_out"]["ablation mine-no-residual"] == told
    assert f"ablation mine-no-residual: {told}" in capsys.readouterr().err


def state_of(model: ICLAL) -> tuple[object, object, dict[str, torch.Tensor]]:
    connector = model.connector
    assert isinstance(connector, CTCConnector)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return connector.residual, connector.settings, weights


def check_unchanged(model: ICLAL, before: tuple[object, object, dict[str, torch.Tensor]]) -> None:
    residual, settings, weights = state_of(model)
    assert residual is before[0] is not None and settings is before[1]
    assert weights.keys() == before[2].keys()
    assert all(torch.equal(tensor, before[2][name]) for name, tensor in weights.items())


def test_a_model_is_left_as_it_was_after_ablations_and_after_their_failure(ctc: ICLAL, condition: Condition) -> None:
    before = state_of(ctc)
    ablations("mine", ctc, condition, 1, seed=0, progress=False)
    check_unchanged(ctc, before)
    unheard = Condition("own", condition.pools, _fail, condition.cells)
    with pytest.raises(DataError, match="cannot be heard"):
        ablations("mine", ctc, unheard, 1, seed=0, progress=False)
    check_unchanged(ctc, before)


def test_an_ablation_that_is_interrupted_leaves_the_one_before_it_and_says_so(
    ctc: ICLAL, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = state_of(ctc), grid.evaluate_all

    def until_hard_rows(models: dict[str, ICLAL], *args: Any, **settings: Any) -> list[Evaluation]:
        if "mine-hard-rows" in models:
            raise KeyboardInterrupt
        return real(models, *args, **settings)

    monkeypatch.setattr(grid, "evaluate_all", until_hard_rows)
    (found,) = ablations("mine", ctc, condition, 1, seed=0, progress=False)
    assert found.columns.model == "mine-no-residual" and isinstance(found.ended_by, KeyboardInterrupt)
    check_unchanged(ctc, before)


def _fail(utterance: object) -> Any:
    raise DataError(f"{utterance} cannot be heard")


def test_a_linear_connector_has_nothing_to_leave_out(linear: ICLAL, condition: Condition) -> None:
    assert ablations("mine", linear, condition, 4, seed=0, progress=False) == []
