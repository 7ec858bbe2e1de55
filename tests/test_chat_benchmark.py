"""The benchmark of chat runs, each part in small, and notices what a gateway does to a stream."""

import asyncio
import os
import shutil

import pytest

from benchmarks.chat.reader import Reader, Stream, post, question
from benchmarks.chat.upstream import Connection
from benchmarks.targets import Target
from tests.test_benchmarks import output

CHUNKS = 4


@pytest.fixture
def tools() -> None:
    """Need what pins servers to a core, and the peer that is everywhere."""
    if missing := [name for name in ("nginx", "taskset") if shutil.which(name) is None]:
        assert not os.environ.get("CI"), f"not installed: {missing}"
        pytest.skip(f"not installed: {missing}")


@pytest.fixture
async def stream() -> Stream:
    """Read a stream of the benchmark's upstream."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection({}), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader = await Reader.connect(port)
        body = question(stream=True, max_tokens=CHUNKS, seed=1)
        payload = post(Target(name="upstream", port=port, pid=0), body)
        read = await reader.read(payload)
        reader.close()
    return read


def _altered(stream: Stream, old: bytes, new: bytes) -> Stream:
    body = b"".join(piece for _, piece in stream.pieces)
    changed = body.replace(old, new, 1)
    assert changed != body
    return Stream(sent=0.0, pieces=[(1.0, changed)], is_over=True)


async def test_whole_stream(stream: Stream) -> None:
    """All of it is there, and each chunk's delay is known."""
    assert stream.is_whole(CHUNKS)
    assert len(stream.delays()) == CHUNKS
    assert all(one.back >= 0 and one.forward >= 0 for one in stream.delays())


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"/", b"/1"), (b"data: [DONE]", b""), (b"data: [DONE]", b"data: [DONE]\n\ndata: {}")],
    ids=["altered", "no end", "end not last"],
)
async def test_stream_that_is_not_whole(stream: Stream, old: bytes, new: bytes) -> None:
    """A changed chunk and a wrong end are noticed."""
    assert not _altered(stream, old, new).is_whole(CHUNKS)


async def test_stream_that_lacks_a_chunk(stream: Stream) -> None:
    """A missing chunk is noticed."""
    first = b"".join(piece for _, piece in stream.pieces).partition(b"\n\n")[0] + b"\n\n"

    assert not _altered(stream, first, b"").is_whole(CHUNKS)


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.usefixtures("tools")
@pytest.mark.timeout(180)
async def test_requests_beside_nginx() -> None:
    """The ratios are printed."""
    small = ("--rounds", "1", "--seconds", "0.3", "--only", "nginx", "junctor")
    told = await output("benchmarks.chat", "requests", *small)

    assert "junctor / direct: " in told
    assert "junctor / nginx: " in told


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.usefixtures("tools")
@pytest.mark.timeout(180)
async def test_slow_streams_beside_nginx() -> None:
    """The ratio is printed, and every stream is whole."""
    small = ("--rounds", "1", "--streams", "4", "--chunks", "10", "--interval", "20")
    few = ("--alone", "4", "--only", "nginx", "junctor")
    told = await output("benchmarks.chat", "streams", *small, *few)

    assert "nginx / junctor: " in told
    assert told.count(" 16/16\n") == 3


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.usefixtures("tools")
@pytest.mark.timeout(180)
async def test_memory_and_what_streams_leave_behind() -> None:
    """Slopes are printed; every stream that is left is let go and billed once."""
    told = await output("benchmarks.chat", "memory", "--requests", "120", "--cuts", "20")

    assert told.count("bytes a request over") == 2
    assert "upstream let go within 1 s: 20 of 20" in told
    assert "one row each for 20 of 20 streams left (20 cancelled)" in told
