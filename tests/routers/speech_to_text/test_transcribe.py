"""`POST /speech-to-text/transcribe`, over a real socket, with scripted providers behind it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve

from junctor.conf.settings import Policy, Team, TierPolicy
from junctor.contracts.speech_to_text import TranscribeForm
from junctor.core.audit import audio_digest
from junctor.core.cards import Capability, Feature
from junctor.core.errors import ProviderRateLimitedError, ProviderUnavailableError
from junctor.core.idempotency import request_digest
from junctor.core.requests import TranscribeRequest
from junctor.core.storage.database import Database, database_url
from junctor.core.storage.idempotency import IdempotencyTable, KeptKey
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from junctor.routers.speech_to_text.forms import digest_parts
from tests.fakes.server import Served, server_settings, serving
from tests.waiting import until

CLIP = silent_clip(4.2)
PATH = "/speech-to-text/transcribe"


def provider(name: str, *, then: Any = None, **card: Any) -> FakeTranscriber:
    cards = [evolve(fake_card("one", provider=name), **card)]
    return FakeTranscriber(name, cards=cards, then=then or Say(f"by {name}"))


def asked(fake: FakeTranscriber) -> list[TranscribeRequest]:
    return [one for one in fake.requests if isinstance(one, TranscribeRequest)]


def down(name: str) -> Fail:
    return Fail(ProviderUnavailableError("LEAK down", provider=name))


@asynccontextmanager
async def house(
    folder: Path, *providers: FakeTranscriber, **settings: Any
) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    async with (
        serving(server_settings(folder, **settings), *providers) as served,
        httpx.AsyncClient(base_url=served.url, headers=served.authorization, timeout=20) as client,
    ):
        yield served, client


async def post(client: httpx.AsyncClient, data: bytes = CLIP.data, **fields: str) -> httpx.Response:
    return await client.post(PATH, files={"audio": ("a.wav", data)}, data=fields)


async def test_the_answer_has_what_the_contract_shows(tmp_path: Path) -> None:
    """Each field of the seed's example, and usage rounded up to the second."""
    async with house(tmp_path, provider("deepgram", then=Say("hello world"))) as (_, client):
        answer = await post(client, provider="deepgram", enable_word_timestamps="true")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["text"], body["accuracy"]) == ("success", "hello world", "medium")
    assert (body["provider"], body["model"]) == ("deepgram", "one")
    assert body["detected_language"] == "en"
    assert [word["word"] for word in body["words"]] == ["hello", "world"]
    assert body["usage"]["audio_seconds"] == 4.2
    assert body["usage"]["billed_seconds"] == 5
    assert body["usage"]["attempts"] == 1
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_words_are_given_only_when_asked_for(tmp_path: Path) -> None:
    """The default is false."""
    async with house(tmp_path, provider("deepgram")) as (_, client):
        body = (await post(client, provider="deepgram")).json()

    assert "words" not in body


