"""The model folder: `config.json` and `model.safetensors`, the ears alone, with a note of the language model they fit.

A folder names its language model by `path` (relative to the folder, or absolute) or as "bundled"; `load` refuses any
other than the one the ears were trained with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import iclal
from iclal.errors import ModelError, SettingsError
from iclal.model.device import choose_device
from iclal.model.encoder import Encoder, EncoderSettings
from iclal.model.hub import one_line, read_json
from iclal.model.language_model import LanguageModel
from iclal.model.model import ICLAL, ModelSettings
from iclal.settings import Settings

ASSETS = Path(__file__).resolve().parent.parent / "assets"
BUNDLED = "bundled"  # the language model or encoder that comes with the package
BUNDLED_EARS = {"ctc": ASSETS / "ears-ctc", "linear": ASSETS / "ears-linear"}
FORMAT = 1


class LanguageModelRecord(Settings):
    """Which language model the ears were trained with: what `LanguageModel.identity` says, and where it was."""

    name: str
    revision: str = ""
    path: str | None = None  # relative to the model folder, or "bundled"; None where it must be given
    config_hash: str
    embedding_digest: str
    tokenizer_hash: str


class Sizes(Settings):
    """What the ears were built between."""

    encoder_width: int
    width: int
    vocabulary_size: int
    num_parameters: int


class FolderSettings(Settings):
    """The whole of `config.json`."""

    format: int = FORMAT
    iclal_version: str
    encoder: EncoderSettings
    model: ModelSettings
    sizes: Sizes
    language_model: LanguageModelRecord


def save(
    model: ICLAL,
    folder: Path | str,
    *,
    language_model_path: Path | str | None = None,
    stored_dtype: torch.dtype = torch.float32,
) -> Path:
    """Write the ears of a model to a folder, aside and renamed file by file (weights first).

    Args:
        language_model_path: where the language model lies, for `load` to find it: a folder (written relative to the
            model's where that is possible), "bundled", or None: it must then be given to `load`.
        stored_dtype: of the weights in the file, float32 or, in half the bytes, bfloat16; `load` gives float32.

    Raises:
        ModelError: the folder cannot be written.
    """
    folder = Path(folder)
    settings = FolderSettings(
        iclal_version=iclal.__version__,
        encoder=model.encoder.settings,
        model=model.settings,
        sizes=_sizes(model),
        language_model=LanguageModelRecord(
            path=_path_to_write(folder, language_model_path), **model.language_model.identity()
        ),
    )
    own = model.state_dict()
    assert all(tensor.is_floating_point() for tensor in own.values()), "ears are weights alone"
    tensors = {name: tensor.detach().to("cpu", stored_dtype).contiguous() for name, tensor in own.items()}
    text = json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "model.safetensors.partial", metadata={"format": "pt"})
        (folder / "model.safetensors.partial").replace(folder / "model.safetensors")
        (folder / "config.json.partial").write_text(text, encoding="utf-8")
        (folder / "config.json.partial").replace(folder / "config.json")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot write the model to {folder}: {one_line(error)}") from error
    return folder


def load(
    path: Path | str | None = None,
    *,
    language_model: LanguageModel | Path | str | None = None,
    device: str | torch.device | None = None,
    dtype: str = "auto",
) -> ICLAL:
    """A trained model, ready to use (evaluation mode).

    Args:
        path: a model folder, or the name of a bundled model, "ctc" (the default) or "linear".
        language_model: the language model or its folder; by default where the model's `config.json` says.
        device: "cpu" (the default, or where a given language model is), "cuda", "cuda:1", "mps", or "auto": the best of
            these that there is. A given language model is moved along.
        dtype: of the language model: "auto" (as stored; the bundled one float32), "float32", "bfloat16". Ears: float32.

    Raises:
        ModelError: no model folder, files missing or broken, weights that do not fit, or another language model than
            the ears were trained with (both digests are named).
        SettingsError: a device that is not there, or a dtype for a language model that is loaded already.
    """
    folder = model_folder("ctc" if path is None else path)
    settings = read_settings(folder)
    if isinstance(language_model, LanguageModel):
        if dtype != "auto":
            raise SettingsError(f"dtype {dtype!r} is for a language model still to be loaded; this one is loaded")
        device = choose_device(device) if device is not None else language_model.device
    else:
        place = _find_language_model(folder, settings.language_model.path, language_model)
        device = choose_device(device if device is not None else "cpu")
        language_model = load_language_model(place, dtype, device)
    check_language_model(settings.language_model, language_model, folder)
    model = ICLAL(Encoder(settings.encoder), language_model, settings.model)
    load_tensors(model, folder / "model.safetensors")
    return model.to(device).eval()


def load_several(
    places: Mapping[str, Path | str],
    *,
    language_model: Path | str | None = None,
    device: str | torch.device | None = None,
) -> dict[str, ICLAL]:
    """Models by name, as `load` gives each; those whose language model is of one folder have it together.

    Raises as `load`.
    """
    held: dict[Path, LanguageModel] = {}
    models = {}
    for name, path in places.items():
        folder = model_folder(path)
        place = _find_language_model(folder, read_settings(folder).language_model.path, language_model).resolve()
        models[name] = load(folder, language_model=held.get(place, place), device=device)
        held[place] = models[name].language_model
    return models


def load_language_model(place: Path, dtype: str, device: str | torch.device) -> LanguageModel:
    """The language model of a folder. Raises as `LanguageModel.load`."""
    # The bundled one is stored in bfloat16 to be small, and small enough to be computed with in full.
    wanted = "float32" if dtype == "auto" and place == ASSETS / "language-model" else dtype
    return LanguageModel.load(place, dtype=wanted, device=device)


def read_settings(folder: Path) -> FolderSettings:
    """What a model folder says of itself. Raises ModelError where it is none."""
    if not folder.exists():
        raise ModelError(f"no model at {folder}; give a model folder, or a bundled model: {', '.join(BUNDLED_EARS)}")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is no model folder: it has no config.json")
    values = read_json(folder / "config.json")
    if "language_model" not in values or "encoder" not in values:
        raise ModelError(f"{folder} is no model folder of ICLAL: its config.json names no encoder and language model")
    if values.get("format") != FORMAT:
        raise ModelError(f"{folder} is of format {values.get('format')}, this version reads format {FORMAT}")
    try:
        return FolderSettings.build(values, source=str(folder / "config.json"))
    except SettingsError as error:
        raise ModelError(str(error)) from error


def check_language_model(record: LanguageModelRecord, language_model: LanguageModel, folder: Path) -> None:
    """Refuse a language model other than the recorded one.

    Raises:
        ModelError: naming what differs, and both values.
    """
    found = language_model.identity()
    said = {"embedding_digest": "embeddings", "tokenizer_hash": "tokenizer", "config_hash": "config"}
    differing = [
        f"{words} {getattr(record, key)} (trained with) and {found[key]} (given)"
        for key, words in said.items()
        if getattr(record, key) != found[key]
    ]
    if differing:
        raise ModelError(
            f"the ears at {folder} were trained with the language model '{record.name}', not with "
            f"'{language_model.name}': {'; '.join(differing)}"
        )


def load_tensors(model: ICLAL, path: Path, may_lack: str = "") -> None:
    """Fill the ears with the tensors of a file, all of them and no others, but for what it may lack.

    What is stored in bfloat16 is read as float32.

    Args:
        may_lack: what begins the names of tensors that stay as they are where the file has none of them.

    Raises:
        ModelError: no such file, not safetensors, keys or shapes that do not fit.
    """
    _fill(model, _read_tensors(path), path, may_lack)


def load_encoder(place: Path | str) -> Encoder:
    """An encoder: of a folder in the hub's layout, of trained ears (a folder, a bundled model's name), or "bundled".

    Raises:
        ModelError: no such folder, files missing or broken, or weights that do not fit.
    """
    folder = ASSETS / "encoder" if str(place) == BUNDLED else model_folder(place)
    config = folder / "config.json"
    if not config.is_file() or "iclal_version" not in read_json(config):
        return Encoder.load(folder)
    encoder = Encoder(read_settings(folder).encoder)
    tensors = _read_tensors(folder / "model.safetensors")
    own = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    _fill(encoder, own, folder / "model.safetensors")
    return encoder


def language_model_folder(place: Path | str) -> Path:
    """The bundled language model's folder for "bundled", else the folder given."""
    return ASSETS / "language-model" if str(place) == BUNDLED else Path(place)


