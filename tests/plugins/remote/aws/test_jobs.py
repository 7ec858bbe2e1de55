"""Recordings go through bucket and job, and every trace of them is deleted."""

import asyncio
import json

import pytest

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import clip_of, tone_clip
from tests.fakes.vendors.aws import BUCKET

CLIP = tone_clip(2.0)
MODEL = "transcribe"


def request(**more: object) -> TranscribeRequest:
    return TranscribeRequest(**{"audio": CLIP, "model": MODEL, "language": "en", **more})  # type: ignore[arg-type]


def is_empty(fake):
    return lambda: not fake.jobs and not fake.objects


async def test_text_and_words(provider, fake):
    """The result has text, words with their marks, and one segment per sentence."""
    heard = await provider.transcribe(request(language="en-IN"))

    assert ("hello from amazon.", "en-IN") == (heard.text, heard.language)
    assert [("hello", 0.04, 0.4, 0.99), ("from", 0.5, 0.9, 0.99), ("amazon.", 1.0, 1.4, 0.99)] == [
        (word.text, word.start, word.end, word.confidence) for word in heard.words
    ]
    assert [("hello from amazon.", 0.04, 1.4)] == [(s.text, s.start, s.end) for s in heard.segments]
    assert [] == fake.problems


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"language": "th"}, {"LanguageCode": "th-TH"}),
        ({"language": "en-IN"}, {"LanguageCode": "en-IN"}),
        ({"language": None}, {"IdentifyLanguage": True}),
        ({"language": None, "allowed_languages": ("hi",)}, {"LanguageCode": "hi-IN"}),
        (
            {"language": None, "allowed_languages": ("hi", "en-GB", "en-IN", "xx")},
            {"IdentifyLanguage": True, "LanguageOptions": ["hi-IN", "en-GB"]},
        ),
        (
            {"diarization": True},
            {
                "LanguageCode": "en-US",
                "Settings": {"ShowSpeakerLabels": True, "MaxSpeakerLabels": 30},
            },
        ),
    ],
)
async def test_wishes_on_the_wire(provider, fake, wish, expected):
    """Each wish is the field that Amazon has for it."""
    await provider.transcribe(request(**wish))
    (asked,) = fake.started
    usual = {"TranscriptionJobName", "Media", "MediaFormat", "OutputBucketName", "OutputKey"}

    assert expected == {key: value for key, value in asked.items() if key not in usual}
    assert [] == fake.problems


async def test_names_on_the_wire(provider, fake):
    """Recording and result lie below the prefix, under the job's own name."""
    await provider.transcribe(request())
    (asked,) = fake.started
    key = f"junctor/{asked['TranscriptionJobName']}"

    assert {"MediaFileUri": f"s3://{BUCKET}/{key}.wav"} == asked["Media"]
    assert (BUCKET, f"{key}.json", "wav") == (
        asked["OutputBucketName"],
        asked["OutputKey"],
        asked["MediaFormat"],
    )


async def test_detected_language(provider):
    """What was detected is told, with its score."""
    heard = await provider.transcribe(request(language=None))

    assert ("en-IN", 0.97) == (heard.language, heard.language_confidence)


async def test_speakers(provider):
    """Words and segments name their speaker."""
    heard = await provider.transcribe(request(diarization=True))

    assert {"spk_0"} == {part.speaker for part in (*heard.words, *heard.segments)}


async def test_nothing_is_left(provider, fake):
    """After an answer the recording, the job and its result are deleted."""
    await provider.transcribe(request())
    await fake.until(is_empty(fake))

    assert [] == fake.problems


async def test_temporary_credentials(start, fake):
    """A session token is sent and signed, in jobs and objects."""
    provider = await start(session_token="tok-1")
    await provider.transcribe(request())

    assert {"tok-1"} == {one.headers.get("X-Amz-Security-Token") for one in fake.seen}
    assert [] == fake.problems


ERRORS = [
    ("rate-limited", ProviderRateLimitedError, 7.0),
    ("throttled", ProviderRateLimitedError, None),
    ("error", ProviderUnavailableError, None),
    ("unavailable", ProviderUnavailableError, None),
    ("unauthorized", ProviderAuthError, None),
    ("expired", ProviderAuthError, None),
    ("denied", ProviderAuthError, None),
    ("signature", ProviderAuthError, None),
    ("quota", ProviderQuotaError, None),
    ("locale", ProviderRejectedError, None),
    ("conflict", ProviderUnavailableError, None),
    ("malformed", ProviderAnswerError, None),
    ("cut", ProviderAnswerError, None),
]


