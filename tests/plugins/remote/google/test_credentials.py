"""Credentials: tokens for a service account, and which models there are without which of them."""

import asyncio
import json

import pytest

from junctor.conf.settings import Settings
from junctor.core.errors import ConfigError, NotConfiguredError, ProviderAuthError
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.plugins.remote.google import junctor_providers
from tests.fakes.vendors.google import EMAIL, PROJECT, key_pair

REQUEST = TranscribeRequest(audio=tone_clip(0.2), model="chirp_3", language="en")


@pytest.fixture(name="robot")
async def _robot(start, fake):
    """Return a provider with a service account and nothing else."""
    return await start(
        access_token=None, project=None, api_key=None, service_account=fake.key_file()
    )


async def test_a_signed_request_gives_a_token(robot, fake):
    """The fake checks signature and claims; the project is the key's own."""
    await robot.transcribe(REQUEST)
    token, speech = fake.seen

    assert not fake.problems
    assert ("/token", "Bearer ya29.token-of-the-fake-1") == (
        token.path,
        speech.headers["Authorization"],
    )
    assert f"/v2/projects/{PROJECT}/locations/us/" in speech.path


async def test_a_token_is_kept(robot, fake):
    """Many requests at once, and later ones, need one exchange."""
    await asyncio.gather(*(robot.transcribe(REQUEST) for _ in range(5)))
    await robot.transcribe(REQUEST)

    assert 1 == fake.granted


async def test_a_token_near_its_end_is_not_used(robot, fake):
    """One that lasts no longer than the margin is renewed for the next request."""
    fake.expires_in = 100
    await robot.transcribe(REQUEST)
    await robot.transcribe(REQUEST)

    assert 2 == fake.granted


async def test_a_refused_token_is_forgotten(robot, fake):
    """After a 401 the next request comes with a new one."""
    fake.script.extend(["ok", "token"])
    with pytest.raises(ProviderAuthError):
        await robot.transcribe(REQUEST)
    await robot.transcribe(REQUEST)

    assert 2 == fake.granted


@pytest.mark.parametrize("fault", ["grant", "forbidden"])
async def test_no_token_is_an_error_of_our_credentials(robot, fake, fault):
    """What the token endpoint refuses is not the caller's fault."""
    fake.script.append(fault)
    with pytest.raises(ProviderAuthError) as caught:
        await robot.transcribe(REQUEST)

    assert "LEAK" not in str(caught.value)
    assert EMAIL not in str(caught.value)


async def test_the_key_may_be_a_file(start, fake, tmp_path):
    """A path is read at the start."""
    path = tmp_path / "key.json"
    path.write_text(fake.key_file(), encoding="utf-8")
    google = await start(access_token=None, service_account=str(path))
    await google.transcribe(REQUEST)

    assert 1 == fake.granted


async def test_a_token_from_elsewhere_is_used_as_it_is(google, fake):
    """With `access_token` nothing is signed and nothing exchanged."""
    await google.transcribe(REQUEST)

    assert ["Bearer ya29.token-from-elsewhere"] == [
        one.headers["Authorization"] for one in fake.seen
    ]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"token_uri": "https://evil.example/token"}, "token_uri"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "token_uri"),
        ({"private_key": "rubbish"}, "JSON key of a service account"),
        ({"private_key": 7}, "JSON key of a service account"),
        ({"project_id": ""}, "project"),
    ],
    ids=["foreign host", "plain HTTP", "rubbish", "number", "no project"],
)
async def test_a_key_that_cannot_work_is_named_at_the_start(start, fake, changed, named):
    """The error names the setting and shows nothing of the key."""
    with pytest.raises(ConfigError, match=named) as caught:
        await start(access_token=None, project=None, service_account=fake.key_file(**changed))

    assert "plugins.google" in str(caught.value)
    assert not {key_pair()[0][40:80], EMAIL} & set(str(caught.value).split())


@pytest.mark.parametrize("source", ["/no/such/key.json", "{", '{"type": "authorized_user"}'])
async def test_a_source_that_is_no_key_is_named(start, source):
    """So is a path without a file, and JSON of another kind."""
    with pytest.raises(ConfigError, match=r"plugins\.google\.service_account"):
        await start(access_token=None, service_account=source)


@pytest.mark.parametrize(
    ("table", "first", "count"),
    [
        ({"api_key": "k"}, "gemini-3.5-transcribe", 5),
        ({"access_token": "t", "project": "p"}, "chirp_3", 4),
        ({"service_account": "/some/where.json"}, "chirp_3", 4),
        ({"api_key": "k", "access_token": "t", "project": "p"}, "gemini-3.5-transcribe", 9),
        ({"api_key": "k", "models": {"chirp_3": {"price": 0.01}}}, "gemini-3.5-transcribe", 5),
    ],
    ids=["gemini", "token", "account", "both", "changed without credentials"],
)
def test_models_are_those_whose_credentials_are_there(table, first, count):
    """Each service's models come with its credentials."""
    (google,) = junctor_providers(Settings(plugins={"google": table}))
    cards = google.models()

    assert (first, count) == (cards[0].id, len(cards))


@pytest.mark.parametrize(
    ("table", "error", "named"),
    [
        ({}, NotConfiguredError, "no credentials: .*api_key.*service_account.*access_token"),
        ({"project": "p"}, NotConfiguredError, "no credentials"),
        ({"access_token": "t"}, ConfigError, r"google\.project"),
        ({"access_token": "t\n", "project": "p"}, ConfigError, r"google\.access_token"),
        ({"api_key": "ä"}, ConfigError, r"google\.api_key"),
        ({"api_key": "k", "location": "eu/../x"}, ConfigError, "location"),
        ({"api_key": "k", "project": "p/q"}, ConfigError, "project"),
        ({"api_key": "k", "locations": {"chirp_9": "us"}}, ConfigError, r"locations\.chirp_9"),
        ({"api_key": "k", "models": {"chirp_9": {}}}, ConfigError, "chirp_9"),
    ],
    ids=str,
)
def test_a_wrong_table_is_named(table, error, named):
    """The key that is wrong or missing is in the message."""
    with pytest.raises(error, match=named):
        junctor_providers(Settings(plugins={"google": table}))


def test_without_base_url_each_service_has_its_host():
    """Gemini is asked at its own host, Speech-to-Text at its location's."""
    table: dict[str, object] = {"api_key": "k", "access_token": "t", "project": "p"}
    (google,) = junctor_providers(Settings(plugins={"google": table}))
    paths = {card.id: google._path(card) for card in google.models()}

    assert paths["gemini-3.8-flash"] == "/v1beta/models/gemini-3.8-flash:generateContent"
    assert paths["chirp_3"].startswith(
        "https://us-speech.googleapis.com/v2/projects/p/locations/us/"
    )
    assert paths["long"].startswith("https://speech.googleapis.com/v2/projects/p/locations/global/")


async def test_the_key_of_one_service_is_not_shown_to_the_other(google, fake):
    """Gemini sees no token, and Speech-to-Text no API key."""
    await google.transcribe(REQUEST)
    await google.transcribe(TranscribeRequest(audio=REQUEST.audio, model="gemini-3.5-transcribe"))
    speech, gemini = fake.seen

    assert fake.KEY not in json.dumps(dict(speech.headers))
    assert "Authorization" not in gemini.headers
