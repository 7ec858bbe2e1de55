"""Uploads turned into clips, within their slots."""

import asyncio
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.core.audio import open_clip, run_in_slot
from junctor.core.errors import MediaError, TooLongError
from tests.media import FORMATS, RATE, make_bomb, make_media, make_wav


@pytest.fixture(name="slots")
def _slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(1)


@pytest.mark.parametrize("extension", FORMATS)
async def test_upload_becomes_a_measured_clip(slots: asyncio.Semaphore, extension: str) -> None:
    """Every format gives a clip with bytes as sent, sniffed type, length and samples."""
    data = make_media(extension, 0.5)
    clip = await open_clip(data, filename="Talk.exe", max_seconds=60, slots=slots)

    assert (data, f"Talk.{extension}") == (clip.data, clip.filename)
    assert clip.seconds == pytest.approx(0.5, abs=0.1)
    assert len(await clip.samples()) == pytest.approx(clip.seconds * 16_000, abs=2)


async def test_wav_is_measured_without_a_slot() -> None:
    """A PCM WAV waits for no decoder until its samples are asked for."""
    slots = asyncio.Semaphore(0)
    clip = await open_clip(make_media("wav", 1.0), max_seconds=60, slots=slots)
    waiting = asyncio.create_task(clip.samples())
    await asyncio.sleep(0)

    assert (RATE, RATE) == (clip.frames, clip.rate)
    assert not waiting.done()
    slots.release()
    assert 16_000 == len(await waiting)


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        (None, "audio.wav"),
        ("", "audio.wav"),
        ("a.mp3", "a.wav"),
        ("../../etc/passwd", "passwd.wav"),
        ("C:\\music\\a b.tar.gz", "a_b.tar.wav"),
        ('x"\r\nX-Evil: 1.mp3', "x_X-Evil_1.wav"),
        (".mp3", "mp3.wav"),
        ("สวัสดี.mp3", "audio.wav"),
        ("a" * 300, "a" * 64 + ".wav"),
    ],
)
async def test_claimed_names_are_made_harmless(
    slots: asyncio.Semaphore, claimed: str | None, name: str
) -> None:
    """Only a plain stem of the claimed name is kept, with the extension of what it really is."""
    clip = await open_clip(make_wav(bytes(2)), filename=claimed, max_seconds=60, slots=slots)

    assert name == clip.filename


@pytest.mark.parametrize("data", [b"", b"nothing", make_wav(b""), b"fLaC" + bytes(100)])
async def test_no_audio_is_refused_and_the_slot_is_free(
    slots: asyncio.Semaphore, data: bytes
) -> None:
    """A refusal is a MediaError and leaves the slot for the next."""
    with pytest.raises(MediaError):
        await open_clip(data, max_seconds=60, slots=slots)

    assert not slots.locked()


@pytest.mark.parametrize("extension", ["wav", "mp3"])
async def test_too_long_is_refused(slots: asyncio.Semaphore, extension: str) -> None:
    """The limit holds by header and by decoding."""
    with pytest.raises(TooLongError):
        await open_clip(make_media(extension, 2.0), max_seconds=1, slots=slots)

    assert not slots.locked()


async def test_cancelled_decode_stops_and_frees_its_slot(slots: asyncio.Semaphore) -> None:
    """A client that leaves stops its decode at once instead of after hours of audio."""
    data = make_bomb(36_000, declared=0)
    opening = asyncio.create_task(open_clip(data, max_seconds=1e9, slots=slots))
    await asyncio.sleep(0)
    assert slots.locked()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    async with asyncio.timeout(20):
        await slots.acquire()


async def test_slot_is_kept_until_the_thread_ends(slots: asyncio.Semaphore) -> None:
    """Cancelled work that has not ended yet still counts as under way."""
    may_end, started = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> bool:
        started.set()
        may_end.wait(10)
        return stop.is_set()

    running = asyncio.create_task(run_in_slot(slots, work))
    await asyncio.to_thread(started.wait, 10)
    running.cancel()
    await asyncio.wait([running])

    assert slots.locked()
    may_end.set()
    async with asyncio.timeout(20):
        await slots.acquire()


async def test_cancel_while_waiting_takes_no_slot(slots: asyncio.Semaphore) -> None:
    """Who gives up in the queue leaves no trace."""
    await slots.acquire()
    waiting = asyncio.create_task(run_in_slot(slots, lambda _stop: None))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    slots.release()

    assert not slots.locked()


async def test_event_loop_stays_free(slots: asyncio.Semaphore) -> None:
    """While something is decoded the loop goes on serving."""
    opening = asyncio.create_task(open_clip(make_bomb(3000), max_seconds=3000, slots=slots))
    turns = 0
    while not opening.done():
        await asyncio.sleep(0.001)  # a loop that spins would starve the decoder, not serve
        turns += 1

    assert turns > 100
    assert opening.result().seconds > 2990


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), magic=st.sampled_from([b"", b"fLaC", b"RIFF\0\0\0\0WAVEfmt "]))
def test_random_bytes_are_a_clip_or_a_refusal(data: bytes, magic: bytes) -> None:
    """Nothing but a clip with samples or our own two refusals ever comes out."""

    async def attempt() -> int:
        clip = await open_clip(magic + data, max_seconds=60, slots=asyncio.Semaphore(1))
        return len(await clip.samples())

    try:
        samples = asyncio.run(attempt())
    except (MediaError, TooLongError):
        return

    assert samples > 0


def test_import_is_light() -> None:
    """The server imports the audio tools without loading numpy or any codec."""
    heavy = "numpy", "av", "soxr", "onnxruntime", "faster_whisper"
    program = (
        "import sys, junctor.core.audio, junctor.core.subtitles;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert b"[]" == result.stdout.strip()
