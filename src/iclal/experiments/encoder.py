"""The tiny wav2vec 2.0 encoder: pretrained on characters, without the language model or its tokens.

Two CTC losses of the same frames: letters one after another, and whole words, each spelled at once. The second makes
a frame know the word that it stands in; with letters alone an encoder hears two or three sounds at a time, and the
tokens of a language model are far away.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import Wav2Vec2Config

from iclal.audio.augment import Augment
from iclal.audio.reading import SAMPLE_RATE
from iclal.data.world import speech
from iclal.data.world.sentences import Taste
from iclal.evaluation.metrics import total_word_errors
from iclal.experiments.human_speech import human_speech, no_speech
from iclal.model.encoder import Encoder, EncoderSettings
from iclal.settings import Settings
from iclal.training.attention import attend_in_float32
from iclal.training.batches import BatchBudget, Plan, Size
from iclal.training.optimizer import OptimizerSettings
from iclal.training.recordings import UNCHANGED, Recordings
from iclal.training.step import SimpleBatch, StepLoss
from iclal.training.train import FitResult, fit
from iclal.training.train_settings import TrainSettings
from iclal.training.weights import begin_with, load_weights

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
BLANK = len(ALPHABET)
# Mostly as it was said: rooms and noise on a third of all clips cost a small encoder half of what it learns
# (docs/log.md). Bands and faint noise are what telephones and 8 bits do.
LIGHT = Augment(
    tilt_probability=0.15,
    room_probability=0.1,
    noise_probability=0.3,
    noise_kinds=("white", "pink"),
    noise_snr_db=(22.0, 45.0),
    band_probability=0.3,
    band_high_hz=(3200.0, 5000.0),
)
HALVES = 2  # characters come faster than 25 a second, so each frame gives two CTC steps
SLOTS = 12  # letters of a word that are spelled at once; what is longer is known by its first ones
SYMBOLS = len(ALPHABET)  # at each slot: the alphabet, whose space ends a word


class EncoderRecipe(Settings):
    """Size, data and training of the tiny encoder."""

    width: int = Field(default=192, gt=0)
    layers: int = Field(default=4, gt=0)
    heads: int = Field(default=4, gt=0)  # divide the width
    dropout: float = Field(default=0.05, ge=0, lt=1)
    start: Path | None = None  # a folder of such an encoder to go on from, of as many layers or fewer
    heads_alone_steps: int = Field(default=0, ge=0)  # before the rest: new heads would spoil what it starts from
    margin_seconds: float = Field(default=0.3, ge=0)
    channels: int = Field(default=192, gt=0)  # of the convolutions, four phases a filter
    passages: int = Field(default=8000, gt=0)  # of synthetic speech, about 5 s each
    digit_strings: int = 300  # of human digits, joined
    no_speech: int = 150
    batch_seconds: float = 40.0
    data: Path = Path("data")
    augment: Augment = LIGHT
    train: TrainSettings = TrainSettings(
        steps=7600,
        optimizer=OptimizerSettings(learning_rate=1e-3, warmup_steps=100, decay_share=0.4),
        log_every_steps=50,
        validate_every_steps=500,
        save_every_steps=None,
        save_every_minutes=5,
        threads=1,
    )

    @model_validator(mode="after")
    def _divisible(self) -> EncoderRecipe:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.channels % 4:
            raise ValueError(f"channels {self.channels} is no multiple of 4")
        self.train.check_start(self.start)
        if self.heads_alone_steps and self.start is None:
            raise ValueError(
                f"heads_alone_steps={self.heads_alone_steps}: without start=FOLDER nothing is to be spared"
            )
        if self.heads_alone_steps >= self.train.steps:
            raise ValueError(f"heads_alone_steps={self.heads_alone_steps} leaves none of {self.train.steps} steps")
        return self


def build(recipe: EncoderRecipe) -> Encoder:
    """An untrained encoder at 25 frames a second, its first convolution set to a bank of mel-spaced Gabor filters."""
    config = Wav2Vec2Config(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        conv_dim=(recipe.channels,) * 3,
        conv_kernel=(400, 4, 4),
        conv_stride=(160, 2, 2),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        hidden_dropout=recipe.dropout,
        attention_dropout=recipe.dropout,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.08,
        mask_time_length=4,
        mask_feature_prob=0.0,
    )
    encoder = Encoder(EncoderSettings(config=config.to_diff_dict(), margin_seconds=recipe.margin_seconds))
    first = cast(nn.Conv1d, encoder.network.feature_extractor.conv_layers[0].conv)
    with torch.no_grad():
        first.weight.copy_(_gabor_bank(recipe.channels, first.kernel_size[0])[:, None])
    return encoder


def _gabor_bank(channels: int, kernel_samples: int) -> Tensor:
    """Windowed cosines [C, K]: `channels` / 4 mel-spaced frequencies from 60 Hz to 7.6 kHz, in four phases each.

    A random first layer needs hours to find filters of this kind; they stay trainable.
    """
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (60.0, 7600.0))
    mel = torch.linspace(low, high, channels // 4)
    hz = 700 * (10 ** (mel / 2595) - 1)
    seconds = (torch.arange(kernel_samples) - kernel_samples / 2) / SAMPLE_RATE
    phases = torch.arange(4) * math.pi / 2
    waves = torch.cos(2 * math.pi * hz[:, None, None] * seconds + phases[:, None])
    bank = (waves * torch.hann_window(kernel_samples)).reshape(-1, kernel_samples)
    return bank / bank.norm(dim=1, keepdim=True) * 0.5


class CharacterModel(nn.Module):
    """An encoder with heads for letters and for spelled words, which are thrown away after pretraining."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.LayerNorm(encoder.width)
        self.letter_head = nn.Linear(encoder.width, HALVES * (len(ALPHABET) + 1))
        self.word_head = nn.Linear(encoder.width, 1 + SLOTS * SYMBOLS)

    def forward(self, waveforms: list[Tensor], heads_alone: bool = False) -> tuple[Tensor, Tensor]:
        """Frames [B, F, E] as the heads read them, and how many of the F each clip has.

        `heads_alone`: no gradient goes further than the heads.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not heads_alone):
            frames_BFE, num_frames_B = self.encoder(waveforms)
        return self.norm(frames_BFE), num_frames_B

    def letters(self, frames_BFE: Tensor) -> Tensor:
        """Log-probabilities [B, 2F, characters + blank]."""
        logits = self.letter_head(frames_BFE).reshape(len(frames_BFE), -1, len(ALPHABET) + 1)
        return logits.float().log_softmax(-1)

    def words(self, frames_BFE: Tensor, vocabulary: Sequence[str]) -> Tensor:
        """Log-probabilities [B, F, 2 + words]: no word, any other word, each word of the vocabulary.

        A word is as probable as all its letters together, each at its slot, so that any word can be heard.
        """
        found = self.word_head(frames_BFE).float()
        slots = found[..., 1:].unflatten(-1, (SLOTS, SYMBOLS)).log_softmax(-1).flatten(-2)
        silent = F.logsigmoid(found[..., :1])
        codes = [_spelled(word) for word in vocabulary]
        with torch.autocast(found.device.type, enabled=False):  # what is left over is a small difference
            spelled = slots @ torch.stack(codes, 1) if codes else slots[..., :0]
        heard = F.logsigmoid(-found[..., :1]) + spelled
        # No target is "any other word", but PyTorch's gradient of CTC is right only where probabilities sum to one.
        others = 1 - torch.cat([silent, heard], -1).exp().sum(-1, keepdim=True)
        return torch.cat([silent, others.clamp_min(1e-6).log(), heard], -1)


def _spelled(word: str) -> Tensor:
    """One letter a slot [slots * symbols], as ones among zeros."""
    code = torch.zeros(SLOTS, SYMBOLS)
    for slot, letter in enumerate(f"{word} "[:SLOTS]):
        code[slot, ALPHABET.index(letter)] = 1
    return code.flatten()


@dataclass(frozen=True)
class HeardBatch:
    """Waveforms with the text that was said, and whether the heads alone are to learn of it."""

    waveforms: list[Tensor]
    texts: list[str]
    heads_alone: bool = False


def characters(text: str) -> list[int]:
    """Character ids of a text; what the alphabet lacks (full stops) is left out."""
    return [ALPHABET.index(letter) for letter in text.lower() if letter in ALPHABET]


def _loss(model: CharacterModel, batch: HeardBatch) -> StepLoss:
    """CTC of letters and of words, summed over clips; counted in characters, one for a clip without any."""
    frames_BFE, num_frames_B = model(batch.waveforms, batch.heads_alone)
    said = [characters(text) for text in batch.texts]
    letters = _ctc(model.letters(frames_BFE), HALVES * num_frames_B, said, BLANK)
    words = [[word[:SLOTS] for word in "".join(ALPHABET[id] for id in ids).split()] for ids in said]
    vocabulary = list(dict.fromkeys(word for each in words for word in each))
    ids = [[2 + vocabulary.index(word) for word in each] for each in words]
    spelled = _ctc(model.words(frames_BFE, vocabulary), num_frames_B, ids, blank=0)
    return StepLoss(letters + spelled, float(sum(max(1, len(ids)) for ids in said)))


def _ctc(log_probs_BFV: Tensor, steps_B: Tensor, ids: list[list[int]], blank: int) -> Tensor:
    """CTC's negative log-likelihood of each clip's ids, summed."""
    lengths = torch.tensor([len(each) for each in ids])
    targets = torch.tensor([id for each in ids for id in each], dtype=torch.long)
    return F.ctc_loss(
        log_probs_BFV.transpose(0, 1), targets, steps_B, lengths, blank=blank, reduction="sum", zero_infinity=True
    )


def read_words(spelled_FV: Tensor) -> str:
    """The words of CTC's greedy path through the word head's outputs [F, 1 + slots * symbols]."""
    said: list[str] = []
    for frame_V in spelled_FV:
        if frame_V[0] < 0:
            letters = frame_V[1:].reshape(SLOTS, SYMBOLS).argmax(-1).tolist()
            said.append("".join(ALPHABET[letter] for letter in letters).partition(" ")[0])
        else:
            said.append("")
    return " ".join(word for word, _ in itertools.groupby(said) if word)


def training_speech(recipe: EncoderRecipe) -> Recordings:
    """Everything the encoder is trained on."""
    recordings = Recordings(speech.speak_passages("ears", recipe.passages, seed=1))
    for other in (
        human_speech(recipe.data, digit_strings=recipe.digit_strings, sentences=True),
        no_speech(recipe.data, recipe.no_speech, seed=1),
    ):
        recordings.include(other)
    return recordings


def pretrain(
    recipe: EncoderRecipe, run_folder: Path, *, resume: bool = False, accept_changes: bool = False, quiet: bool = False
) -> FitResult:
    """Train, or go on with, the encoder of a recipe; validated by its spelled words on held-out sentences."""
    torch.manual_seed(recipe.train.seed)
    recordings = training_speech(recipe)
    model = _begun(recipe)
    attend_in_float32(model.encoder.network)
    seed, micro_batches = recipe.train.seed, recipe.train.micro_batches
    sizes = {id: Size(samples=recordings.num_samples(id)) for id in recordings.utterances}
    budget = BatchBudget(max_samples=int(recipe.batch_seconds * SAMPLE_RATE), max_items=32)
    plan = Plan(sizes, budget, seed, short_first_epochs=1)

    def draw(step: int, micro: int) -> SimpleBatch:
        number = step * micro_batches + micro
        ids = plan.batch(number)
        audios = [recordings.draw(id, seed, number // plan.batches_per_epoch, recipe.augment) for id in ids]
        waveforms = [torch.from_numpy(audio.samples) for audio in audios]
        texts = [recordings.utterances[id].text or "" for id in ids]
        seconds = sum(len(waveform) for waveform in waveforms) / SAMPLE_RATE
        content = HeardBatch(waveforms, texts, heads_alone=step < recipe.heads_alone_steps)
        return SimpleBatch(content, ids, {"audio_seconds": seconds})

    checks = check_speech()
    return fit(
        model,
        {"encoder": list(model.parameters())},
        draw,
        lambda batch: _loss(model, batch.content),
        recipe.train,
        run_folder,
        recipe=recipe,
        validate=lambda step: _word_error_rates(model, checks),
        choose=None if recipe.train.kept_share else ("wer_known_voices", "min"),
        digests={
            "plan": plan.digest(),
            "recordings": recordings.digest(),
            "validation": " ".join(check.digest() for check in checks.values()),
        },
        resume=resume,
        accept_changes=accept_changes,
        quiet=quiet,
    )


def _begun(recipe: EncoderRecipe) -> CharacterModel:
    """What a training begins with: an untrained encoder, or the one that the recipe goes on from."""
    model = CharacterModel(build(recipe))
    if recipe.start is not None:
        begin_with(model.encoder.network, Encoder.load(recipe.start).deepened(recipe.layers).network, recipe.start)
    return model


def check_speech(count: int = 64) -> dict[str, Recordings]:
    """Clean speech of known voices with new sentences (of the ears' part, another seed), to validate by.

    No test voice is heard here: the best checkpoint must not be chosen by the test.
    """
    quiet = speech.speak_passages("ears", count, seed=2, taste=Taste((1, 3)), noisy_share=0.0, drawn_share=0.0)
    noisy = speech.speak_passages("ears", count, seed=3, taste=Taste((1, 3)), noisy_share=1.0, drawn_share=0.0)
    return {"known_voices": Recordings(quiet), "noisy": Recordings(noisy)}


def _word_error_rates(model: CharacterModel, checks: dict[str, Recordings]) -> dict[str, float]:
    rates = {}
    for name, recordings in checks.items():
        references, hypotheses = [], []
        for id, utterance in recordings.utterances.items():
            waveform = torch.from_numpy(recordings.draw(id, 0, 0, UNCHANGED).samples)
            frames_BFE, _ = model([waveform])
            references.append(" ".join(word[:SLOTS] for word in (utterance.text or "").replace(".", "").split()))
            hypotheses.append(read_words(model.word_head(frames_BFE)[0]))
        rates[f"wer_{name}"] = total_word_errors(references, hypotheses).wer
    return rates


def measure(recipe: EncoderRecipe, checkpoint: Path) -> dict[str, float]:
    """Word error rates on the clips to validate by of the encoder that is exported, read by the checkpoint's heads.

    Heads begin anew in every training, so of theirs nothing is kept.
    """
    model, trained = _begun(recipe), _begun(recipe)
    load_weights(checkpoint, trained)
    load_weights(checkpoint, model, recipe.train.kept_share)
    trained.encoder = model.encoder.bfloat16().float()
    with torch.no_grad():
        return _word_error_rates(trained.eval(), check_speech())


def export(recipe: EncoderRecipe, checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint's encoder, without its heads, in the hub's layout: weights in bfloat16, to be small."""
    model = _begun(recipe)
    load_weights(checkpoint, model, recipe.train.kept_share)
    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.bfloat16().save(folder)
