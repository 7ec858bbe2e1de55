"""A pool of three servers over HTTP: who is asked, who is left out, and what is told."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from junctor.conf.settings import Breaker, Model
from junctor.plugins.remote import openai
from tests.fakes.chat_client import HI, ChatClient, chatting, document
from tests.fakes.chat_settings import NAMES, chat_settings
from tests.fakes.chat_upstream import GREETING, HEL, Act, Call, ChatUpstream, honest
from tests.fakes.server import serving
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def conversation(number: int, turns: int = 1) -> list[dict[str, str]]:
    """Return a conversation that is like no other from its first message on."""
    first = {"role": "user", "content": f"conversation {number}"}
    later = [
        {"role": role, "content": f"{role} {turn}"}
        for turn in range(turns - 1)
        for role in ("assistant", "user")
    ]
    return [first, *later]


def by_name(upstreams: list[ChatUpstream]) -> dict[str, int]:
    return {name: len(one.calls) for name, one in zip(NAMES, upstreams, strict=True)}


async def test_the_least_busy_is_asked(client: ChatClient, upstreams: list[ChatUpstream]) -> None:
    """Streams under way at the same time are spread evenly, whatever they begin with."""
    go = asyncio.Event()

    async def waiting(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await go.wait()
        await call.end()

    for one in upstreams:
        one.then = waiting
    asked = [
        asyncio.create_task(client.ask(model="pool", stream=True, messages=conversation(number)))
        for number in range(12)
    ]
    await until(lambda: sum(one.under_way for one in upstreams) == 12)
    most = [one.under_way for one in upstreams]
    go.set()
    await asyncio.gather(*asked)

    assert max(most) <= 6
    assert min(most) >= 3


async def test_a_conversation_returns(client: ChatClient, upstreams: list[ChatUpstream]) -> None:
    """All its turns go to the member that holds its beginning, and the members share them."""
    homes: Counter[str] = Counter()
    for number in range(12):
        asked = [
            await client.ask(model="pool", messages=conversation(number, turns))
            for turns in (1, 2, 3)
        ]
        providers = {one.headers["x-junctor-provider"] for one in asked}
        assert len(providers) == 1
        homes[providers.pop()] += 1

    assert set(homes) == set(NAMES)
    assert by_name(upstreams) == {name: 3 * count for name, count in homes.items()}


async def test_a_system_prompt_does_not_send_all_to_one(client: ChatClient) -> None:
    """It is the first words of the user that tell conversations apart."""
    system = {"role": "system", "content": "You are helpful. " * 100}
    asked = [
        await client.ask(model="pool", messages=[system, *conversation(number)])
        for number in range(12)
    ]

    assert {one.headers["x-junctor-provider"] for one in asked} == set(NAMES)


async def test_a_member_that_is_full_is_passed_by(
    tmp_path: Path, upstreams: list[ChatUpstream]
) -> None:
    """Affinity is no queue: another member answers."""
    settings = chat_settings(tmp_path, upstreams, breaker=Breaker(concurrency=1))
    async with serving(settings, openai=openai) as server, chatting(server) as client:
        home = (await client.ask(model="pool", messages=HI)).headers["x-junctor-provider"]
        upstream = upstreams[NAMES.index(home)]
        upstream.calls.clear()
        held = asyncio.Event()
        upstream.script.append(_held(held))
        first = asyncio.create_task(client.ask(model="pool", messages=HI))
        await until(lambda: upstream.calls)
        other = await client.ask(model="pool", messages=HI)
        held.set()
        answered = await first

    assert (answered.status, other.status) == (200, 200)
    assert answered.headers["x-junctor-provider"] == home
    assert other.headers["x-junctor-provider"] != home


def _held(go: asyncio.Event) -> Act:
    async def act(call: Call) -> None:
        await go.wait()
        await honest(call)

    return act


async def test_a_member_dies(tmp_path: Path) -> None:
    """Its stream is told so, every other request is answered, and soon it is asked no more."""
    async with ChatUpstream() as one, ChatUpstream() as two, ChatUpstream() as three:
        upstreams = [one, two, three]
        settings = chat_settings(tmp_path, upstreams, breaker=Breaker(failures=2, open_for=60))
        async with serving(settings, openai=openai) as server, chatting(server) as client:
            home = (await client.ask(model="pool")).headers["x-junctor-provider"]
            victim = upstreams[NAMES.index(home)]
            body = await _broken(client, victim)
            asked = [
                await client.ask(
                    model="pool", stream=number % 2 == 0, messages=conversation(number)
                )
                for number in range(20)
            ]
            charged = await client.entries()

    plans = [one.headers["x-junctor-plan"] for one in asked]
    assert b'data: {"error":' in body
    assert b"[DONE]" not in body
    assert [one.status for one in asked] == [200] * 20
    assert home not in {one.headers["x-junctor-provider"] for one in asked}
    assert not any(home in plan for plan in plans[-5:])
    assert [one.outcome for one in charged] == ["ok"]


async def _broken(client: ChatClient, victim: ChatUpstream) -> bytes:
    """Have a stream of a server that dies in its middle."""

    async def act(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await call.left.wait()

    victim.script.append(act)
    async with client.stream(model="pool") as answer:
        body = await answer.content.readany()
        await victim.die()
        return body + await answer.read()


async def test_the_whole_pool_is_gone(tmp_path: Path, upstreams: list[ChatUpstream]) -> None:
    """Then the chain behind it answers."""
    async with ChatUpstream() as gone, ChatUpstream() as too:
        pass
    models = {"pool": Model(pool=("one:own", "two:own"), chain=("three:own",))}
    settings = chat_settings(tmp_path, [gone, too, upstreams[2]], models=models)
    async with serving(settings, openai=openai) as server, chatting(server) as client:
        reply = await client.ask(model="pool")
        sent = await client.send(document(model="pool", stream=True))

    assert (reply.status, sent.status) == (200, 200)
    assert reply.headers["x-junctor-provider"] == sent.headers["x-junctor-provider"] == "three"
    assert reply.headers["x-junctor-attempts"] == "3"
