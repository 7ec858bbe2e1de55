"""How streams of chat end when somebody leaves: the client, the server, or the settings."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
from msgspec.structs import replace

from junctor.conf.settings import Limits, Policy, Server, Settings
from junctor.plugins.remote import openai
from tests.fakes.chat_client import ChatClient, Reply, chatting, document
from tests.fakes.chat_settings import chat_settings
from tests.fakes.chat_upstream import (
    DONE,
    GREETING,
    HEL,
    LO,
    STOP,
    USED,
    WORDS,
    Call,
    ChatUpstream,
    chunk,
    silent,
    streams,
    usage,
)
from tests.fakes.server import serving
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROMPT = 1.0
"""Seconds in which an upstream that nobody listens to any more is left."""
OFFERED = 460
"""Events of 65 KB that a server would like to send: more than any buffers take."""
BUFFERED = 16 * 1024 * 1024
"""Bytes that all buffers on the way may take, the kernel's of two connections most of them."""
STILL = 0.25
"""Seconds without a further byte after which nothing moves any more."""


async def test_a_client_that_leaves_a_stream(anywhere: ChatClient, upstream: ChatUpstream) -> None:
    """The upstream's request is closed within a second; the tokens so far are in one row."""
    upstream.script.append(streams(GREETING, HEL, LO, then="hang"))
    async with anywhere.stream(model="alone") as answer:
        while b"lo" not in await answer.content.readuntil(b"\n\n"):
            pass
    left = monotonic()
    await upstream.calls[0].left.wait()
    await until(lambda: anywhere.server.runtime.gateway.load.requests == 0)

    assert upstream.calls[0].left_at - left < PROMPT
    assert await anywhere.charged() == [("cancelled", 5, 2)]


async def test_a_client_that_leaves_after_an_early_word_of_usage(
    client: ChatClient, upstream: ChatUpstream
) -> None:
    """What the server said of the prompt counts; the answer is what has come of it."""
    early = chunk({"content": "Hel"}, usage=usage(50, 1))
    upstream.script.append(streams(GREETING, early, LO, then="hang"))
    async with client.stream(model="alone") as answer:
        while b"lo" not in await answer.content.readuntil(b"\n\n"):
            pass
    await upstream.calls[0].left.wait()
    await until(lambda: client.server.runtime.gateway.load.requests == 0)
    [(outcome, prompt, completion)] = await client.charged()

    assert (outcome, prompt, completion) == ("cancelled", 50, 2)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_a_client_that_leaves_before_the_first_token(
    anywhere: ChatClient, upstream: ChatUpstream, *, is_stream: bool
) -> None:
    """The upstream's request is closed, nobody else is asked, and nothing charged."""
    upstream.script.append(silent)
    asking = asyncio.create_task(anywhere.ask(model="alone", stream=is_stream))
    await until(lambda: upstream.calls)
    asking.cancel()
    left = monotonic()
    await upstream.calls[0].left.wait()
    await until(lambda: anywhere.server.runtime.gateway.load.requests == 0)

    assert upstream.calls[0].left_at - left < PROMPT
    assert await anywhere.charged() == [("cancelled", 0, 0)]


async def test_a_client_that_leaves_in_the_body(client: ChatClient) -> None:
    """Half a request is nobody's: one row, nothing charged."""
    host, port = client.server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{name}: {value}" for name, value in client.headers().items()]
    head = [f"POST {client.path} HTTP/1.1", "host: x", "content-length: 1000", *lines, "", ""]
    writer.write("\r\n".join(head).encode() + b'{"model"')
    gateway = client.server.runtime.gateway
    await until(lambda: gateway.load.requests)
    writer.close()
    await until(lambda: gateway.load.requests == 0)

    assert await client.charged() == [("cancelled", 0, 0)]


