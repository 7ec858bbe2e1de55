"""Conversations with Gemini: each field of OpenAI's dialect, there and back."""

import json

import pytest

from junctor.core.cards import CHAT_FEATURES, Capability, Feature
from junctor.core.chat.dialect import conversation_of, request_of
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Target
from junctor.core.providers import ChatModel
from junctor.core.requests import ChatRequest
from junctor.plugins.remote.google.cards import GEMINI_CARDS
from junctor.plugins.remote.google.chat import completion, document
from tests.fakes.vendors.google_chat import SIGNATURE, UNSIGNED
from tests.waiting import patience

CARD_OF = {card.id: card for card in GEMINI_CARDS if Capability.CHAT in card.capabilities}
FLASH, OLD, LITE, PRO = CARD_OF
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
PNG = "data:image/png;base64,aGk="
TARGET = Target("google", FLASH)
SIGNED = {"google": {"thought_signature": SIGNATURE}}
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("minute", ProviderRateLimitedError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("deadline", ProviderUnavailableError),
    ("unauthorized", ProviderAuthError),
    ("forbidden", ProviderAuthError),
    ("quota", ProviderQuotaError),
    ("billing", ProviderQuotaError),
    ("locale", ProviderRejectedError),
    ("missing", ProviderRejectedError),
    ("too-large", ProviderRejectedError),
    ("odd", ProviderUnavailableError),
    ("malformed", ProviderAnswerError),
    ("cut", ProviderAnswerError),
    ("reset", ProviderUnavailableError),
    ("hang", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]


def asked(messages=HI, model=FLASH, **fields) -> ChatRequest:
    return ChatRequest(body=request_of(messages, **fields).body, model=model)


def sent(messages=HI, model=FLASH, **fields):
    """Return the document that a request becomes, as JSON has it."""
    conversation = conversation_of(asked(messages, **fields))
    written = document(conversation, CARD_OF[model], Target("google", model))
    return json.loads(json.dumps(written, default=lambda raw: json.loads(bytes(raw))))


async def answered(provider, request=None):
    return json.loads((await provider.chat(request or asked())).body)


def called(*calls) -> dict[str, object]:
    return {"role": "assistant", "tool_calls": list(calls)}


def call(id_: str, arguments: str = "{}", extra: object = None) -> dict[str, object]:
    function = {"name": "look", "arguments": arguments}
    return {"id": id_, "type": "function", "function": function, "extra_content": extra}


GOLDEN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg?x=1"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ],
    },
    {"role": "assistant", "content": "Let me look."},
    called(call("c1", '{"at": 1.50}', SIGNED), call("c2")),
    {"role": "tool", "tool_call_id": "c1", "content": '{"seen": "a cat"}'},
    {"role": "tool", "tool_call_id": "c2", "content": "a mat"},
    {"role": "developer", "content": "Rhyme."},
    {"role": "user", "content": "And?"},
]
CONTENTS = [
    {
        "role": "user",
        "parts": [
            {"text": "What is this?"},
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
            {"fileData": {"fileUri": "https://example.com/cat.jpg?x=1", "mimeType": "image/jpeg"}},
            {"fileData": {"fileUri": "https://example.com/cat"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        ],
    },
    {
        "role": "model",
        "parts": [
            {"text": "Let me look."},
            {
                "functionCall": {"name": "look", "args": {"at": 1.5}, "id": "c1"},
                "thoughtSignature": SIGNATURE,
            },
            {"functionCall": {"name": "look", "args": {}, "id": "c2"}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "look", "response": {"seen": "a cat"}, "id": "c1"}},
            {"functionResponse": {"name": "look", "response": {"output": "a mat"}, "id": "c2"}},
            {"text": "And?"},
        ],
    },
]


def test_a_whole_conversation():
    """System, pictures, sounds, calls and their results become turns that alternate."""
    written = sent(GOLDEN, tools=[TOOL])

    assert {"parts": [{"text": "Be brief.\n\nRhyme."}]} == written["systemInstruction"]
    assert CONTENTS == written["contents"]


async def test_the_vendor_takes_it(provider, fake):
    """The same conversation is what the API's documentation asks for."""
    await provider.chat(asked(GOLDEN, tools=[TOOL], stop="###", max_tokens=7))
    config = fake.asked.generation_config

    assert [] == fake.problems
    assert (["###"], 7) == (config.stop_sequences, config.max_output_tokens)
    assert f"/v1beta/models/{FLASH}:generateContent" == fake.seen[0].path


@pytest.mark.parametrize(
    "extra", [None, {}, {"google": None}, {"google": {"thought_signature": 1}}, "x", {"other": {}}]
)
async def test_a_call_without_a_signature(provider, fake, extra):
    """A call that another model made, or whose signature was lost, says so as Google wants it."""
    result = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    messages = [*HI, called(call("c1", extra=extra)), result]
    (_, turn, _) = sent(messages, tools=[TOOL])["contents"]
    await provider.chat(asked(messages, tools=[TOOL]))

    assert [UNSIGNED] == [part["thoughtSignature"] for part in turn["parts"]]
    assert [] == fake.problems


async def test_signatures_survive_the_round_trip(provider, fake):
    """What comes with a call goes back with it, if the client sends its calls back as they came."""
    made = {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": SIGNATURE}
    fake.talk.answers = [[made, {"functionCall": {"name": "look", "args": {"x": 1}, "id": "own"}}]]
    (choice,) = (await answered(provider, asked(tools=[TOOL])))["choices"]
    calls = choice["message"]["tool_calls"]
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "1"} for one in calls]
    await provider.chat(asked([*HI, choice["message"], *results], tools=[TOOL]))

    assert [SIGNED, None] == [one.get("extra_content") for one in calls]
    assert [SIGNATURE, None] == [
        part.thought_signature for part in fake.asked.contents[1].parts if part.function_call
    ]
    assert "own" == calls[1]["id"]
    assert [] == fake.problems


