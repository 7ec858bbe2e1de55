"""Who may chat, how much, and what is said when nobody can answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from junctor.conf.settings import Breaker, KeyLimits, Limits, Model, Team
from junctor.plugins.remote import openai
from tests.fakes.chat_client import PATHS, ChatClient, Reply, chatting, document
from tests.fakes.chat_settings import chat_settings
from tests.fakes.chat_upstream import (
    DONE,
    GREETING,
    HEL,
    ChatUpstream,
    answers,
    honest,
    silent,
    streams,
)
from tests.fakes.server import Served, serving
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SATURATED = (429, "requests", "saturated")
NOBODY = (503, "server_error", "no_provider")
QUOTA = (429, "insufficient_quota", "insufficient_quota")
FAILS = answers(b"{}", status=500)

Serve = Callable[..., AbstractAsyncContextManager[ChatClient]]


@pytest.fixture(name="serve")
def _serve(tmp_path: Path, upstreams: list[ChatUpstream]) -> Serve:
    """Serve with further settings."""

    @asynccontextmanager
    async def serve(**more: Any) -> AsyncIterator[ChatClient]:
        settings = chat_settings(tmp_path, upstreams, **more)
        async with serving(settings, openai=openai) as server, chatting(server) as client:
            yield client

    return serve


async def bare(client: ChatClient, **headers: str) -> Reply:
    """Ask with these headers and no others."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.http.post(client.path, data=document(), headers=given) as answer:
        return Reply(status=answer.status, headers=answer.headers, body=await answer.read())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer jn_abcdefgh_" + "x" * 40},
        {"authorization": "Bearer"},
        {"authorization": "Basic eDp5"},
        {"x_api_key": "nonsense"},
    ],
    ids=["none", "unknown", "empty", "basic", "nonsense"],
)
async def test_no_good_key(
    anywhere: ChatClient, upstream: ChatUpstream, headers: dict[str, str]
) -> None:
    """401 in the envelope, and nobody is asked."""
    reply = await bare(anywhere, **headers)

    assert reply.refused == (401, "invalid_request_error", "invalid_api_key")
    assert not upstream.calls


@pytest.mark.parametrize("name", ["authorization", "x_api_key"])
async def test_both_ways_of_a_key(anywhere: ChatClient, name: str) -> None:
    """As OpenAI's clients send it, and as Anthropic's do."""
    prefix = "Bearer " if name == "authorization" else ""
    reply = await bare(anywhere, **{name: prefix + anywhere.server.key})

    assert reply.status == 200


async def test_a_revoked_key(serve: Serve) -> None:
    """401 as soon as it is known."""
    async with serve() as client:
        accounts = client.server.runtime.gateway.accounts
        before = (await client.ask()).status
        await accounts.revoke(client.server.key.split("_")[1])
        after = (await client.ask()).status

    assert (before, after) == (200, 401)


async def test_a_model_that_the_team_may_not_use(serve: Serve) -> None:
    """403, and it is in no list."""
    async with serve(teams={"acme": Team(allowed_models=("small",))}) as client:
        reply = await client.ask()
        allowed = await client.ask(model="small")

    assert reply.refused == (403, "invalid_request_error", "permission_denied")
    assert allowed.status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_saturated(
    serve: Serve, upstream: ChatUpstream, path: str, *, is_stream: bool
) -> None:
    """429 and when to come again, as long as all who could answer are busy; then all is well."""
    async with serve(breaker=Breaker(concurrency=1)) as client:
        client.path = path
        upstream.script.append(streams(GREETING, HEL, then="hang"))
        async with client.stream(model="alone") as first:
            await first.content.readuntil(b"\n\n")
            reply = await client.ask(model="alone", stream=is_stream)
            charged = await client.charged()
        await until(lambda: client.server.runtime.gateway.load.requests == 0)
        again = await client.ask(model="alone", stream=is_stream)

    assert reply.refused == SATURATED
    assert int(reply.headers["retry-after"]) >= 1
    assert [row[1:] for row in charged] == [(0, 0)]
    assert again.status == 200


