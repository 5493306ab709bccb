"""Law 3 (float32): an item's frames, log-probabilities and greedy tokens are the same alone and in any batch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from model_builders import build_encoder, build_model, noise
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from iclal.audio.reading import Audio
from iclal.data.prompt import Prompt, Text
from iclal.model.encoder import Encoder
from iclal.model.hearing import Hearing
from iclal.model.inference import generate, score_targets
from iclal.model.layout import lay_out, tokenize, tokenize_target
from iclal.model.model import ICLAL

EDGES = [0, 1, 399, 400, 719, 720, 1_600]
TOLERANCE = 1e-5
CLOSE_CALL = 1e-3  # greedy steps whose two best differ by less may be decided by rounding


def clips(seed: int, count: int = 6) -> list[Audio]:
    """Clips of random lengths, edge cases among them."""
    drawn = random.Random(seed)
    lengths = [drawn.choice(EDGES), drawn.choice(EDGES)] + [drawn.randrange(24_000) for _ in range(count - 2)]
    return [noise(length, seed=1_000 * seed + number) for number, length in enumerate(lengths)]


def prompts_of(audios: list[Audio], seed: int) -> list[Prompt]:
    """Prompts with text of random length around each clip, some with one demonstration."""
    drawn = random.Random(seed)
    prompts: list[Prompt] = []
    for audio in audios:
        demonstration = (Text("heard:"), drawn.choice(audios), Text("\n> paris\n", is_answer=True))
        start = demonstration if drawn.random() < 0.5 else ()
        prompts.append((Text("the house " * drawn.randrange(4)), *start, audio, Text(" where" * drawn.randrange(3))))
    return prompts


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("seed", range(4))
def test_frames_are_equal_alone_and_in_any_batch(parts: Path, norm: str, seed: int) -> None:
    model = build_model(parts, norm=norm)
    waveforms = [torch.from_numpy(audio.samples) for audio in clips(seed)]
    with torch.no_grad():
        frames_BFE, num_frames_B = model.encoder(waveforms)
        for item, waveform in enumerate(waveforms):
            alone_1FE, count_1 = model.encoder([waveform])
            assert count_1.item() == num_frames_B[item].item() == model.encoder.num_frames(len(waveform))
            torch.testing.assert_close(frames_BFE[item, : count_1.item()], alone_1FE[0], atol=TOLERANCE, rtol=0)
            assert not frames_BFE[item, count_1.item() :].any()


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("stable", [True, False])
def test_frames_alone_are_hugging_faces_own(tmp_path: Path, norm: str, stable: bool) -> None:
    folder = build_encoder(tmp_path, norm, do_stable_layer_norm=stable)
    encoder, bare = Encoder.load(folder).eval(), Wav2Vec2Model.from_pretrained(folder).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    sounds = [noise(length, length) for length in (400, 1_600, 16_000, 23_456)]
    with torch.no_grad():
        in_company_BFE, num_frames_B = encoder([torch.from_numpy(sound.samples) for sound in sounds])
        for item, sound in enumerate(sounds):
            values = extractor(sound.samples, sampling_rate=16_000, return_tensors="pt")["input_values"]
            expected_FE = bare(values).last_hidden_state[0]
            ours_FE = encoder([torch.from_numpy(sound.samples)])[0][0]
            torch.testing.assert_close(ours_FE, expected_FE, atol=TOLERANCE, rtol=0)
            torch.testing.assert_close(in_company_BFE[item, : num_frames_B[item]], expected_FE, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("padding", ["left", "right"])
def test_target_log_probabilities_are_equal_alone_and_in_any_batch(
    parts: Path, norm: str, family: str, padding: str
) -> None:
    model = build_model(parts, norm=norm, family=family)
    for seed in range(3):
        audios = clips(seed)
        prompts = prompts_of(audios, seed)
        targets = [tokenize_target("rome tolo" * (number % 3), "\n", model.language_model) for number in range(6)]
        with torch.no_grad():
            in_company = _log_probs(model, prompts, targets, padding)
            for number, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
                alone = _log_probs(model, [prompt], [target], "right")[0]
                torch.testing.assert_close(in_company[number], alone, atol=TOLERANCE, rtol=0)


def _log_probs(model: ICLAL, prompts: list[Prompt], targets: list[tuple[int, ...]], padding: str) -> list[torch.Tensor]:
    """Log-probabilities of targets, every clip heard in the same batch."""
    hearing = Hearing(model)
    tokenized = [tokenize(prompt, model.language_model, hearing.number) for prompt in prompts]
    counts = hearing.hear()
    layouts = [lay_out(prompt, counts, target) for prompt, target in zip(tokenized, targets, strict=True)]
    rows = model.target_logits(layouts, hearing.prefixes, padding=padding)
    log_probs_N = -torch.nn.functional.cross_entropy(rows.logits_NV, rows.token_ids_N, reduction="none")
    return list(log_probs_N.split([len(target) for target in targets]))


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", ["opt", "llama"])
def test_greedy_tokens_are_equal_alone_and_in_any_batch(
    parts: Path, norm: str, family: str, record_property: pytest.RecordProperty
) -> None:
    model = build_model(parts, norm=norm, family=family)
    close_calls = steps = 0
    for seed in range(3):
        prompts = prompts_of(clips(seed), seed)
        alone = [generate(model, [prompt], max_new_tokens=12)[0] for prompt in prompts]
        for padding, batch_size in [("left", 6), ("right", 6), ("left", 4)]:
            company = generate(model, prompts, max_new_tokens=12, batch_size=batch_size, padding=padding)
            for prompt, one, many in zip(prompts, alone, company, strict=True):
                steps += len(one.token_ids)
                if one.token_ids != many.token_ids:
                    assert _margin(model, prompt, one.token_ids, many.token_ids) < CLOSE_CALL
                    close_calls += 1
                    continue
                assert one.finish_reason == many.finish_reason
                assert one.log_probabilities == pytest.approx(many.log_probabilities, abs=TOLERANCE)
    record_property("close_calls", close_calls)
    print(f"{family}, {norm}: {close_calls} of {steps} greedy steps were decided by less than {CLOSE_CALL}")
    assert close_calls <= 0.01 * steps


def _margin(model: ICLAL, prompt: Prompt, one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """By how much the best score led where two greedy paths part."""
    step = next(index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    hearing = Hearing(model)
    tokenized = tokenize(prompt, model.language_model, hearing.number)
    with torch.no_grad():
        layout = lay_out(tokenized, hearing.hear(), (*one[:step], one[step]))
        best = model.target_logits([layout], hearing.prefixes).logits_NV[-1].topk(2).values
    return (best[0] - best[1]).item()


def test_scores_are_equal_in_batches_of_any_size(parts: Path) -> None:
    model = build_model(parts, norm="group")
    prompts = prompts_of(clips(7, count=7), 7)
    targets = ["rome", "", "where is mira", "a", "paris paris", "no", "yes"]
    whole = score_targets(model, prompts, targets)
    for size in (1, 2, 3):
        for expected, found in zip(whole, score_targets(model, prompts, targets, batch_size=size), strict=True):
            assert found == pytest.approx(expected, abs=TOLERANCE)
