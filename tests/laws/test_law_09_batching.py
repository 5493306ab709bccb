"""Law 9: how a step is cut into micro-batches changes neither its loss nor its gradient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from model_builders import build_model, noise
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, fill
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.model import ICLAL
from iclal.settings import Settings
from iclal.training.objectives import Case, EarsBatch, Objectives, ears_loss
from iclal.training.optimizer import OptimizerSettings
from iclal.training.step import SimpleBatch, StepLoss, accumulate
from iclal.training.teacher import TeacherAnswer
from iclal.training.train import fit
from iclal.training.train_settings import TrainSettings

NUM_ITEMS, WIDTH, VOCABULARY = 8, 16, 11
SPLITS = {"8x1": [1] * 8, "4x2": [2] * 4, "1x8": [8], "partial last": [3, 3, 2]}


class Recipe(Settings):
    train: TrainSettings


class TinyTransformer(nn.Module):
    """Tokens [B, T] -> logits [B, T, V], causal, without dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 4, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.recompute = False
        self.layer_calls = 0

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Padded positions come after every real one, so that causal attention never sees them."""
        mask_TT = nn.Transformer.generate_square_subsequent_mask(tokens_BT.shape[1])

        def layer(rows_BTD: Tensor) -> Tensor:
            self.layer_calls += 1
            return self.layer(rows_BTD, src_mask=mask_TT, is_causal=True)

        rows_BTD = self.embed(tokens_BT)
        rows_BTD = checkpoint(layer, rows_BTD, use_reentrant=False) if self.recompute else layer(rows_BTD)
        return self.head(rows_BTD)


def _items() -> list[Tensor]:
    """Texts of very different lengths."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(VOCABULARY, (2 + 3 * n,), generator=generator) for n in range(NUM_ITEMS)]


def _batches(split: list[int]) -> list[SimpleBatch]:
    parts = [list(part) for part in torch.arange(NUM_ITEMS).split(split)]
    return [SimpleBatch([int(n) for n in part], [str(int(n)) for n in part], {"items": len(part)}) for part in parts]


def _loss(model: TinyTransformer) -> object:
    items = _items()

    def loss(batch: SimpleBatch) -> StepLoss:
        assert isinstance(batch.content, list)
        chosen = [items[n] for n in batch.content]
        tokens_BT = nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        targets_BT = nn.utils.rnn.pad_sequence([text[1:] for text in chosen], batch_first=True, padding_value=-100)
        logits_BTV = model(tokens_BT)[:, :-1]
        total = nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=-100, reduction="sum"
        )
        return StepLoss(total, int((targets_BT >= 0).sum()), {"again": float(total.detach())})

    return loss


def _gradient(split: list[int], *, recompute: bool = False) -> tuple[float, Tensor, TinyTransformer]:
    model = TinyTransformer()
    model.recompute = recompute
    parameters = list(model.parameters())
    sums = accumulate(_batches(split), _loss(model), parameters)  # type: ignore[arg-type]
    gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    return sums.loss / sums.count, gradient, model


def test_the_gradient_is_that_of_the_mean_over_all_target_tokens() -> None:
    model, items = TinyTransformer(), _items()
    losses = [nn.functional.cross_entropy(model(t[None])[0, :-1], t[1:], reduction="none") for t in items]
    mean = torch.cat(losses).mean()
    reference = torch.cat([g.flatten() for g in torch.autograd.grad(mean, list(model.parameters()))])
    loss, gradient, _ = _gradient([8])
    assert loss == pytest.approx(float(mean.detach()), rel=1e-6)
    assert (gradient - reference).norm() <= 1e-6 * reference.norm()


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_every_split_into_micro_batches_gives_the_same_loss_and_gradient(split: list[int]) -> None:
    whole_loss, whole, _ = _gradient([8])
    loss, gradient, _ = _gradient(split)
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    assert (gradient - whole).norm() <= 1e-6 * whole.norm()


def test_recomputed_activations_give_the_same_gradient_and_are_recomputed() -> None:
    _, kept, model = _gradient([4, 4])
    _, recomputed, recomputing = _gradient([4, 4], recompute=True)
    assert (model.layer_calls, recomputing.layer_calls) == (2, 4)
    assert (kept - recomputed).norm() <= 1e-6 * kept.norm()


TEXTS = ("where is mira", "yes", "", "no one", "paris", "a blue house", "rome", "two")
SHOTS = {0: 0, 3: 1, 4: 2}  # item -> demonstrations of its lesson; the other items have none, nor do their batches