async def test_a_failing_provider_is_followed_by_the_chain_of_the_request(tmp_path: Path) -> None:
    """The fallback fires for an upload, and the ledger has it once, at the price of who answered."""
    policy = {"medium": {"fallback_chain": ["sarvam", "azure"]}}
    first, second = provider("openai", then=down("openai")), provider("sarvam", price=0.6)
    async with house(tmp_path, first, second, provider("azure")) as (served, client):
        answer = await post(client, provider="openai", accuracy_language_policy=json.dumps(policy))
        entries = await served.entries()

    assert (answer.status_code, answer.json()["provider"]) == (200, "sarvam")
    assert answer.headers["x-junctor-plan"] == "openai:one, sarvam:one, azure:one"
    assert [(one.provider, one.frames, one.cost) for one in entries] == [
        ("sarvam", CLIP.frames, round(0.6 * 4.2 / 60 * 1e9))
    ]


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({}, "provider", "Neither provider nor model"),
        ({"provider": "nobody"}, "provider", "unknown provider 'nobody'"),
        ({"model": "nothing"}, "model", "no model 'nothing'"),
        ({"provider": "deepgram", "model": "openai:one"}, "model", "conflicts with model"),
        ({"provider": "xai"}, "provider", "xai (not installed)"),
        ({"provider": "deepgram:one", "model": "two"}, "model", "conflicts with model"),
        ({"provider": "deepgram", "model": "two"}, "model", "no model 'deepgram:two'"),
        ({"provider": "deepgram", "language": "english!"}, "language", "not a BCP-47"),
        ({"provider": "deepgram", "language_mode": "guess"}, "language_mode", "fixed or auto"),
        ({"provider": "deepgram", "accuracy": "best"}, "accuracy", "low, medium or high"),
        ({"provider": "deepgram", "enable_diarization": "yes"}, "enable_diarization", "true or"),
        ({"provider": "deepgram", "metadata": "[1]"}, "metadata", "not a JSON object"),
        ({"provider": "deepgram", "metadata": "x" * 20_000}, "metadata", "16384"),
        ({"provider": "deepgram", "retention_hours": "-1"}, "retention_hours", "number of hours"),
        ({"provider": "deepgram", "retention_hours": "nan"}, "retention_hours", "number of hours"),
        ({"provider": "deepgram", "idempotency_key": "k" * 201}, "idempotency_key", "200"),
    ],
)
async def test_a_wrong_field_is_named(
    tmp_path: Path, fields: Mapping[str, str], param: str, said: str
) -> None:
    """Bad input is 400 in the contract's envelope, naming the field and what was expected."""
    async with house(tmp_path, provider("deepgram"), provider("openai")) as (served, client):
        answer = await post(client, CLIP.data, **fields)
        charged = [one.frames for one in await served.entries()]

    body = answer.json()
    assert (answer.status_code, body["detail"]["param"]) == (400, param)
    assert said in body["message"]
    assert not any(charged)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{", "not understood"),
        ('{"best": {}}', "best"),
        ('{"high": {"tongue": "en"}}', "tongue"),
        ('{"low": {"fallback_chain": ["nobody"]}}', "unknown provider 'nobody'"),
        ('{"low": {"fallback_chain": ["deepgram:zero"]}}', "no model 'deepgram:zero'"),
        ('{"medium": {"language": "hi", "language_mode": "auto"}}', "conflicts with language"),
        ('{"medium": {"language": "fr", "allowed_languages": ["en", "hi"]}}', "conflicts with"),
        ('{"medium": {"allowed_languages": ["klingon-"]}}', "not a BCP-47"),
        (
            '{"medium": {"provider_preference": ["openai"], "prefer_providers": ["deepgram"]}}',
            "conflicts with prefer_providers",
        ),
    ],
)
async def test_a_wrong_policy_is_explained(tmp_path: Path, policy: str, said: str) -> None:
    """What is wrong is named, in every tier, also where the request uses another one."""
    async with house(tmp_path, provider("deepgram"), provider("openai")) as (_, client):
        answer = await post(client, provider="deepgram", accuracy_language_policy=policy)

    assert answer.status_code == 400
    assert said in answer.json()["message"]


async def test_what_is_not_audio_is_refused(tmp_path: Path) -> None:
    """Bad audio is 400, and the part has this contract's name."""
    async with house(tmp_path, provider("deepgram")) as (_, client):
        answer = await post(client, b"string", provider="deepgram")

    assert (answer.status_code, answer.json()["detail"]["param"]) == (400, "audio")


async def test_audio_beyond_every_cap_names_the_largest(tmp_path: Path) -> None:
    """413, with the longest that anybody takes."""
    short, longer = provider("deepgram", max_seconds=1.0), provider("openai", max_seconds=3.0)
    policy = '{"medium": {"fallback_chain": ["openai"]}}'
    async with house(tmp_path, short, longer) as (_, client):
        answer = await post(client, provider="deepgram", accuracy_language_policy=policy)

    assert answer.status_code == 413
    assert "3 seconds" in answer.json()["message"]


async def test_a_missing_key_is_401_and_an_unknown_path_404(tmp_path: Path) -> None:
    """In this contract's envelope, on every path below it."""
    async with house(tmp_path, provider("deepgram")) as (_, client):
        nobody = await client.post(PATH, headers={"Authorization": ""})
        missing = await client.get("/speech-to-text/nothing")

    assert (nobody.status_code, missing.status_code) == (401, 404)
    assert {"detail", "message"} == set(nobody.json()) == set(missing.json())


