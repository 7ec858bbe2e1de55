"""The tiny chat model behind the provider: streams, stops, thoughts, calls, and what goes wrong."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from attrs import evolve
from tokenizers import Tokenizer

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, Tier
from junctor.core.chat.dialect import Completion, request_of
from junctor.core.engine.spec import EngineState
from junctor.core.errors import (
    ProviderBusyError,
    ProviderContextError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import ChatRequest
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.local.ctranslate2 import ChatProvider, junctor_providers
from junctor.plugins.local.ctranslate2_settings import ChatModelSettings, ChatSettings, card_of
from junctor.plugins.local.tiny_chat import MODEL_DIR
from junctor.plugins.local.workers.chat import ChatWorker
from junctor.plugins.local.workers.chat_items import ChatOptions

QUESTION = "What is junctor?"
LONG = "Tell me a long story"
THAI = "สวัสดี"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def provider_of(**settings) -> ChatProvider:
    """Return a provider of one model with these settings."""
    return ChatProvider(ChatSettings(models={"one": ChatModelSettings(threads=1, **settings)}))


def asked(question: str, **fields) -> ChatRequest:
    return evolve(request_of([{"role": "user", "content": question}], **fields), model="one")


ENDLESS = asked(LONG, temperature=2, n=16)
"""Some of so many answers is long, and all of them take their time."""


async def whole(provider: ChatProvider, request: ChatRequest) -> Completion:
    return msgspec.json.decode((await provider.chat(request)).body, type=Completion)


async def streamed(provider: ChatProvider, request: ChatRequest) -> list[dict[str, Any]]:
    body = b"".join([data async for data in provider.stream_chat(request)])
    *events, done = body.decode().removesuffix("\n\n").split("\n\n")
    assert "data: [DONE]" == done
    return [json.loads(event.removeprefix("data: ")) for event in events]


def deltas(events: list[dict[str, Any]], name: str) -> list[Any]:
    return [
        choice["delta"][name]
        for event in events
        for choice in event["choices"]
        if choice["delta"].get(name)
    ]


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact that only the provider's status tells."""
    while not fact():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)


@pytest.mark.slow
class TestChat(ProviderConformance):
    """The rules of every provider; one engine does all."""

    loop_scope = "class"

    @pytest.fixture
    def provider(self):
        return provider_of()

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls):  # type: ignore[override]
        provider = provider_of()
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def clip(self):
        return silent_clip(1.0)


@pytest.fixture(name="run", scope="module")
def _run():
    """One loop for all tests that share an engine."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(name="chat", scope="module")
def _chat(run):
    """One loaded model."""
    provider = provider_of()
    yield provider
    run(provider.close())


@pytest.mark.parametrize("question", [QUESTION, LONG, THAI])
def test_a_stream_is_the_whole_answer(chat, run, question):
    """Pieces put together are the answer, with the same end and usage."""
    answer = run(whole(chat, asked(question)))
    events = run(streamed(chat, asked(question)))

    assert answer.choices[0].message.content == "".join(deltas(events, "content"))
    assert not any("\ufffd" in piece for piece in deltas(events, "content"))
    assert "stop" == answer.choices[0].finish_reason == events[-2]["choices"][0]["finish_reason"]
    assert msgspec.to_builtins(answer.usage) == events[-1]["usage"]


def test_thai_comes_piece_by_piece(chat, run):
    """Thai has no spaces to wait for, and no character is halved."""
    pieces = deltas(run(streamed(chat, asked(THAI, temperature=2, n=16))), "content")

    assert len(pieces) > 1
    assert any("\u0e00" <= letter <= "\u0e7f" for letter in "".join(pieces))


def test_usage_is_exact(chat, run):
    """Tokens are those of the tokenizer, the template's included."""
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    answer = run(whole(chat, asked(QUESTION)))
    said = answer.choices[0].message.content

    assert len(tokenizer.encode(prompt + "<think>\n\n</think>\n\n")) == answer.usage.prompt_tokens
    assert len(tokenizer.encode(said)) == answer.usage.completion_tokens


