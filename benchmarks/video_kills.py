"""
Jobs of video whose processes are killed: each ends done, and is in the ledger once.

    python -m benchmarks.video_kills [--database sqlite|postgresql|both] [--late 6] [--kills 12]

On SQLite one server is killed with SIGKILL in every stage of a job, then several times within the
last moments of one, where it is stored, sealed, charged and remembered; each time it is started
again and has to end the job. On PostgreSQL a server takes the jobs and two workers do them: one or
the other is killed when a job is at a stage, each stage in turn, and started again, and the server
itself is killed once while jobs wait. Exits with 1 when a job is lost, failed, charged twice or not at all, or has no
video of the right length.
"""

import argparse
import asyncio
import base64
import io
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random

import httpx
from attrs import define, field

from junctor.core.video.measure import measured

API = "/api/ltx23/v1/videos"
STAGES = ("queued", "starting", "loading", "preparing", "generating", "encoding", "storing")
SECONDS, RATE = 2, 24
LINES = 4
"""Jobs that are under way or wait at any time, on PostgreSQL."""
PATIENCE = 90.0
"""Seconds in which a job has to end."""
LOOK = 0.004
"""Between two looks at a job whose stage is waited for, seconds."""
CONFIG = """
[storage]
data_dir = "{home}/{name}"
database_url = "{database}"
usage_interval = 0.2
[server]
port = {port}
[loader]
allow = ["stills"]
[team_defaults]
requests_per_minute = 100000000
[jobs]
poll_interval = 0.1
{work}
[models.ltx23-standard]
chain = ["stills:camera-moves"]
"""


@define(kw_only=True)
class Process:
    """A server or a worker that is killed and started again."""

    arguments: tuple[str, ...]
    config: Path
    log: Path
    child: "subprocess.Popen[bytes] | None" = None
    kills: int = 0

    def start(self) -> str:
        """Start it, and return the line that it prints when it is ready."""
        with self.log.open("ab") as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "junctor.routers.cli", *self.arguments],
                env={**os.environ, "JUNCTOR_CONFIG": str(self.config)},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.child.stdout is not None
        line = self.child.stdout.readline().decode()
        if not line:
            raise SystemExit(f"{self.arguments} did not start: {self.log.read_text()[-2000:]}")
        return line

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self.child is not None
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it at the end of the drill."""
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()


@define(kw_only=True)
class Drill:
    """What was done, and what went wrong."""

    kind: str
    database: str
    client: httpx.AsyncClient
    submitted: int = 0
    jobs: list[str] = field(factory=list)
    kills: Counter[str] = field(factory=Counter)
    faults: list[str] = field(factory=list)

    async def submit(self) -> str:
        """Submit a job; a key of its own, so that asking again after a kill is no second one."""
        self.submitted += 1
        key = f"job-{self.submitted}"
        document = {
            "prompt": "zoom in",
            "image": {"url": picture()},
            "duration": SECONDS,
            "resolution": "480p",
            "aspect_ratio": "1:1",
        }
        answer = await self.patiently(
            "POST", f"{API}/generations", json=document, headers={"Idempotency-Key": key}
        )
        job = str(answer["request_id"])
        self.jobs.append(job)
        return job

    async def patiently(self, method: str, path: str, **options: object) -> dict[str, object]:
        """Ask until there is an answer; return its document."""
        return dict((await self.answered(method, path, **options)).json())

    async def answered(self, method: str, path: str, **options: object) -> httpx.Response:
        """Ask until there is an answer: the server may be down for a moment."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await self.client.request(method, path, **options)  # type: ignore[arg-type]
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 200:  # noqa: PLR2004
                return answer
            if time.monotonic() > until:
                raise SystemExit(f"no answer to {method} {path}: {answer and answer.text}")
            await asyncio.sleep(0.05)

    async def stage(self, job: str) -> str:
        """Return where a job is: a stage of its progress, or how it ended."""
        told = await self.patiently("GET", f"{API}/{job}")
        progress = told.get("progress")
        return str(progress["stage"]) if isinstance(progress, dict) else str(told["status"])

    async def until(self, job: str, stages: frozenset[str]) -> str:
        """Wait until a job is at one of the stages, or over."""
        deadline = time.monotonic() + PATIENCE
        while True:
            stage = await self.stage(job)
            if stage in stages or stage in {"done", "failed", "canceled"}:
                return stage
            if time.monotonic() > deadline:
                return "lost"
            await asyncio.sleep(LOOK)

    async def ended(self, job: str) -> None:
        """Wait until a job is over, and look at what it made."""
        how = await self.until(job, frozenset())
        if how != "done":
            self.faults.append(f"{job} ended as {how}")
            return
        told = await self.patiently("GET", f"{API}/{job}")
        video = told.get("video")
        if not isinstance(video, dict):
            self.faults.append(f"{job} is done without a video")
            return
        answer = await self.answered("GET", str(video["url"]))
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(answer.content)
            file.flush()
            try:
                found = measured(Path(file.name))
            except ValueError as error:
                self.faults.append(f"{job} has no video: {error}")
                return
        if found.frames != SECONDS * RATE:
            self.faults.append(f"{job} has {found.frames} frames")

    def judge(self) -> None:
        """Compare the ledger with the jobs: one charged row each, of the right length."""
        charged = Counter(dict.fromkeys(self.jobs, 0))
        for request, frames in rows(self.database):
            if frames:
                charged[request] += 1
                if frames != SECONDS * RATE:
                    self.faults.append(f"{request} was charged {frames} frames")
        self.faults += [f"{job} was charged {n} times" for job, n in charged.items() if n != 1]

    def __str__(self) -> str:
        kills = ", ".join(f"{stage} {number}" for stage, number in self.kills.items())
        return f"{self.kind}: {len(self.jobs)} jobs; kills: {kills}; faults: {len(self.faults)}"


