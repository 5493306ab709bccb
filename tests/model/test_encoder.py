from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import build_encoder, build_language_model, noise
from transformers import Wav2Vec2FeatureExtractor

from iclal.errors import ModelError
from iclal.model.encoder import Encoder, EncoderSettings


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_counted_frames_are_the_frames_made(tmp_path: Path, norm: str) -> None:
    encoder = Encoder.load(build_encoder(tmp_path, norm)).eval()
    lengths = [0, 1, 10, 399, 400, 719, 720, 1_600, 16_000]
    assert [encoder.num_frames(length) for length in lengths] == [0, 0, 0, 0, 1, 1, 2, 4, 49]
    frames_BFE, num_frames_B = encoder([torch.from_numpy(noise(length).samples) for length in lengths])
    assert num_frames_B.tolist() == [0, 0, 0, 0, 1, 1, 2, 4, 49]
    assert frames_BFE.shape == (9, 49, 32)
    assert frames_BFE.dtype == torch.float32


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("length", [0, 1, 399, 400, 1_600, 3_000])
def test_short_clips_are_heard_in_training_mode_too(tmp_path: Path, norm: str, length: int) -> None:
    encoder = Encoder.load(build_encoder(tmp_path, norm, mask_time_prob=0.5)).train()
    for company in ([], [16_000]):
        waveforms = [torch.from_numpy(noise(n).samples) for n in [length, *company]]
        frames_BFE, num_frames_B = encoder(waveforms)
        assert num_frames_B[0] == encoder.num_frames(length)
        assert frames_BFE.isfinite().all()


def test_a_batch_of_clips_too_short_to_be_heard_has_no_frames(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path))
    frames_BFE, num_frames_B = encoder([torch.zeros(0), torch.zeros(399)])
    assert frames_BFE.shape == (2, 0, 32)
    assert num_frames_B.tolist() == [0, 0]


def test_silence_is_heard_as_finite_frames(tmp_path: Path) -> None:
    for norm in ("layer", "group"):
        frames_BFE, _ = Encoder.load(build_encoder(tmp_path / norm, norm)).eval()([torch.zeros(8_000)])
        assert frames_BFE.isfinite().all()


def test_masking_is_applied_in_training_and_only_then(tmp_path: Path) -> None:
    dropouts = ("layerdrop", "hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")
    encoder = Encoder.load(build_encoder(tmp_path, mask_time_prob=0.5, **dict.fromkeys(dropouts, 0.0)))
    waveforms = [torch.from_numpy(noise(16_000).samples)]
    heard = [encoder.train(on)(waveforms)[0].detach() for on in (False, False, True)]
    assert torch.equal(heard[0], heard[1])
    assert not torch.allclose(heard[0], heard[2], atol=1e-3)


def test_a_frozen_encoder_hears_in_training_as_in_use_and_one_frozen_in_part_does_not(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path, mask_time_prob=0.5, mask_time_length=2))
    clip = [torch.randn(16_000)]
    in_use = encoder.eval()(clip)[0]
    encoder.requires_grad_(False)
    assert torch.equal(encoder.train()(clip)[0], in_use)
    next(encoder.parameters()).requires_grad_(True)
    assert not torch.equal(encoder.train()(clip)[0], in_use)


def test_waveforms_are_normalised_as_the_preprocessor_says(tmp_path: Path) -> None:
    folder = build_encoder(tmp_path)
    encoder = Encoder.load(folder)
    samples = noise(5_000).samples * 0.01 + 0.2
    expected = Wav2Vec2FeatureExtractor.from_pretrained(folder)(samples, sampling_rate=16_000)["input_values"][0]
    np.testing.assert_allclose(encoder._prepare(torch.from_numpy(samples)).numpy(), expected, atol=2e-5)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "sampling_rate": 16_000}))
    assert torch.equal(Encoder.load(folder)._prepare(torch.from_numpy(samples)), torch.from_numpy(samples))


def test_saved_and_loaded_encoder_gives_equal_frames(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path / "one", "group")).eval()
    encoder.save(tmp_path / "two")
    again = Encoder.load(tmp_path / "two").eval()
    waveforms = [torch.from_numpy(noise(6_000).samples)]
    assert torch.equal(encoder(waveforms)[0], again(waveforms)[0])
    assert again.settings.do_normalize


def test_what_is_no_encoder_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no encoder at .*nowhere"):
        Encoder.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="type 'opt'"):
        Encoder.load(build_language_model(tmp_path / "opt"))
    folder = build_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot load the encoder"):
        Encoder.load(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no preprocessor_config"):
        Encoder.load(folder)
    with pytest.raises(ModelError, match="8000 Hz"):
        Encoder(EncoderSettings(config={}, sampling_rate=8_000))
    with pytest.raises(ModelError, match="adapter"):
        Encoder(EncoderSettings(config={"add_adapter": True, "hidden_size": 32, "num_hidden_layers": 1,
                                        "num_attention_heads": 2, "intermediate_size": 8}))  # fmt: skip


def test_an_encoder_whose_weights_are_not_all_there_is_refused(tmp_path: Path) -> None:
    folder = build_encoder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"lacks \d+ weights, e.g. encoder.layers.2"):
        Encoder.load(folder)


