"""Pretraining by command: as processes, stopped by the clock, gone on with, loaded by Hugging Face's classes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_folder import few_of_the_data
from program import SPEECH, Done, iclal
from transformers import AutoModelForCausalLM, AutoTokenizer, OPTForCausalLM, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from iclal.audio.reading import read_audio
from iclal.experiments import pretrain
from iclal.experiments.encoder import EncoderRecipe
from iclal.experiments.language_model import LanguageModelRecipe
from iclal.model.encoder import Encoder
from iclal.model.language_model import LanguageModel

# The project's data folder with a few clips of each corpus that is trained on.
FEW = {
    "fsdd": ("speaker", {"george": 7, "nicolas": 7, "theo": 7}),
    "speechocean762": ("split", {"train": 3}),
    "esc10_nonspeech": ("label", {"crying_baby": 3}),
}
# The program, but what it validates and measures by is small: a few documents and clips instead of thousands.
PROGRAM = """
from iclal.experiments import documents, encoder, language_model
documents.POOL_SIZE = 400
language_model.check_documents.__defaults__ = (2, 0, ("train", "test"))
language_model.measure.__defaults__ = (4,)
encoder.check_speech.__defaults__ = (2,)
from iclal.cli import main

main()
"""
STEPS = ("train.steps=3", "train.validate_every_steps=3", "train.log_every_steps=1", "train.tensorboard=false")
SMALL_LANGUAGE_MODEL = ("layers=3", "feed_forward_width=96", "tokens_per_batch=1024", *STEPS)
SMALL_ENCODER = (
    *("width=32", "layers=1", "heads=2", "channels=32", "passages=3", "digit_strings=2", "no_speech=2"),
    *("batch_seconds=12", *STEPS),
)
AT_ONCE = "train.max_minutes=0.000001"  # one step is made, then it saves and stops


def run(cache: Path, *arguments: object) -> Done:
    """A command line in a process of its own."""
    environment = os.environ | {"ICLAL_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def logged(run_folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def check_session(done: Done, out: Path, reason: str, steps: int) -> dict[str, Any]:
    """What a session printed is what stands beside the weights; every step was logged once."""
    assert done.status == 0, done.stderr
    printed = done.json
    assert printed["model"] == str(out / "model") and printed["finish_reason"] == reason
    assert [line["step"] for line in logged(out, "train")] == list(range(1, steps + 1))
    written = json.loads((out / "model" / "reached.json").read_text(encoding="utf-8"))
    assert {"model": str(out / "model")} | written == printed
    return printed


@pytest.mark.slow
def test_a_language_model_is_pretrained_stopped_and_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("pretrain", "language-model")
    stopped = run(tmp_path, *command, *SMALL_LANGUAGE_MODEL, AT_ONCE, "--out", out, "--json")
    check_session(stopped, out, "time", 1)
    # the recipe is the run's own: nothing but the clock need be said again
    finished = run(tmp_path, *command, "train.max_minutes=null", "--out", out, "--resume", "--json")
    reached = check_session(finished, out, "finished", 3)
    assert len(json.loads((out / "run.json").read_text())["sessions"]) == 2
    recipe = LanguageModelRecipe.read(out / "recipe.yaml")
    assert (recipe.layers, recipe.train.steps) == (3, 3)
    cells = reached["reached"]
    assert cells["plain"].keys() == cells["behind_filler"].keys() >= {"transcript-0", "labels-4x2*", "mean"}
    assert all(0 <= share <= 1 for measured in cells.values() for share in measured.values())

    network = AutoModelForCausalLM.from_pretrained(out / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert isinstance(network, OPTForCausalLM) and network.dtype == torch.bfloat16
    assert network.config.num_hidden_layers == 3 and network.config.ffn_dim == 96
    own = LanguageModel.load(out / "model")
    text = "heard: mira lives in paris.\n"
    ids = tokenizer(text)["input_ids"]
    assert ids == [*own.prefix_ids, *own.ids(text)] and tokenizer.decode(ids, skip_special_tokens=True) == text
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids])).logits for model in (network, own.network)]
    assert torch.equal(*logits)


@pytest.mark.slow
def test_an_encoder_is_pretrained_stopped_and_gone_on_with(tmp_path: Path) -> None:
    out, data = tmp_path / "run", few_of_the_data(tmp_path, FEW)
    command = ("pretrain", "encoder")
    stopped = run(tmp_path, *command, f"data={data}", *SMALL_ENCODER, AT_ONCE, "--out", out, "--json")
    check_session(stopped, out, "time", 1)
    finished = run(tmp_path, *command, "train.max_minutes=null", "--out", out, "--resume", "--json")
    reached = check_session(finished, out, "finished", 3)
    assert reached["reached"].keys() == {"wer_known_voices", "wer_noisy"}
    assert EncoderRecipe.read(out / "recipe.yaml").data == data

    network = Wav2Vec2Model.from_pretrained(out / "model", dtype=torch.float32).eval()  # stored in half the bytes
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(out / "model")
    assert extractor.sampling_rate == 16_000 and extractor.do_normalize
    samples = read_audio(SPEECH).samples
    margins = np.pad(samples - samples.mean(), 4_800)  # 0.3 s, which Hugging Face's classes know nothing of
    values = extractor(margins, sampling_rate=16_000, return_tensors="pt").input_values
    own = Encoder.load(out / "model").eval()
    with torch.no_grad():
        expected_FE = network(values).last_hidden_state[0]
        frames_BFE, _ = own([torch.from_numpy(samples)])
    assert expected_FE.shape == (own.num_frames(len(samples)), 32)
    torch.testing.assert_close(frames_BFE[0], expected_FE, atol=1e-5, rtol=1e-5)


# --- recipes


@pytest.mark.parametrize("kind", [LanguageModelRecipe, EncoderRecipe])
def test_a_value_on_top_leaves_the_others_of_its_section(
    kind: type[LanguageModelRecipe | EncoderRecipe], tmp_path: Path
) -> None:
    default = kind()
    assert pretrain._recipe(kind, tmp_path, [], resume=False) == default
    given = pretrain._recipe(kind, tmp_path, ["train.max_minutes=60", "train.optimizer.warmup_steps=7"], resume=False)
    optimizer = default.train.optimizer.model_copy(update={"warmup_steps": 7})
    train = default.train.model_copy(update={"max_minutes": 60.0, "optimizer": optimizer})
    assert given == default.model_copy(update={"train": train})


def test_a_run_goes_on_with_its_own_recipe_and_begins_anew_with_the_default(tmp_path: Path) -> None:
    own = LanguageModelRecipe.build({"layers": 5, "train": {"steps": 9}})
    out = began(tmp_path / "run", own)
    assert pretrain._recipe(LanguageModelRecipe, out, [], resume=True) == own
    longer = pretrain._recipe(LanguageModelRecipe, out, ["train.steps=12"], resume=True)
    assert longer == own.model_copy(update={"train": own.train.model_copy(update={"steps": 12})})
    assert pretrain._recipe(LanguageModelRecipe, out, [], resume=False) == LanguageModelRecipe()


def began(out: Path, recipe: LanguageModelRecipe) -> Path:
    """A run folder that holds a recipe alone, as one does that was stopped before its first checkpoint."""
    out.mkdir()
    (out / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    return out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("layers=2", "layers: Input should be greater than or equal to 3 (found 2 in 'layers=2')"),
        ("start_share=1", "start_share: Input should be less than 1 (found 1 in 'start_share=1')"),
        ("train.step=3", "train.step: unknown key; near names: train.steps"),
    ],
)
def test_a_value_is_refused_at_the_start_and_when_a_run_is_gone_on_with(
    words: str, message: str, tmp_path: Path
) -> None:
    fresh = iclal("pretrain", "language-model", words, "--out", tmp_path / "fresh")
    assert fresh.status == 2 and fresh.error == f"settings: {message}"
    out = began(tmp_path / "run", LanguageModelRecipe())
    resumed = iclal("pretrain", "language-model", words, "--out", out, "--resume")
    assert resumed.status == 2 and resumed.error == f"{out / 'recipe.yaml'}: {message}"


def test_a_recipe_that_is_damaged_is_named(tmp_path: Path) -> None:
    out = began(tmp_path / "run", LanguageModelRecipe())
    (out / "recipe.yaml").write_text("layers: [3")
    done = iclal("pretrain", "language-model", "--out", out, "--resume")
    assert done.status == 2 and done.error.startswith(f"{out / 'recipe.yaml'} is not YAML")
