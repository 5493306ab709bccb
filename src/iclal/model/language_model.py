"""The frozen language model: held beside the ears, never trained, never saved with them.

Shapes: B batch, T rows of a prompt, N rows wanted, D width of the embeddings, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, Cache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GradientCheckpointingLayer

from iclal.errors import ModelError, PromptError
from iclal.model.hub import LOADING_ERRORS, hub_name, load_network, one_line

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_DROPPING = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "layerdrop",
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
)
_PROBE_TEXT = "The quick brown fox, 0123456789: jumps\nover it's lazy dogs > café"

logger = logging.getLogger(__name__)


class LanguageModel:
    """A causal language model of Hugging Face's with its tokenizer; no `nn.Module`: no parent holds it.

    `notes` holds what a user should know about how it was loaded. `max_positions` is the longest prompt with its
    answer. `prefix_ids` are the tokenizer's special tokens in front of every text (OPT, Llama: one; GPT-2, Qwen: none).
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str = "",
        revision: str = "",
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """A network and its tokenizer, frozen in place, moved to `dtype` and `device` and checked there.

        Raises:
            ModelError: a slow tokenizer, one that adds tokens behind a text, more tokens than embeddings, or a network
                whose logits are not its head on its last hidden states, or not finite.
        """
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.notes: tuple[str, ...] = ()
        for key in _DROPPING:
            if getattr(network.config, key, None):
                setattr(network.config, key, 0.0)
        for module in network.modules():  # the layers have copied these numbers when they were built
            for key in _DROPPING:
                if isinstance(getattr(module, key, None), float):
                    setattr(module, key, 0.0)
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self._embed = cast(nn.Embedding, network.get_input_embeddings())
        self._head = cast(nn.Module, network.get_output_embeddings())
        self.width: int = self._embed.weight.shape[1]  # not hidden_size: OPT-350m projects behind its embeddings
        self.vocabulary_size: int = self._embed.weight.shape[0]
        self.max_positions = _max_positions(network.config)
        self.prefix_ids = _prefix_ids(tokenizer)
        self._anchor = _anchor(tokenizer)
        self._anchor_ids = self.ids(self._anchor, first=True)
        self.embedding_digest = _digest_tensor(self._embed.weight)  # as stored
        if device is not None:
            self.to(device)
        if dtype is not None:
            for parameter in network.parameters():  # not the buffers: rotary frequencies stay float32
                parameter.data = parameter.data.to(dtype)
        if len(tokenizer) > self.vocabulary_size:
            raise ModelError(
                f"the tokenizer has {len(tokenizer)} tokens, the language model {self.vocabulary_size} embeddings: "
                "they do not belong together"
            )
        self._check_head()

    @classmethod
    def load(cls, folder: Path | str, dtype: str = "auto", device: str | torch.device = "cpu") -> LanguageModel:
        """A language model and tokenizer from a local folder in the hub's layout.

        `dtype` is "auto" (as stored, but float16 is widened to float32 where it cannot be computed with: on a CPU,
        and for OPT, which overflows in it), "float32" or "bfloat16".

        Raises:
            ModelError: no such folder, files missing or broken, no causal language model, weights not all there,
                an unknown dtype.
        """
        folder = Path(folder)
        if dtype != "auto" and dtype not in DTYPES:
            raise ModelError(f"dtype '{dtype}' is not offered for the language model; use auto, {', '.join(DTYPES)}")
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"no language model at {folder}: a folder with config.json, weights and tokenizer is needed"
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except LOADING_ERRORS as error:
            raise ModelError(f"cannot load the tokenizer at {folder}: {one_line(error)}") from error
        network = load_network(AutoModelForCausalLM, folder, "language model", dtype="auto", attn_implementation="sdpa")
        name, revision = hub_name(folder)
        wanted, note = _dtype(dtype, network, torch.device(device))
        model = cls(network, tokenizer, name=name, revision=revision, dtype=wanted, device=device)
        if note:
            logger.warning("%s: %s", folder, note)
            model.notes = (note,)
        return model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are held in."""
        return self._embed.weight.dtype

    def to(self, device: str | torch.device) -> LanguageModel:
        """Move to a device; the dtype stays."""
        cast(nn.Module, self.network).to(device=device)
        return self

    @property
    def embedding_VD(self) -> Tensor:
        """The embedding of each token, as `embed` gives it."""
        if type(self._embed) is nn.Embedding:
            return self._embed.weight
        return self.embed(torch.arange(self.vocabulary_size, device=self.device))  # some models scale their table

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [..., D] of token ids [...]."""
        return self._embed(ids)

    def hidden(
        self, rows_BTD: Tensor, positions_BT: Tensor, mask_BT: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Last hidden states [B, T, H] over rows already embedded.

        Args:
            rows_BTD: rows in the model's own dtype.
            positions_BT: int64; padding costs no position.
            mask_BT: True for rows that may be attended to, over the cache's rows and these; None where all may.
            cache: extended in place; None in training.
        """
        output = self.network.base_model(
            inputs_embeds=rows_BTD,
            position_ids=positions_BT,
            attention_mask=None if mask_BT is None else mask_BT.long(),
            cache=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def logits(self, hidden_NH: Tensor) -> Tensor:
        """Scores [N, V] of the next token; call it on the rows that are needed only."""
        return self._head(hidden_NH)

    def ids(self, text: str, *, first: bool = False) -> list[int]:
        """Token ids of a text, without special tokens of the tokenizer's own.

        `first`: nothing stands before it; SentencePiece's kind of tokenizer puts a blank there, and nowhere else.
        """
        return self.encode(text, first=first)[0]

    def encode(self, text: str, *, first: bool = False) -> tuple[list[int], list[int]]:
        """As `ids`, and for each token where in the text it ends."""
        anchor, before = ("", []) if first else (self._anchor, self._anchor_ids)
        encoded = self.tokenizer(anchor + text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        if ids[: len(before)] != before:
            raise ModelError(f"the tokenizer joins {text[:20]!r} with a line break before it: it is not supported yet")
        return ids[len(before) :], [end - len(anchor) for _, end in offsets[len(before) :]]

    def text(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens and outer blanks."""
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip()

    def end_id(self, end: str) -> int:
        """The one token that ends an answer. Raises PromptError when the template's `end` is not one token."""
        ids = self.ids(end)
        if len(ids) != 1:
            raise PromptError(
                f"the template's end {end!r} is {len(ids)} tokens of the language model ({ids}); it must be one, "
                f"e.g. its end-of-text token {self.tokenizer.eos_token!r}"
            )
        return ids[0]

    def set_activation_checkpointing(self, on: bool) -> None:
        """Recompute decoder layers in the backward pass instead of keeping their activations (training only).

        Hugging Face's layers do so only where they carry `training`; they drop nothing, so nothing else changes.
        """
        if on:
            self.network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        else:
            self.network.activation_checkpointing_disable()
        for module in self.network.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = on

    @property
    def is_checkpointing(self) -> bool:
        """Whether layers carry `training`, in which state a cache would be silently dropped."""
        return any(module.training for module in self.network.modules())

    def digest(self) -> str:
        """SHA-256 over name, dtype, shape and bytes of every parameter in memory."""
        total = hashlib.sha256()
        for name, parameter in sorted(self.network.named_parameters()):
            total.update(f"{name} {_digest_tensor(parameter)}\n".encode())
        return total.hexdigest()

    @property
    def tokenizer_hash(self) -> str:
        """SHA-256 over the vocabulary, special ids and the ids of a probe text; the same for every file format."""
        said = [sorted(self.tokenizer.get_vocab().items()), list(self.prefix_ids), self.ids(_PROBE_TEXT)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def config_hash(self) -> str:
        """SHA-256 over what the config says of the architecture, besides what its class says by itself.

        A later version of transformers that knows one more setting, at its default, must not refuse every folder.
        (A config within a config is taken whole.)
        """
        config = self.network.config
        try:
            by_itself = type(config)().to_dict()
        except LOADING_ERRORS:  # a class that cannot do without values: then all of them count
            by_itself = {}
        ours = {"transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache", *_DROPPING}
        said = {key: value for key, value in config.to_dict().items() if key not in ours}
        kept = {k: v for k, v in said.items() if k == "model_type" or k not in by_itself or by_itself[k] != v}
        return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()

    def identity(self) -> dict[str, str]:
        """What a model folder records of its language model."""
        return {
            "name": self.name,
            "revision": self.revision,
            "config_hash": self.config_hash,
            "embedding_digest": self.embedding_digest,
            "tokenizer_hash": self.tokenizer_hash,
        }

    def _check_head(self) -> None:
        """Some models scale or cap their logits behind the head, which `logits` would silently leave out."""
        if self.network.get_output_embeddings() is None:
            raise ModelError(f"the language model {self.name} has no output layer that can be called by itself")
        ids_BT = torch.arange(min(4, self.vocabulary_size), device=self.device)[None]
        with torch.no_grad():
            whole_BTV = self.network(input_ids=ids_BT).logits
            positions_BT = torch.arange(ids_BT.shape[1], device=self.device)[None]
            ours_BTV = self.logits(self.hidden(self.embed(ids_BT), positions_BT))
        if not bool(whole_BTV.isfinite().all()):
            raise ModelError(
                f"the language model {self.name} computes {self.dtype} numbers that are not finite: its weights are "
                "damaged, or too large for this dtype (use dtype float32)"
            )
        if whole_BTV.shape != ours_BTV.shape or not torch.allclose(whole_BTV, ours_BTV, rtol=1e-2, atol=1e-3):
            raise ModelError(
                f"the language model {self.name} ({type(self.network).__name__}) does more to its logits than its "
                "output layer; such models are not supported yet"
            )


def _max_positions(config: Any) -> int | None:
    """The longest sequence; a sliding window counts as its end, so that every row can always see the whole prompt."""
    limits = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions")]
    if getattr(config, "use_sliding_window", True):
        limits.append(getattr(config, "sliding_window", None))
    return min((limit for limit in limits if limit), default=None)


def _prefix_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The special tokens that the tokenizer puts in front of a text."""
    if not tokenizer.is_fast:
        raise ModelError("the tokenizer is of the slow kind, which cannot say where a token stands in the text")
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    if whole[len(whole) - len(bare) :] != bare:
        raise ModelError(f"the tokenizer puts special tokens behind a text ({whole} for {bare}); it must not")
    return tuple(whole[: len(whole) - len(bare)])


def _anchor(tokenizer: PreTrainedTokenizerBase) -> str:
    """What to lay before a text that stands behind other rows, for a tokenizer that puts a blank before any first text
    (SentencePiece's kind: Llama 2, Mistral): a line break, its tokens then left out. Nothing for other tokenizers, and
    for one that joins line breaks, which keeps its blank.
    """

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    before = ids("\n")
    if ids("\nx") == [*before, *ids("x")]:
        return ""
    behind = ("x", " x", "\n", "\nx", "\n x", "\n\nx")
    return "\n" if all(ids("\n" + text)[: len(before)] == before for text in behind) else ""


def _dtype(asked: str, network: PreTrainedModel, device: torch.device) -> tuple[torch.dtype, str]:
    """The dtype to hold a network in, and why if it is not the stored one."""
    if asked != "auto":
        return DTYPES[asked], ""
    stored = cast(nn.Embedding, network.get_input_embeddings()).weight.dtype
    if stored != torch.float16:
        return stored, ""
    if device.type == "cpu":
        return torch.float32, "stored in float16, held in float32: a CPU computes slowly and badly in float16"
    if network.config.model_type == "opt":
        return torch.float32, "stored in float16, held in float32: OPT overflows in float16"
    return stored, ""


def _digest_tensor(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and bytes."""
    total = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
