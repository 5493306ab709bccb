from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest
import torch
from model_builders import build_encoder, build_language_model, build_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, OPTForCausalLM

from iclal.errors import ModelError, PromptError
from iclal.model import hub
from iclal.model.language_model import LanguageModel


def test_half_precision_opt_is_widened_with_the_reason_and_keeps_its_stored_digest(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path, dtype=torch.float16)
    auto, asked = LanguageModel.load(folder), LanguageModel.load(folder, dtype="float32")
    assert auto.dtype == asked.dtype == torch.float32
    assert "stored in float16, held in float32" in auto.notes[0]
    assert auto.embedding_digest == asked.embedding_digest
    assert auto.digest() == asked.digest()


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_a_model_that_overflows_in_the_dtype_it_is_stored_in_is_checked_in_the_one_it_is_held_in(
    dtype: str, tmp_path: Path
) -> None:
    folder = build_language_model(tmp_path, dtype=torch.float16)
    weights = load_file(folder / "model.safetensors")
    large = {name: 200 * tensor if ".fc" in name and tensor.dim() == 2 else tensor for name, tensor in weights.items()}
    save_file(large, folder / "model.safetensors", metadata={"format": "pt"})
    assert LanguageModel.load(folder, dtype=dtype).dtype == (torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    network = OPTForCausalLM.from_pretrained(folder, dtype=torch.float16)
    with pytest.raises(ModelError, match=r"computes torch\.float16 numbers that are not finite"):
        LanguageModel(network, build_tokenizer())


def test_the_stored_dtype_is_kept_and_the_digest_is_of_what_is_stored(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path, dtype=torch.bfloat16)
    stored, wide = LanguageModel.load(folder), LanguageModel.load(folder, dtype="float32")
    assert (stored.dtype, wide.dtype) == (torch.bfloat16, torch.float32)
    assert stored.embedding_digest == wide.embedding_digest
    assert stored.digest() != wide.digest()
    with pytest.raises(ModelError, match="dtype 'float16' is not offered"):
        LanguageModel.load(folder, dtype="float16")


def test_digest_sees_one_changed_number(tmp_path: Path) -> None:
    language_model = LanguageModel.load(build_language_model(tmp_path))
    before = language_model.digest()
    with torch.no_grad():
        next(iter(language_model.network.parameters()))[3, 2] += 1e-6
    assert language_model.digest() != before


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_the_config_hash_sees_the_architecture_and_not_what_its_class_says_by_itself(
    tmp_path: Path, family: str
) -> None:
    folder = build_language_model(tmp_path / "one", family)
    model = LanguageModel.load(folder)
    before, config = model.config_hash, model.network.config
    config.use_cache = not config.use_cache
    setting = {"opt": "enable_bias", "llama": "attention_bias"}[family]
    assert setting in config.to_dict()
    config.__dict__.pop(setting)  # as a version of transformers that does not know it has it
    assert setting not in config.to_dict() and model.config_hash == before
    config.max_position_embeddings += 1
    assert model.config_hash != before


def test_width_is_that_of_the_embeddings_where_opt_projects_behind_them(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path, word_embed_proj_dim=16)
    language_model = LanguageModel.load(folder)
    assert language_model.width == 16
    ids_BT = torch.tensor([[1, 50, 60]])
    states_BTH = language_model.hidden(language_model.embed(ids_BT), torch.arange(3)[None])
    assert torch.equal(language_model.logits(states_BTH), language_model.network(input_ids=ids_BT).logits)


def test_special_tokens_in_front_are_the_tokenizers_own(tmp_path: Path) -> None:
    assert LanguageModel.load(build_language_model(tmp_path / "opt")).prefix_ids == (1,)
    tokenizer = build_tokenizer(bos=None)
    network = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=128))
    network.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    language_model = LanguageModel.load(tmp_path / "gpt2")
    assert language_model.prefix_ids == ()
    assert language_model.max_positions == 128