def test_stops_in_the_middle(chat, run):
    """A stop ends the answer before it, in a stream as in a whole answer."""
    full = run(whole(chat, asked(LONG))).choices[0].message.content
    word = full.split()[9]
    answer = run(whole(chat, asked(LONG, stop=["nowhere", word])))
    events = run(streamed(chat, asked(LONG, stop=word)))

    assert full.partition(word)[0] == answer.choices[0].message.content
    assert full.partition(word)[0] == "".join(deltas(events, "content"))
    assert "stop" == answer.choices[0].finish_reason
    assert msgspec.to_builtins(answer.usage) == events[-1]["usage"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_ends_the_answer(chat, run, name):
    """Exactly that many tokens come, and the end says why."""
    answer = run(whole(chat, asked(LONG, **{name: 7})))

    assert 7 == answer.usage.completion_tokens
    assert "length" == answer.choices[0].finish_reason


def test_thinks_when_asked(chat, run):
    """Thoughts are told apart from the answer; without `reasoning_effort` there are none."""
    quick = run(whole(chat, asked(QUESTION, reasoning_effort="none"))).choices[0].message
    slow = run(whole(chat, asked(QUESTION, reasoning_effort="low"))).choices[0].message
    events = run(streamed(chat, asked(QUESTION, reasoning_effort="low")))

    assert not quick.reasoning_content
    assert slow.reasoning_content == "".join(deltas(events, "reasoning_content")) != ""
    assert slow.content == "".join(deltas(events, "content")) != ""
    assert "think>" not in slow.content + slow.reasoning_content


def test_calls_a_function(chat, run):
    """A call comes as one, with an id of its own, whole and streamed."""
    request = asked("What is the weather in Tokyo?", tools=[WEATHER])
    choice = run(whole(chat, request)).choices[0]
    [[streamed_call]] = deltas(run(streamed(chat, request)), "tool_calls")
    [call] = choice.message.tool_calls

    assert "tool_calls" == choice.finish_reason
    assert "get_weather" == call.function.name == streamed_call["function"]["name"]
    assert ["city"] == list(json.loads(call.function.arguments))
    assert 0 == streamed_call["index"]
    assert call.id.startswith("call_")
    assert streamed_call["id"] != call.id


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": WEATHER["function"]}]
)
def test_a_call_can_be_required(chat, run, choice):
    """The answer is begun as a call, so that there is one."""
    request = asked("What is the weather in Tokyo?", tools=[WEATHER], tool_choice=choice)
    answer = run(whole(chat, request)).choices[0]

    assert "get_weather" == answer.message.tool_calls[0].function.name


def test_no_call_where_none_is_wanted(chat, run):
    """`none` does not even tell the model of the functions."""
    plain = run(whole(chat, asked(QUESTION)))
    answer = run(whole(chat, asked(QUESTION, tools=[WEATHER], tool_choice="none")))

    assert plain.usage == answer.usage
    assert plain.choices == answer.choices


def test_the_result_of_a_call_is_read(chat, run):
    """A conversation goes on behind a call and its result."""
    call = {"id": "c", "type": "function"}
    messages: list[dict[str, object]] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "What is the weather in Tokyo?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {**call, "function": {"name": "get_weather", "arguments": '{"city": "Tokyo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": '{"weather": "sunny"}'},
    ]
    request = evolve(request_of(messages, tools=[WEATHER]), model="one")

    assert run(whole(chat, request)).choices[0].message.content


def test_several_answers(chat, run):
    """`n` answers come beside each other, each with its end."""
    answer = run(whole(chat, asked(QUESTION, n=2)))
    events = run(streamed(chat, asked(QUESTION, n=2)))
    ends = [c["index"] for e in events for c in e["choices"] if c["finish_reason"]]
    one = run(whole(chat, asked(QUESTION)))

    assert [0, 1] == [choice.index for choice in answer.choices] == sorted(ends)
    assert [one.choices[0].message] * 2 == [choice.message for choice in answer.choices]
    assert 2 * one.usage.completion_tokens == answer.usage.completion_tokens


def test_logprobs_are_of_the_tokens(chat, run):
    """Each token has its likelihood, and the likeliest beside it; a stream tells them all."""
    fields = {"max_tokens": 5, "logprobs": True, "top_logprobs": 3, "n": 2}
    choices = json.loads(run(chat.chat(asked(QUESTION, **fields))).body)["choices"]
    events = run(streamed(chat, asked(QUESTION, **fields)))
    [tokens, other] = [choice["logprobs"]["content"] for choice in choices]
    pieces = [c["logprobs"]["content"] for e in events for c in e["choices"] if c["logprobs"]]

    assert choices[0]["message"]["content"] == "".join(one["token"] for one in tokens)
    assert all(one["top_logprobs"][0]["token"] == one["token"] for one in tokens)
    assert all(
        one["top_logprobs"][0]["logprob"] == pytest.approx(one["logprob"], abs=1e-3)
        for one in tokens
    )
    assert tokens == other
    assert 10 == sum(map(len, pieces))


