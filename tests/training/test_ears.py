"""Ears by recipe: they learn four clips by heart, go on as if never stopped, log what they hear."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_builders import build_encoder, build_language_model
from safetensors.torch import load_file, save_file

from iclal.errors import DataError, ModelError, SettingsError, TrainingError
from iclal.experiments.human_speech import fsdd_digits
from iclal.model import saving
from iclal.model.encoder import Encoder
from iclal.model.layout import lay_out, tokenize
from iclal.model.saving import load
from iclal.model.transcribing import transcribe_greedily
from iclal.training import ears
from iclal.training.checkpoint import list_checkpoints, load_checkpoint
from iclal.training.ears import School, Trained, build_model, estimate_ears, train_ears
from iclal.training.frames import FrozenFrames
from iclal.training.recipe import EarsRecipe, read_recipe
from iclal.training.recordings import UNCHANGED, Recordings
from iclal.training.speech import Speech
from iclal.training.weights import load_weights, module_digest

DATA = Path(__file__).parents[2] / "data"
STILL = {"mask_time_prob": 0.0, "layerdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random language model and encoder without chance in their training, and a cache of their own."""
    folder = tmp_path_factory.mktemp("home")
    build_language_model(folder / "lm", max_position_embeddings=256)
    build_encoder(folder / "encoder", feat_proj_dropout=0.0, activation_dropout=0.0, **STILL)
    build_encoder(folder / "dropping")
    convolutions = {"conv_dim": [64] * 3, "conv_kernel": [400, 4, 4], "conv_stride": [160, 2, 1]}
    build_encoder(folder / "quick", feat_proj_dropout=0.0, activation_dropout=0.0, **STILL, **convolutions)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(home / "cache"))


def digits(count: int = 4, first: int = 0) -> Recordings:
    """Real clips of different digits."""
    recordings, said = Recordings(), set()
    for utterance, samples in list(fsdd_digits(DATA, ("george",)))[first:]:
        if utterance.text not in said and len(said) < count:
            said.add(utterance.text)
            recordings.add(utterance, samples)
    return recordings


def recipe(home: Path, **changes: Any) -> EarsRecipe:
    train = {
        "steps": 6, "validate_every_steps": 3, "log_every_steps": 1, "threads": 1, "tensorboard": False,
        "optimizer": {"learning_rate": 2e-3, "warmup_steps": 2},
    }  # fmt: skip
    values: dict[str, Any] = {
        "language_model": str(home / "lm"),
        "encoder": str(home / "encoder"),
        "transcription_instruction": "write",
        "batch_seconds": 8.0,
        "device": "cpu",
        "train": train | changes.pop("train", {}),
    }
    return EarsRecipe.build(values | changes)


def lines_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


# --- learning


@pytest.mark.slow
def test_four_clips_are_learnt_by_heart(home: Path, tmp_path: Path) -> None:
    speech = Speech(digits(), digits())
    optimizer = {"learning_rate": {"encoder": 3e-3, "connector": 1e-2}, "warmup_steps": 20}
    train = {"steps": 300, "validate_every_steps": 300, "log_every_steps": 20, "optimizer": optimizer}
    still = UNCHANGED.model_dump(mode="json")
    made = recipe(home, augment=still, encoder=str(home / "quick"), train=train)
    trained = train_ears(made, tmp_path, speech, quiet=True)
    losses = [line["parts"]["alignment"] for line in lines_of(tmp_path, "train")]
    assert losses[0] > 2.0 and losses[-1] < 0.05
    clips = [speech.train.draw(id, 0, 0, UNCHANGED) for id in speech.train.utterances]
    texts = [utterance.text for utterance in speech.train.utterances.values()]
    # the best is chosen by what the random language model writes; what was learnt is in the last checkpoint
    load_weights(list_checkpoints(tmp_path / "checkpoints")[-1][1], trained.model)
    assert transcribe_greedily(trained.model.eval(), clips) == texts


# --- what is written


