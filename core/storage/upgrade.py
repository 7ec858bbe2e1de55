"""Run Alembic from wherever junctor is installed."""

import threading

_one_at_a_time = threading.Lock()


def run_alembic(url: str, revision: str = "head") -> None:
    """
    Migrate the database at `url` (with an async driver) up to `revision`.

    Blocking, and with an event loop of its own: call it in a thread. Alembic keeps the migration
    under way in module globals, so that one process runs one at a time.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "junctor.core.storage:migrations")
    config.attributes["url"] = url
    with _one_at_a_time:
        command.upgrade(config, revision)
