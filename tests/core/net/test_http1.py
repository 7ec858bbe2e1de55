"""Our own HTTP/1.1 client, against servers that say what a test writes."""

import asyncio
import gc
import socket
import ssl
import weakref
import zlib
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Body, Pool, PoolLimits, RelayAnswer, Target, json_body
from junctor.core.net.http1 import HIGH_WATER, Connection
from tests.fakes.talking import Authority, Call, talking

TARGET = Target("vendor", "model-1")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = Body(parts=(b"h" * 100, b"x" * 4_000_000, b"t" * 100), content_type="audio/wav")
TEXT = b"one two three " * 50_000


async def ask(
    pool: Pool, url: str, *, method: str = "POST", body: Body | None = None, within: float = 5.0
) -> RelayAnswer:
    return await pool.relay.request(
        method,
        f"{url}/v1/x",
        headers={"Authorization": "Bearer k"},
        body=body or (json_body({}) if method == "POST" else None),
        target=TARGET,
        within=within,
    )


def saying(*answers: bytes, stay: bool = True):
    """Answer each request of a connection with the next of these, then wait or close."""

    async def talk(call: Call) -> None:
        for answer in answers:
            await call.request()
            await call.say(answer)
        if stay:
            await call.ended()

    return talk


def packed(data: bytes, *, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


def coded(coding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


GOOD = {
    "length": (OK, b"{}", True),
    "none": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde", True),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n", b"a", True),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\na: b\r\n\r\n" + OK, b"{}", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b"", True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "old": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", b"a", False
    ),
    "left over": (OK + b"HTTP/1.1 200", b"{}", False),
    "left over garbage": (OK + b"\0garbage", b"{}", False),
    "left over answer": (OK + OK, b"{}", False),
    "gzip": (coded("gzip", packed(TEXT, bits=31)), TEXT, True),
    "x-gzip": (coded("X-GZIP", packed(TEXT, bits=31)), TEXT, True),
    "deflate": (coded("deflate", packed(TEXT, bits=15)), TEXT, True),
    "bare deflate": (coded("deflate", packed(TEXT, bits=-15)), TEXT, True),
    "empty gzip": (coded("gzip", b""), b"", True),
    "identity": (coded("identity", b"a"), b"a", True),
}  # fmt: skip


@pytest.fixture(name="pool")
async def _pool():
    pool = Pool(PoolLimits(connect_timeout=2.0, max_answer_bytes=1 << 20))
    await pool.open()
    yield pool
    await pool.close()


@pytest.mark.parametrize("name", GOOD)
async def test_answers(pool, name):
    """Every way to say an answer is understood, and what can be kept is."""
    said, body, is_kept = GOOD[name]
    async with talking(saying(said, said)) as server:
        answers = [await ask(pool, server.url) for _ in range(2)]

    assert [body, body] == [answer.body for answer in answers]
    assert (1 if is_kept else 2) == len(server.calls)


async def test_answer_that_ends_with_the_connection(pool):
    """Without a length, the end of the connection is the end of the answer."""
    async with talking(saying(b"HTTP/1.1 200 OK\r\n\r\nabc", stay=False)) as server:
        assert b"abc" == (await ask(pool, server.url)).body


async def test_head_has_no_body(pool):
    """The answer to HEAD ends with its head, whatever length it names."""
    async with talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")) as server:
        assert b"" == (await ask(pool, server.url, method="HEAD")).body


async def test_body_behind_the_answer_to_head(pool):
    """A server that sends it nevertheless is not believed."""
    async with talking(saying(OK, OK)) as server:
        answers = [await ask(pool, server.url, method="HEAD") for _ in range(2)]

    assert ([b"", b""], 2) == ([answer.body for answer in answers], len(server.calls))


async def test_name_with_several_addresses(pool, upstream):
    """A host is tried at each of its addresses, of whichever family."""
    assert 200 == (await ask(pool, upstream.base_url.replace("127.0.0.1", "localhost"))).status


async def test_headers(pool):
    """Lookups ignore case, and of a repeated header the first counts."""
    said = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nretry-after: 8\r\nContent-Length: 0\r\n\r\n"
    async with talking(saying(said)) as server:
        headers = (await ask(pool, server.url)).headers

    assert ("7", None, 2) == (headers["RETRY-AFTER"], headers.get("x"), len(headers))
    assert {"retry-after": "7", "content-length": "0"} == dict(headers)