@pytest.fixture(scope="module")
def trained(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICLAL_CACHE", str(home / "cache"))
        objectives = {"alignment": 1.0, "distillation": 1.0}
        made = recipe(home, objectives=objectives, encoder=str(home / "dropping"), teacher={"examples": 6})
        return train_ears(made, folder, Speech(digits(8), digits(3)), quiet=True), folder


def test_listening_losses_are_logged_from_the_start(trained: tuple[Trained, Path]) -> None:
    _, folder = trained
    heard = lines_of(folder, "listening")
    assert [line["step"] for line in heard] == [0, 3, 6]
    assert all(line[name] > 0 for line in heard for name in ("right", "other", "silence"))
    assert [line["step"] for line in lines_of(folder, "validation") if "wer" in line] == [0, 3, 6]


def test_losses_of_all_objectives_and_rates_are_logged(trained: tuple[Trained, Path]) -> None:
    _, folder = trained
    lines = lines_of(folder, "train")
    assert len(lines) == 6
    parts = {name for line in lines for name in line["parts"]}
    assert parts == {"alignment", "distillation"}


def test_the_saved_model_is_the_chosen_checkpoint(trained: tuple[Trained, Path]) -> None:
    result, _ = trained
    saved = load(result.folder)
    assert module_digest(saved) == module_digest(result.model)
    kept = load_checkpoint(result.fit.checkpoint).weights
    assert set(kept) == set(saved.state_dict())
    assert all(torch.equal(kept[name], tensor) for name, tensor in saved.state_dict().items())
    assert saved.settings.objective == "alignment + distillation"
    assert saved.settings.transcription_instruction == "write"


def test_no_tensor_of_the_language_model_is_in_a_checkpoint(trained: tuple[Trained, Path]) -> None:
    """The files themselves: by name, by shape and by content."""
    result, folder = trained
    network = result.model.language_model.network
    theirs = [t.detach() for t in network.state_dict().values() if t.numel() > 1 and float(t.float().std()) > 0]
    ours = {name: list(tensor.shape) for name, tensor in result.model.state_dict().items()}
    files = sorted((folder / "checkpoints").glob("step-*/*.safetensors"))
    assert {path.name for path in files} == {"weights.safetensors", "optimizer.safetensors", "random.safetensors"}
    for path in files:
        tensors = load_file(path)
        if path.name == "weights.safetensors":
            assert {name: list(tensor.shape) for name, tensor in tensors.items()} == ours
        if path.name == "optimizer.safetensors":
            largest = max(tensors.values(), key=torch.Tensor.numel)
            assert list(largest.shape) in ours.values()
        for name, tensor in tensors.items():
            assert "language_model" not in name and "network.model" not in name
            assert not any(tensor.shape == other.shape and torch.equal(tensor, other) for other in theirs), name


def test_a_resumed_run_is_the_unbroken_one(trained: tuple[Trained, Path], home: Path, tmp_path: Path) -> None:
    """With dropout, SpecAugment, augmentation and lessons: bit for bit."""
    unbroken, _ = trained
    objectives = {"alignment": 1.0, "distillation": 1.0}
    made = recipe(home, objectives=objectives, encoder=str(home / "dropping"), teacher={"examples": 6})
    stopped = made.model_copy(update={"train": made.train.model_copy(update={"max_minutes": 1e-9})})
    speech = Speech(digits(8), digits(3))
    reasons = []
    for attempt in range(8):
        result = train_ears(stopped, tmp_path, speech, resume=attempt > 0, quiet=True)
        reasons.append(result.fit.finish_reason)
        if reasons[-1] == "finished":
            break
    assert reasons[0] == "time" and reasons[-1] == "finished"
    assert module_digest(result.model) == module_digest(unbroken.model)


def test_other_recordings_are_refused_on_resume(trained: tuple[Trained, Path], home: Path) -> None:
    _, folder = trained
    objectives = {"alignment": 1.0, "distillation": 1.0}
    made = recipe(home, objectives=objectives, encoder=str(home / "dropping"), teacher={"examples": 6})
    with pytest.raises(TrainingError, match=r"recordings|plan"):
        train_ears(made, folder, Speech(digits(8, first=40), digits(3)), resume=True, quiet=True)


# --- batches


def test_batches_hold_every_clip_and_lesson_once_an_epoch_and_each_clip_one_sound(home: Path) -> None:
    made = recipe(home, objectives={"alignment": 1.0, "distillation": 1.0}, teacher={"examples": 5, "shots": [0, 1]})
    school = School(made, Speech(digits(8), digits(2)))
    ids: list[str] = []
    for number in range(school.plan.batches_per_epoch):
        batch = school.draw(number, 0)
        ids += batch.ids
        content = batch.content
        assert [u.id for u in content.utterances] == [id for id in batch.ids if id not in school.lessons]
        sounds = {id(audio) for audio in content.audios}
        for case in content.cases:
            assert {id(piece) for piece in case.prompt if hasattr(piece, "samples")} <= sounds
        assert batch.units["audio_seconds"] == pytest.approx(sum(a.duration_seconds for a in content.audios))
    assert sorted(ids) == sorted([*school.speech.train.utterances, *school.lessons])
    again = school.draw(0, 0).content
    assert all(
        (a.samples == b.samples).all() for a, b in zip(again.audios, school.draw(0, 0).content.audios, strict=True)
    )


def test_batches_keep_within_the_rows_that_the_language_model_reads(home: Path) -> None:
    objectives = {"transcription": 0.5, "distillation": 1.0}
    teacher = {"examples": 12, "shots": [0, 1, 2]}
    made = recipe(home, objectives=objectives, teacher=teacher, batch_rows=600, batch_seconds=30.0)
    speech = Speech(digits(8), digits(2))
    school = School(made, speech)
    fewer = school.plan.batches_per_epoch
    for number in range(fewer):
        batch = school.draw(number, 0)
        sizes = [school.plan.sizes[item].tokens for item in batch.ids]
        assert len(sizes) * max(sizes) <= 600
        content = batch.content
        numbers = {id(audio): place for place, audio in enumerate(content.audios)}
        with torch.no_grad():
            rows_per_clip = [len(rows) for rows in school.model.prefixes(content.audios)]
        read = sum(rows_per_clip[: len(content.utterances)])  # by transcription: no clip of a lesson
        for case in content.cases:
            prompt = tokenize(case.prompt, school.model.language_model, lambda audio, n=numbers: n[id(audio)])
            read += len(lay_out(prompt, rows_per_clip, case.answer.token_ids).rows)
        assert 0 < read <= sum(sizes)
    plenty = made.model_copy(update={"batch_rows": 100_000})
    assert School(plenty, speech).plan.batches_per_epoch < fewer


def test_distillation_alone_has_no_batch_without_a_lesson(home: Path) -> None:
    made = recipe(home, objectives={"alignment": 0.0, "distillation": 1.0}, teacher={"examples": 3, "shots": [0, 1]})
    school = School(made, Speech(digits(8), digits(2)))
    drawn = [id for number in range(school.plan.batches_per_epoch) for id in school.draw(number, 0).ids]
    assert sorted(drawn) == sorted(school.lessons) and drawn


def test_another_clip_says_something_else_or_is_left_out(home: Path) -> None:
    school = School(recipe(home), Speech(digits(4), digits(6)))
    assert school.listen(0).keys() == {"right", "other", "silence"}
    for id, utterance in school.speech.validation.utterances.items():
        school.speech.validation.utterances[id] = dataclasses.replace(utterance, text="zero.")
    assert school.listen(0).keys() == {"right", "silence"}


def test_alignment_alone_reads_no_rows_of_the_language_model(home: Path) -> None:
    digests = {School(recipe(home, batch_rows=n), Speech(digits(), digits(2))).plan.digest() for n in (1, 8000)}
    assert len(digests) == 1


def test_activation_checkpointing_by_recipe_trains_the_same_ears(home: Path, tmp_path: Path) -> None:
    """Validation and listening, which need the cache that checkpointing drops, run between the steps."""
    reached, calls = [], []
    for on in (False, True):
        made = recipe(
            home, activation_checkpointing=on, objectives={"transcription": 1.0}, connector={"kind": "linear"},
            transcription_instruction=None, train={"steps": 2, "validate_every_steps": 1},
        )  # fmt: skip
        school = School(made, Speech(digits(), digits(2)))
        layer = next(m for m in school.model.language_model.network.modules() if isinstance(m, torch.nn.Linear))
        layer.register_forward_hook(lambda *_: calls.append(1))
        school.loss(school.draw(0, 0)).sum.backward()
        trained = train_ears(made, tmp_path / str(on), Speech(digits(), digits(2)), quiet=True)
        assert not trained.model.language_model.is_checkpointing
        reached.append((len(calls), module_digest(trained.model)))
        calls.clear()
    assert [count for count, _ in reached] == [1, 2]  # forward; forward and again, backwards
    assert reached[0][1] == reached[1][1]


def test_a_frozen_encoder_stays_as_it_was(home: Path, tmp_path: Path) -> None:
    made = recipe(home, freeze_encoder=True)
    before = module_digest(build_model(made).encoder)
    trained = train_ears(made, tmp_path, Speech(digits(), digits(2)), quiet=True)
    assert module_digest(trained.model.encoder) == before
    assert not any(p.requires_grad for p in trained.model.encoder.parameters())


@pytest.mark.parametrize(
    ("objectives", "taught"), [({"alignment": 1.0}, False), ({"alignment": 1.0, "transcription": 1.0}, True)]
)
def test_the_residual_is_trained_only_where_rows_are_read(
    home: Path, objectives: dict[str, float], taught: bool
) -> None:
    school = School(recipe(home, objectives=objectives), Speech(digits(), digits(2)))
    school.model.train()
    loss = school.loss(school.draw(0, 0)).sum
    trained = {id(parameter) for parameter in school.groups["connector"]}
    residual = dict(school.model.connector.residual.named_parameters())
    assert residual and all((id(parameter) in trained) is taught for parameter in residual.values())
    found = torch.autograd.grad(loss, school.groups["connector"], allow_unused=True)
    assert all(gradient is not None for gradient in found)  # whatever is trained has something to learn from


def test_rates_that_name_what_is_not_trained_are_refused_before_anything_is_heard(home: Path) -> None:
    train = {"optimizer": {"learning_rate": {"encoder": 1e-3, "connector": 1e-3}}}
    with pytest.raises(SettingsError, match="learning_rate names encoder, which is no trained group; those: connector"):
        School(recipe(home, freeze_encoder=True, train=train), Speech(digits(), digits(2)))


def test_bundled_ears_are_a_start_by_name() -> None:
    started = build_model(read_recipe("ctc", ["start=ctc"]))
    bundled = load_file(saving.BUNDLED_EARS["ctc"] / "model.safetensors")
    assert all(torch.equal(tensor, bundled[name].float()) for name, tensor in started.state_dict().items())


def test_what_no_row_foretells_is_left_out_of_the_listening_losses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"objectives": {"transcription": 1.0}, "transcription_instruction": None}
    school = School(recipe(home, **changes), Speech(digits(4), digits(3)))
    school.model.eval()
    assert set(school.listen(0)) == {"right", "other", "silence"}
    school.model.settings = school.model.settings.model_copy(update={"window_seconds": 0.01})
    assert school.listen(0) == {}  # no clip fits a window
    school.model.settings = school.model.settings.model_copy(update={"window_seconds": 20.0})
    school.model.language_model.prefix_ids = ()  # as of a tokenizer that puts no token first
    with monkeypatch.context() as patch:
        patch.setattr(school, "_is_read", lambda audio: audio.source != "silence")
        assert set(school.listen(0)) == {"right", "other"}
    with torch.no_grad():
        school.model.connector.output.bias[-1] = 1e4  # blanks alone are heard
    assert school.listen(0) == {}


