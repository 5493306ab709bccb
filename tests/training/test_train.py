"""`fit`: what it writes, how it stops, goes on and refuses; that it learns."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iclal.errors import SettingsError, TrainingError
from iclal.settings import Settings
from iclal.training.dry_run import estimate
from iclal.training.step import SimpleBatch, StepLoss
from iclal.training.train import FitResult, fit
from iclal.training.train_settings import TrainSettings
from iclal.training.weights import load_weights, module_digest

QUICK = {
    "steps": 6,
    "threads": 1,
    "log_every_steps": 1,
    "validate_every_steps": 2,
    "tensorboard": False,
    "draw_ahead": 0,
}


class Recipe(Settings):
    train: TrainSettings
    width: int = 8


class Task:
    """A small network that learns which of four inputs is largest; `spoil` changes a loss before it is used."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 4))
        self.drawn: list[tuple[int, int]] = []
        self.spoil: Callable[[SimpleBatch, Tensor], Tensor] = lambda batch, loss: loss

    def draw(self, step: int, micro: int) -> SimpleBatch:
        self.drawn.append((step, micro))
        rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(100 * step + micro))
        return SimpleBatch(rows, [f"clip-{step}-{micro}"], {"audio_seconds": 2.5})

    def loss(self, batch: SimpleBatch) -> StepLoss:
        rows = batch.content
        assert isinstance(rows, Tensor)
        total = nn.functional.cross_entropy(self.network(rows), rows.argmax(1), reduction="sum")
        return StepLoss(self.spoil(batch, total), len(rows), {"choice": float(total.detach())})

    def fit(self, folder: Path, settings: dict[str, Any] | None = None, **rest: Any) -> FitResult:
        made = TrainSettings.build(QUICK | (settings or {}))
        rest = {"groups": {"all": list(self.network.parameters())}, "recipe": Recipe(train=made), "quiet": True} | rest
        groups = rest.pop("groups")
        return fit(rest.pop("trainable", self.network), groups, self.draw, self.loss, made, folder, **rest)


def lines_of(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


# Learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rate"), [("adamw", 0.03), ("muon", 0.1)])
def test_it_learns_and_the_checkpoint_holds_what_was_learnt(tmp_path: Path, name: str, rate: float) -> None:
    task = Task()
    optimizer = {"name": name, "learning_rate": rate, "warmup_steps": 10}
    result = task.fit(
        tmp_path, {"steps": 150, "log_every_steps": 50, "validate_every_steps": 150, "optimizer": optimizer}
    )
    losses = [line["loss"] for line in lines_of(tmp_path)]
    assert losses[0] > 2 * losses[-1] and losses[-1] < 0.4
    fresh = Task(seed=9)
    assert load_weights(result.checkpoint, fresh.network) == 150
    assert module_digest(fresh.network) == module_digest(task.network)


def test_sixteen_spoken_digits_are_learnt_by_heart(tmp_path: Path) -> None:
    """CTC on characters over real recordings: near-zero loss and every word exact."""
    from iclal.audio.reading import read_audio

    folder = Path(__file__).parents[2] / "data" / "fsdd"
    clips = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()[:16]]
    words = [clip["text"] for clip in clips]
    frames = [
        _spectrum(
            torch.as_tensor(
                read_audio(
                    folder / clip["audio"],
                    start_seconds=clip["start_seconds"],
                    duration_seconds=clip["duration_seconds"],
                ).samples
            )
        )
        for clip in clips
    ]
    rows_BFE = nn.utils.rnn.pad_sequence(frames, batch_first=True)
    lengths = torch.tensor([len(f) for f in frames])
    letters = " " + "".join(sorted(set("".join(words))))  # index 0 is the blank
    targets = torch.tensor([letters.index(c) for word in words for c in word])
    target_lengths = torch.tensor([len(word) for word in words])
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(rows_BFE.shape[2], 64, 5, padding=2), nn.ReLU(), nn.Conv1d(64, 64, 9, padding=4), nn.ReLU(),
        nn.Conv1d(64, len(letters), 1),
    )  # fmt: skip

    def log_probs() -> Tensor:
        return network(rows_BFE.transpose(1, 2)).transpose(1, 2).log_softmax(-1)

    def loss(batch: SimpleBatch) -> StepLoss:
        total = nn.functional.ctc_loss(log_probs().transpose(0, 1), targets, lengths, target_lengths, reduction="sum")
        return StepLoss(total, len(targets))

    settings = TrainSettings.build(
        QUICK | {"steps": 150, "log_every_steps": 50, "validate_every_steps": 150}
        | {"optimizer": {"learning_rate": 3e-3, "warmup_steps": 20}}
    )  # fmt: skip
    fit(
        network, {"encoder": list(network.parameters())},
        lambda step, micro: SimpleBatch(None, [clip["id"] for clip in clips], {"clips": 16}),
        loss, settings, tmp_path, recipe=Recipe(train=settings), quiet=True,
    )  # fmt: skip
    assert lines_of(tmp_path)[-1]["loss"] < 0.05
    best = [row[:n].unique_consecutive().tolist() for row, n in zip(log_probs().argmax(-1), lengths, strict=True)]
    assert ["".join(letters[i] for i in row if i) for row in best] == words


