"""The optimiser: rates by group, schedule by step, state as named tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn

from iclal.errors import SettingsError, TrainingError
from iclal.settings import Settings
from iclal.training.muon import Muon

Rate: TypeAlias = Annotated[float, Field(ge=0)]
Momentum: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """How gradients become updates. The rate is a pure function of the step: warm-up, constant, linear to zero."""

    name: Literal["adamw", "muon"] = "adamw"
    learning_rate: Rate | dict[str, Rate] = 1e-3  # one for all groups, or one a group: {encoder: .., connector: ..}
    betas: tuple[Momentum, Momentum] = (0.9, 0.98)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)  # of matrices; vectors (biases, norms) never decay
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    muon_except: tuple[str, ...] = ("embed", "head")  # matrices with such a name stay with AdamW, embeddings always
    warmup_steps: int = Field(default=100, ge=0)
    decay_share: float = Field(default=0.4, ge=0, le=1)  # of all steps, at the end
    clip_norm: float | None = Field(default=1.0, gt=0)

    def rate_factor(self, step: int, steps: int) -> float:
        """Share of the full rate at update `step` (1 is the first, `steps` the last).

        >>> settings = OptimizerSettings(warmup_steps=2, decay_share=0.5)
        >>> [settings.rate_factor(step, 8) for step in range(1, 9)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
        """
        decay_steps = round(self.decay_share * steps)
        rising = step / self.warmup_steps if self.warmup_steps else 1.0
        falling = (steps - step + 1) / decay_steps if decay_steps else 1.0
        return max(0.0, min(1.0, rising, falling))

    def rate(self, group: str) -> float:
        """The full rate of a group. Raises SettingsError when a table of rates does not name it."""
        if isinstance(self.learning_rate, float | int):
            return float(self.learning_rate)
        if group not in self.learning_rate:
            known = ", ".join(self.learning_rate)
            raise SettingsError(f"learning_rate has no rate for the group '{group}'; it names: {known}")
        return self.learning_rate[group]

    def check_groups(self, groups: Iterable[str]) -> None:
        """Raises SettingsError when a table of rates names a group that is not trained, or lacks one that is."""
        groups = list(groups)
        if isinstance(self.learning_rate, dict) and (unknown := sorted(set(self.learning_rate) - set(groups))):
            raise SettingsError(
                f"learning_rate names {', '.join(unknown)}, which is no trained group; those: {', '.join(groups)}"
            )
        for group in groups:
            self.rate(group)


class Optimizer:
    """AdamW over all groups, or Muon for the hidden matrices with AdamW for the rest.

    Muon's rate is scaled to AdamW's root mean square, so that one rate serves both.
    """

    def __init__(
        self, module: nn.Module, groups: Mapping[str, Sequence[nn.Parameter]], settings: OptimizerSettings
    ) -> None:
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        settings.check_groups(groups)
        self.names = names
        self._parts: dict[str, torch.optim.Optimizer] = {}
        adamw: list[dict] = []
        muon: list[dict] = []
        for group, parameters in groups.items():
            hidden = [p for p in parameters if settings.name == "muon" and _is_hidden(p, names, embeddings, settings)]
            rest = _without(parameters, hidden)
            matrices = [p for p in rest if p.ndim >= 2]
            common = {"rate": settings.rate(group), "group": group}
            muon.append({"params": hidden, "weight_decay": settings.weight_decay, **common})
            adamw.append({"params": matrices, "weight_decay": settings.weight_decay, **common})
            adamw.append({"params": _without(rest, matrices), "weight_decay": 0.0, **common})
        adamw, muon = ([part for part in parts if part["params"]] for parts in (adamw, muon))
        if adamw:
            self._parts["adamw"] = torch.optim.AdamW(adamw, betas=settings.betas, eps=settings.eps, fused=True)
        if muon:
            self._parts["muon"] = Muon(muon, momentum=settings.muon_momentum)

    def update(self, factor: float) -> None:
        """One update from the gradients that the parameters hold, at `factor` times each group's rate."""
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = group["rate"] * factor
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """The state as tensors, named `<adamw or muon>/<state>/<parameter>`."""
        return {
            f"{kind}/{key}/{self.names[id(parameter)]}": value
            for kind, part in self._parts.items()
            for parameter, state in part.state.items()
            for key, value in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put a saved state back. Raises TrainingError for a parameter or an optimiser that is not here."""
        parameters = {
            (kind, self.names[id(parameter)]): parameter
            for kind, part in self._parts.items()
            for group in part.param_groups
            for parameter in group["params"]
        }
        for name, value in tensors.items():
            kind, key, parameter_name = name.split("/", 2)
            if (kind, parameter_name) not in parameters:
                raise TrainingError(f"the checkpoint has {kind} state for {parameter_name}, which is not trained here")
            parameter = parameters[kind, parameter_name]
            self._parts[kind].state[parameter][key] = value.to(parameter.device).clone()


def _is_hidden(
    parameter: nn.Parameter, names: Mapping[int, str], embeddings: Iterable[int], settings: OptimizerSettings
) -> bool:
    """Whether Muon takes this one: a matrix, the output layer of `ctc` too, but no embeddings and no head."""
    name = names[id(parameter)]
    return parameter.ndim == 2 and id(parameter) not in embeddings and not any(e in name for e in settings.muon_except)


def _without(parameters: Sequence[nn.Parameter], taken: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    ids = {id(parameter) for parameter in taken}
    return [parameter for parameter in parameters if id(parameter) not in ids]