def test_a_frozen_encoder_hears_each_clip_once_and_is_not_asked_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, clips: heard.append(len(clips)) or forward(self, clips))
    school = School(recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump()), Speech(digits(), digits(2)))
    school.hear(progress=False)
    for step in range(6):
        school.loss(school.draw(step, 0))
    assert sum(heard) == len(digits().utterances)


@pytest.mark.parametrize(
    ("changes", "once"),
    [
        ({"freeze_encoder": True, "augment": UNCHANGED.model_dump()}, True),
        ({"freeze_encoder": True}, False),
        ({"augment": UNCHANGED.model_dump()}, False),
    ],
)
def test_frames_are_kept_where_nothing_is_changed_or_trained(home: Path, changes: dict[str, Any], once: bool) -> None:
    assert recipe(home, **changes).hears_once is once


def test_the_loss_of_frames_kept_equals_that_of_frames_heard(home: Path) -> None:
    made = recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump())
    school = School(made, Speech(digits(), digits(2)))
    school.model.train()
    batch = school.draw(0, 0)
    heard = school.loss(batch).sum.item()
    school.hear(progress=False)
    assert school.loss(batch).sum.item() == pytest.approx(heard, rel=1e-3)  # kept in half precision


def test_frames_beyond_the_limit_are_heard_anew_and_a_note_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump())
    school = School(made, Speech(digits(), digits(2)))
    school.hear(progress=False)
    assert school.frames is not None and not school.notes
    ids = list(school.speech.train.utterances)
    taken = sum(frames.numel() * frames.element_size() for frames in school.frames._frames.values())
    lengths = {id: school.speech.train.num_samples(id) for id in ids}
    assert taken == FrozenFrames.num_bytes(school.model.encoder, lengths)
    monkeypatch.setattr(ears, "_MOST_FRAMES", taken - 1)
    school = School(made, Speech(digits(), digits(2)))
    school.hear(progress=False)
    assert school.frames is None
    assert re.fullmatch(
        r"the frozen encoder hears anew in each epoch: frames take .* GB, more than .* GB", *school.notes
    )


