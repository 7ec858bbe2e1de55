"""Speech-to-Text v2: what is sent, and what is made of its answers."""

import base64

import msgspec
import pytest

from junctor.core.audio.clip import Clip
from junctor.core.errors import ProviderAnswerError, ProviderRejectedError
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import silent_clip, tone_clip
from tests.fakes.vendors.google import TEXT

CLIP = tone_clip(1.0)


def asked(**fields):
    return TranscribeRequest(**{"audio": CLIP, "model": "chirp_3", "language": "en-IN", **fields})


def config(fake):
    assert not fake.problems
    return msgspec.to_builtins(fake.recognized.config)


async def test_hears_what_was_said(google, fake):
    """Text and language come back; of a Chirp's confidence nothing is believed."""
    heard = await google.transcribe(asked())

    assert (TEXT, "en-IN", None) == (heard.text, heard.language, heard.confidence)
    assert CLIP.data == base64.b64decode(fake.recognized.content)


async def test_words_have_seconds(google):
    """A word that begins at zero has no offset on the wire, and others are strings."""
    heard = await google.transcribe(asked(word_timestamps=True))

    assert TEXT.split() == [word.text for word in heard.words]
    assert (0.0, 0.16, None) == (
        heard.words[0].start,
        heard.words[0].end,
        heard.words[0].confidence,
    )
    assert (0.8, 0.96) == (heard.words[-1].start, heard.words[-1].end)
    assert (0.0, 0.96, heard.words) == (
        heard.segments[0].start,
        heard.segments[0].end,
        heard.segments[0].words,
    )


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"language": "th"}, ["th-TH"]),
        ({"language": "zh"}, ["cmn-Hans-CN"]),
        ({"language": "he"}, ["iw-IL"]),
        ({"language": "nb-NO"}, ["no-NO"]),
        ({"language": "pa"}, ["pa-Guru-IN"]),
        ({"language": None}, ["auto"]),
        ({"language": None, "allowed_languages": ("hi", "ta", "tlh")}, ["hi-IN", "ta-IN"]),
        (
            {"model": "chirp_2", "language": None, "allowed_languages": ("hi", "ta")},
            ["auto"],
        ),
        (
            {"model": "long", "language": None, "allowed_languages": ("en", "hi")},
            ["en-US", "hi-IN"],
        ),
    ],
    ids=str,
)
async def test_languages_are_written_as_google_writes_them(google, fake, fields, codes):
    """BCP-47 becomes the listed code, and no language becomes `auto` or what is allowed."""
    await google.transcribe(asked(**fields))

    assert codes == config(fake)["languageCodes"]


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, {}),
        ({"word_timestamps": True}, {"enableWordTimeOffsets": True}),
        ({"segment_timestamps": True}, {"enableWordTimeOffsets": True}),
        ({"prompt": "Zürich"}, {"customPromptConfig": {"customPrompt": "Zürich"}}),
        ({"model": "chirp_2", "prompt": "Zürich"}, {}),
        (
            {"model": "short", "word_timestamps": True},
            {"enableWordTimeOffsets": True, "enableWordConfidence": True},
        ),
    ],
    ids=str,
)
async def test_features_follow_the_wishes(google, fake, fields, features):
    """Nothing that costs accuracy is asked for unless somebody wants it."""
    await google.transcribe(asked(**fields))

    assert {"enableAutomaticPunctuation": True, **features} == config(fake)["features"]


@pytest.mark.parametrize(
    ("table", "places"),
    [
        ({}, ["us", "us-central1", "global"]),
        (
            {"location": "eu", "locations": {"chirp_2": "europe-west4"}},
            ["eu", "europe-west4", "eu"],
        ),
    ],
    ids=["defaults", "table"],
)
async def test_each_model_is_asked_where_it_is(start, fake, table, places):
    """The table's location stands for all models, and single ones may be elsewhere."""
    google = await start(**table)
    for model in ("chirp_3", "chirp_2", "long"):
        await google.transcribe(asked(model=model))

    assert places == [one.path.split("/")[5] for one in fake.seen]


async def test_confidence_of_the_older_models_is_told(google):
    """`long` and `short` say how sure they are, of the whole and of each word."""
    heard = await google.transcribe(asked(model="long", word_timestamps=True))

    assert 0.93 == pytest.approx(heard.confidence)
    assert {0.9} == {word.confidence for word in heard.words}


def result(text, end, code, **more):
    alternatives = [{"transcript": text, **more}] if text is not None else []
    return {"alternatives": alternatives, "resultEndOffset": end, "languageCode": code}


async def test_several_results_are_one_transcript(google, fake):
    """Results follow each other, empty ones vanish, and the language spoken most is reported."""
    fake.answer = {
        "results": [
            result(" namaste", "1.5s", "hi-in"),
            result(None, None, None),
            result("and now in english ", "2.100s", "EN-US", words=[{"word": "and"}]),
            {},
        ]
    }
    heard = await google.transcribe(asked(language=None))

    assert ("namaste and now in english", "en-US") == (heard.text, heard.language)
    assert [(0.0, 1.5), (1.5, 2.1)] == [(one.start, one.end) for one in heard.segments]
    assert () == heard.words


@pytest.mark.parametrize(
    ("code", "language"),
    [("cmn-hans-cn", "zh-CN"), ("iw-il", "he-IL"), ("th-th", "th-TH"), ("", None), ("und", None)],
)
async def test_the_language_found_is_bcp_47(google, fake, code, language):
    """Google's own codes do not reach callers."""
    fake.answer = {"results": [result("text", None, code)]}

    assert language == (await google.transcribe(asked(language=None))).language


async def test_silence_is_an_empty_transcript(google, fake):
    """An answer without results says that nobody spoke."""
    fake.answer = {"metadata": {"totalBilledDuration": "2s"}}

    assert (await google.transcribe(asked())).is_empty


@pytest.mark.parametrize("offset", ["soon", "-1s", "nan"])
async def test_times_that_are_none_are_no_answer(google, fake, offset):
    """A time that cannot be read is not made up."""
    fake.answer = {"results": [result("text", offset, "en-US")]}
    with pytest.raises(ProviderAnswerError):
        await google.transcribe(asked())


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "long", "language": None},
        {"model": "short", "language": "th"},
        {"task": Task.TRANSLATE},
        {"model": "telephony"},
        {"audio": silent_clip(60.1)},
    ],
    ids=["no detection", "no Thai", "no translation", "no such model", "too long"],
)
async def test_what_cannot_be_done_is_not_sent(google, fake, fields):
    """A wish outside the card costs no upload."""
    with pytest.raises(ProviderRejectedError):
        await google.transcribe(asked(**fields))

    assert not fake.seen


async def test_only_what_is_not_taken_is_written_again(google, fake):
    """AIFF goes out as FLAC."""
    clip = Clip(
        data=CLIP.data,
        media_type="audio/aiff",
        frames=CLIP.frames,
        rate=16_000,
        decode=CLIP.samples,
    )
    await google.transcribe(asked(audio=clip))

    assert base64.b64decode(fake.recognized.content).startswith(b"fLaC")
