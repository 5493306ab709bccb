"""What the bytes of a file tell without decoding: whether it is whole, and who can decode it."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

# Written as a length by programs that stream and cannot come back to the header.
_UNKNOWN_SIZES = (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_OGG_LONGEST_PAGE_BYTES = 65_307
_W64_GUID_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_NIST_HEADER_FIELD = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d+)")


def what_is_missing(handle: BinaryIO) -> str:
    """What a WAV, RF64, W64, AIFF, AU, NIST or Ogg file lacks by its own account, in words; "" where it seems whole.

    libsndfile reads such a file up to where it ends and says nothing. Leaves the file at its start.
    """
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(40)
    handle.seek(12)
    missing = 0
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        missing = _of_chunks(handle, size, b"data", "little")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        missing = _of_chunks(handle, size, b"SSND", "big")
    elif head[:4] == b"riff" and head[28:40] == _W64_GUID_TAIL:
        missing = _of_w64(handle, size)
    elif head[:4] == b".snd":
        start, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        missing = 0 if length in _UNKNOWN_SIZES else max(0, start + length - size)
    elif head[:7] == b"NIST_1A":
        missing = _of_nist(handle, size)
    elif head[:4] == b"OggS" and not _ogg_ends(handle, size):
        handle.seek(0)
        return "its last page is cut or not there"
    handle.seek(0)
    if missing < 0:
        return f"its header was never finished or is wrong: {-missing:,} bytes follow the sound that it claims"
    return f"{missing:,} bytes that its header claims are not there" if missing > 0 else ""


def media_format(handle: BinaryIO) -> str:
    """FFmpeg's name of a format that libsndfile does not know, or "". Leaves the file at its start.

    The name is given to FFmpeg, which is not to guess: a text can be a playlist to it, and make it open other files.
    """
    head = handle.read(16)
    handle.seek(0)
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"\x30\x26\xb2\x75":
        return "asf"
    if head[:5] == b"#!AMR":
        return "amr"
    if head[:1] == b"\xff" and head[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "aac"
    return ""


def _of_chunks(handle: BinaryIO, size: int, name: bytes, order: str) -> int:
    """Bytes of the chunk with the sound that lie beyond the file's end.

    Negative, for the bytes behind it, where these are no other chunk: a length that is wrong, or was never filled in.
    """
    long_length = None
    while len(head := handle.read(8)) == 8:
        length = int.from_bytes(head[4:], "little" if order == "little" else "big")
        if head[:4] == b"ds64":  # RF64 keeps the true lengths here: of the file, of the sound
            long_length = int.from_bytes(handle.read(length)[8:16], "little")
        elif head[:4] != name:
            handle.seek(length + length % 2, os.SEEK_CUR)
        elif length in _UNKNOWN_SIZES:
            return 0 if long_length is None else max(0, handle.tell() + long_length - size)
        else:
            end = handle.tell() + length
            return max(0, end - size) or -_bytes_of_no_chunk(handle, end, size, allow_padding=length > 0)
    return 0


def _bytes_of_no_chunk(handle: BinaryIO, place: int, size: int, *, allow_padding: bool) -> int:
    """How many bytes follow from `place` on; 0 where a chunk or a tag begins, or nothing but padding is there."""
    handle.seek(place)
    following = handle.read(5)
    if len(following) < 4:
        return 0
    if allow_padding and not any(following):
        while (block := handle.read(1 << 16)) and not any(block):
            pass
        return size - place if block else 0
    names = (following[:3], following[1:4])  # a chunk begins at an even byte, not that all programs see to it
    return 0 if any(name.isascii() and name.decode().isprintable() for name in names) else size - place


def _of_w64(handle: BinaryIO, size: int) -> int:
    """As `_of_chunks`, for Sony Wave64: names of 16 bytes, 64-bit lengths that count their own 24 bytes."""
    handle.seek(40)
    while len(head := handle.read(24)) == 24:
        length = int.from_bytes(head[16:], "little")
        if head[:4] == b"data":
            return max(0, handle.tell() - 24 + length - size)
        handle.seek(min(size, max(0, -(-length // 8) * 8 - 24)), os.SEEK_CUR)
    return 0


def _of_nist(handle: BinaryIO, size: int) -> int:
    """As `_of_chunks`, for NIST SPHERE (TIMIT): a header of text, then the samples."""
    handle.seek(0)
    head = handle.read(1024)
    fields = {name: int(value) for name, value in _NIST_HEADER_FIELD.findall(head)}
    if len(fields) < 3 or b"shorten" in head:
        return 0
    header_bytes = int(head[8:16].strip() or 0) if head[8:16].strip().isdigit() else 1024
    claimed = fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]
    return max(0, header_bytes + claimed - size)


def _ogg_ends(handle: BinaryIO, size: int) -> bool:
    """Whether the last page is marked as the stream's end and is all there."""
    handle.seek(max(0, size - _OGG_LONGEST_PAGE_BYTES))
    tail = handle.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    segments = tail[page + 26]
    lengths = tail[page + 27 : page + 27 + segments]
    is_whole = len(lengths) == segments and len(tail) >= page + 27 + segments + sum(lengths)
    return is_whole and bool(tail[page + 5] & 4)
