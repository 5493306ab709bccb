"""Law 1: the language model is the same before and after training, and nothing of it is trained or saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_builders import build_language_model, build_model, noise
from torch import nn

from iclal.data.prompt import Text
from iclal.errors import ModelError
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.inference import generate
from iclal.model.language_model import LanguageModel
from iclal.model.layout import lay_out, tokenize, tokenize_target
from iclal.model.model import ICLAL

AUDIOS = [noise(9_000, 1), noise(4_000, 2), noise(300, 3)]


def target_loss(model: ICLAL) -> torch.Tensor:
    """The transcription loss over three clips, one of them too short to be heard."""
    prefixes = model.prefixes(AUDIOS)
    counts = [len(prefix) for prefix in prefixes]
    ids = tokenize_target("rome mira", "\n", model.language_model)
    prompts = [tokenize((Text("heard:"), audio), model.language_model, AUDIOS.index) for audio in AUDIOS]
    rows = model.target_logits([lay_out(prompt, counts, ids) for prompt in prompts], prefixes)
    return torch.nn.functional.cross_entropy(rows.logits_NV, rows.token_ids_N)


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("connector", [CTCSettings(output="tied"), LinearSettings()], ids=lambda c: c.kind)
def test_digest_is_equal_before_and_after_training(
    parts: Path, family: str, connector: CTCSettings | LinearSettings
) -> None:
    model = build_model(parts, family=family, connector=connector)
    digest = model.language_model.digest()
    ears = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        target_loss(model).backward()
        optimizer.step()
    assert model.language_model.digest() == digest
    trained = dict(model.named_parameters())
    assert sum(not torch.equal(trained[name], before) for name, before in ears.items()) > 0.8 * len(ears)


def test_no_parameter_of_the_language_model_is_the_ears_or_wants_a_gradient(parts: Path) -> None:
    model = build_model(parts)
    frozen = {parameter.data_ptr() for parameter in model.language_model.network.parameters()}
    assert not frozen & {parameter.data_ptr() for parameter in model.parameters()}
    assert not frozen & {tensor.data_ptr() for tensor in model.state_dict().values()}
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "connector"}
    assert not any(parameter.requires_grad for parameter in model.language_model.network.parameters())


def test_train_leaves_the_language_model_in_evaluation_mode_and_it_drops_nothing(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path / "dropping", dropout=0.3, attention_dropout=0.2, layerdrop=0.5)
    language_model = LanguageModel.load(folder)
    parent = nn.Module()
    parent.language_model = language_model
    parent.train()
    assert not any(module.training for module in language_model.network.modules())
    rows_BTD = language_model.embed(torch.tensor([[1, 40, 41, 42]]))
    positions_BT = torch.arange(4)[None]
    expected = language_model.hidden(rows_BTD, positions_BT)
    language_model.network.train()
    assert torch.equal(language_model.hidden(rows_BTD, positions_BT), expected)


def test_casting_the_model_does_not_recast_the_language_model(parts: Path) -> None:
    model = build_model(parts)
    digest = model.language_model.digest()
    model.double()
    assert next(model.parameters()).dtype == torch.float64
    assert model.language_model.dtype == torch.float32
    assert model.language_model.digest() == digest


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_activation_checkpointing_recomputes_layers_for_the_same_gradient(parts: Path, family: str) -> None:
    model = build_model(parts, family=family)
    calls: list[int] = []
    layer = next(m for m in model.language_model.network.modules() if type(m).__name__.endswith("DecoderLayer"))
    # The first of its linear layers: recomputing stops as soon as the last tensor that is needed is there.
    first = next(module for module in layer.modules() if isinstance(module, nn.Linear))
    first.register_forward_hook(lambda *_: calls.append(1))
    gradients, counts = [], []
    for on in (False, True):
        model.language_model.set_activation_checkpointing(on)
        model.zero_grad()
        calls.clear()
        target_loss(model).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        counts.append(len(calls))
    assert counts == [1, 2]
    assert torch.equal(gradients[0], gradients[1])


def test_use_is_refused_while_activation_checkpointing_is_on(parts: Path) -> None:
    model = build_model(parts)
    model.language_model.set_activation_checkpointing(True)
    with pytest.raises(ModelError, match="activation checkpointing is on"):
        generate(model, [(Text("where"),)])
    model.language_model.set_activation_checkpointing(False)
    assert generate(model, [(Text("where"),)], max_new_tokens=2)
