"""Servers that are kept alive."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from msgspec import Struct, json

from junctor.core.engine.server_process import ServerProcess
from junctor.core.engine.server_spec import ServerSpec
from junctor.core.engine.spec import EngineState
from junctor.core.errors import ProviderTimeoutError
from tests.core.engine import model_server
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes of POSIX")

Make = Callable[..., ServerProcess]


def spec_of(folder: Path, *flags: str, **more) -> ServerSpec:
    """The spec of a tiny server: quick looks, quick restarts."""
    values = {
        "name": "test:tiny",
        "command": (sys.executable, "-S", model_server.__file__, "--port={port}", *flags),
        "ready_model": "tiny",
        "log_file": folder / "server.log",
        "backoff": 0.02,
        "health_interval": 0.02,
        "health_timeout": 0.5,
        "stop_grace": 5.0,
        **more,
    }
    return ServerSpec(**values)


@pytest.fixture(name="make")
async def _make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make servers; all are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(*flags: str, **more) -> ServerProcess:
            server = ServerProcess(spec_of(tmp_path, *flags, **more))
            stack.push_async_callback(server.close)
            return server

        yield make


async def ready(server: ServerProcess) -> str:
    """Start it, wait until it is ready, and return its URL."""
    await server.start()
    await server.wait_ready(10)
    return server.url


def parent_of(pid: int) -> int:
    """The process that started it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Facts(Struct):
    """What the server says of itself."""

    child: int
    environ: dict[str, str]


async def facts(url: str) -> Facts:
    """Ask the server for its facts."""
    async with httpx.AsyncClient() as client:
        return json.decode((await client.get(f"{url}/facts")).content, type=Facts)


async def post(url: str) -> None:
    """Post to it, whether or not it answers."""
    async with httpx.AsyncClient() as client:
        try:
            await client.post(url)
        except httpx.TransportError:
            return


async def test_becomes_ready_and_answers_at_its_url(make: Make):
    """A server that is well and lists its model is ready, and reached at its URL."""
    server = make()

    url = await ready(server)

    assert (await facts(url)).child
    assert server.status.state is EngineState.READY
    assert server.status.pid is not None


async def test_start_returns_before_the_server_is_ready(make: Make, tmp_path: Path):
    """Starting waits for nothing, and nobody is told a server is ready before it is well."""
    server = make(f"--gate={tmp_path / 'gate'}")
    await server.start()
    with pytest.raises(ProviderTimeoutError):
        await server.wait_ready(0.3)
    assert server.state is EngineState.STARTING

    (tmp_path / "gate").touch()
    await server.wait_ready(10)

    assert server.status.starts == 1


async def test_is_not_ready_without_its_model(make: Make):
    """A server that is well but lists another model is not ready, and replaced after its time."""
    server = make("--model=other", start_timeout=0.4)

    await server.start()
    await until(lambda: server.status.crashes > 0)

    assert server.status.last_error.startswith("It was not ready within 0.4 seconds.")


async def test_restarts_after_a_crash_on_another_port(make: Make):
    """A server that ends by itself is started again, and what it left behind is gone."""
    server = make()
    url = await ready(server)
    child = (await facts(url)).child

    await post(f"{url}/crash")
    await until(lambda: server.status.starts == 2)
    await server.wait_ready(10)

    assert server.status.last_error == "It crashed (status 3)."
    assert server.url != url
    assert not lives(child)


async def test_restarts_after_kill_9(make: Make):
    """A server that somebody kills is started again."""
    server = make()
    await ready(server)
    os.kill(server.status.pid or 0, signal.SIGKILL)
    await until(lambda: server.status.starts == 2)

    await server.wait_ready(10)

    assert server.status.last_error == "It crashed (signal SIGKILL)."


async def test_a_killed_warden_takes_the_server_with_it(make: Make):
    """When the warden is killed, so is the server with what it started, and both come back."""
    server = make()
    url = await ready(server)
    pid, child = server.status.pid or 0, (await facts(url)).child

    os.kill(parent_of(pid), signal.SIGKILL)
    await until(lambda: server.status.starts == 2)
    await server.wait_ready(10)

    assert not lives(pid)
    assert not lives(child)


async def test_a_hung_server_is_killed_and_started_again(make: Make):
    """A server that listens but answers nothing is replaced after some looks."""
    server = make(health_timeout=0.1, health_misses=2)
    url = await ready(server)
    await post(f"{url}/hang")

    await until(lambda: server.status.starts == 2)
    await server.wait_ready(10)

    assert server.status.crashes == 1
    assert "hangs: 2 looks" in server.status.last_error


