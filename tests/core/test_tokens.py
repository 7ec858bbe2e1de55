import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from junctor.conf.settings import Secret
from junctor.conf.settings import Tokens as Section
from junctor.core.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    OverloadedError,
)
from junctor.core.tokens import LONGEST, TEAM, Tokens, is_token, issue
from tests.fakes.clock import Clock
from tests.fakes.issuer import Issuer, key_set, private_key, public_pem, signed

SECRET = "0123456789abcdef0123456789abcdef"
OTHER_SECRET = SECRET[::-1]
SYMMETRIC = Section(secret=Secret(SECRET))
STRICT = replace(SYMMETRIC, issuer="https://login.example", audience="junctor")
ASYMMETRIC = Section(jwks=key_set("one", "two"))


class House:
    """A verifier whose settings can be swapped, with clocks that stand still."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.clock = Clock()
        self.tokens = Tokens(lambda: self.section, clock=self.clock, ticks=self.clock)

    async def refused(self, token: str) -> str:
        with pytest.raises(AuthenticationError) as caught:
            await self.tokens.verify(token)
        assert token not in str(caught.value)
        return str(caught.value)


@pytest.fixture(name="house")
def _house() -> House:
    return House(SYMMETRIC)


@pytest.fixture(name="issuer")
async def _issuer() -> AsyncIterator[Issuer]:
    async with Issuer("one") as issuer:
        yield issuer


@pytest.fixture(name="remote")
async def _remote(issuer: Issuer) -> AsyncIterator[House]:
    house = House(Section(jwks_url=issuer.url, jwks_ttl=600.0))
    yield house
    await house.tokens.close()


def claims(**more: Any) -> dict[str, Any]:
    """Claims that are good at the clock's 1000 seconds; None leaves one out."""
    all_of_them = {"team": "acme", "exp": 1060, "jti": "j1", **more}
    return {name: value for name, value in all_of_them.items() if value is not None}


def symmetric(secret: str = SECRET, **more: Any) -> str:
    return jwt.PyJWS().encode(json.dumps(claims(**more)).encode(), secret, algorithm="HS256")


def raw(header: object, payload: object, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def by_hand(header: object, key: bytes) -> str:
    """A token signed with HMAC over any bytes, which libraries would refuse to do."""
    body = raw(header, claims()).rpartition(".")[0]
    signature = hmac.digest(key, body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_issued_token(house: House) -> None:
    """What we issue we accept, for whom it was issued and for as long."""
    house.section = STRICT
    token = issue(STRICT, team="acme", ttl=60, now=1000)
    bearer = await house.tokens.verify(token)

    assert (bearer.team, bearer.key_id[:4], bearer.expires) == ("acme", "jwt:", 1090.0)
    assert is_token(token)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"exp": 970}, "has expired"),
        ({"exp": None}, "no claim 'exp'"),
        ({"exp": "soon"}, "'exp' is not a time"),
        ({"exp": True}, "'exp' is not a time"),
        ({"exp": 10**400}, "'exp' is not a time"),
        ({"exp": float("inf")}, "'exp' is not a time"),
        ({"exp": 1000 + 8 * 86_400}, "longer than the 604800 seconds"),
        ({"nbf": 1031}, "not valid yet"),
        ({"nbf": "x"}, "'nbf' is not a time"),
        ({"iat": 1031}, "issued in the future"),
        ({"team": None}, "'team' does not name a team"),
        ({"team": "a b"}, "'team' does not name a team"),
        ({"team": ["acme"]}, "'team' does not name a team"),
    ],
)
async def test_bad_claims(house: House, more: dict[str, Any], said: str) -> None:
    """Each claim that is wrong is named in the refusal."""
    assert said in await house.refused(symmetric(**more))


@pytest.mark.parametrize("more", [{"exp": 971}, {"nbf": 1030}, {"iat": 1030}])
async def test_leeway(house: House, more: dict[str, Any]) -> None:
    """Clocks may differ by the leeway, in each direction."""
    assert (await house.tokens.verify(symmetric(**more))).team == "acme"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"aud": "junctor"}, "no claim 'iss'"),
        ({"iss": "https://login.example"}, "no claim 'aud'"),
        ({"iss": "https://login.example", "aud": "other"}, "another audience"),
        ({"iss": "https://login.example", "aud": 7}, "another audience"),
        ({"iss": "https://evil.example", "aud": "junctor"}, "another issuer"),
        ({"iss": ["https://login.example"], "aud": "junctor"}, "another issuer"),
    ],
)
async def test_audience_and_issuer(house: House, more: dict[str, Any], said: str) -> None:
    """Where they are configured, a token for others or from others is refused."""
    house.section = STRICT

    assert said in await house.refused(symmetric(**more))


