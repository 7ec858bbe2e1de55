import os
from collections.abc import Iterator

import pytest

from tests.fakes.postgres import postgres, program


@pytest.fixture(name="postgres_url", scope="session")
def _postgres_url() -> Iterator[str]:
    """A server for all tests of a session: each has to begin with what it finds."""
    if program("initdb") is None and not os.environ.get("CI"):
        pytest.skip("Postgres is not installed (in CI this would be a failure)")
    with postgres() as url:
        yield url
