"""Bodies are right on the wire and share the bytes they were given."""

import multipart  # type: ignore[import-untyped]  # litestar brings it
import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.net import Body, Upload, form_body, json_body

text = st.text(st.characters(exclude_categories=["Cs"]))


def parts_of(body: Body) -> tuple[list[tuple[str, str | None]], list[bytes]]:
    boundary = body.content_type.partition("boundary=")[2]
    parser = multipart.PushMultipartParser(boundary)
    found: list[bytes] = []
    names: list[tuple[str, str | None]] = []
    for event in parser.parse(b"".join(body.parts)):
        if isinstance(event, multipart.MultipartSegment):
            names.append((event.name, event.filename))
            found.append(b"")
        elif event:
            found[-1] += event
    return names, found


@given(st.lists(text), st.binary())
def test_form_holds_anything(values, data):
    """Values and files of any content come out of a parser as they went in, the file last."""
    upload = Upload(data=data, filename="audio.wav", media_type="audio/wav")
    names, found = parts_of(form_body([("prompt", value) for value in values], upload))

    assert [("prompt", None)] * len(values) + [("file", "audio.wav")] == names
    assert [*(value.encode() for value in values), data] == found


def test_upload_is_not_copied():
    """The very bytes object of the recording is a part, so that no copy is made."""
    data = bytes(320_000)
    body = form_body([], Upload(data=data, filename="a.wav", media_type="audio/wav"))

    assert body.parts[1] is data
    assert sum(map(len, body.parts)) == body.size


def test_boundary_is_fresh():
    """Nobody who sees one boundary can know the next."""
    upload = Upload(data=b"", filename="a.wav", media_type="audio/wav")

    assert form_body([], upload).content_type != form_body([], upload).content_type


@pytest.mark.parametrize(("value", "wire"), [({"a": [1, None]}, b'{"a":[1,null]}'), ("é", '"é"')])
def test_json(value, wire):
    """A JSON body is one part."""
    expected = wire if isinstance(wire, bytes) else wire.encode()

    assert (expected,) == json_body(value).parts
