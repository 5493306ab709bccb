"""The tiny encoder: filters it begins with, characters, CTC by hand, what it is trained on, two steps and export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from model_builders import noise

from iclal.errors import TrainingError
from iclal.experiments import encoder
from iclal.experiments.encoder import (
    ALPHABET,
    BLANK,
    SLOTS,
    SYMBOLS,
    CharacterModel,
    EncoderRecipe,
    HeardBatch,
    build,
    characters,
    export,
    measure,
    pretrain,
    read_words,
    training_speech,
)
from iclal.model.encoder import Encoder
from iclal.training.weights import load_weights

DATA = Path(__file__).parents[2] / "data"


def recipe(**train: object) -> EncoderRecipe:
    values = {"steps": 2, "validate_every_steps": 2, "log_every_steps": 1, "threads": 1, "tensorboard": False}
    sizes = {"width": 32, "layers": 2, "heads": 2, "channels": 32}
    speech = {"passages": 4, "digit_strings": 3, "no_speech": 2, "batch_seconds": 24.0, "data": str(DATA)}
    return EncoderRecipe.build({**sizes, **speech, "train": values | train})


def small() -> CharacterModel:
    torch.manual_seed(0)
    return CharacterModel(build(recipe())).eval()


def test_characters_of_a_text_are_letters_apostrophes_and_spaces() -> None:
    assert "".join(ALPHABET[id] for id in characters("Hello, Bill's.")) == "hello bill's"


def test_words_are_read_back_and_repeats_need_a_frame_without_a_word_between() -> None:
    def spelled(*words: str) -> torch.Tensor:
        frames = torch.zeros(len(words), 1 + SLOTS * SYMBOLS)
        for frame, word in zip(frames, words, strict=True):
            frame[0] = -1.0 if word else 1.0
            for slot, letter in enumerate(f"{word} "[:SLOTS]):
                frame[1 + slot * SYMBOLS + ALPHABET.index(letter)] = 1.0
        return frames

    assert read_words(spelled("", "mira", "mira", "", "lives", "in", "", "in", "")) == "mira lives in in"
    assert read_words(spelled("", "")) == ""
    assert read_words(spelled("extraordinarily")) == "extraordinar"  # what is longer is known by its first letters


def test_first_filters_answer_to_their_own_pitch() -> None:
    bank = encoder._gabor_bank(64, 400)
    assert bank.shape == (64, 400) and torch.allclose(bank.norm(dim=1), torch.full((64,), 0.5))
    spectrum = torch.fft.rfft(bank, 16_000).abs()
    peaks_hz = spectrum.argmax(1)[::4].float()
    assert bool((peaks_hz.diff() > 0).all()) and 30 < peaks_hz[0] < 100 and 7_500 < peaks_hz[-1] < 7_700
    first = build(recipe()).network.feature_extractor.conv_layers[0].conv.weight
    assert torch.equal(first[:, 0], encoder._gabor_bank(32, 400))


def test_frames_come_25_a_second_and_characters_twice_as_often() -> None:
    model = small()
    frames, num_frames = model([torch.from_numpy(noise(32_000).samples)])
    assert model.encoder.num_frames(32_000) in (63, 64)  # of two seconds and their margins, 0.3 s on either side
    assert int(num_frames[0]) == model.encoder.num_frames(32_000)
    letters, words = model.letters(frames), model.words(frames, ["mira", "ten", "extraordinarily"])
    assert letters.shape == (1, 2 * int(num_frames[0]), len(ALPHABET) + 1)
    assert words.shape == (1, int(num_frames[0]), 5)
    for log_probs in (letters, words):
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones(log_probs.shape[:-1]), atol=1e-5)


@torch.no_grad()
def test_a_word_is_as_probable_as_its_letters_and_its_end_together() -> None:
    model = small()
    frames, _ = model([torch.from_numpy(noise(16_000).samples)])
    found = model.word_head(frames)[0, 7]
    slots = found[1:].reshape(SLOTS, SYMBOLS).log_softmax(-1)
    ten = F.logsigmoid(-found[0]) + sum(slots[i, ALPHABET.index(letter)] for i, letter in enumerate("ten "))
    silent, _, heard, _ = model.words(frames, ["ten", "tent"])[0, 7]
    assert float(heard) == pytest.approx(float(ten), abs=1e-4)
    assert float(silent) == pytest.approx(float(F.logsigmoid(found[0])), abs=1e-5)


@torch.no_grad()
def test_loss_is_ctc_of_letters_and_of_words_clip_by_clip_counted_in_characters() -> None:
    model = small()
    waveforms = [torch.from_numpy(noise(n, n).samples) for n in (32_000, 20_000, 16_000)]
    texts = ["mira lives mira.", "ten.", ""]
    wordless = encoder._loss(model, HeardBatch(waveforms[2:], texts[2:]))  # silence is learnt from it alone, too
    vocabulary = ["mira", "lives", "ten"]
    found = encoder._loss(model, HeardBatch(waveforms, texts))
    expected = 0.0
    for waveform, text in zip(waveforms, texts, strict=True):
        frames, _ = model([waveform])
        words = [2 + vocabulary.index(word) for word in text.rstrip(".").split()]
        for log_probs, ids, blank in (
            (model.letters(frames)[0], characters(text), BLANK),
            (model.words(frames, vocabulary)[0], words, 0),
        ):
            if ids:
                loss = F.ctc_loss(log_probs, torch.tensor(ids), (len(log_probs),), (len(ids),), blank, reduction="sum")
            else:
                loss = -log_probs[:, blank].sum()
            expected += float(loss)
    assert float(found.sum) == pytest.approx(expected, rel=1e-4)
    assert found.count == len("mira lives mira") + len("ten") + 1
    frames, _ = model(waveforms[2:])
    silent = -model.letters(frames)[0, :, BLANK].sum() - model.words(frames, [])[0, :, 0].sum()
    assert float(wordless.sum) == pytest.approx(float(silent), rel=1e-4) and wordless.count == 1


def test_the_gradient_of_words_is_that_of_their_loss() -> None:
    """PyTorch's CTC has it right only for probabilities that sum to one."""
    model = small()
    batch = HeardBatch([torch.from_numpy(noise(16_000).samples)], ["mira lives."])
    encoder._loss(model, batch).sum.backward()
    bias = model.word_head.bias
    assert bias.grad is not None
    for place in (0, 1 + ALPHABET.index("m"), 1 + ALPHABET.index("t")):
        with torch.no_grad():
            losses = []
            for step in (0.02, -0.04):
                bias[place] += step
                losses.append(float(encoder._loss(model, batch).sum))
            bias[place] += 0.02
        assert float(bias.grad[place]) == pytest.approx((losses[0] - losses[1]) / 0.04, rel=0.02, abs=0.02)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICLAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.slow
