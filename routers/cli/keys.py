"""`junctor keys`: API keys of teams."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import rich_click as click

from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.conf.settings import Settings
    from junctor.core.accounts import Accounts, Key

T = TypeVar("T")


@click.group
def keys() -> None:
    """Create, list, revoke and restore API keys."""


@keys.command
@click.option("--team", required=True, help="The team that owns the key.")
@click.option("--label", default="jn", show_default=True, help="What the key begins with.")
@config_option
def create(team: str, label: str, path: Path | None) -> None:
    """Print a new key, alone on standard output; it cannot be shown again."""
    click.echo(_with_accounts(path, lambda accounts: accounts.create_key(team, label=label)))


@keys.command(name="list")
@json_option
@config_option
def list_(path: Path | None, *, as_json: bool) -> None:
    """List all keys, the oldest first; a key itself is not stored."""
    found = _with_accounts(path, lambda accounts: accounts.list_keys())
    if as_json:
        print_json({"keys": [_as_json(key) for key in found]})
        return
    columns = ("prefix", "team", "label", "created", "revoked")
    rows = (
        (key.prefix, key.team, key.label, _time(key.created_at), _time(key.revoked_at) or "")
        for key in found
    )
    print_table(columns, ((*row[:3], row[3] or "", row[4]) for row in rows))


@keys.command
@click.argument("prefix")
@config_option
def revoke(prefix: str, path: Path | None) -> None:
    """Refuse the key with this PREFIX from now on."""
    settings = load_settings(path)
    _run(settings, lambda accounts: accounts.revoke(prefix))
    seconds = settings.storage.key_cache_ttl
    click.echo(f"Revoked {prefix}. A running server refuses it within {seconds:g} seconds.")


@keys.command
@click.argument("prefix")
@config_option
def restore(prefix: str, path: Path | None) -> None:
    """Accept the key with this PREFIX again."""
    settings = load_settings(path)
    _run(settings, lambda accounts: accounts.restore(prefix))
    seconds = settings.storage.key_cache_ttl
    click.echo(f"Restored {prefix}. A running server accepts it within {seconds:g} seconds.")


def _with_accounts(path: Path | None, act: "Callable[[Accounts], Awaitable[T]]") -> T:
    return _run(load_settings(path), act)


def _run(settings: "Settings", act: "Callable[[Accounts], Awaitable[T]]") -> T:
    import asyncio

    async def run() -> T:
        async with _accounts(settings) as accounts:
            return await act(accounts)

    return asyncio.run(run())


@asynccontextmanager
async def _accounts(settings: "Settings") -> "AsyncIterator[Accounts]":
    from junctor.core.accounts import Accounts
    from junctor.core.storage.database import Database, database_url

    database = Database(database_url(settings.storage))
    try:
        await database.upgrade()
        accounts = Accounts(database, lambda: settings)
        try:
            yield accounts
        finally:
            await accounts.close()
    finally:
        await database.close()


def _as_json(key: "Key") -> dict[str, object]:
    return {
        "prefix": key.prefix,
        "team": key.team,
        "label": key.label,
        "created_at": _time(key.created_at),
        "revoked_at": _time(key.revoked_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
