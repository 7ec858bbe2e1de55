"""The parser of forms, fed in pieces of any size."""

import gc

import pytest

from junctor.core.errors import InvalidRequestError
from junctor.routers.multipart import (
    MAX_HEAD_BYTES,
    MAX_TEXT_BYTES,
    Form,
    FormParser,
    boundary_of,
)

BOUNDARY = "x--y"
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def part(disposition: str, content: bytes = b"RIFF", *, more: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content


def parsed(*pieces: bytes) -> Form:
    parser = FormParser(BOUNDARY, fields={"model", "timestamp_granularities"})
    for piece in pieces:
        parser.feed(piece)
    return parser.close()


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('name="file"; filename="a.wav"', "a.wav"),
        ("name=file; filename=a.wav", "a.wav"),
        ('name="file"; filename="a \\"b\\".wav"', 'a "b".wav'),
        ('name="file"; filename="a%22b.wav"', 'a"b.wav'),
        ("name=\"file\"; filename*=UTF-8''%E0%B8%81.wav", "ก.wav"),
        ('name="file"; filename=""', None),
        ('name="file[]"; filename="ไทย.wav"', "ไทย.wav"),
    ],
)
def test_file_names(disposition, filename):
    """Browsers, curl and Python quote file names in ways of their own."""
    assert filename == parsed(part(disposition) + TAIL).filename


def test_other_headers_are_skipped():
    """A part may have a content type, in any case and order."""
    content = part('name="file"; filename="a"', more="content-TYPE: audio/wav\r\nX: y\r\n")

    assert parsed(content + TAIL).data == b"RIFF"


def test_brackets_are_cut():
    """A list may be spelled with brackets or without, and keeps its order."""
    name = "timestamp_granularities"
    form = parsed(
        b"\r\n".join(
            (
                part(f'name="{name}[]"', b"word"),
                part(f'name="{name}"', b"segment"),
                part('name="file"; filename="a"'),
            )
        )
        + TAIL
    )

    assert {name: ["word", "segment"]} == form.texts


def test_content_like_a_boundary():
    """What begins as the boundary and is none belongs to the file, wherever a piece ends."""
    content = b"\r\n--x--\r\r\n--x\r\n-"
    whole = part('name="file"; filename="a"', content) + TAIL
    for cut in range(1, len(whole)):
        assert parsed(whole[:cut], whole[cut:]).data == content


def test_epilogue_is_ignored():
    """Whatever follows the last boundary does not matter."""
    assert parsed(part('name="file"; filename="a"') + TAIL, b"rest").data == b"RIFF"


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n" + part('name="file"; filename="a"') + TAIL,
        part('name="file"; filename="a"') + f"\r\n--{BOUNDARY}xx".encode(),
        f"--{BOUNDARY}\r\n\r\nno headers".encode() + TAIL,
        f"--{BOUNDARY}\r\n".encode() + b"X: y\r\n" * MAX_HEAD_BYTES,
        part('name="model"', b"m" * (MAX_TEXT_BYTES + 1)) + TAIL,
        part('name="file"; filename="a"').replace(b"\r\n", b"\n") + TAIL,
        part('name="file"; filename="a"'),
    ],
    ids=["preamble", "after", "no-head", "long-head", "long-text", "line-feeds", "cut-off"],
)
def test_malformed(body):
    """Each way of being malformed is found."""
    with pytest.raises(InvalidRequestError):
        parsed(body)


def test_skipped_field_is_not_held():
    """A field that nobody asked for may be long: it is not kept."""
    content = part('name="known_speaker_references[]"', b"d" * (MAX_TEXT_BYTES * 2))
    form = parsed(content + b"\r\n" + part('name="file"; filename="a"') + TAIL)

    assert form.texts == {}


def test_parser_is_no_cycle():
    """The upload goes with its last user, not with the next collection."""
    gc.collect()
    gc.disable()
    try:
        parsed(part('name="file"; filename="a"') + TAIL)

        assert not any(type(one) is FormParser for one in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"),
        ("multipart/form-data;boundary=----WebKit7MA4", "----WebKit7MA4"),
    ],
)
def test_boundary(content_type, boundary):
    """Boundaries come bare and quoted."""
    assert boundary == boundary_of(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary=\xff",
        "application/json",
    ],
)
def test_no_boundary(content_type):
    """Without one the body means nothing."""
    with pytest.raises(InvalidRequestError):
        boundary_of(content_type)
