from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from model_builders import build_language_model, build_model, noise
from safetensors.torch import load_file, save_file

from iclal.errors import ModelError, SettingsError
from iclal.model import saving
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.device import choose_device
from iclal.model.language_model import LanguageModel
from iclal.model.saving import load, load_encoder, load_several, save


@pytest.mark.parametrize(
    "connector", [CTCSettings(), CTCSettings(output="tied", residual=False), LinearSettings(stack=3)], ids=str
)
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_saved_model_hears_and_answers_the_same(
    parts: Path, tmp_path: Path, connector: CTCSettings | LinearSettings, norm: str
) -> None:
    model = build_model(parts, norm=norm, connector=connector, window_seconds=7.5, objective="distillation")
    folder = save(model, tmp_path / "model", language_model_path=parts / "lm-opt")
    again = load(folder)
    assert again.settings == model.settings
    assert not again.training
    audios = [noise(6_000), noise(300), noise(9_000, 1)]
    with torch.no_grad():
        for one, other in zip(model.prefixes(audios), again.prefixes(audios), strict=True):
            assert torch.equal(one, other)
    assert model.transcribe(audios) == again.transcribe(audios)


def test_the_folder_holds_the_ears_alone_and_says_which_language_model(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts, connector=CTCSettings(output="tied"))
    folder = save(model, tmp_path / "model", language_model_path=parts / "lm-opt")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    tensors = load_file(folder / "model.safetensors")
    assert tensors.keys() == model.state_dict().keys()
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in model.parameters())
    config = json.loads((folder / "config.json").read_text())
    assert config["language_model"]["embedding_digest"] == model.language_model.embedding_digest
    assert not Path(config["language_model"]["path"]).is_absolute()
    assert config["sizes"]["vocabulary_size"] == model.language_model.vocabulary_size


def test_model_and_language_model_may_move_together(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "lm-opt", tmp_path / "a/lm")
    save(build_model(parts), tmp_path / "a/model", language_model_path=tmp_path / "a/lm")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert load(tmp_path / "b/model").language_model.name == "lm"


