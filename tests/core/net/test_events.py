"""Server-sent events survive any cut."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.net.events import MAX_EVENT_BYTES, EventParser, EventTooLongError, ServerEvent

STREAM = (
    b"\xef\xbb\xbf: a comment\r\n"
    b'data: {"delta": "\xe0\xb8\xaa\xe0\xb8\xa7"}\n\n'
    b"event: named\rdata:one\rdata: two\r\r"
    b"id: 7\r\ndata\r\n\r\n"
    b"event: without data\n\n"
    b"data: [DONE]\n\n"
    b"data: never ended\n"
)
EVENTS = [
    ServerEvent("message", b'{"delta": "\xe0\xb8\xaa\xe0\xb8\xa7"}'),
    ServerEvent("named", b"one\ntwo"),
    ServerEvent("message", b""),
    ServerEvent("message", b"[DONE]"),
]


def parsed(chunks: Iterable[bytes]) -> list[ServerEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_reads_a_whole_stream():
    """Comments, names, several data lines and all three line ends are understood."""
    assert EVENTS == parsed([STREAM])


@given(st.sets(st.integers(0, len(STREAM))))
def test_cuts_do_not_matter(cuts):
    """The events are the same wherever the network cuts the bytes, empty pieces included."""
    edges = [0, *sorted(cuts), len(STREAM)]

    assert EVENTS == parsed(STREAM[a:b] for a, b in pairwise(edges))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_never_trips(noise, cut):
    """Bytes that are no event stream raise nothing, and parse the same in two pieces."""
    assert parsed([noise]) == parsed([noise[:cut], noise[cut:]])


@pytest.mark.parametrize("line", [b"x" * 65536, b"data: " + b"x" * 65530 + b"\n"])
def test_length_is_bounded(line):
    """Neither a line nor an event grows without end."""
    lines = [line] * (MAX_EVENT_BYTES // len(line) + 2)

    with pytest.raises(EventTooLongError):
        parsed(lines)