def config(**fields: object) -> dict[str, object]:
    return {"generationConfig": fields}


FIELDS = [
    ({"temperature": 0.0, "top_p": 0.5, "top_k": 3}, config(temperature=0.0, topP=0.5, topK=3)),
    ({"max_completion_tokens": 5, "max_tokens": 9}, config(maxOutputTokens=5)),
    ({"stop": ["a", "b"]}, config(stopSequences=["a", "b"])),
    ({"n": 2, "seed": 7}, config(candidateCount=2, seed=7)),
    (
        {"frequency_penalty": 1.0, "presence_penalty": -1.0},
        config(frequencyPenalty=1.0, presencePenalty=-1.0),
    ),
    ({"response_format": {"type": "json_object"}}, config(responseMimeType="application/json")),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
    ),
    (
        {"reasoning_effort": "medium"},
        config(thinkingConfig={"thinkingLevel": "MEDIUM", "includeThoughts": True}),
    ),
    (
        {"reasoning_effort": "max"},
        config(thinkingConfig={"thinkingLevel": "HIGH", "includeThoughts": True}),
    ),
    (
        {"tools": [TOOL], "tool_choice": "auto"},
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}},
    ),
    (
        {"tools": [TOOL], "tool_choice": "none"},
        {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
    ),
    (
        {"tools": [TOOL], "tool_choice": "required"},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}
            }
        },
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "description": "d"}}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "description": "d"}]}]},
    ),
    (
        {"tools": [TOOL]},
        {
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "look", "parametersJsonSchema": {"type": "object"}}
                    ]
                }
            ]
        },
    ),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
async def test_fields(provider, fake, fields, expected):
    """Each field has its place, and the vendor takes it there."""
    written = sent(**fields)
    await provider.chat(asked(**fields))

    assert expected == {name: written[name] for name in expected}
    assert [] == fake.problems


@pytest.mark.parametrize("effort", ["none", "minimal"])
@pytest.mark.parametrize(
    ("model", "level"), [(FLASH, "LOW"), (OLD, "MINIMAL"), (LITE, "MINIMAL"), (PRO, "LOW")]
)
async def test_least_thought(provider, fake, model, level, effort):
    """Nothing turns thinking off; each model has its least."""
    await provider.chat(asked(model=model, reasoning_effort=effort))
    told = fake.asked.generation_config.thinking_config

    assert (level, effort == "minimal") == (told.thinking_level, told.include_thoughts)
    assert [] == fake.problems


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "parallel_tool_calls": False, "repetition_penalty": 1.1, "store": True},
        {"n": 1, "logprobs": False, "response_format": {"type": "text"}, "tool_choice": "auto"},
        {"stream": True, "stream_options": {"include_usage": True}},
    ],
)
def test_what_is_left_out(fields):
    """What the API does not know is not sent; the answer is right without it."""
    assert {"contents"} == sent(**fields).keys()


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


IMPOSSIBLE = [
    ({"logprobs": True}, "log probabilities"),
    ({"tools": [{"type": "web_search"}]}, "no tools of the type web_search"),
    ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "a function only"),
    ({"messages": [{"role": "system", "content": "x"}]}, "a message of the user"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "role function"),
    ({"messages": [*HI, {"role": "tool", "content": "x"}]}, "which call"),
    ({"messages": user({"type": "file"})}, "no file"),
    ({"messages": user({"type": "image_url", "image_url": {"url": "http://x"}})}, "pictures as"),
    ({"messages": user({"type": "input_audio"})}, "no input_audio"),
    (
        {"messages": user({"type": "input_audio", "input_audio": {"format": "g711"}})},
        "wav or mp3",
    ),
    ({"messages": [*HI, called({"id": "1", "type": "custom"})]}, "functions only"),
    ({"messages": [*HI, called(call("1", "[1]"))]}, "arguments"),
    ({"messages": [{"role": "user", "content": 1}]}, "field is not of its type"),
]