BAD = {
    "garbage": (b"\x16\x03\x01garbage\r\n\r\n", ProviderAnswerError, "does not speak"),
    "switch": (
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ProviderAnswerError,
        "does not speak",
    ),
    "long head": (
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * (1 << 20), ProviderAnswerError, "does not speak",
    ),
    "endless interim": (
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, ProviderAnswerError, "does not speak",
    ),
    "endless trailers": (
        CHUNKED + b"1\r\na\r\n0\r\n" + b"x: y\r\n" * 200_000, ProviderAnswerError, "does not speak",
    ),
    "transfer coding": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ProviderAnswerError,
        "does not speak",
    ),
    "chunk size": (CHUNKED + b"1\r\na\r\nzz\r\n", ProviderAnswerError, "does not speak"),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ProviderAnswerError,
        "does not speak",
    ),
    "cut": (OK[:-1], ProviderAnswerError, "cut its answer"),
    "cut chunk": (CHUNKED + b"9\r\nab", ProviderAnswerError, "cut its answer"),
    "cut chunks": (CHUNKED + b"1\r\na\r\n", ProviderAnswerError, "cut its answer"),
    "cut head": (b"HTTP/1.1 200 OK\r\ncont", ProviderUnavailableError, "closed the connection"),
    "silence": (b"", ProviderUnavailableError, "closed the connection"),
    "coding": (coded("br", b"a"), ProviderAnswerError, "decompressed"),
    "codings": (coded("gzip, gzip", b"a"), ProviderAnswerError, "decompressed"),
    "no gzip": (coded("gzip", b"LEAK"), ProviderAnswerError, "decompressed"),
    "bad gzip": (coded("gzip", b"\x1f\x8bLEAK"), ProviderAnswerError, "decompressed"),
    "cut gzip": (coded("gzip", packed(TEXT, bits=31)[:-9]), ProviderAnswerError, "decompressed"),
    "more than gzip": (
        coded("gzip", packed(TEXT, bits=31) + b"LEAK"), ProviderAnswerError, "decompressed",
    ),
    "bomb": (
        coded("gzip", packed(bytes(1 << 26), bits=31)), ProviderAnswerError, "longer than is read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_bad_answers(pool, name):
    """Everything else is an error of ours, and no connection that it came over is kept."""
    said, error, sentence = BAD[name]
    async with talking(saying(said, stay=False)) as server:
        with pytest.raises(error, match=f"vendor.*{sentence}") as caught:
            await ask(pool, server.url)
        await server.until(lambda: server.open == 0)

    assert "LEAK" not in repr(caught.value)


WHOLE = [name for name, (said, _, is_kept) in GOOD.items() if is_kept and len(said) < 10_000]


class Wireless(asyncio.Transport):
    """A transport that leads nowhere."""

    def __init__(self, own):
        super().__init__({"socket": own})
        self.sent = b""

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        pass


class Nobody:
    is_clean = False

    def done(self, connection, *, is_clean):
        self.is_clean = is_clean

    def lost(self, connection):
        pass


class Ending(Wireless):
    """One that does as uvloop's does when it is closed."""

    is_closed = False

    def write(self, data):
        if self.is_closed:
            raise RuntimeError
        super().write(data)

    def abort(self):
        self.is_closed = True


async def test_answer_and_end_in_one_go_in_the_middle_of_an_upload():
    """The answer counts; nothing more is sent into a connection that is gone."""
    connection = Connection(("http", "host", 80), Nobody())
    with socket.socket() as own:
        connection.connection_made(Ending(own))
    connection.pause_writing()
    asking = asyncio.ensure_future(connection.ask(b"", BIG, until=1e9))
    await asyncio.sleep(0)
    connection.data_received(OK)
    connection.eof_received()
    await asking

    assert b"{}" == await connection.next()


@settings(max_examples=50)
@given(name=st.sampled_from(WHOLE), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_cut_anywhere(name, cuts):
    """However an answer is cut into packets, it is the same."""
    said, body, _ = GOOD[name]

    async def run() -> tuple[bytes, bool]:
        keeper = Nobody()
        connection = Connection(("http", "host", 80), keeper)
        with socket.socket() as own:
            connection.connection_made(Wireless(own))
        asking = asyncio.ensure_future(connection.ask(b"", None, until=1e9))
        await asyncio.sleep(0)
        edges = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
        for begin, end in pairwise(edges):
            connection.data_received(said[begin:end])
        await asking
        found = b""
        while piece := await connection.next():
            found += piece
        connection.close()
        return found, keeper.is_clean

    if "gzip" in name or "deflate" in name:
        body = said.partition(b"\r\n\r\n")[2]

    assert (body, True) == asyncio.run(run())


@pytest.mark.parametrize("name", ["length", "chunked", "trailers", "interim"])
async def test_cut_at_every_byte(pool, name):
    """The same over a real connection, a packet for every byte."""
    said, body, _ = GOOD[name]

    async def talk(call: Call) -> None:
        await call.request()
        for at in range(len(said)):
            await call.say(said[at : at + 1])
            await asyncio.sleep(0)
        await call.ended()

    async with talking(talk) as server:
        assert body == (await ask(pool, server.url)).body


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ({"X": "a\r\nY: b"}, "a/b"),
        ({"X": "a\nb"}, "a/b"),
        ({"X": "a\rb"}, "a/b"),
        ({"X": "a\0b"}, "a/b"),
        ({"X\r\nY": "b"}, "a/b"),
        ({"X": "\ud800"}, "a/b"),
        ({}, "a/b\r\nX: y"),
        ({"Host": "a\r\nX: y"}, "a/b"),
    ],
)
async def test_header_cannot_be_broken_out_of(pool, headers, content_type):
    """What would begin another header is refused before anything is sent."""
    async with talking(saying(OK)) as server:
        with pytest.raises(ProviderRejectedError, match="header"):
            await pool.relay.post(
                server.url,
                headers=headers,
                body=Body(parts=(b"a",), content_type=content_type),
                target=TARGET,
                within=2,
            )

        assert [] == server.calls


