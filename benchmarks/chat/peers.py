"""The gateways that chat is measured through; those of others run from where they were installed."""

import sys
import time
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus

from benchmarks.chat.reader import PATH, question
from benchmarks.targets import (
    TARGET_CORE,
    UPSTREAM_CORE,
    Target,
    free_port,
    process,
    start_junctor,
    start_litellm,
    start_nginx,
    wait_for,
)

MODEL = 'models."gpt-4o-mini" = { capabilities = ["chat"] }'
_SECONDS = 60.0


def start_stream_upstream(stack: ExitStack) -> Target:
    """Start `benchmarks.chat.upstream`: the target `direct`."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.chat.upstream", str(port)]
    pid = stack.enter_context(process(command, core=UPSTREAM_CORE))
    wait_for(port)
    return Target(name="direct", port=port, pid=pid)


def start_portkey(stack: ExitStack, upstream: int, script: str) -> Target:
    """Start the Portkey gateway: `build/start-server.js` of its package, under node."""
    port = free_port()
    command = ["node", script, "--headless", f"--port={port}"]
    pid = stack.enter_context(process(command, core=TARGET_CORE))
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    return Target(name="Portkey", port=port, pid=pid, headers=headers)


def start_smg(stack: ExitStack, upstream: int, smg: str) -> Target:
    """Start the Rust gateway of SGLang with one worker, without health checks and cache routing."""
    port, metrics = free_port(), free_port()
    command = [smg, "launch", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--worker-urls", f"http://127.0.0.1:{upstream}", "--policy", "round_robin"]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics)]
    command += ["--disable-health-check", "--log-level", "error"]
    pid = stack.enter_context(process(command, core=TARGET_CORE))
    return Target(name="smg", port=port, pid=pid)


def start_ours(stack: ExitStack, upstream: int) -> Target:
    """Start junctor with a chat model."""
    return start_junctor(stack, upstream, model=MODEL)


def start_all(stack: ExitStack, direct: Target, asked: Namespace) -> list[Target]:
    """Start nginx, junctor and the peers whose programs are given, and wait until each answers."""
    starts: dict[str, tuple[Callable[..., Target], list[str]]] = {
        "nginx": (start_nginx, []),
        "junctor": (start_ours, []),
        "smg": (start_smg, [asked.smg]),
        "portkey": (start_portkey, [asked.portkey]),
        "litellm": (start_litellm, [asked.litellm]),
    }
    targets = [direct]
    for name, (start, program) in starts.items():
        if all(program) and (not asked.only or name in asked.only):
            targets.append(start(stack, direct.port, *program))
            wait_until_ready(targets[-1])
    return targets


def wait_until_ready(target: Target) -> None:
    """
    Wait until a target answers a question; some take a while to know their upstream.

    Raises:
        urllib.error.HTTPError: it refuses the question.
        TimeoutError: it does not come to answer one.

    """
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {target.key}",
        **target.headers,
    }
    url = f"http://127.0.0.1:{target.port}{PATH}"
    until = time.monotonic() + _SECONDS
    while not _is_answered(urllib.request.Request(url, question(), headers)):
        if time.monotonic() > until:
            raise TimeoutError(f"{target.name} answers no question")
        time.sleep(0.2)


def _is_answered(asked: urllib.request.Request) -> bool:
    try:
        urllib.request.urlopen(asked, timeout=10).close()
    except urllib.error.HTTPError as exc:
        if exc.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        return False
    except OSError:
        return False
    return True
