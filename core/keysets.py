"""
Public keys that sign tokens: JSON Web Key Sets (RFC 7517), given or fetched.

Only RSA keys of 2048 bits or more that are meant for signatures are taken, so that no key of one
kind is ever used with an algorithm of another.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from attrs import field, frozen

from junctor.conf.settings import Tokens
from junctor.core.errors import ConfigError, OverloadedError, ProviderError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = structlog.get_logger(__name__)

LONGEST_SET = 256 * 1024
"""Largest key set that is read, bytes."""
MOST_KEYS = 100
LEAST_BITS = 2048
FETCH_SECONDS = 5.0
MISS_INTERVAL = 60.0
"""Least time between two fetches once there are keys: for a key not in them, or after a failure."""
RETRY_INTERVAL = 5.0
"""Least time between two fetches while there are no keys at all, seconds."""


class _Key(msgspec.Struct, frozen=True):
    """One key of a set; what else it says does not matter here."""

    kty: str
    n: str = ""
    e: str = ""
    kid: str | None = None
    use: str = "sig"
    alg: str = "RS256"

    @property
    def is_ours(self) -> bool:
        """Whether it may sign tokens with RS256."""
        return (self.kty, self.use, self.alg) == ("RSA", "sig", "RS256")


class _Set(msgspec.Struct, frozen=True):
    keys: list[_Key]


@frozen
class KeySet:
    """Keys by their `kid`; two sets of the same keys are equal."""

    _ours: frozenset[_Key] = frozenset()
    _keys: "Mapping[str | None, RSAPublicKey]" = field(factory=dict, eq=False)

    @classmethod
    def parse(cls, data: bytes) -> "KeySet":
        """
        Read a key set; blocking for some milliseconds, and imports cryptography.

        Raises:
            ValueError: it is no key set, or has no key that may sign; the message says which.

        """
        from jwt import PyJWTError
        from jwt.algorithms import RSAAlgorithm

        try:
            found = msgspec.json.decode(data, type=_Set).keys
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise ValueError(f"it is no JSON Web Key Set ({exc})") from exc
        ours = [key for key in found[:MOST_KEYS] if key.is_ours]
        keys: dict[str | None, RSAPublicKey] = {}
        for key in ours:
            try:
                public = RSAAlgorithm.from_jwk({"kty": key.kty, "n": key.n, "e": key.e})
            except (PyJWTError, ValueError, TypeError) as exc:
                raise ValueError("one of its RSA keys cannot be read") from exc
            if public.key_size < LEAST_BITS:
                raise ValueError(f"one of its RSA keys has less than {LEAST_BITS} bits")
            keys[key.kid] = public  # type: ignore[assignment]  # it has neither `d` nor primes
        if not keys:
            raise ValueError("it has no RSA key for signatures (kty RSA, use sig, alg RS256)")
        return cls(frozenset(ours), keys)

    def find(self, kid: str | None) -> "RSAPublicKey | None":
        """Return the key of this name; without a name, the only one there is."""
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)


def given_keys(section: Tokens) -> KeySet:
    """
    Return the keys that the settings give, inline or by a file; blocking.

    Raises:
        ConfigError: they cannot be read.

    """
    text = section.jwks.strip()
    if not text:
        return KeySet()
    try:
        if text.startswith("{"):
            return KeySet.parse(text.encode())
        with Path(text).expanduser().open("rb") as file:
            return KeySet.parse(file.read(LONGEST_SET))
    except OSError as exc:
        raise ConfigError(f"{text!r} cannot be read ({exc.strerror}).", key="tokens.jwks") from exc
    except ValueError as exc:
        raise ConfigError(f"It cannot be used: {exc}.", key="tokens.jwks") from exc


class FetchedKeys:
    """
    Keys behind a URL of the operator's; the last set that could be fetched counts.

    Args:
        url: as checked by the settings.
        ttl: age from which they are fetched again, in the background, seconds.
        clock: monotonic seconds.

    """

    def __init__(
        self, url: str, *, ttl: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._ttl = ttl
        self._clock = clock
        self._fetch: asyncio.Task[None] | None = None
        self._due = -float("inf")
        self._may_ask = -float("inf")
        self.keys: KeySet | None = None
        """What was fetched last; None before that worked once."""

    def refresh(self) -> None:
        """Fetch again if they are old; waits for nothing."""
        if self.keys is not None and self._clock() >= self._due:
            _ = self._begin()

    async def find(self, kid: str | None) -> "RSAPublicKey | None":
        """
        Return the key of this name; one that is not known is asked for, once a minute at most.

        Raises:
            OverloadedError: there are no keys yet, and they cannot be fetched.

        """
        self.refresh()
        found = None if self.keys is None else self.keys.find(kid)
        if found is None and (self._fetch is not None or self._clock() >= self._may_ask):
            await asyncio.shield(self._begin())
        if self.keys is None:
            raise OverloadedError("The token cannot be checked at the moment. Try again shortly.")
        return found or self.keys.find(kid)

    async def close(self) -> None:
        """Stop fetching; idempotent."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    def _begin(self) -> asyncio.Task[None]:
        if self._fetch is None:
            self._fetch = asyncio.create_task(self._refetch(), name="junctor-jwks")
            self._fetch.add_done_callback(self._end)
        return self._fetch

    def _end(self, _: asyncio.Task[None]) -> None:
        self._fetch = None

    async def _refetch(self) -> None:
        now = self._clock()
        self._may_ask = now + (RETRY_INTERVAL if self.keys is None else MISS_INTERVAL)
        self._due = now + min(MISS_INTERVAL, self._ttl)
        try:
            keys = await asyncio.to_thread(KeySet.parse, await self._read())
        except (ProviderError, ValueError) as exc:
            log.warning("tokens.keys_not_fetched", error=str(exc), is_first=self.keys is None)
            return
        self._due, self._may_ask = now + self._ttl, now + MISS_INTERVAL
        if keys != self.keys:
            self.keys = keys

    async def _read(self) -> bytes:
        from junctor.core.net import Pool, PoolLimits, Target

        target = Target("tokens.jwks_url")
        pool = Pool(PoolLimits(max_connections=1, max_answer_bytes=LONGEST_SET))
        await pool.open()
        try:
            answer = await pool.relay.request(
                "GET", self._url, headers={}, target=target, within=FETCH_SECONDS
            )
        finally:
            await pool.close()
        return answer.checked(target)