def model_folder(place: Path | str) -> Path:
    """A bundled model's folder for its name (a path that is named so is the user's own), else the folder given."""
    return BUNDLED_EARS[place] if isinstance(place, str) and place in BUNDLED_EARS else Path(place)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"the model's weights are missing: no {path}")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights at {path}: {one_line(error)}") from error


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path, may_lack: str = "") -> None:
    """As `load_tensors`, with what was read from the path."""
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if may_lack and not any(name.startswith(may_lack) for name in tensors):
        missing = [name for name in missing if not name.startswith(may_lack)]
    if missing or unknown:
        said = [
            f"{len(keys)} {word}, e.g. {keys[0]}" for keys, word in ((missing, "missing"), (unknown, "unknown")) if keys
        ]
        raise ModelError(f"the weights at {path} are not this model's: {'; '.join(said)}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype not in (own[name].dtype, torch.bfloat16):
            raise ModelError(
                f"the weights at {path} do not fit: {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"the model's is {own[name].dtype} {list(own[name].shape)}"
            )
    model.load_state_dict(own | tensors)


def _sizes(model: ICLAL) -> Sizes:
    """Widths and parameters, for a person who reads the config."""
    return Sizes(
        encoder_width=model.encoder.width,
        width=model.language_model.width,
        vocabulary_size=model.language_model.vocabulary_size,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _path_to_write(folder: Path, place: Path | str | None) -> str | None:
    """Where the language model lies, as the model folder says it."""
    if place is None or str(place) == BUNDLED:
        return None if place is None else BUNDLED
    place = Path(place).resolve()
    if place == ASSETS / "language-model":
        return BUNDLED
    try:
        return Path(os.path.relpath(place, folder.resolve())).as_posix()
    except ValueError:  # another drive
        return place.as_posix()


def _find_language_model(folder: Path, recorded: str | None, given: Path | str | None) -> Path:
    """The folder of the language model: the given one, else the recorded one."""
    if given is not None:
        return language_model_folder(given)
    if recorded is None:
        raise ModelError(f"{folder} does not say where its language model lies; give it (language_model=FOLDER)")
    return language_model_folder(recorded if recorded == BUNDLED else folder / recorded)