def test_a_run_with_kept_frames_is_resumed_as_the_unbroken_one(home: Path, tmp_path: Path) -> None:
    made = recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump(), train={"steps": 3})
    whole = train_ears(made, tmp_path / "whole", Speech(digits(), digits(2)), quiet=True)
    stopped = made.model_copy(update={"train": made.train.model_copy(update={"max_minutes": 1e-9})})
    for attempt in range(4):
        result = train_ears(stopped, tmp_path / "parts", Speech(digits(), digits(2)), resume=attempt > 0, quiet=True)
    assert module_digest(result.model) == module_digest(whole.model)


def test_ears_without_context_are_a_start_for_ears_with_it(
    trained: tuple[Trained, Path], home: Path, tmp_path: Path
) -> None:
    result, _ = trained
    connector = {"kind": "ctc", "context_width": 8}
    wide = recipe(home, start=str(result.folder), encoder="bundled", connector=connector)
    started = build_model(wide)
    assert started.connector.context is not None
    audio = digits(1).draw(next(iter(digits(1).utterances)), 0, 0, UNCHANGED)
    assert transcribe_greedily(started, [audio]) == transcribe_greedily(result.model, [audio])
    with pytest.raises(ModelError, match=r"missing, e\.g\. connector\.norm\.bias"):
        shutil.copy(result.folder / "config.json", tmp_path)
        _without(result.folder / "model.safetensors", "connector.norm.bias", tmp_path / "model.safetensors")
        build_model(wide.model_copy(update={"start": tmp_path}))