async def test_audience_among_others(house: House) -> None:
    """A token for several is also for us."""
    house.section = STRICT
    token = symmetric(iss="https://login.example", aud=["other", "junctor"])

    assert (await house.tokens.verify(token)).team == "acme"


async def test_audience_that_nobody_asked_for(house: House) -> None:
    """Where no audience is configured, any is taken."""
    assert (await house.tokens.verify(symmetric(aud="x", iss="y"))).team == "acme"


async def test_another_secret(house: House) -> None:
    """A token that somebody else signed is refused."""
    assert "signature is wrong" in await house.refused(symmetric(OTHER_SECRET))


@pytest.mark.parametrize("name", ["none", "NONE", "nOnE", "HS384", "ES256", "", None, 7, ["HS256"]])
async def test_other_algorithms(house: House, name: object) -> None:
    """Only algorithms of the settings count, `none` never, whatever the token says."""
    said = await house.refused(raw({"typ": "JWT", "alg": name}, claims()))

    assert said.endswith("not accepted here; accepted: HS256.")


async def test_public_key_as_secret() -> None:
    """A public RSA key, which everybody has, signs nothing: HS256 sees only the secret."""
    for section in (ASYMMETRIC, replace(ASYMMETRIC, secret=Secret(SECRET))):
        house = House(section)
        for kid in ({"kid": "one"}, {}):
            said = await house.refused(by_hand({"alg": "HS256", **kid}, public_pem("one")))
            assert "accepted: RS256." in said or "signature is wrong" in said


async def test_algorithm_not_listed() -> None:
    """An algorithm that there is a key for counts only when it is listed."""
    house = House(replace(SYMMETRIC, jwks=key_set("one"), algorithms=("RS256",)))

    assert "accepted: RS256." in await house.refused(symmetric())
    assert (await house.tokens.verify(signed(claims(), "one"))).team == "acme"


async def test_rs256() -> None:
    """A token signed with one of several keys is verified by the key that it names."""
    house = House(ASYMMETRIC)

    assert (await house.tokens.verify(signed(claims(), "two"))).key_id == "jwt:j1"


@pytest.mark.parametrize(
    ("kid", "said"), [("two", "signature is wrong"), ("three", "not known here")]
)
async def test_wrong_kid(kid: str, said: str) -> None:
    """A token that names another key than the one that signed it is refused."""
    assert said in await House(ASYMMETRIC).refused(signed(claims(), "one", kid=kid))


async def test_no_kid() -> None:
    """A token that names no key is taken where there is only one."""
    only = House(Section(jwks=key_set("one")))
    unnamed = jwt.encode(claims(), private_key("one"), algorithm="RS256")

    assert (await only.tokens.verify(unnamed)).team == "acme"
    assert "not known here" in await House(ASYMMETRIC).refused(unnamed)


async def test_changed_token() -> None:
    """A token of which one character was changed is refused, wherever that is."""
    house = House(SYMMETRIC)
    token = symmetric()
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        changed = f"{token[:place]}{other}{token[place + 1 :]}"
        with pytest.raises(AuthenticationError):
            await house.tokens.verify(changed)


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "\ud800.x.y",
        "ก.ก.ก",
        raw([], claims()),
        raw({"alg": "HS256", "crit": ["b64"], "b64": False}, claims()),
        raw({"alg": "HS256", "kid": 7}, claims()),
        by_hand({"alg": "HS256", "crit": ["x"], "x": 1}, SECRET.encode()),
        base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.x",
    ],
)
async def test_not_a_token(house: House, token: str) -> None:
    """What is no JWT, or wants of us what we do not do, is refused as that."""
    assert await house.refused(token) == "The token is not a well-formed JWT."