def test_eight_at_once(chat, run):
    """Eight conversations are answered beside each other as they are one by one."""
    questions = [QUESTION, LONG, THAI, "Hello", QUESTION, LONG, THAI, "Hello"]

    async def together():
        return await asyncio.gather(*(whole(chat, asked(one)) for one in questions))

    together_said = [one.choices[0].message for one in run(together())]

    assert [run(whole(chat, asked(one))).choices[0].message for one in questions] == together_said


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"max_tokens": 5000}, "The prompt has"),
        ({"max_tokens": 0}, "at least 1"),
        ({"n": 0}, "`n`"),
        ({"temperature": 3}, "`temperature`"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"presence_penalty": 1}, "repetition_penalty"),
        ({"response_format": {"type": "json_object"}}, "format"),
    ],
)
def test_refuses_what_it_cannot_do(chat, run, fields, says):
    """What cannot be done is refused in words for the caller."""
    with pytest.raises(ProviderRejectedError, match=says):
        run(whole(chat, asked(QUESTION, **fields)))


def test_a_prompt_over_the_context_is_refused(chat, run):
    """The refusal says how long it is, counted, not guessed."""
    with pytest.raises(ProviderContextError, match=r"The prompt has \d{4,} tokens.*2048"):
        run(whole(chat, asked("word " * 3000)))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "wizard", "content": "Abracadabra"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]},
    ],
)
def test_messages_it_cannot_read_are_refused(chat, run, message):
    """What the template refuses, and what is no text, is the caller's business."""
    request = evolve(request_of([message]), model="one")
    with pytest.raises(ProviderRejectedError):
        run(whole(chat, request))


def test_leaving_frees_the_slot(run):
    """With one slot, the next conversation is served once the one before it was left."""

    async def leave() -> int:
        provider = provider_of(slots=1)
        async with aclosing(provider.stream_chat(ENDLESS)) as stream:
            await anext(stream)
        await whole(provider, asked(QUESTION))
        starts = provider.engines()["one"].starts
        await provider.close()
        return starts

    assert 1 == run(leave())


def test_a_full_queue_spills_over(run):
    """Beyond its slots and its queue the engine is busy, at once."""

    async def crowd() -> list[Completion | BaseException]:
        provider = provider_of(slots=1, max_queue=1)
        calls = (whole(provider, asked(LONG)) for _ in range(6))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await provider.close()
        return outcomes

    outcomes = run(crowd())

    assert any(isinstance(one, Completion) for one in outcomes)
    assert any(isinstance(one, ProviderBusyError) for one in outcomes)


def test_a_killed_engine_fails_its_stream_only(run):
    """A stream whose engine is killed tells so, and the next call has a new engine."""

    async def kill() -> Completion:
        provider = provider_of()
        stream = provider.stream_chat(ENDLESS)
        await anext(stream)
        os.kill(provider.engines()["one"].pid or 0, signal.SIGKILL)
        with pytest.raises(ProviderUnavailableError, match="SIGKILL"):
            async for _ in stream:
                pass
        await until(lambda: provider.engines()["one"].state is EngineState.UNLOADED)
        answer = await whole(provider, asked(QUESTION))
        await provider.close()
        return answer

    assert run(kill()).choices[0].message.content


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shutil.rmtree, "is missing"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"lacks tokenizer\.json"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "no chat template"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{% if %}"), "template"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer"),
        (lambda folder: (folder / "model.bin").write_bytes(b"nothing"), "damaged"),
    ],
    ids=["folder", "tokenizer", "template", "bad-template", "bad-tokenizer", "bad-model"],
)
def test_a_bad_folder_is_named(tmp_path, damage, says):
    """A folder that lacks something is refused with the reason, and without its path."""
    folder = shutil.copytree(MODEL_DIR, tmp_path / "model")
    damage(folder)
    with pytest.raises(ProviderUnavailableError, match=says) as found:
        ChatWorker(ChatOptions(path=str(folder)))

    assert str(tmp_path) not in str(found.value)


def test_a_missing_folder_fails_its_requests(run, tmp_path):
    """A model whose folder is not there refuses its requests, and says why."""
    provider = provider_of(path=str(tmp_path / "nothing"))
    with pytest.raises(ProviderUnavailableError, match="folder is missing"):
        run(whole(provider, asked(QUESTION)))
    run(provider.close())


def test_the_card_is_honest():
    """The tiny model says that it is tiny, and nothing is claimed that it cannot do."""
    card = card_of("one", ChatModelSettings())
    dumb = card_of("one", ChatModelSettings(path="/srv/model", tools=False, context_tokens=9))

    assert {Capability.CHAT} == card.capabilities
    assert {Feature.TOOLS, Feature.SEVERAL_ANSWERS, Feature.LOGPROBS} == card.features
    assert ("tiny" in card.summary, {Tier.LOW}, 2048) == (True, card.tiers, card.context_tokens)
    assert card.quality < 0.1
    assert (Feature.TOOLS in dumb.features, 9) == (False, dumb.context_tokens)


def test_serves_the_tiny_model_by_default():
    """Without a table the package's own model is there."""
    [provider] = junctor_providers(Settings())

    assert ["ctranslate2:junctor-tiny-chat"] == [card.name for card in provider.models()]
