import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

CONFIG = "[storage]\ndata_dir = '{folder}'\n[loader]\nallow = []\n[server]\nport = 1\n"


@contextmanager
def serving(path: str, *arguments: str):
    command = [sys.executable, "-m", "junctor.routers.cli", "serve", "--config", path, *arguments]
    environ = {key: value for key, value in os.environ.items() if "JUNCTOR" not in key}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
    ) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline().split()[-1]
        finally:
            child.terminate()


@pytest.fixture(name="path")
def _path(config, tmp_path):
    return config(CONFIG.format(folder=tmp_path / "data"))


def test_server_announces_where_it_listens_and_stops_in_order(path):
    """`--port` goes before the file; the URL is the only line on standard output."""
    with serving(path, "--port", "0") as (child, url):
        with urllib.request.urlopen(f"{url}/health") as answer:
            body = answer.read()
        child.send_signal(signal.SIGTERM)
        rest = child.stdout.read()

        assert (child.wait(), rest, bool(body)) == (0, "", True)


def test_wrong_port_names_the_command_line(junctor, path):
    """The mistake is not in the file."""
    result = junctor("serve", "--config", path, "--port", "70000")

    assert (result.exit_code, result.stderr) == (
        2,
        "junctor: command line: server.port: Expected an integer <= 65535.\n",
    )