async def test_upstream_failure_is_502_without_its_words(tmp_path: Path) -> None:
    """When the chain is over, one short error, nothing of the upstream, nothing charged."""
    async with house(tmp_path, provider("deepgram", then=down("deepgram"))) as (served, client):
        answer = await post(client, provider="deepgram")
        entries = await served.entries()

    assert (answer.status_code, set(answer.json())) == (502, {"error"})
    assert "LEAK" not in answer.text
    assert [one.frames for one in entries] == [0]


async def test_a_team_may_use_only_what_it_is_allowed(tmp_path: Path) -> None:
    """The chain of a request does not lead around the team's list."""
    policy = '{"medium": {"fallback_chain": ["openai"]}}'
    teams = {"acme": Team(allowed_models=("deepgram",))}
    first = provider("deepgram", then=down("deepgram"))
    async with house(tmp_path, first, provider("openai"), teams=teams) as (_, client):
        chained = await post(client, provider="deepgram", accuracy_language_policy=policy)
        named = await post(client, provider="openai")

    assert (chained.status_code, named.status_code) == (502, 400)


async def test_the_language_of_the_tier_overrides_the_field(tmp_path: Path) -> None:
    """Callers turn one slider; the policy of the tier says the language."""
    fake = provider("azure")
    policy = '{"high": {"language_mode": "fixed", "language": "en-IN"}}'
    async with house(tmp_path, fake) as (_, client):
        await post(
            client,
            provider="azure",
            accuracy="high",
            language="th",
            accuracy_language_policy=policy,
        )

    assert [one.language for one in asked(fake)] == ["en-IN"]


async def test_auto_language_is_identified_for_a_model_that_cannot(tmp_path: Path) -> None:
    """Detect, then route: the ear says Thai, so the Thai model is asked, with the language."""
    writes = frozenset({Capability.TRANSCRIBE})
    mono = provider("sarvam", capabilities=writes, features=frozenset(), locales=frozenset({"hi"}))
    thai = provider(
        "azure",
        capabilities=writes,
        features=frozenset(),
        locales=frozenset({"th"}),
        then=Say("sawatdi", language="th"),
    )
    ear = provider(
        "xai",
        capabilities=frozenset({Capability.IDENTIFY_LANGUAGE}),
        then=Say("x", language="th"),
    )
    policy = '{"medium": {"fallback_chain": ["azure"]}}'
    async with house(tmp_path, mono, thai, ear) as (_, client):
        answer = await post(
            client, provider="sarvam", language_mode="auto", accuracy_language_policy=policy
        )

    assert (answer.json()["provider"], answer.json()["detected_language"]) == ("azure", "th")
    assert [one.language for one in asked(thai)] == ["th"]
    assert mono.calls == []


async def test_a_detected_language_outside_the_allowed_goes_to_the_next(tmp_path: Path) -> None:
    """A provider that hears a language nobody allowed has not answered."""
    policy = {
        "medium": {
            "language_mode": "auto",
            "allowed_languages": ["en", "hi"],
            "fallback_chain": ["sarvam"],
        }
    }
    first = provider("openai", then=Say("salut", language="fr"))
    second = provider("sarvam", then=Say("namaste", language="hi"))
    async with house(tmp_path, first, second) as (_, client):
        answer = await post(client, provider="openai", accuracy_language_policy=json.dumps(policy))

    assert (answer.json()["provider"], answer.json()["detected_language"]) == ("sarvam", "hi")


async def test_an_ensemble_votes_and_is_charged_once(tmp_path: Path) -> None:
    """`high` asks three at once; two outvote one, and the team pays for the audio once."""
    tiers: dict[Any, TierPolicy] = {"high": TierPolicy(ensemble=("deepgram", "azure"))}
    wrong = provider("openai", then=Say("the cat sad"), price=0.6)
    right = [provider(one, then=Say("the cat sat"), price=0.6) for one in ("deepgram", "azure")]
    settings = {"policy": Policy(tiers=tiers)}
    async with house(tmp_path, wrong, *right, **settings) as (served, client):
        body = (await post(client, provider="openai", accuracy="high")).json()
        entries = await served.entries()

    assert body["text"] == "the cat sat"
    assert body["usage"]["ensemble"] == ["openai:one", "deepgram:one", "azure:one"]
    assert [(one.frames, one.cost) for one in entries] == [
        (CLIP.frames, round(3 * 0.6 * 4.2 / 60 * 1e9))
    ]


