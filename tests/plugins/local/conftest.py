"""What several local engines' tests share: models that take seconds to make."""

import pytest

from tests.plugins.local.ltx_tiny import save_all


@pytest.fixture(name="ltx_folder", scope="session")
def _ltx_folder(tmp_path_factory):
    """The folder with `base`, `distilled`, `upsampler` and `lora.safetensors`."""
    return save_all(tmp_path_factory.mktemp("ltx"))
