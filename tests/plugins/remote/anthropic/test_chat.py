"""Conversations with Claude: each field of OpenAI's dialect, there and back."""

import json

import pytest

from junctor.core.cards import Capability, Feature
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
from junctor.plugins.remote.anthropic.cards import CARDS
from junctor.plugins.remote.anthropic.chat import completion, document
from tests.plugins.remote.adapters import plugged
from tests.waiting import patience

HAIKU, SONNET, OPUS, FABLE = (card.id for card in CARDS)
CARD_OF = {card.id: card for card in CARDS}
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
PNG = "data:image/png;base64,aGk="
TARGET = Target("anthropic", SONNET)
TOKENS = {"input_tokens": 1, "output_tokens": 2}
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("overloaded", ProviderUnavailableError),
    ("gateway-timeout", ProviderUnavailableError),
    ("unauthorized", ProviderAuthError),
    ("permission", ProviderAuthError),
    ("quota", ProviderQuotaError),
    ("credit", ProviderQuotaError),
    ("locale", ProviderRejectedError),
    ("missing", ProviderRejectedError),
    ("too-large", ProviderRejectedError),
    ("malformed", ProviderAnswerError),
    ("cut", ProviderAnswerError),
    ("reset", ProviderUnavailableError),
    ("hang", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]


def asked(messages=HI, model=SONNET, **fields) -> ChatRequest:
    return ChatRequest(body=request_of(messages, **fields).body, model=model)


def sent(messages=HI, model=SONNET, **fields):
    """Return the document that a request becomes, as JSON has it."""
    conversation = conversation_of(asked(messages, **fields))
    written = document(conversation, CARD_OF[model], Target("anthropic", model), max_tokens=32_000)
    return json.loads(json.dumps(written, default=lambda raw: json.loads(bytes(raw))))


async def answered(provider, request):
    return json.loads((await provider.chat(request)).body)


GOLDEN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
        ],
    },
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"id": "toolu_1", "function": {"name": "look", "arguments": '{"at": 1.50, "on": {}}'}},
            {"id": "functions.look:2", "function": {"name": "look", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "toolu_1", "content": "a cat"},
    {
        "role": "tool",
        "tool_call_id": "functions.look:2",
        "content": [{"type": "text", "text": "a mat"}],
    },
    {"role": "developer", "content": "Rhyme."},
    {"role": "user", "content": "And?"},
]
TURNS = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
            },
            {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1.5, "on": {}}},
            {"type": "tool_use", "id": "functions_look_2", "name": "look", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [{"type": "text", "text": "a cat"}],
            },
            {
                "type": "tool_result",
                "tool_use_id": "functions_look_2",
                "content": [{"type": "text", "text": "a mat"}],
            },
            {"type": "text", "text": "And?"},
        ],
    },
]


def test_a_whole_conversation():
    """System, pictures, calls and their results become turns that alternate."""
    written = sent(GOLDEN, tools=[TOOL])

    assert "Be brief.\n\nRhyme." == written["system"]
    assert TURNS == written["messages"]


async def test_the_vendor_takes_it(provider, fake):
    """The same conversation is what the API's documentation asks for."""
    await provider.chat(asked(GOLDEN, tools=[TOOL], user="u-1", stop="###", max_tokens=7))
    told = fake.asked

    assert [] == fake.problems
    assert (SONNET, 7, ["###"], "u-1") == (
        told.model,
        told.max_tokens,
        told.stop_sequences,
        told.metadata.user_id,
    )


FIELDS = [
    ({}, {"max_tokens": 32_000}),
    ({"max_completion_tokens": 5, "max_tokens": 9}, {"max_tokens": 5}),
    ({"stop": ["a", "", "b"]}, {"stop_sequences": ["a", "b"]}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
    ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}),
    ({"reasoning_effort": "max"}, {"output_config": {"effort": "max"}}),
    (
        {"reasoning_effort": "low"},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
    ),
    ({"reasoning_effort": "none"}, {"thinking": {"type": "between_tools"}}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    ({"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    (
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    (
        {"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False},
        {"tool_choice": {"type": "none"}},
    ),
    (
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "d",
                        "strict": True,
                        "parameters": SCHEMA,
                    },
                }
            ]
        },
        {"tools": [{"name": "f", "description": "d", "strict": True, "input_schema": SCHEMA}]},
    ),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
async def test_fields(provider, fake, fields, expected):
    """Each field has its place, and the vendor takes it there."""
    written = sent(**fields)
    await provider.chat(asked(**fields))

    assert expected == {name: written[name] for name in expected}
    assert [] == fake.problems


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
async def test_a_call_can_be_forced_on_haiku(provider, fake, wish, expected):
    """Only Haiku can be made to call a tool."""
    fields = {"tools": [TOOL], "tool_choice": wish}
    await provider.chat(asked(model=HAIKU, **fields))

    assert expected == sent(model=HAIKU, **fields)["tool_choice"]
    assert [] == fake.problems


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (HAIKU, {"thinking": {"type": "disabled"}}),
        (SONNET, {"thinking": {"type": "between_tools"}}),
        (OPUS, {"output_config": {"effort": "low"}}),
        (FABLE, {"output_config": {"effort": "low"}}),
    ],
)
async def test_no_thought(provider, fake, model, expected):
    """Thinking is turned off as far as the model lets it be; those that always think do so least."""
    written = sent(model=model, reasoning_effort="none")
    await provider.chat(asked(model=model, reasoning_effort="none"))

    assert expected == {key: written[key] for key in written if key in {"thinking", *expected}}
    assert [] == fake.problems


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.5, "top_p": 0.9, "top_k": 3},
        {"seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "repetition_penalty": 1.1},
        {"n": 1, "logprobs": False, "response_format": {"type": "text"}, "tool_choice": "auto"},
        {"stream": True, "stream_options": {"include_usage": True}, "store": True},
    ],
)
def test_what_is_left_out(fields):
    """What the models refuse or do not know is not sent; the answer is right without it."""
    assert {"model", "max_tokens", "messages"} == sent(**fields).keys()


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


