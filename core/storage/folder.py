"""The data folder, and the lock that lets one server at a time use it."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from junctor.core.errors import ConfigError


class FolderLock:
    """
    Holds a folder for this process until `release()` or the process ends, however it ends.

    A lock of the operating system (`flock`): kill -9 leaves nothing behind. It goes with the open
    file, so a child made by `fork` without `exec` would keep it; ours are all executed afresh.
    Command-line tools do not take it: they talk to the database only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def acquire(self) -> Self:
        """
        Make the folder if need be, and take it.

        Raises:
            ConfigError: another process holds it, or it cannot be written.

        """
        path = self.folder / "server.lock"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"the folder {str(self.folder)!r} cannot be used ({exc.strerror}). "
                "Name one that this user may write.",
                key="storage.data_dir",
            ) from exc
        self._take(self._file)
        return self

    def _take(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = os.pread(file, 20, 0).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise ConfigError(
                f"the folder {str(self.folder)!r} is in use by another junctor server "
                f"(process {owner}), and two would each count limits and usage alone. "
                "Stop that one, or give this one a data folder of its own.",
                key="storage.data_dir",
            ) from exc
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