async def test_tells_why_it_failed_without_secrets_and_folders(make: Make):
    """The last words of a failed server are told, but no key and no folder."""
    server = make("--last-words=no /srv/models/qwen with api_key=sk-abcdef123456", backoff=60)

    await server.start()
    await until(lambda: server.state is EngineState.BACKOFF)

    assert server.status.last_error == (
        "It ended while starting (status 1). Its last words: no qwen with api_key=***"
    )


async def test_a_program_that_is_not_there_is_told(make: Make):
    """A command that cannot be run is no crash of ours; it is tried again later."""
    server = make(command=("/nowhere/python", "--port={port}"), backoff=60)

    await server.start()
    await until(lambda: server.state is EngineState.BACKOFF)

    assert server.status.last_error == "It cannot be started: No such file or directory."


def test_pauses_double_and_end_at_their_bound(tmp_path: Path):
    """The pause before a restart doubles with each crash in a row, is shortened by chance, and bounded."""
    server = ServerProcess(spec_of(tmp_path, backoff=1.0, backoff_max=5.0))
    pauses = []
    for _ in range(5):
        server._note_crash("It crashed.")
        pauses.append(server._pause())

    expected = (1, 2, 4, 5, 5)

    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, expected, strict=True))


async def test_crashes_far_apart_are_no_row(make: Make):
    """A server that was ready for a while begins with a short pause again."""
    server = make(settled_after=0.0)
    server._crashes_in_a_row = 9

    await ready(server)
    await until(lambda: server._crashes_in_a_row == 0)

    assert server.status.crashes == 0


async def test_a_crash_behind_a_good_while_is_the_first_of_a_row(make: Make):
    """Also where it comes before the next look at its health."""
    server = make(settled_after=0.0, health_interval=60.0)
    server._crashes_in_a_row = 9

    await ready(server)
    os.kill(server.status.pid or 0, signal.SIGKILL)
    await until(lambda: server.status.crashes == 1)

    assert server._crashes_in_a_row == 1


async def test_close_ends_it_and_what_it_started(make: Make):
    """Closing ends the server and its own children, and may be repeated."""
    server = make()
    url = await ready(server)
    pid, child = server.status.pid or 0, (await facts(url)).child

    await asyncio.gather(server.close(), server.close())
    await server.close()

    assert server.state is EngineState.CLOSED
    assert not lives(pid)
    assert not lives(child)


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(make: Make):
    """A server that does not stop when asked is killed."""
    server = make("--ignore-term", stop_grace=0.2)
    await ready(server)
    pid = server.status.pid or 0

    await server.close()

    assert not lives(pid)


async def test_close_while_it_starts_leaves_nothing(make: Make):
    """A server may be closed before it has started, at any moment of its start."""
    for turns in range(0, 60, 6):
        server = make()
        await server.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.close()

        assert server.status.pid is None
        assert server.state is EngineState.CLOSED


async def test_close_without_start(make: Make):
    """A server that never started can be closed, and then does not start any more."""
    server = make()
    await server.close()

    await server.start()

    assert server.state is EngineState.CLOSED


async def test_gets_little_of_our_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A server sees what is set for it and named for it, and no other key of ours."""
    for name in ("MY_TOKEN", "OTHER_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, str(tmp_path))
    server = make(environ={"OWN": "1"}, inherit=frozenset({"MY_TOKEN"}))

    seen = (await facts(await ready(server))).environ

    assert seen["OWN"] == "1"
    assert seen["MY_TOKEN"] == str(tmp_path)
    assert not {"OTHER_TOKEN", "PYTHONPATH"} & set(seen)


async def test_its_log_is_bounded(make: Make, tmp_path: Path):
    """A log file that grew too large begins anew, and the end of the old one stays beside it."""
    server = make("--chatter=100000", max_log_bytes=1000)
    await ready(server)

    await until(lambda: (tmp_path / "server.log").stat().st_size <= 1000)

    assert (tmp_path / "server.log.1").stat().st_size == 500


ORPHANS = """
import asyncio, sys
from pathlib import Path
from junctor.core.engine.server_process import ServerProcess
from tests.core.engine.test_server_process import ready, spec_of

async def main():
    server = ServerProcess(spec_of(Path(sys.argv[1])))
    print("at", await ready(server), server.status.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_killed_junctor_leaves_no_orphans(tmp_path: Path):
    """When the supervisor is killed, its server ends too, with all it started."""
    ours = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANS, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    try:
        url, pid = await announced(ours)
        child = (await facts(url)).child
    finally:
        ours.kill()
        await ours.wait()

    await until(lambda: not lives(pid) and not lives(child))


async def announced(process: asyncio.subprocess.Process) -> tuple[str, int]:
    """The URL and process id that the script prints, after its log."""
    assert process.stdout is not None
    while not (line := await process.stdout.readline()).startswith(b"at "):
        assert line
    _, url, pid = line.decode().split()
    return url, int(pid)