IMPOSSIBLE = [
    ({"n": 2}, "one answer"),
    ({"logprobs": True}, "log probabilities"),
    ({"response_format": {"type": "json_object"}}, "the schema"),
    ({"tools": [TOOL], "tool_choice": "required"}, "made to call"),
    ({"tools": [{"type": "web_search"}]}, "no tools of the type web_search"),
    ({"messages": [{"role": "system", "content": "x"}]}, "a message of the user"),
    ({"messages": [{"role": "user", "content": " "}]}, "a message of the user"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "role function"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "which call"),
    ({"messages": user({"type": "input_audio", "input_audio": {}})}, "no input_audio"),
    ({"messages": user({"type": "file"})}, "no file"),
    ({"messages": user({"type": "image_url", "image_url": {"url": "ftp://x"}})}, "pictures as"),
    (
        {
            "messages": user(
                {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,aGk="}}
            )
        },
        "JPEG",
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url"}]}, *HI]},
        "no image_url in messages of the system",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]}]},
        "functions only",
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}],
                }
            ]
        },
        "arguments",
    ),
    ({"messages": [{"role": "user", "content": 1}]}, "field is not of its type"),
]


@pytest.mark.parametrize(("fields", "why"), IMPOSSIBLE)
async def test_what_cannot_be_said(provider, fake, fields, why):
    """What this API has no words for is refused here, so that another candidate takes it."""
    with pytest.raises(ProviderRejectedError, match=why):
        await provider.chat(asked(**fields))

    assert [] == fake.seen


ANSWERS = [
    ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"content": "ab"}),
    ([], {"content": ""}),
    (
        [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"}],
        {"content": "a", "reasoning_content": "hm"},
    ),
    ([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}], {"content": "a"}),
    (
        [
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1.50}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
        ],
        {
            "content": "a",
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x": 1.5}'},
                },
                {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
    ),
    (
        [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
        {
            "content": None,
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
    ),
]


@pytest.mark.parametrize(("content", "expected"), ANSWERS)
async def test_answers(provider, fake, content, expected):
    """Text, thoughts and calls are where OpenAI's clients look for them."""
    fake.content = content
    answer = await answered(provider, asked())

    assert {"role": "assistant", **expected} == answer["choices"][0]["message"]
    assert {"prompt_tokens": 15, "completion_tokens": 20, "total_tokens": 35} == answer["usage"]
    assert ("msg_1", "chat.completion", SONNET) == (
        answer["id"],
        answer["object"],
        answer["model"],
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        (None, "stop"),
        ("new", "stop"),
    ],
)
async def test_ends(provider, fake, reason, expected):
    """Each reason to stop has its name in OpenAI's dialect."""
    fake.stop_reason = reason

    assert expected == (await answered(provider, asked()))["choices"][0]["finish_reason"]


async def test_refusal(provider, fake):
    """What is said about a refusal is where OpenAI's clients look for it."""
    fake.stop_reason, fake.content = "refusal", []
    fake.stop_details = {"type": "refusal", "category": "bio", "explanation": "No."}
    (choice,) = (await answered(provider, asked()))["choices"]

    assert ("No.", "content_filter") == (choice["message"]["refusal"], choice["finish_reason"])


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"LEAK", b'{"content": [], "usage": null}', b"\xff"]
)
def test_nonsense(body):
    """What is no message is an error, and says nothing of what was said."""
    with pytest.raises(ProviderAnswerError) as caught:
        completion(body, TARGET)

    assert "LEAK" not in repr(caught.value)


def test_usage_that_nobody_tells():
    """Counts that are missing are none."""
    body = json.dumps({"content": [], "usage": TOKENS, "new": 1}).encode()

    assert 1 == json.loads(completion(body, TARGET))["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("name", "error"), FAULTS, ids=[name for name, _ in FAULTS])
async def test_faults(start, fake, name, error):
    """Each fault is its error, and tells nothing of what Anthropic said."""
    provider = await start(timeout=patience(error))
    fake.always = name
    with pytest.raises(error) as caught:
        await provider.chat(asked())

    assert ("anthropic", SONNET) == (caught.value.provider, caught.value.model)
    assert "LEAK" not in repr(caught.value)


async def test_the_longest_answer_is_a_setting(start, fake):
    """A chat that names no bound gets the table's, and never more than the model gives."""
    provider = await start(chat_max_tokens=500, models={HAIKU: {"max_output_tokens": 100}})
    await provider.chat(asked())
    first = fake.asked.max_tokens
    await provider.chat(asked(model=HAIKU))

    assert (500, 100) == (first, fake.asked.max_tokens)


def test_cards(fake):
    """All chat with tools, schemas and pictures, a million tokens of them, at their own prices."""
    provider = plugged(fake, models={HAIKU: {"prompt_price": 0.5, "context_tokens": 100_000}})
    cards = provider.models()

    assert isinstance(provider, ChatModel)
    assert {(True, 128_000)} == {
        (Capability.CHAT in card.capabilities, card.max_output_tokens) for card in cards
    }
    assert [(0.5, 100_000), (2.0, 1_000_000)] == [
        (card.price_of(Capability.CHAT), card.context_tokens) for card in cards[:2]
    ]
    assert {Feature.TOOLS, Feature.STRUCTURED_OUTPUT, Feature.IMAGES, Feature.TRANSLATION} == (
        cards[0].features
    )
