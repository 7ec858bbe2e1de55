"""The openai Python SDK, unmodified, against a real server on loopback."""

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from junctor.conf.settings import Team
from junctor.core.errors import ProviderUnavailableError
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Say
from tests.fakes.server import Served, server_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
AUDIO = ("a.wav", silent_clip(2.0).data)


@pytest_asyncio.fixture(name="sdk", loop_scope="module")
async def _sdk(server: Served) -> AsyncIterator[AsyncOpenAI]:
    async with sdk_for(server) as sdk:
        yield sdk


def sdk_for(server: Served, key: str | None = None) -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key=server.key if key is None else key, base_url=f"{server.url}/v1", max_retries=0
    )


async def test_formats(sdk):
    """All five formats come back as what the SDK makes of them."""
    answers = {}
    for response_format in ("json", "text", "verbose_json", "srt", "vtt"):
        answers[response_format] = await sdk.audio.transcriptions.create(
            file=AUDIO, model="fake:one", response_format=response_format
        )

    assert "good morning all" == answers["json"].text
    assert "good morning all\n" == answers["text"]
    assert ("thai", 2.0) == (answers["verbose_json"].language, answers["verbose_json"].duration)
    assert answers["srt"].startswith("1\n00:00:00,000 --> 00:00:02,000\n")
    assert answers["vtt"].startswith("WEBVTT\n\n00:00:00.000 --> ")


async def test_granularities_language_and_prompt_reach_the_provider(sdk, fake):
    """What the SDK sends in its own spelling arrives as what it means."""
    answer = await sdk.audio.transcriptions.create(
        file=AUDIO,
        model="fake:one",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="th",
        prompt="names",
        temperature=0.3,
        include=["logprobs"],
        chunking_strategy="auto",
    )
    asked = fake.requests[0]

    assert ["good", "morning", "all"] == [word.word for word in answer.words]
    assert ("th", "names", 0.3, "one") == (
        asked.language,
        asked.prompt,
        asked.temperature,
        asked.model,
    )


async def test_stream(sdk):
    """Deltas add up to the whole text, which comes last."""
    stream = await sdk.audio.transcriptions.create(file=AUDIO, model="fake:one", stream=True)
    events = [event async for event in stream]

    assert "good morning all" == events[-1].text
    assert "good morning all" == "".join(event.delta for event in events[:-1])


async def test_stream_that_breaks(sdk, fake):
    """An error after the first words is raised by the SDK, never taken for the end."""
    fake.script.append(Fail(ProviderUnavailableError("x", provider="fake"), items=2))
    stream = await sdk.audio.transcriptions.create(file=AUDIO, model="fake:one", stream=True)
    with pytest.raises(openai.APIError, match="provider failed"):
        _ = [event async for event in stream]


async def test_translation(sdk):
    """A translation is English."""
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = await sdk.audio.translations.create(
            file=AUDIO, model="fake:one", response_format="verbose_json"
        )

    assert ("good morning all", "english") == (answer.text, answer.language)


async def test_models(sdk):
    """Models are listed, and shown one by one."""
    listed = await sdk.models.list()
    one = await sdk.models.retrieve("one")

    assert [("one", "fake", "model")] == [(m.id, m.owned_by, m.object) for m in listed.data]
    assert one == listed.data[0]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (openai.BadRequestError, {"temperature": 2}),
        (openai.BadRequestError, {"file": ("a.wav", b"")}),
        (openai.BadRequestError, {"file": ("a.wav", b"no audio at all")}),
        (openai.NotFoundError, {"model": "nope"}),
    ],
    ids=["field", "empty", "no-audio", "model"],
)
async def test_typed_errors(sdk, kind, change):
    """The caller's mistakes raise the SDK's own classes, with our message and request id."""
    with pytest.raises(kind) as caught:
        await sdk.audio.transcriptions.create(**{"file": AUDIO, "model": "fake:one", **change})

    assert caught.value.request_id == caught.value.body["request_id"]


async def test_unknown_model_names_the_known(sdk):
    """A wrong model name is answered with the right ones."""
    with pytest.raises(openai.NotFoundError, match="fake:one"):
        await sdk.audio.transcriptions.create(file=AUDIO, model="nope")


@pytest.mark.parametrize("key", ["x", "nonsense", "junctor_abcdefgh_" + "x" * 40])
async def test_bad_key(server, key):
    """Whatever is wrong with the key, it is an authentication error."""
    async with sdk_for(server, key) as sdk:
        with pytest.raises(openai.AuthenticationError):
            await sdk.models.list()


async def test_failing_providers(tmp_path):
    """When every provider fails, it is a server error with the request's id."""
    fake = FakeTranscriber(then=Fail(ProviderUnavailableError("x", provider="fake")))
    async with serving(server_settings(tmp_path), fake) as server, sdk_for(server) as sdk:
        with pytest.raises(openai.InternalServerError) as caught:
            await sdk.audio.transcriptions.create(file=AUDIO, model="fake:one")

    assert (502, "all_providers_failed") == (caught.value.status_code, caught.value.code)
    assert caught.value.request_id


async def test_rate_limit(tmp_path):
    """The team's limit raises the SDK's class for it, and says when to come again."""
    settings = server_settings(tmp_path, team_defaults=Team(requests_per_minute=1))
    fake = FakeTranscriber(then=Say("hi"))
    async with serving(settings, fake) as server, sdk_for(server) as sdk:
        await sdk.audio.transcriptions.create(file=AUDIO, model="fake:one")
        with pytest.raises(openai.RateLimitError) as caught:
            await sdk.audio.transcriptions.create(file=AUDIO, model="fake:one")

    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