def test_margins_are_silence_around_each_clip_and_are_saved(tmp_path: Path) -> None:
    folder = build_encoder(tmp_path / "plain")
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(said | {"margin_seconds": 0.25}))
    encoder, plain = Encoder.load(folder).eval(), Encoder.load(build_encoder(tmp_path / "other")).eval()
    samples = noise(6_000).samples
    by_hand = np.pad(samples - samples.mean(), 4_000)
    assert encoder.num_frames(len(samples)) == plain.num_frames(len(by_hand))
    plain.load_state_dict(encoder.state_dict())
    heard, expected = (e([torch.from_numpy(s)])[0] for e, s in ((encoder, samples), (plain, by_hand)))
    torch.testing.assert_close(heard, expected, atol=1e-4, rtol=1e-4)
    assert encoder.num_frames(0) == encoder.num_frames(10) == 0  # margins make no clip of nothing
    encoder.save(tmp_path / "again")
    assert Encoder.load(tmp_path / "again").settings.margin_seconds == 0.25
    assert Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "again").sampling_rate == 16_000


def test_a_deepened_encoder_hears_the_same_until_its_new_layers_are_trained(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path)).eval()
    layers = encoder.network.config.num_hidden_layers
    deep = encoder.deepened(layers + 2, dropout=0.25).eval()
    clips = [torch.from_numpy(noise(length).samples) for length in (16_000, 9_000)]
    assert torch.equal(deep(clips)[0], encoder(clips)[0])
    assert len(deep.network.encoder.layers) == layers + 2
    assert deep.settings.config["hidden_dropout"] == deep.settings.config["attention_dropout"] == 0.25
    assert encoder.deepened(layers).settings == encoder.settings.model_copy(
        update={"config": encoder.settings.config | {"num_hidden_layers": layers}}
    )
    deep(clips)[0].square().sum().backward()
    for layer in deep.network.encoder.layers[layers:]:
        assert layer.feed_forward.output_dense.weight.grad.abs().max() > 0  # they can learn
    rebuilt = Encoder(deep.settings)
    rebuilt.load_state_dict(deep.state_dict())
    assert torch.equal(rebuilt.eval()(clips)[0], deep(clips)[0])
    assert encoder.train().deepened(layers).training and not encoder.eval().deepened(layers).training


def test_an_encoder_that_cannot_be_deepened_is_refused_with_the_reason(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path / "layer"))
    layers = encoder.network.config.num_hidden_layers
    with pytest.raises(ModelError, match=f"has {layers} layers, more than the {layers - 1} wanted"):
        encoder.deepened(layers - 1)
    post_norm = Encoder.load(build_encoder(tmp_path / "group", "group"))
    adapted = Encoder.load(build_encoder(tmp_path / "adapted", adapter_attn_dim=4))
    for other in (post_norm, adapted):
        with pytest.raises(ModelError, match="do_stable_layer_norm"):
            other.deepened(layers + 1)
        assert other.deepened(layers, dropout=0.5).settings.config["hidden_dropout"] == 0.5


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_widened_encoder_has_its_filters_moved_in_pitch_which_nothing_hears_yet(tmp_path: Path, norm: str) -> None:
    encoder = Encoder.load(build_encoder(tmp_path, norm)).eval()
    own, *others = encoder.network.config.conv_dim
    wide = encoder.widened(3 * own).eval()
    first, second = (layer.conv.weight for layer in wide.network.feature_extractor.conv_layers[:2])
    assert wide.settings.config["conv_dim"] == wide.network.config.conv_dim == [3 * own, *others]
    assert not second[:, own:].any()
    # Without the ends, whose parts would have to be real.
    spectra = torch.fft.rfft(first.double()).squeeze(1).unflatten(0, (3, own))[..., 1:-1]
    torch.testing.assert_close(spectra[1][:, 1:], spectra[0][:, :-1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(spectra[2][:, :-1], spectra[0][:, 1:], atol=1e-5, rtol=1e-4)
    clips = [torch.from_numpy(noise(length).samples) for length in (16_000, 9_000)]
    heard, before = wide(clips)[0], encoder(clips)[0]
    if norm == "group":
        torch.testing.assert_close(heard, before)
    else:  # a norm over channels sees the new ones
        assert torch.cosine_similarity(heard[0], before[0], dim=-1).mean() > 0.8
    assert torch.equal(encoder.widened(own)(clips)[0], before)
    heard.square().sum().backward()
    assert second.grad[:, own:].abs().max() > 0  # they can be listened to
    rebuilt = Encoder(wide.settings)
    rebuilt.load_state_dict(wide.state_dict())
    assert torch.equal(rebuilt.eval()(clips)[0], heard)
    assert encoder.train().widened(own).training and not encoder.eval().widened(own).training


def test_fewer_filters_or_a_single_convolution_are_refused_with_the_numbers(tmp_path: Path) -> None:
    encoder = Encoder.load(build_encoder(tmp_path / "two"))
    own = encoder.network.config.conv_dim[0]
    with pytest.raises(ModelError, match=f"has {own} filters in the first .*, not {own - 1}$"):
        encoder.widened(own - 1)
    single = Encoder.load(build_encoder(tmp_path / "one", conv_dim=[8], conv_kernel=[400], conv_stride=[320]))
    with pytest.raises(ModelError, match="in the first of its 1 convolutions"):
        single.widened(16)