@pytest.mark.parametrize(("fields", "why"), IMPOSSIBLE)
async def test_what_cannot_be_said(provider, fake, fields, why):
    """What this API has no words for is refused here, so that another candidate takes it."""
    with pytest.raises(ProviderRejectedError, match=why):
        await provider.chat(asked(**fields))

    assert [] == fake.seen


async def test_an_answer(provider, fake):
    """Text and thoughts are where OpenAI's clients look for them, tokens of thoughts counted."""
    fake.talk.answers = [[{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}]]
    answer = await answered(provider)

    assert {"role": "assistant", "content": "ab", "reasoning_content": "hm"} == (
        answer["choices"][0]["message"]
    )
    assert {"prompt_tokens": 15, "completion_tokens": 13, "total_tokens": 28} == answer["usage"]
    assert ("resp-1", "chat.completion", FLASH) == (
        answer["id"],
        answer["object"],
        answer["model"],
    )


async def test_several_answers(provider, fake):
    """Each candidate is a choice."""
    fake.talk.answers = [[{"text": "a"}], [{"text": "b"}]]
    answer = await answered(provider, asked(n=2))

    assert [(0, "a"), (1, "b")] == [
        (one["index"], one["message"]["content"]) for one in answer["choices"]
    ]


async def test_calls(provider, fake):
    """A call has an id of its own where Gemini gives none, and ends the answer as such."""
    fake.talk.answers = [[{"functionCall": {"name": "look", "args": {"x": [1.50]}}}]]
    (choice,) = (await answered(provider, asked(tools=[TOOL])))["choices"]
    (made,) = choice["message"]["tool_calls"]

    assert (None, "tool_calls") == (choice["message"]["content"], choice["finish_reason"])
    assert {"x": [1.5]} == json.loads(made["function"]["arguments"])
    assert made["id"].startswith("call_")


ENDS = [
    ("STOP", "stop"),
    (None, "stop"),
    ("MAX_TOKENS", "length"),
    ("SAFETY", "content_filter"),
    ("RECITATION", "content_filter"),
    ("PROHIBITED_CONTENT", "content_filter"),
    ("SPII", "content_filter"),
]


@pytest.mark.parametrize(("reason", "expected"), ENDS)
async def test_ends(provider, fake, reason, expected):
    """Each reason to stop has its name in OpenAI's dialect."""
    fake.talk.finish = reason

    assert expected == (await answered(provider))["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("MALFORMED_FUNCTION_CALL", ProviderAnswerError),
        ("UNEXPECTED_TOOL_CALL", ProviderAnswerError),
        ("OTHER", ProviderAnswerError),
        ("NEW", ProviderAnswerError),
        ("MISSING_THOUGHT_SIGNATURE", ProviderRejectedError),
    ],
)
async def test_answers_that_are_none(provider, fake, reason, error):
    """An answer that was broken off is an error, never half an answer."""
    fake.talk.finish = reason

    with pytest.raises(error):
        await provider.chat(asked())


async def test_a_blocked_prompt(provider, fake):
    """A prompt that is held back is an empty answer that was filtered."""
    fake.answer = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}
    (choice,) = (await answered(provider))["choices"]

    assert ("", "content_filter") == (choice["message"]["content"], choice["finish_reason"])


@pytest.mark.parametrize("body", [b"{}", b"[]", b"LEAK", b'{"candidates": []}', b"\xff"])
def test_nonsense(body):
    """What is no answer is an error, and says nothing of what was said."""
    with pytest.raises(ProviderAnswerError) as caught:
        completion(body, TARGET)

    assert "LEAK" not in repr(caught.value)


@pytest.mark.parametrize(("name", "error"), FAULTS, ids=[name for name, _ in FAULTS])
async def test_faults(start, fake, name, error):
    """Each fault is its error, and tells nothing of what Google said."""
    provider = await start(timeout=patience(error))
    fake.always = name
    with pytest.raises(error) as caught:
        await provider.chat(asked())

    assert ("google", FLASH) == (caught.value.provider, caught.value.model)
    assert "LEAK" not in repr(caught.value)


async def test_cards(start):
    """Four models chat, at prices of tokens beside those of minutes; none tells log probabilities."""
    google = await start(models={FLASH: {"prompt_price": 1.5, "output_price": 7.5}})
    cards = [card for card in google.models() if Capability.CHAT in card.capabilities]

    assert isinstance(google, ChatModel)
    assert [FLASH, OLD, LITE, PRO] == [card.id for card in cards]
    assert (1.5, 7.5, 0.004) == (
        cards[0].price_of(Capability.CHAT),
        cards[0].output_price,
        cards[0].price_of(Capability.TRANSCRIBE),
    )
    assert {CHAT_FEATURES - {Feature.LOGPROBS}} == {card.features & CHAT_FEATURES for card in cards}
    assert {(1_048_576, 65_536)} == {
        (card.context_tokens, card.max_output_tokens) for card in cards
    }
