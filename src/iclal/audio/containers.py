"""What the first bytes of a file tell: whether it is whole, and who can decode it."""

from __future__ import annotations

import os
from typing import BinaryIO

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)  # written by programs that could not seek back to the header
_OGG_PAGE_BYTES = 65_307  # the longest page


def bytes_missing(handle: BinaryIO) -> int:
    """How many bytes a WAV, RF64, AIFF or Ogg file lacks by its own account, 0 if none or not told.

    libsndfile reads such a file up to where it ends without a word. A cut Ogg stream counts as lacking 1 byte. Leaves
    the file at its start.
    """
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(12)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        missing = _chunk_missing(handle, size, b"data", "little")
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        missing = _chunk_missing(handle, size, b"SSND", "big")
    elif head[:4] == b"OggS":
        missing = 0 if _ogg_ends(handle, size) else 1
    else:
        missing = 0
    handle.seek(0)
    return missing


def _chunk_missing(handle: BinaryIO, size: int, name: bytes, order: str) -> int:
    """How much of the chunk with the sound lies beyond the file's end."""
    long_size = None
    while len(head := handle.read(8)) == 8:
        length = int.from_bytes(head[4:], "little" if order == "little" else "big")
        if head[:4] == b"ds64":  # RF64 keeps the true sizes here: file, data
            content = handle.read(length)
            long_size = int.from_bytes(content[8:16], "little")
            continue
        if head[:4] == name:
            if length in _UNKNOWN_SIZES:
                length = long_size or 0
            return max(0, handle.tell() + length - size)
        handle.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _ogg_ends(handle: BinaryIO, size: int) -> bool:
    """Whether the last page is marked as the stream's end and is all there."""
    start = max(0, size - _OGG_PAGE_BYTES)
    handle.seek(start)
    tail = handle.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    whole = len(table) == segments and len(tail) >= page + 27 + segments + sum(table)
    return whole and bool(tail[page + 5] & 4)


def is_media_container(handle: BinaryIO) -> bool:
    """Whether this is a format for PyAV: MP4/M4A, WebM/Matroska, AAC, WMA, AMR. Leaves the file at its start."""
    head = handle.read(16)
    handle.seek(0)
    return (
        head[4:8] == b"ftyp"
        or head.startswith((b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"#!AMR"))
        or (head[:1] == b"\xff" and head[1:2] in (b"\xf1", b"\xf9", b"\xf0", b"\xf8"))
    )
