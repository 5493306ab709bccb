from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from iclal.model import connector as connector_room
from iclal.model.connector import CTCConnector, CTCSettings, LinearConnector, LinearSettings

V, D, E = 5, 8, 6
BLANK = V


class Oracle(torch.nn.Module):
    """An output layer that reads the first V + 1 frame values as logits."""

    def forward(self, frames_NE: Tensor) -> Tensor:
        return frames_NE[:, : V + 1]


def ctc_hearing(tokens: list[list[int]], **settings: object) -> tuple[CTCConnector, Tensor, Tensor, Tensor]:
    """A connector whose best tokens are `tokens`, with frames, their numbers, and embeddings."""
    torch.manual_seed(0)
    connector = CTCConnector(CTCSettings(**settings), E, D, V)
    connector.norm, connector.output = torch.nn.Identity(), Oracle()
    counts = torch.tensor([len(own) for own in tokens])
    frames_BFE = torch.randn(len(tokens), int(counts.max()), E)
    for clip, own in enumerate(tokens):
        for frame, token in enumerate(own):
            frames_BFE[clip, frame, token] += 6.0
    return connector, frames_BFE, counts, torch.randn(V, D)


def test_blanks_are_dropped_and_repeats_merged() -> None:
    tokens = [[BLANK, 2, 2, BLANK, 2, 3, 3, 3, BLANK], [3, 1], [], [BLANK, BLANK]]
    heard = (connector := ctc_hearing(tokens))[0](*connector[1:])
    assert heard.token_ids == [[2, 2, 3], [3, 1], [], []]
    assert heard.segments == [[(1, 3), (4, 5), (5, 8)], [(0, 1), (1, 2)], [], []]
    assert [tuple(rows.shape) for rows in heard.rows] == [(3, D), (2, D), (0, D), (0, D)]


def test_a_token_that_ends_one_clip_and_begins_the_next_is_not_merged() -> None:
    heard = (connector := ctc_hearing([[1, 1], [1, 1]]))[0](*connector[1:])
    assert heard.token_ids == [[1], [1]]


def test_soft_rows_are_the_posterior_weighted_means_of_embeddings() -> None:
    connector, frames_BFE, counts, embedding_VD = ctc_hearing([[4, 4, BLANK, 0]], residual=False)
    heard = connector(frames_BFE, counts, embedding_VD)
    posterior = frames_BFE[0].softmax(-1)
    first = posterior[:2].mean(0)[:V]
    expected = torch.stack(
        [first / first.sum() @ embedding_VD, posterior[3, :V] / posterior[3, :V].sum() @ embedding_VD]
    )
    torch.testing.assert_close(heard.rows[0], expected)


def test_hard_rows_are_the_best_tokens_embeddings() -> None:
    connector, frames_BFE, counts, embedding_VD = ctc_hearing([[4, 4, BLANK, 0]], residual=False, rows="hard")
    assert torch.equal(connector(frames_BFE, counts, embedding_VD).rows[0], embedding_VD[[4, 0]])


def test_residual_is_zero_at_first_and_carries_gradients_to_the_frames() -> None:
    plain, frames_BFE, counts, embedding_VD = ctc_hearing([[1, 2]], residual=False)
    residual = ctc_hearing([[1, 2]], residual=True)[0]
    one, other = (connector(frames_BFE, counts, embedding_VD).rows[0] for connector in (plain, residual))
    assert torch.equal(one, other)
    hard = ctc_hearing([[1, 2]], rows="hard")[0]
    hard(frames_BFE, counts, embedding_VD).rows[0].sum().backward()
    assert hard.residual is not None and hard.residual.widen.weight.grad.abs().sum() > 0


def test_context_is_zero_at_first_and_sees_neighbours_of_the_same_clip_alone() -> None:
    torch.manual_seed(1)
    plain, wide = (CTCConnector(CTCSettings(context_width=width, context_frames=3), E, D, V) for width in (0, 4))
    wide.load_state_dict(wide.state_dict() | plain.state_dict())
    frames_BFE, counts, embedding_VD = torch.randn(2, 5, E), torch.tensor([5, 3]), torch.randn(V, D)
    frames_BFE[1, 3:] = 0  # as the encoder leaves them
    both = [connector.log_probs(frames_BFE, counts, embedding_VD) for connector in (plain, wide)]
    assert torch.equal(both[0], both[1])

    assert wide.context is not None
    torch.nn.init.normal_(wide.context.narrow.weight)
    before = wide.log_probs(frames_BFE, counts, embedding_VD)
    alone = wide.log_probs(frames_BFE[1:, :3], counts[1:], embedding_VD)
    torch.testing.assert_close(alone[0], before[1, :3])
    frames_BFE[0, 4] += torch.randn(E)
    changed = (wide.log_probs(frames_BFE, counts, embedding_VD) - before).abs().sum(-1) > 1e-6
    assert changed.tolist() == [[False, False, False, True, True], [False] * 5]


