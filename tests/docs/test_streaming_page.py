"""The samples of the streaming page run as they stand there, but for host and key."""

import asyncio
import os
import re
import sys
from pathlib import Path

from junctor.core.testing.fakes import FakeTranscriber, Say
from junctor.routers.speech_to_text.stream import stream
from tests.fakes.server import server_settings, serving
from tests.plugins.local.voices import say

PAGE = Path(__file__).parents[2] / "docs/streaming.md"
SAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def test_the_python_sample_prints_what_is_said(tmp_path: Path) -> None:
    """It reads a WAV file, speaks it, and prints each final."""
    found = SAMPLE.search(PAGE.read_text("utf-8"))
    assert found is not None
    recording = tmp_path / "speech.wav"
    recording.write_bytes(say("the weather is very nice").data)
    fake = FakeTranscriber("sphinx", then=Say("hello from the sample"))
    async with serving(server_settings(tmp_path / "data"), fake) as served:
        program = found[1].replace("http://", "").replace("127.0.0.1:8080", served.url[7:])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(recording)),
            env={**os.environ, "JUNCTOR_KEY": served.key},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()

    assert printed.decode() == "hello from the sample\n"


def test_the_page_names_the_path() -> None:
    """The path of the page is the one that is served."""
    assert stream.paths == {"/stream"}
    assert "`WS /speech-to-text/stream`" in PAGE.read_text("utf-8")
