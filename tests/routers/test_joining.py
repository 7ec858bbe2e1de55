"""Head and body of an answer in one write."""

import asyncio

import pytest

from junctor.routers.joining import JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class _Written(asyncio.Transport):
    """A transport that remembers each write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
def written() -> _Written:
    return _Written()


async def test_a_body_leaves_with_its_head(written: _Written) -> None:
    """One write, one packet."""
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(HEAD)
    joining.write(b"ok")
    await asyncio.sleep(0)

    assert written.writes == [HEAD + b"ok"]


async def test_a_head_waits_for_one_turn_only(written: _Written) -> None:
    """A stream whose first event takes its time has begun for the client."""
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(HEAD)
    await asyncio.sleep(0)
    joining.write(b"ok")

    assert written.writes == [HEAD, b"ok"]


async def test_a_large_body_is_not_copied(written: _Written) -> None:
    """Two writes are cheaper than a copy."""
    body = b"x" * 100_000
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(HEAD)
    joining.write(body)

    assert written.writes == [HEAD, body]
    assert written.writes[1] is body


async def test_closing_leaves_nothing_behind(written: _Written) -> None:
    """An answer without a body is sent all the same, and what is not ours is the transport's."""
    joining = JoiningTransport(written, asyncio.get_running_loop())
    joining.write(HEAD)
    joining.close()

    assert written.writes == [HEAD]
    assert joining.is_closing()
    assert joining.get_extra_info("peername") == ("127.0.0.1", 1)
