"""
What clients of image to video wait for, while a video is made and while many wait.

    python -m benchmarks.videos [--queued 1000] [--calls 200] [--resolution 720p]

One server with the engine `stills`. Four times are measured over HTTP on kept connections, with
nothing to do, while a video is made, and with many jobs queued behind one that is being made:
submissions (a picture of 1280 by 720 as a data URL), a job's status, a page of the list, and the
bare `/health` beside them, which asks no database. Then the server is left alone for a while with
its queue: the CPU of its own process in a second. The last column says how a figure stands to that
of the server with nothing to do.

The engine shares the cores with the server and with the client that measures. What that alone costs is
shown by a server with nothing to do beside ffmpeg, which encodes with the engine's settings and
priority, and with which the server has nothing to do (needs ffmpeg).
"""

import argparse
import asyncio
import base64
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from attrs import define, field

from benchmarks.targets import free_port
from benchmarks.video_kills import Process, key_of
from junctor.plugins.local.workers.stills import NICE

API = "/api/ltx23/v1/videos"
QUIET = 5.0
"""Seconds for which the server is left alone."""
PACE = 0.01
"""Between two calls, seconds: it is latency that is asked for."""
CONFIG = """
[storage]
data_dir = "{home}/data"
[server]
port = {port}
[loader]
allow = ["stills"]
[team_defaults]
requests_per_minute = 100000000
[jobs]
max_unfinished = 100000
[models.ltx23-standard]
chain = ["stills:camera-moves"]
"""


def picture() -> str:
    """Return a picture of 1280 by 720 as a data URL: a JPG with some noise in it, about 170 KB."""
    from PIL import Image

    noise = Image.effect_noise((1280, 720), 20).convert("L")
    shade = Image.linear_gradient("L").resize((1280, 720))
    out = io.BytesIO()
    Image.merge("RGB", (noise, shade, Image.blend(noise, shade, 0.7))).save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


@contextmanager
def encoder() -> Iterator[None]:
    """Run ffmpeg in a session of its own, as the engine does: libx264, 720p, as fast as it can."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise SystemExit("ffmpeg is not installed")
    source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=24"]
    sink = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-f", "null", "-"]
    with subprocess.Popen(
        ["nice", "-n", str(NICE), program, "-loglevel", "error", "-t", "600", *source, *sink],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    ) as child:
        try:
            yield
        finally:
            child.kill()


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of one process, its children left out."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


@define(kw_only=True)
class Bench:
    """A server under measurement."""

    session: aiohttp.ClientSession
    pid: int
    calls: int
    body: bytes
    jobs: list[str] = field(factory=list)
    rows: dict[str, dict[str, list[float]]] = field(factory=dict)
    quiet: dict[str, float] = field(factory=dict)

    async def submit(self) -> None:
        """Submit one job."""
        async with self.session.post(f"{API}/generations", data=self.body) as answer:
            told = await answer.json()
            if answer.status != 200:  # noqa: PLR2004
                raise SystemExit(f"a submission was refused: {told}")
            self.jobs.append(told["request_id"])

    async def read(self, path: str) -> None:
        """Ask for something, and read it whole."""
        async with self.session.get(path) as answer:
            await answer.read()
            if answer.status != 200:  # noqa: PLR2004
                raise SystemExit(f"{path} answered {answer.status}")

    async def measure(self, when: str, *, submissions: bool) -> None:
        """Time each kind of call, one at a time and in turn."""
        job = self.jobs[-1]
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "health": lambda: self.read("/health"),
            "status": lambda: self.read(f"{API}/{job}"),
            "list": lambda: self.read(API),
        }
        if submissions:
            kinds["submit"] = self.submit
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(self.calls):
            for kind, call in kinds.items():
                await asyncio.sleep(PACE)
                begin = time.perf_counter()
                await call()
                found[kind].append(time.perf_counter() - begin)
        self.rows[when] = found

    async def rest(self, when: str) -> None:
        """Leave it alone, and see what it does."""
        await asyncio.sleep(1.0)
        before = cpu_of(self.pid)
        await asyncio.sleep(QUIET)
        self.quiet[when] = (cpu_of(self.pid) - before) / QUIET

    async def cancel(self) -> None:
        """Cancel what is not over."""
        for job in self.jobs:
            async with self.session.post(f"{API}/{job}/cancel") as answer:
                await answer.read()

    async def until_made(self, job: str) -> None:
        """Wait until a job is being made."""
        while True:
            async with self.session.get(f"{API}/{job}") as answer:
                told = await answer.json()
            if told["status"] != "queued":
                return
            await asyncio.sleep(0.05)


def percentile(times: list[float], share: int) -> float:
    """Return a percentile in milliseconds."""
    return 1000 * statistics.quantiles(times, n=100)[share - 1]


def table(bench: Bench) -> None:
    """Print what was found."""
    base = bench.rows["nothing to do"]
    print(f"{'':24} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'p95 to that of nothing to do':>30}")
    for when, kinds in bench.rows.items():
        for kind, times in kinds.items():
            ratio = percentile(times, 95) / percentile(base[kind], 95) if kind in base else 1.0
            figures = " ".join(f"{percentile(times, share):8.2f}" for share in (50, 95, 99))
            print(f"{kind + ', ' + when:24} {figures} {ratio:30.2f}")
    for when, share in bench.quiet.items():
        print(f"left alone, {when}: {100 * share:.1f} % of a core")


async def go_through(bench: Bench, queued: int) -> None:
    """Measure with nothing to do, while a video is made, and while many wait."""
    await bench.submit()  # loads DBOS, the engine, and every code path
    await bench.until_made(bench.jobs[0])
    await bench.cancel()
    await asyncio.sleep(2.0)
    await bench.measure("nothing to do", submissions=False)
    await bench.rest("nothing to do")
    with encoder():
        await bench.measure("ffmpeg beside", submissions=False)
    await bench.submit()
    await bench.until_made(bench.jobs[-1])
    await bench.measure("a video is made", submissions=True)
    while len(bench.jobs) < queued:
        await bench.submit()
    await asyncio.sleep(5.0)
    await bench.measure(f"{queued} wait", submissions=True)
    await bench.rest(f"{queued} wait, one is made")


async def run(home: Path, queued: int, calls: int, resolution: str) -> None:
    """Measure one server."""
    port = free_port()
    config = home / "junctor.toml"
    config.write_text(CONFIG.format(home=home, port=port))
    key = key_of(config)
    server = Process(arguments=("serve",), config=config, log=home / "log")
    server.start()
    assert server.child is not None
    asked = {
        "prompt": "zoom in", "image": {"url": picture()}, "duration": 10, "resolution": resolution,
    }  # fmt: skip
    body = json.dumps(asked).encode()
    base, timeout = f"http://127.0.0.1:{port}", aiohttp.ClientTimeout(total=60)
    headers = {"x-api-key": key, "content-type": "application/json"}
    try:
        async with aiohttp.ClientSession(base, headers=headers, timeout=timeout) as session:
            bench = Bench(session=session, pid=server.child.pid, calls=calls, body=body)
            await go_through(bench, queued)
            table(bench)
    finally:
        server.child.send_signal(signal.SIGKILL)
        server.child.wait()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--queued", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--resolution", choices=["480p", "720p"], default="720p")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="junctor-videos-") as name:
        asyncio.run(run(Path(name), given.queued, given.calls, given.resolution))


if __name__ == "__main__":
    main()
