"""The weights of modules: which are trained, put from one into another, told apart by their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from iclal.errors import TrainingError
from iclal.training.checkpoint import load_checkpoint


def trained_tensors(trainable: nn.Module, parameters: set[int], frozen: set[int]) -> dict[str, Tensor]:
    """The tensors of a module that a checkpoint holds: parameters whose id is in `parameters`, and saved buffers.

    Buffers whose id is in `frozen` belong to a frozen part and are left out. Tied tensors stand under their first name.
    """
    saved = trainable.state_dict(keep_vars=True)
    trained = {name: p for name, p in trainable.named_parameters() if id(p) in parameters}
    buffers = {name: b for name, b in trainable.named_buffers() if name in saved and id(b) not in frozen}
    return trained | buffers


def load_weights(folder: Path, trainable: nn.Module, kept_share: float = 0.0) -> int:
    """Put the trained tensors of a checkpoint into a module of the same build; returns the checkpoint's step.

    `kept_share` of the weights that the module holds is kept: the mean of before and after.

    Raises:
        TrainingError: torn checkpoint, or a tensor that the module lacks or holds in another shape.
    """
    checkpoint = load_checkpoint(folder)
    into = dict(trainable.named_parameters()) | dict(trainable.named_buffers())
    put_tensors(checkpoint.weights, into, folder, kept_share)
    return checkpoint.step


def put_tensors(saved: Mapping[str, Tensor], into: Mapping[str, Tensor], source: Path, kept_share: float = 0.0) -> None:
    """Copy saved tensors into the living ones of the same names, of which `kept_share` is kept (integers: none).

    Raises TrainingError for a name or shape amiss.
    """
    unknown = [name for name in saved if name not in into]
    if unknown:
        raise TrainingError(f"{source} holds {len(unknown)} tensors that this model lacks, e.g. {unknown[0]}")
    for name, tensor in saved.items():
        if tensor.shape != into[name].shape:
            raise TrainingError(f"{source}: {name} has shape {list(tensor.shape)}, here {list(into[name].shape)}")
    with torch.no_grad():
        for name, tensor in saved.items():
            kept = kept_share if into[name].is_floating_point() else 0.0
            into[name].copy_(tensor.to(into[name]).lerp(into[name], kept) if kept else tensor)


def begin_with(model: nn.Module, other: nn.Module, source: Path) -> None:
    """Copy every weight of another model of like build. Raises TrainingError where names or shapes differ."""
    into, found = model.state_dict(), other.state_dict()
    if lacking := [name for name in into if name not in found]:
        raise TrainingError(f"{source} lacks {len(lacking)} tensors of this model, e.g. {lacking[0]}")
    put_tensors(found, into, source)


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def module_digest(module: nn.Module) -> str:
    """SHA-256 over a module's parameters and saved buffers as they are in memory."""
    return tensors_digest({name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)})
