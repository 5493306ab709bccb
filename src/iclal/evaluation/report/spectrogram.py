"""The spectrogram of a recording, with the tokens that its prefix rows are nearest to."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from iclal.evaluation.report.recordings import Recording

if TYPE_CHECKING:
    import numpy as np

# A second of speech is as wide as lets the clip fill the page, within bounds; then what stands above and below the
# spectrogram: all in pixels.
LEAST_PIXELS_PER_SECOND, MOST_PIXELS_PER_SECOND, FULL_WIDTH = 150, 260, 1062
SPECTROGRAM_HEIGHT, LANE_HEIGHT, AXIS_HEIGHT, TOP_MARGIN = 150, 19, 18, 4
CHARACTER_PIXELS = 7.3  # of the token labels' 12 px monospace, rounded up


@dataclass(frozen=True)
class Token:
    """What a prefix row is nearest to among the language model's tokens, and when it is heard."""

    token: str
    start_seconds: float
    end_seconds: float


def spectrogram(recording: Recording, bands: int = 96) -> np.ndarray:
    """Mel-spaced log power of a clip, uint8 [bands, frames], low frequencies last (the picture's bottom row).

    25 ms Hann windows every 10 ms; 70 dB below the loudest point is 0.
    """
    import numpy as np

    window, hop = max(2, recording.rate // 40), max(1, recording.rate // 100)
    padded = np.pad(recording.samples, (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(recording.samples) : hop]
    size = max(1024, 1 << (window - 1).bit_length())
    power_FK = np.abs(np.fft.rfft(frames * np.hanning(window), size)) ** 2
    top_mel = 2595 * np.log10(1 + min(8000, recording.rate / 2) / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, bands + 2) / 2595) - 1)
    bins_hz = np.arange(size // 2 + 1) * recording.rate / size
    rising = (bins_hz[None] - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz[None]) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    filters_MK = np.clip(np.minimum(rising, falling), 0, None)
    level = 10 * np.log10(power_FK @ filters_MK.T + 1e-10)
    shade = np.clip((level - level.max() + 70) / 70, 0, 1)
    return (255 * shade.T[::-1] ** 1.4).astype(np.uint8)


def spectrogram_figure(recording: Recording, lanes: Mapping[str, Sequence[Token]], identifier: str) -> Markup:
    """A clip's spectrogram with each model's nearest tokens drawn under the moment they are heard in.

    A token is a bar from start to end; its label stands in the first row under the bars where it does not touch
    another. `identifier` must be unique in the page and made of letters, digits and hyphens.
    """
    scale = min(max(FULL_WIDTH / recording.duration_seconds, LEAST_PIXELS_PER_SECOND), MOST_PIXELS_PER_SECOND)
    width = max(320, round(recording.duration_seconds * scale))
    rows = {name: place_labels(tokens, scale) for name, tokens in lanes.items()}
    heights = {name: 12 + LANE_HEIGHT * (1 + max(places, default=0)) for name, places in rows.items()}
    names = 16 if len(lanes) > 1 else 0
    height = TOP_MARGIN + SPECTROGRAM_HEIGHT + AXIS_HEIGHT + sum(heights.values()) + names * len(lanes) + 2
    bottom = TOP_MARGIN + SPECTROGRAM_HEIGHT
    parts = [
        f'<svg class="hearing" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="spectrogram with nearest tokens" data-seconds="{recording.duration_seconds:.3f}">',
        f'<mask id="{identifier}"><image href="{_png(spectrogram(recording))}" y="{TOP_MARGIN}" width="{width}" '
        f'height="{SPECTROGRAM_HEIGHT}" preserveAspectRatio="none"/></mask>',
        f'<rect class="paper" y="{TOP_MARGIN}" width="{width}" height="{SPECTROGRAM_HEIGHT}" rx="3"/>',
        f'<rect class="ink" y="{TOP_MARGIN}" width="{width}" height="{SPECTROGRAM_HEIGHT}" mask="url(#{identifier})"/>',
    ]
    tick_seconds = 0.5 if recording.duration_seconds < 12 else 1.0
    for index in range(int(recording.duration_seconds / tick_seconds) + 1):
        seconds = index * tick_seconds
        x = seconds * width / recording.duration_seconds
        if x > width - 28:
            break
        parts.append(f'<path class="grid" d="M{x:.1f} {bottom}v4"/>')
        parts.append(f'<text class="tick" x="{x + 3:.1f}" y="{bottom + 13}">{seconds:g} s</text>')
    top = bottom + AXIS_HEIGHT
    for name, tokens in lanes.items():
        if names:
            parts.append(f'<text class="lane" x="0" y="{top + 12}">{escape(name)}</text>')
            top += names
        parts.append(_token_lane(tokens, rows[name], top, width / recording.duration_seconds, width))
        top += heights[name]
    parts.append(f'<line class="playhead" x1="0" x2="0" y1="{TOP_MARGIN}" y2="{height}"/></svg>')
    return Markup("".join(parts))


def place_labels(tokens: Sequence[Token], pixels_per_second: float = LEAST_PIXELS_PER_SECOND) -> list[int]:
    """The row of each token's label: the first one where it touches no label placed before.

    >>> place_labels([Token("the", 0.0, 0.04), Token("cat", 0.06, 0.1), Token("sat", 1.0, 1.1)])
    [0, 1, 0]
    """
    ends: list[float] = []
    rows = []
    for token in tokens:
        start = token.start_seconds * pixels_per_second
        row = next((row for row, end in enumerate(ends) if end <= start), len(ends))
        end = start + len(show_token(token.token)) * CHARACTER_PIXELS + 8
        ends[row : row + 1] = [end]
        rows.append(row)
    return rows


def show_token(token: str) -> str:
    """A token as it can be seen: the space in front as "·", a line break as "⏎" (both also in byte-level spelling).

    >>> show_token("Ġmira"), show_token(" mira"), show_token("Ċ")
    ('·mira', '·mira', '⏎')
    """
    return token.replace("Ġ", "·").replace(" ", "·").replace("Ċ", "⏎").replace("\n", "⏎")


def _token_lane(tokens: Sequence[Token], rows: Sequence[int], top: float, scale: float, width: int) -> str:
    parts = []
    for token, row in zip(tokens, rows, strict=True):
        x = token.start_seconds * scale
        span = max(3.0, (token.end_seconds - token.start_seconds) * scale - 1)
        y = top + 8 + LANE_HEIGHT * row
        label = show_token(token.token)
        tip = f"{label}  {token.start_seconds:.2f} to {token.end_seconds:.2f} s"
        # At the right edge a label is moved in rather than cut.
        text_x = min(x + 1, width - len(label) * CHARACTER_PIXELS)
        parts.append(
            f'<g class="token" data-tip="{escape(tip)}" data-start="{token.start_seconds:.3f}" '
            f'data-end="{token.end_seconds:.3f}"><rect class="span" x="{x:.1f}" y="{top}" width="{span:.1f}" '
            f'height="6" rx="2"/><path class="stem" d="M{x + 0.5:.1f} {top + 6}V{y + 12:.1f}"/>'
            f'<text x="{text_x + 3:.1f}" y="{y + 12:.1f}">{escape(label)}</text></g>'
        )
    return "".join(parts)


def _png(shades: np.ndarray) -> str:
    """A grey 8-bit picture [height, width] as a PNG `data:` address."""
    height, width = shades.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + row.tobytes() for row in shades)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
