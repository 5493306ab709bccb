"""`fit`: one loop for everything that is trained. Language model, encoder and ears differ only in batch and loss.

Data, schedule and order are functions of the step, and the generators are saved with the weights: so a run that was
killed and resumed is, bit for bit, the run that was not (on a GPU as far as its sums are: CTC's are not).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from iclal.errors import TrainingError
from iclal.settings import Settings
from iclal.training.accounting import check_parameters, frozen_digests
from iclal.training.batches import Ahead
from iclal.training.checkpoint import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    put_aside,
    remove_folder,
    save_checkpoint,
    what_is_torn,
)
from iclal.training.counters import Interval, State
from iclal.training.optimizer import Optimizer
from iclal.training.progress import Clock, RunLog, duration, memory_mib
from iclal.training.random_state import kept_random_state, random_state, restore_random_state, seed_everything
from iclal.training.run_folder import changes_since, note_resumed, start_run
from iclal.training.step import (
    AnyBatch,
    StepLoss,
    StepSums,
    accumulate,
    clip_gradient,
    denormals_as_zero,
    shown_ids,
)
from iclal.training.stopping import stop_asked
from iclal.training.train_settings import TrainSettings
from iclal.training.weights import put_tensors, trained_tensors

DrawBatch = Callable[[int, int], AnyBatch]  # (step from 0, micro-batch from 0) -> batch; always the same one


@dataclass(frozen=True)
class FitResult:
    """How a run ended: `checkpoint` is the chosen one (the best, or the last where nothing is chosen by).

    The module holds the last weights; `load_weights(result.checkpoint, module)` puts the chosen ones there.
    """

    step: int
    finish_reason: Literal["finished", "time", "interrupted"]
    best_step: int | None
    best_metrics: dict[str, float]
    checkpoint: Path


def fit(
    trainable: nn.Module,
    groups: Mapping[str, Sequence[nn.Parameter]],
    draw_batch: DrawBatch[AnyBatch],
    loss: Callable[[AnyBatch], StepLoss],
    settings: TrainSettings,
    run_folder: Path,
    *,
    recipe: Settings,
    validate: Callable[[int], Mapping[str, float]] | None = None,
    choose: tuple[str, Literal["min", "max"]] | None = None,
    listen: Callable[[int], Mapping[str, float]] | None = None,
    frozen: Mapping[str, nn.Module] | None = None,
    digests: Mapping[str, str] | None = None,
    worst: Iterable[AnyBatch] = (),
    notes: Sequence[str] = (),
    resume: bool = False,
    accept_changes: bool = False,
    quiet: bool = False,
) -> FitResult:
    """Train `groups` of parameters of `trainable`, or go on with a run that stopped.

    Args:
        trainable: the module; its parameters in no group must not want a gradient.
        groups: name -> parameters (float32), each with its rate.
        draw_batch: (step, micro) from 0 -> batch, a pure function: the same batch on every call and after a resume.
        loss: batch -> `StepLoss`; called under autocast, in training mode.
        recipe: everything that makes this run what it is; written to `recipe.yaml`, a resumed run must have the same.
        validate: step -> metrics; called at step 0, each `validate_every_steps` and at the end, in evaluation mode.
        choose: the metric of `validate` that the best checkpoint is chosen by; None: the last one is.
        listen: step -> losses with the clip `right`, another's (`other`), `silence`; called when `validate` is.
        frozen: parts that must not change, by name: in `trainable` or not. Their digests are compared at the end.
        digests: of data and whatever else the run depends on; a resumed run must have the same.
        worst: the largest batches, tried forward and backward before the first step.
        notes: what the person should know of the data; said at the start and written to the log.
        resume: go on from the newest whole checkpoint (from the start if there is none).
        accept_changes: go on although recipe or digests changed; what changed is said and stands in `run.json`.

    Raises:
        TrainingError: the run cannot start, go on, or be written; too many steps in a row were not finite; a frozen
            part has changed.
    """
    settings.use_threads()
    run = _Run(trainable, groups, settings, run_folder, dict(frozen or {}), choose, quiet)
    seed_everything(settings.seed)
    all_digests = {**(digests or {}), **run.digests}
    if resume and (run_folder / "run.json").exists():
        run.resume(recipe, all_digests, accept_changes)
    else:
        start_run(run_folder, recipe, settings.seed, all_digests)
    with ExitStack() as stack:
        stack.callback(run.log.close)
        stack.enter_context(denormals_as_zero())
        if settings.draw_ahead:
            ahead = Ahead(draw_batch, settings.micro_batches, settings.draw_ahead, steps=settings.steps)
            draw_batch = stack.enter_context(ahead)
        return run.train(draw_batch, loss, validate, listen, worst, notes)


class _Run:
    """A training run: what is trained, where it is written, and how far it is."""

    def __init__(
        self,
        trainable: nn.Module,
        groups: Mapping[str, Sequence[nn.Parameter]],
        settings: TrainSettings,
        folder: Path,
        frozen: dict[str, nn.Module],
        choose: tuple[str, Literal["min", "max"]] | None,
        quiet: bool,
    ) -> None:
        self.trainable, self.groups, self.settings, self.folder = trainable, groups, settings, folder
        self.frozen, self.choose = frozen, choose
        self.parameters = [parameter for parameters in groups.values() for parameter in parameters]
        check_parameters(trainable, groups, frozen)
        self.optimizer = Optimizer(trainable, groups, settings.optimizer)
        frozen_ids = {id(tensor) for part in frozen.values() for tensor in [*part.parameters(), *part.buffers()]}
        self.tensors = trained_tensors(trainable, {id(parameter) for parameter in self.parameters}, frozen_ids)
        self.digests = frozen_digests(self.trainable, self.tensors, self.frozen)
        self.log = RunLog(folder, settings.steps, quiet=quiet, tensorboard=settings.tensorboard)
        self.state = State()
        self.clock = Clock()
        self._unreached = list(self.parameters)  # by a gradient; a run that is gone on with was judged before
        self._saved_step, self._saved_at_seconds = -1, 0.0
        self._session_step, self._session_seconds = 0, 0.0

    @property
    def device(self) -> torch.device:
        return self.parameters[0].device

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    # The loop ---------------------------------------------------------------------------------------------------

    def train(
        self,
        draw_batch: DrawBatch[AnyBatch],
        loss: Callable[[AnyBatch], StepLoss],
        validate: Callable[[int], Mapping[str, float]] | None,
        listen: Callable[[int], Mapping[str, float]] | None,
        worst: Iterable[AnyBatch],
        notes: Sequence[str],
    ) -> FitResult:
        """Steps until the end, the time limit or Ctrl-C; around them log, validation and saving."""
        settings, state = self.settings, self.state
        self.log.open(self._saved_step)  # lines of steps behind the checkpoint are told anew
        self._introduce()
        for text in notes:
            self.log.write("note", self.state.step, {"text": text})
            self.log.say(f"note: {text}")
        reason: Literal["finished", "time", "interrupted"] = "finished"
        with stop_asked(self.log.say) as stop:
            self._try_worst(worst, loss)
            if self._saved_step < 0 and self._validate(validate, listen):
                self._save()
            self.clock.since_mark()
            self._session_step, self._session_seconds = state.step, self.clock.elapsed()
            while state.step < settings.steps:
                self._step(draw_batch, loss)
                last = state.step == settings.steps
                if state.step % settings.log_every_steps == 0 or last:
                    self._log_interval()
                is_best = False
                if state.step % settings.validate_every_steps == 0 or last:
                    is_best = self._validate(validate, listen)
                if stop:
                    reason = "interrupted"
                elif settings.max_minutes is not None and self.clock.session() > 60 * settings.max_minutes and not last:
                    reason = "time"
                if is_best or last or reason != "finished" or self._save_is_due():
                    self._save()
                if reason != "finished":
                    break
        return self._finish(reason)

    def _step(self, draw_batch: DrawBatch[AnyBatch], loss: Callable[[AnyBatch], StepLoss]) -> None:
        """One update, or a step skipped because something in it was not finite."""
        settings, state = self.settings, self.state
        self._set_training(True)
        batches = (draw_batch(state.step, micro) for micro in range(settings.micro_batches))
        sums = accumulate(batches, loss, self.parameters, getattr(torch, settings.autocast))
        norm = clip_gradient(self.parameters, settings.optimizer.clip_norm)
        if sums.count and not sums.bad_ids:
            self._check_reached()
        state.step += 1
        if sums.bad_ids or not math.isfinite(norm) or not sums.count:
            self._skip(sums, norm)
        else:
            self.optimizer.update(settings.optimizer.rate_factor(state.step, settings.steps))
            state.bad_steps = 0
            state.interval.add(sums, norm)
        for name, value in sums.units.items():
            state.seen[name] = state.seen.get(name, 0.0) + value
        self._clear_gradients()
        self.log.advance(state.step)

    def _skip(self, sums: StepSums, norm: float) -> None:
        """Name the items of a step without an update. Raises TrainingError after `max_bad_steps` in a row."""
        self.state.bad_steps += 1
        ids = sums.bad_ids or sums.ids
        why = "loss" if sums.bad_ids else "gradient" if sums.count else "no target tokens"
        values = {"why": why, "ids": ids, "gradient_norm": norm, "in_a_row": self.state.bad_steps}
        self.log.write("skipped", self.state.step, values)
        what = "there are no target tokens" if why.startswith("no") else f"the {why} is not finite"
        self.log.say(f"step {self.state.step} is skipped: {what}; items: {shown_ids(ids)}")
        if self.state.bad_steps >= self.settings.max_bad_steps:
            cure = "look at them" if why.startswith("no") else "look at them, or lower the learning rate"
            raise TrainingError(
                f"stopped at step {self.state.step}: {self.state.bad_steps} steps in a row were skipped, the last as "
                f"{what}, with the items {shown_ids(ids)}; {cure}. "
                f"The newest checkpoint in {self.checkpoints} is from before"
            )

    def _log_interval(self) -> None:
        """A line for the steps since the last one."""
        settings, state = self.settings, self.state
        factor = settings.optimizer.rate_factor(state.step, settings.steps)
        rates = {name: settings.optimizer.rate(name) * factor for name in self.groups}
        values = {**state.interval.values(), "learning_rate": rates, "seen": dict(state.seen)}
        seconds = self.clock.since_mark()
        done = max(1, state.step - self._session_step)  # with validation and saving between, which also take time
        left = (settings.steps - state.step) * (self.clock.elapsed() - self._session_seconds) / done
        clock = {"elapsed_seconds": self.clock.elapsed(), "memory_mib": memory_mib(self.parameters[0].device)}
        for name, value in {"items": float(state.interval.items), **state.interval.units}.items():
            clock[f"{name}_per_second"] = value / seconds if seconds else 0.0
        clock["eta_seconds"] = left
        self.log.write("train", state.step, values, clock)
        self.log.show(state.step, values, clock)
        state.interval = Interval()

    def _validate(
        self,
        validate: Callable[[int], Mapping[str, float]] | None,
        listen: Callable[[int], Mapping[str, float]] | None,
    ) -> bool:
        """Metrics and listening losses of this step; True if it is the best so far. Draws nothing from training."""
        step = self.state.step
        self._set_training(False)
        with kept_random_state(self.device), torch.no_grad():
            metrics = {name: float(value) for name, value in validate(step).items()} if validate else {}
            heard = {name: float(value) for name, value in listen(step).items()} if listen else {}
        self._set_training(True)
        if metrics:
            self.log.write("validation", step, metrics)
            self.log.say(f"{step}/{self.settings.steps}  validation: " + _listed(metrics))
        if heard:
            self.log.write("listening", step, heard)
            self._warn_if_deaf(heard)
        self.clock.since_mark()
        if not self._is_best(metrics):
            return False
        self.state.best_step, self.state.best_metrics = step, metrics
        return True

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        if self.choose is None or not metrics:
            return False
        name, direction = self.choose
        if name not in metrics:
            raise TrainingError(f"the best is chosen by '{name}', but validation gives {', '.join(metrics)}")
        if not math.isfinite(metrics[name]):
            return False
        if self.state.best_step is None:
            return True
        difference = metrics[name] - self.state.best_metrics[name]
        return difference < 0 if direction == "min" else difference > 0

    def _warn_if_deaf(self, heard: Mapping[str, float]) -> None:
        """Say what the right clip gains over another's; warn, once a tenth of the run is over, if it is nothing."""
        self.log.say(f"{self.state.step}/{self.settings.steps}  listening: " + _listed(heard))
        if {"right", "other"} <= heard.keys() and self.state.step >= self.settings.steps / 10:
            gain = heard["other"] - heard["right"]
            if gain < self.settings.listening_margin:
                margin = self.settings.listening_margin
                self.log.say(f"warning: it does not listen: another clip's loss is {gain:.3f} above (below {margin})")

    # Saving, resuming, ending -------------------------------------------------------------------------------------

    def _save_is_due(self) -> bool:
        settings = self.settings
        by_steps = settings.save_every_steps is not None and self.state.step % settings.save_every_steps == 0
        minutes = (self.clock.elapsed() - self._saved_at_seconds) / 60
        return by_steps or (settings.save_every_minutes is not None and minutes >= settings.save_every_minutes)

    def _save(self) -> None:
        """Save this step, then remove what is neither new nor best."""
        self.state.elapsed_seconds = self.clock.elapsed()
        self.log.sync()  # the log must reach at least as far as the checkpoint
        state = asdict(self.state)
        generators = random_state(self.device)
        save_checkpoint(self.checkpoints, Checkpoint(self.tensors, self.optimizer.tensors(), generators, state))
        self._saved_step, self._saved_at_seconds = self.state.step, self.clock.elapsed()
        prune_checkpoints(self.checkpoints, self.settings.keep_checkpoints, self.state.best_step)

    def resume(self, recipe: Settings, digests: Mapping[str, str], accept_changes: bool) -> None:
        """Put weights, optimiser, generators and counters back as the newest whole checkpoint has them."""
        say = self.log.say
        folder = newest_checkpoint(self.checkpoints, say)
        checkpoint = None if folder is None else load_checkpoint(folder)
        step = 0 if checkpoint is None else checkpoint.step
        if checkpoint is not None and set(checkpoint.weights) != set(self.tensors):
            amiss = sorted(set(checkpoint.weights) ^ set(self.tensors))
            raise TrainingError(f"{folder} and this model do not hold the same trained tensors: {shown_ids(amiss)}")
        seed = self.settings.seed
        changes = changes_since(self.folder, recipe, seed, digests, accept_changes=accept_changes)
        for change in changes:
            say(f"changed: {change}")
        if checkpoint is not None:  # whatever may be refused comes before anything is written
            assert folder is not None
            put_tensors(checkpoint.weights, self.tensors, folder)
            self.optimizer.load_tensors(checkpoint.optimizer)
            self.state = State.of(checkpoint.state)
            restore_random_state(checkpoint.random, self.device)
        note_resumed(self.folder, step, recipe, seed, digests, changes)
        if checkpoint is None:
            for _, torn in list_checkpoints(self.checkpoints):  # or they would pass for newer ones than the next
                put_aside(torn)
            say(f"{self.folder} has no whole checkpoint: starting from the first step")
            return
        self.clock = Clock(self.state.elapsed_seconds)
        self._saved_step, self._saved_at_seconds = step, self.state.elapsed_seconds
        self._unreached = []
        for later, path in list_checkpoints(self.checkpoints):
            if later > step:  # torn
                remove_folder(path)
        self._forget_lost_best()
        self._forget_best_of_before(changes)
        say(f"going on from {folder} (step {step}, {duration(self.state.elapsed_seconds)} trained)")

    def _forget_lost_best(self) -> None:
        """The best step until now is best no longer where its checkpoint is gone or torn."""
        best = self.state.best_step
        if best is not None and (problem := what_is_torn(self.checkpoints / f"step-{best}")):
            self.log.say(f"the best step until now, {best}, is lost ({problem}): the best is chosen from here on")
            self.state.best_step, self.state.best_metrics = None, {}

    def _forget_best_of_before(self, changes: Sequence[str]) -> None:
        """What was best by other validation data cannot be weighed against what comes."""
        if self.state.best_step is not None and any(map(_is_of_validation, changes)):
            self.log.say(
                f"validation has changed: step {self.state.best_step}, the best until now, is weighed no more; the "
                "best is chosen from here on"
            )
            self.state.best_step, self.state.best_metrics = None, {}

    def _finish(self, reason: Literal["finished", "time", "interrupted"]) -> FitResult:
        """Prove that what is frozen has not changed; say where the result is."""
        state = self.state
        self._set_training(False)
        for name, digest in frozen_digests(self.trainable, self.tensors, self.frozen).items():
            if digest != self.digests[name]:
                raise TrainingError(f"{name} was to stay frozen but has changed: {self.digests[name]} became {digest}")
        best = state.best_step if self.choose is not None else None
        chosen = self.checkpoints / f"step-{state.step if best is None else best}"
        words = {"finished": "done", "time": "stopped: time is up", "interrupted": "stopped"}[reason]
        self.log.say(f"{words} at step {state.step} after {duration(self.clock.elapsed())}; result: {chosen}")
        if best is not None:
            self.log.say(f"best at step {best}: {_listed(state.best_metrics)}")
        if reason != "finished":
            self.log.say("go on with: the same command and --resume")
        metrics = {} if best is None else dict(state.best_metrics)
        return FitResult(state.step, reason, best, metrics, chosen)

    # Before the first step ----------------------------------------------------------------------------------------

    def _introduce(self) -> None:
        """Say what will be done."""
        sizes = {name: sum(p.numel() for p in parameters) for name, parameters in self.groups.items()}
        still = sum(p.numel() for part in self.frozen.values() for p in part.parameters())
        self.log.say(
            f"training {sum(sizes.values()):,} parameters ({', '.join(f'{n}: {s:,}' for n, s in sizes.items())}), "
            f"{still:,} frozen; steps {self.state.step} to {self.settings.steps}, {self.settings.micro_batches} "
            f"batches a step, {self.settings.autocast}, {self.parameters[0].device}, {torch.get_num_threads()} "
            f"threads; into {self.folder}"
        )

    def _try_worst(self, worst: Iterable[AnyBatch], loss: Callable[[AnyBatch], StepLoss]) -> None:
        """The largest batches forward and backward, without an update: better out of memory now than in an hour."""
        self._set_training(True)
        with kept_random_state(self.device):
            for batch in worst:
                accumulate([batch], loss, self.parameters, getattr(torch, self.settings.autocast))
                self._clear_gradients()

    def _check_reached(self) -> None:
        """Name trained tensors that no gradient reached in a tenth of the steps; an error if the first reaches none.

        Not at once: what begins at zero on its way out (a residual, added layers) is reached from the second step on.
        """
        self._unreached = [p for p in self._unreached if p.grad is None or not p.grad.any()]
        if len(self._unreached) == len(self.parameters):
            raise TrainingError("no trained tensor got a gradient in the first step: is the loss cut off from them?")
        if self._unreached and self.state.step >= max(1, self.settings.steps // 10):
            names = [self.optimizer.names[id(p)] for p in self._unreached]
            self.log.say(f"no gradient in {self.state.step + 1} steps for {len(names)} tensors: {shown_ids(names)}")
            self._unreached = []

    def _set_training(self, training: bool) -> None:
        """Training or evaluation mode for what is trained; frozen parts keep the mode they are in."""
        modes = [(module, module.training) for part in self.frozen.values() for module in part.modules()]
        self.trainable.train(training)
        for module, mode in modes:
            module.training = mode

    def _clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _is_of_validation(change: str) -> bool:
    """Whether a resumed run is validated by other data, as `changes_since` puts it."""
    return change.startswith(("digest of validation:", "validation_clips:"))


def _listed(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
