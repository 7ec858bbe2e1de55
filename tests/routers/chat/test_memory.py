"""Nothing of a chat stays in memory when it is over, without waiting for the collector."""

import asyncio
import gc
from collections.abc import Callable, Iterator

import pytest

from junctor.core.chat.flow import Flow
from junctor.core.chat.serving import Conversing
from junctor.core.requests import ChatRequest
from junctor.core.tickets import Ticket
from tests.fakes.chat_client import ChatClient
from tests.fakes.chat_settings import IMPATIENT
from tests.fakes.chat_upstream import (
    DONE,
    GREETING,
    HEL,
    LO,
    STOP,
    Act,
    ChatUpstream,
    answers,
    silent,
    streams,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
POLICY = IMPATIENT
Left = Callable[[], list[str]]
KINDS = (Ticket, Flow, Conversing, ChatRequest)
ERROR = b'data: {"error":{"message":"no"}}\n\n'


def held() -> list[object]:
    return [one for one in gc.get_objects() if type(one) in KINDS]


@pytest.fixture(name="left")
def _left(client: ChatClient) -> Iterator[Left]:
    """Turn the collector off: what lies in a circle stays. Names what this test has left."""
    gc.collect()
    before = {id(one) for one in held()}
    gc.disable()
    yield lambda: [type(one).__name__ for one in held() if id(one) not in before]
    gc.enable()


async def gone(left: Left) -> None:
    """Wait until nothing is left; the last steps of a request come after its answer."""
    for _ in range(30):
        if not left():
            return
        await asyncio.sleep(0.02)
    assert left() == []


ENDS: dict[str, tuple[dict[str, object], int, tuple[Act, ...]]] = {
    "whole": ({}, 200, ()),
    "stream": ({"stream": True}, 200, ()),
    "usage": ({"stream": True, "stream_options": {"include_usage": True}}, 200, ()),
    "bad": ({"messages": []}, 400, ()),
    "unknown": ({"model": "none"}, 404, ()),
    "long": ({"model": "small", "max_tokens": 1000}, 400, ()),
    "fallback": ({"stream": True}, 200, (streams(GREETING, ERROR),)),
    "fallback of a stall": ({"stream": True}, 200, (silent,)),
    "fallback, whole": ({}, 200, (answers(b"<html>"),)),
    "failure": ({"model": "alone"}, 502, (answers(b"{}", status=500),)),
    "failure of a stream": ({"model": "alone", "stream": True}, 502, (streams(),)),
    "nobody": ({"model": "none:none"}, 404, ()),
}


@pytest.mark.parametrize(("fields", "status", "script"), ENDS.values(), ids=ENDS)
async def test_nothing_is_left(
    client: ChatClient,
    upstream: ChatUpstream,
    left: Left,
    fields: dict[str, object],
    status: int,
    script: tuple[Act, ...],
) -> None:
    """However it ends."""
    upstream.script.extend(script)
    assert (await client.ask(**fields)).status == status
    await gone(left)


@pytest.mark.parametrize("then", ["end", "cut", "hang"])
async def test_nothing_is_left_of_a_stream_that_broke(
    client: ChatClient, upstream: ChatUpstream, left: Left, then: str
) -> None:
    """The error is not kept, nor what it saw."""
    upstream.script.append(streams(GREETING, HEL, LO, then=then))
    assert b'{"error"' in (await client.ask(model="alone", stream=True)).body or then == "end"
    await gone(left)


async def test_nothing_is_left_of_clients_that_left(
    client: ChatClient, upstream: ChatUpstream, left: Left
) -> None:
    """Twenty of them, each in the middle of its stream."""
    upstream.then = streams(GREETING, HEL, LO, then="hang")
    for _ in range(20):
        async with client.stream(model="alone") as answer:
            await answer.content.readuntil(b"\n\n")
    await until(lambda: client.server.runtime.gateway.load.requests == 0)
    upstream.calls.clear()
    await gone(left)


async def test_nothing_is_left_of_a_server_that_lingers(
    client: ChatClient, upstream: ChatUpstream, left: Left
) -> None:
    """The caller has its end; what waits behind it goes a little later."""
    upstream.script.append(streams(GREETING, HEL, STOP, DONE, then="hang"))
    assert (await client.ask(model="alone", stream=True)).body.endswith(DONE)
    await gone(left)
