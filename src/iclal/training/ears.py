"""Ears by recipe: data, model, lessons and batches put together, and given to `fit`."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from iclal.audio.reading import SAMPLE_RATE, Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Clip, Example, SlotText, fill
from iclal.errors import DataError
from iclal.evaluation.metrics import total_word_errors
from iclal.evaluation.normalize import get_normalizer
from iclal.model.connector import CTCConnector
from iclal.model.device import choose_device
from iclal.model.encoder import Encoder
from iclal.model.inference import score_targets
from iclal.model.layout import lay_out, tokenize, tokenize_target
from iclal.model.model import ICLAL, ModelSettings
from iclal.model.saving import (
    language_model_folder,
    load_encoder,
    load_language_model,
    load_tensors,
    model_folder,
    read_settings,
    save,
)
from iclal.model.transcribing import transcribe, transcription_prompt
from iclal.training.attention import attend_in_float32
from iclal.training.batches import BatchBudget, Plan, Size
from iclal.training.dry_run import Estimate, estimate
from iclal.training.frames import FrozenFrames
from iclal.training.lessons import draw_lessons
from iclal.training.objectives import Case, EarsBatch, check_objectives, ears_loss
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import UNCHANGED, Recordings, silence
from iclal.training.speech import Speech
from iclal.training.step import SimpleBatch, StepLoss
from iclal.training.teacher import TeacherAnswer, teach
from iclal.training.train import FitResult, fit
from iclal.training.weights import load_weights, put_tensors

_MOST_FRAMES = 4_000_000_000  # bytes that a frozen encoder's frames may take in memory


@dataclass(frozen=True)
class Trained:
    """How training ended, and the folder of the chosen model."""

    fit: FitResult
    model: ICLAL
    folder: Path


def train_ears(
    recipe: EarsRecipe,
    run_folder: Path,
    speech: Speech,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    quiet: bool = False,
    progress: bool = True,
) -> Trained:
    """Train ears by the recipe, or go on; the best by free transcription of the validation clips is saved as a model.

    With `train.kept_share` it is the mean of the last weights and those begun with; the result's metrics are its own.
    `quiet` says nothing at the terminal; without `progress` no bar is drawn while a frozen encoder hears, as where two
    trainings share a terminal. What a frozen encoder has heard is given up: `speech` cannot be trained on again.

    Raises:
        SettingsError, ModelError, DataError, TrainingError: what is amiss and what to do.
    """
    school = School(recipe, speech)
    digests = {
        "plan": school.plan.digest(),
        "recordings": speech.train.digest(),
        "validation": speech.validation.digest(),
    }
    if recipe.hears_once and school.hear(progress=progress and not quiet):
        speech.train.forget_samples()
    kept_share = recipe.train.kept_share
    begun = {name: p.detach().clone() for name, p in school.model.named_parameters() if kept_share and p.requires_grad}
    result = fit(
        school.model,
        school.groups,
        school.draw,
        school.loss,
        recipe.train,
        run_folder,
        recipe=recipe,
        validate=school.validate,
        choose=None if kept_share else ("wer", "min"),
        listen=school.listen,
        frozen={"language model": school.model.language_model.network},
        digests=digests,
        worst=school.worst_batches(),
        notes=[*speech.notes(), *school.notes],
        resume=resume,
        accept_changes=accept_changes,
        quiet=quiet,
    )
    put_tensors(begun, dict(school.model.named_parameters()), run_folder)
    load_weights(result.checkpoint, school.model, kept_share)
    folder = run_folder / "model"
    stored_dtype = getattr(torch, recipe.stored_dtype)
    save(school.model.eval(), folder, language_model_path=recipe.language_model, stored_dtype=stored_dtype)
    load_tensors(school.model, folder / "model.safetensors")  # as whoever loads it will have it
    if kept_share:
        result = dataclasses.replace(result, best_metrics=dict(school.validate(result.step)))
        if not quiet:
            told = f"wer {result.best_metrics['wer']:.4g}"
            print(f"the mean of before ({kept_share:g}) and after is saved: {told}", file=sys.stderr)
    return Trained(result, school.model, folder)


def estimate_ears(recipe: EarsRecipe, speech: Speech) -> Estimate:
    """Memory and time that the recipe will take, found by a few steps without an update."""
    school = School(recipe, speech)
    hearing_seconds = unheard_mib = 0.0
    if recipe.hears_once:
        first = [id for micro in range(recipe.train.micro_batches) for id in school.plan.batch(micro)]
        start = time.monotonic()
        heard = school.hear({*first, *(id for batch in school.plan.worst_batches() for id in batch)}, progress=False)
        if heard:
            share = heard / sum(map(speech.train.num_samples, speech.train.utterances))
            hearing_seconds = (time.monotonic() - start) / share
            if school.model.device.type == "cpu":  # frames are kept in main memory, whatever the device
                unheard_mib = (1 - share) * school.frames_bytes() / 2**20
    found = estimate(school.model, school.groups, school.draw, school.loss, recipe.train, school.worst_batches())
    return dataclasses.replace(found, memory_mib=found.memory_mib + unheard_mib, hearing_seconds=hearing_seconds)


def build_model(recipe: EarsRecipe) -> ICLAL:
    """The recipe's frozen language model with ears to be trained.

    Raises:
        ModelError, SettingsError: what cannot be loaded, does not fit together, or is not there (a device).
    """
    place = language_model_folder(recipe.language_model)
    language_model = load_language_model(place, recipe.language_model_dtype, choose_device(recipe.device))
    start = None if recipe.start is None else model_folder(recipe.start)
    if start is not None:
        encoder = Encoder(read_settings(start).encoder)
    else:
        encoder = load_encoder(recipe.encoder)
    settings = ModelSettings(
        connector=recipe.connector,
        template=recipe.template,
        objective=recipe.objectives.words,
        transcription_instruction=recipe.transcription_instruction,
        window_seconds=recipe.window_seconds,
    )
    model = ICLAL(encoder, language_model, settings)
    check_objectives(recipe.objectives, model)
    if start is not None:
        load_tensors(model, start / "model.safetensors", may_lack="connector.context.")
    if recipe.encoder_filters is not None:
        model.encoder = model.encoder.widened(recipe.encoder_filters)
    if recipe.encoder_layers is not None or recipe.encoder_dropout is not None:
        layers = recipe.encoder_layers or model.encoder.network.config.num_hidden_layers
        model.encoder = model.encoder.deepened(layers, recipe.encoder_dropout)
    attend_in_float32(model.encoder.network)
    return model


def too_fast(model: ICLAL, recordings: Recordings, speed: float = 1.0) -> list[str]:
    """Clips of fewer frames than CTC needs, played `speed` times as fast: one a token, one more between two alike.

    Their loss is infinite, so they would be trained on in name only.
    """
    found = []
    for id, utterance in recordings.utterances.items():
        tokens = model.language_model.ids(f" {utterance.rich_text}") if utterance.rich_text else []
        needed = max(1, len(tokens) + sum(one == other for one, other in itertools.pairwise(tokens)))
        if model.encoder.num_frames(int(recordings.num_samples(id) / speed)) < needed:
            found.append(id)
    return found


class School:
    """Model, lessons and batches of one training."""

    def __init__(self, recipe: EarsRecipe, speech: Speech) -> None:
        recipe.train.use_threads()  # teaching and hearing, too, are the same on as many
        self.recipe, self.speech = recipe, speech
        self.frames: FrozenFrames | None = None  # what was heard once and for all
        self.notes: list[str] = []  # what the user should know besides the speech's own
        torch.manual_seed(recipe.train.seed)
        self.model = build_model(recipe)
        connector = self.model.connector
        residual = connector.residual if isinstance(connector, CTCConnector) else None
        if residual is not None and not recipe.objectives.reads_prefix:
            residual.requires_grad_(False)  # it is of rows alone: nothing would teach it
        self.groups = {"connector": [p for p in connector.parameters() if p.requires_grad]}
        if recipe.freeze_encoder:
            self.model.encoder.requires_grad_(False).eval()
        else:
            self.groups["encoder"] = list(self.model.encoder.parameters())
        recipe.train.optimizer.check_groups(self.groups)  # before anything is taught or heard
        if recipe.objectives.alignment:
            fastest = 1 / recipe.augment.shortest_stretch
            speech.train.leave_out(too_fast(self.model, speech.train, fastest), "too short for their text")
            if not speech.train.utterances:
                raise DataError(f"no recording to train on is left: {'; '.join(speech.notes())}")
        self.lessons, self.answers = self._teach() if recipe.objectives.distillation else ({}, {})
        clips = speech.train.utterances if recipe.objectives.alignment or recipe.objectives.transcription else ()
        if twice := self.lessons.keys() & speech.train.utterances.keys():
            raise DataError(f"a recording has the id {min(twice)!r}, which a lesson of the teacher has: rename it")
        sizes = {id: self._size(id) for id in [*clips, *self.lessons]}
        read = any(size.tokens for size in sizes.values())
        budget = BatchBudget(
            max_samples=int(recipe.batch_seconds * SAMPLE_RATE),
            max_tokens=recipe.batch_rows if read else None,
            max_items=64,
        )
        try:
            self.plan = Plan(sizes, budget, recipe.train.seed)
        except DataError as error:
            stretch = recipe.augment.longest_stretch
            raise DataError(
                f"{error}; {SAMPLE_RATE:,} samples are a second: batch_seconds is {recipe.batch_seconds:g}, "
                f"data.max_seconds {recipe.data.max_seconds:g}, and clips are slowed by up to {stretch:.2f}"
            ) from error
        self._check = [speech.validation.draw(id, 0, 0, UNCHANGED) for id in self._check_ids]

    def _teach(self) -> tuple[dict[str, Example], dict[str, TeacherAnswer]]:
        recordings = self.speech.train
        utterances = [
            dataclasses.replace(u, duration_seconds=recordings.num_samples(id) / SAMPLE_RATE)
            for id, u in recordings.utterances.items()
        ]
        recipe = self.recipe
        seconds = recipe.batch_seconds / recipe.augment.longest_stretch
        lessons = draw_lessons(utterances, recipe.teacher, recipe.template, recipe.train.seed, seconds)
        answers = teach(self.model, lessons)
        ends = (self.model.end_id, self.model.language_model.tokenizer.eos_token_id)
        if cut := sum(answer.token_ids[-1] not in ends for answer in answers):
            self.notes.append(
                f"{cut} of {len(lessons)} of the language model's answers have no end: too long, or a loop"
            )
        named = {example.id: example for example in lessons}
        return named, {example.id: answer for example, answer in zip(lessons, answers, strict=True)}

    def _size(self, id: str) -> Size:
        """What a clip or lesson takes at most: samples that are heard, rows that the language model reads."""
        lesson, recordings = self.lessons.get(id), self.speech.train
        clip_ids = self._clips_of(id)
        samples = [recordings.num_samples(clip) for clip in clip_ids]
        stretch = self.recipe.augment.longest_stretch
        heard = sum(self.model.max_rows(int(count * stretch)) for count in samples)
        rows = 0
        if lesson is None:
            if self.recipe.objectives.transcription:
                text, end = recordings.utterances[id].text or "", self.model.settings.template.end
                rows += heard + len(tokenize_target(text, end, self.model.language_model))
        else:
            without_clips = tokenize(fill(lesson.prompt, lambda _: SlotText("")), self.model.language_model)
            rows += heard + len(lay_out(without_clips, [], self.answers[id].token_ids).rows)
        return Size(samples=int(max(samples) * stretch), tokens=rows, clips=len(samples))

    def _clips_of(self, id: str) -> list[str]:
        """The clips of a lesson, or the clip itself."""
        lesson = self.lessons.get(id)
        return [id] if lesson is None else _clip_ids(lesson)

    def frames_bytes(self) -> int:
        """What the frames of all clips take in memory once they are heard."""
        recordings = self.speech.train
        lengths = {id: recordings.num_samples(id) for id in recordings.utterances}
        return FrozenFrames.num_bytes(self.model.encoder, lengths)

    def hear(self, ids: Collection[str] | None = None, *, progress: bool = True) -> int:
        """Let a frozen encoder hear every clip, now instead of in each epoch; a dry run only those of batches `ids`.

        Returns how many samples were heard: none where all frames would take too much memory.
        """
        assert self.recipe.hears_once
        recordings, seed = self.speech.train, self.recipe.train.seed
        needed = self.frames_bytes()
        if needed > _MOST_FRAMES:
            limit = f"more than {_MOST_FRAMES / 1e9:.0f} GB"
            self.notes.append(
                f"the frozen encoder hears anew in each epoch: frames take {needed / 1e9:.1f} GB, {limit}"
            )
            return 0

        def drawn(id: str) -> Audio:
            return recordings.draw(id, seed, 0, self.recipe.augment)

        wanted = recordings.utterances if ids is None else {clip for id in ids for clip in self._clips_of(id)}
        lengths = {id: recordings.num_samples(id) for id in wanted}
        self.frames = FrozenFrames(self.model.encoder, lengths, drawn, progress=progress)
        return sum(lengths.values())

    def draw(self, step: int, micro: int) -> SimpleBatch[EarsBatch]:
        """Batch `micro` of a step: clips and lessons, every clip drawn once."""
        number = step * self.recipe.train.micro_batches + micro
        return self._batch(self.plan.batch(number), number // self.plan.batches_per_epoch)

    def _batch(self, ids: Sequence[str], epoch: int) -> SimpleBatch[EarsBatch]:
        recordings = self.speech.train
        alone = [id for id in ids if id not in self.lessons]
        clip_ids = [*alone, *(clip for id in ids if id in self.lessons for clip in _clip_ids(self.lessons[id]))]
        audios = {id: self._draw_clip(id, epoch) for id in dict.fromkeys(clip_ids)}
        cases = [
            Case(fill(self.lessons[id].prompt, lambda u: audios[u.id]), self.answers[id])
            for id in ids
            if id in self.lessons
        ]
        content = EarsBatch([recordings.utterances[id] for id in alone], list(audios.values()), cases)
        return SimpleBatch(content, ids, {"audio_seconds": sum(audio.duration_seconds for audio in audios.values())})

    def _draw_clip(self, id: str, epoch: int) -> Audio:
        """A clip as it is heard in an epoch; where its frames are kept, silence of its length stands for it."""
        recordings, recipe = self.speech.train, self.recipe
        if self.frames is not None:
            return Audio(silence(recordings.num_samples(id)), source=id)
        return recordings.draw(id, recipe.train.seed, 0 if recipe.hears_once else epoch, recipe.augment)

    def loss(self, batch: SimpleBatch[EarsBatch]) -> StepLoss:
        """A batch's loss by the recipe's objectives."""
        frames = None if self.frames is None else self.frames.of([audio.source for audio in batch.content.audios])
        if not self.recipe.activation_checkpointing:
            return ears_loss(self.model, batch.content, self.recipe.objectives, frames)
        language_model = self.model.language_model
        # Only the forward pass asks for it; and validation, which needs the cache, must find it off.
        language_model.set_activation_checkpointing(True)
        try:
            return ears_loss(self.model, batch.content, self.recipe.objectives, frames)
        finally:
            language_model.set_activation_checkpointing(False)

    def worst_batches(self) -> list[SimpleBatch[EarsBatch]]:
        """The largest batches, to be tried before the first step."""
        return [self._batch(ids, 0) for ids in self.plan.worst_batches()]

    @functools.cached_property
    def _check_ids(self) -> list[str]:
        """A draw of the validation recordings: a manifest is often sorted by speaker or text."""
        ids = list(self.speech.validation.utterances)
        order = np.random.default_rng(self.recipe.train.seed).permutation(len(ids))
        return [ids[place] for place in order[: self.recipe.validation_clips]]

    @property
    def _check_utterances(self) -> list[Utterance]:
        return [self.speech.validation.utterances[id] for id in self._check_ids]

    def validate(self, step: int) -> Mapping[str, float]:
        """Word error rate of free transcription of the validation clips."""
        normalize = get_normalizer("librispeech").apply
        references = [normalize(u.text or "") for u in self._check_utterances]
        heard = [normalize(transcript.text) for transcript in transcribe(self.model, self._check)]
        return {"wer": total_word_errors(references, heard).wer}

    def listen(self, step: int) -> Mapping[str, float]:
        """Loss a token of the transcripts with the right clip, another's, and silence (law 12).

        Of clips that fit a window: others are never heard in one piece.
        """
        utterances = self._check_utterances
        silent = [Audio(np.zeros_like(audio.samples), source="silence") for audio in self._check]
        others = self._of_another_text(utterances)
        read = [
            place
            for place, pair in enumerate(zip(self._check, others or self._check, strict=True))
            if all(map(self._fits, pair)) and all(map(self._is_read, pair))
        ]
        losses = {}
        for name, audios in (("right", self._check), ("other", others), ("silence", silent)):
            if audios is None:
                continue
            own = [place for place in read if self._is_read(audios[place])]  # of silence often none
            prompts = [transcription_prompt(self.model, audios[place]) for place in own]
            scores = score_targets(self.model, prompts, [utterances[place].text or "" for place in own])
            if scores:
                losses[name] = -sum(map(sum, scores)) / sum(map(len, scores))
        return losses

    def _fits(self, audio: Audio) -> bool:
        return audio.duration_seconds <= self.model.settings.window_seconds

    def _is_read(self, audio: Audio) -> bool:
        """Whether anything stands in front of a transcript: nothing foretells it behind a bare prefix of no rows."""
        if self.model.settings.transcription_instruction is not None or self.model.language_model.prefix_ids:
            return True
        with torch.no_grad():
            return len(self.model.hear([audio]).rows[0]) > 0

    def _of_another_text(self, utterances: Sequence[Utterance]) -> list[Audio] | None:
        """For each check clip the next one that says something else; None where all say the same."""
        others = []
        for place, utterance in enumerate(utterances):
            behind = [(place + step) % len(utterances) for step in range(1, len(utterances))]
            other = next((i for i in behind if utterances[i].text != utterance.text), None)
            if other is None:
                return None
            others.append(self._check[other])
        return others


def _clip_ids(example: Example) -> list[str]:
    return [piece.utterance.id for piece in example.prompt if isinstance(piece, Clip)]