def _without(weights: Path, name: str, out: Path) -> None:
    save_file({key: value for key, value in load_file(weights).items() if key != name}, out)


def test_training_starts_from_other_ears(trained: tuple[Trained, Path], home: Path, tmp_path: Path) -> None:
    result, _ = trained
    started = build_model(recipe(home, start=str(result.folder), encoder="bundled"))
    assert module_digest(started) == module_digest(result.model)
    with pytest.raises(ModelError, match="is no model folder"):
        build_model(recipe(home, start=str(tmp_path), encoder="bundled"))
    with pytest.raises(SettingsError, match=r"encoder=.*dropping beside start=.*: leave one out"):
        recipe(home, start=str(result.folder), encoder=str(home / "dropping"))


def test_a_share_of_the_weights_begun_with_is_kept(
    trained: tuple[Trained, Path], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = trained
    train = {"steps": 3, "validate_every_steps": 3, "kept_share": 0.25}
    made = recipe(home, start=str(result.folder), encoder="bundled", train=train)
    speech = Speech(digits(), digits(2))
    found = train_ears(made, tmp_path / "run", speech)
    assert (
        f"the mean of before (0.25) and after is saved: wer {found.fit.best_metrics['wer']:.4g}"
        in capsys.readouterr().err
    )
    last = load_checkpoint(tmp_path / "run" / "checkpoints" / "step-3").weights
    assert found.fit.checkpoint.name == "step-3" and last
    before = build_model(made).state_dict()
    for name, tensor in load(found.folder).state_dict().items():
        expected = 0.25 * before[name] + 0.75 * last[name] if name in last else before[name]
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)
    again = train_ears(made, tmp_path / "run", speech, resume=True, quiet=True)  # all steps are done
    assert module_digest(again.model) == module_digest(found.model)
    with pytest.raises(SettingsError, match=r"train\.kept_share=0\.25: without start=FOLDER nothing is to be kept"):
        recipe(home, train=train)


