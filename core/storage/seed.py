"""Random bytes that are made once and kept in a file: a name, a secret."""

import os
import secrets
from pathlib import Path

from junctor.core.errors import ConfigError

LENGTH = 32


def kept_seed(path: Path) -> bytes:
    """
    Return the 32 random bytes kept at `path`, made at the first call; blocking.

    The file has mode 0600, and is there whole or not at all, also after a kill.

    Raises:
        ConfigError: it cannot be written or read, or it is not what was once written.

    """
    try:
        if not path.exists():
            _write(path)
        seed = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{str(path)!r} cannot be read or written ({exc.strerror}).", key="storage.data_dir"
        ) from exc
    if len(seed) != LENGTH:
        raise ConfigError(
            f"{str(path)!r} is damaged: it has {len(seed)} bytes instead of {LENGTH}. "
            "Restore it, or remove it to have a new one made.",
            key="storage.data_dir",
        )
    return seed


def _write(path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(secrets.token_bytes(LENGTH))
    part.replace(path)