def _spectrum(samples_S: Tensor) -> Tensor:
    """Log magnitudes [F, 129] of 16 kHz samples, 100 frames a second, each band without its mean."""
    spectrum = torch.stft(samples_S, 256, 160, window=torch.hann_window(256), return_complex=True)
    rows_FE = (spectrum.abs() + 1e-3).log().T
    return rows_FE - rows_FE.mean(0)


def test_bfloat16_arithmetic_leaves_weights_and_state_in_float32(tmp_path: Path) -> None:
    task = Task()
    result = task.fit(tmp_path, {"autocast": "bfloat16"})
    assert {p.dtype for p in task.network.parameters()} == {torch.float32}
    import safetensors.torch

    state = safetensors.torch.load_file(result.checkpoint / "optimizer.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_numbers_too_small_for_full_precision_are_zero_in_training_and_only_there(tmp_path: Path) -> None:
    task, halves = Task(), []

    def spoil(batch: SimpleBatch, loss: Tensor) -> Tensor:
        halves.append(float(torch.full((1,), 1.2e-38) / 2))
        return loss

    task.spoil = spoil
    task.fit(tmp_path)
    assert set(halves) == {0.0}
    assert float(torch.full((1,), 1.2e-38) / 2) > 0


def test_each_group_has_its_own_rate(tmp_path: Path) -> None:
    task = Task()
    first, last = task.network[0], task.network[3]
    before = {"encoder": first.weight.clone(), "connector": last.weight.clone()}
    groups = {"encoder": list(first.parameters()), "connector": list(last.parameters())}
    rates = {"encoder": 0.0, "connector": 0.01}
    task.fit(tmp_path, {"optimizer": {"learning_rate": rates, "warmup_steps": 2, "decay_share": 0.5}}, groups=groups)
    assert torch.equal(first.weight, before["encoder"]) and not torch.equal(last.weight, before["connector"])
    factors = [line["learning_rate"]["connector"] / 0.01 for line in lines_of(tmp_path)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 2 / 3, 1 / 3])
    with pytest.raises(SettingsError, match="no rate for the group 'connector'; it names: encoder"):
        task.fit(tmp_path / "b", {"optimizer": {"learning_rate": {"encoder": 1.0}}}, groups=groups)
    with pytest.raises(SettingsError, match="names head, which is no trained group; those: all"):
        task.fit(tmp_path / "c", {"optimizer": {"learning_rate": {"all": 1.0, "head": 1.0}}})


# What is written --------------------------------------------------------------------------------------------------


