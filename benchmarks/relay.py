"""
Relay of a 320 KB multipart upload to a fast upstream on loopback.

    python -m benchmarks.relay [--litellm /path/to/venv/bin/litellm] [--rounds 5] [--seconds 4]

Targets, each alone on its own core: the upstream itself (direct), nginx `proxy_pass`, junctor
with keys, policy, limits and metering on, and the LiteLLM proxy (one worker, from its package)
where its command is given. Upstream and load share the other core. Rounds are interleaved and
medians printed, since the machine's speed drifts; quote the ratios.
"""

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, field

from benchmarks.load import Load, request, run

BODY_BYTES = 320 * 1024
BOUNDARY = "benchmark-boundary"
UPSTREAM_CORE, TARGET_CORE = 1, 0
ANSWER = '{"text":"hello world","usage":{"type":"duration","seconds":10}}'


def upload() -> bytes:
    """Return a multipart body: ten seconds of silence as PCM WAV, 320 KB."""
    import wave
    from io import BytesIO

    sound = BytesIO()
    with wave.open(sound, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(bytes(BODY_BYTES - 44))
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'.encode(),
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode(),
        sound.getvalue(),
        f"\r\n--{BOUNDARY}--\r\n".encode(),
    ]
    return b"".join(parts)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@define(kw_only=True)
class Target:
    """Something that relays, where it listens, and what was measured of it."""

    name: str
    port: int
    pids: Callable[[], list[int]]
    key: str = "sk-benchmark"
    alone: list[Load] = field(factory=list)
    together: list[Load] = field(factory=list)
    cpu: list[float] = field(factory=list)
    """CPU seconds per request."""

    def cpu_seconds(self) -> float:
        """Return the CPU time its processes have used so far."""
        return sum(_cpu(pid) for pid in self.pids())


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += _tree(int(child))
    return found


@contextmanager
def process(command: list[str], *, core: int, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run a command on one core until the block ends."""
    full = ["taskset", "-c", str(core), *command]
    log = tempfile.NamedTemporaryFile(delete=False)  # noqa: SIM115
    child = subprocess.Popen(full, stdout=log, stderr=log, env={**os.environ, **(env or {})})
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()


def nginx(folder: Path, name: str, server: str) -> list[str]:
    """Write a configuration of one worker and return the command."""
    prefix = folder / name
    prefix.mkdir()
    (prefix / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {prefix}/pid; error_log {prefix}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 30m; client_body_buffer_size 1m; keepalive_requests 1000000;
  client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/f; uwsgi_temp_path {prefix}/u; scgi_temp_path {prefix}/s;
  {server}
}}"""
    )
    return ["nginx", "-p", str(prefix), "-c", str(prefix / "nginx.conf")]


def wait_for(port: int, path: str = "/health", *, seconds: float = 90) -> None:
    """Wait until something answers there, whatever it says."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


JUNCTOR = """
default_model = "whisper-1"
[storage]
data_dir = "{data}"
[limits]
max_concurrent_requests = 10000
[team_defaults]
requests_per_minute = 100000000
concurrency = 10000
[loader]
allow = ["openai"]
[plugins.openai.providers.upstream]
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "upstream-key"
models.whisper-1 = {{}}
[telemetry]
log_level = "info"
log_format = "json"
"""

LITELLM = """
model_list:
  - model_name: whisper-1
    litellm_params:
      model: openai/whisper-1
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: upstream-key
    model_info: {{mode: audio_transcription}}
