"""The tiny language model: an OPT of a few million parameters, trained from scratch on the world's text.

It stands for the 6.7 billion parameters that nobody can train in a test suite: an ordinary `OPTForCausalLM` on disk,
which reads instructions and demonstrations, and which the ears meet as they would meet any other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from iclal.data.demonstrations import seeded
from iclal.data.manifest import Utterance
from iclal.data.prompt import Template, Text, fill, read_transcript
from iclal.data.tasks import labels, pattern, questions, summary, transcript
from iclal.data.world import names, sentences
from iclal.experiments import documents
from iclal.experiments.documents import Document, Pool, Stage, Tokenize
from iclal.experiments.seeded_init import seed_induction
from iclal.experiments.tokenizer import kinds_of_words, world_tokenizer
from iclal.model.language_model import LanguageModel
from iclal.progress import Bar
from iclal.settings import Settings
from iclal.training.attention import attend_in_float32
from iclal.training.optimizer import OptimizerSettings
from iclal.training.step import SimpleBatch, StepLoss
from iclal.training.train import FitResult, fit
from iclal.training.train_settings import TrainSettings
from iclal.training.weights import begin_with, load_weights

if TYPE_CHECKING:
    from transformers import OPTForCausalLM, PreTrainedTokenizerFast

POSITIONS = 2048
HINT_WEIGHT = 0.1  # of each hint; an answer of n tokens among m weighs sqrt(n / m)
NO_HINT = -1
_CHECK_PASSAGES = 1500


class LanguageModelRecipe(Settings):
    """Size and training of the tiny language model."""

    layers: int = Field(default=6, ge=3)
    width: int = Field(default=192, gt=0)
    feed_forward_width: int = Field(default=384, gt=0)  # what is learnt here is looking things up: depth over width
    head_width: int = Field(default=32, gt=0)  # divides the width
    start: Path | None = None  # a folder of such a model to go on from, with a schedule of its own
    start_share: float = Field(default=0.0, ge=0, lt=1)  # of the curriculum that it has behind it
    tokens_per_batch: int = Field(default=4096, gt=0)  # padded
    unshifted_share: float = 0.3  # of documents that begin at position 0; the others anywhere they fit
    template: Template = Template()
    train: TrainSettings = TrainSettings(
        steps=9800,
        optimizer=OptimizerSettings(learning_rate=1e-3, warmup_steps=100, decay_share=0.4),
        log_every_steps=50,
        validate_every_steps=500,
        save_every_steps=None,
        save_every_minutes=5,
        threads=1,
    )

    @model_validator(mode="after")
    def _whole_heads(self) -> LanguageModelRecipe:
        if self.width % self.head_width:
            raise ValueError(f"width {self.width} is no multiple of head_width {self.head_width}")
        self.train.check_start(self.start)
        return self


def pretrain(
    recipe: LanguageModelRecipe,
    run_folder: Path,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    quiet: bool = False,
) -> FitResult:
    """Train, or go on with, the language model of a recipe; validated by exact answers on unseen sentences."""
    torch.manual_seed(recipe.train.seed)
    tokenizer = world_tokenizer(recipe.template)
    model = _begun(recipe)
    draw = DocumentBatches(recipe, Tokenize(tokenizer))
    checks = check_documents(recipe.template, Tokenize(tokenizer), name_parts=("train",))
    return fit(
        model,
        {"language_model": list(model.parameters())},
        lambda step, micro: draw(step * recipe.train.micro_batches + micro),
        lambda batch: _loss(model, batch.content),
        recipe.train,
        run_folder,
        recipe=recipe,
        validate=lambda step: exact_answers(model, checks),
        choose=None if recipe.train.kept_share else ("mean", "max"),
        digests={"documents": draw.digest(), "validation": _digest(itertools.chain.from_iterable(checks.values()))},
        resume=resume,
        accept_changes=accept_changes,
        quiet=quiet,
    )


def _begun(recipe: LanguageModelRecipe) -> OPTForCausalLM:
    """What a training begins with: an untrained network, or the one that the recipe goes on from."""
    model = build(recipe, world_tokenizer(recipe.template))
    if recipe.start is not None:
        begin_with(model, LanguageModel.load(recipe.start, dtype="float32").network, recipe.start)
    return model


def build(recipe: LanguageModelRecipe, tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
    """An untrained OPT, its first layers set so that it copies from its context (`seeded_init.py`)."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        word_embed_proj_dim=recipe.width,
        num_hidden_layers=recipe.layers,
        ffn_dim=recipe.feed_forward_width,
        num_attention_heads=recipe.width // recipe.head_width,
        max_position_embeddings=POSITIONS,
        dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=2,
    )
    model = OPTForCausalLM(config)
    attend_in_float32(model)
    return seed_induction(model, kinds=kinds_of_words(tokenizer))