def test_two_steps_are_trained_validated_and_exported(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_speech = encoder.check_speech
    monkeypatch.setattr(encoder, "check_speech", lambda: check_speech(2))
    result = pretrain(recipe(), tmp_path / "run", quiet=True)
    assert (result.step, result.finish_reason) == (2, "finished")
    assert set(result.best_metrics) >= {"wer_known_voices", "wer_noisy"}
    export(recipe(), result.checkpoint, tmp_path / "model")
    loaded, model = Encoder.load(tmp_path / "model").eval(), CharacterModel(build(recipe()))
    load_weights(result.checkpoint, model)
    audio = torch.from_numpy(noise(20_000).samples)
    stored = model.encoder.bfloat16().float().eval()
    with torch.no_grad():
        assert torch.equal(loaded([audio])[0], stored([audio])[0])
    assert loaded.settings.do_normalize and loaded.width == 32

    layers = loaded.network.config.num_hidden_layers
    gone_on = recipe(steps=2, save_every_steps=1, keep_checkpoints=3).model_copy(
        update={"start": tmp_path / "model", "layers": layers + 1, "heads_alone_steps": 1}
    )
    pretrain(gone_on, tmp_path / "again", quiet=True)
    begun = CharacterModel(build(gone_on))
    for step in (0, 1, 2):
        load_weights(tmp_path / "again" / "checkpoints" / f"step-{step}", begun)
        found = begun.encoder.network.state_dict()
        same = [torch.equal(found[name], value) for name, value in loaded.network.state_dict().items()]
        assert all(same) is (step < 2)  # first the heads alone
    assert begun.encoder.network.config.num_hidden_layers == layers + 1
    kept = gone_on.model_copy(update={"train": gone_on.train.model_copy(update={"kept_share": 0.5})})
    export(kept, tmp_path / "again" / "checkpoints" / "step-2", tmp_path / "mean")
    rates = measure(kept, tmp_path / "again" / "checkpoints" / "step-2")
    assert rates.keys() == {"wer_known_voices", "wer_noisy"}
    assert measure(kept, tmp_path / "again" / "checkpoints" / "step-2") == rates  # heads drawn anew play no part
    mean, before = Encoder.load(tmp_path / "mean").network.state_dict(), loaded.network.state_dict()
    for name, value in before.items():
        expected = (value + begun.encoder.network.state_dict()[name]) / 2
        torch.testing.assert_close(mean[name], expected.bfloat16().float(), atol=1e-6, rtol=1e-2)
    with pytest.raises(TrainingError, match=r"model: .* has shape"):
        pretrain(gone_on.model_copy(update={"channels": 16}), tmp_path / "other", quiet=True)


@pytest.mark.slow
def test_it_is_trained_on_the_world_on_human_digits_and_sentences_and_on_no_speech(cache: None) -> None:
    found = training_speech(recipe())
    ids = list(found.utterances)
    assert sum(id.startswith("ears-1-") for id in ids) == 4
    assert sum(id.startswith("fsdd-string-") for id in ids) == 3
    assert sum(id.startswith("no-speech-") for id in ids) == 2
    silent = [u for u in found.utterances.values() if not u.text]
    assert len(silent) == 2 + len([u for u in silent if u.label and "baby" in u.label]) > 4
    assert found.dropped == {}
