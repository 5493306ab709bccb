"""The device to compute on."""

from __future__ import annotations

import torch

from iclal.errors import SettingsError


def choose_device(name: str) -> str:
    """The device of "auto", "cpu", "cuda", "cuda:1" or "mps". Raises SettingsError for one that is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, there in available.items() if there)
    if not available.get(name.partition(":")[0], False):
        known = ", ".join(device for device, there in available.items() if there)
        raise SettingsError(f"device '{name}' is not available here; use auto or one of {known}")
    return name
