"""
Server import and first answer, without engines: CPU seconds and memory.

    python -m benchmarks.start [--runs 7]

Each run is a fresh process that loads settings, builds the application, opens its database (made
by the run before, as after any restart) and answers one authenticated request through a relay
provider's contract. Beside it, a bare litestar application that answers a constant.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
import asyncio, json, resource, sys, time
from pathlib import Path
from junctor.conf.loader import load
from junctor.routers.app import create_app, runtime_of

async def main():
    settings = load(Path(sys.argv[1]), {"HOME": "/nonexistent"})
    app = create_app(settings)
    async with app.lifespan():
        key = await runtime_of(app).gateway.accounts.create_key("bench")
        got = []
        async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
        async def send(message): got.append(message)
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
                 "scheme": "http", "path": "/v1/models", "raw_path": b"/v1/models", "root_path": "",
                 "query_string": b"", "headers": [(b"authorization", b"Bearer " + key.encode())],
                 "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {}}
        await app(scope, receive, send)
        assert got[0]["status"] == 200, got
        report()
"""
BARE = """
import asyncio, json, resource, sys, time
from litestar import Litestar, get

@get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}

async def main():
    app = Litestar([hello], openapi_config=None)
    async with app.lifespan():
        got = []
        async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
        async def send(message): got.append(message)
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
                 "scheme": "http", "path": "/", "raw_path": b"/", "root_path": "",
                 "query_string": b"", "headers": [], "client": ("127.0.0.1", 1),
                 "server": ("127.0.0.1", 2), "state": {}}
        await app(scope, receive, send)
        assert got[0]["status"] == 200, got
        report()
"""
REPORT = """
def report():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.process_time(), peak]))

asyncio.run(main())
"""
CONFIG = """
extends = "default"
[storage]
data_dir = "{folder}/data"
[loader]
allow = ["openai"]
[plugins.openai.providers.vendor]
base_url = "http://127.0.0.1:9/v1"
api_key = "none"
[telemetry]
log_level = "error"
"""


def once(program: str, *arguments: str) -> tuple[float, float]:
    """Run a program in a process of its own; return CPU seconds and peak MB."""
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return cpu, peak


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "junctor.toml")
        config.write_text(CONFIG.format(folder=folder))
        once(OURS, str(config)), once(BARE)
        pairs = [(once(OURS, str(config)), once(BARE)) for _ in range(runs)]
    ours, bare = ([pair[n] for pair in pairs] for n in (0, 1))
    for name, runs_of in (("junctor", ours), ("bare litestar", bare)):
        cpu, peak = (statistics.median(run[n] for run in runs_of) for n in (0, 1))
        print(f"{name:14} {cpu:5.2f} s CPU  {peak:6.1f} MB")
    ratio = statistics.median(a[0] / b[0] for a, b in pairs)
    print(f"junctor / bare litestar: {ratio:.2f} x CPU")


if __name__ == "__main__":
    main()
