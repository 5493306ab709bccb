"""The objectives, each against the same number found another way; and that the language model gets no gradient."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from model_builders import build_model, noise
from torch import Tensor

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, Template, fill
from iclal.errors import SettingsError
from iclal.model.connector import CTCConnector, CTCSettings, LinearSettings, Prefixes
from iclal.model.model import ICLAL
from iclal.training.objectives import (
    Case,
    EarsBatch,
    Objectives,
    alignment,
    check_objectives,
    distillation,
    ears_loss,
    transcription,
)
from iclal.training.teacher import TeacherAnswer, teach

UTTERANCES = (
    Utterance("a", text="mira paris", voice="[ one ]"),
    Utterance("b", text="the red house on monday"),
    Utterance("c", text=""),
)
AUDIOS = tuple(noise(n, seed) for seed, n in enumerate((16_000, 24_000, 9_000)))
BATCH = EarsBatch(UTTERANCES, AUDIOS)


@pytest.fixture(params=["ctc", "linear"])
def model(request: pytest.FixtureRequest, parts: Path) -> ICLAL:
    return build_model(parts, connector=CTCSettings() if request.param == "ctc" else LinearSettings())


def aligned(parts: Path) -> ICLAL:
    return build_model(parts, connector=CTCSettings())


def test_alignment_is_ctc_clip_by_clip(parts: Path) -> None:
    model = aligned(parts)
    assert isinstance(model.connector, CTCConnector)
    heard = model.encode(AUDIOS)
    log_probs_BFV1 = model.connector.log_probs(*heard, model.language_model.embedding_VD)
    blank = model.language_model.vocabulary_size
    losses, tokens = [], 0
    for clip, text in enumerate((" mira paris [ one ]", " the red house on monday", "")):
        ids = model.language_model.ids(text) if text else []
        frames = int(heard[1][clip])
        log_probs = log_probs_BFV1[clip, :frames]
        if ids:
            losses.append(F.ctc_loss(log_probs, torch.tensor(ids), (frames,), (len(ids),), blank, reduction="sum"))
        else:
            losses.append(-log_probs[:, blank].sum())  # nothing but blanks
        tokens += max(1, len(ids))
    found, count = alignment(model, BATCH, *heard)
    torch.testing.assert_close(found, torch.stack(losses).sum(), rtol=1e-5, atol=1e-4)
    assert count == tokens


def test_alignment_never_runs_the_language_model(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = aligned(parts)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the language model was run")

    monkeypatch.setattr(model.language_model, "hidden", refuse)
    monkeypatch.setattr(model, "connect", refuse)  # nor are rows made for it
    assert float(ears_loss(model, BATCH, Objectives(alignment=1.0)).sum.detach()) > 0


def test_a_clip_too_short_for_its_transcript_costs_nothing_and_spoils_nothing(parts: Path) -> None:
    model = aligned(parts)
    batch = EarsBatch((Utterance("long", text="the red house on monday " * 20),), (noise(4_000),))
    loss = ears_loss(model, batch, Objectives(alignment=1.0))
    loss.sum.backward()
    assert float(loss.sum.detach()) == 0.0
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_transcription_is_the_bare_models_loss_behind_the_prefix(model: ICLAL) -> None:
    prefixes = model.hear(AUDIOS)
    language_model, total, count = model.language_model, 0.0, 0
    for utterance, rows_AD in zip(UTTERANCES, prefixes.rows, strict=True):
        target = [*(language_model.ids(f" {utterance.text}") if utterance.text else []), model.end_id]
        start = language_model.embed(torch.tensor(language_model.prefix_ids))
        inputs = torch.cat([start, rows_AD, language_model.embed(torch.tensor(target))])[None]
        logits = language_model.network(inputs_embeds=inputs).logits[0, -len(target) - 1 : -1]
        total += float(F.cross_entropy(logits, torch.tensor(target), reduction="sum").detach())
        count += len(target)
    found, tokens = transcription(model, BATCH, prefixes)
    assert float(found.detach()) == pytest.approx(total, rel=1e-5) and tokens == count


def test_a_clip_of_which_nothing_is_heard_is_left_out_where_no_token_stands_first(parts: Path) -> None:
    model = aligned(parts)
    model.language_model.prefix_ids = ()
    whole = model.hear(AUDIOS)
    empty = dataclasses.replace(whole, rows=[whole.rows[0], whole.rows[1][:0], whole.rows[2]])
    found, count = transcription(model, BATCH, empty)
    alone = [
        transcription(model, EarsBatch((u,), (a,)), Prefixes([rows]))
        for u, a, rows in zip(UTTERANCES, AUDIOS, empty.rows, strict=True)
    ]
    torch.testing.assert_close(found, alone[0][0] + alone[2][0])
    assert count == alone[0][1] + alone[2][1]
    assert (float(alone[1][0]), alone[1][1]) == (0.0, 0)


def taught(model: ICLAL, tmp_path: Path) -> EarsBatch:
    """The batch with one case a clip, zero- and one-shot."""
    clips = dict(zip((u.id for u in UTTERANCES), AUDIOS, strict=True))
    template = Template()
    examples = [
        template.example("1", "answer", [], Item(UTTERANCES[0], "", "where is mira")),
        template.example("2", "", [Item(UTTERANCES[0], "rome")], Item(UTTERANCES[1], "")),
        template.example("3", "answer", [Item(UTTERANCES[2], "")], Item(UTTERANCES[1], "")),
    ]
    answers = teach(model, examples, folder=tmp_path)
    cases = [
        Case(fill(example.prompt, lambda u: clips[u.id]), answer)
        for example, answer in zip(examples, answers, strict=True)
    ]
    return EarsBatch(UTTERANCES, AUDIOS, cases)


def embedded(model: ICLAL) -> list[Tensor]:
    """Prefixes that are the transcripts' own embeddings: a student that hears as the teacher reads."""
    texts = [f" {u.rich_text}" if u.rich_text else "" for u in UTTERANCES]
    ids = [torch.tensor(model.language_model.ids(text) if text else [], dtype=torch.long) for text in texts]
    return [model.language_model.embed(each).detach().requires_grad_() for each in ids]


