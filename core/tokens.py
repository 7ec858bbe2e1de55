"""
JSON Web Tokens (RFC 7519) beside API keys: signed elsewhere, or by `junctor tokens issue`.

The algorithm comes from our settings and the key from the algorithm: HS256 sees only the secret,
RS256 only RSA keys. What was verified once is believed until it expires, or until the settings or
the fetched keys change, so that a request costs one hash and one lookup.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from attrs import frozen

from junctor.conf.settings import Tokens as TokenSettings
from junctor.core.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    OverloadedError,
)
from junctor.core.keysets import FetchedKeys, KeySet, given_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = structlog.get_logger(__name__)

TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONGEST = 8192
"""Longest token that is looked at, characters."""
LONGEST_NAME = 64
"""Longest `jti` or `sub` that names the token in the ledger; a longer one is hashed."""

LAST_TIME = 1e12
"""No time is as far away from 1970 as this, seconds."""

DOTS = 2
REMEDY = "Ask its issuer for a new one."
NOT_TAKEN = "Tokens (JWT) are not accepted by this server. Send an API key instead."
MALFORMED = "The token is not a well-formed JWT."
ALGORITHM = "The token is signed with an algorithm that is not accepted here; accepted: {}."
SIGNATURE = f"The token's signature is wrong: it was changed, or signed with another key. {REMEDY}"
UNKNOWN_KEY = f"The token is signed with a key that is not known here. {REMEDY}"

Claims = Mapping[str, object]


@frozen
class Bearer:
    """Whom a token speaks for, and until when it does."""

    team: str
    key_id: str
    expires: float
    """Seconds since 1970, UTC, the leeway included."""


@frozen(eq=False)
class _Rules:
    section: TokenSettings
    given: KeySet
    fetched: FetchedKeys | None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms that are accepted and that there are keys for."""
        section = self.section
        keys = {"HS256": section.secret, "RS256": section.jwks or section.jwks_url}
        return tuple(name for name in section.algorithms if keys[name])

    @property
    def basis(self) -> object:
        """What a verified token rests on: settings, and the keys of the moment."""
        return None if self.fetched is None else self.fetched.keys


def is_token(raw: str) -> bool:
    """Return whether a credential has the shape of a JWT; API keys have no dots."""
    return raw.count(".") == DOTS


