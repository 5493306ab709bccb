"""Frames of an encoder that is not trained: heard once, and read again in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from iclal.audio.reading import Audio
from iclal.model.encoder import Encoder
from iclal.progress import Bar

_CLIPS_AT_ONCE = 2  # as much as a batch holds: hearing must not be what takes the most memory


class FrozenFrames:
    """The frames of some clips, kept in half precision in main memory.

    A second of speech takes 10 kB at 25 frames of width 192 (the bundled encoder), 77 kB at the 50 of width 768 of
    wav2vec 2.0 base.
    """

    def __init__(
        self, encoder: Encoder, ids: Sequence[str], hear: Callable[[str], Audio], *, progress: bool = True
    ) -> None:
        """Hear each clip once, always beside the same others, so that every run reads the same frames.

        Args:
            ids: of the clips, those of like length side by side.
        """
        self._frames: dict[str, Tensor] = {}
        self._device = next(encoder.parameters()).device
        with Bar("hearing", len(ids), wanted=progress) as bar, torch.no_grad():
            for first in range(0, len(ids), _CLIPS_AT_ONCE):
                together = ids[first : first + _CLIPS_AT_ONCE]
                frames_BFE, num_frames_B = encoder([torch.from_numpy(hear(id).samples) for id in together])
                for id, frames_FE, count in zip(together, frames_BFE, num_frames_B.tolist(), strict=True):
                    self._frames[id] = frames_FE[:count].half().cpu()
                bar.advance(len(together))

    @staticmethod
    def num_bytes(encoder: Encoder, num_samples: Iterable[int]) -> int:
        """What the frames of clips of so many samples will take."""
        return 2 * encoder.width * sum(map(encoder.num_frames, num_samples))

    def of(self, ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Frames [B, F, E] of clips, zeros behind each clip's last, and how many each has [B], as the encoder's."""
        found = [self._frames[id] for id in ids]
        num_frames_B = torch.tensor([len(frames_FE) for frames_FE in found], device=self._device)
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True).to(self._device).float(), num_frames_B