def test_clips_without_a_frame_have_no_rows_with_context_too() -> None:
    connector = CTCConnector(CTCSettings(context_width=4), E, D, V)
    alone = connector(torch.zeros(2, 0, E), torch.tensor([0, 0]), torch.randn(V, D))
    assert alone.token_ids == [[], []] and [tuple(rows.shape) for rows in alone.rows] == [(0, D), (0, D)]
    beside = connector(torch.randn(2, 3, E), torch.tensor([0, 3]), torch.randn(V, D))
    assert beside.token_ids is not None and beside.token_ids[0] == []


def test_an_even_number_of_context_frames_is_refused_with_the_value() -> None:
    with pytest.raises(ValueError, match="4 frames have no middle: give an odd number"):
        CTCSettings(context_frames=4)


def test_rows_are_differentiable_through_the_posterior() -> None:
    connector, frames_BFE, counts, embedding_VD = ctc_hearing([[1, 1, 2], [0]], residual=False)
    frames_BFE, counts = frames_BFE.double().requires_grad_(), counts

    def rows(frames: Tensor) -> Tensor:
        return torch.cat(connector(frames, counts, embedding_VD).rows)

    # log-softmax runs in float32, so the numerical gradient is only roughly known
    rows(frames_BFE).sum().backward()
    step = torch.zeros_like(frames_BFE)
    step[0, 1, 3] = 1e-2
    with torch.no_grad():
        slope = (rows(frames_BFE + step).sum() - rows(frames_BFE - step).sum()) / 2e-2
    assert frames_BFE.grad is not None
    assert slope.item() == pytest.approx(frames_BFE.grad[0, 1, 3].item(), abs=1e-3)


@pytest.mark.parametrize("output", ["free", "tied"])
def test_log_probabilities_for_alignment_stand_at_their_frames(output: str) -> None:
    torch.manual_seed(0)
    connector = CTCConnector(CTCSettings(output=output), E, D, V)
    frames_BFE, counts, embedding_VD = torch.randn(3, 7, E), torch.tensor([7, 0, 3]), torch.randn(V, D)
    log_probs_BFV1 = connector.log_probs(frames_BFE, counts, embedding_VD)
    assert log_probs_BFV1.shape == (3, 7, V + 1)
    sums_BF = log_probs_BFV1.exp().sum(-1)
    for clip, count in enumerate(counts.tolist()):
        torch.testing.assert_close(sums_BF[clip, :count], torch.ones(count))
        assert not log_probs_BFV1[clip, count:].any()
    loss = torch.nn.functional.ctc_loss(
        log_probs_BFV1[::2].transpose(0, 1), torch.tensor([[1, 2], [3, 3]]), counts[::2], torch.tensor([2, 1]), V
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in connector.output.parameters())


def test_tied_output_saves_nothing_of_the_embedding_table_and_gives_it_no_gradient() -> None:
    connector = CTCConnector(CTCSettings(output="tied"), E, D, V)
    assert (V, D) not in {tuple(tensor.shape) for tensor in connector.state_dict().values()}
    embedding_VD = torch.randn(V, D, requires_grad=True)
    connector.log_probs(torch.randn(1, 4, E), torch.tensor([4]), embedding_VD).sum().backward()
    assert embedding_VD.grad is None


def test_linear_connector_stacks_frames_and_fills_the_last_with_zeros() -> None:
    connector = LinearConnector(LinearSettings(stack=4), E, D, V)
    frames_BFE, counts = torch.randn(3, 9, E), torch.tensor([9, 0, 4])
    frames_BFE[1:, 4:] = 0
    rows = connector(frames_BFE, counts, torch.zeros(V, D)).rows
    assert [len(own) for own in rows] == [3, 0, 1]
    torch.testing.assert_close(rows[0][1], connector.project(frames_BFE[0, 4:8].flatten()))
    last = torch.cat([frames_BFE[0, 8], torch.zeros(3 * E)])
    torch.testing.assert_close(rows[0][2], connector.project(last))
    torch.testing.assert_close(rows[2][0], connector.project(frames_BFE[2, :4].flatten()))


@pytest.mark.parametrize("stack", [1, 3, 4])
def test_no_clip_has_more_rows_than_the_length_rule_says(stack: int) -> None:
    linear = LinearConnector(LinearSettings(stack=stack), E, D, V)
    ctc = CTCConnector(CTCSettings(), E, D, V)
    for connector, count in itertools.product((linear, ctc), (0, 1, 3, 4, 5, 12)):
        rows = connector(torch.randn(1, count, E), torch.tensor([count]), torch.randn(V, D)).rows[0]
        assert len(rows) <= connector.max_rows(count)
    assert linear.max_rows(13) == -(-13 // stack)


def test_a_large_vocabulary_is_scored_in_parts_with_equal_results(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ctc = CTCConnector(CTCSettings(), E, D, V)
    frames_BFE, counts, embedding_VD = torch.randn(5, 9, E), torch.tensor([9, 0, 3, 9, 1]), torch.randn(V, D)
    with torch.no_grad():
        whole = ctc(frames_BFE, counts, embedding_VD)
        monkeypatch.setattr(connector_room, "_MAX_SCORES", 60)
        parts = ctc(frames_BFE, counts, embedding_VD)
    assert (parts.token_ids, parts.segments) == (whole.token_ids, whole.segments)
    for one, other in zip(whole.rows, parts.rows, strict=True):
        torch.testing.assert_close(one, other)
