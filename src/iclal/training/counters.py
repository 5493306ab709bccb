"""The counters of a run: all of a checkpoint's state that is no tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iclal.training.step import StepSums


@dataclass
class Interval:
    """Sums of the steps since the last line of the log; saved, since a kill may fall between two lines."""

    steps: int = 0
    loss: float = 0.0
    count: float = 0.0
    gradient_norm: float = 0.0
    items: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)

    def add(self, sums: StepSums, norm: float) -> None:
        self.steps += 1
        self.loss += sums.loss
        self.count += sums.count
        self.gradient_norm += norm
        self.items += len(sums.ids)
        for own, new in ((self.parts, sums.parts), (self.units, sums.units)):
            for name, value in new.items():
                own[name] = own.get(name, 0.0) + value

    def values(self) -> dict[str, Any]:
        """The means of the interval; loss and parts per target token of all parts; the loss is their sum by weight."""
        count, steps = self.count or math.nan, self.steps or math.nan
        return {
            "loss": self.loss / count,
            "parts": {name: value / count for name, value in self.parts.items()},
            "gradient_norm": self.gradient_norm / steps,
            "targets": self.count,
            "items": self.items,
        }


@dataclass
class State:
    """The counters of a run: all of a checkpoint that is no tensor."""

    step: int = 0
    bad_steps: int = 0
    best_step: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    elapsed_seconds: float = 0.0
    interval: Interval = field(default_factory=Interval)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> State:
        return cls(**{**values, "interval": Interval(**values["interval"])})
