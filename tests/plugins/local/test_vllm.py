"""The vLLM provider, before servers that stand in for vLLM and take what it takes."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct, json

from junctor.conf.settings import Secret, Settings, Storage
from junctor.core.chat.dialect import request_of, text_of
from junctor.core.engine.spec import EngineState
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderRejectedError,
    ProviderRestingError,
)
from junctor.core.requests import ChatRequest
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.local.vllm import VllmProvider, junctor_providers
from junctor.plugins.local.vllm_settings import VllmModelSettings, server_of
from tests.fakes.vllm import model_settings, provider_of
from tests.waiting import until

A_MODEL = {"model": "m", "python": "p"}
Make = Callable[..., VllmProvider]


class Told(Struct):
    """What a stand-in says of a request, and of itself."""

    request: dict[str, object]
    flags: list[str]
    device: str | None
    pid: int

    def flag(self, name: str) -> str:
        """The value of a flag it was started with."""
        return self.flags[self.flags.index(name) + 1]


def hello(model: str = "qwen", text: str = "Hello", **fields: Any) -> ChatRequest:
    """A conversation, for this replica."""
    request = request_of([{"role": "user", "content": text}], model="any", **fields)
    return ChatRequest(body=request.body, model=model)


async def told(provider: VllmProvider, request: ChatRequest) -> Told:
    """Ask, and read what the stand-in says."""
    return json.decode(text_of((await provider.chat(request)).body), type=Told)


async def all_ready(provider: VllmProvider) -> VllmProvider:
    """Start it, and wait until all of its servers are ready."""
    await provider.start()
    await until(lambda: {one.state for one in provider.engines().values()} == {EngineState.READY})
    return provider


@pytest.fixture(name="make")
async def _make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make providers of a model `qwen`; all are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(**settings) -> VllmProvider:
            provider = provider_of(tmp_path, qwen=model_settings(**settings))
            stack.push_async_callback(provider.close)
            return provider

        yield make


class TestConformance(ProviderConformance):
    """It does what every provider must; one server does all."""

    loop_scope = "class"

    @pytest.fixture
    def provider(self, tmp_path: Path) -> VllmProvider:
        return provider_of(tmp_path, qwen=model_settings())

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[override]
        provider = provider_of(tmp_path_factory.mktemp("vllm"), qwen=model_settings())
        yield await all_ready(provider)
        await provider.close()

    @pytest.fixture
    def clip(self):
        return silent_clip(1.0)


async def test_each_replica_is_a_copy_with_a_device_of_its_own(make: Make):
    """Replicas have cards, processes, devices and names of their own, and one model in common."""
    provider = await all_ready(make(replicas=2, devices=("0", "1")))

    cards = provider.models()
    answers = [await told(provider, hello(card.id)) for card in cards]

    assert [(card.id, card.replica_of) for card in cards] == [
        ("qwen@1", "qwen"),
        ("qwen@2", "qwen"),
    ]
    assert [one.device for one in answers] == ["0", "1"]
    assert [one.request["model"] for one in answers] == ["qwen@1", "qwen@2"]
    assert len({one.pid for one in answers}) == 2


def test_a_single_server_is_no_replica(tmp_path: Path):
    """Where there is one server, its card is that of the model itself."""
    [card] = provider_of(tmp_path, qwen=model_settings(context_tokens=4096)).models()

    assert (card.name, card.replica_of, card.context_tokens) == ("vllm:qwen", None, 4096)


async def test_starts_vllm_with_the_flags_of_the_model(make: Make):
    """What the settings say reaches vLLM as its flags, further ones last."""
    provider = await all_ready(make(context_tokens=4096, args=("--dtype", "bfloat16")))

    answer = await told(provider, hello())

    assert answer.flag("--model") == "Qwen/Qwen3-4B"
    assert answer.flag("--max-model-len") == "4096"
    assert answer.flag("--reasoning-parser") == "qwen3"
    assert answer.flag("--tool-call-parser") == "hermes"
    assert answer.flags[-2:] == ["--dtype", "bfloat16"]


@pytest.mark.parametrize(
    ("effort", "switch", "budget"),
    [(None, False, None), ("none", False, None), ("low", True, 1024), ("high", True, None)],
)
async def test_effort_becomes_the_thinking_switch(
    make: Make, effort: str | None, switch: bool, budget: int | None
):
    """`reasoning_effort` turns Qwen's thinking on and off, and bounds it; it goes no further."""
    provider = await all_ready(make())
    fields: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}

    request = (await told(provider, hello(**fields))).request

    assert request["chat_template_kwargs"] == {"enable_thinking": switch}
    assert request["reasoning_effort"] is None
    assert request.get("thinking_token_budget") == budget


async def test_what_the_caller_says_in_vllms_own_words_comes_first(make: Make):
    """Fields of vLLM itself, and a temperature, are the caller's."""
    provider = await all_ready(make())
    own: dict[str, Any] = {
        "chat_template_kwargs": {"enable_thinking": True, "x": 1},
        "thinking_token_budget": 5,
    }

    request = (await told(provider, hello(reasoning_effort="low", temperature=0, **own))).request

    assert request.items() >= own.items()
    assert request["temperature"] == 0


