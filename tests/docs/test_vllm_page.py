"""The page of the vLLM plugin names every setting, and its samples can be used."""

import re
import tomllib
from pathlib import Path

import pytest

from junctor.conf.settings import Settings
from junctor.plugins.local.vllm import junctor_providers
from junctor.plugins.local.vllm_settings import VllmModelSettings

PAGE = (Path(__file__).parents[2] / "docs/vllm.md").read_text("utf-8")
SAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("key", VllmModelSettings.__struct_fields__)
def test_every_setting_is_told(key: str):
    """The table has a row, or a share in one, for each key of a model's table."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]

    assert any(f"`{key}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize("sample", SAMPLES, ids=["first", "cpu"])
def test_samples_are_taken(sample: str):
    """What stands there can be pasted."""
    plugins = tomllib.loads(sample)["plugins"]

    [provider] = junctor_providers(Settings(plugins=plugins))

    assert provider.models()