def _ears_batches(split: list[int], model: ICLAL) -> list[SimpleBatch[EarsBatch]]:
    """Items of unequal length: a clip with its text, for a few of them a lesson that shows other items' clips too."""
    return [_ears_batch([int(n) for n in part], model) for part in torch.arange(NUM_ITEMS).split(split)]


def _ears_batch(items: list[int], model: ICLAL) -> SimpleBatch[EarsBatch]:
    clips = [Utterance(str(n), text=text) for n, text in enumerate(TEXTS)]
    heard = [n for n in items] + [n + k for n in items if n in SHOTS for k in range(SHOTS[n] + 1)]
    audios: dict[str, Audio] = {str(n): noise(9_000 + 2_500 * (n % 4), seed=n) for n in heard}
    cases = []
    for n in items:
        if n in SHOTS:
            query, *shown = (Item(clip, clip.text or "") for clip in clips[n : n + SHOTS[n] + 1])
            example = model.settings.template.example(f"lesson-{n}", "where", shown, query)
            filled = fill(example.prompt, lambda utterance: audios[utterance.id])
            cases.append(Case(filled, _teacher_answer(n, model)))
    return SimpleBatch(EarsBatch([clips[n] for n in items], list(audios.values()), cases), [f"item {n}" for n in items])


def _teacher_answer(n: int, model: ICLAL) -> TeacherAnswer:
    """The item's text with some distribution over four tokens at each."""
    ids = tuple(model.language_model.ids(f" {TEXTS[n]}\n"))
    generator = torch.Generator().manual_seed(n)
    likely_ids = torch.randint(100, (len(ids), 4), generator=generator)
    return TeacherAnswer(ids, likely_ids, torch.rand(len(ids), 4, generator=generator).softmax(1))


@pytest.mark.parametrize("kind", ["ctc", "linear"])
def test_every_split_gives_the_ears_the_same_loss_and_gradient(parts: Path, kind: str) -> None:
    """Alignment or transcription with distillation, through encoder, connector and frozen language model."""
    connector = CTCSettings() if kind == "ctc" else LinearSettings()
    other = {"alignment": 1.0} if kind == "ctc" else {"transcription": 1.0}
    objectives = Objectives.build({"distillation": 0.5} | other)
    model = build_model(parts, connector=connector)
    parameters = list(model.parameters())
    outcomes = []
    for split in SPLITS.values():
        model.zero_grad()
        batches = _ears_batches(split, model)
        sums = accumulate(batches, lambda batch: ears_loss(model, batch.content, objectives), parameters)
        gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        outcomes.append((sums.loss / sums.count, sums.count, gradient))
    whole_loss, count, whole = outcomes[2]
    for loss, counted, gradient in outcomes:
        assert counted == count and loss == pytest.approx(whole_loss, rel=1e-6)
        # float32 through a padded encoder and sharp CTC posteriors (1.4e-5 measured); the sums are held to 1e-6 above
        assert (gradient - whole).norm() <= 5e-5 * whole.norm()


def test_the_loop_logs_the_same_loss_and_gradient_norm_and_reaches_the_same_weights(tmp_path: Path) -> None:
    outcomes = []
    for name, size in (("8x1", 1), ("4x2", 2), ("1x8", 8)):
        model = TinyTransformer()
        batches = _batches([size] * (NUM_ITEMS // size))
        # epsilon large: Adam's first steps are signs of the gradient, which rounding may flip where it is near zero
        optimizer = OptimizerSettings(learning_rate=0.01, eps=1e-3, warmup_steps=0)
        settings = TrainSettings(
            steps=3, micro_batches=len(batches), log_every_steps=1, optimizer=optimizer, threads=1, tensorboard=False
        )
        fit(
            model, {"all": list(model.parameters())}, lambda step, micro, b=batches: b[micro], _loss(model),  # type: ignore[arg-type]
            settings, tmp_path / name, recipe=Recipe(train=settings), quiet=True,
        )  # fmt: skip
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        outcomes.append(([(line["loss"], line["parts"]["again"], line["gradient_norm"]) for line in lines], weights))
    for lines, weights in outcomes[1:]:
        assert lines == [pytest.approx(line, rel=2e-6) for line in outcomes[0][0]]
        assert (weights - outcomes[0][1]).norm() <= 1e-6 * weights.norm()
