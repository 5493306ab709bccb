"""Small random models on disk in the hub's layout, for every test that needs one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from iclal.audio.reading import Audio
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.encoder import Encoder
from iclal.model.language_model import LanguageModel
from iclal.model.model import ICLAL, ModelSettings

WORDS = "where is mira paris rome tolo heard question answer the a blue red house on monday yes no one two three four"


def noise(num_samples: int, seed: int = 0) -> Audio:
    """Noise with a slow tone in it, float32 at 16 kHz."""
    random = np.random.default_rng(seed)
    tone = np.sin(np.arange(num_samples) * random.uniform(0.01, 0.4)) * np.sin(np.arange(num_samples) / 900)
    return Audio((0.3 * tone + 0.05 * random.standard_normal(num_samples)).astype(np.float32))


def build_tokenizer(bos: str | None = "<s>") -> PreTrainedTokenizerFast:
    """A byte-level BPE of some 300 tokens; with `bos` it stands once in front of every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS, " " + WORDS, WORDS.replace(" ", "\n")], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=10_000
    )


def build_sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2 and Mistral have it: a blank before any text, blanks written as "▁", bytes for what is unknown."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.train_from_iterator(WORDS.split(), trainers.BpeTrainer(vocab_size=120, show_progress=False))
    learnt = json.loads(trained.to_str())["model"]
    pieces = ["<pad>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learnt["vocab"]]
    tokenizer = Tokenizer(
        models.BPE(
            {piece: id for id, piece in enumerate(pieces)},
            [tuple(merge) for merge in learnt["merges"]],
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = trained.normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def build_language_model(
    folder: Path, family: str = "opt", *, dtype: torch.dtype = torch.float32, seed: int = 0, **changes: Any
) -> Path:
    """A random 2x32 OPT or Llama with its tokenizer, saved in `folder`; "sentencepiece" is a Llama with that kind."""
    tokenizer = build_sentencepiece_tokenizer() if family == "sentencepiece" else build_tokenizer()
    torch.manual_seed(seed)
    common: dict[str, Any] = dict(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    if family == "opt":
        network = OPTForCausalLM(OPTConfig(**(common | dict(ffn_dim=64, word_embed_proj_dim=32) | changes)))
    else:
        network = LlamaForCausalLM(LlamaConfig(**(common | dict(intermediate_size=64) | changes)))
    with torch.no_grad():  # larger than usual, so that greedy steps are decided clearly
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.15)
    network.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_encoder(folder: Path, norm: str = "layer", *, seed: int = 0, **changes: Any) -> Path:
    """A random 2x32 wav2vec 2.0 with layer or group norm (as wav2vec2-base) and the usual frame of 400 samples."""
    torch.manual_seed(seed)
    config: dict[str, Any] = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=[16] * 7,
        conv_kernel=[10, 3, 3, 3, 3, 2, 2], conv_stride=[5, 2, 2, 2, 2, 2, 2], num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
    )  # fmt: skip
    network = Wav2Vec2Model(Wav2Vec2Config(**(config | changes))).eval()
    network.save_pretrained(folder)
    preprocessor = {"do_normalize": True, "sampling_rate": 16_000, "return_attention_mask": norm == "layer"}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def build_model(
    folder: Path,
    *,
    family: str = "opt",
    norm: str = "layer",
    connector: LinearSettings | CTCSettings | None = None,
    seed: int = 0,
    **settings: Any,
) -> ICLAL:
    """Random ears on a random language model, in eval mode; parts already in `folder` are used again."""
    language_model, encoder = folder / f"lm-{family}", folder / f"encoder-{norm}"
    if not language_model.exists():
        build_language_model(language_model, family)
    if not encoder.exists():
        build_encoder(encoder, norm)
    torch.manual_seed(seed)
    model = ICLAL(
        Encoder.load(encoder),
        LanguageModel.load(language_model),
        ModelSettings(connector=connector or CTCSettings(), **settings),
    )
    with torch.no_grad():  # sharp and varied posteriors, and a residual that is not zero
        for name, parameter in model.connector.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5 if "residual" not in name else 0.05)
    return model.eval()
