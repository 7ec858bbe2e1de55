import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from junctor.core.errors import ConfigError
from junctor.core.storage.folder import FolderLock

HOLD = (
    "import sys; from pathlib import Path; from junctor.core.storage.folder import FolderLock\n"
    "lock = FolderLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_second_server_is_refused(tmp_path: Path) -> None:
    """A folder in use is refused, naming the process that has it and what to do."""
    with FolderLock(tmp_path), pytest.raises(ConfigError) as caught:
        FolderLock(tmp_path).acquire()

    assert f"in use by another junctor server (process {os.getpid()})" in str(caught.value)


def test_free_after_release(tmp_path: Path) -> None:
    """A folder let go of can be taken again."""
    lock = FolderLock(tmp_path / "new").acquire()
    lock.release()
    lock.release()

    with FolderLock(tmp_path / "new") as again:
        assert again.folder == tmp_path / "new"


def test_free_after_kill(tmp_path: Path) -> None:
    """A killed process holds nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(ConfigError, match=f"process {child.pid}"):
            FolderLock(tmp_path).acquire()
        child.send_signal(signal.SIGKILL)
        child.wait()

    FolderLock(tmp_path).acquire().release()


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A path that cannot be a folder is a wrong setting."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"^storage\.data_dir: .*cannot be used"):
        FolderLock(tmp_path / "file").acquire()