def picture() -> str:
    """Return a picture as a data URL."""
    from PIL import Image

    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def rows(database: str) -> list[tuple[str, int]]:
    """Return the request and the frames of each row of the ledger."""
    sql = "SELECT request_id, frames FROM ledger_entries"
    if database.startswith("sqlite"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
            return [(str(one), int(two)) for one, two in connection.execute(sql)]
    import psycopg

    with psycopg.connect(database.replace("+asyncpg", "")) as connection:
        return [(str(one), int(two)) for one, two in connection.execute(sql).fetchall()]


def configured(home: Path, name: str, database: str, *, port: int, work: str = "") -> Path:
    """Write the configuration of one process."""
    path = home / f"{name}.toml"
    path.write_text(CONFIG.format(home=home, name=name, database=database, port=port, work=work))
    return path


def key_of(config: Path) -> str:
    """Make an API key."""
    command = [sys.executable, "-m", "junctor.routers.cli", "keys", "create", "--team", "drill"]
    environ = {**os.environ, "JUNCTOR_CONFIG": str(config)}
    return subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True
    ).stdout.strip()


async def on_sqlite(home: Path, late: int) -> Drill:
    """Kill the one server in every stage, then in the last moments."""
    database = f"sqlite:///{home}/server/junctor.db"
    port = free_port()
    config = configured(home, "server", database, port=port)
    server = Process(arguments=("serve",), config=config, log=home / "server.log")
    headers = {"x-api-key": key_of(config)}
    base = f"http://127.0.0.1:{port}"
    random = Random(6)
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30, trust_env=False) as it:
        drill = Drill(kind="sqlite", database=database, client=it)
        try:
            server.start()
            for stage in STAGES:
                await killed_at(drill, server, stage, delay=0.0)
            for _ in range(late):
                await killed_at(drill, server, "storing", delay=random.uniform(0.0, 0.08))
            await asyncio.sleep(1.0)
            drill.judge()
        finally:
            server.stop()
    return drill