async def test_the_next_takes_over_from_one_that_is_busy(
    serve: Serve, upstream: ChatUpstream
) -> None:
    """Nobody waits in a queue while somebody else is free."""
    async with serve(breaker=Breaker(concurrency=1)) as client:
        upstream.script.append(silent)
        first = asyncio.create_task(client.ask())
        await until(lambda: upstream.calls)
        reply = await client.ask()
        first.cancel()

    assert (reply.status, reply.headers["x-junctor-provider"]) == (200, "two")


async def test_the_breaker_is_open(serve: Serve, upstream: ChatUpstream) -> None:
    """503, when to come again, and nobody is asked."""
    upstream.script += [FAILS, FAILS]
    async with serve(breaker=Breaker(failures=2, open_for=60)) as client:
        failed = [(await client.ask(model="alone")).status for _ in range(2)]
        reply = await client.ask(model="alone", stream=True)

    assert failed == [502, 502]
    assert reply.refused == NOBODY
    assert int(reply.headers["retry-after"]) >= 1
    assert len(upstream.calls) == 2


async def test_an_upstream_that_slows_us_down(serve: Serve, upstream: ChatUpstream) -> None:
    """429 at once, as long as it asked for; it is not asked before that time is over."""
    upstream.script.append(answers(b"{}", status=429, wait=40))
    async with serve(breaker=Breaker()) as client:
        replies = [await client.ask(model="alone") for _ in range(2)]

    assert [reply.refused for reply in replies] == [SATURATED, SATURATED]
    assert all(30 <= int(reply.headers["retry-after"]) <= 40 for reply in replies)
    assert len(upstream.calls) == 1


async def test_one_busy_and_one_broken(
    serve: Serve, upstream: ChatUpstream, second: ChatUpstream
) -> None:
    """Where somebody who works is busy it is saturation, whatever the others are."""
    async with serve(breaker=Breaker(failures=1, open_for=60, concurrency=1)) as client:
        second.script.append(FAILS)
        await client.ask(model="two:own")
        upstream.script.append(silent)
        first = asyncio.create_task(client.ask())
        await until(lambda: upstream.calls)
        reply = await client.ask()
        first.cancel()

    assert reply.refused == SATURATED


async def test_nobody_is_configured(serve: Serve) -> None:
    """503, and clients need not try again."""
    async with serve(models={"absent": Model(chain=("none:at-all",))}) as client:
        reply = await client.ask(model="absent")

    assert reply.refused == NOBODY
    assert reply.headers["x-should-retry"] == "false"


async def test_nobody_listens(serve: Serve, upstreams: list[ChatUpstream]) -> None:
    """502 when those who are asked are not there."""
    async with ChatUpstream() as gone:
        pass
    providers = {"gone": {"base_url": gone.base_url, "keyless": True, "models": {"own": CHATS}}}
    settings = {
        "plugins": {"openai": {"providers": providers}},
        "models": {"chat": Model(chain=("gone:own",))},
    }
    async with serve(**settings) as client:
        replies = [await client.ask(stream=is_stream) for is_stream in (False, True)]

    assert [one.status for one in replies] == [502, 502]


CHATS = {"capabilities": ["chat"]}


async def test_too_many_requests_of_a_team(serve: Serve, upstream: ChatUpstream) -> None:
    """429 by the minute and by what is under way, each with its code."""
    team = Team(requests_per_minute=2, concurrency=1)
    async with serve(teams={"acme": team}) as client:
        upstream.script.append(silent)
        first = asyncio.create_task(client.ask(model="alone"))
        await until(lambda: upstream.calls)
        at_once = await client.ask()
        first.cancel()
        in_all = await client.ask()

    assert at_once.refused == (429, "requests", "concurrency_limit_exceeded")
    assert in_all.refused == (429, "requests", "rate_limit_exceeded")


async def test_a_server_that_is_full(serve: Serve, upstream: ChatUpstream) -> None:
    """503 before anything is read."""
    async with serve(limits=Limits(max_concurrent_requests=1)) as client:
        upstream.script.append(silent)
        first = asyncio.create_task(client.ask(model="alone"))
        await until(lambda: upstream.calls)
        reply = await client.ask()
        first.cancel()

    assert reply.refused == (503, "server_error", "overloaded")


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_a_team_s_tokens_are_used_up(
    serve: Serve, upstream: ChatUpstream, *, is_stream: bool
) -> None:
    """10 are charged for each answer, 5 are held for the prompt: the third one does not fit."""
    async with serve(teams={"acme": Team(tokens_per_day=24)}) as client:
        replies = [await client.ask(stream=is_stream) for _ in range(3)]
        rows = await client.charged()

    assert [one.status for one in replies] == [200, 200, 429]
    assert replies[-1].refused == QUOTA
    assert replies[-1].headers["x-should-retry"] == "false"
    assert (len(upstream.calls), rows) == (2, [("InsufficientBalanceError", 0, 0)])