def test_a_wider_encoder_is_trained_saved_and_started_from(
    trained: tuple[Trained, Path], home: Path, tmp_path: Path
) -> None:
    result, _ = trained
    filters = 2 * result.model.encoder.network.config.conv_dim[0]
    wider = recipe(
        home,
        start=str(result.folder),
        encoder="bundled",
        encoder_filters=filters,
        stored_dtype="bfloat16",
        train={"steps": 2},
    )
    found = train_ears(wider, tmp_path / "wider", Speech(digits(), digits(2)), quiet=True)
    assert module_digest(load(found.folder)) == module_digest(found.model)
    again = build_model(recipe(home, start=str(found.folder), encoder="bundled"))
    assert again.encoder.network.config.conv_dim[0] == filters


def test_a_deeper_encoder_begins_as_the_ears_it_starts_from_and_is_saved_and_started_from(
    trained: tuple[Trained, Path], home: Path, tmp_path: Path
) -> None:
    result, _ = trained
    layers = result.model.encoder.network.config.num_hidden_layers
    changes = {"encoder": "bundled", "encoder_dropout": 0.0, "stored_dtype": "bfloat16", "train": {"steps": 2}}
    deeper = recipe(home, start=str(result.folder), encoder_layers=layers + 1, **changes)
    audio = digits(1).draw(next(iter(digits(1).utterances)), 0, 0, UNCHANGED)
    started, before = (m.eval().encode([audio])[0] for m in (build_model(deeper), result.model))
    assert torch.equal(started, before)
    found = train_ears(deeper, tmp_path / "deeper", Speech(digits(), digits(2)), quiet=True)
    assert module_digest(load(found.folder)) == module_digest(found.model)
    again = build_model(recipe(home, start=str(found.folder), encoder="bundled"))
    assert len(again.encoder.network.encoder.layers) == layers + 1
    with pytest.raises(ModelError, match=f"more than the {layers} wanted"):
        build_model(recipe(home, start=str(found.folder), encoder="bundled", encoder_layers=layers))


def test_the_trained_encoder_attends_out_of_autocast_and_has_the_dropout_asked_for(home: Path) -> None:
    network = build_model(recipe(home, encoder_dropout=0.25)).encoder.network
    assert network.config._attn_implementation == "sdpa-float32"
    assert network.encoder.layers[0].dropout.p == 0.25
    with pytest.raises(SettingsError, match="for an encoder that is trained"):
        recipe(home, encoder_layers=9, freeze_encoder=True)
    with pytest.raises(SettingsError, match="encoder_filters"):
        recipe(home, encoder_filters=64, freeze_encoder=True)