async def test_a_client_that_leaves_with_the_last_word(
    client: ChatClient, upstream: ChatUpstream
) -> None:
    """It was told all there is: one row, as if it had stayed."""
    upstream.script.append(streams(*WORDS, USED, DONE, then="hang"))
    async with client.stream(model="alone") as answer:
        while b"[DONE]" not in await answer.content.readuntil(b"\n\n"):
            pass
    await until(lambda: client.server.runtime.gateway.load.requests == 0)

    assert await client.charged() == [("ok", 7, 3)]


async def endless(call: Call) -> None:
    """Talk on and on in events of 65 KB."""
    event = chunk({"content": "x" * 65_000})
    await call.begin()
    for _ in range(OFFERED):
        await call.send(event)
    await call.send(STOP + USED + DONE)
    await call.end()


def slow_reader(client: ChatClient, model: str) -> socket.socket:
    """Send a request over a socket with a small buffer, which nobody reads."""
    host, port = client.server.url.removeprefix("http://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.connect((host, int(port)))
    body = document(stream=True, model=model)
    lines = [f"{name}: {value}" for name, value in client.headers().items()]
    lines = [f"POST {client.path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines]
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return sock


def is_still(upstream: ChatUpstream) -> Callable[[], bool]:
    """Return whether the upstream has been sending, and cannot send on."""
    return lambda: bool(upstream.calls) and 0 < upstream.calls[0].sent_at < monotonic() - STILL


async def test_a_client_that_reads_nothing(client: ChatClient, upstream: ChatUpstream) -> None:
    """The upstream is not read on; when the client goes, it goes too, and there is one row."""
    upstream.script.append(endless)
    sock = slow_reader(client, "alone")
    await until(is_still(upstream))
    sent = upstream.calls[0].sent
    sock.close()
    await upstream.calls[0].left.wait()
    await until(lambda: client.server.runtime.gateway.load.requests == 0)

    assert sent < BUFFERED < OFFERED * 65_000
    assert [row[0] for row in await client.charged()] == ["cancelled"]


async def test_a_client_that_reads_late(client: ChatClient, upstream: ChatUpstream) -> None:
    """A pause of the reader is no fault of the server: all of it comes in the end."""
    upstream.script.append(endless)
    sock = slow_reader(client, "alone")
    await until(is_still(upstream))
    reader, writer = await asyncio.open_connection(sock=sock)
    last = b""
    while not last.endswith(b"0\r\n\r\n"):
        data = await reader.read(1 << 20)
        assert data
        last = last[-100:] + data
    writer.close()

    assert DONE in last
    assert await client.charged() == [("ok", 7, 3)]


@pytest.fixture(name="own_settings")
def _own_settings(tmp_path: Path, upstreams: list[ChatUpstream]) -> Settings:
    return chat_settings(tmp_path, upstreams)


async def heard(answer: aiohttp.ClientResponse, text: bytes) -> bytes:
    """Read a stream until that has come."""
    data = b""
    while text not in data:
        piece = await answer.content.readany()
        assert piece, data
        data += piece
    return data


def reply(answer: aiohttp.ClientResponse, body: bytes) -> Reply:
    return Reply(status=answer.status, headers=answer.headers, body=body)


async def test_a_client_that_leaves_before_another_try(
    own_settings: Settings, upstream: ChatUpstream
) -> None:
    """What the first try said before it failed was told to nobody, and is not charged."""
    settings = replace(own_settings, policy=Policy(backoff=10, max_pause=60))
    failed = GREETING + HEL + b'data: {"error":{"code":503}}\n\n'
    upstream.script.append(streams(failed, then="hang"))
    async with serving(settings, openai=openai) as server, chatting(server) as client:
        asking = asyncio.create_task(client.ask(model="alone", stream=True))
        await until(lambda: upstream.calls)
        await upstream.calls[0].left.wait()
        asking.cancel()
        await until(lambda: server.runtime.gateway.load.requests == 0)
        charged = await client.charged()

    assert charged == [("cancelled", 0, 0)]


async def test_a_shutdown_while_a_stream_runs(
    own_settings: Settings, upstream: ChatUpstream
) -> None:
    """After the grace the last event says why it ends; the upstream is left."""
    settings = replace(own_settings, server=Server(port=0, shutdown_grace=0.1))
    upstream.script.append(streams(GREETING, HEL, then="hang"))
    http = aiohttp.ClientSession()
    async with serving(settings, openai=openai) as server:
        headers = server.authorization
        url = server.url + "/v1/chat/completions"
        body = document(stream=True, model="alone")
        answer = await http.post(url, data=body, headers=headers)
        data = await heard(answer, b"Hel")
    data += await answer.read()
    await http.close()

    error = reply(answer, data).last_error
    assert (error["code"], "shutting down" in str(error["message"])) == ("overloaded", True)
    assert upstream.calls[0].left.is_set()


async def test_a_stream_that_ends_within_the_grace(
    own_settings: Settings, upstream: ChatUpstream
) -> None:
    """A shutdown waits for it."""
    go = asyncio.Event()

    async def act(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await go.wait()
        await call.send(LO + STOP + USED + DONE)
        await call.end()

    settings = replace(own_settings, server=Server(port=0, shutdown_grace=10))
    upstream.script.append(act)
    http = aiohttp.ClientSession()
    async with serving(settings, openai=openai) as server:
        url = server.url + "/v1/chat/completions"
        body = document(stream=True, model="alone")
        answer = await http.post(url, data=body, headers=server.authorization)
        data = await heard(answer, b"Hel")
        asyncio.get_running_loop().call_later(0.05, go.set)
    data += await answer.read()
    await http.close()

    assert reply(answer, data).text == "Hello"
    assert data.endswith(DONE)


async def test_a_shutdown_before_a_client_that_reads_nothing(
    own_settings: Settings, upstream: ChatUpstream
) -> None:
    """It ends all the same."""
    settings = replace(own_settings, server=Server(port=0, shutdown_grace=0.1))
    upstream.script.append(endless)
    async with asyncio.timeout(10):
        async with serving(settings, openai=openai) as server, chatting(server) as client:
            sock = slow_reader(client, "alone")
            await until(is_still(upstream))
        await upstream.calls[0].left.wait()
    sock.close()

    assert upstream.calls[0].left.is_set()


async def test_a_reload_while_a_stream_runs(own_settings: Settings, upstream: ChatUpstream) -> None:
    """It goes on by the old settings, though its model and provider are gone for new requests."""
    go = asyncio.Event()

    async def act(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await go.wait()
        await call.send(LO + STOP + USED + DONE)
        await call.end()

    upstream.script.append(act)
    async with serving(own_settings, openai=openai) as server, chatting(server) as client:
        async with client.stream(model="alone") as answer:
            data = await heard(answer, b"Hel")
            streamed = client.last
            await server.runtime.reload(replace(own_settings, models={}, plugins={}))
            late = await client.ask(model="alone")
            go.set()
            data += await answer.read()
        rows = await client.entries(streamed)

    assert (reply(answer, data).text, data.endswith(DONE)) == ("Hello", True)
    assert late.status == 404
    assert [(row.outcome, row.completion_tokens) for row in rows] == [("ok", 3)]


async def test_a_stream_longer_than_the_deadline(
    own_settings: Settings, upstream: ChatUpstream
) -> None:
    """The last event says so, and nothing is charged."""
    settings = replace(own_settings, limits=Limits(request_timeout=0.5))

    async def talkative(call: Call) -> None:
        await call.begin()
        while not call.left.is_set():
            await call.send(HEL)
            await asyncio.sleep(0.01)

    upstream.script.append(talkative)
    async with serving(settings, openai=openai) as server, chatting(server) as client:
        found = await client.ask(model="alone", stream=True)
        rows = await client.charged()

    assert found.last_error["message"]
    assert found.text.startswith("HelHel")
    assert [row[1:] for row in rows] == [(0, 0)]
