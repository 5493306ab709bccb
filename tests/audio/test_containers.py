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