async def killed_at(drill: Drill, server: Process, stage: str, *, delay: float) -> None:
    """Submit a job, kill the server when the job is there, and have it ended by the next one."""
    job = await drill.submit()
    at = STAGES.index(stage)
    seen = await drill.until(job, frozenset(STAGES[at:]))
    await asyncio.sleep(delay)
    await asyncio.to_thread(server.kill)
    drill.kills[seen if not delay else f"{seen} + some ms"] += 1
    await asyncio.to_thread(server.start)
    await drill.ended(job)


async def on_postgres(home: Path, database: str, kills: int) -> Drill:
    """Kill workers in turn while there are always jobs that wait, and the server once."""
    port = free_port()
    config = configured(home, "web", database, port=port, work="work = []")
    web = Process(arguments=("serve",), config=config, log=home / "web.log")
    workers = [
        Process(
            arguments=("worker", "--queue", "video"),
            config=configured(home, name, database, port=0),
            log=home / f"{name}.log",
        )
        for name in ("one", "two")
    ]
    web_line = await asyncio.to_thread(web.start)
    headers = {"x-api-key": key_of(config)}
    base = web_line.split()[-1]
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30, trust_env=False) as it:
        drill = Drill(kind="postgresql", database=database, client=it)
        try:
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in workers))
            killing = asyncio.create_task(kill_in_turn(drill, web, workers, kills))
            lines = [asyncio.create_task(jobs_until(drill, killing)) for _ in range(LINES)]
            await asyncio.gather(killing, *lines)
            await asyncio.sleep(1.5)
            drill.judge()
        finally:
            for process in (web, *workers):
                process.stop()
    return drill


async def jobs_until(drill: Drill, killing: "asyncio.Task[None]") -> None:
    """Submit one job after the other until the killing is over."""
    while not killing.done():
        await drill.ended(await drill.submit())


async def kill_in_turn(drill: Drill, web: Process, workers: list[Process], kills: int) -> None:
    """Kill one worker or the other when a job is at a stage, each stage in turn; once the server."""
    for number in range(kills):
        stage = STAGES[1:][number % len(STAGES[1:])]
        if number == 2:  # noqa: PLR2004
            await asyncio.to_thread(web.kill)
            drill.kills["the server"] += 1
            await asyncio.to_thread(web.start)
        at = number % len(workers)
        seen = await some_job_at(drill, frozenset(STAGES[STAGES.index(stage) :]))
        await asyncio.to_thread(workers[at].kill)
        drill.kills[f"worker {at + 1} at {seen}"] += 1
        await asyncio.to_thread(workers[at].start)


async def some_job_at(drill: Drill, stages: frozenset[str]) -> str:
    """Wait until some job is at one of the stages."""
    while True:
        listed = (await drill.patiently("GET", API))["data"]
        assert isinstance(listed, list)
        for job in listed:
            stage = str(job.get("progress", {}).get("stage"))
            if stage in stages:
                return stage
        await asyncio.sleep(LOOK)


def free_port() -> int:
    """Return a port that nobody listens on."""
    import socket

    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def home_of(kind: str) -> Iterator[Path]:
    """Yield a folder for the data of a drill."""
    with tempfile.TemporaryDirectory(prefix=f"junctor-{kind}-") as name:
        yield Path(name)


def main() -> None:
    """Run the drill on one database or on both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--late", type=int, default=6, help="kills in the last moments of a job")
    parser.add_argument("--kills", type=int, default=12, help="of workers, on PostgreSQL")
    given = parser.parse_args()
    drills: list[Drill] = []
    with ExitStack() as stack:
        if given.database != "postgresql":
            home = stack.enter_context(home_of("sqlite"))
            drills.append(asyncio.run(on_sqlite(home, given.late)))
            print(drills[-1])
        if given.database != "sqlite":
            from tests.fakes.postgres import postgres

            home = stack.enter_context(home_of("postgresql"))
            url = stack.enter_context(postgres())
            drills.append(asyncio.run(on_postgres(home, url, given.kills)))
            print(drills[-1])
    for drill in drills:
        for fault in drill.faults:
            print(f"VIOLATION ({drill.kind}): {fault}")
    if any(drill.faults for drill in drills):
        raise SystemExit(1)
    print("no violation")


if __name__ == "__main__":
    main()