async def test_other_models_get_the_effort_as_it_is(make: Make):
    """With `reasoning = "none"` nothing is switched; the default temperature is given all the same."""
    provider = await all_ready(make(reasoning="none", tool_parser=""))

    answer = await told(provider, hello(reasoning_effort="low"))

    assert answer.request["reasoning_effort"] == "low"
    assert "chat_template_kwargs" not in answer.request
    assert answer.request["temperature"] == 0.7
    assert not {"--reasoning-parser", "--tool-call-parser"} & set(answer.flags)


@pytest.mark.parametrize("fields", [{"reasoning_effort": 1}, {"chat_template_kwargs": "x"}])
async def test_senseless_wishes_to_think_are_refused(make: Make, fields: dict[str, Any]):
    """A thinking switch that is none is refused before vLLM sees it."""
    provider = await all_ready(make())

    with pytest.raises(ProviderRejectedError):
        await provider.chat(hello(**fields))


async def test_a_server_that_starts_refuses(make: Make):
    """Starting waits for no server, and a request for one that is not ready is refused at once."""
    provider = make(python="/nowhere/python")
    await provider.start()

    with pytest.raises(ProviderRestingError, match=r"vllm:qwen is not ready \(starting\)"):
        provider.stream_chat(hello())


async def test_an_unknown_replica_is_refused(make: Make):
    """The replicas there are, are named."""
    with pytest.raises(ProviderRejectedError, match=r"only qwen@1, qwen@2"):
        await make(replicas=2).chat(hello("qwen"))


async def test_a_killed_replica_comes_back(make: Make):
    """After kill -9 the other replica answers on, and the killed one does so again soon."""
    provider = await all_ready(make(replicas=2))
    first = await told(provider, hello("qwen@1"))

    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: provider.engines()["qwen@1"].crashes == 1)
    assert (await told(provider, hello("qwen@2"))).pid != first.pid
    await until(lambda: provider.engines()["qwen@1"].state is EngineState.READY)

    assert (await told(provider, hello("qwen@1"))).pid != first.pid


async def test_who_leaves_a_stream_is_noticed(make: Make, tmp_path: Path):
    """Closing a stream closes the connection to vLLM, which then stops its work."""
    provider = await all_ready(make())
    stream = provider.stream_chat(hello(text="wait for ever"))

    async with aclosing(stream):  # type: ignore[type-var]
        await anext(stream)

    await until(lambda: "the client has gone" in (tmp_path / "vllm-qwen.log").read_text())


async def test_servers_that_run_already_are_asked_and_left_alone(make: Make, tmp_path: Path):
    """With `urls` nothing is started: the servers are watched, asked by their name, and not stopped."""
    key = Secret("sesame")
    theirs = await all_ready(make(api_key=key))
    url = theirs.engines()["qwen"].url
    settings = VllmModelSettings(
        urls=(url, f"{url}/v1/"), model="qwen", api_key=key, health_interval=0.05
    )
    ours = provider_of(tmp_path, chat=settings)

    await all_ready(ours)
    answer = await told(ours, hello("chat@2", reasoning_effort="low"))
    await ours.close()

    assert answer.request["model"] == "qwen"
    assert "thinking_token_budget" not in answer.request
    assert theirs.engines()["qwen"].state is EngineState.READY


async def test_a_watched_server_that_ends_is_left_out(make: Make, tmp_path: Path):
    """A server of others that does not answer any more is asked again when it does."""
    theirs = await all_ready(make())
    url = theirs.engines()["qwen"].url
    ours = provider_of(tmp_path, qwen=VllmModelSettings(urls=(url,), health_interval=0.02))
    await all_ready(ours)

    await theirs.close()
    await until(lambda: ours.engines()["qwen"].state is EngineState.BACKOFF)
    with pytest.raises(ProviderRestingError):
        await ours.chat(hello())
    await ours.close()

    assert ours.engines()["qwen"].crashes == 1


async def test_the_key_is_not_among_the_arguments(make: Make):
    """A key of a server started here is wanted by it, and shows in no list of processes."""
    provider = await all_ready(make(api_key=Secret("sesame")))

    answer = await told(provider, hello())

    assert "sesame" not in " ".join(answer.flags)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "Qwen/Qwen3-4B"},
        {"urls": ["gpu1:8000"]},
        {"urls": ["http://gpu1:8000/v1/chat/completions"]},
        {"python": "python", "model": "m", "replicas": 2, "devices": ["0"]},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]):
    """A model needs servers or the means to start them, URLs that are some, and enough devices."""
    plugins: dict[str, dict[str, object]] = {"vllm": {"models": {"qwen": settings}}}

    with pytest.raises(ConfigError, match="qwen"):
        junctor_providers(Settings(plugins=plugins))


def test_without_a_model_it_sits_out():
    """Nothing is served by default, and the reason names the table to write."""
    with pytest.raises(NotConfiguredError, match=r"plugins\.vllm\.models"):
        junctor_providers(Settings())


def test_logs_are_in_the_data_folder(tmp_path: Path):
    """What the servers print is where all else is that the server writes."""
    plugins: dict[str, dict[str, object]] = {"vllm": {"models": {"a/b:c": A_MODEL}}}
    settings = Settings(plugins=plugins, storage=Storage(data_dir=str(tmp_path)))

    [provider] = junctor_providers(settings)
    [replica] = provider._replicas.values()
    spec = server_of(replica.card, replica.settings, device=None, log_folder=provider._log_folder)

    assert spec.log_file == tmp_path / "logs" / "vllm-a_b_c.log"
