"""What bytes tell without decoding."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from iclal.audio.containers import media_format, what_is_missing


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST"])
@pytest.mark.parametrize("lost", [1, 1000, 19_000])
def test_the_number_of_missing_bytes_is_told(format: str, lost: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.ones(10_000, np.int16), 16_000, format=format)
    whole = buffer.getvalue()
    assert what_is_missing(io.BytesIO(whole)) == ""
    handle = io.BytesIO(whole[:-lost])
    # Files may end in bytes that are no sound: not all that is lost is missed.
    assert what_is_missing(handle).endswith("bytes that its header claims are not there")
    assert 0 < int(what_is_missing(handle).split()[0].replace(",", "")) <= lost
    assert handle.tell() == 0


def wav(claimed_bytes: int, behind: bytes = b"") -> io.BytesIO:
    """2,000 samples of sound whose header claims another length, and something behind them."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(2_000, 7_777, np.int16), 16_000, format="WAV")
    whole = bytearray(buffer.getvalue())
    whole[40:44] = claimed_bytes.to_bytes(4, "little")
    return io.BytesIO(bytes(whole) + behind)


def test_sound_behind_what_a_header_claims_is_told_and_other_chunks_are_none() -> None:
    assert what_is_missing(wav(1_000)) == "its header was never finished or is wrong: 3,000 bytes follow the sound " + (
        "that it claims"
    )
    assert "4,000 bytes follow" in what_is_missing(wav(0))
    for behind in (b"LIST\x04\0\0\0abcd", b"ID3\x03\0tag", b"\0" * 64, b"\0LIST\x04\0\0\0abcd", b"x"):
        assert what_is_missing(wav(4_000, behind)) == ""
    assert "72 bytes follow" in what_is_missing(wav(4_000, b"\0" * 8 + b"\x07\x1e" * 32))  # silence, then sound


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"\0\0\0\x20ftypM4A ", "mov"),
        (b"\x1aE\xdf\xa3\x01", "matroska"),
        (b"#!AMR\n", "amr"),
        (b"\xff\xf1\x50", "aac"),
        (b"\xff\xfb\x90", ""),
        (b"RIFF", ""),
        (b"", ""),
    ],
)
def test_media_formats_are_known_by_their_first_bytes(head: bytes, format: str) -> None:
    assert media_format(io.BytesIO(head)) == format
