"""What adapters of another dialect share: reading a conversation, and saying no to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.chat.dialect import FunctionCall, ImageUrl, Message, Part, ToolCall
from junctor.core.errors import ProviderRejectedError
from junctor.core.net import Target
from junctor.core.requests import ChatRequest
from junctor.plugins.remote.chat import (
    Picture,
    arguments,
    asked,
    function_of,
    instructions,
    parts_of,
    picture,
    plain,
)

TARGET = Target("tiny", "one")


def image(url: str) -> Part:
    return Part(type="image_url", image_url=ImageUrl(url=url))


def called(text: str | None) -> ToolCall:
    return ToolCall(id="1", function=FunctionCall(name="f", arguments=text))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"messages": [1]}', b'{"messages": "\xff"}'])
def test_what_cannot_be_read(body):
    """A field of another type is the request's fault, and nothing of it is told."""
    with pytest.raises(ProviderRejectedError, match="field is not of its type"):
        asked(ChatRequest(body=body), TARGET)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGk=", Picture("image/png", data="aGk=")),
        ("data:IMAGE/JPEG;charset=x;base64,aGk=", Picture("image/jpeg", data="aGk=")),
        ("https://example.com/a,b.png", Picture("", url="https://example.com/a,b.png")),
    ],
)
def test_pictures(url, expected):
    """A picture is its bytes, or where they are."""
    assert expected == picture(image(url), TARGET)


@pytest.mark.parametrize(
    "url",
    ["", "http://example.com/a.png", "data:image/png,hi", "file:///etc/passwd", "base64,aGk="],
)
def test_no_pictures(url):
    """What is neither is refused, before a vendor is asked to fetch it."""
    with pytest.raises(ProviderRejectedError, match="pictures"):
        picture(image(url), TARGET)


def test_a_part_without_its_picture():
    """A part that only says that it is a picture is none."""
    with pytest.raises(ProviderRejectedError, match="pictures"):
        picture(Part(type="image_url"), TARGET)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, []), ("", []), (" \n", []), ("a", ["a"]), ([Part(text="a"), Part(text=" ")], ["a"])],
)
def test_blank_text_is_left_out(content, expected):
    """Vendors refuse text without a letter."""
    assert expected == [part.text for part in parts_of(Message(role="user", content=content))]


def test_plain_text():
    """Text and refusals are text; anything else is not."""
    said = Message(role="assistant", content=[Part(text="a"), Part(type="refusal", refusal="b")])

    assert "ab" == plain(said, TARGET)


def test_instructions():
    """System and developer are heard wherever they stand, others are not."""
    messages = [
        Message(role="system", content="a"),
        Message(role="user", content="b"),
        Message(role="developer", content=[Part(text="c")]),
        Message(role="system", content=" "),
    ]

    assert "a\n\nc" == instructions(messages, TARGET)


@pytest.mark.parametrize(
    ("text", "expected"), [(None, {}), ("", {}), ('{"a": 1.50}', {"a": b"1.50"})]
)
def test_arguments_keep_their_writing(text, expected):
    """Arguments go on as they were written."""
    assert expected == {name: bytes(raw) for name, raw in arguments(called(text), TARGET).items()}


@given(st.text().filter(lambda text: text and not text.lstrip().startswith("{")))
def test_no_arguments(text):
    """What is no object is refused, whatever it holds."""
    with pytest.raises(ProviderRejectedError, match="arguments"):
        arguments(called(text), TARGET)


@pytest.mark.parametrize(
    "call", [ToolCall(), ToolCall(function=FunctionCall()), ToolCall(type="custom")]
)
def test_calls_of_functions_only(call):
    """A call without a name is none."""
    with pytest.raises(ProviderRejectedError, match="functions only"):
        function_of(call, TARGET)
