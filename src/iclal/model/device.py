"""The device to compute on."""

from __future__ import annotations

import torch

from iclal.errors import SettingsError


def choose_device(device: str | torch.device) -> str:
    """The device of "auto" (the best there is), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        SettingsError: one that is not there; names those that are.
    """
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if str(device) == "auto":
        return next(kind for kind, count in counts.items() if count)
    kind, colon, number = str(device).partition(":")
    if (colon and not number.isdecimal()) or int(number or 0) >= counts.get(kind, 0):
        known = ", ".join(kind for kind, count in counts.items() if count)
        raise SettingsError(f"device '{device}' is not available here; use auto or one of {known}")
    return str(device)