@pytest.mark.parametrize(
    "url",
    [
        "http://h/a\r\nb", "http://h/\0", "http://h\n/", "http://u:p@h/", "http://h:x/", "//h/",
        "http://h:99999/", f"http://{'a' * 80}.com/", "ws://h/", "http://[::1/", "http://a b/",
    ],
)  # fmt: skip
async def test_urls_that_are_none(pool, url):
    """What cannot be connected to, or could be read in two ways, is refused."""
    with pytest.raises(ProviderRejectedError, match="not a URL"):
        await pool.relay.request("GET", url, headers={}, target=TARGET, within=2)


async def request_head(pool: Pool, path: str, headers: dict[str, str]) -> list[bytes]:
    heads = []

    async def talk(call: Call) -> None:
        heads.append(await call.head())
        await call.say(OK)

    async with talking(talk) as server:
        url = f"{server.url}{path}"
        await pool.relay.request("GET", url, headers=headers, target=TARGET, within=2)
    return sorted(heads[0].replace(server.url[7:].encode(), b"HOST").strip().split(b"\r\n"))


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", b"/"),
        ("?a=b", b"/?a=b"),
        ("/a%2Fb?c=%2B+d#e", b"/a%2Fb?c=%2B+d"),
        ("/a b/\u00e9", b"/a%20b/%C3%A9"),
    ],
)
async def test_path(pool, path, sent):
    """What is quoted stays as it is, the rest is quoted, a fragment stays here."""
    head = await request_head(pool, path, {})

    assert [
        b"Accept-Encoding: identity",
        b"Accept: */*",
        b"GET " + sent + b" HTTP/1.1",
        b"Host: HOST",
        b"User-Agent: junctor",
    ] == head


async def test_callers_headers_go_first(pool):
    """A header that the caller gives is sent once, and a like name takes nothing away."""
    head = await request_head(
        pool, "/", {"host": "a", "USER-AGENT": "b", "Accept": "c", "X-Content-Type": "d"}
    )

    assert [
        b"Accept-Encoding: identity",
        b"Accept: c",
        b"GET / HTTP/1.1",
        b"USER-AGENT: b",
        b"X-Content-Type: d",
        b"host: a",
    ] == head


async def test_callers_content_type(pool):
    """That of the caller goes before that of the body."""
    heads = []

    async def talk(call: Call) -> None:
        heads.append((await call.request())[0])
        await call.say(OK)

    async with talking(talk) as server:
        await pool.relay.post(
            server.url,
            headers={"content-type": "a/b"},
            body=json_body({}),
            target=TARGET,
            within=2,
        )

    assert 1 == heads[0].lower().count(b"content-type")
    assert b"content-type: a/b" in heads[0]


