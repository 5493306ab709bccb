"""Law 7: the same seed gives the same bytes (data, speech, order, demonstrations, weights), another seed others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from model_builders import build_encoder, build_language_model

from iclal.data.demonstrations import draw, seeded
from iclal.data.tasks import questions
from iclal.data.world import names, speech
from iclal.data.world.sentences import Taste
from iclal.experiments import documents
from iclal.experiments.documents import Pool, Stage, Tokenize, document
from iclal.experiments.human_speech import fsdd_digits, no_speech
from iclal.experiments.tokenizer import DEFAULT_TEMPLATE, world_tokenizer
from iclal.training.batches import BatchBudget, Plan, Size
from iclal.training.ears import train_ears
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import Recordings
from iclal.training.speech import Speech
from iclal.training.weights import module_digest

DATA = Path(__file__).parents[2] / "data"


def digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()


def passages(seed: int) -> str:
    return digest([p.to_json() for p in _pool(seed).passages])


def _pool(seed: int) -> Pool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "POOL_SIZE", 400)
        return Pool(seed, 0, Stage(0.5))


def drawn_documents(seed: int) -> str:
    pool, rng, memory = _pool(1), seeded("documents", seed), Tokenize(world_tokenizer())
    return digest([document(pool, rng, DEFAULT_TEMPLATE, memory).ids for _ in range(40)])


def order(seed: int) -> str:
    plan = Plan({f"u{i}": Size(samples=100 + 7 * i % 50) for i in range(60)}, BatchBudget(max_samples=900), seed)
    return digest([plan.batch(number) for number in range(3 * plan.batches_per_epoch)])


def demonstrations(seed: int) -> str:
    pool = _pool(1).passages
    rng = seeded(seed, "query-7")
    return digest([item.clip.id for item in draw(questions.episode(rng), pool, 8, rng, {"query-7"})])


def people(seed: int) -> str:
    return digest(names.name_list(80, seed=seed))


def sounds(seed: int) -> str:
    return no_speech(DATA, 3, seed).digest()


@pytest.mark.parametrize("made", [passages, drawn_documents, order, demonstrations, people, sounds])
def test_data_and_order_are_functions_of_the_seed(made: Callable[[int], str]) -> None:
    assert made(1) == made(1) != made(2)


def test_they_are_the_same_in_another_process_whatever_its_hash_seed() -> None:
    program = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
import {Path(__file__).stem} as law
print(law.passages(1), law.drawn_documents(1), law.order(1), law.demonstrations(1), law.people(1))
"""
    outputs = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        outputs.append(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True))
    assert outputs[0].stdout == outputs[1].stdout != "", outputs[0].stderr
    assert outputs[0].stdout.split() == [m(1) for m in (passages, drawn_documents, order, demonstrations, people)]


def spoken(seed: int, folder: Path, count: int) -> dict[str, str]:
    """Id -> digest of the recording's file, in a cache of its own."""
    told = speech.speak_passages("ears", count, seed, Taste((1, 1)), folder=folder, progress=False)
    return {u.id: hashlib.sha256(Path(u.audio or "").read_bytes()).hexdigest() for u in told}


@pytest.mark.slow
def test_speech_of_twenty_utterances_is_the_same_to_the_byte(tmp_path: Path) -> None:
    first = spoken(1, tmp_path / "one", 20)
    assert first == spoken(1, tmp_path / "two", 20)
    other = spoken(2, tmp_path / "three", 3)
    assert not set(other.values()) & set(first.values())
    # an utterance of a short run is that of the long one: nothing depends on what was spoken before
    alone = spoken(1, tmp_path / "four", 2)
    assert alone.items() <= first.items()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("law-7")
    build_language_model(folder / "lm", max_position_embeddings=256)
    build_encoder(folder / "encoder")
    return folder


def weights(seed: int, home: Path, folder: Path) -> str:
    """Three steps with dropout, SpecAugment, augmentation, alignment and distillation."""
    recordings = Recordings()
    for utterance, samples in list(fsdd_digits(DATA, ("george",)))[:8]:
        recordings.add(utterance, samples)
    recipe = EarsRecipe.build(
        {
            "language_model": str(home / "lm"),
            "encoder": str(home / "encoder"),
            "objectives": {"alignment": 1.0, "distillation": 1.0},
            "transcription_instruction": "write",
            "teacher": {"examples": 4},
            "batch_seconds": 6.0,
            "validation_clips": 2,
            "device": "cpu",
            "train": {"steps": 3, "validate_every_steps": 3, "seed": seed, "threads": 1, "tensorboard": False},
        }
    )
    trained = train_ears(recipe, folder, Speech(recordings, recordings), quiet=True)
    assert trained.fit.step == 3
    last = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("step-")))
    return hashlib.sha256((last / "weights.safetensors").read_bytes()).hexdigest() + module_digest(trained.model)


@pytest.mark.slow
def test_weights_after_three_steps_are_the_same_to_the_byte(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    first = weights(1, home, tmp_path / "one")
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "another-cache"))
    assert weights(1, home, tmp_path / "two") == first
    assert weights(2, home, tmp_path / "three")[:64] != first[:64]
