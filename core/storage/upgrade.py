"""Run Alembic from wherever junctor is installed."""


def run_alembic(url: str, revision: str = "head") -> None:
    """
    Migrate the database at `url` (with an async driver) up to `revision`.

    Blocking, and with an event loop of its own: call it in a thread.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "junctor.core.storage:migrations")
    config.attributes["url"] = url
    command.upgrade(config, revision)