async def test_a_late_first_choice_is_hedged(tmp_path: Path) -> None:
    """`low` asks the second one too; the first to answer wins and the other is cancelled."""
    tiers: dict[Any, TierPolicy] = {"low": TierPolicy(hedge=True, fallback_chain=("azure",))}
    slow, quick = provider("openai", then=Hang(), latency=0.05), provider("azure")
    async with house(tmp_path, slow, quick, policy=Policy(tiers=tiers)) as (_, client):
        body = (await post(client, provider="openai", accuracy="low")).json()

    assert (body["provider"], body["usage"]["attempts"]) == ("azure", 2)
    assert [call.outcome for call in slow.calls] == ["cancelled"]


async def test_soft_wishes_are_done_without_and_said(tmp_path: Path) -> None:
    """Words and speakers are given when supported; who lacks them still answers, with a warning."""
    plain = provider("openai", features=frozenset({Feature.AUTO_LANGUAGE}))
    async with house(tmp_path, plain) as (_, client):
        answer = await post(
            client, provider="openai", enable_word_timestamps="true", enable_diarization="true"
        )

    assert answer.status_code == 200
    assert [one.word_timestamps for one in asked(plain)] == [False]


async def test_rate_limits_of_the_provider_are_fallen_back_from(tmp_path: Path) -> None:
    """A 429 of the vendor is not the caller's."""
    busy = provider("xai", then=Fail(ProviderRateLimitedError("x", provider="xai", retry_after=60)))
    policy = '{"medium": {"fallback_chain": ["azure"]}}'
    async with house(tmp_path, busy, provider("azure")) as (_, client):
        answer = await post(client, provider="xai", accuracy_language_policy=policy)

    assert (answer.status_code, answer.json()["provider"]) == (200, "azure")


async def test_the_same_key_gets_the_same_answer_also_at_once(tmp_path: Path) -> None:
    """Two at the same time and one later: one piece of work, one charge, three equal answers."""
    fake = provider("azure", then=Say("only once", gap=0.05))
    async with house(tmp_path, fake) as (served, client):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(post(client, provider="azure", idempotency_key="k1"))
                for _ in range(2)
            ]
        later = await post(client, provider="azure", idempotency_key="k1")
        charged = [one.frames for one in await served.entries() if one.frames]

    assert {task.result().content for task in tasks} == {later.content}
    assert (len(fake.calls), charged) == (1, [CLIP.frames])


async def test_the_same_key_with_another_body_is_refused(tmp_path: Path) -> None:
    """A clear 400."""
    async with house(tmp_path, provider("azure")) as (_, client):
        await post(client, provider="azure", idempotency_key="k1")
        answer = await post(client, provider="azure", idempotency_key="k1", language="th")

    assert (answer.status_code, answer.json()["detail"]["param"]) == (400, "idempotency_key")


async def test_events_are_streamed_when_they_are_accepted(tmp_path: Path) -> None:
    """Deltas, then the whole answer in one event of the contract's shape."""
    async with house(tmp_path, provider("azure", then=Say("good morning"))) as (_, client):
        answer = await client.post(
            PATH,
            files={"audio": ("a.wav", CLIP.data)},
            data={"provider": "azure"},
            headers={"Accept": "text/event-stream"},
        )
    events = [
        (block.split("\n")[0], json.loads(block.split("data: ")[1]))
        for block in answer.text.strip().split("\n\n")
    ]

    assert "".join(data["text"] for kind, data in events[:-1]).strip() == "good morning"
    assert events[-1][0] == "event: transcript.done"
    assert (events[-1][1]["text"], events[-1][1]["provider"]) == ("good morning", "azure")


