"""`WS /api/thai-asr/stream`, over real sockets."""

from pathlib import Path

from tests.fakes.listeners import pause, spoken, words
from tests.routers.thai_asr.clients import TONES, Ear, client, house


async def test_an_utterance_from_ready_to_final(tmp_path: Path) -> None:
    """Ready, started, partials with their figures, and all that was said."""
    async with house(tmp_path, Ear("ear")) as served, client(served, **TONES) as one:
        started = await one.start()
        await one.say(spoken(20) + pause(0.2))
        final = await one.end()

    assert one.kinds[:3] == ["ready", "started", "partial"]
    assert started["engine"] == final["engine"] == "ear"
    assert final["text"].split() == words(20)
    assert (final["audio_ms"], final["audio_duration_ms"]) == (800, 800)
    assert set(final["segments"][0]) == {"start", "end", "text"}