@pytest.mark.parametrize(("fault", "kind", "wait"), ERRORS, ids=[row[0] for row in ERRORS])
@pytest.mark.parametrize("before", [0, 1, 2], ids=["upload", "start", "look"])
async def test_faults_of_each_call(provider, fake, before, fault, kind, wait):
    """Whichever call fails, and whichever service says it, it is the same error of ours."""
    fake.script.extend(["ok"] * before + [fault])
    with pytest.raises(ProviderError) as caught:
        await provider.transcribe(request())

    assert (kind, wait) == (type(caught.value), caught.value.retry_after)
    assert "LEAK" not in str(caught.value)
    await fake.until(is_empty(fake))


@pytest.mark.parametrize("before", [0, 1, 2], ids=["upload", "start", "look"])
async def test_resets(provider, fake, before):
    """Connections that break, again and again, are an error of ours at every call."""
    fake.script.extend(["ok"] * before)
    fake.always = "reset"
    with pytest.raises(ProviderUnavailableError):
        await provider.transcribe(request())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("no-bucket", ProviderRejectedError), ("elsewhere", ProviderRejectedError)],
)
async def test_faults_of_the_bucket(provider, fake, fault, kind):
    """A bucket that is not there, or elsewhere, is said to be."""
    fake.script.append(fault)
    with pytest.raises(kind, match="bucket"):
        await provider.transcribe(request())


async def test_hang(start, fake):
    """A service that says nothing is left after the timeout."""
    provider = await start(timeout=1.0)
    fake.always = "hang"
    with pytest.raises(ProviderTimeoutError):
        await provider.transcribe(request())


async def test_endless_job(start, fake):
    """A job that does not end is given up after the timeout, and deleted."""
    provider = await start(timeout=1.0)
    fake.endless_above = 0
    with pytest.raises(ProviderTimeoutError):
        await provider.transcribe(request())

    await fake.until(is_empty(fake))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("LEAK Unsupported media format.", ProviderRejectedError),
        ("LEAK Internal failure.", ProviderUnavailableError),
    ],
)
async def test_failed_job(provider, fake, reason, kind):
    """A job that fails is an error, whose reason stays with us."""
    fake.failure = reason
    with pytest.raises(kind) as caught:
        await provider.transcribe(request())

    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", b'{"results": {}}', b'{"results": {"transcripts": null}}', b"\xff"],
)
async def test_broken_result(provider, fake, body):
    """A result that is none is an error of the answer."""
    fake.broken_result = body
    with pytest.raises(ProviderAnswerError):
        await provider.transcribe(request())


async def test_result_with_odd_items(provider, fake):
    """Numbers as numbers, a mark before every word, and items without content are borne."""
    items = [
        {"type": "punctuation", "alternatives": [{"content": ","}]},
        {"type": "pronunciation", "start_time": 1, "end_time": 0.5,
         "alternatives": [{"content": "a", "confidence": None}]},
        {"type": "pronunciation", "start_time": "2", "end_time": "3", "alternatives": []},
    ]  # fmt: skip
    results = {"transcripts": [{"transcript": ", a"}], "items": items}
    fake.broken_result = json.dumps({"results": results}).encode()
    heard = await provider.transcribe(request())

    assert [("a", 1.0, 1.0, None)] == [(w.text, w.start, w.end, w.confidence) for w in heard.words]


async def test_cancel_while_the_job_runs(provider, fake):
    """A running job refuses to go; without its recording it fails, and then it goes."""
    fake.endless_above = 0
    task = asyncio.create_task(provider.transcribe(request()))
    await fake.until(lambda: bool(fake.jobs))
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    await fake.until(is_empty(fake))


async def test_cancel_while_uploading(provider, fake):
    """An upload that is cancelled is aborted, and deleted in case it had arrived."""
    fake.script.append("hang")
    task = asyncio.create_task(provider.transcribe(request()))
    await fake.until(lambda: bool(fake.seen))
    task.cancel()
    await fake.until(lambda: fake.aborted == 1)

    await fake.until(lambda: [one.method for one in fake.seen] == ["PUT", "DELETE"])


@pytest.mark.parametrize(
    "wish",
    [
        {"language": "xx"},
        {"task": Task.TRANSLATE},
        {"model": "transcribe-streaming"},
        {"model": "no-such"},
    ],
)
async def test_what_it_cannot_do(provider, fake, wish):
    """What Amazon has no means for is refused before anything is uploaded."""
    with pytest.raises(ProviderRejectedError):
        await provider.transcribe(request(**wish))

    assert [] == fake.seen


async def test_short_recordings_are_refused_by_the_job(provider):
    """Half a second is the least that Amazon takes."""
    import numpy as np

    with pytest.raises(ProviderRejectedError):
        await provider.transcribe(request(audio=clip_of(np.zeros(1000, np.float32))))
