"""Scores: the rows of a report made searchable, and what follows from several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from iclal.evaluation.report.rows import GUESSES, INPUTS, MODEL_FREE_INPUTS, TASKS, Row

# Parity is a ratio: below this distance from chance the ceiling itself is too low to divide by.
CEILING_ABOVE_CHANCE = 0.2


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval; `n` counts answers, over all seeds."""

    value: float
    low: float
    high: float
    n: int
    seeds: int = 1

    def is_above(self, other: Score) -> bool:
        """Whether this score is higher and the two intervals have no point in common."""
        return self.low > other.high


@dataclass(frozen=True)
class ModelId:
    """The columns that tell one trained model from another."""

    model: str
    objective: str
    connector: str
    language_model: str


class Scores:
    """Rows made searchable: one `Score` per model, task, metric, input, shots and condition, pooled over seeds.

    Pooling takes the mean weighted by n and the widest interval, so that more seeds never look more certain than the
    least certain of them.

    `condition` is the one that tables and sentences speak of when none is named: "clean" where it occurs, else the
    plain condition (no `name=value`) with the most rows.
    """

    def __init__(self, rows: Sequence[Row], condition: str | None = None) -> None:
        self.rows = rows
        self.condition = condition or _main_condition(rows)
        self.models = list(dict.fromkeys(_model_id(row) for row in rows))
        self.tasks = _in_order((row["task"] for row in rows), TASKS)
        self.conditions = list(dict.fromkeys(row["condition"] for row in rows))
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            key = (_model_id(row), row["task"], row["metric"], row["input"], int(row["shots"]), row["condition"])
            groups.setdefault(key, []).append(row)
        self._scores = {key: _pool(group) for key, group in groups.items()}

    def find(
        self,
        model: ModelId,
        task: str,
        metric: str,
        input: str = "audio",
        shots: int = 0,
        condition: str | None = None,
    ) -> Score | None:
        """The score at exactly this place, or None.

        Inputs that no connector has a part in (ceiling, chance, majority) are also taken from another model's rows
        with the same language model; chance and majority also from other shots, zero-shot first.
        """
        condition = condition or self.condition
        models = [model]
        if input in MODEL_FREE_INPUTS:
            models += [other for other in self.models if other.language_model == model.language_model]
        all_shots = [shots]
        if input in GUESSES:
            all_shots += self.shots(task)
        for at in all_shots:
            for candidate in models:
                score = self._scores.get((candidate, task, metric, input, at, condition))
                if score is not None:
                    return score
        return None

    def parity(self, model: ModelId, task: str, shots: int, condition: str | None = None) -> Score | None:
        """The parity row if there is one; else audio over ceiling; None where the ceiling does not stand above chance.

        The interval of a computed parity divides the audio's bounds by the ceiling's value.
        """
        row = self.find(model, task, "parity", "audio", shots, condition)
        ceiling = self.find(model, task, "exact", "ceiling", shots, condition)
        if row is not None:  # of some seeds perhaps, where that of all together does not stand
            return row if ceiling is None or self.ceiling_stands(model, task, shots, condition) else None
        audio = self.find(model, task, "exact", "audio", shots, condition)
        if audio is None or ceiling is None or not self.ceiling_stands(model, task, shots, condition):
            return None
        return Score(
            audio.value / ceiling.value, audio.low / ceiling.value, audio.high / ceiling.value, audio.n, audio.seeds
        )

    def ceiling_stands(self, model: ModelId, task: str, shots: int, condition: str | None = None) -> bool:
        """Whether the ceiling's lower bound is above chance by 0.2 (chance counts as 0 where no row gives it)."""
        ceiling = self.find(model, task, "exact", "ceiling", shots, condition)
        chance = self.find(model, task, "exact", "chance", shots, condition)
        return ceiling is not None and ceiling.low > (chance.value if chance else 0.0) + CEILING_ABOVE_CHANCE

    def fair_shots(self, model: ModelId, task: str) -> int | None:
        """The fewest demonstrations at which the ceiling stands, or where it is highest if it stands nowhere.

        One rule for all sentences that speak of a task in one figure, so that none picks the best. None where audio
        and ceiling were not measured together.
        """
        cells = {
            shots: ceiling.value
            for shots in self.shots(task, model, "exact")
            if self.find(model, task, "exact", "audio", shots)
            and (ceiling := self.find(model, task, "exact", "ceiling", shots))
        }
        standing = [shots for shots in cells if self.ceiling_stands(model, task, shots)]
        return standing[0] if standing else max(cells, key=lambda shots: cells[shots], default=None)

    def minus_cascade(self, model: ModelId, condition: str | None = None) -> dict[str, Score]:
        """Prefix minus cascade per task, exact, paired by query and pooled over the shots."""
        differences = self.by_task(model, "minus-cascade", condition)
        # The cascade's transcript is the prefix's own.
        return {task: score for task, score in differences.items() if task != "transcript"}

    def by_task(self, model: ModelId, metric: str, condition: str | None = None) -> dict[str, Score]:
        """A metric's scores by task, through audio, at the fewest demonstrations: where pooled differences stand."""
        wanted = (model, metric, "audio", condition or self.condition)
        at: dict[str, int] = {}
        for own, task, name, input, shots, where in self._scores:
            if (own, name, input, where) == wanted:
                at[task] = min(shots, at.get(task, shots))
        ordered = _in_order(at, TASKS)
        return {task: self._scores[model, task, metric, "audio", at[task], wanted[-1]] for task in ordered}

    def shots(self, task: str, model: ModelId | None = None, metric: str | None = None) -> list[int]:
        """The numbers of demonstrations that occur for a task, ascending, in the main condition."""
        return sorted(
            {
                int(row["shots"])
                for row in self.rows
                if row["task"] == task
                and row["condition"] == self.condition
                and (model is None or _model_id(row) == model)
                and (metric is None or row["metric"] == metric)
            }
        )

    def inputs(self, model: ModelId, task: str | None = None, metric: str | None = None) -> list[str]:
        """The inputs that occur for a model (and for its language model), in the order of `INPUTS`."""
        return _in_order(
            (
                row["input"]
                for row in self.rows
                if (task is None or row["task"] == task)
                and (metric is None or row["metric"] == metric)
                and (
                    _model_id(row) == model
                    or (row["input"] in MODEL_FREE_INPUTS and row["language_model"] == model.language_model)
                )
            ),
            INPUTS,
        )

    def headline(self) -> ModelId | None:
        """The model that the page is about: the first whose connector is `ctc`, else the first of all."""
        with_ctc = [model for model in self.models if model.connector == "ctc"]
        return next(iter(with_ctc or self.models), None)

    def paper(self) -> ModelId | None:
        """The paper's setting beside it: connector `linear`, objective `transcription` alone; None where it is not."""
        found = [m for m in self.models if m.connector == "linear" and m.objective == "transcription"]
        others = [model for model in found if model != self.headline()]
        return next(iter(others), None)

    def label(self, model: ModelId) -> str:
        """The model's name, with what tells it apart where another has the same name."""
        twins = [other for other in self.models if other.model == model.model and other != model]
        if not twins:
            return model.model
        columns = ("objective", "connector", "language_model")
        telling = [getattr(model, c) for c in columns if any(getattr(t, c) != getattr(model, c) for t in twins)]
        return f"{model.model} ({', '.join(telling)})"


def _model_id(row: Row) -> ModelId:
    return ModelId(str(row["model"]), str(row["objective"]), str(row["connector"]), str(row["language_model"]))


def _main_condition(rows: Sequence[Row]) -> str:
    counts = Counter(str(row["condition"]) for row in rows)
    if "clean" in counts:
        return "clean"
    plain = {condition: count for condition, count in counts.items() if "=" not in condition}
    return max(plain or counts or {"clean": 0}, key=lambda condition: (plain or counts)[condition])


def _in_order(found: Iterable[str], known: Sequence[str]) -> list[str]:
    """Distinct names, the known ones first and in their order."""
    distinct = list(dict.fromkeys(found))
    return [name for name in known if name in distinct] + [name for name in distinct if name not in known]


def _pool(rows: Sequence[Row]) -> Score:
    total = sum(int(row["n"]) for row in rows)
    value = sum(row["value"] * row["n"] for row in rows) / total
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    # Rounding in the mean must not push the value out of its own interval.
    return Score(min(max(value, low), high), low, high, total, len(rows))