general_settings: {{master_key: sk-benchmark}}
litellm_settings: {{telemetry: false}}
"""


def start_junctor(stack: ExitStack, folder: Path, upstream: int) -> Target:
    """Start junctor with a key of its own."""
    (folder / "junctor").mkdir()
    config = folder / "junctor.toml"
    config.write_text(JUNCTOR.format(data=folder / "junctor", upstream=upstream))
    command = [sys.executable, "-m", "junctor.routers.cli"]
    key = subprocess.run(
        [*command, "keys", "create", "--team", "benchmark"],
        env={**os.environ, "JUNCTOR_CONFIG": str(config)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    port = free_port()
    serve = [*command, "serve", "--config", str(config), "--port", str(port)]
    pid = stack.enter_context(process(serve, core=TARGET_CORE))
    wait_for(port)
    return Target(name="junctor", port=port, pids=lambda: _tree(pid), key=key)


def start_litellm(stack: ExitStack, folder: Path, upstream: int, litellm: str) -> Target:
    """Start the LiteLLM proxy with one worker."""
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream))
    port = free_port()
    command = [litellm, "--config", str(config), "--port", str(port), "--num_workers", "1"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    pid = stack.enter_context(
        process([*command, "--host", "127.0.0.1"], core=TARGET_CORE, env=quiet)
    )
    wait_for(port, "/health/liveliness", seconds=240)
    return Target(name="LiteLLM", port=port, pids=lambda: _tree(pid))


def start_all(stack: ExitStack, litellm: str | None) -> list[Target]:
    """Start upstream and targets; everything ends with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder.chmod(0o755)
    upstream, proxy = free_port(), free_port()
    answers = (
        f"server {{ listen 127.0.0.1:{upstream}; location / {{ default_type application/json; "
        f"return 200 '{ANSWER}'; }} }}"
    )
    up = stack.enter_context(process(nginx(folder, "up", answers), core=UPSTREAM_CORE))
    relays = (
        f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; }} server {{ "
        f"listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://up; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; } }'
    )
    relay = stack.enter_context(process(nginx(folder, "relay", relays), core=TARGET_CORE))
    wait_for(upstream)
    wait_for(proxy)
    targets = [
        Target(name="direct", port=upstream, pids=lambda: _tree(up)),
        Target(name="nginx", port=proxy, pids=lambda: _tree(relay)),
        start_junctor(stack, folder, upstream),
    ]
    if litellm:
        targets.append(start_litellm(stack, folder, upstream, litellm))
    return targets


def measure(target: Target, *, connections: int, seconds: float) -> None:
    """Run one round against a target: one connection alone, then many together."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Authorization": f"Bearer {target.key}",
    }
    payload = request("/v1/audio/transcriptions", upload(), headers)
    target.alone.append(asyncio.run(run(target.port, payload, connections=1, seconds=seconds / 2)))
    before = target.cpu_seconds()
    load = asyncio.run(run(target.port, payload, connections=connections, seconds=seconds))
    if load.errors or not load.latencies:
        raise RuntimeError(f"{target.name}: {load.errors} errors, {len(load.latencies)} answers")
    target.cpu.append((target.cpu_seconds() - before) / len(load.latencies))
    target.together.append(load)


def report(targets: list[Target]) -> None:
    """Print both sides and their ratios."""
    median = statistics.median
    direct = targets[0]
    print(f"{'':10} {'rps':>8} {'CPU us':>8} {'p99@N ms':>9} {'+p50@1 ms':>10} {'+p99@1 ms':>10}")
    base = {q: median(one.percentile(q) for one in direct.alone) for q in (0.5, 0.99)}
    for target in targets:
        added = [
            1000 * (median(one.percentile(q) for one in target.alone) - base[q])
            for q in (0.5, 0.99)
        ]
        print(
            f"{target.name:10} {median(one.rate for one in target.together):8.0f} "
            f"{1e6 * median(target.cpu):8.0f} "
            f"{1000 * median(one.percentile(0.99) for one in target.together):9.1f} "
            f"{added[0]:10.2f} {added[1]:10.2f}"
        )
    ours = next(target for target in targets if target.name == "junctor")
    for other in targets:
        if other is not ours:
            pairs = zip(ours.together, other.together, strict=True)
            ratio = median(mine.rate / theirs.rate for mine, theirs in pairs)
            print(f"junctor / {other.name}: {ratio:.2f} x requests per second")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--litellm", default=shutil.which("litellm"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    os.sched_setaffinity(0, {UPSTREAM_CORE})
    with ExitStack() as stack:
        targets = start_all(stack, options.litellm)
        for target in targets:  # warm up
            measure(target, connections=options.connections, seconds=1)
            for figures in (target.alone, target.together, target.cpu):
                figures.clear()
        for _ in range(options.rounds):
            for target in targets:
                measure(target, connections=options.connections, seconds=options.seconds)
        report(targets)


if __name__ == "__main__":
    main()
