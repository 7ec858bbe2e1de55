"""vLLM's stand-in, as the plugin starts it."""

import sys
from pathlib import Path
from typing import Any

from junctor.plugins.local.vllm import VllmProvider
from junctor.plugins.local.vllm_settings import VllmModelSettings, VllmSettings

SITE = Path(__file__).parent / "vllm_site"


def model_settings(**more: Any) -> VllmModelSettings:
    """A model of the stand-in."""
    values: dict[str, Any] = {
        "model": "Qwen/Qwen3-4B",
        "python": sys.executable,
        "environ": {"PYTHONPATH": str(SITE)},
        "health_interval": 0.05,
        "start_timeout": 20.0,
        "stop_grace": 5.0,
        **more,
    }
    return VllmModelSettings(**values)


def provider_of(folder: Path, **models: VllmModelSettings) -> VllmProvider:
    """A provider of these models; what their servers print goes to the folder."""
    return VllmProvider(VllmSettings(models=models), folder)