def test_distillation_is_least_and_without_gradient_where_student_is_teacher(model: ICLAL, tmp_path: Path) -> None:
    batch = taught(model, tmp_path)
    # the whole distribution, so that the optimum lies exactly at the teacher
    whole = []
    for case in batch.cases:
        rows = embedded(model)
        logits = _logits(model, batch, rows, case)
        ids = torch.arange(logits.shape[1]).expand(len(logits), -1)
        whole.append(Case(case.prompt, TeacherAnswer(case.answer.token_ids, ids, logits.softmax(-1).detach())))
    batch = EarsBatch(batch.utterances, batch.audios, whole)
    rows = embedded(model)
    loss, count = distillation(model, batch, Prefixes(rows))
    entropy = -sum(float((c.answer.likely_probs * c.answer.likely_probs.log()).sum()) for c in whole)
    assert float(loss.detach()) == pytest.approx(entropy, rel=1e-4)
    assert count == sum(len(case.answer.token_ids) for case in whole)
    gradients = torch.autograd.grad(loss, [row for row in rows if len(row)])
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-4
    other = [row.flip(1).detach().requires_grad_() for row in rows]
    worse, _ = distillation(model, batch, Prefixes(other))
    assert float(worse.detach()) > float(loss.detach())
    assert max(float(g.abs().max()) for g in torch.autograd.grad(worse, [r for r in other if len(r)])) > 1e-2


def _logits(model: ICLAL, batch: EarsBatch, rows: list[Tensor], case: Case) -> Tensor:
    from iclal.training.objectives import _target_logits

    return _target_logits(model, batch, Prefixes(rows), [case.prompt], [case.answer.token_ids])


def test_kept_answers_are_what_the_student_that_reads_gives(model: ICLAL, tmp_path: Path) -> None:
    batch = taught(model, tmp_path)
    for case in batch.cases:
        probs = _logits(model, batch, embedded(model), case).softmax(-1)
        kept = probs.gather(1, case.answer.likely_ids)
        torch.testing.assert_close(kept / kept.sum(1, keepdim=True), case.answer.likely_probs, atol=1e-5, rtol=1e-3)


def test_losses_add_by_weight_and_count_the_tokens_of_all(parts: Path, tmp_path: Path) -> None:
    model = aligned(parts)
    batch = taught(model, tmp_path)
    weights = {"alignment": 0.5, "transcription": 2.0, "distillation": 3.0}
    alone = {name: ears_loss(model, batch, Objectives.build({name: 1.0})) for name in weights}
    together = ears_loss(model, batch, Objectives.build(weights))
    expected = sum(weight * float(alone[name].sum.detach()) for name, weight in weights.items())
    assert float(together.sum.detach()) == pytest.approx(expected, rel=1e-5)
    assert together.count == sum(loss.count for loss in alone.values())
    assert together.parts == pytest.approx({name: float(loss.sum) for name, loss in alone.items()}, rel=1e-5)


@pytest.mark.parametrize("objective", ["alignment", "transcription", "distillation"])
def test_gradients_reach_encoder_and_connector_and_never_the_language_model(
    parts: Path, tmp_path: Path, objective: str
) -> None:
    model = aligned(parts)
    before = model.language_model.digest()
    batch = taught(model, tmp_path)
    ears_loss(model, batch, Objectives.build({objective: 1.0})).sum.backward()
    for part in (model.encoder, model.connector):
        assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in part.parameters())
    assert all(p.grad is None for p in model.language_model.network.parameters())
    assert model.language_model.digest() == before


def test_every_clip_is_heard_once_whatever_reads_it(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = aligned(parts)
    batch, heard = taught(model, tmp_path), []
    original = model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda waveforms: heard.extend(waveforms) or original(waveforms))
    ears_loss(model, batch, Objectives(alignment=1, transcription=1, distillation=1))
    assert len(heard) == len(AUDIOS)


def test_objectives_are_named_and_contradictions_refused(parts: Path) -> None:
    assert Objectives(alignment=1.0, distillation=0.3).words == "alignment + distillation"
    with pytest.raises(SettingsError, match="every objective has weight 0"):
        Objectives.build({})
    with pytest.raises(SettingsError, match=r"alignment.*-1"):
        Objectives.build({"alignment": -1})
    linear = build_model(parts, connector=LinearSettings())
    with pytest.raises(SettingsError, match=r"objectives\.alignment needs the connector 'ctc', not 'linear'"):
        check_objectives(Objectives(alignment=1.0), linear)
    check_objectives(Objectives(transcription=1.0), linear)