def test_the_log_starts_at_step_0_and_holds_rates_units_and_memory(tmp_path: Path) -> None:
    listened: list[int] = []

    def listen(step: int) -> dict[str, float]:
        listened.append(step)
        return {"right": 1.0, "other": 2.0, "silence": 3.0}

    Task().fit(tmp_path, {"micro_batches": 2}, validate=lambda step: {"wer": 1.0 / (1 + step)}, listen=listen)
    assert [line["step"] for line in lines_of(tmp_path, "validation")] == listened == [0, 2, 4, 6]
    assert lines_of(tmp_path, "listening")[0] == {
        "kind": "listening", "step": 0, "right": 1.0, "other": 2.0, "silence": 3.0
    }  # fmt: skip
    line = lines_of(tmp_path)[-1]
    assert (line["step"], line["targets"], line["items"], line["seen"]) == (6, 16, 2, {"audio_seconds": 30.0})
    assert line["parts"]["choice"] == pytest.approx(line["loss"])
    assert line["clock"]["audio_seconds_per_second"] > 0 and line["clock"]["memory_mib"] > 50
    assert line["clock"]["eta_seconds"] == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 0 and run["sessions"][0]["versions"]["torch"] == torch.__version__
    assert Recipe.read(tmp_path / "recipe.yaml").train.steps == 6


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    wer = {0: 0.9, 2: 0.3, 4: 0.5, 6: float("nan"), 8: 0.4}
    settings = {"steps": 8, "save_every_steps": 1, "keep_checkpoints": 2}
    result = Task().fit(tmp_path, settings, validate=lambda step: {"wer": wer[step]}, choose=("wer", "min"))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-2", "step-7", "step-8"]
    assert (result.best_step, result.best_metrics) == (2, {"wer": 0.3})
    assert result.checkpoint == tmp_path / "checkpoints" / "step-2"
    with pytest.raises(TrainingError, match="chosen by 'cer', but validation gives wer"):
        Task().fit(tmp_path / "other", settings, validate=lambda step: {"wer": 1.0}, choose=("cer", "min"))


def test_validation_changes_nothing_in_training(tmp_path: Path) -> None:
    without, with_it = Task(), Task()

    def validate(step: int) -> dict[str, float]:
        assert not with_it.network.training
        return {"drawn": random.random() + np.random.rand() + float(torch.rand(()))}

    without.fit(tmp_path / "without", {"validate_every_steps": 6})
    with_it.fit(tmp_path / "with", validate=validate, worst=[with_it.draw(50, 0)])
    assert module_digest(without.network) == module_digest(with_it.network)


