"""Chat servers that fall silent: left for the next one before the first token, told of after it."""

import pytest

from tests.fakes.chat_client import ChatClient
from tests.fakes.chat_settings import IMPATIENT
from tests.fakes.chat_upstream import (
    DONE,
    GREETING,
    HEL,
    LO,
    USED,
    WORDS,
    Act,
    ChatUpstream,
    silent,
    streams,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
POLICY = IMPATIENT
BEFORE: dict[str, Act] = {
    "at once": silent,
    "behind the head": streams(then="hang"),
    "behind a greeting": streams(GREETING, then="hang"),
    "in the first event": streams(GREETING, HEL[:30], then="hang"),
}
AFTER: dict[str, Act] = {
    "behind an event": streams(GREETING, HEL, then="hang"),
    "in an event": streams(GREETING, HEL, LO[:30], then="hang"),
}


@pytest.mark.parametrize("act", BEFORE.values(), ids=BEFORE)
async def test_a_stall_before_the_first_token(
    client: ChatClient, upstream: ChatUpstream, act: Act
) -> None:
    """The next candidate answers, and the silent one is left."""
    upstream.script.append(act)
    reply = await client.ask(stream=True)
    await upstream.calls[0].left.wait()

    assert (reply.text, reply.headers["x-junctor-provider"]) == ("Hello", "two")
    assert reply.body.endswith(DONE)
    assert await client.charged() == [("ok", 7, 3)]


@pytest.mark.parametrize("act", AFTER.values(), ids=AFTER)
async def test_a_stall_after_the_first_token(
    anywhere: ChatClient, upstream: ChatUpstream, second: ChatUpstream, act: Act
) -> None:
    """What was said stands, the last event is an error, nobody else is asked, nothing charged."""
    upstream.script.append(act)
    reply = await anywhere.ask(stream=True)
    await upstream.calls[0].left.wait()

    assert (reply.text, reply.last_error["code"]) == ("Hel", "provider_timeout")
    assert not second.calls
    assert await anywhere.charged() == [("ProviderTimeoutError", 0, 0)]


async def test_a_stall_behind_the_end(client: ChatClient, upstream: ChatUpstream) -> None:
    """A connection that stays open behind `[DONE]` takes nothing away, and nothing follows."""
    upstream.script.append(streams(*WORDS, USED, DONE, then="hang"))
    reply = await client.ask(stream=True)

    assert (reply.text, reply.body.endswith(DONE)) == ("Hello", True)
    assert await client.charged() == [("ok", 7, 3)]


async def test_a_whole_answer_that_does_not_come(
    client: ChatClient, upstream: ChatUpstream
) -> None:
    """The next candidate gives it."""
    upstream.script.append(silent)
    reply = await client.ask()

    assert (reply.status, reply.headers["x-junctor-provider"]) == (200, "two")
