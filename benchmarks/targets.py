"""Upstreams and gateways as processes, each on the core that it is given, and what they use of it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, field

UPSTREAM_CORE, TARGET_CORE = 1, 0
"""Upstream and load share the former."""
_SCHEDULED = 2
"""The kernel's name for the CPU clock of a process, in nanoseconds: CPUCLOCK_SCHED."""

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
{model}
[telemetry]
log_level = "info"
log_format = "json"
"""
WHISPER = "models.whisper-1 = {}"
LITELLM = """
model_list:
  - model_name: whisper-1
    litellm_params:
      model: openai/whisper-1
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: upstream-key
    model_info: {{mode: audio_transcription}}
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: upstream-key
general_settings: {{master_key: sk-benchmark}}
litellm_settings: {{telemetry: false}}
"""


@define(kw_only=True)
class Target:
    """Something that listens on loopback, with its children one process to the measurements."""

    name: str
    port: int
    pid: int
    key: str = "sk-benchmark"
    headers: Mapping[str, str] = field(factory=dict)
    """What it wants to be sent besides the key."""

    def cpu_seconds(self) -> float:
        """Return the CPU time its processes have used so far."""
        return sum(time.clock_gettime((~pid << 3) | _SCHEDULED) for pid in _tree(self.pid))

    def resident_bytes(self) -> int:
        """Return the memory its processes hold."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in _tree(self.pid))
        return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> list[int]:
    """Return a process and its descendants, whichever thread began them."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [one for thread in threads for one in (thread / "children").read_text().split()]
    return [pid, *(one for child in children for one in _tree(int(child)))]


def busy(core: int = TARGET_CORE) -> float:
    """
    Return the seconds that a core has worked so far, for anybody, its hypervisor included.

    Without what is niced, which steps back.
    """
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, _, system, _, _, *rest = map(int, ticks[:8])
            return (user + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    raise LookupError(core)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def process(command: list[str], *, core: int, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run a command on one core until the block ends."""
    full = ["taskset", "-c", str(core), *command]
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(full, stdout=log, stderr=log, env={**os.environ, **(env or {})})
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


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


def folder(stack: ExitStack) -> Path:
    """Return a folder that ends with the stack and that nginx's worker can enter."""
    made = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    made.chmod(0o755)
    return made


def _nginx(stack: ExitStack, server: str, *, core: int) -> int:
    """Run nginx with one worker and return its process."""
    prefix = folder(stack)
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
    command = ["nginx", "-p", str(prefix), "-c", str(prefix / "nginx.conf")]
    return stack.enter_context(process(command, core=core))


def start_upstream(stack: ExitStack, answer: str) -> Target:
    """Start what gives one JSON answer to everything: the target `direct`."""
    port = free_port()
    server = (
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; "
        f"return 200 '{answer}'; }} }}"
    )
    pid = _nginx(stack, server, core=UPSTREAM_CORE)
    wait_for(port)
    return Target(name="direct", port=port, pid=pid)


def start_nginx(stack: ExitStack, upstream: int) -> Target:
    """Start nginx as a proxy that passes answers on as they come."""
    port = free_port()
    server = (
        f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; }} server {{ "
        f"listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1; "
        'proxy_buffering off; proxy_set_header Connection ""; } }'
    )
    pid = _nginx(stack, server, core=TARGET_CORE)
    wait_for(port)
    return Target(name="nginx", port=port, pid=pid)


def start_junctor(
    stack: ExitStack, upstream: int, *, model: str = WHISPER, data: Path | None = None
) -> Target:
    """Start junctor with a key and a model; what it stores outlives the stack in `data`."""
    home = folder(stack)
    data = data or home / "data"
    data.mkdir(exist_ok=True)
    config = home / "junctor.toml"
    config.write_text(JUNCTOR.format(data=data, upstream=upstream, model=model))
    return serve_junctor(stack, config)


def serve_junctor(stack: ExitStack, config: Path) -> Target:
    """Start junctor as a file says, with a key."""
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
    return Target(name="junctor", port=port, pid=pid, key=key)


def start_litellm(stack: ExitStack, upstream: int, litellm: str) -> Target:
    """Start the LiteLLM proxy with one worker."""
    config = folder(stack) / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream))
    port = free_port()
    command = [litellm, "--config", str(config), "--port", str(port), "--num_workers", "1"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    pid = stack.enter_context(
        process([*command, "--host", "127.0.0.1"], core=TARGET_CORE, env=quiet)
    )
    wait_for(port, "/health/liveliness", seconds=240)
    return Target(name="LiteLLM", port=port, pid=pid)
