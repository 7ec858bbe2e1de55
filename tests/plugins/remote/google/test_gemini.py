"""Gemini: what is sent to the model for transcription and to general ones, and what comes back."""

import base64

import attrs
import msgspec
import pytest

from junctor.core.audio.clip import Clip
from junctor.core.errors import ProviderAnswerError, ProviderRejectedError
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import silent_clip, tone_clip
from tests.fakes.vendors.google import TEXT

CLIP = tone_clip(1.0)
MODEL = "gemini-3.5-transcribe"
FLASH = "gemini-3.8-flash"


def asked(**fields):
    return TranscribeRequest(**{"audio": CLIP, "model": MODEL, **fields})


def generation(fake):
    assert not fake.problems
    return msgspec.to_builtins(fake.generated.generation_config)


def answer(*parts, reason="STOP"):
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": reason}]}


async def test_hears_what_was_said(google, fake):
    """The recording goes out whole, and its text comes back."""
    heard = await google.transcribe(asked(language="en-IN"))
    blob = fake.generated.contents[0].parts[0].inline_data

    assert (TEXT, "en-IN", ()) == (heard.text, heard.language, heard.words)
    assert ("audio/wav", CLIP.data) == (blob.mime_type, base64.b64decode(blob.data))


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({}, None),
        ({"language": "te"}, {"languageCodes": ["te-IN"]}),
        ({"language": "zh-CN"}, {"languageCodes": ["cmn-Hans-CN"]}),
        ({"language": "he"}, {"languageCodes": ["he-IL"]}),
        ({"allowed_languages": ("th", "en", "ta")}, {"languageCodes": ["th-TH", "en-US"]}),
        ({"word_timestamps": True}, {"wordTimestamp": True}),
        ({"segment_timestamps": True}, {"wordTimestamp": True}),
        ({"diarization": True}, {"diarization": True}),
    ],
    ids=str,
)
async def test_the_configuration_follows_the_wishes(google, fake, fields, config):
    """Languages are hints in Google's writing; times and speakers only come when asked for."""
    await google.transcribe(asked(**fields))

    assert config == generation(fake).get("audioTranscriptionConfig")


async def test_words_have_seconds_and_speakers(google):
    """Each word says when and by whom; the language found is reported."""
    heard = await google.transcribe(asked(word_timestamps=True, diarization=True))

    assert ("en-US", TEXT.split()) == (heard.language, [word.text for word in heard.words])
    assert (0.0, 0.16, "spk_1") == (
        heard.words[0].start,
        heard.words[0].end,
        heard.words[0].speaker,
    )
    assert [(0.0, 0.96, "spk_1")] == [(one.start, one.end, one.speaker) for one in heard.segments]


async def test_answers_with_words_alone_have_a_text(google, fake):
    """Where parts hold words only, the text is put together; Thai without spaces."""
    thai = {"words": [{"word": "สวัสดี", "endOffset": "0.5s"}, {"word": "ครับ", "endOffset": "1s"}]}
    fake.answer = answer(
        {"audioTranscription": {"speakerLabel": "spk_1", "words": [{"word": "Hello"}]}},
        {"audioTranscription": {"speakerLabel": "spk_2", "languageCode": "th-TH", **thai}},
    )
    heard = await google.transcribe(asked(diarization=True))

    assert ("Hello สวัสดีครับ", "th-TH") == (heard.text, heard.language)
    assert [(0.0, 0.5, "spk_2"), (0.0, 1.0, "spk_2")] == [
        (word.start, word.end, word.speaker) for word in heard.words
    ]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"text": "one "}, {"text": "two"}], "one two"),
        (
            [
                {"text": "one.", "audioTranscription": {"text": "one."}},
                {"text": "two.", "audioTranscription": {"text": "two."}},
            ],
            "one. two.",
        ),
        ([{"text": "one two"}, {"audioTranscription": {"text": "one two"}}], "one two"),
        ([{"text": "I think", "thought": True}, {"text": "one"}], "one"),
        ([], ""),
    ],
    ids=["pieces", "turns", "notes", "thoughts", "silence"],
)
async def test_parts_become_one_text(google, fake, parts, text):
    """Pieces are joined as they are, turns with a space, notes and thoughts are left out."""
    fake.answer = answer(*parts)

    assert text == (await google.transcribe(asked())).text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, ProviderRejectedError),
        (answer({"text": "half"}, reason="MAX_TOKENS"), ProviderRejectedError),
        (answer(reason="RECITATION"), ProviderRejectedError),
        ({"usageMetadata": {}}, ProviderAnswerError),
        (answer({"text": 1}), ProviderAnswerError),
    ],
    ids=["blocked", "broken off", "withheld", "no candidate", "odd"],
)
async def test_what_is_no_whole_transcript_is_an_error(google, fake, body, error):
    """Half a transcript is not passed off as one."""
    fake.answer = body
    with pytest.raises(error):
        await google.transcribe(asked())


async def test_a_general_model_is_told_in_words(google, fake):
    """It gets instruction, candidates, prompt and a schema, and answers in JSON."""
    heard = await google.transcribe(
        asked(model=FLASH, allowed_languages=("hi", "en-IN"), prompt="Zürich", temperature=0.4)
    )
    told = fake.generated.contents[0].parts[1].text

    assert (TEXT, "en-US") == (heard.text, heard.language)
    assert 0.4 == generation(fake)["temperature"]
    assert "hi-IN, en-IN" in told
    assert "Zürich" in told


async def test_a_general_model_translates(google, fake):
    """The other instruction is given."""
    await google.transcribe(asked(model=FLASH, language="hi", task=Task.TRANSLATE))

    assert "in English" in fake.generated.contents[0].parts[1].text


@pytest.mark.parametrize("text", ["no JSON", '{"language": "en"}', ""])
async def test_a_general_model_that_chats_gives_no_answer(google, fake, text):
    """Only the agreed shape is a transcript."""
    fake.answer = answer({"text": text})
    with pytest.raises(ProviderAnswerError):
        await google.transcribe(asked(model=FLASH))


@pytest.mark.parametrize("wish", ["word_timestamps", "segment_timestamps", "diarization"])
async def test_long_recordings_have_no_times(google, fake, wish):
    """Over half an hour the vendor would refuse them; nothing is sent."""
    clip = attrs.evolve(silent_clip(1.0), frames=16_000 * 1801)
    with pytest.raises(ProviderRejectedError, match="1800 seconds"):
        await google.transcribe(asked(audio=clip, **{wish: True}))

    assert not fake.seen


@pytest.mark.parametrize(
    "fields",
    [{"task": Task.TRANSLATE}, {"language": "ta-IN"}],
    ids=["no translation", "no Tamil"],
)
async def test_what_cannot_be_done_is_not_sent(google, fake, fields):
    """A wish outside the card costs no upload."""
    with pytest.raises(ProviderRejectedError):
        await google.transcribe(asked(**fields))

    assert not fake.seen


async def test_m4a_has_its_own_name(google, fake):
    """What we sniff as audio/mp4 is called audio/m4a there."""
    clip = Clip(
        data=CLIP.data, media_type="audio/mp4", frames=CLIP.frames, rate=16_000, decode=CLIP.samples
    )
    await google.transcribe(asked(audio=clip))

    assert "audio/m4a" == fake.generated.contents[0].parts[0].inline_data.mime_type