def test_lines_go_to_stderr_one_an_interval(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Task().fit(tmp_path, quiet=False, validate=lambda step: {"wer": 0.5})
    out, err = capfd.readouterr()
    assert out == ""
    assert "training 76 parameters (all: 76), 0 frozen; steps 0 to 6" in err
    assert sum(line.startswith(f"{step}/6  loss") for line in err.splitlines() for step in range(1, 7)) == 6
    assert "audio seconds/s" in err and "left" in err and "0/6  validation: wer 0.5" in err
    assert f"result: {tmp_path / 'checkpoints' / 'step-6'}" in err
    Task().fit(tmp_path / "quiet")
    assert capfd.readouterr() == ("", "")


def test_a_model_that_does_not_listen_is_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Task().fit(tmp_path, quiet=False, listen=lambda step: {"right": 2.0, "other": 2.01, "silence": 2.0})
    assert capfd.readouterr().err.count("it does not listen: another clip's loss is 0.010 above (below 0.05)") == 3


# Stopping and going on ----------------------------------------------------------------------------------------------


def test_stopped_by_time_again_and_again_it_ends_like_the_run_in_one_go(tmp_path: Path) -> None:
    whole = Task()
    whole.fit(tmp_path / "whole", {"log_every_steps": 4}, validate=lambda step: {"wer": 1.0})
    for session in range(6):
        parts = Task()
        settings = {"log_every_steps": 4, "max_minutes": 1e-9, "draw_ahead": 2}
        result = parts.fit(tmp_path / "parts", settings, validate=lambda step: {"wer": 1.0}, resume=True)
        assert result.step == session + 1
        assert result.finish_reason == ("time" if session < 5 else "finished")
        assert parts.drawn == [(session + n, 0) for n in range(len(parts.drawn))]  # each once
        assert session < session + len(parts.drawn) <= min(session + 3, 6)  # two ahead at most, none behind the end
    assert module_digest(whole.network) == module_digest(parts.network)

    def timeless(folder: Path) -> list[dict[str, Any]]:
        return [line | {"clock": 0} for kind in ("train", "validation") for line in lines_of(folder, kind)]

    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    sessions = json.loads((tmp_path / "parts" / "run.json").read_text())["sessions"]
    assert [session["from_step"] for session in sessions] == [0, 1, 2, 3, 4, 5]


def test_ctrl_c_while_the_first_validation_runs_saves_after_the_first_step(tmp_path: Path) -> None:
    def validate(step: int) -> dict[str, float]:
        if step == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return {"loss": 1.0}

    result = Task().fit(tmp_path, validate=validate)
    assert (result.finish_reason, result.step) == ("interrupted", 1)
    assert Task().fit(tmp_path, resume=True).finish_reason == "finished"


def test_ctrl_c_saves_after_the_step_and_says_how_to_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    task, handler = Task(), signal.getsignal(signal.SIGINT)
    original = task.draw

    def draw(step: int, micro: int) -> SimpleBatch:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(step, micro)

    task.draw = draw  # type: ignore[method-assign]
    result = task.fit(tmp_path, quiet=False)
    assert (result.finish_reason, result.step) == ("interrupted", 4)
    assert result.checkpoint == tmp_path / "checkpoints" / "step-4" and result.checkpoint.is_dir()
    assert "--resume" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler
    assert Task().fit(tmp_path, resume=True).finish_reason == "finished"


def test_a_folder_with_a_run_and_a_changed_run_are_refused_with_what_differs(tmp_path: Path) -> None:
    Task().fit(tmp_path, {"max_minutes": 1e-9}, digests={"data": "abc"})
    with pytest.raises(TrainingError, match="already holds a run: go on with it by --resume"):
        Task().fit(tmp_path)
    with pytest.raises(TrainingError, match=r"train\.micro_batches: 1 in the run, 3 now; .*--accept-changes"):
        Task().fit(tmp_path, {"micro_batches": 3}, digests={"data": "abc"}, resume=True)
    with pytest.raises(TrainingError, match="digest of data: abc in the run, xyz now"):
        Task().fit(tmp_path, digests={"data": "xyz"}, resume=True)
    result = Task().fit(tmp_path, {"steps": 8}, digests={"data": "xyz"}, resume=True, accept_changes=True)
    assert result.step == 8
    changes = json.loads((tmp_path / "run.json").read_text())["sessions"][-1]["changes"]
    assert changes == ["train.steps: 6 in the run, 8 now", "digest of data: abc in the run, xyz now"]
    assert Recipe.read(tmp_path / "recipe.yaml").train.steps == 8


def test_what_is_refused_on_resume_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    Task().fit(tmp_path, {"max_minutes": 1e-9})
    before = {path: path.read_bytes() for path in (tmp_path / "run.json", tmp_path / "recipe.yaml")}
    with pytest.raises(TrainingError, match=r"adamw state for .* not trained here"):
        Task().fit(tmp_path, {"optimizer": {"name": "muon"}}, resume=True, accept_changes=True)
    assert {path: path.read_bytes() for path in before} == before
    assert Task().fit(tmp_path, resume=True).finish_reason == "finished"


def test_a_best_checkpoint_that_is_lost_is_best_no_longer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wer = {0: 0.9, 2: 0.3, 4: 0.5, 6: 0.6, 8: 0.4}
    settings = {"save_every_steps": 1, "keep_checkpoints": 2}
    options: dict[str, Any] = {"validate": lambda step: {"wer": wer[step]}, "choose": ("wer", "min")}
    assert Task().fit(tmp_path, settings | {"steps": 6}, **options).best_step == 2
    (tmp_path / "checkpoints" / "step-2" / "weights.safetensors").write_bytes(b"torn")
    result = Task().fit(tmp_path, settings | {"steps": 8}, resume=True, accept_changes=True, quiet=False, **options)
    assert "the best step until now, 2, is lost (weights.safetensors has 4 of" in capfd.readouterr().err
    assert result.best_step == 8 and result.checkpoint == tmp_path / "checkpoints" / "step-8"


def test_what_was_best_by_other_validation_data_is_best_no_longer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wer = {0: 0.9, 2: 0.1, 4: 0.5, 6: 0.6, 8: 0.4}
    options: dict[str, Any] = {"validate": lambda step: {"wer": wer[step]}, "choose": ("wer", "min")}
    assert Task().fit(tmp_path, {"steps": 6}, digests={"validation": "a"}, **options).best_step == 2
    options |= {"resume": True, "accept_changes": True, "quiet": False, "digests": {"validation": "b"}}
    result = Task().fit(tmp_path, {"steps": 8}, **options)
    assert "validation has changed: step 2, the best until now, is weighed no more" in capfd.readouterr().err
    assert result.best_step == 8


def test_keys_that_a_newer_version_added_have_their_defaults_on_resume(tmp_path: Path) -> None:
    Task().fit(tmp_path, {"max_minutes": 1e-9})
    text = (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(text.replace("width: 8\n", "").replace("  max_bad_steps: 5\n", ""))
    assert "width" not in (tmp_path / "recipe.yaml").read_text()
    assert Task().fit(tmp_path, resume=True).finish_reason == "finished"
    (tmp_path / "recipe.yaml").write_text(text + "height: 3\n")
    with pytest.raises(TrainingError, match="height: 3 in the run, None now"):
        Task().fit(tmp_path, resume=True)


def test_another_network_is_refused_on_resume(tmp_path: Path) -> None:
    Task().fit(tmp_path)
    other = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 4, bias=False))
    task = Task()
    task.network = other
    with pytest.raises(TrainingError, match=r"do not hold the same trained tensors: 3\.bias"):
        task.fit(tmp_path, resume=True)


