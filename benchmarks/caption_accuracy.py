"""
How well live captions say what a recording says: the same sound, live and as a file, one engine.

    python -m benchmarks.caption_accuracy [SENTENCES]

Thai of the tiny model's domain, rendered by eSpeak with rates, pitches, levels and silences of a
fixed seed that no training used. `live` is the final that `RollingListener` makes of 20 ms frames
(sent as fast as they are taken), `file` is the provider's `transcribe`. CER counts letters, spaces
apart; `same` is the share of recordings for which both texts are alike to the letter.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np
from attrs import define, frozen

from junctor.conf.settings import Live
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.voice import VoiceTrack
from junctor.core.audio.wav import to_pcm16
from junctor.core.ears import Ear
from junctor.core.requests import LiveRequest, Rolling, TranscribeRequest
from junctor.core.rolling import RollingListener
from junctor.core.tape import Tape
from junctor.core.testing.clips import clip_of
from junctor.core.transcripts import LiveFinal
from junctor.core.utterances import joined
from junctor.core.wer import distance
from junctor.core.windows import WindowDesk
from junctor.plugins.local.tiny import domain
from junctor.plugins.local.tiny.studio import Studio
from junctor.plugins.local.whisper import WhisperProvider
from junctor.plugins.local.whisper_settings import TINY, WhisperModelSettings, WhisperSettings

TRAINED = ("th", "th+m1", "th+m3", "th+f1", "th+f2")
UNHEARD = ("th+m2", "th+f3", "th+adam")
FRAME = 640
PAUSE = np.zeros(round(0.8 * SAMPLE_RATE), np.float32)
TALK = 5
"""Sentences of a talk."""


@frozen(eq=False)
class Recording:
    """A sound and what is said in it, without spaces."""

    wave: np.ndarray
    said: str


@define
class Score:
    """Errors of both ways over some recordings."""

    live: int = 0
    file: int = 0
    letters: int = 0
    same: int = 0
    count: int = 0

    def line(self, name: str) -> str:
        """Return a row of the table."""
        return (
            f"| {name} | {self.live / self.letters:.1%} | {self.file / self.letters:.1%} "
            f"| {self.same / self.count:.0%} | {self.count} |"
        )


def recordings(
    sentences: Sequence[str], voices: Sequence[str], *, noise_db: float | None
) -> list[Recording]:
    """Render sentences, each in a voice drawn from some."""
    studio = Studio()
    made = [studio.record(one.split(), "th", voices=voices, noise_db=noise_db) for one in sentences]
    return [Recording(one.wave, one.text) for one in made]


def talks(single: Sequence[Recording]) -> list[Recording]:
    """Put recordings one behind the other, pauses between."""
    return [
        Recording(
            np.concatenate([part for one in group for part in (one.wave, PAUSE)]),
            "".join(one.said for one in group),
        )
        for group in _groups(single)
    ]


def _groups(single: Sequence[Recording]) -> Iterator[Sequence[Recording]]:
    for first in range(0, len(single) - TALK + 1, TALK):
        yield single[first : first + TALK]


async def live(provider: WhisperProvider, wave: np.ndarray) -> str:
    """Return the final of a live session."""
    card = provider.models()[0]
    tape = Tape(60, VoiceTrack.best())
    listener = RollingListener(
        desk=WindowDesk(provider=provider, model=card.id, batch=card.window_batch),
        request=LiveRequest(
            model=card.id,
            language="th",
            rolling=Rolling(interval=0.04, least=0.24, window=1.6),
        ),
        ear=Ear(tape=tape, card=card, bounds=Live(), is_native=False),
        longest=card.window_seconds,
        within=60,
    )
    pcm = to_pcm16(wave).tobytes()

    async def frames() -> AsyncIterator[bytes]:
        for at in range(0, len(pcm), FRAME):
            yield pcm[at : at + FRAME]

    finals: list[LiveFinal] = []
    async with tape.recording(frames()):
        async for event in listener.events():
            if isinstance(event, LiveFinal):
                finals.append(event)
                tape.forget(round(event.end * SAMPLE_RATE))
    return joined(finals).text


async def score(provider: WhisperProvider, heard: Sequence[Recording]) -> Score:
    """Have recordings written down both ways."""
    found = Score()
    for one in heard:
        request = TranscribeRequest(audio=clip_of(one.wave), model=TINY, language="th")
        texts = await live(provider, one.wave), (await provider.transcribe(request)).text
        of_live, of_file = (text.replace(" ", "") for text in texts)
        found.live += distance(one.said, of_live)
        found.file += distance(one.said, of_file)
        found.letters += len(one.said)
        found.same += of_live == of_file
        found.count += 1
    return found


async def measure(count: int | None = None) -> dict[str, Score]:
    """Return the score of each kind of recording, of so many sentences; None for all."""
    known, unseen = domain.sentences("th")[:count], domain.held_out("th")[:count]
    clean = recordings(known, TRAINED, noise_db=None)
    kinds = {
        "known sentences, new renderings": clean,
        "the same, 15 dB noise": recordings(known, TRAINED, noise_db=15),
        f"talks of {TALK} of them": talks(clean),
        "unseen sentences, 25 dB": recordings(unseen, TRAINED, noise_db=25),
        "known sentences, voices never trained, 20 dB": recordings(known, UNHEARD, noise_db=20),
    }
    settings = WhisperSettings(models={TINY: WhisperModelSettings(preload=True)})
    provider = WhisperProvider(settings)
    await provider.start()
    try:
        return {name: await score(provider, heard) for name, heard in kinds.items() if heard}
    finally:
        await provider.close()


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else None
    print("| Thai | CER live | CER file | same | n |\n|-|-|-|-|-|")
    for name, found in asyncio.run(measure(count)).items():
        print(found.line(name))


if __name__ == "__main__":
    main()
