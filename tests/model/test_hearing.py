from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import build_model, noise

from iclal.audio.reading import Audio
from iclal.data.prompt import Text
from iclal.errors import AudioError
from iclal.model.hearing import Hearing
from iclal.model.inference import generate


def test_use_in_the_middle_of_training_goes_on_in_training_mode(parts: Path) -> None:
    model = build_model(parts).train()
    first = model.generate((noise(8_000),), max_new_tokens=4)
    assert model.training and model.encoder.training
    assert not first.log_probabilities == ()
    assert model.generate((noise(8_000),), max_new_tokens=4) == first  # no dropout, no SpecAugment
    model.eval()


def test_a_clip_too_long_to_be_heard_at_once_is_refused_before_it_is_heard(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(parts)
    hearing = Hearing(model)
    hour = Audio(np.zeros(3600 * 16_000, np.float32), "hour.wav")
    with monkeypatch.context() as unheard:
        unheard.setattr(model.encoder, "forward", None)
        with pytest.raises(AudioError, match="3600 s, at most 300 s are heard at once in a prompt"):
            generate(model, [(Text("where"), hour)], hearing=hearing)
    assert generate(model, [(Text("where"), noise(6_000))], hearing=hearing)  # the next one is heard


def test_samples_in_any_order_of_memory_are_heard_the_same(parts: Path) -> None:
    model, audio = build_model(parts), noise(6_000)
    backwards = Audio(np.ascontiguousarray(audio.samples[::-1])[::-1])
    assert backwards.samples.strides == (-4,)
    assert torch.equal(model.prefixes([backwards])[0], model.prefixes([audio])[0])
