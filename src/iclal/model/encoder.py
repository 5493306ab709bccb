"""The encoder: a wav2vec 2.0 that hears every clip as if it were alone.

Shapes: B batch, S samples, F frames, C channels of the convolutions, E encoder width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from iclal.errors import ModelError
from iclal.model.hub import load_network, read_json
from iclal.settings import Settings

SAMPLING_RATE = 16_000
_NORMALISE_EPSILON = 1e-7  # Hugging Face's Wav2Vec2FeatureExtractor


class EncoderSettings(Settings):
    """What rebuilds an encoder, saved with the ears: Hugging Face's config and the preprocessor's settings."""

    config: dict[str, Any]
    do_normalize: bool = True  # mean 0 and variance 1 over the clip with its margins
    sampling_rate: int = SAMPLING_RATE  # Hz
    margin_seconds: float = Field(default=0.0, ge=0)  # of silence laid around each clip, so that no word starts at once


class Encoder(nn.Module):
    """Hugging Face's `Wav2Vec2Model` with its preprocessor: waveforms in, frames out.

    Frame f is heard from `frame_seconds` * f - `settings.margin_seconds` on.

    A clip's frames do not depend on its batch: normalisation, the first group norm, the positional convolution and
    attention see the clip's own samples only. A clip too short for the convolutions has 0 frames.
    """

    def __init__(self, settings: EncoderSettings, network: Wav2Vec2Model | None = None) -> None:
        """A fresh encoder with random weights, or `network` as it is.

        Raises:
            ModelError: a config that is no wav2vec 2.0's, has an adapter, or wants another sampling rate than 16 kHz.
        """
        super().__init__()
        self.settings = settings
        self.network = network if network is not None else Wav2Vec2Model(_config(settings))
        config = self.network.config
        if config.add_adapter:
            raise ModelError(
                "the encoder has an adapter behind it (add_adapter); use one without: the connector adapts"
            )
        self.width: int = config.hidden_size
        self._kernels: tuple[int, ...] = tuple(config.conv_kernel)
        self._strides: tuple[int, ...] = tuple(config.conv_stride)
        self._margin_samples = round(settings.margin_seconds * SAMPLING_RATE)

    @property
    def frame_seconds(self) -> float:
        """How much later the next frame begins."""
        return math.prod(self._strides) / SAMPLING_RATE

    @classmethod
    def load(cls, folder: Path | str) -> Encoder:
        """An encoder from a local folder in the hub's layout (config.json, preprocessor_config.json, weights).

        Raises:
            ModelError: no such folder, files missing, another kind of model, or weights that are not all there.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise ModelError(f"no encoder at {folder}: a folder with config.json and weights is needed")
        values = read_json(folder / "config.json")
        if values.get("model_type") != "wav2vec2":
            raise ModelError(
                f"{folder} holds a model of type '{values.get('model_type')}'; the encoder must be wav2vec2"
            )
        preprocessor = folder / "preprocessor_config.json"
        if not preprocessor.is_file():
            raise ModelError(f"{folder} has no preprocessor_config.json: it says whether waveforms are normalised")
        said = read_json(preprocessor)
        # The published wav2vec2-base-960h has no vector for masked frames; it is only used in training.
        network: Wav2Vec2Model = load_network(
            Wav2Vec2Model, folder, "encoder", may_lack=("masked_spec_embed",), dtype=torch.float32
        )
        settings = EncoderSettings(
            config=network.config.to_diff_dict(),
            do_normalize=bool(said.get("do_normalize", True)),
            sampling_rate=int(said.get("sampling_rate", SAMPLING_RATE)),
            margin_seconds=float(said.get("margin_seconds", 0.0)),
        )
        _config(settings)
        return cls(settings, network)

    def save(self, folder: Path) -> None:
        """Write the encoder as a folder that `load`, and Hugging Face's `from_pretrained`, take back."""
        self.network.save_pretrained(folder)
        preprocessor = {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "do_normalize": self.settings.do_normalize,
            "sampling_rate": self.settings.sampling_rate,
            "margin_seconds": self.settings.margin_seconds,  # ours; Hugging Face keeps it and does not use it
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": self.network.config.feat_extract_norm == "layer",
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n", encoding="utf-8")

    def deepened(self, layers: int, dropout: float | None = None) -> Encoder:
        """The same encoder with `layers` transformer layers: those that it lacks come last and pass on what they get.

        So it hears as before until it is trained on. It is a copy, on the same device and in the same mode.

        Args:
            dropout: of hidden states and attention in training; None: as it is.

        Raises:
            ModelError: it has more layers, or it lacks some and its layers have their norm behind them or adapters in
                them, so that they cannot pass anything on.
        """
        config = self.network.config
        if layers < config.num_hidden_layers:
            raise ModelError(f"the encoder has {config.num_hidden_layers} layers, more than the {layers} wanted")
        passes_on = config.do_stable_layer_norm and config.adapter_attn_dim is None
        if layers > config.num_hidden_layers and not passes_on:
            raise ModelError(
                "only an encoder with norms in front of its layers (do_stable_layer_norm) and no adapters in them "
                "(adapter_attn_dim) can be deepened"
            )
        changed: dict[str, Any] = {"num_hidden_layers": layers}
        if dropout is not None:
            changed |= {"hidden_dropout": dropout, "attention_dropout": dropout}
        deep = Encoder(self.settings.model_copy(update={"config": self.settings.config | changed}))
        deep.load_state_dict(deep.state_dict() | self.state_dict())
        for layer in cast(Iterable[Any], deep.network.encoder.layers[config.num_hidden_layers :]):
            for last in (layer.attention.out_proj, layer.feed_forward.output_dense):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        return deep.to(next(self.parameters()).device).train(self.training)

    def widened(self, filters: int) -> Encoder:
        """The same encoder with `filters` filters in its first convolution: those it lacks are its own, moved in pitch.

        They are moved up and down by what their length can tell apart (40 Hz for 25 ms), then by twice that, and so on,
        so that they hear what lies between the bands. The next convolution does not listen to them yet: the encoder
        hears as before until it is trained on, exactly so if its norms are of single channels, nearly if of all. It is
        a copy, on the same device and in the same mode.

        Raises:
            ModelError: it has more filters, or a single convolution.
        """
        own, *others = self.network.config.conv_dim
        if filters < own or not others:
            raise ModelError(
                f"the encoder has {own} filters in the first of its {len(others) + 1} convolutions: a first of two or "
                f"more can have as many or more, not {filters}"
            )
        wide = Encoder(
            self.settings.model_copy(update={"config": self.settings.config | {"conv_dim": [filters, *others]}})
        )
        tensors = {name: tensor.cpu() for name, tensor in self.state_dict().items()}
        first, second = (f"network.feature_extractor.conv_layers.{layer}" for layer in (0, 1))
        for name in [name for name in tensors if name.startswith(first)]:
            tensors[name] = tensors[name][torch.arange(filters) % own]
        weight_C1K = tensors[f"{first}.conv.weight"]
        for turn, start in enumerate(range(own, filters, own)):
            bins = (turn // 2 + 1) * (-1) ** turn
            spectra = nn.functional.pad(torch.fft.rfft(weight_C1K[start : start + own]), (bins, -bins))
            weight_C1K[start : start + own] = torch.fft.irfft(spectra, self._kernels[0])
        unheard = (0, 0, 0, filters - own)
        tensors[f"{second}.conv.weight"] = nn.functional.pad(tensors[f"{second}.conv.weight"], unheard)
        wide.load_state_dict(tensors)
        return wide.to(next(self.parameters()).device).train(self.training)

    def train(self, mode: bool = True) -> Encoder:
        """As any module's, but an encoder that is frozen hears in training as it hears later: nothing is masked."""
        return super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip of `num_samples` samples at 16 kHz and its margins; 0 if too short for the convolutions."""
        return self._convolved(num_samples + 2 * self._margin_samples) if self._convolved(num_samples) else 0

    def _convolved(self, num_samples: int) -> int:
        """How many frames the convolutions make of so many samples."""
        for kernel, stride in zip(self._kernels, self._strides, strict=True):
            if num_samples < kernel:
                return 0
            num_samples = (num_samples - kernel) // stride + 1
        return num_samples

    def forward(self, waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Frames of each clip.

        Args:
            waveforms: B float32 tensors [S_i], 16 kHz mono; any length, 0 included.

        Returns:
            frames_BFE: float32, zeros behind each clip's last frame; F is the longest clip's number (it may be 0).
            num_frames_B: int64, on the frames' device.
        """
        counts = [self.num_frames(len(waveform)) for waveform in waveforms]
        device = self.network.feature_projection.projection.weight.device
        num_frames_B = torch.tensor(counts, dtype=torch.long, device=device)
        heard = [index for index, count in enumerate(counts) if count]
        if not heard:
            return torch.zeros(len(counts), 0, self.width, device=device), num_frames_B
        frames_HFE = self._hear([self._prepare(waveforms[index].to(device)) for index in heard])
        if len(heard) == len(counts):
            return frames_HFE, num_frames_B
        frames_BFE = frames_HFE.new_zeros(len(counts), frames_HFE.shape[1], self.width)
        return frames_BFE.index_copy(0, torch.tensor(heard, device=device), frames_HFE), num_frames_B

    def _prepare(self, waveform_S: Tensor) -> Tensor:
        """The waveform between its margins, as the preprocessor hands it on. Margins count as silence of the clip."""
        waveform_S = waveform_S.float()
        margins = (self._margin_samples, self._margin_samples)
        if not self.settings.do_normalize:
            return nn.functional.pad(waveform_S, margins)
        waveform_S = nn.functional.pad(waveform_S - waveform_S.mean(), margins)
        return waveform_S / torch.sqrt(waveform_S.var(correction=0) + _NORMALISE_EPSILON)

    def _hear(self, waveforms: list[Tensor]) -> Tensor:
        """Frames of clips that have at least one frame each; zeros behind each clip's last."""
        lengths_B = torch.tensor([len(waveform) for waveform in waveforms], device=waveforms[0].device)
        samples_BS = nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        features_BFC, num_frames_B = self._convolve(samples_BS, lengths_B)
        num_frames = features_BFC.shape[1]
        ragged = bool((num_frames_B < num_frames).any())
        mask_BF = torch.arange(num_frames, device=num_frames_B.device) < num_frames_B[:, None] if ragged else None
        hidden_BFE, _ = self.network.feature_projection(features_BFC)
        # Hugging Face's SpecAugment refuses a batch shorter than one of its spans.
        if self.training and num_frames >= self.network.config.mask_time_length:
            hidden_BFE = self.network._mask_hidden_states(hidden_BFE.clone(), attention_mask=cast(Any, mask_BF))
        frames_BFE = self.network.encoder(hidden_BFE, attention_mask=mask_BF).last_hidden_state.float()
        return frames_BFE if mask_BF is None else frames_BFE * mask_BF[..., None]

    def _convolve(self, samples_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The convolutions over padded waveforms, and each clip's number of frames."""
        hidden_BCF = samples_BS[:, None]
        layers = cast(Iterable[Any], self.network.feature_extractor.conv_layers)
        for layer, kernel, stride in zip(layers, self._kernels, self._strides, strict=True):
            lengths_B = (lengths_B - kernel) // stride + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm) and bool((lengths_B < lengths_B.max()).any()):
                hidden_BCF = layer.activation(_masked_group_norm(norm, layer.conv(hidden_BCF), lengths_B))
            else:
                hidden_BCF = layer(hidden_BCF)
        return hidden_BCF.transpose(1, 2), lengths_B


def _masked_group_norm(norm: nn.GroupNorm, hidden_BCF: Tensor, lengths_B: Tensor) -> Tensor:
    """Group norm with one channel a group, its statistics over each clip's valid frames.

    Hugging Face's takes them over the padding too, so that a clip's features depend on its batch.
    """
    assert norm.num_groups == norm.num_channels
    mask_B1F = (torch.arange(hidden_BCF.shape[2], device=lengths_B.device) < lengths_B[:, None])[:, None]
    count_B11 = lengths_B[:, None, None]
    mean_BC1 = (hidden_BCF * mask_B1F).sum(2, keepdim=True) / count_B11
    centred_BCF = (hidden_BCF - mean_BC1) * mask_B1F
    variance_BC1 = centred_BCF.square().sum(2, keepdim=True) / count_B11
    return centred_BCF * torch.rsqrt(variance_BC1 + norm.eps) * norm.weight[:, None] + norm.bias[:, None]


def _config(settings: EncoderSettings) -> Wav2Vec2Config:
    """Hugging Face's config of the settings, checked."""
    if settings.sampling_rate != SAMPLING_RATE:
        raise ModelError(f"the encoder wants {settings.sampling_rate} Hz; only {SAMPLING_RATE} Hz is supported")
    values = {key: value for key, value in settings.config.items() if key != "transformers_version"}
    if values.pop("model_type", "wav2vec2") != "wav2vec2":
        raise ModelError(f"the encoder's config is of type '{settings.config['model_type']}'; it must be wav2vec2")
    try:
        return Wav2Vec2Config(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"not a wav2vec 2.0 config: {error}") from error
