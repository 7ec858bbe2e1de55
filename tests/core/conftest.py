import pytest

from tests.fakes.distributions import Shelf


@pytest.fixture(name="shelf")
def _shelf(tmp_path):
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()
