from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.distributions import Shelf


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()