@pytest.mark.parametrize("payload", ["[]", "7", "[" * 3000, '{"exp": 1e999}', "\x00"])
async def test_signed_nonsense(house: House, payload: str) -> None:
    """Nonsense with a good signature is refused like any other."""
    token = jwt.PyJWS().encode(payload.encode(), SECRET, algorithm="HS256")

    assert await house.refused(token)


async def test_too_long(house: House) -> None:
    """A token of more than 8 KiB is not looked at."""
    token = symmetric(x="x" * LONGEST)

    assert await house.refused(token) == f"The token is longer than {LONGEST} characters."


@pytest.mark.parametrize("section", [Section(), Section(secret=Secret(""))])
async def test_not_configured(section: Section) -> None:
    """Without a secret or keys tokens are refused with a hint at API keys."""
    said = await House(section).refused(symmetric())

    assert said.startswith("Tokens (JWT) are not accepted by this server.")


@pytest.mark.parametrize(
    ("more", "key_id"),
    [
        ({"jti": "j1", "sub": "s"}, "jwt:j1"),
        ({"jti": None, "sub": "s"}, "jwt:s"),
        ({"jti": 7}, None),
        ({"jti": "a\nb"}, None),
        ({"jti": "x" * 65}, None),
        ({"jti": None}, None),
    ],
)
async def test_name_of_a_token(house: House, more: dict[str, Any], key_id: str | None) -> None:
    """The ledger knows a token by `jti`, `sub` or else the begin of its hash."""
    token = symmetric(**more)
    expected = key_id or f"jwt:{hashlib.sha256(token.encode()).hexdigest()[:16]}"

    assert (await house.tokens.verify(token)).key_id == expected


async def test_expires_in_the_cache(house: House) -> None:
    """A token that was verified is refused in the moment of its end."""
    token = symmetric(exp=1060)
    await house.tokens.verify(token)
    house.clock.pass_by(89.9)
    await house.tokens.verify(token)
    house.clock.pass_by(0.1)

    assert "has expired" in await house.refused(token)


async def test_cache_is_bounded(house: House) -> None:
    """No more tokens are kept than the settings say."""
    house.section = replace(SYMMETRIC, cache_size=3)
    for number in range(10):
        await house.tokens.verify(symmetric(jti=str(number)))

    assert len(house.tokens._verified) == 3


async def test_new_secret_after_a_reload(house: House) -> None:
    """A reload with another secret refuses what the old one had signed, verified or not."""
    token = symmetric()
    await house.tokens.verify(token)
    house.section = Section(secret=Secret(OTHER_SECRET))

    assert "signature is wrong" in await house.refused(token)
    assert (await house.tokens.verify(symmetric(OTHER_SECRET))).team == "acme"


async def test_other_claim_for_the_team(house: House) -> None:
    """The claim that names the team is a setting."""
    house.section = replace(SYMMETRIC, team_claim="https://example/tenant")
    token = symmetric(**{"https://example/tenant": "other"})

    assert (await house.tokens.verify(token)).team == "other"


async def test_fetched_keys(remote: House, issuer: Issuer) -> None:
    """Keys are fetched once, however many tokens come."""
    found = [(await remote.tokens.verify(signed(claims(jti=j), "one"))).key_id for j in "abc"]

    assert (found, issuer.asked) == (["jwt:a", "jwt:b", "jwt:c"], 1)


async def test_rotation(remote: House, issuer: Issuer) -> None:
    """A key that is new is fetched at once, but a stranger's token makes one fetch a minute."""
    await remote.tokens.verify(signed(claims(), "one"))
    issuer.body = key_set("one", "two")
    remote.clock.pass_by(60)
    found = await remote.tokens.verify(signed(claims(exp=2000), "two"))
    for _ in range(5):
        assert "not known here" in await remote.refused(signed(claims(exp=2000), "three"))
    asked = issuer.asked
    remote.clock.pass_by(60)
    await remote.refused(signed(claims(exp=2000), "three"))

    assert (found.team, asked, issuer.asked) == ("acme", 2, 3)


async def test_withdrawn_key(remote: House, issuer: Issuer) -> None:
    """A key that its issuer withdrew counts no more after the ttl, for verified tokens too."""
    token = signed(claims(exp=9000), "one")
    await remote.tokens.verify(token)
    issuer.body = key_set("two")
    remote.clock.pass_by(600)
    await remote.tokens.verify(token)
    await remote.tokens.verify(signed(claims(exp=9000), "two"))

    assert "not known here" in await remote.refused(token)


