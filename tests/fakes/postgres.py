"""A real Postgres server of our own, on a socket in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""Postgres refuses to run as root."""


def program(name: str) -> str | None:
    """Return the path of one of Postgres' programs, None where it is not installed."""
    found = [shutil.which(name), *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    return next((str(path) for path in found if path), None)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a fresh server without durability; its URL."""
    user = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user, user)
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        _run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", user=user)
        _run("pg_ctl", "-D", f"{folder}/data", "-o", options, "-w", "start", user=user)
        try:
            yield f"postgresql+asyncpg://postgres@/postgres?host={folder}"
        finally:
            _run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop", user=user)


@contextmanager
def room_for(url: str, size: int) -> Iterator[None]:
    """
    Connections that begin meanwhile cannot let a file grow beyond `size` bytes: a full disk.

    More than the 16 MB of a piece of Postgres' own log. Its user may set this, root may not have to.
    """
    folder = url.partition("host=")[2]
    server = Path(folder, "data", "postmaster.pid").read_text().split()[0]
    user = NOBODY if os.geteuid() == 0 else None
    _run("prlimit", "--pid", server, f"--fsize={size}:", user=user)
    try:
        yield
    finally:
        _run("prlimit", "--pid", server, "--fsize=unlimited:", user=user)


def _run(name: str, *arguments: str, user: int | None) -> None:
    path = program(name)
    assert path is not None
    subprocess.run(
        [path, *arguments],
        check=True,
        user=user,
        group=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