def test_another_language_model_is_refused_with_both_digests(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    folder = save(model, tmp_path / "model")
    other = build_language_model(tmp_path / "other", seed=5)
    with pytest.raises(ModelError) as caught:
        load(folder, language_model=other)
    assert model.language_model.embedding_digest in str(caught.value)
    assert LanguageModel.load(other).embedding_digest in str(caught.value)
    with pytest.raises(ModelError, match=r"config \w+ \(trained with\)"):
        load(folder, language_model=build_language_model(tmp_path / "llama", "llama"))


def test_the_language_model_is_recognised_in_any_dtype_and_as_an_object(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    folder = save(model, tmp_path / "model")
    assert load(folder, language_model=model.language_model).language_model is model.language_model
    assert load(folder, language_model=parts / "lm-opt", dtype="bfloat16").language_model.dtype == torch.bfloat16
    with pytest.raises(ModelError, match="does not say where its language model lies"):
        load(folder)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_given_language_model_stays_where_and_as_it_is(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    folder = save(model, tmp_path / "model")
    given = LanguageModel.load(parts / "lm-opt").to("meta")
    given.embedding_digest = model.language_model.embedding_digest
    assert load(folder, language_model=given).device == given.device == torch.device("meta")
    with pytest.raises(SettingsError, match="dtype 'bfloat16' is for a language model still to be loaded"):
        load(folder, language_model=model.language_model, dtype="bfloat16")


def test_models_of_one_language_model_hold_it_together(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "lm-opt", tmp_path / "other")
    for name, place in (("a", parts / "lm-opt"), ("b", parts / "lm-opt"), ("c", tmp_path / "other")):
        save(build_model(parts), tmp_path / name, language_model_path=place)
    found = load_several({name: tmp_path / name for name in "abc"})
    assert found["a"].language_model is found["b"].language_model is not found["c"].language_model
    alone = load(tmp_path / "b")
    assert found["b"].transcribe([noise(6_000)]) == alone.transcribe([noise(6_000)])


def test_the_encoder_of_trained_ears_is_loaded_alone(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    folder = save(model, tmp_path / "model", stored_dtype=torch.bfloat16)
    encoder = load_encoder(folder)
    assert encoder.settings == model.encoder.settings
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, model.encoder.state_dict()[name].bfloat16().float()), name
    assert load_encoder("ctc").width == load_encoder(str(parts / "encoder-layer")).width * 6
    with pytest.raises(ModelError, match="no encoder at"):
        load_encoder(tmp_path / "nowhere")


def test_weights_stored_in_bfloat16_take_half_the_bytes_and_are_used_in_float32(parts: Path, tmp_path: Path) -> None:
    model = build_model(parts)
    whole, half = (
        save(model, tmp_path / str(dtype), language_model_path=parts / "lm-opt", stored_dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    weights = whole / "model.safetensors", half / "model.safetensors"
    assert weights[1].stat().st_size < 0.6 * weights[0].stat().st_size
    for name, tensor in load(half).state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.state_dict()[name].bfloat16().float()), name


def test_bundled_models_are_found_by_name(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "ASSETS", tmp_path)
    monkeypatch.setattr(saving, "BUNDLED_EARS", {"ctc": tmp_path / "ears-ctc", "linear": tmp_path / "ears-linear"})
    build_model(parts)
    shutil.copytree(parts / "lm-opt", tmp_path / "language-model")
    for connector in (CTCSettings(), LinearSettings()):
        model = build_model(parts, connector=connector)
        save(model, tmp_path / f"ears-{connector.kind}", language_model_path=tmp_path / "language-model")
    config = json.loads((tmp_path / "ears-ctc/config.json").read_text())
    assert config["language_model"]["path"] == "bundled"
    assert load().settings.connector.kind == load("ctc").settings.connector.kind == "ctc"
    assert load("linear").settings.connector.kind == "linear"


def test_a_device_is_chosen_by_name_and_one_that_is_not_there_is_refused(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    folder = save(build_model(parts), tmp_path / "model", language_model_path=parts / "lm-opt")
    for name in ("auto", "cpu", torch.device("cpu")):
        model = load(folder, device=name)
        assert model.device == model.language_model.device == torch.device("cpu")
    for name in ("cuda", "cuda:1", "cuda:one", "mps", "gpu", ""):
        with pytest.raises(SettingsError, match=f"device '{name}' is not available here; use auto or one of cpu"):
            load(folder, device=name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (choose_device("auto"), choose_device("cuda"), choose_device("cuda:1")) == ("cuda", "cuda", "cuda:1")
    with pytest.raises(SettingsError, match="device 'cuda:2' is not available here; use auto or one of cuda, cpu"):
        choose_device("cuda:2")


def test_wrong_folders_are_refused_with_the_reason(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at .*nowhere.*bundled model: ctc, linear"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"it has no config\.json"):
        load(tmp_path)
    with pytest.raises(ModelError, match="no model folder of ICLAL"):
        load(build_language_model(tmp_path / "lm"))
    folder = save(build_model(parts), tmp_path / "model", language_model_path=parts / "lm-opt")
    config = json.loads((folder / "config.json").read_text())
    for changed, message in [
        ({"format": 99}, "of format 99"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"sizes": {}}, "sizes.width"),
    ]:
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(ModelError, match=message):
            load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot read"):
        load(folder)


def test_weights_that_do_not_fit_are_refused_by_name(parts: Path, tmp_path: Path) -> None:
    folder = save(build_model(parts), tmp_path / "model", language_model_path=parts / "lm-opt")
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    name = "connector.output.bias"
    for changed, message in [
        ({key: value for key, value in tensors.items() if key != name}, f"1 missing, e.g. {name}"),
        (tensors | {"lm_head.weight": torch.zeros(2)}, "1 unknown, e.g. lm_head.weight"),
        (tensors | {name: torch.zeros(3)}, rf"{name} is torch.float32 \[3\]"),
        (tensors | {name: tensors[name].half()}, f"{name} is torch.float16"),
    ]:
        save_file(changed, weights)
        with pytest.raises(ModelError, match=message):
            load(folder)
    weights.write_bytes(b"no safetensors")
    with pytest.raises(ModelError, match="cannot read the weights"):
        load(folder)
    weights.unlink()
    with pytest.raises(ModelError, match="weights are missing"):
        load(folder)


def test_a_place_that_cannot_be_written_is_an_error(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot write the model"):
        save(build_model(parts), tmp_path / "file" / "model")
