"""What a worker says of windows becomes what a provider says of them."""

import pytest

from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import ProviderAnswerError
from junctor.core.requests import Window, WindowsRequest
from junctor.plugins.local.windows import window_transcripts
from junctor.plugins.local.workers.items import WindowHeard

CARD = ModelCard(provider="ear", id="one", capabilities=frozenset({Capability.TRANSCRIBE_WINDOWS}))
REQUEST = WindowsRequest(windows=(Window(pcm=b""), Window(pcm=b"")))


def test_each_window_gets_its_own():
    """In their order, the language as a tag; where it is unknown it stays so."""
    heard = [WindowHeard(text="a", language="jw", seconds=0.5), WindowHeard(text="b")]
    first, second = window_transcripts(heard, REQUEST, CARD)

    assert ("a", "jv", 0.5) == (first.text, first.language, first.seconds)
    assert ("b", None) == (second.text, second.language)


def test_an_answer_too_few_makes_no_sense():
    """Nobody guesses whose answer is missing."""
    with pytest.raises(ProviderAnswerError, match="1 of 2"):
        window_transcripts([WindowHeard(text="a")], REQUEST, CARD)