@dataclass(frozen=True)
class TokenBatch:
    """Documents side by side, right-padded: ids, loss weights and hints [B, T], first positions [B]."""

    ids_BT: Tensor
    weights_BT: Tensor
    hints_BT: Tensor
    starts_B: Tensor


class DocumentBatches:
    """Batch `number` of the run: a pure function of the seed and the number, made a pool at a time."""

    def __init__(self, recipe: LanguageModelRecipe, tokenize: Tokenize) -> None:
        self._recipe, self._tokenize = recipe, tokenize
        self._batches_of_run = recipe.train.steps * recipe.train.micro_batches
        self._pool_number, self._batches = -1, []

    def __call__(self, number: int) -> SimpleBatch:
        pool_number, place = divmod(number, documents.STEPS_PER_POOL)
        if pool_number != self._pool_number:
            self._batches, self._pool_number = self._of_pool(pool_number), pool_number
        batch = self._batches[place]
        tokens = float(sum(len(document.ids) for document in batch))
        rng = seeded("positions", self._recipe.train.seed, number)
        content = collate(batch, rng, self._recipe.unshifted_share)
        return SimpleBatch(content, [f"pool-{pool_number}-batch-{place}"], {"tokens": tokens})

    def digest(self) -> str:
        """What the first pool's documents are: a resumed run must draw the same."""
        self(0)
        return _digest(itertools.chain.from_iterable(self._batches))

    def _of_pool(self, number: int) -> list[list[Document]]:
        """Batches of documents of like length, in a random order."""
        seed = self._recipe.train.seed
        share = number * documents.STEPS_PER_POOL / self._batches_of_run
        pool = Pool(seed, number, Stage(self._recipe.start_share + (1 - self._recipe.start_share) * share))
        rng = seeded("documents", seed, number)
        batches: list[list[Document]] = []
        while len(batches) < documents.STEPS_PER_POOL:
            drawn = [documents.document(pool, rng, self._recipe.template, self._tokenize) for _ in range(400)]
            batches += _cut(sorted(drawn, key=lambda d: len(d.ids)), self._recipe.tokens_per_batch)
        rng.shuffle(batches)
        return batches


def _digest(found: Iterable[Document]) -> str:
    """SHA-256 over the tokens of documents."""
    return hashlib.sha256(repr([document.ids for document in found]).encode()).hexdigest()


def _cut(drawn: list[Document], budget: int) -> list[list[Document]]:
    """Documents in order of length as batches of at most `budget` padded tokens."""
    batches: list[list[Document]] = [[]]
    for document in drawn:
        if batches[-1] and (len(batches[-1]) + 1) * len(document.ids) > budget:
            batches.append([])
        batches[-1].append(document)
    return batches


def collate(batch: list[Document], rng: random.Random, unshifted_share: float) -> TokenBatch:
    """Documents to tensors. Most begin at a random position, so that every position is trained."""
    longest = max(len(document.ids) for document in batch)
    ids = torch.ones(len(batch), longest, dtype=torch.long)  # 1: padding, behind the text and never attended to
    weights = torch.zeros(len(batch), longest)
    hints = torch.full((len(batch), longest), NO_HINT)
    starts = []
    for row, document in enumerate(batch):
        ids[row, : len(document.ids)] = torch.tensor(document.ids)
        weights[row, : len(document.ids)] = torch.tensor(document.weights)
        hints[row, list(document.hints)] = torch.tensor(list(document.hints.values()), dtype=torch.long)
        starts.append(0 if rng.random() < unshifted_share else rng.randint(0, POSITIONS - longest))
    return TokenBatch(ids, weights, hints, torch.tensor(starts))


