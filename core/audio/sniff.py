"""
What a file is, told from its first bytes; what the caller claims is never trusted.

The answer also picks the one demuxer that may read the file. Letting FFmpeg guess would let an
upload choose formats that open other files or addresses (playlists, concat scripts).
"""

from typing import Final

from attrs import frozen


@frozen
class Container:
    """A media container that junctor reads."""

    media_type: str
    """What the bytes are, `audio/wav`; `audio/…` too where a video track may be present."""
    extension: str
    """File extension that fits, without the dot."""
    demuxer: str
    """FFmpeg's name of the reader."""


WAV: Final = Container("audio/wav", "wav", "wav")
MP3: Final = Container("audio/mpeg", "mp3", "mp3")
M4A: Final = Container("audio/mp4", "m4a", "mov")
MP4: Final = Container("audio/mp4", "mp4", "mov")
OGG: Final = Container("audio/ogg", "ogg", "ogg")
FLAC: Final = Container("audio/flac", "flac", "flac")
WEBM: Final = Container("audio/webm", "webm", "matroska")
AAC: Final = Container("audio/aac", "aac", "aac")
_MATROSKA: Final = Container("audio/x-matroska", "mkv", "matroska")
_QUICKTIME: Final = Container("video/quicktime", "mov", "mov")
_AIFF: Final = Container("audio/aiff", "aiff", "aiff")

_MAGIC: Final = (
    (b"fLaC", FLAC),
    (b"OggS", OGG),
    (b"#!AMR", Container("audio/amr", "amr", "amr")),
    (b".snd\x00\x00", Container("audio/basic", "au", "au")),
)
_FOUR_CHARACTERS_AND_FORM: Final = {
    (b"RIFF", b"WAVE"): WAV,
    (b"RF64", b"WAVE"): WAV,
    (b"FORM", b"AIFF"): _AIFF,
    (b"FORM", b"AIFC"): _AIFF,
}
_BRANDS: Final = {b"M4A ": M4A, b"M4B ": M4A, b"qt  ": _QUICKTIME}
_QUICKTIME_ATOMS: Final = frozenset((b"moov", b"mdat", b"wide", b"pnot"))
_EBML: Final = b"\x1a\x45\xdf\xa3"
_DOCTYPE_WINDOW: Final = 64
_ID3_HEADER: Final = 10
_ID3_HAS_FOOTER: Final = 0x10


def sniff(data: bytes) -> Container | None:
    """Recognise the container of `data` by its first bytes; None for anything unknown."""
    if data.startswith(b"ID3"):
        return sniff(data[(end := _end_of_id3(data)) : end + _DOCTYPE_WINDOW]) or MP3
    for magic, container in _MAGIC:
        if data.startswith(magic):
            return container
    return (
        _FOUR_CHARACTERS_AND_FORM.get((data[:4], data[8:12]))
        or _iso_media(data)
        or _matroska(data)
        or _mpeg_frame(data)
    )


def _end_of_id3(data: bytes) -> int:
    head = data[:_ID3_HEADER].ljust(_ID3_HEADER, b"\0")
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return _ID3_HEADER + size + (_ID3_HEADER if head[5] & _ID3_HAS_FOOTER else 0)


def _iso_media(data: bytes) -> Container | None:
    atom = data[4:8]
    if atom == b"ftyp":
        return _BRANDS.get(data[8:12], MP4)
    return _QUICKTIME if atom in _QUICKTIME_ATOMS else None


def _matroska(data: bytes) -> Container | None:
    if not data.startswith(_EBML):
        return None
    return WEBM if b"webm" in data[:_DOCTYPE_WINDOW] else _MATROSKA


def _mpeg_frame(data: bytes) -> Container | None:
    """Tell a bare MPEG audio frame or ADTS frame by its header fields."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:  # noqa: PLR2004
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    if layer == 0:
        return AAC if data[1] & 0xF0 == 0xF0 else None  # noqa: PLR2004
    return MP3 if version != 1 and bitrate != 0xF and rate != 3 else None  # noqa: PLR2004
