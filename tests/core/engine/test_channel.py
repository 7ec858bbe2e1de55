"""Frames are whole, typed and bounded."""

import socket

import pytest
from msgspec import Raw, msgpack

from junctor.core.engine.channel import (
    MAX_HEADER,
    MAX_PAYLOAD,
    PREFIX,
    ChildChannel,
    FromChild,
    Pong,
    Run,
    check,
    pack,
)


@pytest.fixture(name="pair")
def _pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, ChildChannel(theirs)


def test_child_reads_message_and_payload(pair):
    """A frame sent in pieces arrives as one message and its bytes."""
    server, child = pair
    frame = pack(Run(job=7, args=Raw(b"\x01")), b"samples") + b"samples"
    for piece in (frame[:3], frame[3:11], frame[11:]):
        server.sendall(piece)
    message, payload = child.receive()

    assert (7, b"samples") == (message.job, payload)


def test_child_writes_whole_frames(pair):
    """What the child sends is a frame the server can take apart."""
    server, child = pair
    child.send(Pong(memory=5))
    header, payload = PREFIX.unpack(server.recv(PREFIX.size))

    assert Pong(memory=5) == msgpack.decode(server.recv(header), type=FromChild)
    assert 0 == payload


def test_end_of_server_is_end_of_file(pair):
    """A server that is gone ends the child's reading."""
    server, child = pair
    server.close()

    with pytest.raises(EOFError):
        child.receive()


@pytest.mark.parametrize("lengths", [(MAX_HEADER + 1, 0), (0, MAX_PAYLOAD + 1)])
def test_bounds_hold(lengths):
    """Neither side accepts more than its bound."""
    with pytest.raises(OverflowError):
        check(*lengths)


def test_child_refuses_before_it_allocates(pair):
    """A frame that claims too much is refused by its first eight bytes."""
    server, child = pair
    server.sendall(PREFIX.pack(MAX_HEADER + 1, 0))

    with pytest.raises(OverflowError):
        child.receive()
