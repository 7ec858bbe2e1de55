import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from junctor.conf.settings import Secret, Settings, Storage, Team, Tokens
from junctor.core.accounts import MISSING, REVOKED, UNKNOWN, Accounts
from junctor.core.errors import (
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from junctor.core.storage.database import Database
from junctor.core.tokens import issue
from tests.fakes.clock import Clock
from tests.fakes.databases import gone, read_only

SETTINGS = Settings(
    storage=Storage(key_cache_ttl=60.0), teams={"acme": Team(requests_per_minute=7)}
)
STRANGER = f"jn_abcdefgh_{'x' * 40}"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "junctor.db"


@pytest.fixture(name="database")
async def _database(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{path}")
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="accounts")
async def _accounts(database: Database, clock: Clock) -> AsyncIterator[Accounts]:
    accounts = Accounts(database, lambda: SETTINGS, clock=clock)
    yield accounts
    await accounts.close()


@pytest.fixture(name="elsewhere")
async def _elsewhere(path: Path) -> AsyncIterator[Accounts]:
    """The command line beside the server: other memory, the same database."""
    database = Database(f"sqlite:///{path}")
    yield Accounts(database, lambda: SETTINGS)
    await database.close()


async def refused(accounts: Accounts, key: str | None) -> str:
    with pytest.raises(AuthenticationError) as caught:
        await accounts.authenticate(key)
    return str(caught.value)


async def test_key_of_a_team(accounts: Accounts) -> None:
    """A key says whose it is and what the team may do."""
    principal = await accounts.authenticate(await accounts.create_key("acme"))
    listed = await accounts.list_keys()

    assert (principal.team, principal.key_id, principal.prefix, principal.limits) == (
        "acme",
        listed[0].id,
        listed[0].prefix,
        SETTINGS.teams["acme"],
    )


async def test_shape_of_a_key(accounts: Accounts) -> None:
    """A key is a label, eight characters to find it by, and a secret of 238 bits."""
    key = await accounts.create_key("acme", label="prod")

    assert re.fullmatch(r"prod_[a-z0-9]{8}_[A-Za-z0-9]{40}", key)


@pytest.mark.parametrize(
    ("team", "label", "param"), [("", "jn", "team"), ("a b", "jn", "team"), ("a", "J_N", "label")]
)
async def test_bad_names(accounts: Accounts, team: str, label: str, param: str) -> None:
    """A team or label that would break the key's shape is refused, naming the field."""
    with pytest.raises(InvalidRequestError) as caught:
        await accounts.create_key(team, label=label)

    assert caught.value.param == param


async def test_key_is_a_secret(accounts: Accounts, path: Path) -> None:
    """The key and its secret part are in no file, no representation and no log."""
    with capture_logs() as logs:
        key = await accounts.create_key("acme")
        principal = await accounts.authenticate(key)
        await refused(accounts, f"{key[:-1]}-")
        keys = await accounts.list_keys()
    secret = key.rpartition("_")[2].encode()
    told = [file.read_bytes() for file in path.parent.rglob("*") if file.is_file()]
    told.append(repr((logs, principal, keys, vars(accounts), vars(accounts._cache))).encode())

    assert len(told) > 2
    assert not [text for text in told if secret in text]


@pytest.mark.parametrize("key", [None, ""])
async def test_no_key(accounts: Accounts, key: str | None) -> None:
    """Without a key the answer says how to send one."""
    assert await refused(accounts, key) == MISSING


@pytest.mark.parametrize(
    "key", [STRANGER, "sk-1234", "jn_abcdefgh_", "é" * 70, "\udcff", "jn_\n", "x" * 100_000]
)
async def test_key_that_nobody_has(accounts: Accounts, key: str) -> None:
    """A malformed key and one that nobody has are refused alike."""
    assert await refused(accounts, key) == UNKNOWN


async def test_wrong_secret(accounts: Accounts) -> None:
    """A right prefix with a wrong secret is answered like an unknown key, revoked or not."""
    key = await accounts.create_key("acme")
    wrong = key[:-40] + "x" * 40
    before = await refused(accounts, wrong)
    await accounts.revoke(key.split("_")[1])

    assert (before, await refused(accounts, wrong[:-1] + "y")) == (UNKNOWN, UNKNOWN)


async def test_revoked_at_once(accounts: Accounts) -> None:
    """A key revoked in this process is refused from then on, although it was in memory."""
    key = await accounts.create_key("acme")
    await accounts.authenticate(key)

    await accounts.revoke(key.split("_")[1])

    assert await refused(accounts, key) == REVOKED


async def test_restored_at_once(accounts: Accounts) -> None:
    """A restored key is good again, and listed without a time of revocation."""
    key = await accounts.create_key("acme")
    await accounts.revoke(key.split("_")[1])
    await refused(accounts, key)

    await accounts.restore(key.split("_")[1])

    assert (await accounts.authenticate(key)).team == "acme"
    assert (await accounts.list_keys())[0].revoked_at is None


async def test_revoke_a_key_that_is_not(accounts: Accounts) -> None:
    """Revoking a prefix that nobody has says so."""
    with pytest.raises(NotFoundError, match="'nobodyxx'"):
        await accounts.revoke("nobodyxx")


async def test_revoked_elsewhere(accounts: Accounts, elsewhere: Accounts, clock: Clock) -> None:
    """A key revoked by another process is refused once the ttl is over."""
    key = await accounts.create_key("acme")
    await accounts.authenticate(key)
    await elsewhere.revoke(key.split("_")[1])
    clock.pass_by(59.0)
    await accounts.authenticate(key)
    clock.pass_by(1.0)

    assert await refused(accounts, key) == REVOKED


async def test_created_elsewhere(accounts: Accounts, elsewhere: Accounts) -> None:
    """A key made by another process is good at once."""
    key = await elsewhere.create_key("acme")

    assert (await accounts.authenticate(key)).team == "acme"


async def test_limits_of_a_new_snapshot(database: Database) -> None:
    """A reload of the settings changes the limits of the next request."""
    snapshots = [Settings(), Settings(team_defaults=Team(concurrency=3))]
    accounts = Accounts(database, lambda: snapshots[0])
    key = await accounts.create_key("acme")
    before = await accounts.authenticate(key)
    del snapshots[0]
    after = await accounts.authenticate(key)

    assert (before.limits.concurrency, after.limits.concurrency) == (64, 3)


async def test_known_key_while_database_is_gone(
    accounts: Accounts, path: Path, clock: Clock
) -> None:
    """A key in memory goes on working without the database, also when its ttl is over."""
    key = await accounts.create_key("acme")
    await accounts.authenticate(key)
    teams = []
    with gone(path):
        for _ in range(5):
            clock.pass_by(61.0)
            teams.append((await accounts.authenticate(key)).team)

    assert teams == ["acme"] * 5


async def test_new_key_while_database_is_gone(accounts: Accounts, path: Path) -> None:
    """A key that is not in memory is an overload without the database, and good when it is back."""
    key = await accounts.create_key("acme")
    with gone(path), pytest.raises(OverloadedError, match="cannot be checked"):
        await accounts.authenticate(key)

    assert (await accounts.authenticate(key)).team == "acme"


async def test_revocation_after_an_outage(
    accounts: Accounts, elsewhere: Accounts, path: Path, clock: Clock
) -> None:
    """When the database is back, a key revoked elsewhere is found out."""
    key = await accounts.create_key("acme")
    await accounts.authenticate(key)
    clock.pass_by(61.0)
    with gone(path):
        await accounts.authenticate(key)
    await elsewhere.revoke(key.split("_")[1])
    clock.pass_by(2.0)
    await accounts.authenticate(key)  # nobody waits for a database that failed before
    while accounts._cache._lookups:
        await next(iter(accounts._cache._lookups.values()))

    assert await refused(accounts, key) == REVOKED


async def test_read_only_database(accounts: Accounts, database: Database, path: Path) -> None:
    """With a database that may only be read, new keys are checked but none can be made."""
    key = await accounts.create_key("acme")
    await database.close()
    with read_only(path):
        principal = await accounts.authenticate(key)
        with pytest.raises(OverloadedError):
            await accounts.create_key("acme")

    assert principal.team == "acme"


TOKENS = Settings(tokens=Tokens(secret=Secret("x" * 32)), teams=SETTINGS.teams)


def token(team: str = "acme") -> str:
    return issue(TOKENS.tokens, team=team, ttl=60, now=time.time())


async def test_token_of_a_team(database: Database, path: Path) -> None:
    """A token speaks for its team with the team's own limits, and the database is not asked."""
    accounts = Accounts(database, lambda: TOKENS)
    with gone(path):
        found = [await accounts.authenticate(token(team)) for team in ("acme", "nobody")]

    assert [one.limits for one in found] == [TOKENS.teams["acme"], TOKENS.team_defaults]
    assert [(one.team, one.prefix, one.key_id[:4]) for one in found] == [
        ("acme", "", "jwt:"),
        ("nobody", "", "jwt:"),
    ]


async def test_tokens_and_keys_side_by_side(database: Database) -> None:
    """Where tokens are taken, API keys are too."""
    accounts = Accounts(database, lambda: TOKENS)
    key = await accounts.create_key("acme")

    assert (await accounts.authenticate(key)).team == "acme"


async def test_token_where_none_are_taken(accounts: Accounts) -> None:
    """Without a secret a token is refused with a hint at keys."""
    assert "not accepted by this server" in await refused(accounts, token())


async def test_limits_of_a_token_after_a_reload(database: Database) -> None:
    """New limits of the team count for a token that was verified before."""
    settings = [TOKENS]
    accounts = Accounts(database, lambda: settings[-1])
    bearer = token()
    before = await accounts.authenticate(bearer)
    settings.append(Settings(tokens=TOKENS.tokens, teams={"acme": Team(concurrency=1)}))
    after = await accounts.authenticate(bearer)

    assert (before.limits.concurrency, after.limits.concurrency) == (64, 1)
