"""What a file is, told from its first bytes."""

import pytest

from junctor.core.audio.sniff import sniff
from tests.media import FORMATS, make_media

MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "webm": "audio/webm",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "mkv": "audio/x-matroska",
}


@pytest.mark.parametrize("extension", FORMATS)
def test_encoded_media_is_recognised(extension: str) -> None:
    """Whatever FFmpeg writes is recognised with its media type and extension."""
    container = sniff(make_media(extension, 0.2))

    assert container is not None
    assert (MEDIA_TYPES[extension], extension) == (container.media_type, container.extension)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x02\0\0fLaC", "audio/flac"),
        (b"ID3\x04\x00\x00\x00\x00\x7f\x7f", "audio/mpeg"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"#!AMR\n", "audio/amr"),
    ],
)
def test_headers_are_recognised(head: bytes, media_type: str) -> None:
    """A few bytes are enough, also behind an ID3 tag."""
    container = sniff(head)

    assert container is not None
    assert media_type == container.media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0AVI LIST",
        b"\xff\xff\xff\xff",
        b"#EXTM3U\nhttp://127.0.0.1/",
        b"ffconcat version 1.0\nfile /etc/passwd",
        b"<!doctype html>",
        b"hello world, this is text",
    ],
)
def test_other_things_are_unknown(data: bytes) -> None:
    """Text, playlists and unfinished headers are nothing, so no demuxer is let loose on them."""
    assert sniff(data) is None
