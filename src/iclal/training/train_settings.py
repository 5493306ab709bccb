"""The settings of every training run, whatever it trains."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from iclal.settings import Settings
from iclal.training.optimizer import OptimizerSettings


class TrainSettings(Settings):
    """How long, how often, how: of every training run."""

    steps: int = Field(gt=0)
    micro_batches: int = Field(default=1, gt=0)  # batches a step; their gradients are summed
    optimizer: OptimizerSettings = OptimizerSettings()
    autocast: Literal["float32", "bfloat16"] = "float32"  # of the arithmetic; weights and state stay float32
    seed: int = Field(default=0, ge=0)
    threads: int | None = Field(default=None, gt=0)  # None leaves torch's choice
    log_every_steps: int = Field(default=10, gt=0)
    validate_every_steps: int = Field(default=500, gt=0)
    save_every_steps: int | None = Field(default=500, gt=0)
    save_every_minutes: float | None = Field(default=10.0, gt=0)
    keep_checkpoints: int = Field(default=2, gt=0)  # the newest; the best is kept beside them
    max_minutes: float | None = Field(default=None, gt=0)  # of this session: then it saves and stops, to be resumed
    max_bad_steps: int = Field(default=5, gt=0)  # steps in a row that are not finite
    listening_margin: float = 0.05  # warn when another clip's loss is not above the right one's by this
    draw_ahead: int = Field(default=2, ge=0)  # batches drawn ahead on a thread; 0 draws them in the loop
    tensorboard: bool = True  # written when TensorBoard is installed
    # Of the weights begun with (`start`), in the result; the rest is the last step's. Where a training gains little,
    # the mean of before and after gains more (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
    kept_share: float = Field(default=0.0, ge=0, lt=1)

    def check_start(self, start: object) -> None:
        """Raises ValueError where weights are to be kept that nobody gives."""
        if self.kept_share and start is None:
            raise ValueError(f"train.kept_share={self.kept_share:g}: without start=FOLDER nothing is to be kept")

    def use_threads(self) -> None:
        """Let torch compute on as many threads as asked for."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
