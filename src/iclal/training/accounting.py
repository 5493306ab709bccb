"""Every parameter accounted for: trained in one group, or frozen and proved unchanged by its digest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import nn

from iclal.errors import TrainingError
from iclal.training.weights import module_digest, tensors_digest


def check_parameters(
    trainable: nn.Module, groups: Mapping[str, Sequence[nn.Parameter]], frozen: Mapping[str, nn.Module]
) -> None:
    """Account for every parameter: in one group and wanting a gradient, or in none and wanting none.

    Raises:
        TrainingError: one wants a gradient without a group, is to be frozen but would be trained, or is not float32.
    """
    names = {id(parameter): name for name, parameter in trainable.named_parameters()}
    trained: set[int] = set()
    for group, parameters in groups.items():
        for parameter in parameters:
            assert id(parameter) in names, f"group {group} has a parameter that is not in the trainable module"
            name = names[id(parameter)]
            assert id(parameter) not in trained, f"{name} is in two groups"
            assert parameter.requires_grad, f"{name} is in group {group} but wants no gradient"
            trained.add(id(parameter))
            if parameter.dtype != torch.float32:
                raise TrainingError(f"{name} is {parameter.dtype}: what is trained must be float32 (autocast is apart)")
    if not trained:
        raise TrainingError("nothing to train: every group of parameters is empty")
    for part_name, part in frozen.items():
        for name, parameter in part.named_parameters():
            if parameter.requires_grad or id(parameter) in trained:
                raise TrainingError(f"{part_name} is to stay frozen, but its {name} would be trained")
    for name, parameter in trainable.named_parameters():
        if parameter.requires_grad and id(parameter) not in trained:
            raise TrainingError(f"{name} wants a gradient but is in no group: give it a group, or freeze it")


def frozen_digests(trainable: nn.Module, trained: Collection[str], frozen: Mapping[str, nn.Module]) -> dict[str, str]:
    """Digests of the frozen parts, and of the rest of `trainable` (`untrained`): in no group and in no frozen part.

    `trained` has the names of the trained tensors.
    """
    digests = {name: module_digest(part) for name, part in frozen.items()}
    frozen_ids = {id(parameter) for part in frozen.values() for parameter in part.parameters()}
    rest = {n: p for n, p in trainable.named_parameters() if n not in trained and id(p) not in frozen_ids}
    return digests | ({"untrained": tensors_digest(rest)} if rest else {})
