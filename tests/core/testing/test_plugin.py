"""A plugin's author uses the kit from outside."""

import asyncio
import sys

AUTHOR = """
import pytest
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.testing.fakes import FakeTranscriber, Say

class TestMine(ProviderConformance):
    @pytest.fixture
    def provider(self):
        return FakeTranscriber(then=Say("one two three", gap=0.03))

    @pytest.fixture
    def clip(self):
        return tone_clip(1.0)

@pytest.mark.asyncio
async def test_fixtures(fake_transcriber, loop_lag):
    async with loop_lag:
        await fake_transcriber.start()
"""


async def test_author_runs_the_kit(tmp_path):
    """A module of ten lines gives the whole suite, in pytest-asyncio's strict mode too."""
    file = tmp_path / "test_mine.py"
    file.write_text(AUTHOR)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "junctor.core.testing.plugin"),
        *("-W", "error::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", str(file)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()

    assert 0 == process.returncode, output.decode()
    assert "25 passed, 41 skipped" in output.decode()
