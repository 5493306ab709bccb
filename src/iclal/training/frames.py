"""Frames of an encoder that is not trained: heard once, and read again in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
        self, encoder: Encoder, num_samples: Mapping[str, int], hear: Callable[[str], Audio], *, progress: bool = True
    ) -> None:
        """Hear each clip once, always beside the same other one, so that every run reads the same frames.

        Args:
            num_samples: how long each clip is, by its id.
            hear: the clip of an id.
        """
        self._device = next(encoder.parameters()).device
        # Longest first, into one tensor: small ones among ever larger temporaries keep eight times their size in use.
        ids = sorted(num_samples, key=lambda id: (-num_samples[id], id))
        counts = [encoder.num_frames(num_samples[id]) for id in ids]
        kept_NE = torch.empty(sum(counts), encoder.width, dtype=torch.float16)
        self._frames = dict(zip(ids, kept_NE.split(counts), strict=True))
        with Bar("hearing", len(ids), wanted=progress) as bar, torch.no_grad():
            for first in range(0, len(ids), _CLIPS_AT_ONCE):
                together = ids[first : first + _CLIPS_AT_ONCE]
                frames_BFE, _ = encoder([torch.from_numpy(hear(id).samples) for id in together])
                for id, frames_FE in zip(together, frames_BFE, strict=True):
                    self._frames[id].copy_(frames_FE[: len(self._frames[id])])
                bar.advance(len(together))

    @staticmethod
    def num_bytes(encoder: Encoder, num_samples: Mapping[str, int]) -> int:
        """What the frames of clips of these lengths will take."""
        return torch.float16.itemsize * encoder.width * sum(map(encoder.num_frames, num_samples.values()))

    def of(self, ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Frames [B, F, E] of clips, zeros behind each clip's last, and how many each has [B], as the encoder's."""
        found = [self._frames[id] for id in ids]
        num_frames_B = torch.tensor([len(frames_FE) for frames_FE in found], device=self._device)
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True).to(self._device).float(), num_frames_B
