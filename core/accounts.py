"""
Who calls: API keys and tokens, and the teams that they speak for.

A key is ``<label>_<prefix>_<secret>``. It is shown once; the database has its prefix and its
SHA-256, which is enough for a secret of 40 random characters (238 bits). Answers of the database
are kept in bounded memory by digest, so that a known key costs no lookup and goes on working while
the database is away.
"""

import re
import secrets
import string
import time
from collections.abc import Callable
from hashlib import sha256
from uuid import uuid4

from attrs import frozen

from junctor.conf.settings import Settings, Team
from junctor.core.errors import AuthenticationError, InvalidRequestError, NotFoundError
from junctor.core.keycache import Clock, KeyCache
from junctor.core.storage.database import Database
from junctor.core.storage.keys import KeyRow, KeyTable
from junctor.core.tokens import TEAM, Tokens, is_token

LABEL = re.compile(r"[a-z][a-z0-9-]{0,15}")
KEY = re.compile(r"[a-z][a-z0-9-]{0,15}_([a-z0-9]{8})_[A-Za-z0-9]{40}")

PREFIX_ALPHABET = string.ascii_lowercase + string.digits
SECRET_ALPHABET = string.ascii_letters + string.digits

MISSING = (
    "No API key was given. Send one as 'Authorization: Bearer <key>' or in the header 'x-api-key'."
)
UNKNOWN = "Incorrect API key provided. Check that it was copied whole, or ask the operator for one."
"""It begins in OpenAI's words: by them litellm tells a bad key from a bad request."""
REVOKED = "The API key has been revoked. Ask the operator for another one."


@frozen(kw_only=True)
class Principal:
    """Who is calling, and what the team may do by the settings of this moment."""

    team: str
    key_id: str
    """Of the API key; `jwt:` and the name of the token otherwise."""
    prefix: str
    """Of the API key; empty for a token."""
    limits: Team


@frozen(kw_only=True)
class Key:
    """An API key as its owner may see it; times are seconds since 1970."""

    id: str
    prefix: str
    team: str
    label: str
    created_at: float
    revoked_at: float | None = None


class Accounts:
    """
    The keys: made, listed, revoked, and checked for every request.

    Args:
        database: where they are stored.
        settings: returns the settings of the moment; each reload is seen by the next request.
        clock: monotonic seconds, by which cached keys age.

    """

    def __init__(
        self, database: Database, settings: Callable[[], Settings], *, clock: Clock = time.monotonic
    ) -> None:
        self._table = KeyTable(database)
        self._settings = settings
        self._cache = KeyCache(self._table, lambda: settings().storage, clock=clock)
        self._tokens = Tokens(lambda: settings().tokens)
        self._principals: dict[tuple[str, str], Principal] = {}
        self._snapshot: Settings | None = None

    async def authenticate(self, raw: str | None) -> Principal:
        """
        Return whom `raw`, an API key or a token, speaks for.

        An unknown key and a wrong secret are answered alike.

        Raises:
            AuthenticationError: there is no key, nobody has it, or it was revoked; or the token is
                not good, and the sentence says why.
            OverloadedError: the key is not in memory and the database cannot be asked, or the keys
                of an issuer of tokens cannot be had.

        """
        if not raw:
            raise AuthenticationError(MISSING)
        if is_token(raw):
            bearer = await self._tokens.verify(raw)
            return self._principal(bearer.team, bearer.key_id)
        digest = sha256(raw[:256].encode("utf-8", "surrogatepass")).digest()
        row = self._cache.get(digest)
        if row is None:
            found = KEY.fullmatch(raw)
            row = await self._cache.find(digest, prefix=found[1]) if found else None
        if row is None:
            raise AuthenticationError(UNKNOWN)
        if row.revoked_at is not None:
            raise AuthenticationError(REVOKED)
        return self._principal(row.team, row.id, prefix=row.prefix)

    def principal(self, team: str, key_id: str) -> Principal:
        """Return a team by a key that was checked before, with the limits of this moment."""
        return self._principal(team, key_id)

    async def create_key(self, team: str, *, label: str = "jn") -> str:
        """
        Return a new key of `team`; nobody can read it again.

        Raises:
            InvalidRequestError: the team or the label has characters that it may not have.
            OverloadedError: the database cannot be used.

        """
        if not TEAM.fullmatch(team):
            raise InvalidRequestError(
                f"{team!r} cannot name a team: up to 64 letters, digits, '.', '_' and '-'.",
                param="team",
            )
        if not LABEL.fullmatch(label):
            raise InvalidRequestError(
                f"{label!r} cannot label a key: up to 16 small letters, digits and '-', a letter "
                "first.",
                param="label",
            )
        while True:
            prefix = _random(PREFIX_ALPHABET, 8)
            raw = f"{label}_{prefix}_{_random(SECRET_ALPHABET, 40)}"
            row = KeyRow(
                id=uuid4().hex,
                prefix=prefix,
                digest=sha256(raw.encode()).hexdigest(),
                team=team,
                label=label,
                created_at=time.time_ns() // 1000,
            )
            if await self._table.add(row):
                self._cache.forget(prefix)
                return raw

    async def list_keys(self) -> list[Key]:
        """Return every key there is, oldest first, revoked ones too."""
        return [
            Key(
                id=row.id,
                prefix=row.prefix,
                team=row.team,
                label=row.label,
                created_at=row.created_at / 1e6,
                revoked_at=None if row.revoked_at is None else row.revoked_at / 1e6,
            )
            for row in await self._table.all()
        ]

    async def revoke(self, prefix: str) -> None:
        """
        Refuse the key with this prefix: here at once, in other processes within the cache's ttl.

        Raises:
            NotFoundError: there is no such key.
            OverloadedError: the database cannot be used.

        """
        await self._set_revoked(prefix, time.time_ns() // 1000)

    async def restore(self, prefix: str) -> None:
        """Accept the key with this prefix again; raises what `revoke` raises."""
        await self._set_revoked(prefix, None)

    async def close(self) -> None:
        """Stop the lookups under way; idempotent."""
        await self._cache.close()
        await self._tokens.close()

    async def _set_revoked(self, prefix: str, at: int | None) -> None:
        if not await self._table.set_revoked(prefix, at):
            raise NotFoundError(
                f"There is no key with the prefix {prefix!r}. 'junctor keys list' shows them all."
            )
        self._cache.forget(prefix)

    def _principal(self, team: str, key_id: str, *, prefix: str = "") -> Principal:
        settings = self._settings()
        if (
            settings is not self._snapshot
            or len(self._principals) > settings.storage.key_cache_size
        ):
            self._snapshot = settings
            self._principals.clear()
        principal = self._principals.get((team, key_id))
        if principal is None:
            principal = self._principals[team, key_id] = Principal(
                team=team,
                key_id=key_id,
                prefix=prefix,
                limits=settings.teams.get(team, settings.team_defaults),
            )
        return principal


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