def _run(model: OPTForCausalLM, batch: TokenBatch, *, keep_layers: bool = False) -> Sequence[Tensor]:
    """What each layer passes on [B, T, D], embeddings first, the last behind the final norm; or the last alone."""
    positions = batch.starts_B[:, None] + torch.arange(batch.ids_BT.shape[1])
    decoder = model.model.decoder
    found = decoder(input_ids=batch.ids_BT, position_ids=positions, use_cache=False, output_hidden_states=keep_layers)
    return found.hidden_states if keep_layers else [found.last_hidden_state]


def _answers(batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Where answers are foretold [B, T - 1], and their tokens and weights."""
    wanted_BT = batch.weights_BT[:, 1:] > 0
    return wanted_BT, batch.ids_BT[:, 1:][wanted_BT], batch.weights_BT[:, 1:][wanted_BT]


def _loss(model: OPTForCausalLM, batch: TokenBatch) -> StepLoss:
    """Cross entropy of the answers by weight, and of the hints two thirds up the layers, read as the last one is."""
    hinted_BT = batch.hints_BT != NO_HINT
    is_hinted = bool(hinted_BT.any())
    layers = _run(model, batch, keep_layers=is_hinted)
    wanted_BT, targets, weights = _answers(batch)
    losses = F.cross_entropy(model.lm_head(layers[-1][:, :-1][wanted_BT]).float(), targets, reduction="none")
    loss = (losses * weights).sum()
    if is_hinted:
        middle = layers[2 * (len(layers) - 1) // 3][hinted_BT]
        norm = model.model.decoder.final_layer_norm
        assert norm is not None, "only OPT-350m has none"
        logits = model.lm_head(norm(middle))
        loss = loss + HINT_WEIGHT * F.cross_entropy(logits.float(), batch.hints_BT[hinted_BT], reduction="sum")
    return StepLoss(loss, float(weights.sum()))


def check_documents(
    template: Template,
    tokenize: Tokenize,
    count: int = 64,
    filler_tokens: int = 0,
    name_parts: Sequence[str] = ("train", "test"),
) -> dict[str, list[Document]]:
    """Documents of the ears' sentences, by task and shots; only the query's answer counts. `*`: unseen names.

    Documents hold none of these sentences. With `filler_tokens` that many tokens of other passages stand in
    front of each of the same documents. Names and label words are of `name_parts`: a training is not to be chosen by
    the test's.
    """
    checks: dict[str, list[Document]] = {}
    for part in name_parts:
        passages = _check_passages(part)
        single = [p for p in passages if len(p.extra["frames"]) == 1]
        several = [p for p in passages if len(p.extra["frames"]) > 1]
        rich = [p for p in passages if len(pattern.attributes_of(p)) >= 4]
        bind = partial(
            labels.episode,
            label_words=names.name_list(60, "label", part),
            values=documents.frequent_values(single, documents.WORD_VALUES, 6),
        )
        cells = {
            "transcript-0": (transcript.episode, passages, 0),
            "transcript-4": (transcript.episode, passages, 4),
            "questions-0": (questions.episode, passages, 0),
            "questions-0-several": (questions.episode, several, 0),
            "questions-4": (questions.episode, passages, 4),
            "summary-0": (summary.episode, passages, 0),
            "summary-2": (summary.episode, passages, 2),
            "pattern-1": (pattern.episode, rich, 1),
            "pattern-4": (pattern.episode, rich, 4),
            "labels-2x2": (partial(bind, ways=2), single, 4),
            "labels-4x2": (partial(bind, ways=4), single, 8),
        }
        for name, (episode, clips, shots) in cells.items():
            rng = seeded("check", name, part)
            drawn = [documents.solved(episode(rng), clips, shots, rng, template) for _ in range(count)]
            if filler_tokens:
                rng = seeded("filler", name, part)
                drawn = [(filler(passages, rng, filler_tokens, template, tokenize), *prompt) for prompt in drawn]
            found = [tokenize.document(fill(prompt, read_transcript), name) for prompt in drawn]
            checks[name + ("*" if part == "test" else "")] = [_last_answer(document) for document in found]
    return checks


def filler(
    passages: Sequence[Utterance], rng: random.Random, num_tokens: int, template: Template, tokenize: Tokenize
) -> Text:
    """Passages that no answer needs, `num_tokens` tokens or a few more."""
    words = ""
    while len(tokenize.ids(words)) < num_tokens:
        words = f"{words} {rng.choice(passages).text}".strip()
    return Text(words + template.end)


def _check_passages(name_part: str) -> list[Utterance]:
    """Passages of the ears' part, a third of them single sentences; apart from what training draws, which changes."""
    rng = seeded("check passages", name_part)
    tastes = [sentences.Taste(most, name_part=name_part) for most in ((1, 1), (1, 4), (1, 4))]
    return [sentences.passage(rng, f"check-{i}", "ears", tastes[i % 3]) for i in range(_CHECK_PASSAGES)]


def _last_answer(document: Document) -> Document:
    """The document with no weight but on its last answer."""
    first = len(document.weights)
    while first and document.weights[first - 1] > 0:
        first -= 1
    return dataclasses.replace(document, weights=[0.0] * first + document.weights[first:])


def exact_answers(model: OPTForCausalLM, checks: dict[str, list[Document]], bar: Bar | None = None) -> dict[str, float]:
    """Share of documents whose answer is greedily right, end token included, by check; and their mean.

    Teacher forcing decides the same as greedy decoding here: an answer is exact only if every step before was.
    """
    shares: dict[str, float] = {}
    for name, found in checks.items():
        right = 0
        for first in range(0, len(found), 16):
            batch = collate(found[first : first + 16], random.Random(0), unshifted_share=1.0)
            wanted_BT, targets, _ = _answers(batch)
            logits = model.lm_head(_run(model, batch)[-1][:, :-1][wanted_BT])
            hits = (logits.argmax(-1) == targets).split(wanted_BT.sum(1).tolist())
            right += sum(bool(hit.all()) for hit in hits)
            if bar is not None:
                bar.advance(len(hits))
        shares[name] = right / len(found)
    return shares | {"mean": sum(shares.values()) / len(shares)}


def measure(recipe: LanguageModelRecipe, checkpoint: Path, count: int = 400) -> dict[str, dict[str, float]]:
    """Exact answers of a checkpoint, as `measure_network`."""
    model = _begun(recipe)
    load_weights(checkpoint, model, recipe.train.kept_share)
    return measure_network(model, recipe.template, count)


def measure_network(model: OPTForCausalLM, template: Template, count: int = 400) -> dict[str, dict[str, float]]:
    """Exact answers of a network in float32; and of a quarter of the documents alone and behind 1,000 filler tokens."""
    tokenize = Tokenize(world_tokenizer(template))
    fewer = max(1, count // 4)
    asked = {
        "plain": check_documents(template, tokenize, count),
        "without_filler": check_documents(template, tokenize, fewer),
        "behind_filler": check_documents(template, tokenize, fewer, filler_tokens=1000),
    }
    total = sum(len(found) for checks in asked.values() for found in checks.values())
    with torch.no_grad(), Bar("measuring", total) as bar:
        return {name: exact_answers(model.eval(), checks, bar) for name, checks in asked.items()}


def export(recipe: LanguageModelRecipe, checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint as a model of the hub's layout: weights in bfloat16, and tokenizer."""
    tokenizer = world_tokenizer(recipe.template)
    model = _begun(recipe)
    load_weights(checkpoint, model, recipe.train.kept_share)
    model.bfloat16().save_pretrained(folder)  # as stored; whoever loads it chooses a dtype to compute in
    tokenizer.save_pretrained(folder)
