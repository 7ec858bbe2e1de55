"""The settings of the local engines are documented and become bounds."""

from pathlib import Path

import msgspec
import pytest

from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.sphinx import SphinxSettings
from junctor.plugins.local.typhoon_settings import TyphoonModelSettings
from junctor.plugins.local.whisper_settings import WhisperModelSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "engines.md"


@pytest.mark.parametrize("settings", [SphinxSettings, TyphoonModelSettings, WhisperModelSettings])
def test_every_setting_is_documented(settings):
    """The page names every key."""
    text = DOCUMENT.read_text("utf-8")

    assert [] == [key for key in settings.__struct_fields__ if f"`{key}`" not in text]


def test_documented_defaults_are_the_defaults():
    """The table of the settings for both says what is so."""
    text = DOCUMENT.read_text("utf-8")
    rows = [
        (key, value) for key, value in msgspec.structs.asdict(EngineSettings()).items() if value
    ]

    assert [] == [key for key, value in rows if f"| `{key}` | `{value}` |" not in text]


def test_settings_become_bounds():
    """Megabytes become bytes, and a kept engine is never idle."""
    bounds = EngineSettings(keep_loaded=True, max_memory_mb=2, max_queue=3).bounds()

    assert (None, 2 * 1024 * 1024, 3) == (bounds.idle_unload, bounds.max_memory, bounds.max_queue)
