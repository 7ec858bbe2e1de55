"""Servers under test, each on the core that it is given, and what they use of it."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field

from benchmarks.captions.wire import Wire, text
from benchmarks.targets import TARGET_CORE, free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/api/thai-asr"

CONFIG = """
extends = "{base}"
[storage]
data_dir = "{data}"
[limits]
max_concurrent_requests = 100000
max_audio_seconds = 100000.0
[team_defaults]
requests_per_minute = 100000000
concurrency = 100000
[breaker]
concurrency = 100000
[telemetry]
log_level = "{level}"
"""
TINY = """
[thai_asr]
model = "whisper:junctor-tiny"
[loader]
allow = ["whisper"]
[plugins.whisper.models.junctor-tiny]
path = "builtin:junctor-tiny"
cpu_threads = 1
window_batch = {batch}
preload = true
"""
INSTANT = """
[thai_asr]
model = "instant:words"
[loader]
allow = ["instant"]
"""
_ENTRY_POINT = "[junctor]\ninstant = benchmarks.captions.instant\n"
_METADATA = "Metadata-Version: 2.1\nName: junctor-benchmark-instant\nVersion: 1.0\n"


@define(kw_only=True)
class Usage:
    """CPU seconds that the processes of a server have used so far, and bytes they hold."""

    cpu: dict[int, float] = field(factory=dict)
    memory: dict[int, int] = field(factory=dict)


@define(kw_only=True)
class Target:
    """A running server."""

    port: int
    pid: int
    key: str = ""

    def usage(self) -> Usage:
        """Return what it and its children use, the server first."""
        usage = Usage()
        for pid in _tree(self.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            usage.cpu[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            usage.memory[pid] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        return usage

    def session(self, **config: object) -> Wire:
        """Ask for a captions session and start it; the wire never waits from here on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            "POST", f"{PREFIX}/sessions", json.dumps(config), headers={"x-api-key": self.key}
        )
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        if answer.status != 200:  # noqa: PLR2004
            raise ConnectionError(said)
        session = said["session_id"]
        wire = Wire(self.port, f"{PREFIX}/stream?session_id={session}&api_key={self.key}")
        _expect(wire, "ready")
        wire.send(text(json.dumps({"type": "start", **config})))
        _expect(wire, "started")
        wire.stream()
        return wire


def _expect(wire: Wire, kind: str) -> None:
    said = json.loads(wire.expect())
    if said["type"] != kind:
        raise ConnectionError(said)


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _tree(int(child)))]


@contextmanager
def running(command: list[str], *, core: int | None, env: dict[str, str]) -> Iterator[int]:
    """Run Python on one core, or on any, until the block ends."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    child = subprocess.Popen(
        [*pinned, sys.executable, *command], env={**os.environ, **env}, cwd=ROOT
    )
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


@contextmanager
def junctor(
    tables: str, *, core: int | None = TARGET_CORE, base: str = "default"
) -> Iterator[Target]:
    """
    Serve with these tables over a profile or a file.

    Args:
        tables: TOML, put behind that of all benchmarks.
        core: where it runs, its engines included; None for anywhere.
        base: what the configuration extends.

    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        info = folder / "junctor_benchmark_instant-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(_METADATA)
        (info / "entry_points.txt").write_text(_ENTRY_POINT)
        config = folder / "junctor.toml"
        level = "warning" if os.environ.get("BENCHMARK_LOG") else "error"
        head = CONFIG.format(base=base, data=folder / "data", level=level)
        config.write_text(head + tables)
        env = {
            "JUNCTOR_CONFIG": str(config),
            "PYTHONPATH": os.pathsep.join(
                (str(ROOT), str(folder), os.environ.get("PYTHONPATH", ""))
            ),
            "OMP_NUM_THREADS": "1",
        }
        command = ["-m", "junctor.routers.cli"]
        made = subprocess.run(
            [sys.executable, *command, "keys", "create", "--team", "benchmark"],
            env={**os.environ, **env},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        port = free_port()
        served = running([*command, "serve", "--port", str(port)], core=core, env=env)
        pid = stack.enter_context(served)
        wait_for(port)
        yield Target(port=port, pid=pid, key=made.stdout.strip())


@contextmanager
def bare(*, core: int = TARGET_CORE) -> Iterator[Target]:
    """Serve the bare application of `benchmarks.captions.echo`."""
    port = free_port()
    command = ["-m", "benchmarks.captions.echo", str(port)]
    with running(command, core=core, env={}) as pid:
        wait_for(port)
        yield Target(port=port, pid=pid)


def keep_off(core: int = TARGET_CORE) -> None:
    """Run this process, the load generator, on another core, where there are two."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {core})