async def test_the_tokens_of_a_key(serve: Serve) -> None:
    """Each has its own; one may have others than the rest."""
    async with serve(teams={"acme": Team(key_tokens_per_day=14)}) as client:
        key = await client.server.runtime.gateway.accounts.create_key("acme")
        team = Team(key_tokens_per_day=14, keys={key.split("_")[1]: KeyLimits(tokens_per_day=24)})
        settings = replace(client.server.runtime.settings, teams={"acme": team})
        await client.server.runtime.reload(settings)
        first = [(await client.ask()).status for _ in range(2)]
        other = ChatClient(Served(client.server.url, key, client.server.app), client.http)
        second = [await other.ask() for _ in range(3)]

    assert first == [200, 429]
    assert [one.status for one in second] == [200, 200, 429]
    assert second[-1].refused == QUOTA


async def test_the_answer_that_is_asked_for_is_held(serve: Serve, upstream: ChatUpstream) -> None:
    """Who asks for more than is left is refused before anybody works for it."""
    async with serve(teams={"acme": Team(tokens_per_day=100)}) as client:
        reply = await client.ask(max_tokens=96)
        less = await client.ask(max_tokens=95)

    assert (reply.refused, less.status) == (QUOTA, 200)


async def test_each_of_several_answers_is_held(serve: Serve, upstream: ChatUpstream) -> None:
    """`max_tokens` bounds one of them; all are paid."""
    async with serve(teams={"acme": Team(tokens_per_day=100)}) as client:
        reply = await client.ask(max_tokens=40, n=3)
        fewer = await client.ask(max_tokens=40, n=2)

    assert (reply.refused, fewer.status) == (QUOTA, 200)
    assert len(upstream.calls) == 1


async def test_what_is_held_comes_back(serve: Serve, upstream: ChatUpstream) -> None:
    """Failed, left and refused requests use up nothing of the day."""
    async with serve(teams={"acme": Team(tokens_per_day=100)}) as client:
        upstream.script += [FAILS, silent]
        await client.ask(model="alone", max_tokens=90)
        left = asyncio.create_task(client.ask(model="alone", max_tokens=90))
        await until(lambda: len(upstream.calls) == 2)
        held = await client.ask(max_tokens=90)
        left.cancel()
        await until(lambda: client.server.runtime.gateway.load.requests == 0)
        await client.ask(model="unknown", max_tokens=90)
        reply = await client.ask(max_tokens=90)

    assert (held.refused, reply.status) == (QUOTA, 200)


async def test_a_stream_that_was_left_counts(serve: Serve, upstream: ChatUpstream) -> None:
    """What had come of it is used up."""
    async with serve(teams={"acme": Team(tokens_per_day=11)}) as client:
        upstream.script.append(streams(GREETING, HEL, then="hang"))
        async with client.stream(model="alone", max_tokens=1) as answer:
            while b"Hel" not in await answer.content.readuntil(b"\n\n"):
                pass
        await until(lambda: client.server.runtime.gateway.load.requests == 0)
        charged = await client.charged()
        reply = await client.ask(max_tokens=1)

    assert charged == [("cancelled", 5, 1)]
    assert reply.refused == QUOTA


async def test_no_key_is_told_of_a_server(client: ChatClient, upstream: ChatUpstream) -> None:
    """Neither its own words nor ours of it reach the caller, whatever its status."""
    for status in (400, 401, 402, 403, 404, 413, 418, 422, 429, 500, 503, 529):
        upstream.script.append(
            answers(b'{"error":{"message":"LEAK sk-of-junctor"}}', status=status)
        )
        reply = await client.ask(model="alone")
        assert reply.error["message"]
        assert b"LEAK" not in reply.body
        assert b"sk-of" not in reply.body
        upstream.script.clear()

    assert DONE in (await client.ask(stream=True)).body
    assert upstream.then is honest