@pytest.mark.parametrize("size", [100, 300_000, 4_000_000])
async def test_upload_arrives(pool, size):
    """Every size arrives as it was, however slowly it is taken."""
    body = Body(parts=(b"a", bytes(range(256)) * (size // 256), b"z"), content_type="a/b")
    got = []

    async def talk(call: Call) -> None:
        while True:
            got.append((await call.request())[1])
            await call.say(OK)

    async with talking(talk) as server:
        for _ in range(2):
            await ask(pool, server.url, body=body)

    assert [b"".join(body.parts)] * 2 == got
    assert 1 == len(server.calls)


async def test_good_answer_before_the_upload_ends(pool):
    """A server that answers while it still reads is given the rest."""
    got = []

    async def talk(call: Call) -> None:
        await call.head()
        await call.say(CHUNKED)
        got.append(await call.reader.readexactly(BIG.size))
        await call.say(b"1\r\na\r\n0\r\n\r\n")
        await call.ended()

    async with talking(talk) as server:
        answer = await ask(pool, server.url, body=BIG)

    assert (b"a", [BIG.size]) == (answer.body, [len(one) for one in got])


async def test_refusal_before_the_upload_ends(pool):
    """A refusal is given back at once, and the rest is never sent."""
    received = []

    async def talk(call: Call) -> None:
        await call.head()
        await call.say(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
        while piece := await call.reader.read(65536):
            received.append(len(piece))

    async with talking(talk) as server:
        answer = await ask(pool, server.url, body=BIG)
        await server.until(lambda: server.open == 0)

    assert 413 == answer.status
    assert sum(received) < BIG.size


async def test_upload_to_one_who_leaves(pool):
    """An upload that breaks is an error at once."""

    async def talk(call: Call) -> None:
        await call.head()
        call.writer.transport.abort()

    async with talking(talk) as server:
        with pytest.raises(ProviderUnavailableError):
            await ask(pool, server.url, body=BIG)


async def test_upload_that_nobody_takes(pool):
    """Its time ends while it is still going out."""

    async def talk(call: Call) -> None:
        await call.head()  # and read no more than fits into a buffer
        await asyncio.Event().wait()

    async with talking(talk) as server:
        with pytest.raises(ProviderTimeoutError):
            await ask(pool, server.url, body=BIG, within=0.2)


async def test_slow_reader_holds_the_sender(pool):
    """A reader that takes its time lets the sender wait instead of filling our memory."""
    piece = bytes(1 << 16)
    sent: list[int] = []
    total = 50 << 20

    async def talk(call: Call) -> None:
        await call.request()
        await call.say(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        while sum(sent) < total:
            await call.say(piece)
            sent.append(len(piece))
        await call.ended()

    big = Pool(PoolLimits(max_answer_bytes=1 << 30))
    await big.open()
    async with (
        talking(talk) as server,
        big.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=20
        ) as answer,
    ):
        await settled(sent)
        held = sum(sent)
        largest, read = 0, 0
        while chunk := await answer.next():
            largest, read = max(largest, len(chunk)), read + len(chunk)
    await big.close()

    assert (total, True) == (read, held < total)
    assert largest <= 2 * HIGH_WATER


async def test_reader_that_leaves_a_full_stream(pool):
    """It may leave while the sender waits, and what came whole leaves the connection usable."""
    text = bytes(3 * HIGH_WATER)
    said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text

    async def talk(call: Call) -> None:
        while True:
            await call.request()
            await call.say(said)

    async with talking(talk) as server:
        async with pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer:
            assert 200 == answer.status
            await asyncio.sleep(0.1)  # the sender gets no further: nothing to wait for
        answered = await ask(pool, server.url)

    assert text == answered.body


async def settled(sent: list[int]) -> None:
    """Wait until the sender gets no further."""
    before = -1
    while before != len(sent):
        before = len(sent)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", ["length", "gzip"])
async def test_end_stays_the_end(pool, name):
    """Whoever reads on at the end is told again that it is the end."""
    said, body, _ = GOOD[name]
    async with (
        talking(saying(said)) as server,
        pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer,
    ):
        whole = await answer.read()
        ends = [await answer.next() for _ in range(2)]

    assert (body, [b"", b""]) == (whole, ends)


async def test_next_takes_what_is_there_without_a_stop(pool):
    """What has arrived is returned in the same step of the loop."""
    async with (
        talking(saying(CHUNKED + b"1\r\na\r\n")) as server,
        pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer,
    ):
        step = answer.next()
        with pytest.raises(StopIteration) as done:
            step.send(None)

        assert b"a" == done.value.value


async def test_chunks_come_at_once(pool):
    """Each is handed over before the next one is sent."""
    go = asyncio.Event()

    async def talk(call: Call) -> None:
        await call.request()
        await call.say(CHUNKED)
        for _ in range(3):
            await call.say(b"1\r\na\r\n")
            await go.wait()
            go.clear()
        await call.say(b"0\r\n\r\n")

    async with (
        talking(talk) as server,
        pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer,
    ):
        got = []
        while chunk := await answer.next():
            got.append(chunk)
            go.set()

    assert [b"a"] * 3 == got


async def test_leaving_closes(pool):
    """Whoever leaves the block closes the connection; a late read is an error, not another's."""
    async with talking(saying(CHUNKED + b"1\r\na\r\n")) as server:
        async with pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer:
            assert b"a" == await answer.next()
        await server.until(lambda: server.open == 0)
        answer.close()

        with pytest.raises(ProviderAnswerError, match="cut"):
            await answer.next()


async def test_time_is_up_while_reading(pool):
    """The time of a call counts to the end of its answer."""
    async with talking(saying(CHUNKED + b"1\r\na\r\n")) as server:
        with pytest.raises(ProviderTimeoutError):
            await ask(pool, server.url, within=0.1)
        await server.until(lambda: server.open == 0)


async def test_each_call_has_its_own_time(pool):
    """A call that ends later than another is not ended with it, and ends."""
    async with talking(saying()) as server:
        began = asyncio.get_running_loop().time()
        both = (ask(pool, server.url, within=within) for within in (0.3, 0.1))
        ends = await asyncio.gather(*(_ended(one, began) for one in both))

    assert ends[0] >= 0.29
    assert 0.09 <= ends[1] < 0.29


async def _ended(call, began: float) -> float:
    with pytest.raises(ProviderTimeoutError):
        await call
    return asyncio.get_running_loop().time() - began


async def test_bytes_on_an_idle_connection(pool):
    """What nobody asked for ends the connection, and is no answer to the next request."""

    answered = asyncio.Event()

    async def talk(call: Call) -> None:
        await call.request()
        await call.say(OK)
        if call.number == 0:
            await answered.wait()
            await call.say(b"HTTP/1.1 500 LEAK\r\ncontent-length: 0\r\n\r\n")
        await call.ended()

    async with talking(talk) as server:
        await ask(pool, server.url)
        answered.set()
        await server.until(lambda: server.open == 0)
        answer = await ask(pool, server.url)

    assert (200, 2) == (answer.status, len(server.calls))


async def test_last_used_is_used_next():
    """So that the others grow old; and what is old is closed."""
    pool = Pool(PoolLimits(max_idle=0.3))
    await pool.open()
    gate = asyncio.Barrier(3)
    served = []

    async def talk(call: Call) -> None:
        while True:
            head, _ = await call.request()
            if b"/first" in head:
                await gate.wait()
            served.append(call.number)
            await call.say(OK)

    async with talking(talk) as server:
        firsts = [asyncio.create_task(get(pool, f"{server.url}/first")) for _ in range(2)]
        await gate.wait()
        await asyncio.gather(*firsts)
        for _ in range(3):
            await get(pool, f"{server.url}/next")
        await server.until(lambda: server.open == 0)
    await pool.close()

    assert 1 == len(set(served[2:]))


async def get(pool: Pool, url: str) -> int:
    return (await pool.relay.request("GET", url, headers={}, target=TARGET, within=5)).status


async def test_waiters_are_served_in_order():
    """Who waits longest for a connection gets it first; one who leaves is passed over."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    paths = []

    async def talk(call: Call) -> None:
        while True:
            head, _ = await call.request()
            paths.append(head.split()[1].decode())
            came.set()
            await go.wait()
            await call.say(OK)

    came, go = asyncio.Event(), asyncio.Event()
    async with talking(talk) as server:
        tasks = [asyncio.create_task(get(pool, f"{server.url}/{at}")) for at in range(4)]
        await came.wait()
        tasks[2].cancel()
        go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    await pool.close()

    assert (["/0", "/1", "/3"], 1) == (paths, len(server.calls))
    assert isinstance(found[2], asyncio.CancelledError)


async def test_a_place_goes_from_host_to_host():
    """An idle connection to another host makes room, and a waiter for another host gets one."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    async with talking(saying(*[OK] * 9)) as one, talking(saying(*[OK] * 9)) as other:
        for server in (one, other, one):
            await ask(pool, server.url)
        await asyncio.gather(*(ask(pool, server.url) for server in (one, other, one, other)))
        await one.until(lambda: one.open + other.open <= 1)
    await pool.close()

    assert len(one.calls) >= 2
    assert len(other.calls) >= 2


@pytest.mark.parametrize("is_same", [True, False])
async def test_place_granted_to_one_who_leaves(is_same):
    """A place given to a request in the very step in which that is cancelled is not lost."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    async with talking(saying(*[OK] * 9)) as one, talking(saying(*[OK] * 9)) as other:
        async with pool.relay.stream(
            one.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer:
            await answer.read()
            waiting = asyncio.create_task(ask(pool, (one if is_same else other).url))
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert 200 == (await ask(pool, one.url, within=2)).status
    await pool.close()


async def test_dropped_connection_makes_room():
    """Who waits opens a connection in the place of one that was dropped."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    async with talking(saying(OK[:-1])) as one, talking(saying(OK)) as other:
        first = asyncio.create_task(ask(pool, one.url))
        await one.until(lambda: one.open == 1)
        second = asyncio.create_task(ask(pool, other.url))
        await asyncio.sleep(0)
        first.cancel()
        answer = await second
    await pool.close()

    assert 200 == answer.status


async def test_place_of_one_who_has_just_left():
    """A request that is cancelled in the step before its turn is passed over."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    async with talking(saying(*[OK] * 9)) as server:
        async with pool.relay.stream(
            server.url, headers={}, body=json_body({}), target=TARGET, within=5
        ) as answer:
            await answer.read()
            tasks = [asyncio.create_task(ask(pool, server.url)) for _ in range(2)]
            await asyncio.sleep(0)
            tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    await pool.close()

    assert [asyncio.CancelledError, RelayAnswer] == [type(one) for one in found]


async def test_failed_connect_frees_its_place(upstream):
    """A host that cannot be reached takes no place for ever."""
    pool = Pool(PoolLimits(max_connections=1, connect_timeout=1))
    await pool.open()
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError, match="refused"):
            await ask(pool, "http://127.0.0.1:1")
    answer = await ask(pool, upstream.base_url)
    await pool.close()

    assert 200 == answer.status


async def test_closing_the_pool_ends_waiting():
    """Requests that wait for a place, or open a connection, end with the pool."""
    pool = Pool(PoolLimits(max_connections=1))
    await pool.open()
    async with talking(saying()) as server:
        tasks = [asyncio.create_task(ask(pool, server.url)) for _ in range(3)]
        await server.until(lambda: len(server.calls) == 1)
        await pool.close()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await server.until(lambda: server.open == 0)

    assert [ProviderUnavailableError] * 3 == [type(one) for one in found]


async def test_closing_the_pool_ends_connecting():
    """A connection that opens while the pool closes is not left open."""
    pool = Pool()
    await pool.open()
    async with talking(saying()) as server:
        task = asyncio.create_task(ask(pool, server.url))
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(ProviderUnavailableError):
            await task
        await server.until(lambda: server.open == 0)


async def test_tls(pool, tmp_path, monkeypatch):
    """A server whose authority is trusted is, in HTTP/1.1 and with its connection kept."""
    authority = Authority.founded(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    protocols = []

    async def talk(call: Call) -> None:
        secure = call.writer.get_extra_info("ssl_object")
        protocols.append(secure.selected_alpn_protocol())
        while True:
            _, body = await call.request()
            await call.say(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n%7d" % len(body))

    async with talking(talk, tls=authority.server) as server:
        answers = [await ask(pool, server.url, body=body) for body in (json_body({}), BIG)]

    assert [b"      2", b"4000200"] == [answer.body for answer in answers]
    assert ["http/1.1"] == protocols


@pytest.mark.parametrize(("trusted", "address"), [(False, "127.0.0.1"), (True, "127.0.0.2")])
async def test_tls_that_cannot_be_trusted(pool, tmp_path, monkeypatch, trusted, address):
    """An unknown authority, or a certificate of another host, is refused before a request."""
    authority = Authority.founded(tmp_path, address=address)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with talking(saying(OK), tls=authority.server) as server:
        with pytest.raises(ProviderUnavailableError, match="TLS") as caught:
            await ask(pool, server.url)

        assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_connecting_has_its_time():
    """A peer that accepts and shakes no hands is left in time."""
    pool = Pool(PoolLimits(connect_timeout=0.2))
    await pool.open()
    async with talking(Call.ended) as server:
        with pytest.raises(ProviderTimeoutError):
            await ask(pool, server.url.replace("http", "https"))
        await server.until(lambda: server.open == 0)
    await pool.close()


@pytest.mark.parametrize("said", [OK, OK[:-1], b"garbage\r\n\r\n", b""])
async def test_nothing_is_left(pool, said):
    """Without the collector, what was sent is gone when the call is over, however it ended."""
    body = json_body({"a": "b"})
    left = weakref.ref(body)
    gc.disable()
    try:
        async with talking(saying(said, stay=False)) as server:
            await _let(ask(pool, server.url, body=body))
            del body

            assert left() is None
    finally:
        gc.enable()


async def _let(call) -> None:
    try:
        await call
    except (ProviderAnswerError, ProviderUnavailableError):
        return


ON_BOTH_LOOPS: dict[str, Callable[[Pool], Coroutine[object, object, None]]] = {
    **{f"good {name}": partial(test_answers, name=name) for name in GOOD},
    **{f"bad {name}": partial(test_bad_answers, name=name) for name in BAD},
    **{f"upload {size}": partial(test_upload_arrives, size=size) for size in (100, 4_000_000)},
    "early": test_good_answer_before_the_upload_ends,
    "refusal": test_refusal_before_the_upload_ends,
    "broken upload": test_upload_to_one_who_leaves,
    "stuck upload": test_upload_that_nobody_takes,
    "slow": test_slow_reader_holds_the_sender,
    "at once": test_chunks_come_at_once,
    "leaving": test_leaving_closes,
    "time": test_time_is_up_while_reading,
    "idle": test_bytes_on_an_idle_connection,
}


@pytest.mark.parametrize("name", ON_BOTH_LOOPS)
def test_on_uvloop(name):
    """The same on the loop that the server runs on, whose transports are another kind."""

    async def run() -> None:
        pool = Pool(PoolLimits(connect_timeout=2.0, max_answer_bytes=1 << 20))
        await pool.open()
        await ON_BOTH_LOOPS[name](pool)
        await pool.close()

    uvloop.run(run())


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_on_uvloop(tmp_path, monkeypatch, trusted):
    """The same over TLS."""

    async def run() -> None:
        pool = Pool()
        await pool.open()
        if trusted:
            await test_tls(pool, tmp_path, monkeypatch)
        else:
            await test_tls_that_cannot_be_trusted(pool, tmp_path, monkeypatch, False, "127.0.0.1")
        await pool.close()

    uvloop.run(run())


async def test_answer_to_nobody(pool):
    """What came unasked and lies unread is not taken for the answer to the next request."""
    async with talking(saying(OK, OK)) as server:
        await ask(pool, server.url)
        server.calls[0].writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        answer = await ask(pool, server.url)

    assert (b"{}", 2) == (answer.body, len(server.calls))


@pytest.mark.parametrize("turns", range(4))
async def test_many_kept_connections_that_end_at_once(pool, turns):
    """A server that was restarted is asked over a new one, however many old ones there were."""
    together = asyncio.Barrier(6)

    async def talk(call: Call) -> None:
        await call.request()
        if call.number < 6:
            await together.wait()
        await call.say(OK)
        await call.ended()

    async with talking(talk) as server:
        await asyncio.gather(*(ask(pool, server.url) for _ in range(6)))
        for call in server.calls:
            call.writer.write_eof()
        for _ in range(turns):
            await asyncio.sleep(0)
        answer = await ask(pool, server.url)

    assert (b"{}", 7) == (answer.body, len(server.calls))