class Tokens:
    """
    Verifies tokens.

    Args:
        settings: returns the settings of the moment; a reload counts from the next request on.
        clock: seconds since 1970, UTC.
        ticks: monotonic seconds, by which fetched keys age.

    """

    def __init__(
        self,
        settings: Callable[[], TokenSettings],
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ticks = ticks
        self._rules: _Rules | None = None
        self._preparing = asyncio.Lock()
        self._verified: OrderedDict[bytes, tuple[object, Bearer]] = OrderedDict()

    async def verify(self, raw: str) -> Bearer:
        """
        Return whom a token speaks for.

        Raises:
            AuthenticationError: it is not good; the sentence says why, and has nothing of it.
            OverloadedError: the keys to check it with cannot be had at the moment.

        """
        rules = self._rules
        if rules is None or rules.section is not self._settings():
            rules = await self._prepare()
        if not rules.algorithms:
            raise AuthenticationError(NOT_TAKEN)
        if len(raw) > LONGEST:
            raise AuthenticationError(f"The token is longer than {LONGEST} characters.")
        if not raw.isascii():
            raise AuthenticationError(MALFORMED)
        if rules.fetched is not None:
            rules.fetched.refresh()
        digest = sha256(raw.encode()).digest()
        known = self._verified.get(digest)
        if known and known[0] is rules.basis and known[1].expires > self._clock():
            self._verified.move_to_end(digest)
            return known[1]
        bearer = await self._verify(rules, raw, digest)
        self._remember(rules, digest, bearer)
        return bearer

    async def close(self) -> None:
        """Stop fetching keys; idempotent."""
        if self._rules is not None and self._rules.fetched is not None:
            await self._rules.fetched.close()

    async def _prepare(self) -> _Rules:
        async with self._preparing:
            section, old = self._settings(), self._rules
            if old is not None and old.section is section:
                return old
            try:
                given = await asyncio.to_thread(given_keys, section)
            except ConfigError as exc:  # it was good when the settings were loaded
                log.exception("tokens.keys_unusable", error=str(exc))
                raise OverloadedError("Tokens cannot be checked at the moment.") from exc
            await self.close()
            fetched = None
            if section.jwks_url:
                fetched = FetchedKeys(section.jwks_url, ttl=section.jwks_ttl, clock=self._ticks)
            self._verified.clear()
            self._rules = _Rules(section, given, fetched)
            return self._rules

    async def _verify(self, rules: _Rules, raw: str, digest: bytes) -> Bearer:
        algorithm, kid = _header(raw)
        key = await _key(rules, algorithm, kid)
        claims = _claims(rules.section, raw, key)
        expires = _checked_times(rules.section, claims, self._clock())
        team = claims.get(rules.section.team_claim)
        if not (isinstance(team, str) and TEAM.fullmatch(team)):
            raise AuthenticationError(
                f"The token's claim {rules.section.team_claim!r} does not name a team. {REMEDY}"
            )
        return Bearer(team, f"jwt:{_name(claims, digest)}", expires)

    def _remember(self, rules: _Rules, digest: bytes, bearer: Bearer) -> None:
        self._verified[digest] = (rules.basis, bearer)
        self._verified.move_to_end(digest)
        while len(self._verified) > rules.section.cache_size:
            self._verified.popitem(last=False)


def issue(section: TokenSettings, *, team: str, ttl: float, now: float) -> str:
    """
    Return a token of `team`, signed with the secret of the settings.

    Args:
        section: settings.
        team: whom it speaks for.
        ttl: time for which it is good, seconds; more than `max_ttl` would be refused.
        now: seconds since 1970, UTC.

    Raises:
        ConfigError: there is no secret, or HS256 is not accepted.
        InvalidRequestError: the team has characters that it may not have.

    """
    import jwt

    if not section.secret or "HS256" not in section.algorithms:
        raise ConfigError(
            "Tokens are signed with HS256 and a secret, and there is none. Set 32 random bytes or "
            "more, as `openssl rand -base64 48` prints them, and leave HS256 in "
            "`tokens.algorithms`.",
            key="tokens.secret",
        )
    if not TEAM.fullmatch(team):
        raise InvalidRequestError(
            f"{team!r} cannot name a team: up to 64 letters, digits, '.', '_' and '-'.",
            param="team",
        )
    claims: dict[str, object] = {"iat": int(now), "exp": int(now + ttl), "jti": uuid4().hex}
    if section.issuer:
        claims["iss"] = section.issuer
    if section.audience:
        claims["aud"] = section.audience
    claims[section.team_claim] = team
    return jwt.encode(claims, section.secret.reveal(), algorithm="HS256")


def _header(raw: str) -> tuple[object, str | None]:
    """Return what a token says of its signature, believing nothing of it."""
    import jwt

    try:
        header = jwt.get_unverified_header(raw)
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise AuthenticationError(MALFORMED) from exc
    kid = header.get("kid")
    if "crit" in header or "b64" in header or not isinstance(kid, str | None):
        raise AuthenticationError(MALFORMED)
    return header.get("alg"), kid


async def _key(rules: _Rules, algorithm: object, kid: str | None) -> "RSAPublicKey | str":
    if algorithm not in rules.algorithms:
        raise AuthenticationError(ALGORITHM.format(" and ".join(rules.algorithms)))
    if algorithm == "HS256" and rules.section.secret:
        return rules.section.secret.reveal()
    key = rules.given.find(kid)
    if key is None and rules.fetched is not None:
        key = await rules.fetched.find(kid)
    if key is None:
        raise AuthenticationError(UNKNOWN_KEY)
    return key


def _claims(section: TokenSettings, raw: str, key: "RSAPublicKey | str") -> Claims:
    """Return the claims of a token whose signature, audience and issuer are right."""
    import jwt

    try:
        found: Claims = jwt.decode(
            raw,
            key,
            algorithms=["HS256" if isinstance(key, str) else "RS256"],
            audience=section.audience or None,
            issuer=section.issuer or None,
            options={
                "require": ["exp"],
                "verify_exp": False,  # times are ours to check, by our clock
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
                "verify_aud": bool(section.audience),
                "verify_iss": bool(section.issuer),
            },
        )
    except jwt.InvalidSignatureError as exc:
        raise AuthenticationError(SIGNATURE) from exc
    except jwt.MissingRequiredClaimError as exc:
        raise AuthenticationError(f"The token has no claim {exc.claim!r}. {REMEDY}") from exc
    except jwt.InvalidAudienceError as exc:
        raise AuthenticationError(f"The token is for another audience. {REMEDY}") from exc
    except jwt.InvalidIssuerError as exc:
        raise AuthenticationError(f"The token is from another issuer. {REMEDY}") from exc
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise AuthenticationError(MALFORMED) from exc
    return found


def _checked_times(section: TokenSettings, claims: Claims, now: float) -> float:
    """Return when the token ends, its leeway included."""
    expires = _time(claims, "exp") + section.leeway
    if expires <= now:
        raise AuthenticationError(f"The token has expired. {REMEDY}")
    if expires - now > section.max_ttl + 2 * section.leeway:
        raise AuthenticationError(
            f"The token is good for longer than the {section.max_ttl:g} seconds allowed. {REMEDY}"
        )
    if "nbf" in claims and _time(claims, "nbf") > now + section.leeway:
        raise AuthenticationError("The token is not valid yet.")
    if "iat" in claims and _time(claims, "iat") > now + section.leeway:
        raise AuthenticationError("The token was issued in the future. Check the issuer's clock.")
    return expires


def _time(claims: Claims, name: str) -> float:
    value = claims[name]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LAST_TIME:
        return float(value)
    raise AuthenticationError(f"The token's claim {name!r} is not a time. {REMEDY}")


def _name(claims: Claims, digest: bytes) -> str:
    """Return by what the ledger knows the token."""
    named = claims.get("jti") or claims.get("sub")
    if isinstance(named, str) and len(named) <= LONGEST_NAME and named.isprintable():
        return named
    return digest.hex()[:16]