def test_samples_are_given_up_once_a_frozen_encoder_has_heard_them(home: Path, tmp_path: Path) -> None:
    speech = Speech(digits(), digits(2))
    seconds = speech.train.seconds
    train_ears(recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump()), tmp_path, speech, quiet=True)
    assert speech.train.seconds == seconds
    with pytest.raises(AssertionError, match="no samples any more"):
        speech.train.draw(next(iter(speech.train.utterances)), 0, 0)


def test_an_estimate_changes_nothing_and_says_memory_and_time(home: Path) -> None:
    found = vars(estimate_ears(recipe(home), Speech(digits(), digits(2))))
    assert found and all(isinstance(value, int | float) and value >= 0 for value in found.values())


def test_a_dry_run_hears_once_what_training_hears_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    loss = School.loss
    monkeypatch.setattr(School, "loss", lambda self, batch: calls.append(self.frames is None) or loss(self, batch))
    found = estimate_ears(
        recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump()), Speech(digits(), digits(2))
    )
    assert calls and not any(calls)
    assert found.hearing_seconds > 0 and "to hear all clips once; " in str(found)


def test_frames_that_a_dry_run_did_not_hear_count_in_its_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = recipe(home, freeze_encoder=True, augment=UNCHANGED.model_dump(), batch_seconds=1.5)
    speech = Speech(digits(40), digits(2))
    before = estimate_ears(frozen, speech).memory_mib
    monkeypatch.setattr(School, "frames_bytes", lambda self: 3_900_000_000)
    assert estimate_ears(frozen, speech).memory_mib > before + 500


def test_a_clip_longer_than_a_batch_is_refused_with_the_settings_to_change(home: Path) -> None:
    with pytest.raises(DataError, match=r"larger than a batch.*batch_seconds is 0\.1, data\.max_seconds \d+"):
        School(recipe(home, batch_seconds=0.1), Speech(digits(), digits(2)))


# --- recipes and the user's own speech


def test_a_clip_too_short_for_its_text_is_left_out_counted_and_told(home: Path, tmp_path: Path) -> None:
    recordings = digits(4)
    first, *others = recordings.utterances
    long = "one two three four five six seven eight nine zero " * 4
    recordings.utterances[first] = dataclasses.replace(recordings.utterances[first], text=long.strip() + ".")
    speech = Speech(recordings, digits(2))
    train_ears(recipe(home, train={"steps": 1}), tmp_path, speech, quiet=True)
    assert list(recordings.utterances) == others and recordings.dropped == {"too short for their text": 1}
    counted, told = lines_of(tmp_path, "note")
    assert re.fullmatch(r"recordings: 3 \(0.00 h\) to train on, 2 \(0.00 h\) to validate by", counted["text"])
    assert re.fullmatch(
        r"recordings not trained on: 1, too short for their text \(\d+ s left out in all\)", told["text"]
    )


def test_a_recording_with_the_id_of_a_lesson_is_refused(home: Path) -> None:
    speech = Speech(digits(), digits(2))
    first = next(iter(speech.train.utterances.values()))
    named = Recordings()
    named.include(speech.train)
    named.add(dataclasses.replace(first, id="lesson-1"), np.zeros(16_000, np.float32))
    asked = {"objectives": {"alignment": 1, "distillation": 1}, "teacher": {"examples": 3, "tasks": ["transcript"]}}
    with pytest.raises(DataError, match="'lesson-1', which a lesson of the teacher has"):
        School(recipe(home, **asked), Speech(named, speech.validation))


def test_no_clip_that_is_long_enough_is_an_error(home: Path) -> None:
    recordings = digits(1)
    [id] = recordings.utterances
    recordings.utterances[id] = dataclasses.replace(recordings.utterances[id], text="one two three " * 40)
    with pytest.raises(DataError, match="recordings not trained on: 1, too short for their text"):
        School(recipe(home), Speech(recordings, digits(2)))