async def test_issuer_is_away(remote: House, issuer: Issuer) -> None:
    """When a fetch fails the old keys go on, and the log says so without the URL."""
    await remote.tokens.verify(signed(claims(), "one"))
    issuer.status = 500
    remote.clock.pass_by(700)
    with capture_logs() as logs:
        await remote.refused(signed(claims(exp=9000), "two"))
        found = await remote.tokens.verify(signed(claims(exp=9000), "one"))

    assert (found.team, [line["event"] for line in logs]) == ("acme", ["tokens.keys_not_fetched"])
    assert issuer.url not in repr(logs)


@pytest.mark.parametrize("body", ["", "{}", '{"keys": []}', "x" * 300_000, "[" * 5000, "\xff"])
async def test_issuer_never_answered_well(remote: House, issuer: Issuer, body: str) -> None:
    """Without any keys the caller is told to come back, not that the token is bad; then it works."""
    token, good, issuer.body = signed(claims(), "one"), issuer.body, body
    with pytest.raises(OverloadedError, match="cannot be checked at the moment"):
        await remote.tokens.verify(token)
    with pytest.raises(OverloadedError):
        await remote.tokens.verify(token)
    asked, issuer.body = issuer.asked, good
    remote.clock.pass_by(5)

    assert ((await remote.tokens.verify(token)).team, asked) == ("acme", 1)


async def test_file_of_keys_goes_away(house: House) -> None:
    """Keys that vanished after the settings were checked are a trouble of ours."""
    house.section = Section(jwks="/no/such/file")

    with pytest.raises(OverloadedError, match="Tokens cannot be checked"):
        await house.tokens.verify(symmetric())


async def test_many_at_the_first_moment(remote: House, issuer: Issuer) -> None:
    """Tokens that come together at the start wait for one fetch."""
    tokens = [signed(claims(jti=str(number)), "one") for number in range(10)]
    found = await asyncio.gather(*(remote.tokens.verify(token) for token in tokens))

    assert (len(found), issuer.asked) == (10, 1)


def test_issue_without_a_secret() -> None:
    """Nothing is signed without a secret; the error says what to set."""
    with pytest.raises(ConfigError, match=r"^tokens\.secret: .*there is none"):
        issue(ASYMMETRIC, team="acme", ttl=60, now=1000)


def test_issue_for_a_bad_team() -> None:
    """A team that could not be is refused, naming the field."""
    with pytest.raises(InvalidRequestError, match="cannot name a team") as caught:
        issue(SYMMETRIC, team="a b", ttl=60, now=1000)

    assert caught.value.param == "team"


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": Secret("x" * 31)},
        {"secret": Secret(public_pem("one").decode())},
        {"jwks_url": "http://login.example/keys"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "https://"},
    ],
)
def test_bad_settings(wrong: dict[str, Any]) -> None:
    """Weak secrets and URLs that could be listened to are refused when settings are made."""
    with pytest.raises(ValueError, match=r"secret` has to be 32 bytes|`jwks_url` has to be"):
        Section(**wrong)


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=80))
async def test_any_text(one: str, two: str, three: str) -> None:
    """No text that looks like a token does more than be refused."""
    house = House(replace(SYMMETRIC, jwks=key_set("one")))

    assert await house.refused(f"{one}.{two}.{three}")


HEADER: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5u"]),
    st.sampled_from(["HS256", "RS256", "none", "one", "", None, 7, True, [], {}]),
)


@given(HEADER, st.sampled_from([b"", public_pem("one"), OTHER_SECRET.encode(), b"x"]))
async def test_any_header(header: dict[str, object], key: bytes) -> None:
    """No header makes a token good that was not signed with our key."""
    house = House(replace(SYMMETRIC, jwks=key_set("one")))

    assert await house.refused(by_hand(header, key))


@given(st.from_regex(TEAM, fullmatch=True), st.floats(0, 600_000))
async def test_any_team(team: str, ttl: float) -> None:
    """What can be issued is accepted, for the same team."""
    token = issue(SYMMETRIC, team=team, ttl=ttl, now=1000)

    assert (await House(SYMMETRIC).tokens.verify(token)).team == team