# Steps that go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_its_items_named(tmp_path: Path, how: str) -> None:
    task, before = Task(), {}

    def spoil(batch: SimpleBatch, loss: Tensor) -> Tensor:
        if batch.ids != ["clip-2-1"]:
            return loss
        before.update({name: value.clone() for name, value in task.network.state_dict().items()})
        if how == "loss":
            return loss * float("nan")
        return loss + (task.network[0].weight.flatten()[0] * 0).sqrt()  # its gradient is infinite times zero

    task.spoil = spoil
    task.fit(tmp_path, {"micro_batches": 2, "steps": 3, "log_every_steps": 3})
    (skipped,) = lines_of(tmp_path, "skipped")
    assert (skipped["step"], skipped["why"], skipped["in_a_row"]) == (3, how, 1)
    assert skipped["ids"] == (["clip-2-1"] if how == "loss" else ["clip-2-0", "clip-2-1"])
    assert all(torch.equal(value, before[name]) for name, value in task.network.state_dict().items())
    assert lines_of(tmp_path)[-1]["targets"] == 32  # of the two good steps


def test_too_many_bad_steps_in_a_row_stop_the_run_and_name_the_items(tmp_path: Path) -> None:
    task = Task()
    bad = {"clip-1-0", "clip-3-0", "clip-4-0", "clip-5-0"}
    task.spoil = lambda batch, loss: loss * (float("inf") if batch.ids[0] in bad else 1.0)
    with pytest.raises(TrainingError, match=r"stopped at step 6: 3 steps in a row .* items clip-5-0; look at them"):
        task.fit(tmp_path, {"max_bad_steps": 3, "save_every_steps": 1})
    assert (tmp_path / "checkpoints" / "step-5").is_dir()


def test_running_out_of_memory_names_the_batch_and_a_way_out(tmp_path: Path) -> None:
    task = Task()

    def spoil(batch: SimpleBatch, loss: Tensor) -> Tensor:
        return torch.empty(2**60)  # more than any machine has

    task.spoil = spoil
    with pytest.raises(TrainingError, match=r"memory on a batch of 1 items \(2\.5 audio seconds; clip-9-0\): halve"):
        task.fit(tmp_path, worst=[task.draw(9, 0)])
    assert task.drawn == [(9, 0)]  # found before the first step


def test_a_loss_cut_off_from_the_weights_is_an_error(tmp_path: Path) -> None:
    task = Task()
    task.spoil = lambda batch, loss: loss.detach().requires_grad_()
    with pytest.raises(TrainingError, match="no trained tensor got a gradient in the first step"):
        task.fit(tmp_path)


def test_checkpoints_that_are_all_torn_make_room_for_those_of_the_run_begun_anew(tmp_path: Path) -> None:
    Task().fit(tmp_path, {"save_every_steps": 2})
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "weights.safetensors").write_bytes(b"torn")
    task = Task()
    stopped = task.fit(tmp_path, {"max_minutes": 1e-9}, resume=True, accept_changes=True)
    assert (stopped.step, stopped.finish_reason) == (1, "time")
    assert load_weights(stopped.checkpoint, task.network) == 1
    there = {folder.name for folder in (tmp_path / "checkpoints").iterdir()}
    assert {"step-1", "step-6.torn"} <= there and "step-6" not in there


