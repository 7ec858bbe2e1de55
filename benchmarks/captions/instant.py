"""A plugin whose model hears windows at once, and the same words in all: no engine, and no wait."""

from collections.abc import Sequence

from junctor.core.cards import Capability, ModelCard
from junctor.core.hooks import hookimpl
from junctor.core.requests import WindowsRequest
from junctor.core.transcripts import WindowTranscript


class InstantProvider:
    """Says the same to everything."""

    name = "instant"

    def models(self) -> Sequence[ModelCard]:
        """Return the one model."""
        capabilities = frozenset({Capability.TRANSCRIBE_WINDOWS})
        return (ModelCard(provider=self.name, id="words", capabilities=capabilities),)

    async def start(self) -> None:
        """Need nothing."""

    async def close(self) -> None:
        """Have nothing."""

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        """Hear nothing, and answer."""
        return [WindowTranscript(text="สวัสดี ครับ") for _ in request.windows]


@hookimpl
def junctor_providers() -> Sequence[InstantProvider]:
    """Return the provider."""
    return [InstantProvider()]
