"""What is done on the way of a recording: no part that can be done without uses up its time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from junctor.conf.settings import Limits, Policy, TierPolicy
from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import ProviderRateLimitedError
from junctor.core.requests import ReviseRequest
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, Step, fake_card
from junctor.core.transcripts import Transcript
from tests.fakes.server import server_settings, serving

CLIP = silent_clip(1.0)
QUICK = Policy(max_attempt=0.2, backoff=0.01)
MUCH = 20.0
"""Seconds that a request may take, and that none here does."""


class Reviser(FakeTranscriber):
    """Reasons over transcripts as it is told; has no ears."""

    async def revise(self, request: ReviseRequest, /) -> Transcript:
        if isinstance(self.then, Fail):
            raise self.then.error.with_traceback(None)
        if isinstance(self.then, Hang):
            await asyncio.Event().wait()
        return evolve(request.transcript, text=f"{request.transcript.text}!")


def card(provider: str, *capabilities: Capability) -> ModelCard:
    return fake_card(provider=provider, capabilities=capabilities)


def ear(name: str, then: Step) -> FakeTranscriber:
    return FakeTranscriber(name, cards=[card(name, Capability.TRANSCRIBE)], then=then)


def reviser(then: Step) -> Reviser:
    return Reviser("anthropic", cards=[card("anthropic", Capability.REVISE_TRANSCRIPT)], then=then)


def limited(name: str) -> Fail:
    return Fail(ProviderRateLimitedError("Later.", provider=name, retry_after=MUCH - 1))


@asynccontextmanager
async def house(
    folder: Path, *providers: FakeTranscriber, policy: Policy = QUICK
) -> AsyncIterator[httpx.AsyncClient]:
    settings = server_settings(folder, policy=policy, limits=Limits(request_timeout=MUCH))
    async with (
        serving(settings, *providers) as served,
        httpx.AsyncClient(
            base_url=served.url, headers=served.authorization, timeout=MUCH
        ) as client,
    ):
        yield client


async def heard(client: httpx.AsyncClient, **fields: str) -> tuple[int, str]:
    """Send a recording; TimeoutError when its answer takes much of the time that there is."""
    async with asyncio.timeout(MUCH / 2):
        answer = await client.post(
            "/speech-to-text/transcribe", files={"audio": ("a.wav", CLIP.data)}, data=fields
        )
    return answer.status_code, answer.json().get("text", "")


@pytest.mark.parametrize(
    ("then", "said"), [(Say(), "hello!"), (Hang(), "hello"), (limited("anthropic"), "hello")]
)
async def test_a_reviser_that_fails_leaves_what_was_heard(
    tmp_path: Path, then: Step, said: str
) -> None:
    """Neither its silence nor its wish to be asked later holds the answer back."""
    async with house(tmp_path, reviser(then), ear("azure", Say("hello"))) as client:
        answer = await heard(client, provider="anthropic")

    assert answer == (200, said)


async def test_a_silent_identifier_leaves_the_request_its_time(tmp_path: Path) -> None:
    """The model is then taken at its word."""
    mute = FakeTranscriber("xai", cards=[card("xai", Capability.IDENTIFY_LANGUAGE)], then=Hang())
    plain = evolve(card("azure", Capability.TRANSCRIBE), features=frozenset())
    azure = FakeTranscriber("azure", cards=[plain], then=Say("hello"))
    async with house(tmp_path, mute, azure) as client:
        answer = await heard(client, provider="azure", language_mode="auto")

    assert answer == (200, "hello")


async def test_most_of_an_ensemble_in_silence_leaves_the_others_word(tmp_path: Path) -> None:
    """Fewer than half have answered, so that the others are waited for, but not for ever."""
    policy = Policy(max_attempt=0.2, tiers={"high": TierPolicy(ensemble=("openai", "xai"))})
    silent = [ear(name, Hang()) for name in ("openai", "xai")]
    async with house(tmp_path, ear("azure", Say("hello")), *silent, policy=policy) as client:
        answer = await heard(client, provider="azure", accuracy="high")

    assert answer == (200, "hello")


async def test_a_hedge_does_not_wait_for_a_late_first_choice(tmp_path: Path) -> None:
    """A first choice that wants to be asked later has failed, and the second is asked at once."""
    policy = Policy(tiers={"low": TierPolicy(hedge=True, fallback_chain=("azure",))})
    slow = evolve(card("xai", Capability.TRANSCRIBE), latency=MUCH)
    first = FakeTranscriber("xai", cards=[slow], then=limited("xai"))
    async with house(tmp_path, first, ear("azure", Say("hello")), policy=policy) as client:
        answer = await heard(client, provider="xai", accuracy="low")

    assert answer == (200, "hello")
