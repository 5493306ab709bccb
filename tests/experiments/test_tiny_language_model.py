"""The tiny language model: batches, answer scores, two steps of training, export and reload."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from iclal.data.prompt import Template
from iclal.errors import TrainingError
from iclal.experiments import documents, language_model
from iclal.experiments.documents import Document, Tokenize
from iclal.experiments.language_model import DocumentBatches, LanguageModelRecipe, build, collate, export, pretrain
from iclal.experiments.tokenizer import world_tokenizer
from iclal.model.language_model import LanguageModel
from iclal.settings import Settings
from iclal.training.train import FitResult
from iclal.training.weights import load_weights


def recipe(**train: object) -> LanguageModelRecipe:
    """The recipe in small: 3 layers, narrow in between."""
    values = {"steps": 2, "validate_every_steps": 2, "log_every_steps": 1, "threads": 1, "tensorboard": False}
    small = {"layers": 3, "feed_forward_width": 96, "tokens_per_batch": 1024, "train": values | train}
    return LanguageModelRecipe.build(small)


@pytest.fixture(scope="module", autouse=True)
def _small_pools():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "POOL_SIZE", 400)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Path]:
    folder = tmp_path_factory.mktemp("run")
    return pretrain(recipe(), folder, quiet=True), folder


def test_documents_are_padded_weighed_and_shifted() -> None:
    batch = [Document([2, 5, 6, 7], [0, 0, 0.5, 0.5], "a"), Document([2, 8], [0, 1.0], "b")]
    tokens = collate(batch, random.Random(0), unshifted_share=0.0)
    assert tokens.ids_BT.tolist() == [[2, 5, 6, 7], [2, 8, 1, 1]]
    assert tokens.weights_BT.tolist() == [[0, 0, 0.5, 0.5], [0, 1.0, 0, 0]]
    assert tokens.starts_B.min() >= 0 and tokens.starts_B.max() + 4 <= language_model.POSITIONS
    assert collate(batch, random.Random(0), unshifted_share=1.0).starts_B.tolist() == [0, 0]


def test_every_position_is_trained() -> None:
    rng, document = random.Random(0), Document([2, 5], [0.0, 1.0], "a")
    starts = torch.cat([collate([document] * 50, rng, 0.3).starts_B for _ in range(40)])
    assert 0.25 < float((starts == 0).float().mean()) < 0.35
    assert starts.max() > 2000 and len(starts.unique()) > 900


def test_batches_are_a_function_of_seed_and_number_and_within_the_budget() -> None:
    tokenizer = Tokenize(world_tokenizer())
    draw, again = (DocumentBatches(recipe(), tokenizer) for _ in range(2))
    last = draw(documents.STEPS_PER_POOL)  # another pool first: order of asking does not matter
    for number in (0, 3, documents.STEPS_PER_POOL):
        one, same = draw(number), again(number)
        assert torch.equal(one.content.ids_BT, same.content.ids_BT)
        assert torch.equal(one.content.starts_B, same.content.starts_B)
        assert one.content.ids_BT.numel() <= 1024 or len(one.content.ids_BT) == 1
        assert one.units["tokens"] == float((one.content.ids_BT != 1).sum())
    assert torch.equal(last.content.ids_BT, again(documents.STEPS_PER_POOL).content.ids_BT)
    other = DocumentBatches(recipe(seed=1), tokenizer)(0)
    assert other.content.ids_BT.tolist() != again(0).content.ids_BT.tolist()


@torch.no_grad()
def test_answer_scores_are_those_of_the_bare_model_and_position_by_position() -> None:
    tokenizer = world_tokenizer()
    model = build(recipe(), tokenizer).eval()
    found = Document([2, 40, 41, 42, 43], [0, 0, 0, 1.0, 1.0], "a")
    padded = collate([found, Document([2, 5, 6, 7, 8, 9, 10], [0] * 6 + [1.0], "b")], random.Random(0), 1.0)
    wanted_BT, targets, weights = language_model._answers(padded)
    logits = model.lm_head(language_model._run(model, padded)[-1][:, :-1][wanted_BT])
    bare = model(input_ids=torch.tensor([found.ids])).logits[0, 2:4]
    torch.testing.assert_close(logits[:2], bare, atol=1e-5, rtol=1e-4)
    assert targets.tolist() == [42, 43, 10] and weights.tolist() == [1, 1, 1]
    loss = language_model._loss(model, padded)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    assert float(loss.sum) == pytest.approx(float(expected), rel=1e-5) and loss.count == 3


def test_it_attends_out_of_autocast() -> None:
    assert build(recipe(), world_tokenizer()).config._attn_implementation == "sdpa-float32"


@torch.no_grad()
def test_hints_are_read_two_thirds_up_the_layers_as_the_last_layer_is_read() -> None:
    model = build(recipe(), world_tokenizer()).eval()
    plain = Document([2, 40, 41, 42, 43], [0, 0, 0, 1.0, 1.0], "a")
    hinted = dataclasses.replace(plain, hints={2: 50, 3: 50})
    without, found = (language_model._loss(model, collate([d], random.Random(0), 1.0)) for d in (plain, hinted))
    decoder = model.model.decoder
    middle = decoder(input_ids=torch.tensor([plain.ids]), output_hidden_states=True).hidden_states[2][0, 2:4]
    logits = model.lm_head(decoder.final_layer_norm(middle))
    hint = torch.nn.functional.cross_entropy(logits, torch.tensor([50, 50]), reduction="sum")
    assert float(found.sum - without.sum) == pytest.approx(language_model.HINT_WEIGHT * float(hint), rel=1e-4)
    assert found.count == without.count


def test_checks_count_the_last_answer_alone_and_are_the_same_behind_filler() -> None:
    tokenizer = world_tokenizer()
    checks = language_model.check_documents(Template(), Tokenize(tokenizer), count=4)
    assert {"transcript-0", "pattern-1", "labels-4x2", "questions-0-several*"} <= set(checks)
    for name, found in checks.items():
        for document in found:
            weighed = [i for i, weight in enumerate(document.weights) if weight]
            assert weighed and weighed == list(range(weighed[0], len(document.ids))), name
            text = tokenizer.decode(document.ids[weighed[0] :])
            assert text.endswith("\n") and text.count("\n") == 1
    behind = language_model.check_documents(Template(), Tokenize(tokenizer), count=2, filler_tokens=50)
    for name, found in behind.items():
        for filled, plain in zip(found, checks[name][:2], strict=True):
            assert filled.ids[-len(plain.ids) + 1 :] == plain.ids[1:] and len(filled.ids) >= len(plain.ids) + 50


def test_exact_answers_need_every_token() -> None:
    model = build(recipe(), world_tokenizer()).eval()
    ids = [2, 40, 41, 42]
    with torch.no_grad():
        ids += [int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    right = Document(ids, [0, 0, 0, 0, 1.0], "a")
    wrong = Document([*ids[:-1], ids[-1] + 1], [0, 0, 0, 0, 1.0], "a")
    half = Document(ids, [0, 0, 0, 1.0, 1.0], "a")
    with torch.no_grad():
        shares = language_model.exact_answers(model, {"a": [right, wrong], "b": [right], "c": [half]})
    assert shares["a"] == 0.5 and shares["b"] == 1.0
    assert shares["mean"] == pytest.approx((1.5 + shares["c"]) / 3)


def test_two_steps_are_trained_validated_and_logged(trained: tuple[FitResult, Path]) -> None:
    result, folder = trained
    assert (result.step, result.finish_reason) == (2, "finished")
    assert result.best_step in (0, 2) and 0 <= result.best_metrics["mean"] <= 1
    assert (folder / "metrics.jsonl").read_text().count('"loss"') >= 2
    assert Settings.model_config["frozen"] and LanguageModelRecipe.read(folder / "recipe.yaml") == recipe()


def test_exported_model_loads_as_any_other_and_has_the_checkpoints_weights(
    trained: tuple[FitResult, Path], tmp_path: Path
) -> None:
    result, _ = trained
    export(recipe(), result.checkpoint, tmp_path / "model")
    loaded = LanguageModel.load(tmp_path / "model")
    assert loaded.dtype == torch.bfloat16 and loaded.max_positions == 2048 and loaded.prefix_ids == (2,)
    assert loaded.end_id("\n") == loaded.ids("\n")[0]
    expected = build(recipe(), world_tokenizer())
    load_weights(result.checkpoint, expected)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    for (name, one), (_, other) in zip(expected.state_dict().items(), plain.state_dict().items(), strict=True):
        assert torch.equal(one.to(torch.bfloat16), other), name


def test_a_run_begins_with_the_weights_of_another_of_its_size_and_refuses_those_of_another_size(
    trained: tuple[FitResult, Path], tmp_path: Path
) -> None:
    result, _ = trained
    export(recipe(), result.checkpoint, tmp_path / "model")
    stored = LanguageModel.load(tmp_path / "model", dtype="float32").network.state_dict()
    own = recipe().model_copy(update={"start": tmp_path / "model"})
    gone_on = pretrain(own, tmp_path / "run", quiet=True)
    first = build(recipe(), world_tokenizer())
    load_weights(tmp_path / "run" / "checkpoints" / "step-0", first)
    assert gone_on.step == 2 and all(torch.equal(first.state_dict()[name], stored[name]) for name in stored)
    kept = own.model_copy(update={"train": own.train.model_copy(update={"kept_share": 0.25})})
    export(kept, gone_on.checkpoint, tmp_path / "mean")
    load_weights(gone_on.checkpoint, first)
    mean = LanguageModel.load(tmp_path / "mean").network.state_dict()
    for name, last in first.state_dict().items():
        assert torch.equal(mean[name], (0.75 * last + 0.25 * stored[name]).bfloat16()), name
    with pytest.raises(TrainingError, match=r"model: .* has shape \[96, 192\], here \[64, 192\]"):
        pretrain(own.model_copy(update={"feed_forward_width": 64}), tmp_path / "other", quiet=True)
    with pytest.raises(TrainingError, match=r"model lacks .* tensors of this model, e\.g\. model\.decoder\.layers\.3"):
        pretrain(own.model_copy(update={"layers": 4}), tmp_path / "deeper", quiet=True)
