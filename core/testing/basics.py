# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit that needs no media: cards, cheapness, and the life cycle."""

import asyncio
import json
import re
import sys
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator
from typing import ClassVar, Final, Literal

import pytest
import pytest_asyncio

from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.providers import PROTOCOLS, Provider

HEAVY: Final = frozenset(
    ("av", "ctranslate2", "diffusers", "faster_whisper", "litestar", "numba", "numpy",
     "onnxruntime", "pocketsphinx", "scipy", "sherpa_onnx", "sqlalchemy", "tensorflow", "tokenizers",
     "torch", "transformers")
)  # fmt: skip
"""Packages that must not be imported by naming a provider's module."""
_PROBE: Final = """
import json, sys, time
before = time.process_time()
__import__(sys.argv[1])
print(json.dumps([time.process_time() - before, sorted(sys.modules)]))
"""
_TURNS: Final = 5
"""Of the event loop, in which a call reaches what does the work."""
_TAG: Final = re.compile(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")


class BasicConformance:
    """Cards, import, start and close."""

    loop_scope: ClassVar[Literal["function", "class"]] = "function"
    """Whether each test has an event loop of its own, or the class has one for all."""
    patience: ClassVar[float] = 60.0
    """Longest time that one call on `clip` may take, loading included, seconds."""
    prompt: ClassVar[float] = 10.0
    """Longest time from a cancel to the end of the work behind it, seconds."""
    head_start: ClassVar[float] = 0.05
    """Time a call gets before it is cancelled, seconds; what is cancelled must take longer."""
    language: ClassVar[str | None] = "en"
    """The language of what is said, BCP-47; None leaves it to the provider to find out."""
    max_lag: ClassVar[float] = 0.5
    """Longest stall of the event loop that is borne, seconds; generous, for busy machines."""
    import_seconds: ClassVar[float] = 2.0
    """CPU time that importing the provider's module may take, seconds."""
    pytestmark: ClassVar[list[pytest.MarkDecorator]]
    module: ClassVar[str | None] = None
    """The module that names the provider; where its class is defined, unless given."""

    def __init_subclass__(cls) -> None:
        """Mark the tests as asynchronous, on the loop that was chosen."""
        if cls.__name__.startswith("Test"):  # of several such marks, pytest heeds the base's
            own = cls.__dict__.get("pytestmark", [])
            marks = own if isinstance(own, list) else [own]
            cls.pytestmark = [*marks, pytest.mark.asyncio(loop_scope=cls.loop_scope)]

    @pytest.fixture
    def provider(self) -> Provider:
        """Return a new provider, not started; override it."""
        raise NotImplementedError

    @pytest.fixture
    def clip(self) -> Clip:
        """Return a few seconds in which something is said in `language`; override it to be heard."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def started(self, provider: Provider) -> AsyncIterator[Provider]:
        """
        Start the provider, and close it after the test.

        Where starting is dear, override this with a fixture of class scope, and set `loop_scope`
        to `class`.
        """
        async with asyncio.timeout(self.patience):
            await provider.start()
        yield provider
        await provider.close()

    async def stopped(self, provider: Provider) -> None:
        """
        Wait until nothing is under way behind the provider; override it where that can be seen.

        For a remote one, ask the fake upstream whether the request or the connection was dropped.
        """

    async def test_cards_are_well_formed(self, provider: Provider) -> None:
        """Every card says who serves what, in the units and bounds of `ModelCard`."""
        cards = provider.models()

        assert cards, "it serves nothing"
        assert _NAME.fullmatch(provider.name), "a provider's name is lower case"
        assert len(cards) == len({card.id for card in cards}), "two cards have the same id"
        for card in cards:
            assert card.provider == provider.name
            assert card.id
            assert card.capabilities
            assert card.tiers
            assert card.summary, "people read the summary"
            assert 0 <= card.quality <= 1
            assert card.price >= 0
            assert card.latency > 0
            assert all(_TAG.fullmatch(tag) for tag in card.locales or ())
            assert card.max_bytes is None or card.max_bytes > 0
            assert card.max_seconds is None or card.max_seconds > 0
            assert card.window_seconds > 0
            assert card.window_batch > 0

    async def test_cards_are_stable(self, provider: Provider) -> None:
        """The cards are the same before the start, after it, and after the end."""
        before = list(provider.models())
        await provider.start()
        between = list(provider.models())
        await provider.close()

        assert before == between == list(provider.models())

    async def test_claimed_capabilities_are_there(self, provider: Provider) -> None:
        """A capability on a card is implemented by its protocol's method."""
        for card in provider.models():
            for capability in card.capabilities:
                assert isinstance(provider, PROTOCOLS[capability]), f"no method for {capability}"

    async def test_import_is_cheap(self, provider: Provider) -> None:
        """Importing the provider's module loads no heavy package and takes little time."""
        module = self.module or type(provider).__module__
        process = await create_subprocess_exec(
            *(sys.executable, "-c", _PROBE, module), stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        seconds, modules = json.loads(output)

        assert not HEAVY & set(modules), f"import {module} loads {HEAVY & set(modules)}"
        assert seconds < self.import_seconds, f"import {module} takes {seconds:.1f} s of CPU"

    async def test_closes_without_start(self, provider: Provider) -> None:
        """A provider that never started can be closed."""
        await provider.close()

    async def test_closes_twice(self, provider: Provider) -> None:
        """Closing again does nothing."""
        await provider.start()
        await provider.close()
        await provider.close()

    async def _cancelled(self, task: "asyncio.Task[object]") -> None:
        """Cancel a call that has just been made, and see it end."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled(), "the cancelled call went on"

    def _card(self, provider: Provider, capability: Capability, *features: Feature) -> ModelCard:
        for card in provider.models():
            if capability in card.capabilities and card.features.issuperset(features):
                return card
        return pytest.skip(f"no card claims {capability} {' '.join(features)}".rstrip())