def test_a_run_gone_on_with_may_have_a_step_without_a_gradient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Task().fit(tmp_path, {"max_minutes": 1e-9}).step == 1
    task = Task()
    task.spoil = lambda batch, loss: 0 * loss if batch.ids == ["clip-1-0"] else loss
    assert task.fit(tmp_path, resume=True, accept_changes=True, quiet=False).finish_reason == "finished"
    assert "no gradient" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("opening", "told"), [(1.0, []), (0.0, ["no gradient in 2 steps for 3 tensors: 0.weight, 0.bias, 3.weight"])]
)
def test_tensors_that_no_gradient_reaches_in_a_tenth_of_the_steps_are_named(
    opening: float, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last layer begins at zero, so that the first step reaches nothing before it; 0: it stays so."""
    task = Task()
    last = task.network[3]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight).register_hook(lambda gradient: opening * gradient)
    task.fit(tmp_path, {"steps": 12, "optimizer": {"learning_rate": 0.01, "warmup_steps": 1}}, quiet=False)
    assert [line for line in capsys.readouterr().err.splitlines() if "no gradient" in line] == told


# What is frozen -----------------------------------------------------------------------------------------------------


def test_frozen_parts_keep_their_mode_and_stay_out_of_checkpoints(tmp_path: Path) -> None:
    import safetensors.torch

    task = Task()
    frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval().requires_grad_(False)
    whole = nn.ModuleDict({"ears": task.network, "language_model": frozen})
    inner, seen = task.loss, []

    def loss(batch: SimpleBatch) -> StepLoss:
        seen.append((task.network.training, frozen.training))
        assert isinstance(batch.content, Tensor)
        return inner(SimpleBatch(frozen(batch.content), batch.ids))

    task.loss = loss  # type: ignore[method-assign]
    digest = module_digest(frozen)
    result = task.fit(tmp_path, trainable=whole, frozen={"language model": frozen})
    assert set(seen) == {(True, False)} and module_digest(frozen) == digest
    saved = safetensors.torch.load_file(result.checkpoint / "weights.safetensors")
    assert set(saved) == {f"ears.{name}" for name, _ in task.network.named_parameters()}
    assert json.loads((tmp_path / "run.json").read_text())["digests"] == {"language model": digest}


def test_a_frozen_part_that_changes_is_an_error(tmp_path: Path) -> None:
    task, frozen = Task(), nn.Linear(2, 2).requires_grad_(False)

    def validate(step: int) -> dict[str, float]:
        frozen.weight[0, 0] += 1
        return {}

    with pytest.raises(TrainingError, match="language model was to stay frozen but has changed"):
        task.fit(tmp_path, frozen={"language model": frozen}, validate=validate)


def test_every_parameter_is_accounted_for(tmp_path: Path) -> None:
    task = Task()
    first = {"encoder": list(task.network[0].parameters())}
    with pytest.raises(TrainingError, match=r"3\.weight wants a gradient but is in no group"):
        task.fit(tmp_path, groups=first)
    with pytest.raises(TrainingError, match="language model is to stay frozen, but its weight would be trained"):
        task.fit(tmp_path, frozen={"language model": nn.Linear(2, 2)})
    task.network[3].requires_grad_(False)
    task.fit(tmp_path, groups=first)
    assert "untrained" in json.loads((tmp_path / "run.json").read_text())["digests"]
    half = Task()
    half.network.to(torch.bfloat16)
    with pytest.raises(TrainingError, match=r"0\.weight is torch\.bfloat16: what is trained must be float32"):
        half.fit(tmp_path / "half")
    with pytest.raises(TrainingError, match="nothing to train"):
        half.fit(tmp_path / "none", groups={})


# Dry run ------------------------------------------------------------------------------------------------------------


def test_the_estimate_counts_and_leaves_weights_and_generators_alone() -> None:
    task = Task()
    before, state = module_digest(task.network), torch.get_rng_state()
    settings = TrainSettings.build(QUICK | {"steps": 1000, "micro_batches": 2})
    groups = {"all": list(task.network.parameters())}
    found = estimate(task.network, groups, task.draw, task.loss, settings, worst=[task.draw(7, 0)])
    assert (found.parameters, found.steps) == (76, 1000)
    assert found.memory_mib > 50 and found.step_seconds > 0 and found.worst_batch_seconds > 0
    assert "76 trained parameters" in str(found) and "for 1,000 steps" in str(found)
    assert module_digest(task.network) == before and torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in task.network.parameters())