def test_text_behind_other_rows_has_the_tokens_it_has_in_a_text(tmp_path: Path) -> None:
    language_model = LanguageModel.load(build_language_model(tmp_path, "sentencepiece"))
    tokens = language_model.tokenizer.convert_ids_to_tokens
    assert tokens(language_model.ids("paris rome\n", first=True)) == ["▁paris", "▁rome", "<0x0A>"]
    assert tokens(language_model.ids(" paris rome\n")) == ["▁paris", "▁rome", "<0x0A>"]
    assert tokens([language_model.end_id("\n")]) == ["<0x0A>"]
    assert language_model.encode(" paris rome\n")[1] == [6, 11, 12]
    assert language_model.text(language_model.ids(" paris rome")) == "paris rome"


def test_no_text_is_lost_where_a_tokenizer_joins_line_breaks(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path, "sentencepiece")
    said = json.loads((folder / "tokenizer.json").read_text())
    said["model"]["vocab"] |= {"\n" * count: len(said["model"]["vocab"]) + count - 1 for count in (1, 2)}
    said["model"]["merges"].append(["\n", "\n"])
    (folder / "tokenizer.json").write_text(json.dumps(said))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    language_model = LanguageModel(network, tokenizer)
    for text in ("\n", "\n\nparis", "\n paris", " paris\n\n"):
        ids, ends = language_model.encode(text)
        assert tokenizer.decode(ids).lstrip(" ") == text.lstrip(" ") and ends[-1] == len(text)


def test_an_end_of_several_tokens_is_refused_with_them(tmp_path: Path) -> None:
    language_model = LanguageModel.load(build_language_model(tmp_path))
    assert language_model.end_id("\n") == language_model.ids("\n")[0]
    assert language_model.end_id("</s>") == 2
    with pytest.raises(PromptError, match=r"the template's end '\\n##\\n' is \d tokens"):
        language_model.end_id("\n##\n")


def test_a_sliding_window_limits_the_positions(tmp_path: Path) -> None:
    language_model = LanguageModel.load(build_language_model(tmp_path, "llama", max_position_embeddings=300))
    assert language_model.max_positions == 300
    language_model.network.config.sliding_window = 100
    again = LanguageModel(language_model.network, language_model.tokenizer)
    assert again.max_positions == 100


def test_a_network_that_changes_its_logits_behind_the_head_is_refused(tmp_path: Path) -> None:
    language_model = LanguageModel.load(build_language_model(tmp_path))
    forward = language_model.network.forward

    def capped(**values: torch.Tensor) -> object:
        output = forward(**values)
        output.logits = 0.5 * output.logits
        return output

    language_model.network.forward = capped
    with pytest.raises(ModelError, match="does more to its logits"):
        LanguageModel(language_model.network, language_model.tokenizer)


def test_what_is_no_language_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no language model at .*nowhere"):
        LanguageModel.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no language model at"):
        LanguageModel.load(tmp_path)
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        LanguageModel.load(build_encoder(tmp_path / "encoder"))
    folder = build_language_model(tmp_path / "opt")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match="cannot load the language model"):
        LanguageModel.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load the language model"):
        LanguageModel.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))
    with pytest.raises(ModelError, match=r"cannot load .*hidden_size"):
        LanguageModel.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot load"):
        LanguageModel.load(folder)


def test_a_language_model_whose_weights_are_not_all_there_is_refused(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"lacks \d+ weights"):
        LanguageModel.load(folder)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tmp_path: Path) -> None:
    folder = build_language_model(tmp_path)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<more>", "<and more>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="do not belong together"):
        LanguageModel.load(folder)


def test_a_snapshot_of_the_hubs_cache_is_known_by_repository_and_revision(tmp_path: Path) -> None:
    assert doctest.testmod(hub).failed == 0
    folder = build_language_model(tmp_path / "models--mine--tiny-opt" / "snapshots" / "0123abcd")
    identity = LanguageModel.load(folder).identity()
    assert (identity["name"], identity["revision"]) == ("mine/tiny-opt", "0123abcd")
