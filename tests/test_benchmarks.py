"""The benchmarks run: a figure that nobody can repeat is none."""

import asyncio
import os
import shutil
import sys

import pytest

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.timeout(180)]


async def output(*arguments: str) -> str:
    """Run a benchmark and return what it prints."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert child.returncode == 0, out.decode()
    return out.decode()


async def test_relay_beside_a_direct_call_and_nginx() -> None:
    """Both ratios are printed."""
    if missing := [name for name in ("nginx", "taskset") if shutil.which(name) is None]:
        assert not os.environ.get("CI"), f"not installed: {missing}"
        pytest.skip(f"not installed: {missing}")
    told = await output("benchmarks.relay", "--rounds", "1", "--seconds", "0.5", "--litellm", "")

    assert "junctor / direct: " in told
    assert "junctor / nginx: " in told


async def test_start_beside_a_bare_application() -> None:
    """The ratio is printed."""
    assert "junctor / bare litestar: " in await output("benchmarks.start", "--runs", "1")


async def test_our_client_beside_aiohttp_and_a_bare_loop() -> None:
    """Each is printed for requests, uploads and chunks."""
    if missing := [name for name in ("nginx", "taskset") if shutil.which(name) is None]:
        assert not os.environ.get("CI"), f"not installed: {missing}"
        pytest.skip(f"not installed: {missing}")
    quick = ("--requests", "200", "--streams", "4", "--chunks", "5", "--rounds", "1")
    told = await output("benchmarks.http_client", *quick)

    assert 9 == told.count(" x ours")
