import json

import pytest
from click.testing import CliRunner, Result

from junctor.routers.cli import main
from tests.fakes.distributions import Shelf


class Junctor:
    """Runs commands as a shell would, with a data folder of the test."""

    def __init__(self, data_dir) -> None:
        self.environ = {"JUNCTOR_DATA_DIR": str(data_dir), "JUNCTOR_CONFIG": None}

    def __call__(self, *arguments: str, **environ: str) -> Result:
        result = CliRunner().invoke(main, arguments, env={**self.environ, **environ})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str, **environ: str):
        return json.loads(self(*arguments, "--json", **environ).stdout)


@pytest.fixture(name="junctor")
def _junctor(tmp_path):
    return Junctor(tmp_path / "data")


@pytest.fixture(name="shelf")
def _shelf(tmp_path):
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    yield shelf
    shelf.close()


@pytest.fixture(name="config")
def _config(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "junctor.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return write
