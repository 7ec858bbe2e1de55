"""A fake of Anthropic."""

import pytest

from tests.fakes.vendors.anthropic import AnthropicFake


@pytest.fixture(name="vendor")
def _vendor():
    return AnthropicFake