async def test_personal_data_is_masked_in_text_words_and_events(tmp_path: Path) -> None:
    """Nothing of an address is left, in the answer or in any event."""
    fake = provider("azure", then=Say("write to jane.doe@example.com now"))
    async with house(tmp_path, fake) as (_, client):
        fields = {"enable_pii_redaction": "true", "enable_word_timestamps": "true"}
        plain = await post(client, CLIP.data, provider="azure", **fields)
        events = await client.post(
            PATH,
            files={"audio": ("a.wav", CLIP.data)},
            data={"provider": "azure", **fields},
            headers={"Accept": "text/event-stream"},
        )

    assert "[EMAIL]" in plain.json()["text"]
    assert "jane" not in plain.text + events.text


async def test_a_first_client_that_leaves_before_the_work_leaves_none_of_it_unpaid(
    tmp_path: Path,
) -> None:
    """Who waited behind it has the work done on a ticket of their own."""
    fake = provider("azure")
    async with house(tmp_path, fake) as (served, client):
        table, row = await held_elsewhere(served, "k1")
        async with httpx.AsyncClient(base_url=served.url, headers=served.authorization) as other:
            first = asyncio.create_task(post(other, provider="azure", idempotency_key="k1"))
            await requests_under_way(served, 1)
            second = asyncio.create_task(post(client, provider="azure", idempotency_key="k1"))
            await requests_under_way(served, 2)
            first.cancel()
            await requests_under_way(served, 1)
        await table.free(row)
        answer = await second
        charged = [one.frames for one in await served.entries()]

    assert (answer.status_code, len(fake.calls), sorted(charged)) == (200, 1, [0, CLIP.frames])


async def held_elsewhere(served: Served, key: str) -> tuple[IdempotencyTable, KeptKey]:
    """Hold a key as another server would that works on the same request."""
    form = TranscribeForm(provider="azure", idempotency_key=key)
    parts = digest_parts(form, await audio_digest(CLIP.data))
    now = round(time.time() * 1e6)
    row = KeptKey(
        id=request_digest((b"acme", key.encode())).hex(),
        team="acme",
        digest=request_digest(parts).hex(),
        holder="elsewhere.1",
        artefact_id=None,
        created_at=now,
        expires_at=now + 60_000_000,
    )
    table = IdempotencyTable(Database(database_url(served.runtime.settings.storage)))
    assert await table.claim(row)
    return table, row


async def requests_under_way(served: Served, count: int) -> None:
    await until(lambda: served.runtime.gateway.load.requests == count)


@pytest.mark.parametrize("name", ["metadata", "provider"])
async def test_what_is_hostile_is_refused(tmp_path: Path, name: str) -> None:
    """Lists within lists beyond the stack, and a composite without its first half."""
    sent = {"metadata": '{"a":' + "[" * 5000 + "]" * 5000 + "}", "provider": ":one"}[name]
    async with house(tmp_path, provider("azure")) as (_, client):
        fields: dict[str, Any] = {"model": "azure:one", name: sent}
        answer = await post(client, CLIP.data, **fields)

    assert (answer.status_code, answer.json()["detail"]["param"]) == (400, name)


async def test_a_masked_stream_comes_in_one_event(tmp_path: Path) -> None:
    """Nothing is sent before all is masked, so nothing is charged to who leaves before."""
    fake = provider("azure", then=Say("call jane.doe@example.com"))
    fields = {"provider": "azure", "enable_pii_redaction": "true"}
    async with house(tmp_path, fake) as (served, client):
        answer = await client.post(
            PATH,
            files={"audio": ("a.wav", CLIP.data)},
            data=fields,
            headers={"Accept": "text/event-stream"},
        )
        charged = [one.frames for one in await served.entries()]

    assert [call.capability for call in fake.calls] == [Capability.TRANSCRIBE]
    assert (answer.text.count("event: "), charged) == (1, [CLIP.frames])


async def test_the_log_line_has_what_the_caller_looks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Correlation id and metadata stand in the request's own line."""
    async with house(tmp_path, provider("azure")) as (_, client):
        await post(client, provider="azure", unique_id="call-7", metadata='{"desk": 4}')
    [line] = [one for one in capsys.readouterr().out.splitlines() if "operation=transcribe" in one]

    assert "unique_id=call-7" in line
    assert "'desk': 4" in line
